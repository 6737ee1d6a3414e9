import { createHmac } from 'node:crypto'
import { OverpoolError } from '../../shared/errors.ts'

const PREFIX = 'whsec_'
/** Bytes of a secret. */
const [LEAST, MOST] = [24, 64]

/** The headers that sign a message. @param at ms since 1970 */
type Sign = (id: string, at: number, body: string) => Record<string, string>

/**
 * Signs messages as Standard Webhooks 1.0 has it: HMAC-SHA256 over id, time and body.
 * @param secrets one, or while it is replaced several, with spaces between: then a message has a signature of each
 * @param where the setting, for errors: they never repeat the secret
 * @throws OverpoolError BAD_CONFIG
 */
export function signer(secrets: string, where: string): Sign {
  const keys = secrets.split(/\s+/).map((secret) => keyOf(secret, where))
  return (id, at, body) => {
    const timestamp = String(Math.floor(at / 1_000))
    const signatures = keys.map((key) => `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`)
    return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') }
  }
}

function keyOf(secret: string, where: string): Buffer {
  const base64 = secret.slice(PREFIX.length)
  const key = Buffer.from(base64, 'base64')
  if (secret.startsWith(PREFIX) && key.toString('base64') === base64 && key.length >= LEAST && key.length <= MOST) return key
  throw new OverpoolError(
    'BAD_CONFIG',
    `${where}: a secret of Standard Webhooks is ${PREFIX} and ${LEAST} to ${MOST} random bytes in base64: \`echo ${PREFIX}$(openssl rand -base64 32)\` makes one`,
  )
}
