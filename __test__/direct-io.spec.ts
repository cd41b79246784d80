// Files past the page cache: what is written is read back, results stay with who asked, and mistakes are told in words. The files lie
// beside this test, because a file system in memory may take no direct I/O.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import {
  type AsyncEventHandler,
  allocAligned,
  type DirectIoCompletion,
  type DirectIoConfig,
  type DriverCtx,
  directIoFsync,
  directIoRead,
  directIoWrite,
  openDirectIoFile,
  openNvmeDevice,
  RinglineBuilder,
  sleep,
} from 'ringline'
import { handlerClass, holdings, testConfig, until, untilReleased } from './serving.js'

const BLOCK = 4096

function directory(t: ExecutionContext): string {
  const path = mkdtempSync(fileURLToPath(new URL('./direct-io-', import.meta.url)))
  t.teardown(() => rmSync(path, { recursive: true }))
  return path
}

async function runtime(t: ExecutionContext, limits: Partial<DirectIoConfig> = {}, handler: object = {}) {
  const server = await new RinglineBuilder(testConfig().directIo(limits).build()).launch(handlerClass(handler))
  t.teardown(() => server.shutdown())
  return server
}

test.serial('what is written is there for others, and is read back', async (t) => {
  await runtime(t)
  const path = join(directory(t), 'data')
  await using file = await openDirectIoFile(path, { create: true })
  t.true(file.blockSize >= 512)
  const written = allocAligned(8 * BLOCK)
  for (let at = 0; at < written.length; at += 1) written[at] = (at * 7) & 255
  t.is(await directIoWrite(file, BLOCK, written), written.length)
  await directIoFsync(file)
  t.deepEqual(readFileSync(path).subarray(BLOCK), Buffer.from(written))
  const read = allocAligned(16 * BLOCK)
  t.is(await directIoRead(file, BLOCK, read.subarray(BLOCK)), written.length)
  t.deepEqual(Buffer.from(read.subarray(BLOCK, 9 * BLOCK)), Buffer.from(written))
  t.is(await file.read(64 * BLOCK, read), 0)
})

test.serial('f4 many reads in flight end in any order, and none gets the bytes of another', async (t) => {
  await runtime(t)
  const path = join(directory(t), 'blocks')
  const blocks = 512
  const content = Buffer.alloc(blocks * BLOCK)
  for (let block = 0; block < blocks; block += 1) content.fill(block & 255, block * BLOCK, (block + 1) * BLOCK)
  for (let block = 0; block < blocks; block += 1) content.writeUInt32LE(block, block * BLOCK)
  writeFileSync(path, content)
  await using file = await openDirectIoFile(path, { readOnly: true })
  const read = async (seed: number): Promise<void> => {
    const buffer = allocAligned(4 * BLOCK)
    for (let round = 0; round < 30; round += 1) {
      const block = (seed * 97 + round * 53) % (blocks - 4)
      const count = 1 + ((seed + round) % 4)
      const target = buffer.subarray(0, count * BLOCK)
      t.is(await file.read(block * BLOCK, target), count * BLOCK)
      for (let at = 0; at < count; at += 1) t.is(target.readUInt32LE(at * BLOCK), block + at)
    }
  }
  await Promise.all(Array.from({ length: 64 }, (_, seed) => read(seed)))
})

test.serial('a worker that polls busily reads the same bytes and lets other events come', async (t) => {
  await runtime(t, { busyPollUs: 10_000 })
  const path = join(directory(t), 'busy')
  writeFileSync(path, Buffer.alloc(4 * BLOCK, 5))
  await using file = await openDirectIoFile(path, { readOnly: true })
  const buffer = allocAligned(BLOCK)
  let ticks = 0
  const timer = setInterval(() => {
    ticks += 1
  }, 1)
  t.teardown(() => clearInterval(timer))
  let slept = false
  void sleep(2).then(() => {
    slept = true
  })
  let reads = 0
  for (; reads < 100_000 && (ticks < 5 || !slept); reads += 1) {
    buffer.fill(0)
    t.is(await file.read((reads % 4) * BLOCK, buffer), BLOCK)
    if (buffer[BLOCK - 1] !== 5) t.fail(`read ${reads} brought other bytes`)
  }
  t.true(ticks >= 5 && slept, `${ticks} ticks in ${reads} reads, slept: ${slept}`)
})

test.serial('f5 reads whose promise and buffer nobody keeps do no harm', async (t) => {
  await runtime(t, { maxCommandsInFlight: 1024 })
  const path = join(directory(t), 'dropped')
  writeFileSync(path, Buffer.alloc(64 * BLOCK, 9))
  const file = await openDirectIoFile(path)
  for (let round = 0; round < 200; round += 1) {
    const controller = new AbortController()
    // The kernel knows the memory from its second use on.
    const buffer = allocAligned(16 * BLOCK)
    const dropped = Array.from({ length: 3 }, () => file.read(0, buffer, { signal: controller.signal }))
    controller.abort()
    for (const read of dropped) await t.throwsAsync(read, { any: true, name: 'AbortError' })
  }
  const buffer = allocAligned(BLOCK)
  t.is(await file.read(0, buffer), BLOCK)
  t.is(buffer[BLOCK - 1], 9)
  await file.close()
  await file.close()
  await t.throwsAsync(file.read(0, buffer), { code: 'ERR_RINGLINE_INVALID_FILE' })
})

test.serial('what is not aligned is named with its value and the block size', async (t) => {
  await runtime(t)
  const path = join(directory(t), 'aligned')
  await using file = await openDirectIoFile(path, { create: true })
  const buffer = allocAligned(2 * BLOCK)
  const code = 'ERR_RINGLINE_MISALIGNED'
  await t.throwsAsync(file.read(1, buffer), { code, message: /^the offset, 1, is not a multiple of .* \d+$/ })
  await t.throwsAsync(file.write(0, buffer.subarray(0, 100)), { code, message: /^the length of the buffer, 100,/ })
  await t.throwsAsync(file.write(0, buffer.subarray(1, 1 + BLOCK)), { code, message: /^the address of the buffer/ })
  const ordinary = file.read(0, Buffer.alloc(BLOCK))
  await t.throwsAsync(ordinary, { code: 'ERR_RINGLINE_INVALID_ARGUMENT', message: /allocAligned/ })
  await t.throwsAsync(file.read(-BLOCK, buffer), { code: 'ERR_RINGLINE_INVALID_ARGUMENT', message: /^"offset"/ })
})

test.serial('files that are missing, read-only or too many are refused', async (t) => {
  await runtime(t, { maxFiles: 1, maxCommandsInFlight: 2 })
  const path = join(directory(t), 'one')
  await t.throwsAsync(openDirectIoFile(path), { code: 'ENOENT', message: /open ENOENT: .*'.*one'/ })
  writeFileSync(path, Buffer.alloc(BLOCK))
  const file = await openDirectIoFile(path, { readOnly: true })
  await t.throwsAsync(openDirectIoFile(path), { code: 'ERR_RINGLINE_FILE_LIMIT_REACHED', message: /maxFiles/ })
  const buffers = Array.from({ length: 3 }, () => allocAligned(BLOCK))
  const outcomes = await Promise.allSettled(buffers.map((buffer) => file.read(0, buffer)))
  t.deepEqual(
    outcomes.map((outcome) => outcome.status),
    ['fulfilled', 'fulfilled', 'rejected'],
  )
  t.like((outcomes[2] as PromiseRejectedResult).reason, { code: 'ERR_RINGLINE_OPERATION_LIMIT_REACHED' })
  await t.throwsAsync(file.write(0, allocAligned(BLOCK)), { code: 'ERR_RINGLINE_READ_ONLY_FILE' })
  await file.close()
  await (await openDirectIoFile(path)).close()
  await t.throwsAsync(openNvmeDevice('/dev/ng0n1', 1), { code: 'ERR_RINGLINE_NOT_ENABLED', message: /set nvme/ })
})

test.serial('a handler begins operations by number and is told of their end', async (t) => {
  const path = join(directory(t), 'by-number')
  const told: DirectIoCompletion[] = []
  const begun: number[] = []
  const [written, read] = [allocAligned(BLOCK).fill(3), allocAligned(BLOCK)]
  const handler: AsyncEventHandler = {
    onNotify: (driver) => void begun.push(driver.openDirectIoFile(path, { create: true })),
    onDirectIo(driver, completion) {
      told.push(completion)
      const file = completion.file!
      if (completion.op === 'open') begun.push(driver.directIoWrite(file, 0, written))
      else if (completion.op === 'write') begun.push(driver.directIoFsync(file))
      else if (completion.op === 'fsync') begun.push(driver.directIoRead(file, 0, read))
      else driver.closeDirectIoFile(file)
    },
  }
  const server = await runtime(t, { maxFiles: 1 }, handler)
  server.notify()
  await until(() => told.length === 4)
  t.deepEqual(
    told.map(({ op, seq, result, error }) => ({ op, seq, result, error })),
    [
      { op: 'open', seq: begun[0], result: 0, error: undefined },
      { op: 'write', seq: begun[1], result: BLOCK, error: undefined },
      { op: 'fsync', seq: begun[2], result: 0, error: undefined },
      { op: 'read', seq: begun[3], result: BLOCK, error: undefined },
    ],
  )
  t.deepEqual(readFileSync(path), Buffer.alloc(BLOCK, 3))
  t.is(told[3]?.buffer, read)
  t.deepEqual(Buffer.from(read), Buffer.alloc(BLOCK, 3))
  const [{ file }] = told as [DirectIoCompletion]
  t.true(told.every((completion) => completion.file === file))
  await file?.close()
  await (await openDirectIoFile(path)).close()
})

test.serial('a handler is told under the number of an operation why it has failed', async (t) => {
  const told: DirectIoCompletion[] = []
  let seq = 0
  const server = await runtime(
    t,
    {},
    {
      onNotify: (driver: DriverCtx) => {
        seq = driver.openDirectIoFile('/nonexistent/file')
      },
      onDirectIo: (_driver: DriverCtx, completion: DirectIoCompletion) => void told.push(completion),
    },
  )
  server.notify()
  await until(() => told.length === 1)
  t.like(told[0], { file: undefined, op: 'open', seq, result: 0 })
  t.is(told[0]?.error?.code, 'ENOENT')
})

test.serial('ending a runtime with reads in flight settles them and leaves no descriptor behind', async (t) => {
  const path = join(directory(t), 'ending')
  writeFileSync(path, Buffer.alloc(256 * BLOCK))
  let driver: DriverCtx | undefined
  const onStart = (started: DriverCtx): void => {
    driver = started
  }
  const round = async (): Promise<void> => {
    const server = await new RinglineBuilder(testConfig().directIo().build()).launch(handlerClass({ onStart }))
    const file = await openDirectIoFile(path)
    const reads = Array.from({ length: 32 }, () => file.read(0, allocAligned(256 * BLOCK)))
    const settled = Promise.allSettled(reads)
    await server.shutdown()
    for (const outcome of await settled) {
      if (outcome.status === 'rejected') t.like(outcome.reason, { code: 'ERR_RINGLINE_WORKER_STOPPED' })
    }
    await t.throwsAsync(file.read(0, allocAligned(BLOCK)), { code: 'ERR_RINGLINE_WORKER_STOPPED' })
    await file.close()
    t.is(driver?.usage().diskOperations, 0)
  }
  await round()
  const before = holdings()
  for (let count = 0; count < 4; count += 1) await round()
  await untilReleased(before)
  t.pass()
})
