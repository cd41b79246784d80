// Who wins, who is told to give up, and what becomes of errors, when several tasks run at once.

import test from 'ava'
import { join, join3, RinglineBuilder, select, select3, sleep } from 'ringline'
import { handlerClass, testConfig } from './serving.js'

const never = () => new Promise<never>(() => {})
const tick = async <T>(value: T): Promise<T> => value

test('join answers both results in order, whichever comes first', async (t) => {
  const slow = async () => {
    await new Promise((resolve) => setTimeout(resolve, 5))
    return 'slow'
  }
  t.deepEqual(await join(slow, () => 2), ['slow', 2])
  t.deepEqual(await join3(slow, () => tick(true), slow), ['slow', true, 'slow'])
})

test('a join whose branch fails rejects with its error and tells the others to give up', async (t) => {
  const failure = new Error('of the branch')
  let given: AbortSignal | undefined
  const joined = join3(
    (signal) => {
      given = signal
      return never()
    },
    () => Promise.reject(failure),
    () => 'unharmed',
  )
  t.is(await t.throwsAsync(joined), failure)
  t.true(given?.aborted)
})

test('a select answers the branch that is ready first and aborts the loser only', async (t) => {
  const signals: AbortSignal[] = []
  const won = await select(
    (signal) => {
      signals.push(signal)
      return never()
    },
    (signal) => {
      signals.push(signal)
      return tick('b')
    },
  )
  t.is(won.kind, 'right')
  t.is(won.intoInner(), 'b')
  t.deepEqual(
    signals.map((signal) => signal.aborted),
    [true, false],
  )
})

test('when several branches are ready together the first one wins', async (t) => {
  let release = (): void => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  // The waits begin in reverse order, so that the last branch is told first.
  const order: Promise<string>[] = []
  for (const name of ['c', 'b', 'a']) order.unshift(gate.then(() => name))
  const both = select(
    () => order[0]!,
    () => order[1]!,
  )
  const all = select3(
    never,
    () => order[1]!,
    () => order[2]!,
  )
  release()
  t.like(await both, { kind: 'left', value: 'a' })
  t.like(await all, { kind: 'second', value: 'b' })
})

test('a branch that is ready without waiting keeps later ones from starting', async (t) => {
  let started = false
  const start = () => {
    started = true
  }
  t.like(await select3(() => 1, start, start), { kind: 'first', value: 1 })
  t.false(started)
})

test('the error of the branch that is ready first is the error of the select', async (t) => {
  const thrown = () => {
    throw new Error('thrown')
  }
  await t.throwsAsync(
    select(never, () => Promise.reject(new Error('first'))),
    { message: 'first' },
  )
  await t.throwsAsync(select(thrown, never), { message: 'thrown' })
})

test('a signal from outside aborts every branch', async (t) => {
  for (const combine of [join, select] as const) {
    const controller = new AbortController()
    const signals: AbortSignal[] = []
    const wait = (signal: AbortSignal) => {
      signals.push(signal)
      return never()
    }
    const combined = combine(wait, wait, { signal: controller.signal })
    controller.abort(new Error('outside'))
    await t.throwsAsync(combined, { message: 'outside' })
    t.deepEqual(
      signals.map(({ aborted }) => aborted),
      [true, true],
    )
  }
})

test.serial('of two sleeps that are due together the first wins, and the loser gives its timer back', async (t) => {
  const server = await new RinglineBuilder(testConfig().timerSlots(2).build()).launch(handlerClass({}))
  t.teardown(() => server.shutdown())
  for (let round = 0; round < 50; round += 1) {
    const won = await select(
      (signal) => sleep(60_000, { signal }),
      (signal) => sleep(0.1, { signal }),
    )
    t.is(won.kind, 'right')
  }
})
