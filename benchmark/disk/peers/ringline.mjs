// @ts-check
// Random reads on ringline's direct I/O, one worker.
import { allocAligned, ConfigBuilder, openDirectIoFile, RinglineBuilder } from 'ringline'

import { serveTasks } from '../../harness/task.mjs'
import { BLOCK_BYTES, readAtRandom } from './reads.mjs'

/** Nothing is accepted; the handler is there because a runtime has one. */
const client = { createForWorker: () => ({}) }

const DEPTH_MAX = 256
/** More than the disk takes for a read, so that it is waited for awake. */
const BUSY_POLL_US = 100
const busyPollUs = process.argv.includes('--busy-poll') ? BUSY_POLL_US : 0
const builder = new ConfigBuilder()
  .workers(1)
  .pinToCore(false)
  .directIo({ maxFiles: 1, maxCommandsInFlight: DEPTH_MAX, busyPollUs })
if (process.argv.includes('--inline')) builder.delivery('inline')
await new RinglineBuilder(builder.build()).launch(client)
const file = await openDirectIoFile(process.argv[2], { readOnly: true })
const blocks = file.sizeAtOpen / BLOCK_BYTES
const buffers = Array.from({ length: DEPTH_MAX }, () => allocAligned(BLOCK_BYTES))
await serveTasks((task) => readAtRandom(task, blocks, (reader, position) => file.read(position, buffers[reader])))
