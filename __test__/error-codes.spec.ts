// Error codes that no other spec meets, each from where it really comes; and that none is left out.

import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { type AsyncEventHandler, connect, type NvmeDevice, RinglineBuilder, spawn } from 'ringline'
import * as words from '../dist/protocol.js'
import { allocAligned, FakePort, UdpSendError } from './fake-port.js'
import { handlerClass, testConfig } from './serving.js'

const root = fileURLToPath(new URL('../', import.meta.url))

/** Codes of failures that cannot be brought about here, and where their words are tested instead, if anywhere. */
const ELSEWHERE: Record<string, string> = {
  ERR_RINGLINE_DISABLED_BY_SYSCTL: 'crates/node/src/errors.rs',
  ERR_RINGLINE_KERNEL_TOO_OLD: 'crates/node/src/errors.rs',
  ERR_RINGLINE_OUT_OF_MEMORY: 'crates/node/src/errors.rs',
  ERR_RINGLINE_RING_SETUP: 'crates/node/src/errors.rs',
  ERR_RINGLINE_WORKER_FAILED: 'crates/node/src/errors.rs',
  // A host that is not Node.js, or a bug in it.
  ERR_RINGLINE_EXTERNAL_MEMORY: 'crates/node/src/external_memory.rs',
  ERR_RINGLINE_NODE_API: 'crates/node/src/errors.rs',
}

test('every code is met by a test', (t) => {
  const union = readFileSync(`${root}bindings/errors.ts`, 'utf8').matchAll(/^ {2}\| '(ERR_RINGLINE_[A-Z_]+)'$/gm)
  const codes = [...union].map(([, code = '']) => code)
  t.true(codes.length > 40)
  const specs = readdirSync(`${root}__test__`).filter((name) => name.endsWith('.spec.ts'))
  const texts = specs.map((name) =>
    readFileSync(`${root}__test__/${name}`, 'utf8').replaceAll(/^const ELSEWHERE[^}]*\}/gm, ''),
  )
  const unmet = codes.filter((code) => !(code in ELSEWHERE) && !texts.some((text) => text.includes(code)))
  t.deepEqual(unmet, [])
  for (const [code, path] of Object.entries(ELSEWHERE))
    t.true(readFileSync(`${root}${path}`, 'utf8').includes(code), code)
})

test.serial('a worker without a free slot refuses connections, and one without a free task place tasks', async (t) => {
  const config = testConfig().maxConnections(1).standaloneTaskCapacity(1)
  const server = await new RinglineBuilder(config.build())
    .bind('127.0.0.1:0')
    .launch(handlerClass({ onAccept: () => {}, onData: () => {} }))
  t.teardown(() => server.shutdown())
  const address = `127.0.0.1:${server.boundAddr.port}`
  const outcomes = await Promise.allSettled([connect(address), connect(address)])
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
  t.like(refused[0]?.reason, { code: 'ERR_RINGLINE_CONNECTION_LIMIT_REACHED' })
  t.regex(String(refused[0]?.reason), /raise maxConnections/)
  const task = spawn((signal) => new Promise((resolve) => signal.addEventListener('abort', resolve)))
  const tooMany = t.throws(() => spawn(() => {}), { code: 'ERR_RINGLINE_TASK_LIMIT_REACHED' })
  t.regex(String(tooMany), /raise standaloneTaskCapacity/)
  task.cancel()
})

test.serial('a core for the polling thread that is not there is refused by its number', async (t) => {
  const config = testConfig().sqpoll(true).sqpollCpu(4000).build()
  const launch = new RinglineBuilder(config).launch(handlerClass({}))
  await t.throwsAsync(launch, { code: 'ERR_RINGLINE_INVALID_CONFIG', message: /cpu is 4000/ })
})

test.serial('a process that may not open enough files is told which limit to raise', (t) => {
  const program = `
    import { RinglineBuilder, ConfigBuilder } from 'ringline'
    process.setuid(65534)
    const config = new ConfigBuilder().workers(1).pinToCore(false).build()
    await new RinglineBuilder(config).launch({ createForWorker: () => ({}) }).then(
      () => console.log('launched'),
      (error) => console.log(error.code, error.message),
    )
  `
  const node = [process.execPath, '--input-type=module', '--eval', program]
  const said = String(execFileSync('prlimit', ['--nofile=200:200', ...node], { cwd: root }))
  t.regex(said, /^ERR_RINGLINE_RESOURCE_LIMIT 16001 .*RLIMIT_NOFILE.*ulimit -n 16001/s)
})

test.serial('memory that may not be locked cannot be registered, and the error says what would help', (t) => {
  const program = `
    import { ConfigBuilder, MemoryRegion, RinglineBuilder } from 'ringline'
    process.setuid(65534)
    const region = MemoryRegion.allocate(1 << 20)
    const config = new ConfigBuilder().workers(1).pinToCore(false).maxConnections(16).registeredRegions([region]).build()
    await new RinglineBuilder(config).launch({ createForWorker: () => ({}) }).then(
      () => console.log('launched'),
      (error) => console.log(error.code, error.message),
    )
  `
  const node = [process.execPath, '--input-type=module', '--eval', program]
  const said = String(execFileSync('prlimit', ['--memlock=65536:65536', ...node], { cwd: root }))
  t.regex(said, /^ERR_RINGLINE_BUFFER_REGISTRATION .*(RLIMIT_MEMLOCK|ulimit -l)/s)
})

test('what an NVMe device, or its worker, refuses is told to the handler', async (t) => {
  const told: (string | undefined)[] = []
  const devices: NvmeDevice[] = []
  const handler: AsyncEventHandler = {
    onNvme(_driver, { device, error }) {
      told.push(error?.code)
      if (device !== undefined) devices.push(device)
    },
  }
  const nvme = { maxDevices: 1, maxCommandsInFlight: 1 }
  const port = new FakePort(handler as never, { storage: { sendSlabSlots: 1, directIo: undefined, nvme } })
  const { driver } = port.dispatcher
  driver.openNvmeDevice('/dev/ng0n1', 1)
  port.post(words.DEVICE_OPENED, 3, 9, 1, 512, 0, 1000, 0)
  driver.openNvmeDevice('/dev/ng0n2', 1)
  port.post(words.DEVICE_OPEN_FAILED, 0, 0, 2, 0, words.REFUSED_TOO_MANY_OPEN)
  await port.settle()
  t.deepEqual(told.splice(0), [undefined, 'ERR_RINGLINE_DEVICE_LIMIT_REACHED'])
  const device = devices[0] as never
  const buffer = allocAligned(512)
  driver.nvmeRead(device, 1000, 1, buffer)
  t.throws(() => driver.nvmeFlush(device), { code: 'ERR_RINGLINE_OPERATION_LIMIT_REACHED' })
  // LBA out of range.
  port.post(words.COMMAND_DONE, 0, 0, 0, 0, 5, 0, 0x80)
  await port.settle()
  t.deepEqual(told.splice(0), ['ERR_RINGLINE_NVME_STATUS'])
  t.throws(() => driver.nvmeWrite(device, 0, 0, buffer), {
    code: 'ERR_RINGLINE_INVALID_ARGUMENT',
    message: /numBlocks/,
  })
  driver.closeNvmeDevice(device)
  t.throws(() => driver.nvmeFlush(device), { code: 'ERR_RINGLINE_INVALID_DEVICE' })
})

test('datagrams for which the submission ring has no room are refused', (t) => {
  const port = new FakePort(
    { onDatagram: () => {} },
    { slots: 8192, udpAddrs: [{ address: '127.0.0.1', port: 1, family: 'IPv4' }] },
  )
  const udp = port.dispatcher.datagrams.sockets[0]!
  // Records of something else fill the ring, which nobody reads.
  for (let record = 0; record <= words.SUBMISSION_RING_RECORDS; record += 1) {
    port.dispatcher.port.submit(words.TIMER_CANCEL, 0, 0, record, 0, 0, 0)
  }
  t.throws(() => udp.sendTo('127.0.0.1:9', 'x'), {
    instanceOf: UdpSendError,
    code: 'ERR_RINGLINE_SUBMISSION_QUEUE_FULL',
  })
  port.take()
  port.dispatcher.port.publish()
  t.is(port.take().length, 1, 'what found no room has found it now')
})

test('every connection of a worker whose ring has lost completions is told why it ends', async (t) => {
  const EBADR = 53
  const closed: (Error & { code?: string })[] = []
  const port = new FakePort({ onAccept() {}, onData() {}, onClose: (_conn, error) => void closed.push(error!) })
  for (const slot of [0, 1]) port.accept(slot)
  port.post(words.STOPPED, 0, 0, EBADR)
  await port.settle()
  t.is(closed.length, 2)
  for (const error of closed) {
    t.is(error.code, 'ERR_RINGLINE_COMPLETIONS_LOST')
    t.regex(error.message, /had no memory.*sqEntries/)
  }
})
