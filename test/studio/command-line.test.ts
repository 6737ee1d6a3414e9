import { statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { sampleTransaction } from '../../shared/transaction/sample.ts'
import { poolKeys } from '../../sidecar/cores/core.ts'
import type { EntriesPage, NetworkPage, Overview, Said } from '../../studio/shapes.ts'
import { queueUrl } from '../aws/clients.ts'
import { Emulators, SEED } from '../aws/emulators.ts'
import { Project } from '../cli/project.ts'
import { awsPorts } from '../machine/aws-ports.ts'
import { knock, WRITES } from './machine.ts'

const ADDRESS = /http:\/\/127\.0\.0\.1:\d+\/_\/studio#token=[\w-]{32}/

/** Asks the studio at an address that the command line has printed. */
async function ask<T>(address: string, name: string, body?: object): Promise<T> {
  const { origin, hash } = new URL(address)
  const { status, text } = await knock(`${origin}/_/studio/api/${name}`, {
    ...(body && { method: 'POST', body: JSON.stringify(body) }),
    headers: { authorization: `Bearer ${hash.replace('#token=', '')}`, ...(body && WRITES) },
  })
  if (status !== 200) throw new Error(`${status} ${text}`)
  return JSON.parse(text) as T
}

describe('the studio at the command line', () => {
  it('is named by the start line, and by `overpool studio` beside the machine; a restart keeps the address', async () => {
    await using project = Project.template()
    const machine = await project.start(['--port', '0'])
    const [address] = ADDRESS.exec(machine.out)!
    expect(address).toContain(machine.url)
    expect(await ask<Overview>(address, 'overview')).toMatchObject({ isRunning: true, pools: [{ path: 'mypool' }] })
    const asked = await project.result('studio')
    expect(asked).toMatchObject({ code: 0, err: '', out: `${address}\n` })
    expect(JSON.parse((await project.result('--json', 'studio')).out)).toEqual({ url: address, served: 'by the machine' })
    expect(await machine.stop()).toBe(0)
    const again = await project.start(['--port', new URL(machine.url).port])
    expect(ADDRESS.exec(again.out)![0]).toBe(address)
    expect(statSync(join(project.dir, '.overpool', 'studio-token')).mode & 0o777).toBe(0o600)
    expect(await again.stop()).toBe(0)
  })

  it('is served by the command where no machine runs, and beside one that others reach or with --port', async () => {
    await using project = Project.template()
    const machine = await project.start(['--host', '0.0.0.0'])
    expect(machine.out).not.toMatch(ADDRESS)
    const beside = project.overpool(['studio'])
    const [address] = await beside.says(ADDRESS)
    expect(new URL(address).port).not.toBe(new URL(machine.url).port)
    expect(await ask<Said>(address, 'post', { pool: 'mypool', sample: true })).toMatchObject({ says: 'posted to mypool' })
    await machine.says(/^mypool #0 /m)
    expect(await beside.stop()).toBe(0)
    expect(await machine.stop()).toBe(0)

    const alone = project.overpool(['studio', '--port', '0'])
    const [other] = await alone.says(ADDRESS)
    expect(await ask<Overview>(other, 'overview')).toMatchObject({ isRunning: false, pools: [{ path: 'mypool', entries: 1 }] })
    expect(await ask<Said>(other, 'post', { pool: 'mypool', sample: true })).toMatchObject({
      says: 'posted to mypool; it enters the ledger when the machine is started',
    })
    expect((await knock(new URL('/mypool', other).href)).status).toBe(404)
    expect(await alone.stop('SIGTERM')).toBe(0)
  })

  it('says so when the port is taken, and when there is no machine', async () => {
    await using project = Project.template()
    const nothing = await project.result('studio')
    expect([nothing.code, nothing.err]).toEqual([1, expect.stringContaining('there is no machine in')])
    const machine = await project.start()
    const taken = await project.result('studio', '--port', new URL(machine.url).port)
    expect([taken.code, taken.err]).toEqual([1, expect.stringContaining('is taken by another program')])
  })

  it('shows a machine on AWS with the user’s own credentials', async () => {
    await using emulators = await Emulators.start()
    const { place } = emulators
    emulators.outputs = {
      Table: place.table,
      Bucket: place.bucket,
      IngressUrls: queueUrl(place, 'ingress'),
      BellsMain: `main ${queueUrl(place, 'tx-main.fifo')}`,
      Seed: 'the-seed',
    }
    const { stores, bells, close } = await awsPorts(place)
    await bells('main')
    const { key, discoveryKey } = poolKeys(Buffer.from(SEED, 'hex'), 'mypool')
    await stores.control.create({ kind: 'own', path: 'mypool', key, discoveryKey, createdAt: 0 })
    await stores.progress.writeCursor('main', 'mypool', { seq: -1, block: 0, attempts: 0 })
    await close()
    await using project = new Project()
    const env = {
      AWS_ENDPOINT_URL: place.endpoint,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_PROFILE: undefined,
    }
    const studio = project.overpool(['--stack', 'Overpool', 'studio'], { env })
    const [address] = await studio.says(ADDRESS)
    expect(await ask<Overview>(address, 'overview')).toMatchObject({
      isRunning: true,
      place: 'stack Overpool',
      pools: [{ path: 'mypool', key, entries: 0, handlers: [{ handler: 'main' }] }],
    })
    expect(await ask<Said>(address, 'post', { pool: 'mypool', transaction: sampleTransaction('to AWS') })).toMatchObject({
      says: 'posted to mypool',
    })
    expect((await ask<Overview>(address, 'overview')).ingress.waiting).toBe(1) // no sidecar runs here
    expect((await ask<EntriesPage>(address, 'entries?pool=mypool&from=0&to=9')).rows).toEqual([])
    expect((await ask<NetworkPage>(address, 'network')).ids).toHaveLength(1)
    expect(await studio.stop()).toBe(0)
  })
})
