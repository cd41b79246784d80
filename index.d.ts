// Made by `npm run types` from bindings/; change the sources and run it again.

/// <reference types="node" />

/**
 * The entry point of the package: what people import. It owns the list of public names and may hold no logic of its own.
 *
 * @packageDocumentation
 */

/**
 * Where to bind or connect: `'127.0.0.1:7878'`, `'[::1]:7878'`, or an object with `address` and `port`. Names are not looked up.
 */
export declare type AddressInput = string | {
    readonly address: string;
    readonly port: number;
};

/**
 * Allocates memory for direct I/O and NVMe commands, which need aligned addresses. It can be sent with `conn.sendGuard` as well.
 *
 * Use it again, or slices of it: from the second read or write of a file on, a worker has the kernel know it (a fixed buffer), which spares the
 * look-up of its pages. That holds for memory of up to 8 MiB, up to 64 MiB and 1024 pieces of a worker, and as far as the limit of
 * locked memory (`ulimit -l`) goes; beyond, reads and writes go on without. What is no longer used is let go of when others are registered
 * and when the worker's last file closes.
 *
 * @param bytes - 1 … 2^30
 * @param alignment - bytes, a power of two up to 2^21; default 4096
 * @returns a zeroed Buffer; slices that begin at multiples of the block size can be used too
 * @throws RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`, or the system error `ENOMEM`
 */
export declare function allocAligned(bytes: number, alignment?: number): GuardBuffer;

/**
 * Allocates memory for zero-copy sends with `conn.sendGuard` and `conn.sendParts`.
 *
 * @param bytes - 1 … 2^30
 * @returns a zeroed Buffer that can be sent, whole or in slices, any number of times
 * @throws RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`, or the system error `ENOMEM`
 */
export declare function allocGuard(bytes: number): GuardBuffer;

/**
 * What a worker calls. There is one handler object per worker; every method is optional and called on that object.
 *
 * A handler with `onData` gets each received chunk directly, the fast way. Without it bytes accumulate, to be taken with
 * `conn.withData`, `conn.withBytes`, `conn.tryWithData` or `for await (const chunk of conn)`.
 *
 * A throw or a rejection in a method that is about a connection closes that connection with the error, which `onClose` then gets; it is
 * reported to `onError`, and disturbs nothing else.
 */
export declare interface AsyncEventHandler {
    /**
     * Once, when the worker stands and before it accepts. `launch` does not wait for a promise answered here (it may run as long as the
     * server); a throw makes `launch` fail, a rejection is reported to `onError`. Work that must be done before the first connection
     * belongs into `createForWorker`, which is waited for.
     */
    onStart?(driver: DriverCtx): unknown;
    /**
     * A connection was accepted. When the handler has no `onData`, a promise answered here is the connection's task: the connection is
     * closed when it is fulfilled, after what was sent is out. A handler with `onData`, or a method that answers no promise, keeps the
     * connection open until `conn.close()`.
     */
    onAccept?(conn: ConnCtx): unknown;
    /**
     * Bytes were received. The chunk is the user's for ever: it never changes and may be kept. Whoever keeps it, or a slice of it, keeps
     * the slab of received memory alive that it is a view of: 64 KiB, and 512 KiB while large pieces arrive; a small part that is kept for
     * long is better copied (`Buffer.from(slice)`). With `receive: 'borrowed'` the chunk is valid until this method returns. When a promise
     * is answered, the next chunk of this connection is delivered after it is settled, and receiving pauses when more than 256 KiB wait.
     */
    onData?(conn: ConnCtx, chunk: Buffer): unknown;
    /**
     * What was sent is out: called exactly once after one or more refused sends, when there is room again, and exactly once when
     * `conn.bufferedAmount` is back at 0 after it had exceeded 64 KiB.
     */
    onDrain?(conn: ConnCtx): unknown;
    /**
     * The peer has sent its FIN and every byte before it was delivered; sending is still possible, until `conn.close()`. A handler with
     * `onData` but no `onEnd` closes the connection here, after what was sent is out.
     */
    onEnd?(conn: ConnCtx): unknown;
    /**
     * The connection has ended, for whatever reason: exactly once for each accepted or connected connection.
     *
     * @param error - why, when it did not end in good order: a system error such as `ECONNRESET`, or what a handler threw
     */
    onClose?(conn: ConnCtx, error?: Error): unknown;
    /**
     * Once for each UDP socket of the worker, after `onStart` and before it accepts. A promise answered here is the socket's task: nobody
     * waits for it, and a rejection is reported to `onError`.
     */
    onUdpBind?(udp: UdpCtx): unknown;
    /**
     * A datagram was received on a socket of which nobody has called `recvFrom`. It never changes and may be kept. UDP knows no
     * back-pressure: a promise answered here holds nothing back.
     *
     * @param address - who sent it; all datagrams of a peer may share this frozen object, and `udp.sendTo` takes it without parsing
     */
    onDatagram?(udp: UdpCtx, data: Buffer, address: SocketAddress): unknown;
    /** At the end of a turn of the event loop, at least once per `tickTimeoutUs`. */
    onTick?(driver: DriverCtx): unknown;
    /** `server.notify()` was called; several calls may be answered by one. */
    onNotify?(driver: DriverCtx): unknown;
    /** An operation on a file that was begun through `driver` has ended. */
    onDirectIo?(driver: DriverCtx, completion: DirectIoCompletion): unknown;
    /** A command to an NVMe device that was submitted through `driver` has ended. */
    onNvme?(driver: DriverCtx, completion: NvmeCompletion): unknown;
    /**
     * Something of the handler threw or rejected. Without this method it is reported by `process.emitWarning`, with code
     * `ERR_RINGLINE_HANDLER_FAILED`.
     *
     * @param conn - the connection it was about, if it was about one
     */
    onError?(error: Error, conn?: ConnCtx): void;
}

/** Collects the parts of one send of a connection. What is wrong with a part is told when the send is submitted. */
export declare class AsyncSendBuilder {
    #private;
    private constructor();
    /** Adds data that is copied when the send is submitted. */
    copy(data: SendData): this;
    /** Adds memory that is sent from where it lies: of `allocGuard`, `allocAligned` or a `MemoryRegion`, or a slice of such. */
    guard(memory: NodeJS.ArrayBufferView): this;
    /**
     * Queues all parts or none. A builder submits once.
     *
     * @returns the number of bytes, when the kernel has taken all of them; `released` of that promise tells when the guards' memory is free
     * @throws (as a rejection) the errors of `conn.sendNowait`, and RinglineError `ERR_RINGLINE_TOO_MANY_PARTS`;
     * `ERR_RINGLINE_GUARD_LIMIT_REACHED` when `sendSlabSlots` guards are in flight; `ERR_RINGLINE_INVALID_ARGUMENT` for a guard in ordinary
     * memory
     */
    submit(): GuardedSend;
    /** As {@link AsyncSendBuilder.submit}, with these parts behind the others. */
    submitBatch(parts: readonly SendPart[]): GuardedSend;
}

/** An address where one was bound. */
export declare type BoundAddress<Bound extends boolean> = Bound extends true ? SocketAddress : SocketAddress | undefined;

/** Something that may be given up: it does so when the signal is aborted. */
export declare type Cancelable<T> = (signal: AbortSignal) => T | PromiseLike<T>;

/** Collects the links of a chain, in their order; see {@link ConnCtx.sendChain}. */
export declare class ChainBuilder {
    #private;
    private constructor();
    /** Adds a link of data, which is copied when the chain is submitted. */
    copy(data: SendData): this;
    /** Adds a link of memory of `allocGuard`, `allocAligned` or a `MemoryRegion`. In a chain the kernel copies it. */
    guard(memory: NodeJS.ArrayBufferView): this;
    /**
     * Adds a link. One without bytes is left out.
     *
     * @throws RinglineError `ERR_RINGLINE_INVALID_ARGUMENT` when the chain was submitted already
     */
    link(part: SendPart): this;
}

/** Options of {@link join}, {@link select} and their like. */
export declare interface CombineOptions {
    /** Gives up: every branch's signal is aborted, and the promise rejects with this signal's reason. */
    readonly signal?: AbortSignal;
}

/** Declares the fields of {@link ConfigFields} as fields of the class. */
export declare interface Config extends ConfigFields {
}

/**
 * The settings of a runtime, checked and frozen. Make one with {@link ConfigBuilder} or from the fields that differ from the defaults.
 */
export declare class Config {
    /**
     * @param fields - the settings that differ from the defaults; `recvBuffer` and `worker` may be given in part
     * @throws RinglineError `ERR_RINGLINE_INVALID_CONFIG`, naming the field, the value and the legal range
     */
    constructor(fields?: ConfigOptions);
    /** The default settings. */
    static default(): Config;
}

/**
 * Collects settings; every setter answers the builder itself, and nothing is checked before {@link ConfigBuilder.build}. Each setter is
 * described at the field of {@link ConfigFields} with its name.
 */
export declare class ConfigBuilder {
    #private;
    /** Entries of the submission queue: a power of two, 1 … 32768. */
    sqEntries(count: number): this;
    /** Whether a kernel thread polls the submission queue. */
    sqpoll(value: boolean): this;
    /** Milliseconds after which an idle polling thread sleeps. */
    sqpollIdleMs(milliseconds: number): this;
    /** The core of the polling thread; undefined lets the kernel choose. */
    sqpollCpu(core: number | undefined): this;
    /** Whose thread turns the rings: one of their own (`threadsafe`), or the one that the handlers run on (`inline`). */
    delivery(delivery: Delivery): this;
    /** Connections that wait to be accepted. */
    backlog(count: number): this;
    /** Connections per worker, accepted and outbound together, 1 … 2^24−1. */
    maxConnections(count: number): this;
    /** Bytes of the buffer in which received pieces are first joined. */
    recvAccumulatorCapacity(bytes: number): this;
    /** Whether `onData` owns the chunks it gets, or borrows them until it returns. */
    receive(mode: 'owned' | 'borrowed'): this;
    /** Bytes that a connection may accumulate while more are asked for. */
    recvAccumulatorLimit(bytes: number): this;
    /** Send slots per worker. */
    sendCopyCount(count: number): this;
    /** Bytes per send slot. */
    sendCopySlotSize(bytes: number): this;
    /** How often pending operations are submitted while many completions are handled, in microseconds. */
    flushIntervalUs(microseconds: number): this;
    /** For how many microseconds a ring thread looks for work before it blocks; undefined lets the number of CPUs decide. */
    spinUs(microseconds: number | undefined): this;
    /** The longest time between two calls of `onTick`, in microseconds. */
    tickTimeoutUs(microseconds: number): this;
    /** Whether sockets send small pieces at once. */
    tcpNodelay(value: boolean): this;
    /** Whether every worker listens with a socket of its own, among which the kernel chooses. */
    reusePort(value: boolean): this;
    /** Links of a chain of sends; 0 disables chains. */
    maxChainLength(count: number): this;
    /** Tasks of `spawn` that may run at a time per worker. */
    standaloneTaskCapacity(count: number): this;
    /** Sleeps and timeouts that may be armed at a time per worker. */
    timerSlots(count: number): this;
    /** Addresses to which every worker binds a UDP socket of its own. */
    udpBind(addresses: readonly AddressInput[]): this;
    /** Guarded sends that may be in flight per worker. */
    sendSlabSlots(count: number): this;
    /** Bytes below which a guarded send is copied by the kernel; 0 means never. */
    sendZcThreshold(bytes: number): this;
    /** Memory that every worker registers with the kernel. */
    registeredRegions(regions: readonly MemoryRegion[]): this;
    /** Enables direct I/O; what is left out has its default. */
    directIo(fields?: Partial<DirectIoConfig>): this;
    /** Enables NVMe commands; what is left out has its default. */
    nvme(fields?: Partial<NvmeConfig>): this;
    /** The provided-buffer ring; what is left out keeps its value. */
    recvBuffer(fields: Partial<RecvBufferConfig>): this;
    /** The ring threads; what is left out keeps its value. */
    worker(fields: Partial<WorkerConfig>): this;
    /** Short for `worker({ threads })`: how many ring threads, 0 for one per available core. */
    workers(threads: number): this;
    /** Short for `worker({ pinToCore })`: whether worker i is pinned to core `coreOffset + i`. */
    pinToCore(value: boolean): this;
    /** Short for `worker({ coreOffset })`: the core of worker 0. */
    coreOffset(core: number): this;
    /**
     * Checks everything.
     *
     * @throws RinglineError `ERR_RINGLINE_INVALID_CONFIG`, naming the field, the value and the legal range
     */
    build(): Config;
}

/** Every setting of {@link (Config:class)}. */
export declare interface ConfigFields {
    /** Entries of the submission queue: a power of two, 1 … 32768; the completion queue has four times as many. Default 256. */
    readonly sqEntries: number;
    /** Whether a kernel thread polls the submission queue: spends a core to save system calls. Default false. */
    readonly sqpoll: boolean;
    /** Milliseconds after which an idle polling thread sleeps, 1 … 2^31−1. Default 1000. */
    readonly sqpollIdleMs: number;
    /** The core of the polling thread, 0 … 4095; undefined lets the kernel choose. Needs `sqpoll`. Default undefined. */
    readonly sqpollCpu: number | undefined;
    /** Where received bytes go. */
    readonly recvBuffer: RecvBufferConfig;
    /**
     * Whose the chunks are that `onData` gets. `'owned'`: the handler's for ever, and they never change. `'borrowed'`: valid until `onData`
     * returns (for an async one, until its first `await`), then received into again, so that large streams stay in the cache. Sending such
     * a chunk, or a slice of it, from within the call is safe and makes no copy of 4096 bytes or more; sending it later throws
     * `ERR_RINGLINE_STALE_CHUNK`. What is read by `withData` and its like is copied out and stays valid. With the environment variable
     * `RINGLINE_POISON_BORROWED=1` each chunk is overwritten when it goes back, so that misuse shows. Default `'owned'`.
     */
    readonly receive: 'owned' | 'borrowed';
    /** The ring threads. */
    readonly worker: WorkerConfig;
    /**
     * Microseconds for which a ring thread looks for work before it blocks, 0 … 1000; 0 means that it blocks at once. To wake a thread takes
     * some ten microseconds: where one answer at a time is waited for, looking saves them and costs the time on its CPU. It looks only while
     * that pays: from a wait that was shorter than this on, until a look was in vain; an idle worker sleeps. With `inline` delivery there
     * is no ring thread. Default undefined: 50 where there are more than twice as many CPUs as workers, otherwise 0.
     */
    readonly spinUs: number | undefined;
    /**
     * Whose thread turns the rings. `threadsafe` gives each worker a ring thread: JavaScript pays only for the handlers, a second core
     * shares the work, and a handler that blocks does not keep bytes from arriving. `inline` has the JavaScript thread itself turn the
     * ring between its other events: the lowest latency and the least CPU time in all, on one core; with `launch(new URL(…))` a thread
     * per core in the literal sense. `inline` needs Node.js, since it is driven from libuv. Default `threadsafe`.
     */
    readonly delivery: Delivery;
    /** Connections that wait to be accepted, 1 … 2^31−1. Default 1024. */
    readonly backlog: number;
    /** Connections per worker, accepted and outbound together, 1 … 2^24−1. Default 16000. */
    readonly maxConnections: number;
    /** Bytes of the buffer in which received pieces are joined, when a connection first needs one, 1 … 2^30. Default 4096. */
    readonly recvAccumulatorCapacity: number;
    /**
     * Bytes that a connection may accumulate while its parse function keeps asking for more, 1 … 2^31−1. Beyond it the connection is
     * closed with `ERR_RINGLINE_RECEIVE_LIMIT_EXCEEDED`. Default 134217728 (128 MiB).
     */
    readonly recvAccumulatorLimit: number;
    /** Send slots per worker, 1 … 2^20. Default 1024. */
    readonly sendCopyCount: number;
    /** Bytes per send slot, 1 … 2^30; all slots of a worker together are at most 2^31−1 bytes. Default 16384. */
    readonly sendCopySlotSize: number;
    /** While many completions are handled, what is pending is submitted at least this often, in microseconds, 0 … 2^31−1; 0 is off. Default 100. */
    readonly flushIntervalUs: number;
    /**
     * The longest time between two calls of `onTick`, in microseconds, 0 … 2^31−1; 0 means only when something happened. Without an
     * `onTick` a worker sleeps until something happens. Default 1000.
     */
    readonly tickTimeoutUs: number;
    /** Whether accepted and outbound sockets send small pieces at once (`TCP_NODELAY`). Default true. */
    readonly tcpNodelay: boolean;
    /**
     * Whether every worker listens with a socket of its own (`SO_REUSEPORT`), and the kernel chooses the worker of a connection by a hash of
     * its addresses: less balanced than the round-robin of the default, but no connection changes its thread. Default false.
     */
    readonly reusePort: boolean;
    /** Links of a chain of sends, 0 … 64, and never more than `sqEntries`; 0 disables chains. Default 16. */
    readonly maxChainLength: number;
    /** Tasks of `spawn` that may run at a time per worker, 1 … 2^20. Default 256. */
    readonly standaloneTaskCapacity: number;
    /** Sleeps and timeouts that may be armed at a time per worker, 1 … 65535. Default 256. */
    readonly timerSlots: number;
    /** Addresses to which every worker binds a UDP socket of its own, at most 1024; port 0 lets the system choose. Default none. */
    readonly udpBind: readonly SocketAddress[];
    /** Guarded sends that may be in flight per worker, 1 … 2^20. Default 512. */
    readonly sendSlabSlots: number;
    /** A guarded send of fewer bytes is copied by the kernel, 0 … 2^31−1; 0 means never. Default 4096. */
    readonly sendZcThreshold: number;
    /** Memory that every worker registers with the kernel, at most 16384 regions. Default none. */
    readonly registeredRegions: readonly MemoryRegion[];
    /** Direct I/O; `{}` enables it with its defaults. Default undefined: not enabled. */
    readonly directIo: DirectIoConfig | undefined;
    /** NVMe commands; `{}` enables them with their defaults. Default undefined: not enabled. */
    readonly nvme: NvmeConfig | undefined;
}

/** The settings that differ from the defaults. */
export declare type ConfigOptions = Partial<Omit<ConfigFields, 'recvBuffer' | 'worker' | 'udpBind' | 'directIo' | 'nvme'>> & {
    readonly udpBind?: readonly AddressInput[] | undefined;
    readonly recvBuffer?: Partial<RecvBufferConfig>;
    readonly worker?: Partial<WorkerConfig>;
    readonly directIo?: Partial<DirectIoConfig> | undefined;
    readonly nvme?: Partial<NvmeConfig> | undefined;
};

/**
 * A TCP connection.
 *
 * Every method may be called at any time. After the connection has ended, sending fails with `ERR_RINGLINE_INVALID_CONNECTION`, receiving
 * yields what is still buffered and then the end of the stream, and the rest does nothing.
 */
export declare class ConnCtx {
    /** Whatever the application wants to keep with this connection; the package never looks at it. */
    userData: unknown;
    #private;
    private constructor();
    /** The number of the connection's slot in its worker, 0 … maxConnections − 1. Slots are used again; a {@link ConnToken} is not. */
    index(): number;
    /** What names this connection for {@link DriverCtx}: one and the same object at every call, so it can be the key of a Map. */
    token(): ConnToken;
    /** The peer's address. */
    peerAddr(): SocketAddress;
    /** The address of this side. */
    localAddr(): SocketAddress;
    /** True when this side made the connection. */
    isOutbound(): boolean;
    /** True until this side has closed the connection, or it has failed. That the peer has sent its FIN does not change it. */
    get isOpen(): boolean;
    /** Why the connection failed, or undefined when it did not. */
    get error(): Error | undefined;
    /** Bytes that were accepted by `send` and `sendNowait` and that the kernel has not taken yet. */
    get bufferedAmount(): number;
    /**
     * Queues data for sending, without waiting: it is copied, so the caller may change it at once. A received chunk of 4096 bytes or more,
     * or such a slice of one, is sent from where it lies and must not be changed until the kernel has taken it.
     *
     * Sends of one connection reach the wire in call order. Several in one turn become one send of the kernel.
     *
     * @param data - a string (sent as UTF-8), Buffer, typed array or DataView of any length; all of it is queued, or none
     * @returns the number of bytes queued
     * @throws RinglineError `ERR_RINGLINE_SEND_POOL_EXHAUSTED` when there is no room now, `onDrain` tells when there is;
     * `ERR_RINGLINE_INVALID_CONNECTION` after the connection was closed or has ended; `ERR_RINGLINE_WRITE_AFTER_SHUTDOWN` after
     * `shutdownWrite`; `ERR_RINGLINE_INVALID_ARGUMENT` for anything that is not data, or whose memory was detached
     */
    sendNowait(data: SendData): number;
    /**
     * As {@link ConnCtx.sendNowait}, but waits for room when there is none, in line with others. While it waits, the data must not be
     * changed. It may be larger than all send slots together.
     *
     * @returns the number of bytes, when the kernel has taken all of them
     * @throws the errors of `sendNowait` except for the exhausted pool, as a rejection; also `ERR_RINGLINE_INVALID_CONNECTION`, or the system
     * error, when the connection ends before all was taken
     */
    send(data: SendData): Promise<number>;
    /**
     * Sends memory from where it lies, without a copy: of `allocGuard`, `allocAligned` or a `MemoryRegion`, or a slice of such. It goes out
     * in order with the other sends. Fewer than `sendZcThreshold` bytes are copied by the kernel, which is cheaper; so is memory for a peer
     * on this machine.
     *
     * @returns the number of bytes, when the kernel has taken all of them; `released` of that promise tells when it no longer uses the memory,
     * which must not be changed until then
     * @throws (as a rejection) the errors of {@link AsyncSendBuilder.submit}
     */
    sendGuard(memory: NodeJS.ArrayBufferView): GuardedSend;
    /**
     * Sends several parts as one: all of them are queued, in order, or none. Without an argument it answers a builder:
     * `conn.sendParts().copy(header).guard(value).submit()`.
     */
    sendParts(): AsyncSendBuilder;
    /**
     * Sends several parts as one: all of them are queued, in order, or none.
     *
     * @returns as {@link AsyncSendBuilder.submit}, with its errors
     */
    sendParts(parts: readonly SendPart[]): GuardedSend;
    /**
     * Sends a chain: links that the kernel runs one after the other, each as soon as the one before is out, with one completion for all. It
     * begins when everything that was sent before is out, and what is sent after it follows it. All links are queued, or none. One that
     * fails cancels the rest and ends the connection, as any failing send does.
     *
     * @param add - called once, at the call: adds the links, `(chain) => chain.copy(header).guard(value)`; not async
     * @returns the number of bytes, when the kernel has taken all of them; `released` of that promise tells when the guards' memory is free
     * @throws (as a rejection) what `add` throws; RinglineError `ERR_RINGLINE_CHAIN_TOO_LONG` for more links than `maxChainLength` (or
     * `sqEntries`), and always when that is 0; and the errors of {@link AsyncSendBuilder.submit}, except for too many parts
     */
    sendChain(add: (chain: ChainBuilder) => unknown): GuardedSend;
    /**
     * As {@link ConnCtx.sendChain}, but does not tell when the chain is out.
     *
     * @returns the number of bytes queued
     * @throws the errors of `sendChain`
     */
    sendChainNowait(add: (chain: ChainBuilder) => unknown): number;
    /** Sends a FIN after everything that was sent; receiving goes on. Does nothing the second time or after the end. */
    shutdownWrite(): void;
    /**
     * Closes the connection: what was sent goes out first, then the FIN; received bytes that nobody took are dropped. Does nothing the second
     * time or after the end.
     */
    close(): void;
    /**
     * Ends a pending `withData`, `withBytes`, `recvInto` or `recvReady`, which rejects with `ERR_RINGLINE_CANCELED`. The connection stays open and no
     * byte is lost.
     */
    cancel(): void;
    /**
     * Takes received bytes: calls `parse` with all buffered bytes as one Buffer, and again with all of them whenever more have arrived,
     * until it consumes some. The Buffer stays valid and unchanged for ever.
     *
     * At the end of the stream it resolves 0; if nothing is buffered when the peer's FIN comes, `parse` is called once with an empty Buffer,
     * and may still answer the peer. It resolves 0 without a call after `close()`, and when the connection has failed: {@link ConnCtx.error}
     * tells the difference.
     *
     * @param parse - answers synchronously, with `ParseResult.Consumed(n)` or `ParseResult.NeedMore`
     * @param options - a signal that ends the waiting; the promise then rejects with the signal's reason, and no byte is lost
     * @returns how many bytes were consumed; 0 at the end of the stream
     * @throws (as a rejection) what `parse` throws; RinglineError `ERR_RINGLINE_INVALID_PARSE_RESULT` when it consumed more than it was given;
     * `ERR_RINGLINE_RECEIVE_BUSY` while another receiving call of this connection is pending; `ERR_RINGLINE_RECEIVE_LIMIT_EXCEEDED` when more
     * than `recvAccumulatorLimit` bytes are buffered and `parse` still wants more, which closes the connection
     */
    withData(parse: ParseFunction, options?: ReceiveOptions): Promise<number>;
    /** The same as {@link ConnCtx.withData}: received memory is reference-counted anyway, so slices of the Buffer may always be kept. */
    withBytes(parse: ParseFunction, options?: ReceiveOptions): Promise<number>;
    /**
     * Calls `parse` once with all buffered bytes.
     *
     * @returns how many bytes were consumed (0 when more are needed), or undefined when nothing is buffered
     * @throws what `parse` throws, and the errors of {@link ConnCtx.withData}
     */
    tryWithData(parse: ParseFunction): number | undefined;
    /**
     * Resolves when bytes are buffered (more than `tryWithData` has been shown and did not want yet), or when the stream has ended.
     *
     * @param options - a signal that ends the waiting
     * @throws (as a rejection) `ERR_RINGLINE_RECEIVE_BUSY` while another receiving call of this connection is pending
     */
    recvReady(options?: ReceiveOptions): Promise<void>;
    /**
     * Fills a buffer of the caller's with received bytes, those that are buffered first: for large bodies, whose bytes are then copied once
     * and not joined. The buffer must not be detached before the promise is settled.
     *
     * @param buffer - a Buffer, typed array or DataView
     * @param options - a signal that ends the waiting; the bytes taken so far are then received again by whoever asks next
     * @returns the number of bytes written: the buffer's length, or less at the end of the stream
     * @throws (as a rejection) `ERR_RINGLINE_RECEIVE_BUSY` while another receiving call of this connection is pending;
     * `ERR_RINGLINE_INVALID_ARGUMENT`; `ERR_RINGLINE_CANCELED` after {@link ConnCtx.cancel}; or the signal's reason
     */
    recvInto(buffer: NodeJS.ArrayBufferView, options?: ReceiveOptions): Promise<number>;
    /** The received chunks, one after the other; ends quietly when the stream does. Leaving the loop early leaves the connection open. */
    [Symbol.asyncIterator](): AsyncIterableIterator<Buffer>;
    /**
     * Passes on what this connection receives, to another one of the same worker, until the end of the stream. The bytes go out from the
     * memory that they were received into, on the ring thread: nothing of them enters JavaScript. What is buffered goes first.
     *
     * The peer's FIN is passed on as well, as by {@link ConnCtx.shutdownWrite}. Receiving pauses while the other connection is full. While
     * the pipe lasts, other sends on `to` fail with `ERR_RINGLINE_PIPE_BUSY`, and its `bufferedAmount` does not count what the pipe
     * has under way. A proxy pipes both directions: `await Promise.all([client.pipe(server), server.pipe(client)])`.
     *
     * When a pipe ends early, neither connection is closed and no FIN is sent, since not everything has arrived. What has been passed on goes
     * out; what comes later is received here, by whoever asks for it with `withData` and its like.
     *
     * @param to - another connection of the same worker, such as one made with {@link ConnCtx.connect}; or this one, which echoes
     * @param options - a signal that stops the pipe; so does {@link ConnCtx.cancel}
     * @returns the number of bytes moved, when the kernel has taken all of them
     * @throws (as a rejection) the system error of the connection that failed; RinglineError `ERR_RINGLINE_INVALID_CONNECTION` when one of
     * them was closed; `ERR_RINGLINE_DIFFERENT_WORKER`; `ERR_RINGLINE_RECEIVE_BUSY` while a receiving call or another pipe of this
     * connection is pending; `ERR_RINGLINE_PIPE_BUSY` when another pipe sends on `to`; `ERR_RINGLINE_WRITE_AFTER_SHUTDOWN`;
     * `ERR_RINGLINE_INVALID_ARGUMENT`; `ERR_RINGLINE_CANCELED`; the signal's reason
     */
    pipe(to: ConnCtx, options?: PipeOptions): Promise<number>;
    /** As the function {@link connect}, on the worker of this connection. */
    connect(address: AddressInput, options?: ConnectOptions): Promise<ConnCtx>;
    /** As the function {@link connectWithTimeout}, on the worker of this connection. */
    connectWithTimeout(address: AddressInput, timeoutMs: number, options?: ConnectOptions): Promise<ConnCtx>;
    /** Asks the whole server of this connection to shut down. */
    requestShutdown(): void;
    /** Closes the connection, as {@link ConnCtx.close} does. */
    [Symbol.dispose](): void;
    /** Closes the connection and resolves when it has ended. */
    [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Makes a TCP connection, on the worker whose handler is being called; called elsewhere, on the workers of the runtime that was launched
 * last in this thread, in turn. The connection belongs to whoever awaits this promise; when the handler has `onData` and nobody has asked
 * for the connection's bytes by then, they go there.
 *
 * @param address - an IP address and a port; names are not looked up
 * @param options - a signal that gives up
 * @throws (as a rejection) the system error, such as `ECONNREFUSED`; RinglineError `ERR_RINGLINE_INVALID_ADDRESS`,
 * `ERR_RINGLINE_CONNECTION_LIMIT_REACHED` when `maxConnections` are open, `ERR_RINGLINE_NO_RUNTIME`,
 * `ERR_RINGLINE_WORKER_STOPPED` when the worker ends meanwhile, or the signal's reason
 */
export declare function connect(address: AddressInput, options?: ConnectOptions): Promise<ConnCtx>;

/** What {@link connect} and {@link connectWithTimeout} answer: the connection, when it is made. */
export declare type ConnectFuture = Promise<ConnCtx>;

/** Options of the connecting functions. */
export declare interface ConnectOptions {
    /** Gives up: the promise rejects with the signal's reason, and no connection is left behind. */
    readonly signal?: AbortSignal;
}

/**
 * As {@link connect}, with a limit of time.
 *
 * @param timeoutMs - milliseconds, above 0, fractions allowed
 * @throws (as a rejection) the errors of {@link connect}; a system error `ETIMEDOUT` when time is up
 */
export declare function connectWithTimeout(address: AddressInput, timeoutMs: number, options?: ConnectOptions): Promise<ConnCtx>;

/** Names one connection, for the methods of {@link DriverCtx}. One connection has one token, so tokens can be compared and be keys. */
export declare class ConnToken {
    #private;
    private constructor();
}

/** A received datagram. */
export declare interface Datagram {
    /**
     * What it carries, 0 to 65,507 bytes. It never changes and may be kept; keeping it keeps the 64 KiB of received memory alive that it is a
     * view of.
     */
    readonly data: Buffer;
    /** Who sent it. All datagrams of a peer may share this object, which is frozen; `sendTo` takes it without parsing. */
    readonly address: SocketAddress;
}

/**
 * A point in time that no change of the system's clock moves. Deadlines are ordered: `a < b` says that `a` comes first.
 */
export declare class Deadline {
    #private;
    private constructor();
    /** This moment. */
    static now(): Deadline;
    /**
     * So many milliseconds from now.
     *
     * @param ms - 0 or more, fractions allowed, up to 104 days
     * @throws RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`
     */
    static after(ms: number): Deadline;
    /** Milliseconds that are left, fractions included; 0 when the deadline has passed. */
    remaining(): number;
    /** The deadline on the clock of `performance.now()`, in milliseconds: what comparisons compare. */
    valueOf(): number;
}

/**
 * Whose thread turns the ring of a worker. `threadsafe`: one of its own, which does the kernel's work beside JavaScript. `inline`: the
 * JavaScript thread that the handler runs on.
 */
export declare type Delivery = 'threadsafe' | 'inline';

/** The end of an operation that was begun through `DriverCtx`, as `onDirectIo` gets it. */
export declare interface DirectIoCompletion {
    /** The file; undefined when it could not be opened. */
    readonly file: DirectIoFile | undefined;
    readonly op: DirectIoOp;
    /** The number that the call which began it answered. */
    readonly seq: number;
    /** Bytes done; 0 for an open or fsync, and when it failed. */
    readonly result: number;
    /** Why it failed, or undefined. */
    readonly error: RinglineError | undefined;
    /** The buffer of a read or write. */
    readonly buffer: NodeJS.ArrayBufferView | undefined;
}

/** What direct I/O may take of a worker. */
export declare interface DirectIoConfig {
    /** Files that a worker may have open, 1 … 65536. Default 8. */
    readonly maxFiles: number;
    /** Operations that a worker may have in flight, 1 … 65536. Default 256. */
    readonly maxCommandsInFlight: number;
    /**
     * How many microseconds a worker with one to four operations in flight looks for their end before it sleeps, 0 … 10000. Default 0: it
     * sleeps at once. Above the time that the disk takes, it spares the time to fall asleep and to be woken, and costs that CPU time; the
     * worker needs a CPU of its own then. With inline delivery, that of the JavaScript thread.
     */
    readonly busyPollUs: number;
}

/**
 * An open file of one worker. It stays open until it is closed or its worker has ended.
 *
 * Buffers are those of `allocAligned`. Many operations may be in flight on a file, and they end in any order.
 */
export declare class DirectIoFile {
    /** What lengths and positions must be multiples of, in bytes. */
    readonly blockSize: number;
    /** What addresses of buffers must be multiples of, in bytes. */
    readonly memoryAlignment: number;
    /** The size of the file when it was opened, in bytes. */
    readonly sizeAtOpen: number;
    #private;
    private constructor();
    /**
     * Fills a buffer from a position of the file on.
     *
     * @param offset - bytes, a multiple of `blockSize`
     * @param buffer - memory of `allocAligned` whose length is a multiple of `blockSize`
     * @returns the number of bytes, fewer at the end of the file
     * @throws (as a rejection) RinglineError `ERR_RINGLINE_MISALIGNED`, naming the number that is not aligned;
     * `ERR_RINGLINE_INVALID_ARGUMENT` for ordinary memory; `ERR_RINGLINE_INVALID_FILE` when the file is closed;
     * `ERR_RINGLINE_OPERATION_LIMIT_REACHED` when `maxCommandsInFlight` operations are in flight; a system error such as `EIO`
     */
    read(offset: number, buffer: NodeJS.ArrayBufferView, options?: DiskOptions): Promise<number>;
    /**
     * Writes a buffer to a position of the file.
     *
     * @returns the number of bytes
     * @throws (as a rejection) the errors of {@link DirectIoFile.read}; `ERR_RINGLINE_READ_ONLY_FILE`
     */
    write(offset: number, buffer: NodeJS.ArrayBufferView, options?: DiskOptions): Promise<number>;
    /**
     * Makes durable what was written. Writes that have not ended may or may not be included: await them first.
     *
     * @throws (as a rejection) a system error; `ERR_RINGLINE_INVALID_FILE`; `ERR_RINGLINE_OPERATION_LIMIT_REACHED`
     */
    fsync(options?: DiskOptions): Promise<void>;
    /** Closes the file once what is in flight on it has ended; resolves then. The second time it does nothing more. */
    close(): Promise<void>;
    /** Closes the file, as {@link DirectIoFile.close} does. */
    [Symbol.asyncDispose](): Promise<void>;
}

/** As {@link DirectIoFile.fsync}. */
export declare function directIoFsync(file: DirectIoFile, options?: DiskOptions): Promise<void>;

/** What a {@link DirectIoCompletion} is about. */
export declare const DirectIoOp: {
    readonly Open: 'open';
    readonly Read: 'read';
    readonly Write: 'write';
    readonly Fsync: 'fsync';
};

/** What a {@link DirectIoCompletion} is about. */
export declare type DirectIoOp = (typeof DirectIoOp)[keyof typeof DirectIoOp];

/** How a file is opened. */
export declare interface DirectIoOpenOptions {
    /** For reading alone. Default false. */
    readonly readOnly?: boolean;
    /** Makes the file when there is none, readable and writable for its owner. Default false. */
    readonly create?: boolean;
    /** Gives up: the promise rejects with the signal's reason, and no file is left open. */
    readonly signal?: AbortSignal;
}

/** As {@link DirectIoFile.read}. */
export declare function directIoRead(file: DirectIoFile, offset: number, buffer: NodeJS.ArrayBufferView, options?: DiskOptions): Promise<number>;

/** As {@link DirectIoFile.write}. */
export declare function directIoWrite(file: DirectIoFile, offset: number, buffer: NodeJS.ArrayBufferView, options?: DiskOptions): Promise<number>;

/** What reads and writes of files and NVMe devices answer: the number of bytes done. */
export declare type DiskIoFuture = Promise<number>;

/** Options of reads, writes and fsyncs. */
export declare interface DiskOptions {
    /**
     * Stops waiting: the promise rejects with the signal's reason. The operation itself goes on, and the buffer must not be used before
     * the file was closed.
     */
    readonly signal?: AbortSignal;
}

/**
 * The operations of one worker, as `onStart`, `onTick` and `onNotify` get them. Every operation through the token of a connection that has
 * ended is refused, or does nothing where that is what it would do anyway.
 */
export declare class DriverCtx {
    #private;
    private constructor();
    /** The number of the worker, 0 … workers − 1. */
    get workerId(): number;
    /** Open connections of this worker. */
    get connections(): number;
    /** What this worker has in use. */
    usage(): WorkerUsage;
    /** What this worker has done since it started. */
    metrics(): WorkerMetrics;
    /** As {@link ConnCtx.sendNowait}, with the same errors. */
    send(token: ConnToken, data: SendData): number;
    /** As `conn.sendParts()`: a builder of a send of several parts. */
    sendParts(token: ConnToken): AsyncSendBuilder;
    /** As {@link ConnCtx.sendChainNowait}, with the same errors. */
    sendChain(token: ConnToken, add: (chain: ChainBuilder) => unknown): number;
    /**
     * Opens a file for direct I/O. How it ended is told to `onDirectIo`, as the end of every operation that is begun here; what can be seen to
     * be wrong at once is thrown, with the errors of the function {@link openDirectIoFile}.
     *
     * @returns the number of the operation
     */
    openDirectIoFile(path: string, options?: Omit<DirectIoOpenOptions, 'signal'>): number;
    /** Begins a read, as {@link DirectIoFile.read}; answers its number. */
    directIoRead(file: DirectIoFile, offset: number, buffer: NodeJS.ArrayBufferView): number;
    /** Begins a write, as {@link DirectIoFile.write}; answers its number. */
    directIoWrite(file: DirectIoFile, offset: number, buffer: NodeJS.ArrayBufferView): number;
    /** Begins an fsync, as {@link DirectIoFile.fsync}; answers its number. */
    directIoFsync(file: DirectIoFile): number;
    /** Closes a file when what is in flight on it has ended. */
    closeDirectIoFile(file: DirectIoFile): void;
    /** Opens an NVMe namespace, as the function {@link openNvmeDevice}. How it ended is told to `onNvme`. */
    openNvmeDevice(path: string, namespace: number): number;
    /** Submits a read, as {@link NvmeDevice.read}; answers its number. */
    nvmeRead(device: NvmeDevice, lba: number, numBlocks: number, buffer: NodeJS.ArrayBufferView): number;
    /** Submits a write, as {@link NvmeDevice.write}; answers its number. */
    nvmeWrite(device: NvmeDevice, lba: number, numBlocks: number, buffer: NodeJS.ArrayBufferView): number;
    /** Submits a flush, as {@link NvmeDevice.flush}; answers its number. */
    nvmeFlush(device: NvmeDevice): number;
    /** Closes a device when what is in flight on it has ended. */
    closeNvmeDevice(device: NvmeDevice): void;
    /** As {@link ConnCtx.shutdownWrite}. */
    shutdownWrite(token: ConnToken): void;
    /** As {@link ConnCtx.close}. */
    close(token: ConnToken): void;
    /** As {@link ConnCtx.cancel}. */
    cancel(token: ConnToken): void;
    /**
     * The peer's address.
     *
     * @throws RinglineError `ERR_RINGLINE_INVALID_CONNECTION` when the connection has ended
     */
    peerAddr(token: ConnToken): SocketAddress;
    /**
     * True when this side made the connection.
     *
     * @throws RinglineError `ERR_RINGLINE_INVALID_CONNECTION` when the connection has ended
     */
    isOutbound(token: ConnToken): boolean;
    /** As {@link UdpCtx.sendTo}, with the same errors. */
    sendTo(token: UdpToken, address: AddressInput, data: SendData): void;
    /** As the function {@link connect}, on this worker. */
    connect(address: AddressInput, options?: ConnectOptions): Promise<ConnCtx>;
    /** As the function {@link connectWithTimeout}, on this worker. */
    connectWithTimeout(address: AddressInput, timeoutMs: number, options?: ConnectOptions): Promise<ConnCtx>;
    /** Asks the whole server to shut down. */
    requestShutdown(): void;
}

/** What {@link select} resolves to: `kind` says which branch won. `intoInner()` is the value, whichever it was. */
export declare type Either<A, B> = Left<A> | Right<B>;

/** What {@link select3} resolves to: `kind` says which branch won. `intoInner()` is the value, whichever it was. */
export declare type Either3<A, B, C> = First<A> | Second<B> | Third<C>;

/** Time was up: what a timeout rejects with. */
export declare class Elapsed extends RinglineError {
}

/** The first branch of a {@link select3} was ready first. */
export declare interface First<A> {
    readonly kind: 'first';
    readonly value: A;
    /** The value. */
    intoInner(): A;
}

/** A guard of whatever kind. JavaScript's objects need no box for that: another name of {@link GuardBuffer}. */
export declare type GuardBox = GuardBuffer;

/** A Buffer over memory that the kernel can send from where it lies. Slices of it can be sent too. */
export declare interface GuardBuffer extends Buffer {
    /**
     * Resolves when no send of this memory, or of a slice of it, is in the kernel's hands: at once when there is none. Until then changing
     * the bytes changes what the peer gets.
     *
     * @throws (as a rejection) RinglineError `ERR_RINGLINE_WORKER_STOPPED` when a worker has ended while it was sending from this memory
     */
    readonly released: Promise<void>;
}

/** The promise of a zero-copy send: the number of bytes, when the kernel has taken all of them. */
export declare interface GuardedSend extends Promise<number> {
    /**
     * Resolves when the kernel no longer uses the guards' memory, which is when the peer has acknowledged the bytes; also when nothing was sent.
     *
     * @throws (as a rejection) RinglineError `ERR_RINGLINE_WORKER_STOPPED` when the worker has ended before
     */
    readonly released: Promise<void>;
}

/** A class that makes handlers: what `launch` takes, and what the module of `launch(new URL(…))` exports as default. */
export declare interface HandlerClass {
    /**
     * Makes the handler of one worker. A promise is waited for; a throw or a rejection makes `launch` fail.
     *
     * @param workerId - 0 … workers − 1
     */
    createForWorker(workerId: number): AsyncEventHandler | Promise<AsyncEventHandler>;
}

/** What {@link (join:function)} answers: both results, in the order of the branches. */
export declare type Join<A, B> = Promise<[A, B]>;

/**
 * Runs two tasks at once and waits for both. They are started in order.
 *
 * @returns both results
 * @throws (as a rejection) what the first one to fail throws; the other's signal is then aborted
 */
export declare function join<A, B>(a: Cancelable<A>, b: Cancelable<B>, options?: CombineOptions): Promise<[A, B]>;

/** What {@link (join3:function)} answers: all three results, in the order of the branches. */
export declare type Join3<A, B, C> = Promise<[A, B, C]>;

/** As {@link join}, for three. */
export declare function join3<A, B, C>(a: Cancelable<A>, b: Cancelable<B>, c: Cancelable<C>, options?: CombineOptions): Promise<[A, B, C]>;

/** What happens in a launched runtime, as far as its user has a say in it. */
export declare interface LaunchOptions {
    /**
     * A worker has failed: its thread has died, or its ring. Its connections are gone. Decides what becomes of the other workers:
     *
     * - `'shutdown'`: they are shut down, and `server.closed` rejects with the error. This is what happens without this method, too, and when it
     *   throws: then `closed` rejects with what it threw.
     * - `'continue'`: they go on without it. If it was the one that accepts, another one does so from now on; the port was open all the time.
     *   When no worker is left, `server.closed` rejects with the last error.
     *
     * Failures while the server starts are rejections of `launch`, and those amid a shutdown rejections of `closed`; neither comes here.
     *
     * @param worker - 0 … workers − 1
     */
    onWorkerError?(error: Error, worker: number): 'continue' | 'shutdown';
}

/** The first branch of a {@link select} was ready first. */
export declare interface Left<A> {
    readonly kind: 'left';
    readonly value: A;
    /** The value. */
    intoInner(): A;
}

/** The most guards among the parts of one send. */
export declare const MAX_GUARDS = 4;

/** The most parts of one send of `conn.sendParts`. */
export declare const MAX_IOVECS = 8;

/**
 * Memory for zero-copy sends that the workers of a runtime register with the kernel, so that it need not look up its pages for every send:
 * an arena for values that are sent often. Pass it in `registeredRegions`; without that its bytes can be sent all the same.
 */
export declare class MemoryRegion {
    /** The whole region, zeroed at first. */
    readonly buffer: GuardBuffer;
    private constructor();
    /**
     * Maps zeroed memory. Registering it counts against the limit of locked memory (`ulimit -l`) where that applies.
     *
     * @param bytes - 1 … 2^30
     * @throws RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`, or the system error `ENOMEM`
     */
    static allocate(bytes: number): MemoryRegion;
    /** The number of bytes. */
    get byteLength(): number;
    /** As {@link GuardBuffer.released}, for the whole region. */
    get released(): Promise<void>;
}

/** The end of a command that was submitted through `DriverCtx`, as `onNvme` gets it. */
export declare interface NvmeCompletion {
    /** The device; undefined when it could not be opened. */
    readonly device: NvmeDevice | undefined;
    readonly op: NvmeOp;
    /** The number that the call which submitted it answered. */
    readonly seq: number;
    /** Bytes done; 0 for an open or flush, and when it failed. */
    readonly result: number;
    /** Why it failed, a status of the device among the reasons, or undefined. */
    readonly error: RinglineError | undefined;
    /** The buffer of a read or write. */
    readonly buffer: NodeJS.ArrayBufferView | undefined;
}

/** What NVMe commands may take of a worker. A worker with NVMe has a ring with entries twice as large. */
export declare interface NvmeConfig {
    /** Devices that a worker may have open, 1 … 65536. Default 4. */
    readonly maxDevices: number;
    /** Commands that a worker may have in flight, 1 … 65536. Default 256. */
    readonly maxCommandsInFlight: number;
}

/** An open NVMe namespace of one worker. It stays open until it is closed or its worker has ended. */
export declare class NvmeDevice {
    /** Bytes of a logical block. */
    readonly blockSize: number;
    /** Number of logical blocks. */
    readonly blocks: number;
    #private;
    private constructor();
    /**
     * Reads blocks.
     *
     * @param lba - the first block
     * @param numBlocks - 1 … 65535
     * @param buffer - memory of `allocAligned` of exactly the size of the blocks
     * @returns the number of bytes
     * @throws (as a rejection) RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`; `ERR_RINGLINE_INVALID_DEVICE` when the device is closed;
     * `ERR_RINGLINE_OPERATION_LIMIT_REACHED`; {@link NvmeStatusError} with what the device answers; a system error, `EINVAL` for more blocks
     * than the device takes at a time
     */
    read(lba: number, numBlocks: number, buffer: NodeJS.ArrayBufferView, options?: DiskOptions): Promise<number>;
    /** Writes blocks; otherwise as {@link NvmeDevice.read}. */
    write(lba: number, numBlocks: number, buffer: NodeJS.ArrayBufferView, options?: DiskOptions): Promise<number>;
    /** Makes durable what was written. Writes that have not ended may or may not be included: await them first. */
    flush(options?: DiskOptions): Promise<void>;
    /** Closes the device once what is in flight on it has ended; resolves then. */
    close(): Promise<void>;
    /** Closes the device, as {@link NvmeDevice.close} does. */
    [Symbol.asyncDispose](): Promise<void>;
}

/** As {@link NvmeDevice.flush}. */
export declare function nvmeFlush(device: NvmeDevice, options?: DiskOptions): Promise<void>;

/** What an {@link NvmeCompletion} is about. */
export declare const NvmeOp: {
    readonly Open: 'open';
    readonly Read: 'read';
    readonly Write: 'write';
    readonly Flush: 'flush';
};

/** What an {@link NvmeCompletion} is about. */
export declare type NvmeOp = (typeof NvmeOp)[keyof typeof NvmeOp];

/** How a device is opened. */
export declare interface NvmeOpenOptions {
    /** Gives up: the promise rejects with the signal's reason, and no device is left open. */
    readonly signal?: AbortSignal;
}

/** As {@link NvmeDevice.read}. */
export declare function nvmeRead(device: NvmeDevice, lba: number, numBlocks: number, buffer: NodeJS.ArrayBufferView, options?: DiskOptions): Promise<number>;

/** What an NVMe device has answered to a command instead of success. Its `code` is `ERR_RINGLINE_NVME_STATUS`; the message has it in words. */
export declare class NvmeStatusError extends RinglineError {
    /** The status code (SC), 0 … 255. */
    readonly statusCode: number;
    /** The status code type (SCT): 0 generic, 1 command specific, 2 media and data integrity, 3 path related, 7 vendor specific. */
    readonly statusCodeType: number;
    /** Whether the device says that the same command would fail again (DNR). */
    readonly doNotRetry: boolean;
}

/** As {@link NvmeDevice.write}. */
export declare function nvmeWrite(device: NvmeDevice, lba: number, numBlocks: number, buffer: NodeJS.ArrayBufferView, options?: DiskOptions): Promise<number>;

/**
 * Opens a file for direct I/O, on the worker that is chosen as `connect` chooses it.
 *
 * @param path - of an existing file, unless `create` is set
 * @throws (as a rejection) the system error, such as `ENOENT`, or `ENOTSUP` where the file system takes no direct I/O; RinglineError
 * `ERR_RINGLINE_NOT_ENABLED` without `directIo` in the configuration; `ERR_RINGLINE_FILE_LIMIT_REACHED` when `maxFiles` are open;
 * `ERR_RINGLINE_NO_RUNTIME`; or the signal's reason
 */
export declare function openDirectIoFile(path: string, options?: DirectIoOpenOptions): Promise<DirectIoFile>;

/**
 * Opens the generic character device of a namespace, such as `/dev/ng0n1`, on the worker that is chosen as `connect` chooses it.
 *
 * @throws (as a rejection) the system error, such as `EACCES`; `ENOTSUP` when it is no such device, `EINVAL` when it is that of another
 * namespace; RinglineError `ERR_RINGLINE_NOT_ENABLED` without `nvme` in the configuration; `ERR_RINGLINE_DEVICE_LIMIT_REACHED` when
 * `maxDevices` are open; `ERR_RINGLINE_NO_RUNTIME`; or the signal's reason
 */
export declare function openNvmeDevice(path: string, namespace: number, options?: NvmeOpenOptions): Promise<NvmeDevice>;

/** Looks at received bytes and says how many it has consumed. It may keep slices of them; it must answer synchronously. */
export declare type ParseFunction = (data: Buffer) => ParseResult;

/** The answer of a parse function: how many bytes it consumed, or 0 for "more are needed". Make it with {@link (ParseResult:variable)}. */
export declare type ParseResult = number;

/** Makes the two answers that a parse function can give. */
export declare const ParseResult: {
    /**
     * The first `bytes` of what was given are done with.
     *
     * @param bytes - a whole number from 0 to the length of what was given; 0 means the same as `ParseResult.NeedMore`
     */
    readonly Consumed: (bytes: number) => ParseResult;
    /** Nothing complete yet: call again when more bytes are there, with all of them. */
    readonly NeedMore: 0;
};

/** Options of {@link ConnCtx.pipe}. */
export declare interface PipeOptions {
    /** Stops the pipe: the promise rejects with the signal's reason, and no byte is lost. */
    readonly signal?: AbortSignal;
}

/** Options of the receiving methods. */
export declare interface ReceiveOptions {
    /** Ends the waiting; the promise rejects with the signal's reason. */
    readonly signal?: AbortSignal;
}

/** The provided-buffer ring that the connections of one worker receive into. */
export declare interface RecvBufferConfig {
    /** Buffers in the ring: a power of two, 1 … 32768. Default 256. */
    readonly ringSize: number;
    /** Bytes per buffer, 1 … 2^30. Default 16384. */
    readonly bufferSize: number;
    /** The buffer group's number, 0 … 65535. Default 0. */
    readonly bgid: number;
}

/** What {@link ConnCtx.recvReady} answers: it resolves when there are bytes to take, or when the stream has ended. */
export declare type RecvReadyFuture = Promise<void>;

/** What names a registered region. A region is its own name here, so that a wrong one cannot be given. */
export declare type RegionId = MemoryRegion;

/**
 * Asks the runtime of the worker that is chosen as {@link connect} chooses it to shut down. Returns at once; `server.closed` tells when
 * it is done.
 *
 * @throws RinglineError `ERR_RINGLINE_NO_RUNTIME`
 */
export declare function requestShutdown(): void;

/** The second branch of a {@link select} was ready first. */
export declare interface Right<B> {
    readonly kind: 'right';
    readonly value: B;
    /** The value. */
    intoInner(): B;
}

/** Launches workers: a server when an address is bound, otherwise a runtime for outbound connections. */
export declare class RinglineBuilder<Bound extends boolean = false> {
    #private;
    /**
     * @param config - the settings, as `new ConfigBuilder()…build()` makes them; the defaults when left out
     * @throws RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`
     */
    constructor(config?: Config);
    /**
     * The address to listen on; port 0 lets the system choose, see {@link Server.boundAddr}.
     *
     * @throws RinglineError `ERR_RINGLINE_INVALID_ADDRESS`
     */
    bind(address: AddressInput): RinglineBuilder<true>;
    /**
     * Binds a UDP socket on every worker, beside those of `udpBind`; the kernel spreads datagrams over the workers by their sender. May be
     * called for several addresses. With port 0 the system chooses one, the same for all workers: see {@link Server.udpAddrs}.
     *
     * @throws RinglineError `ERR_RINGLINE_INVALID_ADDRESS`
     */
    bindUdp(address: AddressInput): this;
    /**
     * Starts the workers; accepting begins when all of them stand. May be called again, for another runtime.
     *
     * @param handler - a class with `createForWorker`: the handlers of all workers run on this thread. Or the URL of a module whose default
     * export is such a class: each worker gets a thread of its own, imports the module there and makes its own handler; that thread ends
     * with its worker.
     * @param options - what becomes of the runtime when one of its workers fails
     * @throws (as a rejection) when anything fails, and then nothing is left: RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`; what
     * `createForWorker` or `onStart` throws (from a thread of a worker's own: its message and code, and as cause its stack); system errors such as
     * `EADDRINUSE` and `EACCES` with address and port; an error that says why io_uring cannot be used here; `ERR_RINGLINE_WORKER_STOPPED` when an
     * address is bound and a shutdown is asked for before the workers accept
     */
    launch(handler: HandlerClass | URL, options?: LaunchOptions): Promise<Server<Bound>>;
}

/**
 * An error of this package. `code` is an `ERR_RINGLINE_…` code (see {@link RinglineErrorCode}), or, for an error of the operating system, its name such as `ECONNREFUSED`; then `errno`, `syscall` and, where they
 * make sense, `address` and `port` are there too, as Node's own errors have them.
 */
export declare class RinglineError extends Error {
    /** What went wrong, for programs. */
    readonly code: string;
    /** The negative error number, for errors of the operating system. */
    readonly errno?: number;
    /** The operation that failed, for errors of the operating system. */
    readonly syscall?: string;
    /** The address it was about. */
    readonly address?: string;
    /** The port it was about. */
    readonly port?: number;
    /** The path it was about. */
    readonly path?: string;
    /**
     * @param code - what went wrong, for programs
     * @param message - what went wrong, for people
     * @param options - the cause, if there is one
     */
    constructor(code: string, message: string, options?: ErrorOptions);
}

/** The codes of errors that do not come from the operating system. They are stable: a message may change, a code does not. */
export declare type RinglineErrorCode = 'ERR_RINGLINE_BLOCKED_BY_SECCOMP' | 'ERR_RINGLINE_BUFFER_REGISTRATION' | 'ERR_RINGLINE_CANCELED' | 'ERR_RINGLINE_CHAIN_TOO_LONG' | 'ERR_RINGLINE_COMPLETIONS_LOST' | 'ERR_RINGLINE_CONNECTION_LIMIT_REACHED' | 'ERR_RINGLINE_DEVICE_LIMIT_REACHED' | 'ERR_RINGLINE_DIFFERENT_WORKER' | 'ERR_RINGLINE_DISABLED_BY_SYSCTL' | 'ERR_RINGLINE_ELAPSED' | 'ERR_RINGLINE_EXTERNAL_MEMORY' | 'ERR_RINGLINE_FILE_LIMIT_REACHED' | 'ERR_RINGLINE_GUARD_LIMIT_REACHED' | 'ERR_RINGLINE_HANDLER_FAILED' | 'ERR_RINGLINE_INLINE_UNAVAILABLE' | 'ERR_RINGLINE_INVALID_ADDRESS' | 'ERR_RINGLINE_INVALID_ARGUMENT' | 'ERR_RINGLINE_INVALID_CONFIG' | 'ERR_RINGLINE_INVALID_CONNECTION' | 'ERR_RINGLINE_INVALID_DEVICE' | 'ERR_RINGLINE_INVALID_FILE' | 'ERR_RINGLINE_INVALID_PARSE_RESULT' | 'ERR_RINGLINE_IO_URING_UNAVAILABLE' | 'ERR_RINGLINE_KERNEL_TOO_OLD' | 'ERR_RINGLINE_MISALIGNED' | 'ERR_RINGLINE_NATIVE_LIBRARY' | 'ERR_RINGLINE_NODE_API' | 'ERR_RINGLINE_NOT_ENABLED' | 'ERR_RINGLINE_NO_RUNTIME' | 'ERR_RINGLINE_NVME_STATUS' | 'ERR_RINGLINE_OPERATION_LIMIT_REACHED' | 'ERR_RINGLINE_OUT_OF_MEMORY' | 'ERR_RINGLINE_PIN_FAILED' | 'ERR_RINGLINE_PIPE_BUSY' | 'ERR_RINGLINE_READ_ONLY_FILE' | 'ERR_RINGLINE_RECEIVE_BUSY' | 'ERR_RINGLINE_RECEIVE_LIMIT_EXCEEDED' | 'ERR_RINGLINE_RESOURCE_LIMIT' | 'ERR_RINGLINE_RING_SETUP' | 'ERR_RINGLINE_SEND_IN_FLIGHT' | 'ERR_RINGLINE_SEND_POOL_EXHAUSTED' | 'ERR_RINGLINE_STALE_CHUNK' | 'ERR_RINGLINE_SUBMISSION_QUEUE_FULL' | 'ERR_RINGLINE_TASK_LIMIT_REACHED' | 'ERR_RINGLINE_TIMER_EXHAUSTED' | 'ERR_RINGLINE_TOO_MANY_PARTS' | 'ERR_RINGLINE_UNSUPPORTED_PLATFORM' | 'ERR_RINGLINE_WORKER_FAILED' | 'ERR_RINGLINE_WORKER_STOPPED' | 'ERR_RINGLINE_WRITE_AFTER_SHUTDOWN';

/** The second branch of a {@link select3} was ready first. */
export declare interface Second<B> {
    readonly kind: 'second';
    readonly value: B;
    /** The value. */
    intoInner(): B;
}

/** What {@link (select:function)} answers: the branch that was ready first. */
export declare type Select<A, B> = Promise<Either<A, B>>;

/**
 * Runs two tasks at once and waits for the first to be ready. They are started in order; when both are ready at the same time, `a` wins.
 * The loser's signal is aborted, and what it answers all the same is closed if it is a connection or file that was made with that signal; when `a` is ready without waiting, `b` is not even started.
 *
 * @throws (as a rejection) what the branch that was ready first throws
 */
export declare function select<A, B>(a: Cancelable<A>, b: Cancelable<B>, options?: CombineOptions): Promise<Either<A, B>>;

/** What {@link (select3:function)} answers: the branch that was ready first. */
export declare type Select3<A, B, C> = Promise<Either3<A, B, C>>;

/** As {@link select}, for three: `a` wins over `b`, and `b` over `c`. */
export declare function select3<A, B, C>(a: Cancelable<A>, b: Cancelable<B>, c: Cancelable<C>, options?: CombineOptions): Promise<Either3<A, B, C>>;

/** The builder of a send in parts, as {@link DriverCtx.sendParts} answers it: the same as for the sends of tasks. */
export declare type SendBuilder = AsyncSendBuilder;

/** What the sending methods take: a string is sent as UTF-8, a view as the bytes it shows. */
export declare type SendData = string | NodeJS.ArrayBufferView;

/** What {@link ConnCtx.send} answers: the number of bytes, when the kernel has taken all of them. */
export declare type SendFuture = Promise<number>;

/** Memory that can be sent from where it lies, and which the kernel keeps until it has let go of it: another name of {@link GuardBuffer}. */
export declare type SendGuard = GuardBuffer;

/** A part of a send: data that is copied when it is submitted, or memory of `allocGuard`, `allocAligned` or a `MemoryRegion`. */
export declare type SendPart = {
    readonly copy: SendData;
} | {
    readonly guard: NodeJS.ArrayBufferView;
};

/** Makes the parts of a send. */
export declare const SendPart: {
    /** Data that is copied when the send is submitted. */
    readonly Copy: (data: SendData) => SendPart;
    /** Memory that is sent from where it lies. */
    readonly Guard: (memory: NodeJS.ArrayBufferView) => SendPart;
};

/**
 * A running server, or a runtime for connections of its own when nothing was bound. It runs until {@link Server.shutdown}, whether or not
 * anybody keeps this object, and keeps the process alive unless {@link Server.unref} was called.
 */
export declare class Server<Bound extends boolean = boolean> {
    #private;
    /**
     * Settles when every worker has ended: resolves after a shutdown, rejects when a worker has failed. The others are then shut down, unless
     * {@link LaunchOptions.onWorkerError} has decided otherwise.
     * Left unhandled, that rejection ends the process, as an unhandled rejection does.
     */
    readonly closed: Promise<void>;
    private constructor();
    /** Where the server listens, with the port that the system chose when it was bound to port 0; undefined when nothing was bound. */
    get boundAddr(): BoundAddress<Bound>;
    /** What the UDP sockets of every worker are bound to, in the order in which they were asked for, with the ports that were chosen. */
    get udpAddrs(): readonly SocketAddress[];
    /** How many workers there are. */
    get workers(): number;
    /**
     * Stops accepting, closes every connection with a FIN behind what was sent, and ends the workers. May be called any number of times. Workers
     * take two seconds at most, and drop what a peer has not taken by then; a zero-copy send to such a peer takes two more, for the kernel to
     * let go of its memory.
     *
     * Promises of sleeps, connects, sends and the like that are pending then reject, most of them with `ERR_RINGLINE_WORKER_STOPPED`. That
     * reaches whoever awaits them; one that was dropped does not end the process. A handler's method or a `spawn`ed task that gives up for it
     * is not reported either. An async function of your own that awaits one and is dropped itself rejects as any other: spawn it, or catch.
     *
     * @returns what {@link Server.closed} is
     */
    shutdown(): Promise<void>;
    /** Calls `onNotify` of every worker's handler, soon; calls in between may be answered by one. */
    notify(): void;
    /** Keeps the process alive while the server runs, which is so at the start. */
    ref(): this;
    /** Lets the process exit although the server runs. */
    unref(): this;
    /** Shuts down, as {@link Server.shutdown} does. */
    [Symbol.asyncDispose](): Promise<void>;
}

/** What `launch` answers is the handle that shuts the runtime down: another name of {@link Server}. */
export declare type ShutdownHandle<Bound extends boolean = boolean> = Server<Bound>;

/**
 * Resolves after so many milliseconds, or slightly later, never earlier. Fractions are honoured: the resolution is that of the kernel's
 * clock, not the whole milliseconds of `setTimeout`.
 *
 * @param ms - 0 or more, up to 104 days
 * @throws (as a rejection) {@link TimerExhausted} when `timerSlots` timers are armed on the worker; RinglineError
 * `ERR_RINGLINE_INVALID_ARGUMENT`, `ERR_RINGLINE_NO_RUNTIME`, `ERR_RINGLINE_WORKER_STOPPED` when the worker ends meanwhile; or the signal's
 * reason
 */
export declare function sleep(ms: number, options?: TimerOptions): Promise<void>;

/** What {@link sleep} and {@link sleepUntil} answer, and their `try` forms. */
export declare type SleepFuture = Promise<void>;

/** As {@link sleep}, until a deadline. One that has passed is met as soon as the worker comes by. */
export declare function sleepUntil(deadline: Deadline, options?: TimerOptions): Promise<void>;

/** An IP address and a port. */
export declare interface SocketAddress {
    /** The address, such as `127.0.0.1` or `::1`. */
    readonly address: string;
    /** The port, 0 … 65535. */
    readonly port: number;
    /** The family, as in Node's `net`. */
    readonly family: 'IPv4' | 'IPv6';
}

/**
 * Starts a task on a worker, chosen as {@link connect} chooses it. The task is a function of a signal, which is aborted by
 * {@link TaskId.cancel} and when the worker stops; what it throws is reported to the handler's `onError`.
 *
 * @throws RinglineError `ERR_RINGLINE_TASK_LIMIT_REACHED` when `standaloneTaskCapacity` tasks are running; `ERR_RINGLINE_NO_RUNTIME`
 */
export declare function spawn(task: Task): TaskId;

/** A task: an async function that gives up when its signal is aborted. */
export declare type Task = (signal: AbortSignal) => unknown;

/** Names a task that was spawned. */
export declare class TaskId {
    #private;
    private constructor();
    /** Aborts the task's signal. Does nothing when the task has ended, or the second time. */
    cancel(): void;
}

/** The third branch of a {@link select3} was ready first. */
export declare interface Third<C> {
    readonly kind: 'third';
    readonly value: C;
    /** The value. */
    intoInner(): C;
}

/**
 * Runs a task and waits for it, but no longer than so many milliseconds. The task is started at once and looked at first: when it is done
 * by the time the timer comes up, its result counts. One that comes later is lost; a connection or file among them that was made with the
 * task's signal is closed.
 *
 * @param ms - 0 or more, fractions allowed, up to 104 days
 * @param task - gets a signal that is aborted when time is up, or when the signal of `options` is
 * @returns what the task answers
 * @throws (as a rejection) {@link Elapsed} when time is up; what the task throws; the errors of {@link sleep}
 */
export declare function timeout<T>(ms: number, task: Cancelable<T>, options?: TimerOptions): Promise<T>;

/** As {@link timeout}, with a deadline. */
export declare function timeoutAt<T>(deadline: Deadline, task: Cancelable<T>, options?: TimerOptions): Promise<T>;

/** What {@link timeout} and {@link timeoutAt} answer, and their `try` forms: what the task answers, or a rejection with {@link Elapsed}. */
export declare type TimeoutFuture<T> = Promise<T>;

/** As many timers are armed on the worker as it has slots for. */
export declare class TimerExhausted extends RinglineError {
}

/** Options of sleeps and timeouts. */
export declare interface TimerOptions {
    /** Gives up: the promise rejects with the signal's reason, and the timer is free again. */
    readonly signal?: AbortSignal;
}

/**
 * As {@link sleep}, but takes the timer before it returns.
 *
 * @throws TimerExhausted at once when `timerSlots` timers are armed on the worker; RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`,
 * `ERR_RINGLINE_NO_RUNTIME`
 */
export declare function trySleep(ms: number, options?: TimerOptions): Promise<void>;

/** As {@link trySleep}, until a deadline. */
export declare function trySleepUntil(deadline: Deadline, options?: TimerOptions): Promise<void>;

/**
 * As {@link timeout}, but takes the timer before it returns and before the task is started.
 *
 * @throws TimerExhausted at once when `timerSlots` timers are armed on the worker; RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`,
 * `ERR_RINGLINE_NO_RUNTIME`
 */
export declare function tryTimeout<T>(ms: number, task: Cancelable<T>, options?: TimerOptions): Promise<T>;

/** As {@link tryTimeout}, with a deadline. */
export declare function tryTimeoutAt<T>(deadline: Deadline, task: Cancelable<T>, options?: TimerOptions): Promise<T>;

/**
 * A UDP socket of one worker. It lives as long as the worker: nothing that a peer or a router answers ends it.
 *
 * Datagrams go to `onDatagram`, when the handler has it and nobody has called `recvFrom` or begun a `for await` loop of this socket;
 * otherwise they wait here. When 4096 of them wait, or 4 MiB, the newest are dropped and counted.
 */
export declare class UdpCtx {
    /** Whatever the application wants to keep with this socket; the package never looks at it. */
    userData: unknown;
    #private;
    private constructor();
    /** The place of the socket's address among those that were bound, the same on every worker. */
    index(): number;
    /** What names this socket for {@link DriverCtx}: one and the same object at every call. */
    token(): UdpToken;
    /** The address that the socket is bound to. */
    localAddr(): SocketAddress;
    /** Datagrams that were received and dropped, because too many waited already. */
    get dropped(): number;
    /** Datagrams that `sendTo` has queued and that could then not be sent: no route, for example. */
    get sendErrors(): number;
    /**
     * Takes the next datagram.
     *
     * @param options - a signal that ends the waiting; no datagram is lost by it
     * @throws (as a rejection) RinglineError `ERR_RINGLINE_RECEIVE_BUSY` while another `recvFrom` is pending, which goes on waiting;
     * `ERR_RINGLINE_WORKER_STOPPED` when the worker has ended; or the signal's reason
     */
    recvFrom(options?: ReceiveOptions): Promise<Datagram>;
    /**
     * Queues a datagram; its bytes are copied. Datagrams of one turn go out together, and to one peer in the order of the calls.
     *
     * @param address - an IP address of the socket's family and a port; names are not looked up
     * @param data - a string (sent as UTF-8), Buffer, typed array or DataView of 0 to 65,507 bytes
     * @throws UdpSendError when it cannot be queued now, or never: see its codes; RinglineError `ERR_RINGLINE_INVALID_ADDRESS`,
     * `ERR_RINGLINE_INVALID_ARGUMENT`, `ERR_RINGLINE_WORKER_STOPPED`
     */
    sendTo(address: AddressInput, data: SendData): void;
    /** The datagrams, one after the other, until the worker ends. */
    [Symbol.asyncIterator](): AsyncGenerator<Datagram, void, undefined>;
}

/** What {@link UdpCtx.recvFrom} answers: one datagram and who sent it. */
export declare type UdpRecvFuture = Promise<Datagram>;

/**
 * Why a datagram was not queued. Its `code` is one of
 *
 * - `ERR_RINGLINE_SEND_POOL_EXHAUSTED`: no send slot is free; try again later, or raise `sendCopyCount`
 * - `ERR_RINGLINE_SEND_IN_FLIGHT`: 1024 datagrams of the socket are on their way out
 * - `ERR_RINGLINE_SUBMISSION_QUEUE_FULL`: the worker does not keep up with what it is given
 * - `EMSGSIZE`: it is longer than 65,507 bytes
 */
export declare class UdpSendError extends RinglineError {
}

/** Names one UDP socket of one worker, for {@link DriverCtx.sendTo}. One socket has one token. */
export declare class UdpToken {
    #private;
    private constructor();
}

/**
 * The version of the native library in use, such as `0.1.0`.
 *
 * @returns the version, in the form of Semantic Versioning
 * @throws an error with code `ERR_RINGLINE_UNSUPPORTED_PLATFORM` where there is no native library for this platform, or
 * `ERR_RINGLINE_NATIVE_LIBRARY` where there should be one but it is missing or cannot be loaded
 */
export declare function version(): string;

/** What {@link ConnCtx.withBytes} answers: the number of bytes consumed, 0 at the end of the stream. */
export declare type WithBytesFuture = Promise<number>;

/** What {@link ConnCtx.withData} answers: the number of bytes consumed, 0 at the end of the stream. */
export declare type WithDataFuture = Promise<number>;

/** How many workers there are, and on which cores they run. */
export declare interface WorkerConfig {
    /** Ring threads, 0 … 1024; 0 means one per available core. Default 0. */
    readonly threads: number;
    /**
     * Whether worker i is pinned to core `coreOffset + i`. Pinning that fails is an error of `launch`. With `inline` delivery the threads of
     * `launch(new URL(…))` are pinned; the thread that `launch(HandlerClass)` is called on is not ringline's, and stays as it is. Default true.
     */
    readonly pinToCore: boolean;
    /** The core of worker 0, 0 … 4095. Default 0. */
    readonly coreOffset: number;
}

/**
 * What a worker has done since it started: counts, for dashboards and for figures per request. They are as they were when the worker last
 * looked for something to tell; each is exact up to 2^53.
 */
export declare interface WorkerMetrics {
    /** Calls into the kernel to submit and wait (io_uring_enter). */
    readonly enters: number;
    /** Completions of the ring. */
    readonly completions: number;
    /** Times that the worker was woken by another thread: by JavaScript's, by another worker's, or to stop. */
    readonly doorbells: number;
    /** Times that JavaScript was called, each time for all that there was to tell. */
    readonly batches: number;
    /** Pieces of received bytes. */
    readonly chunks: number;
    /** Bytes received by connections. */
    readonly bytesReceived: number;
    /** Sends submitted to the kernel; what is queued on a connection in one turn goes out as one. */
    readonly sends: number;
    /** Those of them that were zero-copy sends. */
    readonly zeroCopySends: number;
    /** Zero-copy sends that the kernel copied all the same; their connections go back to plain sends. */
    readonly zeroCopyCopied: number;
    /** Bytes of connections that the kernel took. */
    readonly bytesSent: number;
    /** Receives that ended for want of buffers. */
    readonly bufferShortages: number;
    /** Connections accepted. */
    readonly accepted: number;
    /** Accepted connections that were closed at once because every slot was taken. */
    readonly refused: number;
    /** Accepts that failed. */
    readonly acceptErrors: number;
    /** Datagrams received. */
    readonly datagramsReceived: number;
    /** Datagrams that the kernel took. */
    readonly datagramsSent: number;
    /** Datagrams that could not be sent, and receives that failed. */
    readonly datagramErrors: number;
    /** Reads and writes of files from and into memory that is registered with the ring. */
    readonly fixedTransfers: number;
    /** Completions for a past owner of a slot. */
    readonly staleCompletions: number;
}

/** What a worker has in use: for dashboards, and for tests that nothing leaks. */
export declare interface WorkerUsage {
    /** Connections, those that are being closed included. */
    readonly connections: number;
    /** Attempts to connect whose outcome is not known. */
    readonly connects: number;
    /** Send slots with bytes that the kernel has not taken. */
    readonly sendSlots: number;
    /** Guards that are queued, or whose memory the kernel may still read. */
    readonly guards: number;
    /** Datagrams that wait for `recvFrom`. */
    readonly datagrams: number;
    /** Armed sleeps and timeouts. */
    readonly timers: number;
    /** Tasks of `spawn`. */
    readonly spawnedTasks: number;
    /** Operations on files and NVMe devices, those that open one included. */
    readonly diskOperations: number;
}

export { }
