/**
 * Tasks that belong to a worker but to no connection. It owns how many there are and how they are canceled; the tasks themselves are the
 * user's.
 */

import { invalidArgument, RinglineError } from './errors.js'
import { TaskId } from './task-id.js'

/** A task: an async function that gives up when its signal is aborted. */
export type Task = (signal: AbortSignal) => unknown

/** The tasks of one worker. */
export class Tasks {
  private readonly capacity: number
  private readonly report: (error: unknown) => void
  private readonly running = new Set<TaskId>()

  constructor(capacity: number, report: (error: unknown) => void) {
    this.capacity = capacity
    this.report = report
  }

  /** Tasks that have not ended. */
  get pending(): number {
    return this.running.size
  }

  /** Starts a task; it runs until its first `await` at once. */
  spawn(task: Task): TaskId {
    if (typeof task !== 'function') throw invalidArgument('task', 'a function that takes an AbortSignal', task)
    if (this.running.size >= this.capacity) {
      const message = `${this.capacity} tasks are running already: wait for one, or raise standaloneTaskCapacity`
      throw new RinglineError('ERR_RINGLINE_TASK_LIMIT_REACHED', message)
    }
    const controller = new AbortController()
    const id = TaskId.of(controller)
    this.running.add(id)
    void this.run(id, task, controller.signal)
    return id
  }

  /** Aborts every task. */
  stop(): void {
    for (const id of this.running) id.cancel()
  }

  private async run(id: TaskId, task: Task, signal: AbortSignal): Promise<void> {
    try {
      await task(signal)
    } catch (error) {
      // A task that gives up because it was told to has not failed.
      if (!signal.aborted) this.report(error)
    } finally {
      this.running.delete(id)
      id.forget()
    }
  }
}
