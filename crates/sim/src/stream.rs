//! One TCP connection: the socket that the runtime holds, the peer that the test plays, and the bytes between them.
//!
//! Plain state without clock or chance. Whoever changes it asks [`Stream::wants_arrival`] afterwards whether something
//! of the peer is under way, and lets it arrive when its time has come.

use std::collections::VecDeque;
use std::net::SocketAddr;

/// Where a connection stands, as the socket sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not connected, and never was: a socket as `socket()` makes it, or one whose connect has failed.
    Idle,
    /// The peer was asked and has not answered.
    Connecting,
    /// Bytes may travel.
    Connected,
    /// A reset has ended it.
    Dead,
}

/// What a receive finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Bytes(Vec<u8>),
    End,
    Failed(i32),
    NotYet,
}

pub(crate) struct Stream {
    pub(crate) state: State,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) peer: Option<SocketAddr>,
    /// What a connect found out and has not told yet: 0 or a negated errno.
    pub(crate) connect_result: Option<i32>,
    /// No descriptor, fixed file or operation of the runtime refers to the socket any more.
    pub(crate) released: bool,
    /// An arrival is on the calendar.
    pub(crate) arrival_scheduled: bool,

    // From the peer to the socket.
    wire: VecDeque<u8>,
    wire_end: bool,
    wire_reset: bool,
    received: VecDeque<u8>,
    receive_room_max: usize,
    end_received: bool,
    receive_shut_down: bool,
    /// The error that the next call of any kind will answer, once (`sk_err`).
    error: Option<i32>,

    // From the socket to the peer.
    sending: VecDeque<u8>,
    send_room_max: usize,
    send_shut_down: bool,
    inbox: VecDeque<u8>,
    window: usize,
    end_delivered: bool,
    reset_delivered: bool,
    peer_closed: bool,
}

impl Stream {
    pub(crate) fn new(receive_room_max: usize, send_room_max: usize, window: usize) -> Self {
        Self {
            state: State::Idle,
            local: None,
            peer: None,
            connect_result: None,
            released: false,
            arrival_scheduled: false,
            wire: VecDeque::new(),
            wire_end: false,
            wire_reset: false,
            received: VecDeque::new(),
            receive_room_max,
            end_received: false,
            receive_shut_down: false,
            error: None,
            sending: VecDeque::new(),
            send_room_max,
            send_shut_down: false,
            inbox: VecDeque::new(),
            window,
            end_delivered: false,
            reset_delivered: false,
            peer_closed: false,
        }
    }

    // ---- what the runtime's operations do -------------------------------------------------------------------------

    /// Whether a receive would end at once.
    pub(crate) fn readable(&self) -> bool {
        !self.received.is_empty()
            || self.error.is_some()
            || self.end_received
            || self.receive_shut_down
            || matches!(self.state, State::Dead | State::Idle)
    }

    /// Takes up to `most` bytes. As with Linux, bytes that came before a reset are read before the reset is told, and a
    /// reset after the end of the stream is told to sends only.
    pub(crate) fn receive(&mut self, most: usize) -> Received {
        if !self.received.is_empty() {
            let most = most.min(self.received.len());
            return Received::Bytes(self.received.drain(..most).collect());
        }
        if self.end_received {
            return Received::End;
        }
        if let Some(errno) = self.error.take() {
            return Received::Failed(errno);
        }
        match self.state {
            State::Dead => Received::End,
            State::Idle => Received::Failed(libc::ENOTCONN),
            _ if self.receive_shut_down => Received::End,
            _ => Received::NotYet,
        }
    }

    /// Whether bytes or the end of the stream wait for a receive.
    pub(crate) fn nonempty(&self) -> bool {
        !self.received.is_empty() || self.end_received
    }

    /// How many bytes a send would take, or the errno that it would answer. The error is used up by asking.
    pub(crate) fn room(&mut self) -> Result<usize, i32> {
        if let Some(errno) = self.error.take() {
            return Err(errno);
        }
        match self.state {
            State::Connecting => Ok(0),
            State::Connected if !self.send_shut_down => Ok(self.free_room()),
            _ => Err(libc::EPIPE),
        }
    }

    /// Takes bytes that fit into [`room`](Stream::room).
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.sending.extend(bytes);
        self.deliver();
    }

    /// The poll mask of a socket that is writable, broken, or **half-closed by its peer**; 0 when a poll for room has to
    /// wait. A ring's poll always tells POLLRDHUP, asked or not, so after the peer's FIN it completes at once each time
    /// although there is no room.
    pub(crate) fn writable(&self) -> i16 {
        let error = if self.error.is_some() { libc::POLLERR } else { 0 };
        let no_receives = self.end_received || self.receive_shut_down;
        match self.state {
            State::Connecting => 0,
            State::Idle => libc::POLLOUT | libc::POLLHUP | error,
            State::Dead => libc::POLLOUT | libc::POLLHUP | libc::POLLRDHUP | error,
            State::Connected => {
                // Linux calls a socket writable when a third of its room is free, not when the first byte is.
                let free = self.free_room();
                let has_room = free > 0 && free * 3 >= self.send_room_max + self.window;
                let room = if has_room || self.send_shut_down { libc::POLLOUT } else { 0 };
                let half = if no_receives { libc::POLLRDHUP } else { 0 };
                let both = if no_receives && self.send_shut_down { libc::POLLHUP } else { 0 };
                room | half | both
            }
        }
    }

    /// Ends one direction or both. Answers 0 or a negated errno.
    pub(crate) fn shut_down(&mut self, both: bool) -> i32 {
        match self.state {
            State::Idle | State::Dead => -libc::ENOTCONN,
            State::Connecting => {
                self.state = State::Idle;
                self.connect_result = Some(-libc::ECONNRESET);
                0
            }
            // Both directions have ended: for Linux the connection is no more.
            State::Connected if self.end_delivered && self.end_received => -libc::ENOTCONN,
            State::Connected => {
                self.receive_shut_down |= both;
                self.send_shut_down = true;
                self.deliver();
                0
            }
        }
    }

    /// The last reference of the runtime is gone: what is queued still goes out, then FIN. Bytes that nobody has read
    /// turn the FIN into a reset, and what the peer's window had no room for is lost.
    pub(crate) fn release(&mut self) {
        self.released = true;
        match self.state {
            State::Connected if self.received.is_empty() => {
                self.send_shut_down = true;
                self.deliver();
            }
            State::Connected => self.reset_peer(),
            State::Connecting => self.state = State::Idle,
            State::Idle | State::Dead => {}
        }
    }

    /// Nobody will ever accept the connection.
    pub(crate) fn refuse(&mut self) {
        self.released = true;
        self.reset_peer();
    }

    fn free_room(&self) -> usize {
        let window_room = self.window.saturating_sub(self.inbox.len());
        (self.send_room_max + window_room).saturating_sub(self.sending.len())
    }

    fn deliver(&mut self) {
        if self.state != State::Connected {
            return;
        }
        if self.peer_closed && !self.sending.is_empty() {
            // Bytes for a socket that is gone are answered with a reset.
            self.sending.clear();
            self.wire_reset = true;
            return;
        }
        let room = self.window.saturating_sub(self.inbox.len()).min(self.sending.len());
        self.inbox.extend(self.sending.drain(..room));
        self.end_delivered |= self.send_shut_down && self.sending.is_empty();
    }

    fn reset_peer(&mut self) {
        self.state = State::Dead;
        self.sending.clear();
        self.reset_delivered = true;
    }

    // ---- what travels ---------------------------------------------------------------------------------------------

    /// Whether something of the peer is under way that no arrival on the calendar will bring.
    pub(crate) fn wants_arrival(&self) -> bool {
        let bytes_can_come = !self.wire.is_empty() && (self.released || self.received.len() < self.receive_room_max);
        let end_can_come = self.wire.is_empty() && self.wire_end && !self.end_received;
        let lives = self.state == State::Connected;
        lives && !self.arrival_scheduled && (self.wire_reset || bytes_can_come || end_can_come)
    }

    /// How many bytes an arrival can bring now.
    pub(crate) fn arrival_max(&self) -> usize {
        self.wire.len().min(self.receive_room_max.saturating_sub(self.received.len()))
    }

    /// Brings up to `most` bytes, and with the last of them, if `end_too`, the end of the stream; or the reset.
    pub(crate) fn arrive(&mut self, most: usize, end_too: bool) {
        self.arrival_scheduled = false;
        if self.state != State::Connected {
            return;
        }
        if self.wire_reset {
            self.state = State::Dead;
            self.error = Some(if self.end_received { libc::EPIPE } else { libc::ECONNRESET });
            self.sending.clear();
            return;
        }
        if self.released && !self.wire.is_empty() {
            self.reset_peer();
            return;
        }
        let most = most.min(self.arrival_max());
        self.received.extend(self.wire.drain(..most));
        self.end_received |= end_too && self.wire.is_empty() && self.wire_end;
    }

    /// The peer has answered a connect: connected (0), or the errno, negated, for which it is not.
    pub(crate) fn answered(&mut self, result: i32, greeting: &[u8]) {
        if self.state != State::Connecting {
            return;
        }
        self.connect_result = Some(result);
        self.state = if result == 0 { State::Connected } else { State::Idle };
        if result == 0 {
            self.received.extend(greeting);
        }
    }

    // ---- what the peer does ---------------------------------------------------------------------------------------

    /// Sends bytes; false when the peer cannot send any more.
    pub(crate) fn peer_write(&mut self, bytes: &[u8]) -> bool {
        let open = !self.wire_end && !self.wire_reset && !self.reset_delivered && self.state == State::Connected;
        if open {
            self.wire.extend(bytes);
        }
        open
    }

    pub(crate) fn peer_shut_down(&mut self) {
        self.wire_end = true;
    }

    pub(crate) fn peer_reset(&mut self) {
        self.wire.clear();
        self.inbox.clear();
        self.wire_reset = true;
        self.peer_closed = true;
    }

    /// Closes the peer's socket: FIN, or a reset when it has left bytes unread.
    pub(crate) fn peer_close(&mut self) {
        if self.inbox.is_empty() {
            self.wire_end = true;
            self.peer_closed = true;
            self.deliver();
        } else {
            self.peer_reset();
        }
    }

    pub(crate) fn peer_read(&mut self, most: usize) -> Vec<u8> {
        let most = most.min(self.inbox.len());
        let bytes = self.inbox.drain(..most).collect();
        self.deliver();
        bytes
    }

    pub(crate) fn set_window(&mut self, window: usize) {
        self.window = window;
        self.deliver();
    }

    /// Whether the FIN has come and everything before it has been read.
    pub(crate) fn peer_sees_end(&self) -> bool {
        self.end_delivered && self.inbox.is_empty()
    }

    pub(crate) fn peer_sees_reset(&self) -> bool {
        self.reset_delivered
    }

    /// Bytes that the peer can read now.
    pub(crate) fn inbox_len(&self) -> usize {
        self.inbox.len()
    }

    /// Bytes that the peer has sent and the socket has not got.
    pub(crate) fn wire_len(&self) -> usize {
        self.wire.len()
    }
}
