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
     * Bytes were received. The chunk is the user's for ever: it never changes and may be kept, and keeping it keeps the slab of received
     * memory alive that it is a view of. When a promise is answered, the next chunk of this connection is delivered after it is settled,
     * and receiving pauses when more than 256 KiB wait.
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
    /** At the end of a turn of the event loop, at least once per `tickTimeoutUs`. */
    onTick?(driver: DriverCtx): unknown;
    /** `server.notify()` was called; several calls may be answered by one. */
    onNotify?(driver: DriverCtx): unknown;
    /**
     * Something of the handler threw or rejected. Without this method it is reported by `process.emitWarning`, with code
     * `ERR_RINGLINE_HANDLER_FAILED`.
     *
     * @param conn - the connection it was about, if it was about one
     */
    onError?(error: Error, conn?: ConnCtx): void;
}

/** An address where one was bound. */
export declare type BoundAddress<Bound extends boolean> = Bound extends true ? SocketAddress : SocketAddress | undefined;

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
    /** Connections that wait to be accepted. */
    backlog(count: number): this;
    /** Connections per worker, accepted and outbound together, 1 … 2^24−1. */
    maxConnections(count: number): this;
    /** Bytes of the buffer in which received pieces are first joined. */
    recvAccumulatorCapacity(bytes: number): this;
    /** Bytes that a connection may accumulate while more are asked for. */
    recvAccumulatorLimit(bytes: number): this;
    /** Send slots per worker. */
    sendCopyCount(count: number): this;
    /** Bytes per send slot. */
    sendCopySlotSize(bytes: number): this;
    /** How often pending operations are submitted while many completions are handled, in microseconds. */
    flushIntervalUs(microseconds: number): this;
    /** The longest time between two calls of `onTick`, in microseconds. */
    tickTimeoutUs(microseconds: number): this;
    /** Whether sockets send small pieces at once. */
    tcpNodelay(value: boolean): this;
    /** Tasks of `spawn` that may run at a time per worker. */
    standaloneTaskCapacity(count: number): this;
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
    /** The ring threads. */
    readonly worker: WorkerConfig;
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
    /** Tasks of `spawn` that may run at a time per worker, 1 … 2^20. Default 256. */
    readonly standaloneTaskCapacity: number;
}

/** The settings that differ from the defaults. */
export declare type ConfigOptions = Partial<Omit<ConfigFields, 'recvBuffer' | 'worker'>> & {
    readonly recvBuffer?: Partial<RecvBufferConfig>;
    readonly worker?: Partial<WorkerConfig>;
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
    private readonly peer;
    private readonly local;
    private extras;
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
    /** True until the connection was closed, by either side, or has failed. */
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
    /** Sends a FIN after everything that was sent; receiving goes on. Does nothing the second time or after the end. */
    shutdownWrite(): void;
    /**
     * Closes the connection: what was sent goes out first, then the FIN; received bytes that nobody took are dropped. Does nothing the second
     * time or after the end.
     */
    close(): void;
    /**
     * Ends a pending `withData`, `withBytes` or `recvReady`, which rejects with `ERR_RINGLINE_CANCELED`. The connection stays open and no
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
    /** The received chunks, one after the other; ends quietly when the stream does. Leaving the loop early leaves the connection open. */
    [Symbol.asyncIterator](): AsyncIterableIterator<Buffer>;
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
 * `ERR_RINGLINE_CONNECTION_LIMIT_REACHED` when `maxConnections` are open, `ERR_RINGLINE_NO_RUNTIME`, or the signal's reason
 */
export declare function connect(address: AddressInput, options?: ConnectOptions): Promise<ConnCtx>;

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
    private readonly conn;
    private constructor();
}

/**
 * The operations of one worker, as `onStart`, `onTick` and `onNotify` get them. Every operation through the token of a connection that has
 * ended is refused, or does nothing where that is what it would do anyway.
 */
export declare class DriverCtx {
    private readonly dispatcher;
    private constructor();
    /** The number of the worker, 0 … workers − 1. */
    get workerId(): number;
    /** Open connections of this worker. */
    get connections(): number;
    /** As {@link ConnCtx.sendNowait}, with the same errors. */
    send(token: ConnToken, data: SendData): number;
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
    /** As the function {@link connect}, on this worker. */
    connect(address: AddressInput, options?: ConnectOptions): Promise<ConnCtx>;
    /** As the function {@link connectWithTimeout}, on this worker. */
    connectWithTimeout(address: AddressInput, timeoutMs: number, options?: ConnectOptions): Promise<ConnCtx>;
    /** Asks the whole server to shut down. */
    requestShutdown(): void;
    private connOf;
    private liveConnOf;
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

/**
 * Asks the runtime of the worker that is chosen as {@link connect} chooses it to shut down. Returns at once; `server.closed` tells when
 * it is done.
 *
 * @throws RinglineError `ERR_RINGLINE_NO_RUNTIME`
 */
export declare function requestShutdown(): void;

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
     * Starts the workers; accepting begins when all of them stand. May be called again, for another runtime.
     *
     * @param handler - a class with `createForWorker`: the handlers of all workers run on this thread. Or the URL of a module whose default
     * export is such a class: each worker gets a thread of its own, imports the module there and makes its own handler; that thread ends
     * with its worker.
     * @throws (as a rejection) when anything fails, and then nothing is left: RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`; what
     * `createForWorker` or `onStart` throws; system errors such as `EADDRINUSE` and `EACCES` with address and port; an error that says why
     * io_uring cannot be used here
     */
    launch(handler: HandlerClass | URL): Promise<Server<Bound>>;
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
    /**
     * @param code - what went wrong, for programs
     * @param message - what went wrong, for people
     * @param options - the cause, if there is one
     */
    constructor(code: string, message: string, options?: ErrorOptions);
}

/** The codes of errors that do not come from the operating system. They are stable: a message may change, a code does not. */
export declare type RinglineErrorCode = 'ERR_RINGLINE_BLOCKED_BY_SECCOMP' | 'ERR_RINGLINE_BUFFER_REGISTRATION' | 'ERR_RINGLINE_CANCELED' | 'ERR_RINGLINE_CONNECTION_LIMIT_REACHED' | 'ERR_RINGLINE_DISABLED_BY_SYSCTL' | 'ERR_RINGLINE_EXTERNAL_MEMORY' | 'ERR_RINGLINE_HANDLER_FAILED' | 'ERR_RINGLINE_INVALID_ADDRESS' | 'ERR_RINGLINE_INVALID_ARGUMENT' | 'ERR_RINGLINE_INVALID_CONFIG' | 'ERR_RINGLINE_INVALID_CONNECTION' | 'ERR_RINGLINE_INVALID_PARSE_RESULT' | 'ERR_RINGLINE_IO_URING_UNAVAILABLE' | 'ERR_RINGLINE_KERNEL_TOO_OLD' | 'ERR_RINGLINE_NATIVE_LIBRARY' | 'ERR_RINGLINE_NO_RUNTIME' | 'ERR_RINGLINE_OUT_OF_MEMORY' | 'ERR_RINGLINE_PIN_FAILED' | 'ERR_RINGLINE_RECEIVE_BUSY' | 'ERR_RINGLINE_RECEIVE_LIMIT_EXCEEDED' | 'ERR_RINGLINE_RESOURCE_LIMIT' | 'ERR_RINGLINE_RING_SETUP' | 'ERR_RINGLINE_SEND_POOL_EXHAUSTED' | 'ERR_RINGLINE_TASK_LIMIT_REACHED' | 'ERR_RINGLINE_UNSUPPORTED_PLATFORM' | 'ERR_RINGLINE_WORKER_FAILED' | 'ERR_RINGLINE_WORKER_STOPPED' | 'ERR_RINGLINE_WRITE_AFTER_SHUTDOWN';

/** What the sending methods take: a string is sent as UTF-8, a view as the bytes it shows. */
export declare type SendData = string | NodeJS.ArrayBufferView;

/**
 * A running server, or a runtime for connections of its own when nothing was bound. It runs until {@link Server.shutdown}, whether or not
 * anybody keeps this object, and keeps the process alive unless {@link Server.unref} was called.
 */
export declare class Server<Bound extends boolean = boolean> {
    #private;
    /**
     * Settles when every worker has ended: resolves after a shutdown, rejects when a worker has failed (the others are then shut down).
     * Left unhandled, that rejection ends the process, as an unhandled rejection does.
     */
    readonly closed: Promise<void>;
    private constructor();
    /** Where the server listens, with the port that the system chose when it was bound to port 0; undefined when nothing was bound. */
    get boundAddr(): BoundAddress<Bound>;
    /** How many workers there are. */
    get workers(): number;
    /**
     * Stops accepting, closes every connection with a FIN and ends the workers. May be called any number of times.
     *
     * @returns {@link Server.closed}
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
        private controller;
        private constructor();
        /** Aborts the task's signal. Does nothing when the task has ended, or the second time. */
        cancel(): void;
    }

    /**
     * The version of the native library in use, such as `0.1.0`.
     *
     * @returns the version, in the form of Semantic Versioning
     * @throws an error with code `ERR_RINGLINE_UNSUPPORTED_PLATFORM` where there is no native library for this platform, or
     * `ERR_RINGLINE_NATIVE_LIBRARY` where there should be one but it is missing or cannot be loaded
     */
    export declare function version(): string;

    /** How many workers there are, and on which cores they run. */
    export declare interface WorkerConfig {
        /** Ring threads, 0 … 1024; 0 means one per available core. Default 0. */
        readonly threads: number;
        /** Whether worker i is pinned to core `coreOffset + i`. Pinning that fails is an error of `launch`. Default true. */
        readonly pinToCore: boolean;
        /** The core of worker 0, 0 … 4095. Default 0. */
        readonly coreOffset: number;
    }

    export { }
