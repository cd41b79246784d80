// @ts-check
// Random reads with Node's own `fs`, past the page cache. `fs.read` with a callback costs less than `FileHandle.read`.
import { constants, fstatSync, openSync, read, readSync } from 'node:fs'

import { serveTasks } from '../../harness/task.mjs'
import { BLOCK_BYTES, readAtRandom } from './reads.mjs'

const DEPTH_MAX = 256
const fd = openSync(process.argv[2], constants.O_RDONLY | constants.O_DIRECT)
const blocks = fstatSync(fd).size / BLOCK_BYTES
const buffers = Array.from({ length: DEPTH_MAX }, alignedBuffer)

/** O_DIRECT needs an aligned address, which Node neither tells nor lets choose: the place is found by trying. */
function alignedBuffer() {
  const memory = new ArrayBuffer(2 * BLOCK_BYTES)
  for (let offset = 0; offset < BLOCK_BYTES; offset += 8) {
    const buffer = new Uint8Array(memory, offset, BLOCK_BYTES)
    try {
      readSync(fd, buffer, 0, BLOCK_BYTES, 0)
      return buffer
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EINVAL') throw error
    }
  }
  throw new Error('no place in the memory is aligned')
}

await serveTasks((task) =>
  readAtRandom(
    task,
    blocks,
    (reader, position) =>
      new Promise((resolve, reject) => {
        read(fd, buffers[reader], 0, BLOCK_BYTES, position, (error, bytes) => (error ? reject(error) : resolve(bytes)))
      }),
  ),
)
