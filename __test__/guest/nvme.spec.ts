// NVMe commands on drives, which these tests overwrite: only the guest has such drives (npm run test:guest). RINGLINE_NVME_DEVICES names
// the generic character devices of two namespaces of 64 MiB, one with blocks of 512 bytes and one with 4096.

import { randomBytes } from 'node:crypto'
import test, { type ExecutionContext } from 'ava'
import {
  type AsyncEventHandler,
  allocAligned,
  type DriverCtx,
  type NvmeCompletion,
  type NvmeConfig,
  NvmeDevice,
  NvmeStatusError,
  nvmeFlush,
  nvmeRead,
  nvmeWrite,
  openDirectIoFile,
  openNvmeDevice,
  RinglineBuilder,
  RinglineError,
} from 'ringline'
import {
  dial,
  ending,
  handlerClass,
  holdings,
  readBytes,
  serve,
  start,
  testConfig,
  until,
  untilReleased,
} from '../serving.js'

/** Bytes of each namespace. */
const NAMESPACE_BYTES = 64 * 1024 * 1024

interface Named {
  readonly path: string
  readonly namespace: number
  readonly blockSize: number
}

const [small, large] = named(process.env['RINGLINE_NVME_DEVICES'])

function named(listed: string | undefined): [Named, Named] {
  const [first, second] = listed?.split(',') ?? []
  if (first === undefined || second === undefined) throw new Error('RINGLINE_NVME_DEVICES names two devices')
  // The number of the namespace stands behind the last "n" of the name.
  const of = (path: string, blockSize: number) => ({ path, namespace: Number(/\d+$/.exec(path)?.[0]), blockSize })
  return [of(first, 512), of(second, 4096)]
}

async function runtime(t: ExecutionContext, limits: Partial<NvmeConfig> = {}, handler: AsyncEventHandler = {}) {
  const config = testConfig().nvme(limits).directIo().build()
  const server = await new RinglineBuilder(config).launch(handlerClass(handler))
  t.teardown(() => server.shutdown())
  return server
}

function filled(bytes: number): Buffer {
  const buffer = allocAligned(bytes)
  randomBytes(bytes).copy(buffer)
  return buffer
}

test.serial(
  'blocks of 512 and of 4096 bytes are read back as they were written, also through the block layer',
  async (t) => {
    await runtime(t)
    for (const { path, namespace, blockSize } of [small, large]) {
      await using device = await openNvmeDevice(path, namespace)
      t.true(device instanceof NvmeDevice)
      t.is(device.blockSize, blockSize)
      t.is(device.blocks, NAMESPACE_BYTES / blockSize)
      await using disk = await openDirectIoFile(path.replace('/dev/ng', '/dev/nvme'), { readOnly: true })
      t.is(disk.blockSize, blockSize)
      const places = [
        [5, 1],
        [6, 7],
        [1000, 32],
        [device.blocks - 1, 1],
      ] as const
      for (const [lba, numBlocks] of places) {
        const written = filled(numBlocks * blockSize)
        t.is(await nvmeWrite(device, lba, numBlocks, written), written.length)
        await nvmeFlush(device)
        const read = allocAligned(written.length)
        t.is(await nvmeRead(device, lba, numBlocks, read), written.length)
        t.deepEqual(read, written)
        t.is(await disk.read(lba * blockSize, read.fill(0)), written.length)
        t.deepEqual(read, written)
      }
    }
  },
)

test.serial(
  'f2 a block beyond the end is an error with the status of the device, by its numbers and in words',
  async (t) => {
    await runtime(t)
    await using device = await openNvmeDevice(small.path, small.namespace)
    for (const lba of [device.blocks, 2 ** 32 + 5, Number.MAX_SAFE_INTEGER]) {
      const error = await t.throwsAsync(device.read(lba, 1, allocAligned(512)), {
        instanceOf: NvmeStatusError,
        code: 'ERR_RINGLINE_NVME_STATUS',
        message: /^NVMe status: LBA out of range \(status code type 0x0, generic; status code 0x80\)/,
      })
      t.true(error instanceof RinglineError)
      t.like(error, { statusCodeType: 0, statusCode: 0x80, doNotRetry: true, name: 'RinglineError' })
    }
    const written = filled(512)
    await device.write(0, 1, written)
    const read = allocAligned(512)
    await device.read(0, 1, read)
    t.deepEqual(read, written, 'the device goes on')
  },
)

test.serial('f3 no blocks, other memory and impossible blocks are refused by name', async (t) => {
  await runtime(t)
  const device = await openNvmeDevice(large.path, large.namespace)
  const buffer = allocAligned(8192)
  const refused = (doing: Promise<unknown>, message: RegExp) =>
    t.throwsAsync(doing, { code: 'ERR_RINGLINE_INVALID_ARGUMENT', message })
  await refused(device.write(0, 0, buffer), /^"numBlocks" must be a whole number from 1 to 65535; received number 0/)
  await refused(device.read(0, 65536, buffer), /^"numBlocks"/)
  await refused(device.read(0, 1.5, buffer), /^"numBlocks"/)
  await refused(device.read(0, 1, buffer), /^"buffer" must be 4096 bytes long, for 1 blocks of 4096 bytes/)
  await refused(device.read(0, 2, Buffer.alloc(8192)), /allocAligned/)
  await refused(device.read(-1, 2, buffer), /^"lba"/)
  await refused(device.read(2 ** 53, 2, buffer), /^"lba"/)
  await refused(device.read(undefined as unknown as number, 2, buffer), /^"lba"/)
  await refused(openNvmeDevice(large.path, 0), /^"namespace"/)
  await refused(openNvmeDevice('a\0b', 1), /^"path"/)
  t.is(await device.read(0, 2, buffer), 8192)
  await device.close()
  await device.close()
  await t.throwsAsync(device.read(0, 2, buffer), { code: 'ERR_RINGLINE_INVALID_DEVICE', message: /closed/ })
  await t.throwsAsync(device.flush(), { code: 'ERR_RINGLINE_INVALID_DEVICE' })
})

test.serial('what is no such device is refused in words', async (t) => {
  await runtime(t)
  const block = small.path.replace('/dev/ng', '/dev/nvme')
  for (const path of ['/dev/null', block]) {
    const message = /^open ENOTSUP: not the generic character device of an NVMe namespace, .*'\/dev\/.*'$/
    await t.throwsAsync(openNvmeDevice(path, 1), { code: 'ENOTSUP', message })
  }
  const other = {
    code: 'EINVAL',
    message: /^open EINVAL: the device belongs to another namespace than was asked for '/,
  }
  await t.throwsAsync(openNvmeDevice(small.path, 77), other)
  await t.throwsAsync(openNvmeDevice('/dev/ng9n9', 9), { code: 'ENOENT', message: /^open ENOENT: .*'\/dev\/ng9n9'$/ })
})

test.serial('a handler submits commands by number and is told of the end of each', async (t) => {
  const told: NvmeCompletion[] = []
  const begun: number[] = []
  const written = filled(512)
  const read = allocAligned(512)
  const next = (driver: DriverCtx, { device, op }: NvmeCompletion): number | undefined => {
    if (device === undefined) return undefined
    if (op === 'open') return driver.nvmeWrite(device, 2000, 1, written)
    if (op === 'write') return driver.nvmeFlush(device)
    if (op === 'flush') return driver.nvmeRead(device, 2000, 1, read)
    // The first read succeeds, the second is beyond the end.
    if (told.length === 4) return driver.nvmeRead(device, device.blocks, 1, read)
    driver.closeNvmeDevice(device)
    return undefined
  }
  const server = await runtime(
    t,
    {},
    {
      onNotify: (driver: DriverCtx) => void begun.push(driver.openNvmeDevice(small.path, small.namespace)),
      onNvme: (driver: DriverCtx, completion: NvmeCompletion) => {
        told.push(completion)
        const seq = next(driver, completion)
        if (seq !== undefined) begun.push(seq)
      },
    },
  )
  server.notify()
  await until(() => told.length === 5)
  t.deepEqual(
    told.map(({ op, seq, result, error }) => [op, seq, result, error?.code]),
    [
      ['open', begun[0], 0, undefined],
      ['write', begun[1], 512, undefined],
      ['flush', begun[2], 0, undefined],
      ['read', begun[3], 512, undefined],
      ['read', begun[4], 0, 'ERR_RINGLINE_NVME_STATUS'],
    ],
  )
  t.is(new Set(begun).size, 5)
  t.is(told[3]?.buffer, read)
  t.deepEqual(read, written)
})

test.serial('f4 commands and file reads in flight together never get the bytes of another', async (t) => {
  await runtime(t)
  await using device = await openNvmeDevice(large.path, large.namespace)
  await using disk = await openDirectIoFile(small.path.replace('/dev/ng', '/dev/nvme'))
  const content = Array.from({ length: 16 }, () => ({ onDevice: filled(4096), onDisk: filled(4096) }))
  for (const [block, { onDevice, onDisk }] of content.entries()) {
    await device.write(block, 1, onDevice)
    await disk.write(block * 4096, onDisk)
  }
  const read = async (seed: number): Promise<void> => {
    const buffer = allocAligned(4096)
    for (let round = 0; round < 20; round += 1) {
      const block = (seed * 5 + round * 3) % 16
      const byCommand = (seed + round) % 2 === 0
      if (byCommand) await device.read(block, 1, buffer)
      else await disk.read(block * 4096, buffer)
      const expected = content[block]?.[byCommand ? 'onDevice' : 'onDisk']
      if (expected === undefined || !buffer.equals(expected)) t.fail(`block ${block} has the bytes of another`)
    }
  }
  await Promise.all(Array.from({ length: 32 }, (_, seed) => read(seed)))
  t.pass()
})

test.serial('limits hold and are named', async (t) => {
  await runtime(t, { maxDevices: 1, maxCommandsInFlight: 2 })
  const device = await openNvmeDevice(small.path, small.namespace)
  await t.throwsAsync(openNvmeDevice(small.path, small.namespace), {
    code: 'ERR_RINGLINE_DEVICE_LIMIT_REACHED',
    message: /nvme\.maxDevices/,
  })
  const outcomes = await Promise.allSettled([1, 2, 3].map(() => device.flush()))
  t.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected'],
  )
  const { reason } = outcomes[2] as PromiseRejectedResult
  t.is(reason.code, 'ERR_RINGLINE_OPERATION_LIMIT_REACHED')
  t.regex(reason.message, /nvme\.maxCommandsInFlight/)
  await device.close()
  await (await openNvmeDevice(large.path, large.namespace)).close()
})

test.serial(
  'f5 commands that are given up, or in flight when their runtime ends, settle and leave nothing behind',
  async (t) => {
    const config = testConfig().nvme().build()
    const round = async (): Promise<void> => {
      // Nothing of the test may keep it: the collector has to find that it is over.
      const server = await new RinglineBuilder(config).launch(handlerClass({}))
      const device = await openNvmeDevice(small.path, small.namespace)
      for (let count = 0; count < 20; count += 1) {
        const controller = new AbortController()
        const dropped = device.read(0, 64, allocAligned(64 * 512), { signal: controller.signal })
        controller.abort()
        await t.throwsAsync(dropped, { any: true, name: 'AbortError' })
      }
      const reads = Array.from({ length: 16 }, () => device.read(0, 64, allocAligned(64 * 512)))
      const settled = Promise.allSettled(reads)
      await server.shutdown()
      for (const outcome of await settled) {
        if (outcome.status === 'rejected') t.like(outcome.reason, { code: 'ERR_RINGLINE_WORKER_STOPPED' })
      }
      await t.throwsAsync(device.flush(), { code: 'ERR_RINGLINE_WORKER_STOPPED' })
      await device.close()
    }
    await round()
    const before = holdings()
    for (let count = 0; count < 3; count += 1) await round()
    await untilReleased(before)
  },
)

test.serial('a worker with NVMe, whose ring has wide entries, serves connections as any other', async (t) => {
  const server = await serve(t, { onData: (conn, chunk) => void conn.sendNowait(chunk) }, testConfig().nvme())
  for (const length of [1, 4096, 200_000]) {
    const socket = await dial(t, server)
    const sent = randomBytes(length)
    socket.write(sent)
    t.true((await readBytes(socket, length)).subarray(0, length).equals(sent))
  }
})

test.serial('without the right to use the device the error says what it takes', async (t) => {
  const child = await ending(start(t, 'open-device', [small.path, String(small.namespace)], { uid: 65534 }))
  t.regex(child.output, /^EACCES open EACCES: permission denied: it takes the right .* CAP_SYS_ADMIN '\/dev\/ng/)
})
