# Runs a program in a terminal: `terminal.py <columns> <rows> <program> …`. Its output goes to standard output. Lines of standard input are "size <columns> <rows>", which
# resizes the terminal, and "key <letter>", which presses a key.
import fcntl, os, pty, select, struct, sys, termios


def resize(terminal, columns, rows):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', int(rows), int(columns), 0, 0))


child, terminal = pty.fork()
if child == 0:
    resize(0, sys.argv[1], sys.argv[2])
    os.execvp(sys.argv[3], sys.argv[3:])
watched = [terminal, 0]
while True:
    for ready in select.select(watched, [], [])[0]:
        if ready == terminal:
            try:
                output = os.read(terminal, 65536)
            except OSError:  # the program has ended
                output = b''
            if not output:
                sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            os.write(1, output)
            continue
        line = os.read(0, 4096).decode()
        if not line:
            watched.remove(0)
        for command, *words in map(str.split, line.splitlines()):
            if command == 'size':
                resize(terminal, *words)
            else:
                os.write(terminal, words[0].encode())
