// @ts-check
// Sleeps on `timers/promises`, of Node and of Bun.
import { setTimeout as sleep } from 'node:timers/promises'

import { serveTasks } from '../../harness/task.mjs'
import { sleepFor } from './sleeps.mjs'

await serveTasks((task) => sleepFor(task, (ms) => sleep(ms)))
