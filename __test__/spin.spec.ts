// Ring threads that look for work before they block: the answers are right, and a server without work takes no CPU time.

import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { accepted, readBytes, testConfig } from './serving.js'

/** CPU time of all ring threads of this process, in nanoseconds. */
function ringThreadTime(): number {
  let sum = 0
  for (const task of readdirSync('/proc/self/task')) {
    const folder = `/proc/self/task/${task}`
    if (!readFileSync(`${folder}/comm`, 'utf8').startsWith('ringline-')) continue
    sum += Number(readFileSync(`${folder}/schedstat`, 'utf8').split(' ')[0])
  }
  return sum
}

test('a ring thread that may look for work answers, and sleeps when there is none', async (t) => {
  const config = testConfig().spinUs(1000)
  const { socket } = await accepted(t, config, { onData: (conn, chunk) => void conn.sendNowait(chunk) })
  for (let round = 0; round < 300; round += 1) {
    const message = `message ${round}`
    socket.write(message)
    t.is(String(await readBytes(socket, message.length)), message)
  }
  t.true(ringThreadTime() > 0, 'the ring thread is found')
  // A look takes at most 1 ms of these 100.
  while ((await timeWithin(100)) > 5_000_000) t.log('the ring thread is busy yet')
})

/** CPU time of the ring threads within so many milliseconds, in nanoseconds. */
async function timeWithin(milliseconds: number): Promise<number> {
  const before = ringThreadTime()
  await sleep(milliseconds)
  return ringThreadTime() - before
}
