//! The life of a connection from open to freed: the only legal transitions, in one function.
//!
//! Everything that changes a connection ends with a call of [`Driver::advance`], which submits what comes next.

use std::io;

use ringline_ring::{Completion, Kernel, Op, Tag};

use super::connection::{Phase, Receive, Sending};
use super::kind::Kind;
use super::pipe::PipeEnd;
use super::{ConnToken, Driver, Due, Host, conn_of, file_of};

/// How long a closed connection waits for its peer's FIN before its file is closed.
pub(super) const LINGER_NS: u64 = 1_000_000_000;
/// The same, once the worker is shutting down.
const SHUTDOWN_LINGER_NS: u64 = 50_000_000;

impl<K: Kernel> Driver<K> {
    /// Sends FIN after everything that is queued. Receiving goes on, and a pipe into the connection ends. False when the
    /// token is stale or the connection is closed already.
    pub fn shutdown_write(&mut self, conn: ConnToken) -> bool {
        match self.connection(conn) {
            Some(connection) if connection.phase == Phase::Open => {
                connection.phase = Phase::Finishing;
                let pipe = connection.rare().pipe_in;
                self.end_unfinished(pipe, PipeEnd::TargetFailed(0));
                self.touch(conn);
                true
            }
            Some(connection) => connection.phase == Phase::Finishing,
            _ => false,
        }
    }

    /// Closes a connection: what is queued goes out, then FIN. The host gets no more bytes of it, and
    /// [`Host::closed`] when its slot is free. A connection that is still being made is given up without an event.
    /// False when the token is stale or the connection is closed already.
    pub fn close(&mut self, conn: ConnToken) -> bool {
        match self.connection(conn) {
            Some(connection) if connection.is_open() => {
                connection.phase = Phase::Flushing;
                // From now on the peer's bytes are discarded: it may have to get rid of them before it reads.
                connection.receive_wanted = true;
                if connection.receive == Receive::Off {
                    self.arm_receive(conn);
                }
                self.end_pipes_of(conn, 0, true);
                self.touch(conn);
                true
            }
            Some(connection) if connection.phase == Phase::Connecting => {
                self.give_up_connect(conn, None);
                true
            }
            _ => false,
        }
    }

    /// Closes a connection at once: what is queued and not yet with the kernel is dropped. `error` is what
    /// [`Host::closed`] will be told. A connection that is still being made, or whose connect is being given up, ends
    /// without an event. False when the token is stale.
    pub fn abort(&mut self, conn: ConnToken, error: Option<io::Error>) -> bool {
        let Some(connection) = self.connection(conn) else { return false };
        match connection.phase {
            Phase::Connecting => self.give_up_connect(conn, None),
            Phase::Ending => {
                // The host cannot know that the connect's time has passed, and is not told after all.
                if let Some(connecting) = self.connecting.get_mut(&conn) {
                    connecting.given_up = None;
                }
            }
            Phase::Closing => {}
            Phase::Open | Phase::Finishing | Phase::Flushing | Phase::Lingering => {
                let errno = error.map_or(0, |error| error.raw_os_error().unwrap_or(libc::EIO));
                connection.change_rare(|rare| rare.error = errno as u16);
                connection.phase = Phase::Ending;
                self.end_pipes_of(conn, errno, false);
                self.touch(conn);
            }
        }
        true
    }

    /// Lets connections that close from now on wait only briefly for their peers.
    pub fn hurry(&mut self) {
        self.linger_ns = SHUTDOWN_LINGER_NS;
    }

    /// Submits what comes next for a connection.
    pub(super) fn advance<H: Host<K>>(&mut self, host: &mut H, conn: ConnToken) {
        loop {
            let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return };
            self.pieces.unlist(&mut connection.queue);
            match connection.phase {
                Phase::Connecting | Phase::Closing => return,
                Phase::Open | Phase::Finishing | Phase::Flushing => {
                    if connection.sending != Sending::Idle {
                        return;
                    }
                    if !connection.queue.is_empty() {
                        return self.start_send(host, conn);
                    }
                    match (connection.phase, connection.fin_sent) {
                        (Phase::Open, _) | (Phase::Finishing, true) => return,
                        (Phase::Flushing, true) => self.begin_linger(conn),
                        // The peer has finished, too: closing the file sends the FIN.
                        (Phase::Flushing, false) if connection.receive == Receive::Ended => {
                            connection.phase = Phase::Ending;
                        }
                        (_, _) => {
                            connection.fin_sent = true;
                            // ENOTCONN: the peer has reset the connection, which the receive reports.
                            let _ = connection.socket.as_ref().map(|s| self.submitter.kernel.shutdown_write(s));
                        }
                    }
                }
                Phase::Lingering => {
                    if connection.receive != Receive::Ended {
                        return;
                    }
                    connection.phase = Phase::Ending;
                }
                Phase::Ending => return self.end_operations(host, conn),
            }
        }
    }

    /// FIN is out: goes on receiving, into nothing, until the peer's FIN or the end of the time.
    fn begin_linger(&mut self, conn: ConnToken) {
        let deadline = self.submitter.kernel.now() + self.linger_ns;
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return };
        connection.phase = Phase::Lingering;
        if connection.receive != Receive::Ended {
            let timer = self.timers.arm(deadline, Due::Linger(conn));
            connection.change_rare(|rare| rare.timer = Some(timer));
        }
    }

    pub(super) fn linger_over<H: Host<K>>(&mut self, host: &mut H, conn: ConnToken) {
        if let Some(connection) = self.connection(conn) {
            connection.take_timer();
            if connection.phase == Phase::Lingering {
                connection.phase = Phase::Ending;
                self.advance(host, conn);
            }
        }
    }

    /// Cancels what is in flight; once nothing is, closes the file. The file must not be closed earlier: an armed
    /// receive holds it, so that the peer would see no FIN and its bytes would still be received.
    fn end_operations<H: Host<K>>(&mut self, host: &mut H, conn: ConnToken) {
        let Some(connection) = self.connection(conn) else { return };
        if !connection.has_send_in_flight() {
            self.drop_queue(host, conn);
        }
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return };
        if let Some(timer) = connection.take_timer() {
            self.timers.cancel(timer);
        }
        let cancel_receive = connection.receive == Receive::Armed { cancelled: false };
        let chain_in_flight = connection.rare().chained && connection.sending == Sending::InFlight;
        let cancel_poll = connection.sending == Sending::Blocked { cancelled: false };
        if cancel_receive {
            connection.receive = Receive::Armed { cancelled: true };
        }
        if cancel_poll {
            connection.sending = Sending::Blocked { cancelled: true };
        }
        if connection.receive == Receive::Parked {
            connection.receive = Receive::Ended;
        }
        if connection.operations == 0 && !connection.has_send_in_flight() {
            connection.phase = Phase::Closing;
            connection.socket = None;
            return self.submit(Op::Close { file: file_of(conn) }, Kind::Close, conn);
        }
        if cancel_receive {
            self.submit_cancel(conn, Kind::Receive);
        }
        if cancel_poll {
            self.submit_cancel(conn, Kind::Writable);
        }
        if chain_in_flight {
            self.cancel_chain(conn);
        }
    }

    pub(super) fn submit_cancel(&mut self, conn: ConnToken, kind: Kind) {
        let target = Tag::new(kind as u8, conn.slot(), conn.generation());
        self.submit(Op::Cancel { target }, Kind::Cancel, conn);
    }

    /// The connection broke: tells why in the end, and ends it.
    pub(super) fn fail<H: Host<K>>(&mut self, host: &mut H, conn: ConnToken, errno: i32) {
        let Some(connection) = self.connection(conn) else { return };
        match connection.phase {
            Phase::Open | Phase::Finishing | Phase::Flushing => {
                connection.change_rare(|rare| rare.error = errno as u16);
                connection.phase = Phase::Ending;
                self.end_pipes_of(conn, errno, false);
            }
            // The FIN of this side is out: how the peer ends its side is no longer of interest.
            Phase::Lingering => connection.phase = Phase::Ending,
            Phase::Connecting | Phase::Ending | Phase::Closing => {}
        }
        self.advance(host, conn);
    }

    pub(super) fn cancel_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        // Whether the cancel found its target does not matter: the target posts its own completion in either case.
        if let Some(conn) = self.completed(completion) {
            self.advance(host, conn);
        }
    }

    pub(super) fn close_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let Some(conn) = self.completed(completion) else { return };
        let Some(connection) = self.connections.remove(conn.slot(), conn.generation()) else { return };
        self.peers.remove(conn.slot(), connection.peer);
        if connection.announced {
            let errno = connection.rare().error;
            let error = (errno != 0).then(|| io::Error::from_raw_os_error(errno.into()));
            host.closed(conn, error);
        }
    }

    /// The connection that a last completion belongs to, with the operation taken off its count; none, and counted as
    /// stale, when the slot has another owner by now.
    #[inline]
    pub(super) fn completed(&mut self, completion: Completion) -> Option<ConnToken> {
        let conn = conn_of(completion.tag);
        match self.connections.get_mut(conn.slot(), conn.generation()) {
            Some(connection) => {
                debug_assert!(connection.operations > 0, "{conn:?} completed what it never submitted");
                connection.operations -= u8::from(!completion.more());
                Some(conn)
            }
            None => {
                self.metrics.stale_completions += 1;
                None
            }
        }
    }
}
