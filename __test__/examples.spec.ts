// Each example is run as its users run it: as a process of its own, with clients that are not ours.

import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type Server, Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { ending, readAll } from './serving.js'

/** Starts an example on a port of the system's choice and answers that port, once it listens. */
async function run(t: ExecutionContext, example: string, ...args: string[]): Promise<[number, ChildProcess]> {
  const path = fileURLToPath(new URL(`./examples/${example}.js`, import.meta.url))
  const child = spawn(process.execPath, [path, '0', ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => void child.kill('SIGKILL'))
  const [line] = (await Promise.race([once(child.stdout!, 'data'), once(child, 'exit')])) as [Buffer | number]
  const port = /^listening on 127\.0\.0\.1:(\d+)/.exec(String(line))?.[1]
  if (port === undefined) throw new Error(`the example says ${String(line)}`)
  return [Number(port), child]
}

/** Ends an example as Ctrl-C does. */
async function stop(t: ExecutionContext, child: ChildProcess): Promise<void> {
  child.kill('SIGINT')
  const { code, signal, output } = await ending(child)
  t.deepEqual([code, signal], [0, null], output)
}

async function dial(t: ExecutionContext, port: number): Promise<Socket> {
  const socket = new Socket({ allowHalfOpen: true }).connect(port, '127.0.0.1')
  t.teardown(() => void socket.destroy())
  await once(socket, 'connect')
  return socket
}

test('every example is shorter than 100 lines, redis-like than 61, and run by a test', (t) => {
  const here = fileURLToPath(new URL('..', import.meta.url))
  const specs = ['examples', 'storage-examples', 'redis'].map((name) =>
    readFileSync(`${here}__test__/${name}.spec.ts`, 'utf8'),
  )
  const examples = readdirSync(`${here}examples`)
  t.is(examples.length, 7)
  for (const example of examples) {
    const lines = readFileSync(`${here}examples/${example}`, 'utf8').trimEnd().split('\n').length
    t.true(lines < (example === 'redis-like.ts' ? 61 : 100), `${example} has ${lines} lines`)
    const name = example.replace('.ts', '')
    t.true(
      specs.some((spec) => spec.includes(`run(t, '${name}'`) || spec.includes(`/${name}.js`)),
      name,
    )
  }
})

test.serial('echo sends everything back to clients that write much before they read', async (t) => {
  const [port, child] = await run(t, 'echo')
  const data = Buffer.alloc(8 * 1024 * 1024, 'echoed ')
  const answers = [1, 2, 3].map(async () => {
    const socket = await dial(t, port)
    const answer = readAll(socket)
    socket.end(data)
    return await answer
  })
  for (const answer of await Promise.all(answers)) t.true(answer.equals(data))
  await stop(t, child)
})

test.serial('udp-dns-like answers a resolver', async (t) => {
  const [port, child] = await run(t, 'udp-dns-like')
  const resolver = new Resolver({ timeout: 2000, tries: 3 })
  resolver.setServers([`127.0.0.1:${port}`])
  t.deepEqual(await resolver.resolve4('one.example'), ['192.0.2.1'])
  t.deepEqual(await resolver.resolve4('TWO.example'), ['192.0.2.2'])
  await t.throwsAsync(resolver.resolve4('three.example'), { code: 'ENOTFOUND' })
  await t.throwsAsync(resolver.resolve6('one.example'), { code: 'ENODATA' })
  // What is no question is not answered, and harms nobody.
  const socket = createSocket('udp4')
  t.teardown(() => socket.close())
  for (const size of [0, 1, 12, 13, 600]) socket.send(Buffer.alloc(size, 0x3f), port, '127.0.0.1')
  t.deepEqual(await resolver.resolve4('one.example'), ['192.0.2.1'])
  await stop(t, child)
})

test.serial('ticker ticks at a steady pace and ends when its client says something', async (t) => {
  const [port, child] = await run(t, 'ticker', '20')
  const socket = await dial(t, port)
  const started = performance.now()
  const lines: string[] = []
  for await (const line of createInterface(socket)) if (lines.push(line) === 10) break
  // Ten ticks take ten periods, however late some of them were.
  t.true(performance.now() - started > 150)
  t.deepEqual(
    lines.map((line) => line.split(' ')[1]),
    Array.from({ length: 10 }, (_, index) => String(index + 1)),
  )
  const rest = readAll(socket)
  // Who reads lines pauses the socket when it has enough of them.
  socket.resume()
  socket.write('enough')
  await rest
  await stop(t, child)
})

test.serial('tcp-proxy passes bytes and half-closes on, both ways', async (t) => {
  const upstream: Server = createServer({ allowHalfOpen: true }, async (socket) => {
    const request = await readAll(socket)
    socket.end(Buffer.concat([Buffer.from(`${request.length}:`), request]))
  }).listen(0, '127.0.0.1')
  t.teardown(() => void upstream.close())
  await once(upstream, 'listening')
  const { port: upstreamPort } = upstream.address() as { port: number }
  const [port, child] = await run(t, 'tcp-proxy', `127.0.0.1:${upstreamPort}`)
  const data = Buffer.alloc(4 * 1024 * 1024, 'proxied ')
  const answers = [1, 2, 3].map(async () => {
    const socket = await dial(t, port)
    const answer = readAll(socket)
    socket.end(data)
    return await answer
  })
  for (const answer of await Promise.all(answers))
    t.true(answer.equals(Buffer.concat([Buffer.from(`${data.length}:`), data])))
  await stop(t, child)
})

test.serial('tcp-proxy closes its client when the server is not there', async (t) => {
  const [port, child] = await run(t, 'tcp-proxy', '127.0.0.1:1')
  const socket = await dial(t, port)
  t.is((await readAll(socket)).length, 0)
  await stop(t, child)
})
