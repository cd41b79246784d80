// Promises that a program has started and dropped when it ends its server.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { ending, start } from './serving.js'
import { blackHole } from './silent-peer.js'

/** What the fixture says of promises with which this is done. */
async function outcome(t: ExecutionContext, how: string): Promise<string> {
  const directory = mkdtempSync(fileURLToPath(new URL('./dropped-', import.meta.url)))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'file')
  writeFileSync(path, Buffer.alloc(1 << 20))
  const { address, port } = await blackHole(t)
  const { code, signal, output } = await ending(start(t, 'dropping', [how, path, `${address}:${port}`]))
  t.deepEqual([code, signal], [0, null], output)
  return output
}

test('promises that were dropped do not end the process when their server ends', async (t) => {
  t.is(await outcome(t, 'dropped'), 'unhandled [], handled []\n')
})

test('who awaits such a promise is told, whatever it was about', async (t) => {
  const output = await outcome(t, 'awaited')
  t.regex(output, /^unhandled \[\], /)
  // Nine sleeps and connects, the datagram, and whichever sends and operations of the disk have not ended in time.
  const stopped = output.match(/"ERR_RINGLINE_WORKER_STOPPED"/g) ?? []
  t.true(stopped.length >= 10, output)
})

test('an async function of the program that is dropped is as loud as ever', async (t) => {
  t.is(await outcome(t, 'derived'), 'unhandled ["ERR_RINGLINE_WORKER_STOPPED"], handled []\n')
})
