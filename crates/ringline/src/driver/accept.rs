//! Accepting: a multishot accept on the listener, which no error ends for good.

use std::io;
use std::net::SocketAddr;

use ringline_ring::{Completion, FileIndex, Kernel, Op, Tag};

use super::connection::Connection;
use super::kind::Kind;
use super::{ConnToken, Driver, Due, Host};

/// After an accept failed for want of descriptors or memory, accepting rests this long, doubled with each failure.
const BACKOFF_NS: u64 = 5_000_000;
/// The longest rest.
const BACKOFF_NS_MAX: u64 = 500_000_000;

/// Why an accepted socket did not become a connection. It is closed.
#[derive(Debug)]
pub enum AdoptError {
    /// Every slot is taken.
    Full,
    /// The peer has gone again, or the kernel could not take the socket.
    Io(io::Error),
}

/// The listener's state.
pub(super) struct Acceptor {
    state: State,
    backoff: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No listener.
    Closed,
    /// Listening; not accepting yet.
    Idle,
    /// The multishot accept is armed.
    Armed,
    /// Accepting rests after an error.
    Resting,
    /// The accept is being cancelled, or the listener closed.
    Stopping,
}

impl Acceptor {
    pub(super) fn new() -> Self {
        Self { state: State::Closed, backoff: BACKOFF_NS }
    }
}

impl<K: Kernel> Driver<K> {
    /// Opens the listening socket and returns it with the address that it is bound to. The port is free again when both the
    /// driver and who has the socket have let go of it.
    ///
    /// # Errors
    ///
    /// EADDRINUSE, EACCES, EADDRNOTAVAIL, …; EBUSY when there is a listener already.
    pub fn listen(&mut self, address: SocketAddr) -> io::Result<(K::Socket, SocketAddr)> {
        self.require_no_listener()?;
        let file = self.listener();
        let opened = self.submitter.kernel.listen(file, address, &self.settings.sockets)?;
        self.acceptor.state = State::Idle;
        Ok(opened)
    }

    /// Listens on a socket that another driver has opened. Connections that wait there already are accepted too.
    ///
    /// # Errors
    ///
    /// EBUSY when there is a listener already, or what the kernel answers when it cannot take the descriptor.
    pub fn share_listener(&mut self, socket: &K::Socket) -> io::Result<()> {
        self.require_no_listener()?;
        let file = self.listener();
        self.submitter.kernel.share_listener(file, socket)?;
        self.acceptor.state = State::Idle;
        Ok(())
    }

    fn require_no_listener(&self) -> io::Result<()> {
        let has_none = self.acceptor.state == State::Closed;
        if has_none { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EBUSY)) }
    }

    /// Begins to accept on the listener.
    pub fn accept(&mut self) {
        if self.acceptor.state == State::Idle {
            self.arm_accept();
        }
    }

    /// Ends accepting and closes the listener; new connections are refused by the kernel from then on.
    pub fn stop_accepting(&mut self) {
        match self.acceptor.state {
            State::Closed | State::Stopping => {}
            State::Armed => {
                self.acceptor.state = State::Stopping;
                let target = Tag::new(Kind::Accept as u8, self.listener().0, 0);
                self.submitter.push(Op::Cancel { target }, Kind::CancelAccept, self.listener().0, 0);
            }
            State::Idle | State::Resting => self.close_listener(),
        }
    }

    /// Whether the listener is still open.
    pub fn is_listening(&self) -> bool {
        self.acceptor.state != State::Closed
    }

    /// Makes a connection of an accepted socket and begins to receive on it.
    ///
    /// # Errors
    ///
    /// When every slot is taken, or the peer has gone again. The socket is closed.
    pub fn adopt(&mut self, socket: K::Socket) -> Result<ConnToken, AdoptError> {
        let Some((slot, generation)) = self.connections.insert(Connection::open()) else {
            self.metrics.refused += 1;
            return Err(AdoptError::Full);
        };
        let conn = ConnToken::from_parts(slot, generation);
        match self.submitter.kernel.adopt(super::file_of(conn), &socket) {
            Ok(peer) => {
                if let Some(connection) = self.connections.get_mut(slot, generation) {
                    connection.peer = self.peers.insert(slot, peer);
                    connection.socket = Some(socket);
                }
                self.metrics.accepted += 1;
                self.arm_receive(conn);
                Ok(conn)
            }
            Err(error) => {
                self.connections.remove(slot, generation);
                self.metrics.accept_errors += 1;
                Err(AdoptError::Io(error))
            }
        }
    }

    /// The fixed file of the listener: the one behind those of the connections.
    fn listener(&self) -> FileIndex {
        FileIndex(self.settings.max_connections)
    }

    fn arm_accept(&mut self) {
        self.acceptor.state = State::Armed;
        let listener = self.listener();
        self.submitter.push(Op::AcceptMultishot { listener }, Kind::Accept, listener.0, 0);
    }

    fn close_listener(&mut self) {
        self.acceptor.state = State::Stopping;
        let file = self.listener();
        self.submitter.push(Op::Close { file }, Kind::CloseListener, file.0, 0);
    }

    pub(super) fn listener_closed(&mut self) {
        self.acceptor.state = State::Closed;
    }

    pub(super) fn resume_accepting(&mut self) {
        if self.acceptor.state == State::Resting {
            self.arm_accept();
        }
    }

    pub(super) fn accept_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let stopping = self.acceptor.state == State::Stopping;
        if let Ok(result) = completion.outcome() {
            // SAFETY: each completion of the accept is looked at once, here.
            let socket = unsafe { self.submitter.kernel.accepted(result) };
            self.acceptor.backoff = BACKOFF_NS;
            if !stopping {
                host.incoming(socket);
            }
        }
        if completion.more() {
            return;
        }
        if stopping {
            return self.close_listener();
        }
        match -completion.result {
            libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM => self.rest(),
            // The connection was gone before it was accepted, or a filter refused it: the next one is not affected.
            errno if errno > 0 && self.acceptor.backoff == BACKOFF_NS => {
                self.metrics.accept_errors += 1;
                self.acceptor.backoff *= 2;
                self.arm_accept();
            }
            // The same again without a connection in between: do not spin.
            errno if errno > 0 => self.rest(),
            _ => self.arm_accept(),
        }
    }

    fn rest(&mut self) {
        self.metrics.accept_errors += 1;
        self.acceptor.state = State::Resting;
        self.timers.arm(self.now + self.acceptor.backoff, Due::Accept);
        self.acceptor.backoff = (self.acceptor.backoff * 2).min(BACKOFF_NS_MAX);
    }
}
