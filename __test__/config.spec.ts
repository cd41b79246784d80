// Settings: defaults, and one error per wrong value that names the field, the value and the legal range.

import test from 'ava'
import { spinMicroseconds } from '../dist/config.js'
import { Config, ConfigBuilder, type ConfigOptions, RinglineBuilder } from '../dist/index.js'

test('the defaults are those of the specification', (t) => {
  t.deepEqual(
    { ...Config.default() },
    {
      sqEntries: 256,
      sqpoll: false,
      sqpollIdleMs: 1000,
      sqpollCpu: undefined,
      receive: 'owned',
      recvBuffer: { ringSize: 256, bufferSize: 16384, bgid: 0 },
      worker: { threads: 0, pinToCore: true, coreOffset: 0 },
      backlog: 1024,
      maxConnections: 16000,
      recvAccumulatorCapacity: 4096,
      recvAccumulatorLimit: 134217728,
      sendCopyCount: 1024,
      sendCopySlotSize: 16384,
      flushIntervalUs: 100,
      tickTimeoutUs: 1000,
      tcpNodelay: true,
      standaloneTaskCapacity: 256,
      sendSlabSlots: 512,
      sendZcThreshold: 4096,
      registeredRegions: [],
      directIo: undefined,
      nvme: undefined,
      reusePort: false,
      delivery: 'threadsafe',
      spinUs: undefined,
      maxChainLength: 16,
      timerSlots: 256,
      udpBind: [],
    },
  )
})

test('every setter of the builder reaches its field', (t) => {
  const config = new ConfigBuilder()
    .sqEntries(128)
    .sqpoll(true)
    .sqpollIdleMs(5)
    .sqpollCpu(1)
    .backlog(2)
    .maxConnections(3)
    .recvAccumulatorCapacity(4)
    .recvAccumulatorLimit(5)
    .sendCopyCount(6)
    .sendCopySlotSize(7)
    .flushIntervalUs(8)
    .spinUs(15)
    .tickTimeoutUs(9)
    .tcpNodelay(false)
    .standaloneTaskCapacity(10)
    .sendSlabSlots(11)
    .sendZcThreshold(12)
    .registeredRegions([])
    .directIo({ maxFiles: 13 })
    .nvme({ maxCommandsInFlight: 14 })
    .reusePort(true)
    .delivery('inline')
    .maxChainLength(0)
    .timerSlots(11)
    .udpBind(['[::1]:12'])
    .receive('borrowed')
    .recvBuffer({ ringSize: 16 })
    .recvBuffer({ bufferSize: 4096, bgid: 2 })
    .workers(2)
    .pinToCore(false)
    .coreOffset(1)
    .build()
  t.deepEqual(
    { ...config },
    {
      sqEntries: 128,
      sqpoll: true,
      sqpollIdleMs: 5,
      sqpollCpu: 1,
      receive: 'borrowed',
      recvBuffer: { ringSize: 16, bufferSize: 4096, bgid: 2 },
      worker: { threads: 2, pinToCore: false, coreOffset: 1 },
      backlog: 2,
      maxConnections: 3,
      recvAccumulatorCapacity: 4,
      recvAccumulatorLimit: 5,
      sendCopyCount: 6,
      sendCopySlotSize: 7,
      flushIntervalUs: 8,
      tickTimeoutUs: 9,
      tcpNodelay: false,
      standaloneTaskCapacity: 10,
      sendSlabSlots: 11,
      sendZcThreshold: 12,
      registeredRegions: [],
      directIo: { maxFiles: 13, maxCommandsInFlight: 256, busyPollUs: 0 },
      nvme: { maxDevices: 4, maxCommandsInFlight: 14 },
      reusePort: true,
      delivery: 'inline',
      spinUs: 15,
      maxChainLength: 0,
      timerSlots: 11,
      udpBind: [{ address: '::1', port: 12, family: 'IPv6' }],
    },
  )
})

const wrong: [object, RegExp][] = [
  [{ sqEntries: 0 }, /sqEntries must be a power of two from 1 to 32768; received number 0/],
  [{ sqEntries: 100 }, /sqEntries must be a power of two .* 100/],
  [{ sqEntries: 65536 }, /sqEntries .* 65536/],
  [{ sqpoll: 1 }, /sqpoll must be true or false; received number 1/],
  [{ sqpoll: true, sqpollIdleMs: 0 }, /sqpollIdleMs must be a whole number from 1/],
  [{ sqpollCpu: 0 }, /sqpollCpu must be left out unless sqpoll is true/],
  [{ backlog: 0 }, /backlog .* from 1 to 2147483647/],
  [{ backlog: '128' }, /backlog .* received string '128'/],
  [{ maxConnections: 2 ** 24 }, /maxConnections .* from 1 to 16777215; received number 16777216/],
  [{ recvAccumulatorCapacity: 0 }, /recvAccumulatorCapacity/],
  [{ recvAccumulatorLimit: Number.POSITIVE_INFINITY }, /recvAccumulatorLimit .* Infinity/],
  [{ sendCopyCount: 0 }, /sendCopyCount must be a whole number from 1/],
  [{ sendCopySlotSize: 1.5 }, /sendCopySlotSize .* 1\.5/],
  [{ sendCopyCount: 4096, sendCopySlotSize: 2 ** 20 }, /sendCopyCount × sendCopySlotSize must be at most 2147483647/],
  [{ flushIntervalUs: -1 }, /flushIntervalUs .* from 0/],
  [{ tickTimeoutUs: Number.NaN }, /tickTimeoutUs .* NaN/],
  [{ tcpNodelay: 'yes' }, /tcpNodelay/],
  [{ delivery: 'outline' as never }, /delivery must be 'threadsafe' or 'inline'; received .*outline/],
  [{ spinUs: 1001 }, /spinUs must be a whole number from 0 to 1000; received number 1001/],
  [{ reusePort: 1 }, /reusePort must be true or false; received number 1/],
  [{ maxChainLength: 65 }, /maxChainLength must be a whole number from 0 to 64; received number 65/],
  [{ standaloneTaskCapacity: 0 }, /standaloneTaskCapacity/],
  [{ sendSlabSlots: 0 }, /sendSlabSlots/],
  [{ sendZcThreshold: -1 }, /sendZcThreshold/],
  [{ directIo: { maxFiles: 0 } }, /directIo\.maxFiles/],
  [{ nvme: { maxDevices: 65537 } }, /nvme\.maxDevices/],
  [{ timerSlots: 65536 }, /timerSlots must be a whole number from 1 to 65535/],
  [{ udpBind: '127.0.0.1:1' }, /udpBind must be an array of at most 1024 addresses/],
  [{ recvBuffer: { ringSize: 3 } }, /recvBuffer\.ringSize must be a power of two from 1 to 32768; received number 3/],
  [{ recvBuffer: { bufferSize: 0 } }, /recvBuffer\.bufferSize/],
  [{ recvBuffer: { bgid: 70000 } }, /recvBuffer\.bgid/],
  [{ recvBuffer: 5 }, /recvBuffer must be an object/],
  [{ worker: { threads: -1 } }, /worker\.threads .* from 0 to 1024/],
  [{ worker: { pinToCore: 0 } }, /worker\.pinToCore/],
  [{ worker: { coreOffset: 5000 } }, /worker\.coreOffset/],
  [{ worker: { cores: 2 } }, /worker\.cores .*no such setting/],
  [{ sendBuffers: 2 }, /sendBuffers .*no such setting/],
]

for (const [fields, message] of wrong) {
  test(`refused: ${JSON.stringify(fields, (_, value) => (typeof value === 'number' ? String(value) : value))}`, (t) => {
    t.throws(() => new Config(fields as ConfigOptions), {
      name: 'RinglineError',
      code: 'ERR_RINGLINE_INVALID_CONFIG',
      message,
    })
  })
}

test('a configuration cannot be changed after it was checked', (t) => {
  const config = Config.default()
  t.throws(() => Object.assign(config, { backlog: -1 }), { instanceOf: TypeError })
  t.throws(() => Object.assign(config.worker, { threads: -1 }), { instanceOf: TypeError })
})

test('the builder of runtimes takes a Config and nothing else', (t) => {
  const error = { code: 'ERR_RINGLINE_INVALID_ARGUMENT', message: /"config" must be a Config.*ConfigBuilder/ }
  t.throws(() => new RinglineBuilder({ backlog: 1 } as never), error)
  t.throws(() => new RinglineBuilder(null as never), error)
})

test('ring threads look for work before they block where each worker has two CPUs and one is left', (t) => {
  const two = new Config({ worker: { threads: 2 } })
  t.deepEqual(
    [1, 4, 5, 64].map((cpus) => spinMicroseconds(two, cpus)),
    [0, 0, 50, 50],
  )
  t.is(spinMicroseconds(new Config({ worker: { threads: 1 } }), 2), 0)
  t.is(spinMicroseconds(new Config({ spinUs: 0 }), 64), 0)
  t.is(spinMicroseconds(new Config({ spinUs: 20 }), 1), 20)
})
