// redis-cli talks to examples/redis-like.ts: the example is compiled as it stands and runs in a process of its own.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../', import.meta.url))

/** Compiles the examples, starts the server on a port that the system chooses and answers that port. */
async function serveExample(t: ExecutionContext): Promise<string> {
  await run(process.execPath, [`${root}node_modules/typescript/bin/tsc`, '-p', `${root}tsconfig.examples.json`])
  const child: ChildProcess = spawn(process.execPath, [`${root}dist-test/examples/redis-like.js`, '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => void child.kill('SIGKILL'))
  const [line] = (await once(child.stdout!, 'data')) as [Buffer]
  const port = /^listening on 127\.0\.0\.1:(\d+)\n$/.exec(String(line))?.[1]
  if (port === undefined) throw new Error(`the example has printed ${String(line)}`)
  return port
}

test.serial('redis-cli speaks to the example: PING, SET, GET, INCR, pipes and mistakes', async (t) => {
  const port = await serveExample(t)
  const cli = async (...words: string[]) => (await run('redis-cli', ['-p', port, ...words])).stdout
  t.is(await cli('PING'), 'PONG\n')
  t.is(await cli('SET', 'key', 'a value with spaces, \r\n and ünïcode'), 'OK\n')
  t.is(await cli('GET', 'key'), 'a value with spaces, \r\n and ünïcode\n')
  t.is(await cli('GET', 'absent'), '\n')
  t.is(await cli('INCR', 'count'), '1\n')
  t.is(await cli('-r', '1000', 'INCR', 'count').then((text) => text.trimEnd().split('\n').at(-1)), '1001')
  t.regex(await cli('INCR', 'key'), /^ERR value is not an integer/)
  t.regex(await cli('SET', 'key'), /^ERR wrong number of arguments/)
  t.regex(await cli('NO\r\nSUCH'), /^ERR unknown command/)
  t.is(await cli('PING'), 'PONG\n', 'a mistake has ended the server, or left bytes that answer the next command')
})

test.serial('a value of 4 MiB goes through redis-cli whole', async (t) => {
  const port = await serveExample(t)
  const value = readFileSync(process.execPath).toString('hex', 0, 2 * 1024 * 1024)
  const set = run('redis-cli', ['-p', port, '-x', 'SET', 'large'])
  set.child.stdin?.end(value)
  t.is((await set).stdout, 'OK\n')
  const got = await run('redis-cli', ['-p', port, 'GET', 'large'], { maxBuffer: 8 * 1024 * 1024 })
  t.true(got.stdout === `${value}\n`, `${got.stdout.length} bytes came back`)
})

test.serial('redis-benchmark runs against the example, typed lines and pipelines of 16 included', async (t) => {
  const port = await serveExample(t)
  const options = ['-p', port, '-n', '2000', '-c', '20', '--csv', '-t', 'ping,set,get,incr']
  for (const pipeline of ['1', '16']) {
    const { stdout } = await run('redis-benchmark', [...options, '-P', pipeline], { timeout: 60_000 })
    const rates = [...stdout.matchAll(/^"(PING_INLINE|PING_MBULK|SET|GET|INCR)","([\d.]+)"/gm)]
    t.is(rates.length, 5, stdout)
    for (const [, name, rate] of rates) t.true(Number(rate) > 0, `${name}: ${rate}`)
  }
})

test.serial('commands that come together, one of them in two pieces, are answered in their order', async (t) => {
  const socket = connect(Number(await serveExample(t)), '127.0.0.1')
  t.teardown(() => void socket.destroy())
  const answers = text(socket)
  socket.write('PING\r\nset key 1\r\n*2\r\n$4\r\nINCR\r\n$3\r\nk')
  await once(socket, 'data')
  socket.end('ey\r\nGET key\r\nNO\r\n')
  t.is(await answers, '+PONG\r\n+OK\r\n:2\r\n$1\r\n2\r\n-ERR unknown command\r\n')
})
