// The order of timers: whatever is added, taken out and taken, the nearest comes first.

import test from 'ava'
import { Sleep, type Sleeper, Timer } from '../dist/sleeper.js'
import { TimerQueue } from '../dist/timer-queue.js'

const nothing = (): void => {}

/** Repeatable numbers below a bound. */
function dice(seed: number): (bound: number) => number {
  let state = seed
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return (state >>> 8) % bound
  }
}

/** Takes everything that is due; answers the deadlines in the order in which they came. */
function take(queue: TimerQueue, deadlines: Map<Sleeper, number>, now: number): number[] {
  const taken: number[] = []
  for (let sleeper = queue.shiftDue(now); sleeper !== undefined; sleeper = queue.shiftDue(now)) {
    taken.push(deadlines.get(sleeper)!)
    deadlines.delete(sleeper)
  }
  return taken
}

for (const [name, lengths] of [
  ['of one length', [1]],
  ['of some lengths', [1, 10, 0.2, 500, 2000]],
  ['of falling length', Array.from({ length: 300 }, (_, index) => 300 - index)],
] as const) {
  test(`sleeps ${name} come in the order of their deadlines, when they are due, beside any that are given up`, (t) => {
    const roll = dice(lengths.length)
    const queue = new TimerQueue()
    const deadlines = new Map<Sleeper, number>()
    const armed: Timer[] = []
    let now = 0
    let cameUp = 0
    for (let step = 0; step < 20_000; step += 1) {
      const deadline = now + lengths[step % lengths.length]!
      const sleeper = roll(2) === 0 ? new Timer(nothing, nothing) : new Sleep(Promise.resolve(), nothing)
      queue.push(sleeper, deadline, now)
      deadlines.set(sleeper, deadline)
      if (sleeper instanceof Timer) armed.push(sleeper)
      if (armed.length > 0 && roll(3) === 0) {
        const timer = armed.splice(roll(armed.length), 1)[0]!
        queue.remove(timer)
        deadlines.delete(timer)
      }
      now += roll(100) / 1000
      if (roll(20) > 0) continue
      const due = [...deadlines.values()].filter((at) => at <= now).sort((a, b) => a - b)
      t.deepEqual(take(queue, deadlines, now), due)
      cameUp += due.length
      t.is(queue.size, deadlines.size)
      t.is(queue.first, Math.min(...deadlines.values()))
    }
    t.true(cameUp > 1000, `${cameUp} came up`)
    const rest = [...deadlines.values()].sort((a, b) => a - b)
    t.deepEqual(take(queue, deadlines, Number.POSITIVE_INFINITY), rest)
    t.is(queue.first, Number.POSITIVE_INFINITY)
  })
}

test('timers that are armed and given up one after the other, beside one that stays, take no more room', (t) => {
  const queue = new TimerQueue()
  queue.push(new Timer(nothing, nothing), 1, 0)
  const before = process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers
  let previous: Timer | undefined
  for (let round = 0; round < 500_000; round += 1) {
    const timer = new Timer(nothing, nothing)
    queue.push(timer, 2 + round / 1e6, 0)
    // The last one is given up only when another one is behind it.
    if (previous !== undefined) queue.remove(previous)
    previous = timer
  }
  t.is(queue.size, 2)
  const grown = process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers - before
  t.true(grown < 32 * 2 ** 20, `${grown} bytes`)
})
