/**
 * The name of a task, by which it is canceled. It owns the way to the task's signal.
 */

import { RinglineError } from './errors.js'

/** Names a task that was spawned. */
export class TaskId {
  private controller: AbortController | undefined

  private constructor(controller: AbortController) {
    this.controller = controller
  }

  /** @internal */
  static of(controller: AbortController): TaskId {
    return new TaskId(controller)
  }

  /** Aborts the task's signal. Does nothing when the task has ended, or the second time. */
  cancel(): void {
    this.controller?.abort(new RinglineError('ERR_RINGLINE_CANCELED', 'the task was canceled'))
    this.controller = undefined
  }

  /** The task has ended: its slot may be someone else's by now. @internal */
  forget(): void {
    this.controller = undefined
  }
}
