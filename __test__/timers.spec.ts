// Sleeps, timeouts and deadlines, on the timers of a ring thread.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import {
  Deadline,
  Elapsed,
  RinglineBuilder,
  type Server,
  sleep,
  sleepUntil,
  TimerExhausted,
  timeout,
  timeoutAt,
  trySleep,
  tryTimeout,
} from 'ringline'
import { FIRED_MAX } from '../dist/timers.js'
import { ending, handlerClass, testConfig } from './serving.js'

async function runtime(t: ExecutionContext, timerSlots = 256): Promise<Server> {
  const server = await new RinglineBuilder(testConfig().timerSlots(timerSlots).build()).launch(handlerClass({}))
  t.teardown(() => server.shutdown())
  return server
}

test.serial('a sleep of a fraction of a millisecond ends soon after it, and never before', async (t) => {
  await runtime(t)
  const overshoots: number[] = []
  for (let round = 0; round < 300; round += 1) {
    const started = performance.now()
    await sleep(0.2)
    overshoots.push(performance.now() - started - 0.2)
  }
  overshoots.sort((a, b) => a - b)
  const [least = -1, median = 99] = [overshoots[0], overshoots[150]]
  t.log(`overshoot of sleep(0.2): median ${median.toFixed(3)} ms, least ${least.toFixed(3)} ms`)
  t.true(least >= 0, `${least} ms`)
  t.true(median < 1, `${median} ms`)
})

test.serial('no sleep ends early, whatever its length, and shorter ones end first', async (t) => {
  await runtime(t)
  const ended: number[] = []
  const lengths = [30, 0, 7.25, 1, 0.001, 15.5, 3]
  await Promise.all(
    lengths.map(async (ms) => {
      const started = performance.now()
      const deadline = Deadline.after(ms)
      await sleepUntil(deadline)
      t.true(performance.now() - started >= ms, `${ms}`)
      ended.push(Number(deadline))
    }),
  )
  t.deepEqual(
    ended,
    ended.toSorted((a, b) => a - b),
  )
})

test.serial('of 10,000 sleeps with 256 slots the rest is refused, none ends early, and slots come back', async (t) => {
  await runtime(t)
  const started = performance.now()
  const outcomes = await Promise.allSettled(
    Array.from({ length: 10_000 }, async () => {
      await sleep(50)
      return performance.now() - started
    }),
  )
  const slept = outcomes.filter((outcome) => outcome.status === 'fulfilled')
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
  t.is(slept.length, 256)
  t.true(slept.every(({ value }) => value >= 50))
  t.true(
    refused.every(({ reason }) => reason instanceof TimerExhausted && reason.code === 'ERR_RINGLINE_TIMER_EXHAUSTED'),
  )
  await sleep(0)
})

test.serial('whatever is due, and armed anew at once, other events get their turn', async (t) => {
  await runtime(t, 50_000)
  let over = false
  let slept = 0
  const sleeper = async (): Promise<void> => {
    while (!over) {
      await sleep(0)
      slept += 1
    }
  }
  const sleepers = Array.from({ length: 20_000 }, sleeper)
  let turns = 0
  for (; slept < 200_000; turns += 1) await new Promise((resolve) => setImmediate(resolve))
  over = true
  await Promise.all(sleepers)
  // As many as are fired in a row, and what the microtasks of one turn may have armed meanwhile.
  t.true(slept / turns < 2 * FIRED_MAX, `${slept} sleeps in ${turns} turns`)
})

test.serial('sleeps that are due already do not keep a process alive that may end', async (t) => {
  const program = `
    import { ConfigBuilder, RinglineBuilder, sleep } from 'ringline'
    const config = new ConfigBuilder().workers(1).pinToCore(false).build()
    const server = await new RinglineBuilder(config).launch({ createForWorker: () => ({}) })
    await sleep(1)
    server.unref()
    for (;;) await sleep(0)
  `
  const cwd = fileURLToPath(new URL('../', import.meta.url))
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { cwd, stdio: 'ignore' })
  t.teardown(() => void child.kill('SIGKILL'))
  // What Node says of a top-level await that nothing can end any more.
  t.is((await ending(child)).code, 13)
})

test.serial('the try forms take their slot at the call', async (t) => {
  await runtime(t, 1)
  const first = trySleep(20)
  t.throws(() => trySleep(1), { instanceOf: TimerExhausted })
  let started = false
  t.throws(
    () =>
      tryTimeout(1, () => {
        started = true
      }),
    { instanceOf: TimerExhausted },
  )
  t.false(started)
  await t.throwsAsync(sleep(1), { code: 'ERR_RINGLINE_TIMER_EXHAUSTED' })
  await first
  await trySleep(1)
})

test.serial('an aborted sleep rejects with the reason, at once, and its slot is free again', async (t) => {
  await runtime(t, 1)
  const reason = new Error('enough')
  for (let round = 0; round < 100; round += 1) {
    const controller = new AbortController()
    const sleeping = sleep(60_000, { signal: controller.signal })
    controller.abort(reason)
    t.is(await t.throwsAsync(sleeping), reason)
  }
  t.is(await t.throwsAsync(sleep(1, { signal: AbortSignal.abort(reason) })), reason)
  await sleep(1)
})

test.serial('a timeout answers what its task answers, when that is in time', async (t) => {
  await runtime(t, 1)
  t.is(await timeout(10_000, () => 'at once'), 'at once')
  t.is(
    await timeout(10_000, async () => {
      await Promise.resolve()
      return 'soon'
    }),
    'soon',
  )
  const failure = new Error('of the task')
  t.is(await t.throwsAsync(timeout(10_000, () => Promise.reject(failure))), failure)
  t.is(await timeoutAt(Deadline.now(), () => 'looked at first'), 'looked at first')
  await sleep(0)
})

test.serial('a timeout whose time is up rejects with Elapsed and tells its task to give up', async (t) => {
  await runtime(t)
  let given: AbortSignal | undefined
  const started = performance.now()
  const error = await t.throwsAsync(
    timeout(10, async (signal) => {
      given = signal
      await sleep(60_000, { signal })
    }),
    { instanceOf: Elapsed, code: 'ERR_RINGLINE_ELAPSED' },
  )
  t.true(performance.now() - started >= 10)
  t.true(given?.aborted)
  t.is(given?.reason, error)
})

test.serial('a timeout passes the abort of its own signal on', async (t) => {
  await runtime(t)
  const controller = new AbortController()
  let given: AbortSignal | undefined
  const limited = timeout(
    60_000,
    (signal) => {
      given = signal
      return sleep(60_000, { signal })
    },
    { signal: controller.signal },
  )
  controller.abort(new Error('stop'))
  await t.throwsAsync(limited, { message: 'stop' })
  t.true(given?.aborted)
})

test.serial('deadlines are ordered, count down to 0, and are slept until', async (t) => {
  await runtime(t)
  const now = Deadline.now()
  const [soon, later] = [Deadline.after(5), Deadline.after(60_000)]
  t.true(now < soon && soon < later)
  t.true(later.remaining() > 30_000 && later.remaining() <= 60_000)
  await sleepUntil(soon)
  t.is(soon.remaining(), 0)
  await sleepUntil(soon)
})

test.serial('what is no duration is refused, and so are timers without a runtime', async (t) => {
  await t.throwsAsync(sleep(1), { code: 'ERR_RINGLINE_NO_RUNTIME' })
  await runtime(t)
  for (const ms of [-1, Number.NaN, Number.POSITIVE_INFINITY, '1']) {
    await t.throwsAsync(sleep(ms as number), { code: 'ERR_RINGLINE_INVALID_ARGUMENT' }, String(ms))
  }
})

test.serial('sleepers are told when their worker stops', async (t) => {
  const server = await runtime(t)
  const sleeping = t.throwsAsync(sleep(60_000), { code: 'ERR_RINGLINE_WORKER_STOPPED' })
  await server.shutdown()
  await sleeping
})
