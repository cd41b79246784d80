// How a process with a server ends: by itself, by exit, by a signal, by an uncaught error; and threads that are terminated.

import { connect } from 'node:net'
import test from 'ava'
import { ending, start, until } from './serving.js'

/** Rounds of what is tried again and again; `npm run test:long` asks for 1,000. */
const rounds = process.env['RINGLINE_TEST_ROUNDS'] ?? '150'

/** Starts the fixture and waits for its port. */
async function listening(t: Parameters<typeof start>[0], how: string) {
  const child = start(t, 'lifetime', [how])
  let text = ''
  child.stdout?.on('data', (chunk) => {
    text += String(chunk)
  })
  await until(() => text.includes('\n'))
  return { child, port: Number(text) }
}

test.serial('a process that only imports the package ends by itself', async (t) => {
  const { code, output } = await ending(start(t, 'lifetime', ['import']))
  t.is(code, 0)
  t.is(output, 'imported\n')
})

test.serial('j13 a server keeps the process alive', async (t) => {
  for (const how of ['run', 'unref-ref']) {
    const { child, port } = await listening(t, how)
    const socket = connect(port, '127.0.0.1')
    socket.write('alive?')
    await new Promise((resolve) => socket.once('data', resolve))
    t.is(child.exitCode, null)
    socket.destroy()
    child.kill('SIGKILL')
    await ending(child)
  }
})

test.serial('j13 after unref() the process ends when nothing else keeps it', async (t) => {
  const { code, signal } = await ending(start(t, 'lifetime', ['unref']))
  t.deepEqual([code, signal], [0, null])
})

test.serial('a server that is unreferenced handles more than a batch without waiting for another event', async (t) => {
  // Three records each: more than one batch.
  const connections = 1000
  const child = start(t, 'unreferenced', [String(connections)])
  let text = ''
  child.stdout?.on('data', (chunk) => {
    text += String(chunk)
  })
  await until(() => text.includes('\n'))
  const sockets = Array.from({ length: connections }, () => connect(Number(text), '127.0.0.1'))
  await until(() => /all|long/.test(text))
  t.false(text.includes('long'), text)
  for (const socket of sockets) socket.destroy()
  child.kill('SIGKILL')
  await ending(child)
})

// Node 24 aborts at the exit of a process that holds external memory with a detach key of its own.
test.serial('a process that has received bytes ends by itself with code 0', async (t) => {
  const child = start(t, 'received')
  const { code, signal, output } = await ending(child)
  t.deepEqual([code, signal], [0, null], output)
  t.is(output, 'received ping\n')
})

for (const [how, expected] of [
  ['exit', [7, null]],
  ['throw', [1, null]],
  ['SIGTERM', [null, 'SIGTERM']],
] as const) {
  test.serial(`j5 ${how} amid traffic ends the process with the right code within 500 ms`, async (t) => {
    const { child, port } = await listening(t, how)
    const end = ending(child)
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.resume()
    socket.write('x'.repeat(100_000))
    if (how === 'SIGTERM') {
      await new Promise((resolve) => socket.once('data', resolve))
      child.kill('SIGTERM')
    }
    const { code, signal, milliseconds } = await end
    t.deepEqual([code, signal], [...expected])
    t.true(milliseconds < 500, `${milliseconds} ms`)
  })
}

for (const [how, messages, flags, collections] of [
  ['often', rounds, [], /, (?:[5-9]|\d{2,}) collections\n$/],
  // More data would make V8 collect because of memory outside of its heap.
  ['never', '3', ['--min-semi-space-size=256', '--max-semi-space-size=256'], /, 0 collections\n$/],
] as const) {
  test.serial(`j6 every byte is right when garbage is collected ${how}`, async (t) => {
    const { code, signal, output } = await ending(start(t, 'collection', [how, messages], { flags: [...flags] }))
    t.deepEqual([code, signal], [0, null], output)
    t.regex(output, /^verified \d{7,} bytes/)
    t.regex(output, collections)
  })
}

test.serial('j4 worker.terminate() amid traffic, again and again, never crashes', async (t) => {
  const { code, signal, output } = await ending(start(t, 'lifetime', ['terminate', rounds]))
  t.deepEqual([code, signal], [0, null], output)
  t.is(output, `terminated ${rounds}\n`)
})

for (const where of ['main', 'worker']) {
  test.serial(
    `d8 servers that have ended hold no descriptor although their objects are kept: ${where} thread`,
    async (t) => {
      const { code, signal, output } = await ending(start(t, 'relaunching', ['1000', where]))
      t.deepEqual([code, signal], [0, null], output)
      t.is(output, '1000 servers, 0 descriptors\n')
    },
  )
}

test.serial('j12 16 threads start and end servers in random order', async (t) => {
  const { code, signal, output } = await ending(start(t, 'many-threads', [rounds]))
  t.deepEqual([code, signal], [0, null], output)
  t.regex(output, /^ended \d+\n$/)
})
