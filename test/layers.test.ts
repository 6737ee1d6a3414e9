import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** What each room may import, besides itself (docs/design.md, Rooms). A file belongs to the room with the longest name that fits its path. */
const ROOMS: Record<string, string[]> = {
  'shared/transaction': ['shared/base'],
  'shared/chain': ['shared/base', 'shared/transaction'],
  'shared/ledger': ['shared/base', 'shared/transaction'],
  'shared/bip270': ['shared/base', 'shared/transaction', 'shared/ledger', 'shared/chain'],
  'shared/invoice': ['shared/base', 'shared/ledger', 'shared/transaction'],
  'shared/aws': ['shared/base', 'shared/blobs', 'shared/queue', 'shared/store'],
  'shared/blobs': ['shared/base', 'shared/aws'],
  'shared/queue': ['shared/base', 'shared/aws', 'shared/blobs', 'shared/ledger', 'shared/store'],
  'shared/store': ['shared/base', 'shared/aws', 'shared/blobs', 'shared/chain', 'shared/invoice', 'shared/ledger', 'shared/transaction'],
  'shared/state': ['shared/base', 'shared/ledger', 'shared/store'],
  'shared/config': ['shared/base', 'shared/chain', 'shared/invoice', 'shared/ledger', 'shared/transaction'],
  'shared/base': [], // the files of the folder itself: errors, clock, retry …
  'shared/machine': ['shared'],
  'shared/broadcast': ['shared'],
  'shared/paywall': ['shared'],
  shared: [],
  functions: ['shared'],
  'sidecar/cores': ['shared', 'sidecar/base'],
  'sidecar/writer': ['shared', 'sidecar/base', 'sidecar/cores'],
  'sidecar/peers': ['shared', 'sidecar/base', 'sidecar/cores', 'sidecar/writer'],
  'sidecar/chain': ['shared', 'sidecar/base', 'sidecar/cores', 'sidecar/writer'],
  'sidecar/base': ['shared', 'sidecar'],
  cdk: ['shared'],
  studio: ['shared', 'functions'],
  local: ['shared', 'functions', 'sidecar', 'studio'],
  client: ['shared', 'sidecar', 'local'],
  cli: ['shared', 'sidecar', 'studio', 'local', 'client'],
  root: ['shared', 'local', 'client'],
}

const FILES = globSync('{shared,functions,sidecar,cdk,studio,local,client,cli}/**/*.ts', { cwd: ROOT }).concat('index.ts')

/** The files of this repository that a file imports, also for types. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8')
  const found = text.matchAll(/(?:^|\n)(?:import|export)\b(?:[^'"]*?from)? '(\.[^']+)'|\bimport\('(\.[^']+)'\)/g)
  return [...found].map(([, fixed, dynamic]) => normalize(join(dirname(file), (fixed ?? dynamic)!)))
}

function roomOf(file: string): string {
  const folders = dirname(file).split('/')
  const inner = folders.slice(0, 2).join('/')
  if (inner in ROOMS && folders.length > 1) return inner
  const base = `${folders[0]}/base`
  return base in ROOMS ? base : folders[0] === '.' ? 'root' : folders[0]!
}

/** Whether a room is the other room or inside of it. */
function isIn(room: string, other: string): boolean {
  return room === other || room.startsWith(`${other}/`)
}

const IMPORTS = FILES.flatMap((file) => importsOf(file).map((imported) => ({ file, imported })))

describe('the rooms', () => {
  it('are all listed here, and the test sees their imports', () => {
    expect(FILES.map(roomOf).filter((room) => !(room in ROOMS))).toEqual([])
    expect(IMPORTS.length).toBeGreaterThan(FILES.length)
  })

  it('import only the rooms below them', () => {
    const wrong = IMPORTS.filter(({ file, imported }) => {
      const [from, to] = [roomOf(file), roomOf(imported)]
      return from !== to && !ROOMS[from]!.some((allowed) => isIn(to, allowed))
    })
    expect(wrong.map(({ file, imported }) => `${file} imports ${imported}`)).toEqual([])
  })

  it('never import tests, examples or the package’s root', () => {
    expect(IMPORTS.filter(({ imported }) => /^(test|examples)\/|^index\.ts$/.test(imported))).toEqual([])
  })

  it('contain no circular imports', () => {
    const below = Map.groupBy(IMPORTS, ({ file }) => file)
    const done = new Set<string>()
    const circles: string[] = []
    const visit = (file: string, path: string[]): void => {
      if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' → '))
      if (done.has(file) || path.includes(file)) return
      for (const { imported } of below.get(file) ?? []) visit(imported, [...path, file])
      done.add(file)
    }
    for (const file of FILES) visit(file, [])
    expect(circles).toEqual([])
  })
})
