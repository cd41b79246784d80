// @ts-check
// Sleeps on ringline's timers, one worker.
import { ConfigBuilder, RinglineBuilder, sleep } from 'ringline'

import { serveTasks } from '../../harness/task.mjs'
import { sleepFor } from './sleeps.mjs'

/** Nothing is accepted; the handler is there because a runtime has one. */
const client = { createForWorker: () => ({}) }

const config = new ConfigBuilder().workers(1).pinToCore(false).timerSlots(65535).build()
await new RinglineBuilder(config).launch(client)
await serveTasks((task) => sleepFor(task, (ms) => sleep(ms)))
