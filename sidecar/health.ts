import { statSync } from 'node:fs'
import { join } from 'node:path'
import { readEnv } from '../shared/config/env.ts'
import { STALE_MS } from './heartbeat.ts'

// The container's health check. It exits with 1 unless the sidecar has touched its file lately.
const file = join(readEnv('health').WORK_DIR ?? '/work', 'alive')
const mtime = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
process.exitCode = Math.abs(Date.now() - mtime) < STALE_MS ? 0 : 1 // after the clock was set back, the time of an old file lies ahead
