import type { Clock } from '../../shared/clock.ts'
import { OverpoolError } from '../../shared/errors.ts'
import { randomFrom } from '../random.ts'

/** A service in memory: the methods of a port, which take effect at once. */
export type Sync<Port> = {
  [K in keyof Port]: Port[K] extends (...args: infer Args) => Promise<infer Result> ? (...args: Args) => Result : Port[K]
}

/** How the calls of a port fail. */
export interface Faults {
  /** the probability that a call fails, while faults are on */
  chance: number
  /** the service is a part of the process, such as its disk: its calls die with the process */
  own?: boolean
  /** the probability that a call takes effect seconds later, while faults are on (default 0.03) */
  slow?: number
  /** the prefix of its methods' names: `blocks.put` */
  port?: string
}

/** A call that waits for a condition before it takes effect, as a receive waits for messages. */
export interface Held {
  ready: () => boolean
  /** the time at which it is ready at the latest, ms since 1970 */
  at: () => number
}

/** The most by which time moves when nothing has a set time, ms. */
const LONGEST_IDLE_MS = 60_000

/** The time at which a schedule begins, ms since 1970. */
export const BEGIN = 1_700_000_000_000

/** A call from a process to a service. */
interface Asked {
  process: Process
  method: string
  args: unknown[]
  effect: () => unknown
  /** takes effect for a part of the list only, for a call that fails half-way */
  part?: () => unknown
  faults: Faults
  held?: Held
}

interface Call extends Asked {
  notBefore: number
  settle: (answer: Answer) => void
  answer?: Answer
}

type Answer = { value: unknown } | { error: unknown }

interface Timer {
  process: Process
  at: number
  resolve: () => void
}

const nothing = () => {}
const turn = () => new Promise((resolve) => setImmediate(resolve)) // when it resolves, no code can run any further

/**
 * Chooses what happens next, at random from a seed: which call takes effect, which answer arrives, which timer fires, and how far time moves. Between two
 * steps all code runs as far as it can, so a process can be killed, paused or overtaken at every point where it waits.
 */
export class Scheduler {
  readonly random: () => number
  now = BEGIN
  faulty = true
  /** the end of the outage of all services, ms since 1970 */
  outageUntil = 0
  steps = 0
  /** gets a line for each thing that happens, for a person who looks for the cause of a failure */
  trace: ((line: string) => void) | undefined
  /** called when a call has taken effect and before its answer arrives: a good moment to kill the process */
  effected: ((process: Process, method: string) => void) | undefined
  #calls: Call[] = []
  #timers: Timer[] = []

  constructor(seed: number) {
    this.random = randomFrom(seed)
  }

  chance(of: number): boolean {
    return this.random() < of
  }

  /** True with this probability while faults are on; false when they are off. */
  fault(of: number): boolean {
    return this.faulty && this.chance(of)
  }

  /** A whole number from 0, below `end`. */
  below(end: number): number {
    return Math.floor(this.random() * end)
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!
  }

  /** A port as this process sees it: every call waits until the scheduler lets it take effect, and then until the scheduler lets its answer arrive. */
  port<Port extends object>(
    process: Process,
    service: Sync<Port>,
    faults: Faults,
    hold?: (method: string, args: unknown[]) => Held | undefined,
  ): Port {
    return new Proxy(service, {
      get: (target, name) => {
        const works = Reflect.get(target, name)
        if (typeof works !== 'function') return works
        const method = faults.port === undefined ? String(name) : `${faults.port}.${String(name)}`
        return (...args: unknown[]) => {
          const effect = () => works.apply(target, args)
          const list = args.findIndex((arg) => Array.isArray(arg))
          const part = list < 0 ? undefined : () => works.apply(target, args.with(list, this.#some(args[list] as unknown[])))
          return this.#ask({ process, method, args, effect, part, faults, held: hold?.(method, args) })
        }
      },
    }) as unknown as Port
  }

  #some<T>(list: T[]): T[] {
    return list.slice(0, this.below(list.length + 1))
  }

  #ask(asked: Asked): Promise<unknown> {
    if (asked.process.dead) return new Promise(() => {})
    return new Promise((resolve, reject) => {
      const settle = (answer: Answer) => ('error' in answer ? reject(answer.error) : resolve(answer.value))
      const notBefore = this.fault(asked.faults.slow ?? 0.03) ? this.now + this.below(4_000) : 0
      this.#calls.push({ ...asked, notBefore, settle })
    })
  }

  sleep(process: Process, ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = { process, at: this.now + ms, resolve }
      this.#timers.push(timer)
      signal?.addEventListener('abort', () => {
        this.#timers = this.#timers.filter((other) => other !== timer)
        resolve()
      })
    })
  }

  /** Kills a process. Its calls may still take effect, now, later or never; it gets no more answers. */
  kill(process: Process): void {
    process.dead = true
    this.#timers = this.#timers.filter((timer) => timer.process !== process)
    this.#calls = this.#calls.filter((call) => {
      if (call.process !== process) return true
      if (call.answer || call.held) return false
      if (call.faults.own) {
        this.pick([call.effect, call.part ?? nothing, nothing])()
        return false
      }
      if (this.chance(0.5)) call.notBefore = this.now + this.below(3_000)
      return this.chance(0.5)
    })
  }

  /** Drops the calls of dead processes. */
  forgetTheDead(): void {
    this.#calls = this.#calls.filter(({ process }) => !process.dead)
  }

  /** Lets one thing happen, or moves time until something can happen. */
  async step(): Promise<void> {
    this.steps++
    if (this.chance(0.5)) this.now += this.below(20)
    const next = this.#next()
    if (next) next()
    else this.now = Math.max(this.now, this.#soonest())
    await turn()
  }

  #next(): (() => void) | undefined {
    const able: (() => void)[] = []
    for (const call of this.#calls) if (this.#isReady(call)) able.push(() => this.#advance(call))
    for (const timer of this.#timers) if (timer.at <= this.now && !this.#isPaused(timer.process)) able.push(() => this.#ring(timer))
    return able.length ? this.pick(able) : undefined
  }

  #isPaused(process: Process): boolean {
    return process.pausedUntil > this.now
  }

  #isReady({ process, answer, notBefore, held }: Call): boolean {
    if (answer) return !this.#isPaused(process)
    return notBefore <= this.now && (!held || held.ready())
  }

  #soonest(): number {
    const calls = this.#calls.map(({ process, answer, notBefore, held }) => {
      if (answer) return process.pausedUntil
      return held ? Math.max(notBefore, held.at()) : notBefore
    })
    const timers = this.#timers.map(({ process, at }) => Math.max(at, process.pausedUntil))
    return Math.min(this.now + LONGEST_IDLE_MS, ...calls, ...timers)
  }

  #ring(timer: Timer): void {
    this.trace?.(`${timer.process.name}: a timer rings`)
    this.#timers.splice(this.#timers.indexOf(timer), 1)
    timer.resolve()
  }

  #advance(call: Call): void {
    const { method, process } = call
    if (!call.answer) {
      call.answer = this.#takeEffect(call)
      this.trace?.(`${process.name}: ${method}(${call.args.map(show).join(', ')}) ${show(call.answer)}`)
      this.effected?.(process, method)
      if (!process.dead && this.chance(0.4)) return
      this.trace?.(`${process.name}: ${method} is answered at once`)
    } else this.trace?.(`${process.name}: ${method} is answered`)
    this.#calls = this.#calls.filter((other) => other !== call)
    if (!process.dead) call.settle(call.answer)
  }

  /** The call takes effect wholly, in part or not at all. The answer can be an error that leaves this open. */
  #takeEffect({ method, effect, part, faults }: Call): Answer {
    const isOut = this.now < this.outageUntil && !faults.own
    const fails = this.fault(isOut ? 1 : faults.chance)
    try {
      if (!fails) return { value: effect() }
      if (!isOut && part && this.chance(0.4)) part()
      else if (!isOut && this.chance(0.5)) effect()
    } catch (error) {
      return { error }
    }
    return { error: new OverpoolError('UNAVAILABLE', `the schedule wants it so: ${method}`, { retryable: true }) }
  }
}

/** A process, which can be killed or paused, and whose clock can be wrong. */
export class Process {
  dead = false
  pausedUntil = 0
  /** the error of its clock, ms */
  skew = 0
  readonly clock: Clock
  readonly name: string

  constructor(name: string, scheduler: Scheduler) {
    this.name = name
    this.clock = {
      now: () => Math.floor(scheduler.now) + this.skew,
      elapsed: () => Math.floor(scheduler.now),
      sleep: (ms, signal) => scheduler.sleep(this, ms, signal),
    }
  }
}

function show(value: unknown): string {
  const text = JSON.stringify(value, function (this: Record<string, unknown>, key: string, part: unknown) {
    const whole = this[key] // a Buffer's toJSON has made a long list of it before it comes here
    if (whole instanceof Uint8Array) return `${whole.length} bytes`
    if (typeof part === 'bigint') return String(part)
    return whole instanceof Error ? whole.message : part
  })
  return text === undefined ? 'nothing' : text.slice(0, 300)
}
