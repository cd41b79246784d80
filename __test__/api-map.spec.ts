// The map of the API in docs/api-map.md: every name it has is there, every test it names exists, and nothing of the surface is left out.
// The end-to-end tests below the map are of names that no other spec uses from outside.

import { readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import * as ringline from 'ringline'
import {
  Deadline,
  Elapsed,
  ParseResult,
  requestShutdown,
  type SleepFuture,
  sleep,
  spawn,
  TimerExhausted,
  trySleepUntil,
  tryTimeoutAt,
} from 'ringline'
import { dial, handlerClass, readAll, serve, testConfig, until } from './serving.js'

/** Every item of the API that the runtime promises, by its Rust name. Rows may be added to the map; none of these may go. */
const PROMISED = {
  Structs: `AsyncSendBuilder ConnCtx ConnectFuture Deadline DiskIoFuture Elapsed Join Join3 MemoryRegion RecvReadyFuture RegionId
    RinglineBuilder Select Select3 SendFuture ShutdownHandle SleepFuture TaskId TimeoutFuture UdpCtx UdpRecvFuture WithBytesFuture
    WithDataFuture`,
  Enums: 'Either Either3 ParseResult',
  Constants: 'MAX_GUARDS MAX_IOVECS',
  Traits: 'AsyncEventHandler',
  Functions: `connect connect_with_timeout direct_io_read direct_io_write join join3 nvme_read nvme_write open_direct_io_file
    open_nvme_device request_shutdown select select3 sleep sleep_until spawn timeout timeout_at try_sleep try_sleep_until try_timeout
    try_timeout_at`,
  'Re-exports': `ConnToken DriverCtx SendPart UdpToken TimerExhausted UdpSendError Config ConfigBuilder RecvBufferConfig WorkerConfig
    DirectIoCompletion DirectIoConfig DirectIoFile DirectIoOp Error GuardBox SendGuard NvmeCompletion NvmeConfig NvmeDevice`,
  Modules: 'config direct_io error guard handler nvme',
}

interface Row {
  readonly section: string
  readonly rust: string
  readonly typescript: string[]
  readonly tests: string[]
}

const root = new URL('../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')
const declarations = read('index.d.ts')
const rows = parse(read('docs/api-map.md'))

/** The rows of every table of the page. */
function parse(page: string): Row[] {
  const found: Row[] = []
  let section = ''
  for (const line of page.split('\n')) {
    const heading = /^#{2,3} (.*)$/.exec(line)
    if (heading) section = heading[1] ?? ''
    if (!line.startsWith('| `')) continue
    const [rust = '', typescript = '', ...tests] = line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim())
    const names = [...typescript.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)
    found.push({ section, rust: rust.replaceAll('`', ''), typescript: names, tests })
  }
  return found
}

/** What index.d.ts declares of an exported name: for classes, interfaces and objects everything between their braces. */
function declarationsOf(name: string): string[] {
  const start = new RegExp(`^ *export declare (?:class|interface|type|const|function) ${name}\\b.*$`, 'gm')
  return [...declarations.matchAll(start)].map(({ 0: line, index }) => {
    if (!line.endsWith('{')) return line
    const indent = line.length - line.trimStart().length
    return declarations.slice(index, declarations.indexOf(`\n${' '.repeat(indent)}}`, index))
  })
}

function isDeclared(name: string): boolean {
  const [owner = '', member] = name.split('.')
  const found = declarationsOf(owner)
  if (member === undefined) return found.length > 0
  const pattern = new RegExp(`^ +(?:static |readonly |get )*${member}[?]?[(:<;]`, 'm')
  return found.some((text) => pattern.test(text))
}

/** Whether the built package has it. Types have no value, and fields no place on a prototype: those are left to the declarations. */
function isBuilt(name: string): boolean {
  const [owner = '', member] = name.split('.')
  const declared = declarationsOf(owner)
  if (!declared.some((text) => /^ *export declare (class|const|function)/.test(text))) return true
  const value: unknown = (ringline as Record<string, unknown>)[owner]
  if (value === undefined) return false
  const callable = new RegExp(`^ +(?:static )?(?:get )?${member}\\(`, 'm')
  const isField = !declared.some((text) => callable.test(text))
  if (member === undefined || member === 'constructor') return true
  if (typeof value !== 'function') return member in Object(value)
  return isField || member in value || member in value.prototype
}

const words = (text: string): string[] => text.split(/\s+/)
const items = rows.filter(({ section }) => section !== 'Members')

test('every promised item has a row, in its section', (t) => {
  for (const [section, names] of Object.entries(PROMISED)) {
    const there = rows.filter((row) => row.section === section).map(({ rust }) => rust)
    t.deepEqual(there.toSorted(), words(names).toSorted(), section)
  }
})

test('every class is called by its name, also where an error or a setting is shown', (t) => {
  const classes = Object.entries(ringline).filter(([, value]) => /^class\b/.test(String(value)))
  t.true(classes.length > 15)
  for (const [name, value] of classes) t.is((value as { name: string }).name, name)
  const error = t.throws(() => new ringline.Config({ backlog: 0 }))
  t.regex(inspect(error), /^RinglineError: /)
})

test('every TypeScript name of the map is declared, and is in the built package', (t) => {
  const names = rows.flatMap(({ typescript }) => typescript)
  t.true(names.length > 200, 'the page was read')
  t.deepEqual(
    names.filter((name) => !isDeclared(name)),
    [],
    'not in index.d.ts',
  )
  t.deepEqual(
    names.filter((name) => !isBuilt(name)),
    [],
    'not in the built package',
  )
})

test('the checks see a name that is not there', (t) => {
  t.false(isDeclared('NoSuchClass'))
  t.false(isDeclared('ConnCtx.noSuchMethod'))
  t.false(isDeclared('Config.withData'))
  t.true(isDeclared('ConnCtx.withData'))
  t.true(isBuilt('ConnCtx.withData'))
})

test('every Rust name has a TypeScript name', (t) => {
  const missing = rows.filter(({ typescript }) => typescript.length === 0).map(({ rust }) => rust)
  t.deepEqual(missing, [])
})

test('every value that the package exports is in the map', (t) => {
  const beyond = words(`NvmeOp allocAligned allocGuard directIoFsync nvmeFlush version`)
  const mapped = new Set(rows.flatMap(({ typescript }) => typescript.map((name) => name.split('.')[0])))
  t.deepEqual(
    Object.keys(ringline).filter((name) => !mapped.has(name)),
    beyond.toSorted(),
  )
})

test('every test that the map names exists in its file', (t) => {
  const wrong: string[] = []
  for (const cell of items.flatMap(({ tests }) => tests)) {
    if (cell === 'missing') continue
    const [, path, name = ''] = /^\[`[^`]+`\]\(\.\.\/(\S+)\) `([^`]+)`$/.exec(cell) ?? []
    if (path === undefined || !isTest(path, name)) wrong.push(cell)
  }
  t.deepEqual(wrong, [])
  t.true(items.every(({ tests }) => tests.length === 2 && tests[0] !== 'missing'))
  const untested = items.filter(({ tests }) => tests[1] === 'missing').map(({ rust }) => rust)
  t.deepEqual(untested, [])
})

test('the names of futures are what the calls answer', (t) => {
  const { ConnCtx, RinglineBuilder, UdpCtx } = ringline
  const calls = [
    ringline.connect satisfies (address: string) => ringline.ConnectFuture,
    ConnCtx.prototype.send satisfies (data: string) => ringline.SendFuture,
    ConnCtx.prototype.withData satisfies (parse: ringline.ParseFunction) => ringline.WithDataFuture,
    ConnCtx.prototype.withBytes satisfies (parse: ringline.ParseFunction) => ringline.WithBytesFuture,
    ConnCtx.prototype.recvReady satisfies () => ringline.RecvReadyFuture,
    UdpCtx.prototype.recvFrom satisfies () => ringline.UdpRecvFuture,
    RinglineBuilder.prototype.launch satisfies (url: URL) => Promise<ringline.ShutdownHandle>,
    ringline.directIoRead satisfies (f: ringline.DirectIoFile, offset: number, into: Buffer) => ringline.DiskIoFuture,
    sleep satisfies (ms: number) => SleepFuture,
    ringline.timeout satisfies <T>(ms: number, task: ringline.Cancelable<T>) => ringline.TimeoutFuture<T>,
    ringline.join satisfies <A, B>(a: ringline.Cancelable<A>, b: ringline.Cancelable<B>) => ringline.Join<A, B>,
    ringline.select satisfies <A, B>(a: ringline.Cancelable<A>, b: ringline.Cancelable<B>) => ringline.Select<A, B>,
    ringline.allocGuard satisfies (bytes: number) => ringline.SendGuard & ringline.GuardBox,
    ringline.MemoryRegion.allocate satisfies (bytes: number) => ringline.RegionId,
  ]
  t.true(calls.every((call) => typeof call === 'function'))
})

function isTest(path: string, name: string): boolean {
  const source = read(path)
  const escaped = name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
  const pattern = path.endsWith('.rs')
    ? `#\\[test\\]\\s+(?:#\\[.*\\]\\s+)?fn ${escaped}\\(`
    : `^test(?:\\.serial)?\\(\\s*['"\`]${escaped}['"\`],`
  return new RegExp(pattern, 'm').test(source)
}

/** A runtime that listens nowhere. */
async function runtime(t: ExecutionContext, config = testConfig()): Promise<ringline.Server> {
  const server = await new ringline.RinglineBuilder(config.build()).launch(handlerClass({}))
  t.teardown(() => server.shutdown())
  return server
}

test.serial('spawn runs a task on a worker, and TaskId.cancel aborts it', async (t) => {
  await runtime(t)
  const told: string[] = []
  const id = spawn(async (signal) => {
    told.push('begun')
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    told.push('aborted')
  })
  await until(() => told.length === 1)
  id.cancel()
  id.cancel()
  await until(() => told.length === 2)
  t.deepEqual(told, ['begun', 'aborted'])
})

test.serial('withBytes shows bytes that may be kept', async (t) => {
  const kept: Buffer[] = []
  const server = await serve(t, {
    async onAccept(conn) {
      const keep = (bytes: Buffer): ParseResult => {
        if (bytes.length < 4) return ParseResult.NeedMore
        kept.push(bytes.subarray(0, 4))
        return ParseResult.Consumed(4)
      }
      while ((await conn.withBytes(keep)) > 0) conn.sendNowait('.')
    },
  })
  const socket = await dial(t, server)
  for (const part of ['on', 'e two', 'three.']) socket.write(part)
  socket.end('four')
  t.is((await readAll(socket)).toString(), '....')
  t.is(kept.map(String).join('|'), 'one |twot|hree|.fou')
})

test.serial('the try forms with a deadline wait for it and bound a task', async (t) => {
  await runtime(t, testConfig().timerSlots(1))
  const deadline = Deadline.after(20)
  const sleeping: SleepFuture = trySleepUntil(deadline)
  t.throws(() => trySleepUntil(deadline), { instanceOf: TimerExhausted })
  t.throws(() => tryTimeoutAt(deadline, () => 1), { instanceOf: TimerExhausted })
  await sleeping
  t.is(deadline.remaining(), 0)
  t.is(await tryTimeoutAt(Deadline.after(10_000), () => 'in time'), 'in time')
  const never = tryTimeoutAt(Deadline.after(1), () => new Promise(() => {}))
  await t.throwsAsync(never, { instanceOf: Elapsed })
  await sleep(0)
})

test.serial('requestShutdown ends the runtime that was launched last', async (t) => {
  const server = await runtime(t)
  requestShutdown()
  await t.notThrowsAsync(server.closed)
})
