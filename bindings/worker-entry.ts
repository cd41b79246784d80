/**
 * The first module of a worker thread of `launch(new URL(…))`. What it does is in thread.ts, which is bundled with what else launching takes.
 */

import { joinThread } from './launch.js'

await joinThread()
