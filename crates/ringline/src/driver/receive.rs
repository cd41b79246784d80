//! Receiving: one multishot receive per connection into the worker's provided buffers.

use ringline_ring::{Completion, Kernel, Op};

use super::connection::{Phase, Receive};
use super::kind::Kind;
use super::pipe::NO_PIPE;
use super::slab_handle::SlabHandle;
use super::slabs::Chunk;
use super::{ConnToken, Driver, Due, Host, conn_of, file_of};

/// Receives that are armed again for each buffer the ring holds, when some waited for buffers. More than one, because
/// many small messages share a buffer; few, because those that find none wait again.
const UNPARKED_PER_BUFFER: usize = 4;
/// Memory that was not needed for this long is given back to the system.
const TRIM_NS: u64 = 2_000_000_000;
/// When there was no memory for a buffer, it is tried again after this long.
const BUFFERS_RETRY_NS: u64 = 10_000_000;

impl<K: Kernel> Driver<K> {
    /// Stops receiving on a connection: the peer's bytes stay in the kernel, and its window closes. Bytes that were
    /// already on their way to the host still arrive.
    pub fn pause_receive(&mut self, conn: ConnToken) -> bool {
        let Some(connection) = self.connection(conn) else { return false };
        if !connection.is_open() {
            return false;
        }
        connection.receive_wanted = false;
        if connection.receive == (Receive::Armed { cancelled: false }) {
            connection.receive = Receive::Armed { cancelled: true };
            self.submit_cancel(conn, Kind::Receive);
        }
        true
    }

    /// Receives again after [`pause_receive`](Self::pause_receive).
    pub fn resume_receive(&mut self, conn: ConnToken) -> bool {
        let Some(connection) = self.connection(conn) else { return false };
        if !connection.is_open() {
            return false;
        }
        connection.receive_wanted = true;
        if connection.receive == Receive::Off {
            self.arm_receive(conn);
        }
        true
    }

    /// While held back, the worker puts no new buffers into its ring: receiving stops when those in it are full, and
    /// goes on when the hold ends. For a host that cannot take more at the moment.
    pub fn hold_receive_buffers(&mut self, hold: bool) {
        self.buffers.hold_back(hold);
    }

    /// The bytes of a chunk.
    #[inline]
    pub fn chunk_bytes(&self, chunk: &Chunk) -> &[u8] {
        self.buffers.slabs().bytes(chunk)
    }

    /// Gives a chunk back.
    #[inline]
    pub fn release(&mut self, chunk: Chunk) {
        self.buffers.slabs_mut().release(chunk);
    }

    /// A chunk over borrowed bytes, if they lie in that slab: what was received can be sent on without a copy.
    pub fn chunk_of(&mut self, slab: u32, bytes: &[u8]) -> Option<Chunk> {
        self.buffers.slabs_mut().chunk_of(slab, bytes)
    }

    /// Splits the first `len` bytes off a chunk.
    ///
    /// # Panics
    ///
    /// When the chunk is shorter.
    pub fn split_chunk(&mut self, chunk: &mut Chunk, len: u32) -> Chunk {
        self.buffers.slabs_mut().split_to(chunk, len)
    }

    /// A handle that keeps the slab of a chunk readable on any thread.
    pub fn share(&self, chunk: &Chunk) -> SlabHandle {
        self.buffers.slabs().share(chunk)
    }

    /// A handle that keeps the memory of a chunk's slab mapped, whatever becomes of the chunk: later its bytes are others.
    pub fn share_lasting(&self, chunk: &Chunk) -> SlabHandle {
        self.buffers.slabs().share_lasting(chunk)
    }

    /// The [generation](SlabHandle::generation) of a chunk's slab.
    #[inline]
    pub fn chunk_generation(&self, chunk: &Chunk) -> u32 {
        self.buffers.slabs().generation(chunk)
    }

    /// A chunk over bytes that were received earlier into a slab that is still held by a handle of that
    /// [generation](SlabHandle::generation). None when it is not, or the range was never received.
    pub fn reclaim_chunk(&mut self, slab: u32, generation: u32, offset: u32, len: u32) -> Option<Chunk> {
        self.buffers.slabs_mut().reclaim(slab, generation, offset, len)
    }

    /// Slabs that are full and still held by somebody.
    pub fn slabs_held(&self) -> usize {
        self.buffers.slabs().held()
    }

    pub(super) fn arm_receive(&mut self, conn: ConnToken) {
        let group = self.buffers.group();
        if let Some(connection) = self.connection(conn) {
            debug_assert!(!matches!(connection.receive, Receive::Armed { .. }));
            connection.receive = Receive::Armed { cancelled: false };
            self.submit(Op::ReceiveMultishot { file: file_of(conn), group }, Kind::Receive, conn);
        }
    }

    /// Arms receives that waited for buffers, oldest first, as far as there are buffers.
    pub(super) fn unpark(&mut self) {
        let available = self.buffers.available();
        for _ in 0..available * UNPARKED_PER_BUFFER {
            let Some(conn) = self.parked.pop_front() else { return };
            let Some(connection) = self.connection(conn) else { continue };
            if connection.receive == Receive::Parked {
                connection.receive = Receive::Off;
                if connection.receive_wanted {
                    self.arm_receive(conn);
                }
            }
        }
        if available == 0 && self.buffers.wants_buffers() && !self.buffers_timer {
            self.buffers_timer = true;
            self.timers.arm(self.now + BUFFERS_RETRY_NS, Due::Buffers);
        }
    }

    /// Has memory given back that is no longer needed, in a while: [`Host::trim`] will be called. Worth calling when the
    /// host has come to hold much of it.
    #[inline]
    pub fn trim_later(&mut self) {
        if !self.trim_timer {
            self.trim_timer = true;
            self.timers.arm(self.now + TRIM_NS, Due::Trim);
        }
    }

    pub(super) fn trim<H: Host<K>>(&mut self, host: &mut H) {
        self.trim_timer = false;
        self.buffers.slabs_mut().trim();
        if host.trim() {
            self.trim_later();
        }
    }

    /// Whether there are receives to arm, and buffers for them, beyond those that this turn has armed.
    #[inline]
    pub(super) fn receives_wait(&self) -> bool {
        !self.parked.is_empty() && self.buffers.available() > 0
    }

    /// Tells the host of received bytes if they came as usual: into a buffer that the kernel goes on filling, by a receive
    /// that goes on, for the host. Answers whether they did; if not, nothing is done.
    #[inline(always)]
    pub(super) fn piece_received<H: Host<K>>(&mut self, host: &mut H, completion: Completion) -> bool {
        let conn = conn_of(completion.tag);
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return false };
        if connection.phase != Phase::Open || !connection.is_plain() || !completion.goes_on_receiving() {
            return false;
        }
        let Some(buffer) = completion.buffer_id() else { return false };
        let chunk = self.buffers.take_piece(buffer, completion.result as u32);
        host.received(conn, chunk);
        true
    }

    /// What comes less often: the buffer is full, its bytes have to be copied, the receive has ended.
    pub(super) fn receive_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let mut chunk = None;
        if let Some(buffer) = completion.buffer_id() {
            let len = u32::try_from(completion.result).unwrap_or(0);
            let taken = self.buffers.take(buffer, len, completion.buffer_more());
            if let Some(slab) = taken.retired {
                host.slab_retired(slab);
            }
            chunk = taken.chunk;
        }
        if !completion.more() || completion.result <= 0 {
            return self.receive_interrupted(host, completion, chunk);
        }
        self.bytes_received(host, conn_of(completion.tag), chunk);
    }

    /// A receive has ended, though it may be armed again, or brought no bytes.
    fn receive_interrupted<H: Host<K>>(&mut self, host: &mut H, completion: Completion, chunk: Option<Chunk>) {
        let Some(conn) = self.completed(completion) else { return self.discard(chunk) };
        if !completion.more()
            && let Some(connection) = self.connection(conn)
        {
            connection.receive = Receive::Off;
        }
        match completion.result {
            1.. => self.bytes_received(host, conn, chunk),
            0 => self.peer_finished(host, conn),
            result => self.receive_failed(host, conn, -result),
        }
        if !completion.more() {
            self.receive_again(host, conn);
        }
    }

    fn bytes_received<H: Host<K>>(&mut self, host: &mut H, conn: ConnToken, chunk: Option<Chunk>) {
        let Some(connection) = self.connection(conn) else {
            self.metrics.stale_completions += 1;
            return self.discard(chunk);
        };
        if !connection.is_open() {
            return self.discard(chunk);
        }
        let pipe = connection.rare().pipe_out;
        match chunk {
            Some(chunk) => {
                let len = chunk.len();
                let left = if pipe == NO_PIPE { Some(chunk) } else { self.pass_on(pipe, chunk) };
                match left {
                    Some(chunk) => host.received(conn, chunk),
                    None => self.buffers.passed_on(len),
                }
            }
            // Bytes were received, but there is nowhere to find them: going on would lose part of the stream.
            None => self.fail(host, conn, libc::ENOBUFS),
        }
    }

    fn discard(&mut self, chunk: Option<Chunk>) {
        if let Some(chunk) = chunk {
            self.release(chunk);
        }
    }

    fn peer_finished<H: Host<K>>(&mut self, host: &mut H, conn: ConnToken) {
        let Some(connection) = self.connection(conn) else { return };
        connection.receive = Receive::Ended;
        if connection.is_open() {
            let pipe = connection.rare().pipe_out;
            host.receive_ended(conn);
            if pipe != NO_PIPE {
                self.source_finished(pipe);
            }
        }
    }

    fn receive_failed<H: Host<K>>(&mut self, host: &mut H, conn: ConnToken, errno: i32) {
        match errno {
            libc::ENOBUFS => {
                self.metrics.buffer_shortages += 1;
                if let Some(connection) = self.connection(conn) {
                    connection.receive = Receive::Parked;
                    self.parked.push_back(conn);
                }
            }
            // Cancelled by a pause or at the end; interrupted: armed again below if it is still wanted.
            libc::ECANCELED | libc::EINTR | libc::EAGAIN => {}
            errno => {
                if let Some(connection) = self.connection(conn) {
                    connection.receive = Receive::Ended;
                }
                self.fail(host, conn, errno);
            }
        }
    }

    /// After the last completion of a receive: arms the next one, or lets the connection go on ending.
    fn receive_again<H: Host<K>>(&mut self, host: &mut H, conn: ConnToken) {
        let Some(connection) = self.connection(conn) else { return };
        match connection.phase {
            Phase::Open | Phase::Finishing | Phase::Flushing | Phase::Lingering
                if connection.receive == Receive::Off && connection.receive_wanted =>
            {
                self.arm_receive(conn);
            }
            _ => self.advance(host, conn),
        }
    }
}
