//! Pipes: what one connection receives goes out on another, from the memory it was received into, without the host.
//!
//! A pipe joins the receiving direction of its source with the sending direction of its target; a connection has at most
//! one of each. It begins *held*: what arrives waits until the host has queued on the target whatever must go out before.
//! Every pipe ends once, and the host is told so once, by the key it gave: when everything up to the source's FIN is out,
//! when either connection fails or is closed, or when the host stops it. What it has not taken is then the host's again.

use ringline_ring::Kernel;

use super::connection::Receive;
use super::send_queue::{Origin, Piece};
use super::slabs::Chunk;
use super::slots::Slots;
use super::{ConnToken, Driver, Host};

/// Unsent bytes of a target above which its source stops receiving.
const UNSENT_HIGH: u64 = 256 * 1024;
/// A source that has stopped receives again when its target's unsent bytes have fallen to this.
const UNSENT_LOW: u64 = UNSENT_HIGH / 2;
/// The same in pieces: each may hold a whole slab, however short it is.
const PIECES_HIGH: usize = 128;
const PIECES_LOW: usize = PIECES_HIGH / 2;

/// The pipe of a connection that has none.
pub(super) const NO_PIPE: u32 = u32::MAX;

/// Why a pipe was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeRefused {
    /// The source is closed or closing, or its token is stale.
    SourceClosed,
    /// The target takes no more bytes, or its token is stale.
    TargetClosed,
    /// The source is piped to a target already.
    SourceBusy,
    /// Another source is piped to the target already.
    TargetBusy,
}

/// How a pipe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeEnd {
    /// The source has finished, and the kernel has taken every byte; the FIN follows them.
    Finished,
    /// The host stopped it.
    Stopped,
    /// The source ended before its FIN, with this errno; 0 when it was closed from this side.
    SourceFailed(i32),
    /// The target took no more bytes, with this errno; 0 when it was closed, or shut down for writing, from this side.
    TargetFailed(i32),
}

/// Where a pipe is in its life.
enum Flow {
    /// Not started: what has arrived meanwhile waits here.
    Held(Vec<Chunk>),
    /// Bytes flow.
    Open,
    /// The target is full, and the source has stopped receiving.
    Full,
    /// The source has finished; the last byte is at this position of the target's stream.
    Draining(u64),
}

/// One pipe.
pub(super) struct Pipe {
    from: ConnToken,
    to: ConnToken,
    key: u64,
    /// Bytes that were queued on the target.
    moved: u64,
    flow: Flow,
}

/// A pipe that has ended and of which the host is to be told.
struct Ended {
    key: u64,
    from: ConnToken,
    moved: u64,
    end: PipeEnd,
    /// What it had held.
    chunks: Vec<Chunk>,
}

/// The pipes of a worker.
pub(super) struct Pipes {
    pipes: Slots<Pipe>,
    ended: Vec<Ended>,
}

impl Pipes {
    pub(super) fn new() -> Self {
        Self { pipes: Slots::new(NO_PIPE), ended: Vec::new() }
    }

    /// Whether the host has to be told of an end.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Whether a pipe goes on when the kernel has taken bytes of its target.
    pub(super) fn await_sent(&self, number: u32) -> bool {
        let pipe = self.pipes.get_any(number);
        pipe.is_some_and(|pipe| matches!(pipe.flow, Flow::Full | Flow::Draining(_)))
    }
}

impl<K: Kernel> Driver<K> {
    /// Makes a pipe, held until [`start_pipe`](Self::start_pipe). From now on the host gets no bytes of `from`.
    /// [`Host::pipe_ended`] tells its end, by `key`.
    ///
    /// # Errors
    ///
    /// When either connection is not open in the direction that is needed, or is part of another pipe in it.
    pub fn pipe(&mut self, from: ConnToken, to: ConnToken, key: u64) -> Result<(), PipeRefused> {
        let source = self.connection(from).filter(|source| source.is_open());
        let source_busy = source.ok_or(PipeRefused::SourceClosed)?.rare().pipe_out != NO_PIPE;
        let target = self.connection(to).filter(|target| target.accepts_sends()).ok_or(PipeRefused::TargetClosed)?;
        if source_busy {
            return Err(PipeRefused::SourceBusy);
        }
        if target.rare().pipe_in != NO_PIPE {
            return Err(PipeRefused::TargetBusy);
        }
        let pipe = Pipe { from, to, key, moved: 0, flow: Flow::Held(Vec::new()) };
        // There are fewer pipes than connections.
        let Some((number, _)) = self.pipes.pipes.insert(pipe) else { return Err(PipeRefused::SourceBusy) };
        if let Some(target) = self.connection(to) {
            target.change_rare(|rare| rare.pipe_in = number);
        }
        if let Some(source) = self.connection(from) {
            source.change_rare(|rare| rare.pipe_out = number);
        }
        Ok(())
    }

    /// Lets the pipe into `to` flow, if it is the one with this key and is still held.
    pub fn start_pipe(&mut self, to: ConnToken, key: u64) {
        let Some(number) = self.pipe_into(to, key) else { return };
        if !self.connection(to).is_some_and(|target| target.accepts_sends()) {
            return self.end_pipe(number, PipeEnd::TargetFailed(0));
        }
        let Some(pipe) = self.pipes.pipes.get_any_mut(number) else { return };
        let Flow::Held(chunks) = &mut pipe.flow else { return };
        let chunks = std::mem::take(chunks);
        pipe.flow = Flow::Open;
        let from = pipe.from;
        for chunk in chunks {
            let left = self.pass_on(number, chunk);
            debug_assert!(left.is_none(), "the target takes bytes, as was checked above");
        }
        match self.connection(from).map(|source| source.receive) {
            Some(Receive::Ended) => self.source_finished(number),
            _ if matches!(self.pipes.pipes.get_any(number), Some(Pipe { flow: Flow::Open, .. })) => {
                self.resume_receive(from);
            }
            _ => {}
        }
    }

    /// Ends the pipe into `to`, if it is the one with this key. What was passed on goes out; what comes then is the host's.
    pub fn stop_pipe(&mut self, to: ConnToken, key: u64) {
        if let Some(number) = self.pipe_into(to, key) {
            self.end_pipe(number, PipeEnd::Stopped);
        }
    }

    fn pipe_into(&mut self, to: ConnToken, key: u64) -> Option<u32> {
        let number = self.connection(to)?.rare().pipe_in;
        self.pipes.pipes.get_any(number).filter(|pipe| pipe.key == key).map(|_| number)
    }

    /// Queues what a pipe's source has received on its target. Answers the chunk when the target takes no more.
    #[inline]
    pub(super) fn pass_on(&mut self, number: u32, chunk: Chunk) -> Option<Chunk> {
        let pipe = match self.pipes.pipes.get_any_mut(number) {
            Some(pipe) => pipe,
            None => return Some(chunk),
        };
        let (from, to) = (pipe.from, pipe.to);
        if let Flow::Held(chunks) = &mut pipe.flow {
            chunks.push(chunk);
            self.pause_receive(from);
            return None;
        }
        let len = u64::from(chunk.len());
        let address = self.chunk_bytes(&chunk).as_ptr();
        if self.enqueue(to, Piece { address, len: chunk.len(), origin: Origin::Slab(chunk.slab()) }).is_err() {
            self.end_pipe(number, PipeEnd::TargetFailed(0));
            return Some(chunk);
        }
        let full = self.is_full(to, UNSENT_HIGH, PIECES_HIGH);
        let pipe = self.pipes.pipes.get_any_mut(number)?;
        pipe.moved += len;
        if full && matches!(pipe.flow, Flow::Open) {
            pipe.flow = Flow::Full;
            self.pause_receive(from);
        }
        None
    }

    fn is_full(&self, to: ConnToken, bytes: u64, pieces: usize) -> bool {
        let Some(target) = self.connections.get(to.slot(), to.generation()) else { return false };
        target.queued - target.sent > bytes || self.pieces.exceeds(&target.queue, pieces)
    }

    /// The FIN of a pipe's source has come: it follows the last byte on the target.
    pub(super) fn source_finished(&mut self, number: u32) {
        let Some(Pipe { to, flow, .. }) = self.pipes.pipes.get_any_mut(number) else { return };
        // Behind what is held, it is found when the pipe starts.
        if matches!(flow, Flow::Held(_)) {
            return;
        }
        let to = *to;
        let Some(target) = self.connection(to) else { return };
        let (end, open) = (target.queued, target.accepts_sends());
        if !open {
            return self.end_pipe(number, PipeEnd::TargetFailed(0));
        }
        if let Some(pipe) = self.pipes.pipes.get_any_mut(number) {
            pipe.flow = Flow::Draining(end);
        }
        self.target_sent(number);
    }

    /// The kernel has taken bytes of a pipe's target.
    #[inline]
    pub(super) fn target_sent(&mut self, number: u32) {
        let Some(pipe) = self.pipes.pipes.get_any(number) else { return };
        let (from, to) = (pipe.from, pipe.to);
        match pipe.flow {
            Flow::Held(_) | Flow::Open => {}
            Flow::Full if self.is_full(to, UNSENT_LOW, PIECES_LOW) => {}
            Flow::Full => {
                if let Some(pipe) = self.pipes.pipes.get_any_mut(number) {
                    pipe.flow = Flow::Open;
                }
                self.resume_receive(from);
            }
            Flow::Draining(end) => {
                let sent = self.connections.get(to.slot(), to.generation()).map_or(0, |target| target.sent);
                if sent >= end {
                    // Not before: a pipe that is stopped meanwhile leaves its target open for writing.
                    self.shutdown_write(to);
                    self.end_pipe(number, PipeEnd::Finished);
                }
            }
        }
    }

    /// A connection is no longer open, because of an errno or, with 0, because it was closed from this side: its pipes
    /// end. What is queued on it still goes out when it `flushes`.
    pub(super) fn end_pipes_of(&mut self, conn: ConnToken, errno: i32, flushes: bool) {
        let Some(connection) = self.connection(conn) else { return };
        let (outgoing, incoming) = (connection.rare().pipe_out, connection.rare().pipe_in);
        self.end_unfinished(outgoing, PipeEnd::SourceFailed(errno));
        if flushes {
            self.end_unfinished(incoming, PipeEnd::TargetFailed(errno));
        } else {
            self.end_pipe(incoming, PipeEnd::TargetFailed(errno));
        }
    }

    /// Ends a pipe, unless its source has finished: everything is with the target then, and still goes out.
    pub(super) fn end_unfinished(&mut self, number: u32, end: PipeEnd) {
        if self.pipes.pipes.get_any(number).is_some_and(|pipe| !matches!(pipe.flow, Flow::Draining(_))) {
            self.end_pipe(number, end);
        }
    }

    fn end_pipe(&mut self, number: u32, end: PipeEnd) {
        let Some(Pipe { from, to, key, moved, flow }) = self.pipes.pipes.remove_any(number) else { return };
        if let Some(target) = self.connection(to) {
            target.change_rare(|rare| rare.pipe_in = NO_PIPE);
        }
        if let Some(source) = self.connection(from).filter(|source| source.rare().pipe_out == number) {
            source.change_rare(|rare| rare.pipe_out = NO_PIPE);
        }
        self.resume_receive(from);
        let chunks = if let Flow::Held(chunks) = flow { chunks } else { Vec::new() };
        self.pipes.ended.push(Ended { key, from, moved, end, chunks });
    }

    /// Tells the host of pipes that have ended, and gives it what they had held.
    #[cold]
    pub(super) fn tell_pipes<H: Host<K>>(&mut self, host: &mut H) {
        for Ended { key, from, moved, end, chunks } in std::mem::take(&mut self.pipes.ended) {
            host.pipe_ended(key, moved, end);
            for chunk in chunks {
                match self.connection(from) {
                    Some(source) if source.is_open() => host.received(from, chunk),
                    _ => self.release(chunk),
                }
            }
        }
    }
}
