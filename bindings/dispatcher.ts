/**
 * Takes the records of one worker and calls its handler. It owns the table of the worker's connections and is the only place where user
 * code is called from a record: one throw must not lose the rest of a batch.
 *
 * The loop over DATA records is the hot path: per message it makes one Buffer and nothing else.
 */

import { Connector } from './connect.js'
import { ConnCtx } from './connection.js'
import { ConnectionAddresses } from './connection-addresses.js'
import { BUSY, CLOSE_TOLD, CLOSED, CLOSING, END_TOLD, ENDED, OUTBOUND, PULLED } from './connection-flags.js'
import { enter, leave } from './current.js'
import { Datagrams } from './datagrams.js'
import type { DispatcherSettings } from './dispatcher-settings.js'
import { DriverCtx } from './driver.js'
import { invalidConnection } from './errors.js'
import { type AsyncEventHandler, isThenable } from './handler.js'
import { InHand } from './in-hand.js'
import { Inbound } from './inbound.js'
import { Loan } from './loan.js'
import { Outbound } from './outbound.js'
import { Pipes } from './pipe.js'
import { type NativePort, Port } from './port.js'
import * as words from './protocol.js'
import { reportFailure } from './report.js'
import { isInvalidConnection, isWorkerEnd, systemError } from './runtime-errors.js'
import { Slabs } from './slabs.js'
import { isStorage, Storage } from './storage.js'
import { Tasks } from './tasks.js'
import { Timers } from './timers.js'

/** Records handled before timers and other I/O get their turn. */
export const BATCH_RECORDS_MAX = 1024

const COMPLETION_MASK = words.COMPLETION_RING_RECORDS - 1

/** The JavaScript end of one worker. */
export class Dispatcher {
  readonly workerId: number
  readonly recvAccumulatorCapacity: number
  readonly recvAccumulatorLimit: number
  readonly port: Port
  /** Another one for each batch. */
  inHand = new InHand()
  readonly loan: Loan | undefined
  readonly slabs: Slabs
  readonly outbound: Outbound
  readonly pipes: Pipes
  readonly connector: Connector
  readonly tasks: Tasks
  readonly timers: Timers
  readonly datagrams: Datagrams
  readonly storage: Storage
  readonly driver: DriverCtx
  /** Open connections. */
  connections = 0
  /** True when the worker's thread has ended. */
  isStopped = false
  /** Whether the worker keeps the process alive. */
  referenced = true

  private readonly handler: AsyncEventHandler
  private readonly settings: DispatcherSettings
  private readonly pushes: boolean
  private readonly conns: (ConnCtx | undefined)[] = []
  private head: number
  private readonly addresses = new ConnectionAddresses()

  /** What the native side calls when completions have come while JavaScript slept. */
  readonly doorbell = (): void => {
    if (!this.isStopped) this.runBatch(this.drainBatch)
  }
  private readonly drainBatch = (): void => this.drain()
  private readonly drainAgain = (): void => {
    this.againQueued = false
    this.doorbell()
  }
  private againQueued = false

  constructor(native: NativePort, handler: AsyncEventHandler, settings: DispatcherSettings) {
    this.settings = settings
    this.workerId = settings.workerId
    this.recvAccumulatorCapacity = settings.recvAccumulatorCapacity
    this.recvAccumulatorLimit = settings.recvAccumulatorLimit
    this.handler = handler
    this.pushes = typeof handler.onData === 'function'
    this.port = new Port(native)
    this.head = this.port.control[words.COMPLETION_HEAD]!
    this.loan = settings.borrows ? new Loan(this) : undefined
    this.slabs = new Slabs(native, 0, this.loan)
    this.outbound = new Outbound(this, typeof handler.onDrain === 'function', settings.chainLinksMax)
    this.pipes = new Pipes(this)
    this.connector = new Connector(this)
    this.tasks = new Tasks(settings.standaloneTaskCapacity, (error) => this.report(error, undefined))
    this.timers = new Timers(this, settings.timerSlots)
    this.datagrams = new Datagrams(this, handler, settings.udpAddrs)
    this.storage = new Storage(this, settings.storage)
    this.driver = DriverCtx.of(this)
  }

  /** Lets the worker keep the process alive, or not. */
  reference(on: boolean): void {
    if (this.isStopped) return
    this.referenced = on
    if (on) this.port.native.ref()
    else this.port.native.unref()
  }

  /** Runs something that calls handlers: what it queues is published once, at its end. */
  runBatch(run: () => void): void {
    const { port } = this
    const outer = enter(this)
    port.inBatch = true
    try {
      run()
    } finally {
      port.inBatch = false
      leave(outer)
      port.publish()
    }
  }

  /** Calls the handler's start method; what it throws is the caller's. */
  start(): void {
    this.runBatch(() => {
      this.watchResult(this.handler.onStart?.(this.driver))
      for (const udp of this.datagrams.sockets) this.watchResult(this.handler.onUdpBind?.(udp))
    })
  }

  /** Has the worker post a NOTIFY record. */
  notify(): void {
    if (!this.isStopped) this.port.native.notify()
  }

  /** Stops the worker whatever it is doing; its handler is not told. */
  destroy(): void {
    if (this.isStopped) return
    this.isStopped = true
    this.port.close()
    this.port.native.unref()
    this.port.native.stop()
    this.stopWaiting()
  }

  /** Asks the whole server to shut down. What was sent by now goes out first. */
  requestShutdown(): void {
    this.port.publish()
    this.settings.requestShutdown()
  }

  /** Makes the receiving side of a connection whose bytes are pulled. */
  makeInbound(conn: ConnCtx): Inbound {
    return new Inbound(conn)
  }

  /** Closes a connection from this side: what was sent goes out, what was received and not taken is dropped. */
  close(conn: ConnCtx): void {
    if ((conn.flags & (CLOSING | CLOSED)) !== 0) return
    conn.flags |= CLOSING
    this.outbound.close(conn)
    conn.inbound?.discard()
  }

  /** Ends a connection because of an error in its handler, or in what its peer does. */
  fail(conn: ConnCtx, thrown: unknown, abort: boolean): void {
    if (conn.failure !== undefined && conn.failure === thrown) return
    // A peer may go at any moment: that a send has met a connection that was gone is no mistake of the handler.
    if ((conn.flags & CLOSED) !== 0 && isInvalidConnection(thrown)) return
    const error = this.report(thrown, conn)
    if ((conn.flags & CLOSED) !== 0) return
    conn.failure ??= error
    if (!abort) {
      this.close(conn)
      return
    }
    const wasOpen = (conn.flags & CLOSING) === 0
    conn.flags |= CLOSING
    this.outbound.drop(conn, error)
    this.port.submit(words.ABORT, conn.slot, conn.generation, 0, 0, 0, 0)
    if (wasOpen) conn.inbound?.discard()
  }

  /** There is room again for a connection that was refused a send, or everything it sent is out. */
  drained(conn: ConnCtx): void {
    if ((conn.flags & (CLOSING | CLOSED)) !== 0) return
    try {
      this.watch(conn, this.handler.onDrain!(conn))
    } catch (error) {
      this.fail(conn, error, false)
    }
  }

  /** Handles what is in the ring, up to a bound; then goes to sleep, or comes back when other I/O has run. */
  private drain(): void {
    const { control } = this.port
    // Slots that came back since the last batch are the ones still in cache: they are used first.
    this.outbound.pool.harvest()
    for (let budget = BATCH_RECORDS_MAX; ; ) {
      budget -= this.takeRecords(Atomics.load(control, words.COMPLETION_TAIL), budget)
      this.outbound.pump()
      if (this.isStopped) return
      if (budget <= 0) break
      // Published before sleeping: the worker may answer at once, and the answer is then seen here instead of by a doorbell.
      this.port.publish()
      Atomics.store(control, words.JS_ASLEEP, 1)
      // A record posted before the worker could see that word rings no doorbell.
      if (Atomics.load(control, words.COMPLETION_TAIL) === this.head && !this.outbound.shouldPump) return
      Atomics.store(control, words.JS_ASLEEP, 0)
    }
    if (this.againQueued) return
    this.againQueued = true
    const again = setImmediate(this.drainAgain)
    if (this.referenced) return
    // The loop does not wait for such an immediate, nor does it spare its other waits for it.
    again.unref()
    this.port.native.wakeEnvironment()
  }

  /** Handles up to `budget` records before `tail` and gives their places in the ring back; answers how many. */
  private takeRecords(tail: number, budget: number): number {
    const count = Math.min((tail - this.head) | 0, budget)
    if (count === 0) return 0
    const { completions, control, native } = this.port
    const { conns } = this
    this.inHand = new InHand()
    for (let index = 0; index < count; index += 1) {
      const at = (this.head & COMPLETION_MASK) * words.RECORD_WORDS
      this.head = (this.head + 1) | 0
      if (completions[at] === words.DATA) {
        const conn = conns[completions[at + 1]!]
        if (conn !== undefined && conn.generation === completions[at + 2]) this.received(conn, at)
      } else if (completions[at] === words.DATAGRAM) {
        this.datagrams.received(at)
      } else {
        this.dispatch(at)
      }
    }
    // What was lent goes back with its record: the worker must know by then what of it is being sent.
    if (this.loan !== undefined) this.port.publish()
    Atomics.store(control, words.COMPLETION_HEAD, this.head)
    if (Atomics.load(control, words.WANTS_ROOM) === 1 && Atomics.exchange(control, words.WANTS_ROOM, 0) === 1)
      native.ring()
    return count
  }

  /** Received bytes of a connection. */
  private received(conn: ConnCtx, at: number): void {
    if ((conn.flags & CLOSING) !== 0) return
    const { inHand } = this
    const chunk = inHand.take(this.slabs, this.port.completions, at)
    if (this.pushes && (conn.flags & (PULLED | BUSY)) === 0) this.push(conn, chunk)
    else this.keep(conn, chunk)
    if (this.loan !== undefined) this.loan.over()
    inHand.drop()
  }

  /** Everything but received bytes. */
  private dispatch(at: number): void {
    const { completions } = this.port
    const slot = completions[at + 1]!
    const generation = completions[at + 2]!
    const a = completions[at + 3]!
    switch (completions[at]) {
      case words.ADDRESS:
        this.addresses.keep(completions, at)
        return
      case words.ACCEPTED:
        this.accepted(slot, generation, a)
        return
      case words.CONNECTED:
        this.connected(slot, generation, a, completions[at + 4]!)
        return
      case words.CONNECT_FAILED:
        this.connector.failed(completions[at + 4]!, a)
        return
      case words.SLAB_RETIRED:
        ;(a < words.DATAGRAM_SLABS ? this.slabs : this.datagrams.slabs).retire(a)
        return
      case words.DATAGRAM_FROM:
        this.datagrams.keepSender(at)
        return
      case words.DATAGRAMS_LOST:
        this.datagrams.lost(slot, a, completions[at + 4]!)
        return
      case words.TIMER_DUE:
        this.timers.wake(a)
        return
      case words.TICK:
        this.callDriver('onTick')
        return
      case words.NOTIFY:
        this.callDriver('onNotify')
        return
      case words.PIPE_HELD:
        this.pipes.held(a)
        return
      case words.PIPE_ENDED:
        this.pipes.ended(at)
        return
      case words.STOPPED:
        this.stopped(a)
        return
    }
    if (isStorage(completions[at]!)) {
      this.storage.take(at)
      return
    }
    const conn = this.conns[slot]
    if (conn === undefined || conn.generation !== generation) return
    switch (completions[at]) {
      case words.SENT:
        this.outbound.sent(conn)
        break
      case words.END:
        this.ended(conn)
        break
      case words.CLOSED:
        this.closed(conn, a)
        break
    }
  }

  private open(slot: number, generation: number, flags: number, sentBase: number): ConnCtx {
    const conn = ConnCtx.open(this, slot, generation, flags, sentBase, this.addresses)
    this.conns[slot] = conn
    this.connections += 1
    return conn
  }

  private accepted(slot: number, generation: number, sentBase: number): void {
    const conn = this.open(slot, generation, 0, sentBase)
    const { handler } = this
    if (handler.onAccept === undefined) return
    try {
      const task = handler.onAccept(conn)
      if (!isThenable(task)) return
      // A handler with onData goes on after onAccept; otherwise the promise is the connection's task.
      const finished = this.pushes ? () => {} : () => this.close(conn)
      Promise.resolve(task).then(finished, (error: unknown) => this.fail(conn, error, false))
    } catch (error) {
      this.fail(conn, error, false)
    }
  }

  private connected(slot: number, generation: number, sentBase: number, request: number): void {
    // Until whoever awaits the connection has had a chance to ask for its bytes, onData must not get them.
    const conn = this.open(slot, generation, this.pushes ? OUTBOUND | BUSY : OUTBOUND, sentBase)
    if (!this.connector.connected(request, conn)) this.close(conn)
    else if (this.pushes) setImmediate(() => this.release(conn))
  }

  /** Bytes that arrive before they are asked for, or while the handler is busy. */
  private keep(conn: ConnCtx, chunk: Buffer): void {
    conn.inbound ??= new Inbound(conn)
    if (this.pushes && (conn.flags & PULLED) === 0) conn.inbound.enqueue(chunk)
    else conn.inbound.received(chunk)
  }

  private push(conn: ConnCtx, chunk: Buffer): void {
    try {
      const result = this.handler.onData!(conn, chunk)
      if (result !== undefined && isThenable(result)) this.waitFor(conn, result)
    } catch (error) {
      this.fail(conn, error, false)
    }
  }

  /** The handler has answered a promise: later bytes of this connection wait until it is settled. */
  private waitFor(conn: ConnCtx, result: PromiseLike<unknown>): void {
    conn.inbound ??= new Inbound(conn)
    const { inbound } = conn
    inbound.onSettled ??= () => this.release(conn)
    inbound.onFailed ??= (error) => {
      this.fail(conn, error, false)
      this.release(conn)
    }
    conn.flags |= BUSY
    Promise.resolve(result).then(inbound.onSettled, inbound.onFailed)
  }

  /** Hands on what has waited while the handler was busy. */
  private release(conn: ConnCtx): void {
    conn.flags &= ~BUSY
    this.runBatch(() => {
      while ((conn.flags & (BUSY | CLOSING | PULLED)) === 0) {
        const chunk = conn.inbound?.take()
        if (chunk === undefined) break
        this.push(conn, chunk)
      }
      if ((conn.flags & BUSY) === 0) this.tellEnd(conn)
    })
  }

  private ended(conn: ConnCtx): void {
    conn.flags |= ENDED
    if ((conn.flags & CLOSING) !== 0) return
    if ((conn.flags & BUSY) === 0) this.tellEnd(conn)
    if (!this.pushes || (conn.flags & PULLED) !== 0) conn.inbound?.end()
  }

  private closed(conn: ConnCtx, errno: number): void {
    this.conns[conn.slot] = undefined
    this.connections -= 1
    if (errno !== 0 && conn.failure === undefined) conn.failure = systemError(errno, 'read')
    this.outbound.drop(conn, conn.failure ?? invalidConnection('the connection was closed before everything was sent'))
    conn.flags |= CLOSED
    conn.inbound?.end()
    // After a good end the handler still gets, in order, what it was too busy for; otherwise it is told at once.
    const inOrder = errno === 0 && (conn.flags & (BUSY | ENDED | CLOSING | PULLED)) === (BUSY | ENDED)
    if (!inOrder) this.tellClose(conn)
  }

  /** Tells the handler of the end of the stream, and then of the end of the connection, when they have come and were not told. */
  private tellEnd(conn: ConnCtx): void {
    if ((conn.flags & (ENDED | END_TOLD | CLOSING | CLOSE_TOLD)) === ENDED) {
      conn.flags |= END_TOLD
      if (this.handler.onEnd !== undefined) this.callEnd(conn)
      else if (this.pushes && (conn.flags & PULLED) === 0) this.close(conn)
    }
    if ((conn.flags & CLOSED) !== 0) this.tellClose(conn)
  }

  private callEnd(conn: ConnCtx): void {
    try {
      this.watch(conn, this.handler.onEnd!(conn))
    } catch (error) {
      this.fail(conn, error, false)
    }
  }

  private tellClose(conn: ConnCtx): void {
    if ((conn.flags & CLOSE_TOLD) !== 0) return
    conn.flags |= CLOSE_TOLD
    conn.tellClosed()
    if (this.handler.onClose === undefined) return
    try {
      this.watch(conn, this.handler.onClose(conn, conn.failure))
    } catch (error) {
      this.report(error, conn)
    }
  }

  /** Tells the handler of the end of an operation that it began. */
  callStorage(call: (handler: AsyncEventHandler, driver: DriverCtx) => unknown): void {
    try {
      const result = call(this.handler, this.driver)
      if (isThenable(result)) Promise.resolve(result).catch((error: unknown) => this.report(error, undefined))
    } catch (error) {
      this.report(error, undefined)
    }
  }

  private callDriver(method: 'onTick' | 'onNotify'): void {
    try {
      this.watchResult(this.handler[method]?.(this.driver))
    } catch (error) {
      this.report(error, undefined)
    }
  }

  /** A method about a connection may be async: its rejection counts as a throw. */
  private watch(conn: ConnCtx, result: unknown): void {
    if (isThenable(result)) Promise.resolve(result).catch((error: unknown) => this.fail(conn, error, false))
  }

  /** A method that is about no connection may be async: its rejection is reported. */
  watchResult(result: unknown): void {
    if (isThenable(result)) Promise.resolve(result).catch((error: unknown) => this.report(error, undefined))
  }

  /** Reports what a method has thrown that is about no connection. */
  reportError(thrown: unknown): void {
    this.report(thrown, undefined)
  }

  private report(thrown: unknown, conn: ConnCtx | undefined): Error {
    // What a handler gives up because its worker has ended has not failed.
    if (this.isStopped && isWorkerEnd(thrown)) return thrown
    return reportFailure(this.handler, thrown, conn)
  }

  private stopped(errno: number): void {
    for (const conn of this.conns) if (conn !== undefined) this.closed(conn, errno)
    this.isStopped = true
    this.stopWaiting()
    this.port.close()
    this.settings.onStopped(errno)
  }

  /** Whoever waits for something of this worker is told that it will not come. */
  private stopWaiting(): void {
    this.pipes.stop()
    this.connector.stop()
    this.tasks.stop()
    this.timers.stop()
    this.datagrams.stop()
    this.storage.stop()
  }
}
