//! What the connections do and when: first requests, next requests, the drain, the end. It is told of bytes and turns by
//! the tasks of [`tasks`](crate::tasks) and never waits itself; content and timing come from [`Connection`] and [`Measurement`].

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use ringline::{ConnCtx, Error};

use crate::arrivals::Arrivals;
use crate::connection::{Connection, WrongBytes};
use crate::measurement::Measurement;
use crate::options::Options;
use crate::stream::Stream;

const STALL_NS_MAX: u64 = 10_000_000_000;

/// One connection: its conversation, and how its bytes get out.
struct Peer {
    connection: Connection,
    /// None until the connection stands.
    conn: Option<ConnCtx>,
    /// The connection's writer, while it waits for something to send. Only bulk loads have writers.
    writer: Option<Waker>,
    /// Whether the connection is in the list of those that found the send slots exhausted.
    starved: bool,
}

/// The whole load of one run.
pub(crate) struct Load {
    options: &'static Options,
    peers: Vec<Peer>,
    /// Connections that do not stand yet; nothing is sent before all do.
    unconnected: usize,
    /// Connections that still wait for responses; the run is over when the drain has brought this to 0.
    unsettled: usize,
    /// Connections with bytes that the send slots had no room for. They try again at the end of the turn.
    starved: Vec<usize>,
    measurement: Measurement,
    arrivals: Option<Arrivals>,
    began: Instant,
    /// The time of this turn: the clock is read once, by the first who asks after the wait.
    now_ns: u64,
    clock_is_stale: bool,
    may_request: bool,
    last_progress_ns: u64,
    over: bool,
}

impl Load {
    pub(crate) fn new(options: &'static Options) -> Self {
        let stream = Stream::new(options.stream_period());
        let peer = |id| {
            let connection = Connection::new(stream, id, options.sizes(id));
            Peer { connection, conn: None, writer: None, starved: false }
        };
        Load {
            options,
            peers: (0..options.connections).map(peer).collect(),
            unconnected: options.connections,
            unsettled: if options.rate.is_some() { 0 } else { options.connections },
            starved: Vec::new(),
            measurement: Measurement::new(options),
            arrivals: None,
            began: Instant::now(),
            now_ns: 0,
            clock_is_stale: true,
            may_request: true,
            last_progress_ns: 0,
            over: false,
        }
    }

    /// Connection `id` stands. Returns whether it was the last: the run has then begun.
    pub(crate) fn connected(&mut self, id: usize, conn: ConnCtx) -> bool {
        self.peers[id].conn = Some(conn);
        self.unconnected -= 1;
        if self.unconnected > 0 {
            return false;
        }
        self.began = Instant::now();
        self.clock_is_stale = true;
        match self.options.rate {
            Some(rate) => self.arrivals = Some(Arrivals::new(rate, self.peers.len(), 0)),
            None => (0..self.peers.len()).for_each(|id| self.request(id, self.options.pipeline)),
        }
        true
    }

    /// Connection `id` has received `bytes`.
    #[inline]
    pub(crate) fn receive(&mut self, id: usize, bytes: &[u8]) -> Result<(), WrongBytes> {
        self.look_at_clock();
        let completed = self.peers[id].connection.receive(bytes, self.now_ns, &mut self.measurement.tally)?;
        self.last_progress_ns = self.now_ns;
        if completed == 0 {
            return Ok(());
        }
        if self.may_request && self.arrivals.is_none() {
            self.request(id, completed);
        } else if self.peers[id].connection.is_settled() {
            self.unsettled -= 1;
        }
        Ok(())
    }

    #[inline]
    fn request(&mut self, id: usize, count: usize) {
        for _ in 0..count {
            self.peers[id].connection.request(self.now_ns);
        }
        self.send(id);
    }

    /// Makes the requests whose time has come, and returns how many nanoseconds are left until the next; none when no more
    /// will be made.
    pub(crate) fn request_arrivals(&mut self) -> Option<u64> {
        self.clock_is_stale = true;
        self.look_at_clock();
        let now_ns = self.now_ns;
        while self.may_request
            && let Some((id, intended_ns)) = self.arrivals.as_mut()?.take_due(now_ns)
        {
            if self.peers[id].connection.is_settled() {
                if self.unsettled == 0 {
                    self.last_progress_ns = now_ns;
                }
                self.unsettled += 1;
            }
            self.peers[id].connection.request(intended_ns);
            self.send(id);
        }
        self.may_request.then(|| self.arrivals.as_ref().map(|arrivals| arrivals.next_ns().saturating_sub(now_ns)))?
    }

    /// Queues what connection `id` has to send, or wakes its writer to do so.
    #[inline]
    fn send(&mut self, id: usize) {
        let peer = &mut self.peers[id];
        if self.options.is_bulk() {
            peer.writer.take().into_iter().for_each(Waker::wake);
            return;
        }
        let Some(conn) = peer.conn else { return };
        loop {
            let bytes = peer.connection.unsent();
            if bytes.is_empty() {
                return;
            }
            match conn.send_nowait(bytes) {
                Ok(()) => peer.connection.sent(bytes.len()),
                Err(Error::SendPoolExhausted { .. }) => {
                    if !std::mem::replace(&mut peer.starved, true) {
                        self.starved.push(id);
                    }
                    return;
                }
                // The connection has ended; its reader finds out and tells why.
                Err(_) => return,
            }
        }
    }

    /// The next bytes of connection `id`, at most `len_max`, for its writer, which has to send them.
    pub(crate) fn poll_unsent(&mut self, id: usize, len_max: usize, cx: &Context<'_>) -> Poll<&'static [u8]> {
        let peer = &mut self.peers[id];
        let bytes = peer.connection.unsent();
        if bytes.is_empty() {
            peer.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let bytes = &bytes[..bytes.len().min(len_max)];
        peer.connection.sent(bytes.len());
        Poll::Ready(bytes)
    }

    /// Everything that this turn brought has been dealt with. Returns the run's outcome, once.
    #[inline]
    pub(crate) fn end_turn(&mut self) -> Option<Result<String, String>> {
        if self.unconnected > 0 || self.over {
            return None;
        }
        self.look_at_clock();
        self.clock_is_stale = true;
        if !self.starved.is_empty() {
            self.feed_starved();
        }
        if !self.may_request && self.unsettled == 0 {
            self.over = true;
            return Some(Ok(self.measurement.to_json(self.options, 0)));
        }
        if self.unsettled > 0 && self.now_ns > self.last_progress_ns + STALL_NS_MAX {
            self.over = true;
            return Some(Err(format!("{} connections had no response for 10 s", self.unsettled)));
        }
        None
    }

    #[cold]
    fn feed_starved(&mut self) {
        for id in std::mem::take(&mut self.starved) {
            self.peers[id].starved = false;
            self.send(id);
        }
    }

    #[inline]
    fn look_at_clock(&mut self) {
        if self.clock_is_stale {
            self.clock_is_stale = false;
            self.now_ns = self.began.elapsed().as_nanos() as u64;
            self.may_request = self.measurement.advance(self.now_ns);
        }
    }
}
