import { request } from 'node:http'
import type { Ack } from '../machine/machine.ts'

export interface Answer extends Ack {
  headers: Record<string, string | string[] | undefined>
  /** the reason phrase; a function URL has none */
  reason?: string
  text: string
}

/** Sends one request unchanged, with no headers but the given ones and those that HTTP needs. */
export function askAt(
  url: string,
  method: string,
  path: string,
  body: string | Uint8Array = '',
  headers: Record<string, string> = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const sent = request({ hostname, port, path, method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        const isJson = response.headers['content-type'] === 'application/json'
        const { statusCode, statusMessage, headers } = response
        resolve({ status: statusCode!, reason: statusMessage!, headers, text, body: text && isJson ? JSON.parse(text) : {} })
      })
    })
    sent.on('error', reject).end(body)
  })
}
