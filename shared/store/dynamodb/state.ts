import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { decode, encode } from 'cborg'
import { parallel } from '../../aws/call.ts'
import type { Cursor } from '../progress.ts'
import type { JournalPage, State, StateChange, StateCommit, StateMark, StateRange, StateValue } from '../state.ts'
import { PARTITION } from './partitions.ts'
import { attributesOf, type Item, type Key, number, type Table, text } from './table.ts'

/** Values that are written side by side. */
const WIDTH = 16
/** The journal, and the marks of deleted keys, are kept so long; the table forgets them by its field `expires`, s since 1970. */
const KEPT_S = 3 * 24 * 3600

/** A value is written only over one of an earlier version: what a process that slept writes late changes nothing. */
const isEarlier = 'attribute_not_exists(pk) OR #version < :version'
const cursorGoesOn = 'attribute_not_exists(#seq) OR #seq <= :seq'

/** Fields of an item that are set under a condition. */
interface Conditional {
  fields: Record<string, AttributeValue | undefined>
  condition: string
  values: Item
}

/** What follows a commit, besides its values. */
interface After {
  /** dead letters of entries that work now */
  dead: Key[]
  /** the dead letter of an entry that is given up */
  givenUp?: Item
  /** of a shared scope: the pool whose cursor moves, and where to */
  pool?: string
  cursor?: Pick<Cursor, 'seq' | 'block' | 'attempts' | 'begun' | 'stopped'>
}

/** A commit as the item of its scope holds it until the next one. */
interface Pending extends After {
  at: number
  changes: StateChange[]
}

/**
 * Values as items of `state#<handler>#<scope>`. A commit is one conditional write: it puts the changes into the item of the scope, which is the cursor's item if the scope is
 * one pool. The values and the journal follow, under the number of the commit. If the process dies in between, the next one writes them again. So a commit of n values costs
 * n + 2 writes; a transaction would cost 2n + 4.
 */
export class DynamoState implements State {
  readonly commitBytes = 16 * 1024
  readonly maxBytes = 352 * 1024 // DynamoDB: an item has 400 KB at most
  readonly #table: Table
  readonly #finished = new Map<string, number>()

  constructor(table: Table) {
    this.#table = table
  }

  async open(handler: string, scope: string, cursor?: StateMark): Promise<number> {
    const { version = 0, unfinished } = cursor ?? (await this.#scope(handler, scope))
    if (unfinished) await this.#finish(handler, scope, version, unfinished)
    return version
  }

  /** The last commit of a scope of which this process knows that its values are written. */
  finished(handler: string, scope: string): number | undefined {
    return this.#finished.get(`${handler}#${scope}`)
  }

  async look(handler: string, scope: string): Promise<{ version: number; unfinished: StateChange[] }> {
    const { version, unfinished } = await this.#scope(handler, scope)
    return { version, unfinished: unfinished ? (decode(unfinished) as Pending).changes : [] }
  }

  async #scope(handler: string, scope: string): Promise<{ version: number; unfinished?: Uint8Array }> {
    const item = await this.#table.get(cursorKey(handler, scope))
    const unfinished = item?.pending?.B
    return { version: Number(item?.version?.N ?? 0), ...(unfinished && { unfinished }) }
  }

  /** Writes the values of a commit, unless this process knows that it is done. */
  async #finish(handler: string, scope: string, version: number, pending: Uint8Array): Promise<void> {
    const name = `${handler}#${scope}`
    if (this.#finished.get(name) === version) return
    const { changes, at, dead, givenUp, pool, cursor } = decode(pending) as Pending
    const values = new Map(changes.map(({ key, after }) => [key, after]))
    const expires = number(Math.floor(at / 1000) + KEPT_S)
    await parallel([...values], WIDTH, ([key, value]) =>
      this.#table.update(
        valueKey(handler, scope, key),
        { version: number(version), value: value && { B: value }, expires: value ? undefined : expires },
        isEarlier,
      ),
    )
    if (changes.length) await this.#table.put({ ...journalKey(handler, scope, version), changes: { B: encode(changes) }, expires })
    for (const letter of dead) await this.#table.delete(letter)
    if (givenUp) await this.#table.put(givenUp)
    if (pool !== undefined && cursor) await this.#table.update(cursorKey(handler, pool), attributesOf(cursor), cursorGoesOn)
    this.#finished.set(name, version)
  }

  /** @param cursor of a scope that is one pool, and the condition under which it moves */
  async commit(handler: string, { scope, version, changes, at }: StateCommit, after: After, cursor?: Conditional): Promise<boolean> {
    const next = version + 1
    const pending = encode({ changes, at, ...after } satisfies Pending)
    const isVersion = version ? '#version = :was' : 'attribute_not_exists(#version)'
    const held = await this.#table.update(
      cursorKey(handler, scope),
      { ...cursor?.fields, version: number(next), pending: { B: pending } },
      cursor ? `${cursor.condition} AND ${isVersion}` : isVersion,
      { ...cursor?.values, ...(version && { ':was': number(version) }) },
    )
    // A put whose answer was lost has changed the version itself.
    if (!held && !(await this.#isOurs(handler, scope, next, pending))) return false
    await this.#finish(handler, scope, next, pending)
    return true
  }

  async #isOurs(handler: string, scope: string, version: number, pending: Uint8Array): Promise<boolean> {
    const stands = await this.#scope(handler, scope)
    return stands.version === version && stands.unfinished !== undefined && Buffer.compare(stands.unfinished, pending) === 0
  }

  async get(handler: string, scope: string, key: string): Promise<Uint8Array | undefined> {
    return (await this.#table.get(valueKey(handler, scope, key)))?.value?.B
  }

  async list(handler: string, scope: string, { prefix = '', after = '', limit }: StateRange): Promise<StateValue[]> {
    const found: StateValue[] = []
    let ExclusiveStartKey: Item | undefined
    do {
      const from = Buffer.compare(Buffer.from(after), Buffer.from(prefix)) >= 0 ? after : undefined
      const range = from === undefined ? (prefix ? ' AND sk >= :sk' : '') : ' AND sk > :sk'
      const { Items = [], LastEvaluatedKey } = await this.#table.query({
        KeyConditionExpression: `pk = :pk${range}`,
        ExpressionAttributeValues: { ':pk': valueKey(handler, scope, '').pk, ...(range && { ':sk': text(from ?? prefix) }) },
        Limit: limit - found.length + 1,
        ExclusiveStartKey,
      })
      for (const { sk, value } of Items) {
        const key = sk!.S!
        if (!key.startsWith(prefix)) return found // the keys with this prefix stand together
        if (value?.B) found.push({ key, value: value.B })
        if (found.length === limit) return found
      }
      ExclusiveStartKey = LastEvaluatedKey
    } while (ExclusiveStartKey)
    return found
  }

  async journal(handler: string, scope: string, page?: string): Promise<JournalPage> {
    const { Items = [], LastEvaluatedKey } = await this.#table.query({
      KeyConditionExpression: 'pk = :pk',
      ExpressionAttributeValues: { ':pk': journalKey(handler, scope, 0).pk },
      ScanIndexForward: false,
      ExclusiveStartKey: page === undefined ? undefined : journalKey(handler, scope, Number(page)),
    })
    return {
      changes: Items.flatMap(({ sk, changes }) =>
        (decode(changes!.B!) as StateChange[]).reverse().map((change) => ({ ...change, version: Number(sk!.S) })),
      ),
      isFirst: Number(Items.at(-1)?.sk?.S) === 1,
      ...(LastEvaluatedKey && { next: String(Number(LastEvaluatedKey.sk!.S)) }),
    }
  }
}

/** The item of a cursor, and of a scope: by pool, so that one query lists the handlers of a pool. */
export function cursorKey(handler: string, pool: string): Key {
  return { pk: text(PARTITION.cursor + pool), sk: text(handler) }
}

function valueKey(handler: string, scope: string, key: string): Key {
  return { pk: text(`${PARTITION.state}${handler}#${scope}`), sk: text(key) }
}

function journalKey(handler: string, scope: string, version: number): Key {
  return { pk: text(`${PARTITION.journal}${handler}#${scope}`), sk: text(String(version).padStart(16, '0')) }
}
