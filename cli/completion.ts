import type { Command, Option } from 'commander'

export type Shell = 'bash' | 'zsh' | 'fish'

/** What a shell runs so that Tab completes the command. The words come from the command itself, so it is never out of step. */
export const SCRIPTS: Record<Shell, string> = {
  bash: `_overpool() {
  COMPREPLY=($(compgen -W "$(overpool complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _overpool overpool`,
  zsh: `_overpool() {
  local -a found
  found=(\${(f)"$(overpool complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if (( $#found )); then compadd -a found; else _files; fi
}
compdef _overpool overpool`,
  fish: `complete -c overpool -a '(overpool complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'`,
}

/**
 * The words that may come next. None: the shell offers files.
 * @param words what follows `overpool`; the last one is being typed, and may be empty
 * @param pools the names of the machine's pools
 */
export async function candidates(program: Command, words: string[], pools: () => Promise<string[]>): Promise<string[]> {
  const [before, typed] = [words.slice(0, -1), words.at(-1) ?? '']
  const { command, args, pending } = readWords(program, before)
  if (pending) return pending.argChoices ?? []
  if (typed.startsWith('-'))
    return optionsOf(program, command).flatMap(({ long, hidden }) => (long && !hidden && long.startsWith(typed) ? [long] : []))
  if (command === program) return namesOf(program).filter((name) => name.startsWith(typed))
  const argument = command.registeredArguments[args]
  const all = argument?.name() === 'pool' ? await pools() : (argument?.argChoices ?? [])
  return all.filter((word) => word.startsWith(typed))
}

/** The command of a line, the number of its arguments until now, and the option that waits for its value. */
function readWords(program: Command, words: string[]): { command: Command; args: number; pending?: Option } {
  let command = program
  let args = 0
  let pending: Option | undefined
  for (const word of words) {
    if (pending) pending = undefined
    else if (word.startsWith('-')) {
      const option = optionsOf(program, command).find(({ long, short }) => word === long || word === short)
      if (option?.required) pending = option
    } else if (command === program) command = program.commands.find((each) => each.name() === word) ?? program
    else args++
  }
  return { command, args, pending }
}

function optionsOf(program: Command, command: Command): readonly Option[] {
  return command === program ? program.options : [...command.options, ...program.options]
}

function namesOf(program: Command): string[] {
  return program
    .createHelp()
    .visibleCommands(program)
    .map((command) => command.name())
}
