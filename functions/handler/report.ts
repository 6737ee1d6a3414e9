/** What the runner has to say to whoever runs it. Stands alone, so that the package's types need none of Node's. */
export type RunnerReport =
  | { kind: 'failed'; handler: string; pool: string; seq: number; attempt: number; error: unknown }
  | { kind: 'given-up'; handler: string; pool: string; seq: number; error: unknown }
  | { kind: 'stopped'; handler: string; pool: string; seq: number; error: unknown }
  | { kind: 'bad-block'; handler: string; pool: string; n: number; error: unknown }
