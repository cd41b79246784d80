// When disk operations are published: one with everything else at the end of the turn, many ahead of it, ever more at a time.

import test from 'ava'
import type { Volumes } from '../dist/disk.js'
import * as words from '../dist/protocol.js'
import { FakePort } from './fake-port.js'

const turn = () => new Promise<void>((resolve) => queueMicrotask(resolve))

function files(): { port: FakePort; files: Volumes; submit: () => Promise<number> } {
  const storage = {
    sendSlabSlots: 0,
    directIo: { maxFiles: 1, maxCommandsInFlight: 64, busyPollUs: 0 },
    nvme: undefined,
  }
  const port = new FakePort({}, { storage })
  const { files } = port.dispatcher.storage
  const submit = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const [slot, generation, count, position] = [0, 1, 0, 0]
      const [place, view] = [undefined, undefined]
      files.submit(
        { kind: words.FILE_FSYNC, slot, generation, place, view, count, position, syscall: 'fsync' },
        { promise: undefined, resolve, reject },
      )
    })
  return { port, files, submit }
}

test('a single operation is published at the end of the turn', async (t) => {
  const { port, submit } = files()
  void submit()
  t.is(port.take().length, 0)
  t.is(port.submits, 0)
  await turn()
  t.is(port.take().length, 1)
  t.is(port.submits, 0)
})

test('of many operations the worker gets four at once, and as many again each time', async (t) => {
  const { port, submit } = files()
  const published = Array.from({ length: 18 }, () => {
    void submit()
    return port.take().length
  })
  t.deepEqual(published, [0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0])
  t.is(port.submits, 3)
  await turn()
  t.is(port.take().length, 2)
})

test('what is begun beside many operations in flight waits for the end of the turn', async (t) => {
  const { port, files: volumes, submit } = files()
  const ended: number[] = []
  for (let count = 0; count < 32; count += 1) void submit().then((bytes) => ended.push(bytes))
  await turn()
  const numbers = port.take().map(({ slot }) => slot >>> 16)
  t.is(numbers.length, 32)
  for (const number of numbers.slice(0, 4)) port.post(words.FILE_DONE, 0, 1, number, 4096)
  await port.settle()
  t.deepEqual(ended, [4096, 4096, 4096, 4096])
  t.is(volumes.pending, 28)
  const before = port.submits
  for (let count = 0; count < 4; count += 1) void submit()
  t.is(port.take().length, 0)
  t.is(port.submits, before)
  await turn()
  t.is(port.take().length, 4)
})
