// The examples of zero-copy sends and of direct I/O, run as their readers run them.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { readBytes } from './serving.js'

const root = fileURLToPath(new URL('..', import.meta.url))

test.before(() => {
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.examples.json'], { cwd: root })
})

/** Starts an example and connects to the address that it prints. */
async function run(t: ExecutionContext, name: string, args: string[]): Promise<Socket> {
  const path = join(root, 'dist-test/examples', `${name}.js`)
  const child: ChildProcess = spawn(process.execPath, [path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => void child.kill('SIGKILL'))
  const [line] = (await once(createInterface({ input: child.stdout! }), 'line')) as [string]
  const port = Number(/:(\d+)$/.exec(line)?.[1])
  const socket = connect({ host: '127.0.0.1', port })
  t.teardown(() => void socket.destroy())
  await once(socket, 'connect')
  return socket
}

async function ask(socket: Socket, request: string | Buffer, length: number): Promise<Buffer> {
  const answer = readBytes(socket, length)
  socket.write(request)
  return await answer
}

test.serial('cache-with-zero-copy answers what was stored, large values too', async (t) => {
  const socket = await run(t, 'cache-with-zero-copy', ['0'])
  for (const length of [1, 5000, 1_000_000]) {
    const value = Buffer.alloc(length, length & 255)
    const set = Buffer.concat([Buffer.from(`SET key ${length}\r\n`), value])
    t.is(String(await ask(socket, set, 5)), '+OK\r\n')
    const expected = Buffer.concat([Buffer.from(`$${length}\r\n`), value, Buffer.from('\r\n')])
    t.true(expected.equals(await ask(socket, 'GET key\r\n', expected.length)))
  }
  t.is(String(await ask(socket, 'GET other\r\n', 5)), '$-1\r\n')
})

test.serial('file-server sends files whole, whatever their length', async (t) => {
  const directory = mkdtempSync(fileURLToPath(new URL('./served-', import.meta.url)))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const socket = await run(t, 'file-server', [directory, '0'])
  for (const length of [1, 4096, 3_000_001]) {
    const content = Buffer.alloc(length).map((_, at) => (at * 13) & 255)
    writeFileSync(join(directory, `file-${length}`), content)
    const expected = Buffer.concat([Buffer.from(`OK ${length}\r\n`), content])
    t.true(expected.equals(await ask(socket, `GET /file-${length}\r\n`, expected.length)))
  }
  t.is(String(await ask(socket, 'GET /missing\r\n', 14)), 'ERROR ENOENT\r\n')
})
