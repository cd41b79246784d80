//! Outbound connections.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ringline_ring::{Completion, Kernel, Op, PinnedAddress, SocketAddress};

use super::connection::{Connecting, Connection, GivenUp, Phase, Receive};
use super::kind::Kind;
use super::{ConnToken, Driver, Due, Host, file_of};

/// Why a connect was not even begun.
#[derive(Debug)]
pub enum ConnectError {
    /// Every slot is taken.
    Full,
    /// The kernel gave no socket.
    Io(io::Error),
}

impl<K: Kernel> Driver<K> {
    /// Begins to connect. The host is told by [`Host::connected`] or [`Host::connect_failed`].
    ///
    /// # Errors
    ///
    /// When there is no slot, or no socket.
    pub fn connect(&mut self, peer: SocketAddr, timeout: Option<Duration>) -> Result<ConnToken, ConnectError> {
        let (slot, generation) = self.connections.insert(Connection::connecting()).ok_or(ConnectError::Full)?;
        let conn = ConnToken::from_parts(slot, generation);
        let socket = match self.submitter.kernel.open_stream(file_of(conn), peer, &self.settings.sockets) {
            Ok(socket) => socket,
            Err(error) => {
                self.connections.remove(slot, generation);
                return Err(ConnectError::Io(error));
            }
        };
        let timer = timeout.map(|timeout| {
            let limit = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
            let deadline = self.submitter.kernel.now().saturating_add(limit);
            self.timers.arm(deadline, Due::Connect(conn))
        });
        let connecting = Box::new(Connecting { address: SocketAddress::from(peer), given_up: None });
        // SAFETY: the box stays in the table until `connect_completed`.
        let address = unsafe { PinnedAddress::new(&raw const connecting.address) };
        if let Some(connection) = self.connections.get_mut(slot, generation) {
            connection.peer = self.peers.insert(slot, peer);
            connection.socket = Some(socket);
            connection.change_rare(|rare| rare.timer = timer);
        }
        self.connecting.insert(conn, connecting);
        self.submit(Op::Connect { file: file_of(conn), address }, Kind::Connect, conn);
        Ok(conn)
    }

    /// Gives a connect up; the host is told by [`Host::connect_failed`] with ECANCELED. False when the connection is
    /// not being made any more.
    pub fn cancel_connect(&mut self, conn: ConnToken) -> bool {
        let connecting = self.connection(conn).is_some_and(|connection| connection.phase == Phase::Connecting);
        if connecting {
            self.give_up_connect(conn, Some(GivenUp::Cancelled));
        }
        connecting
    }

    /// Cancels a connect. Without a reason the host is not told.
    pub(super) fn give_up_connect(&mut self, conn: ConnToken, reason: Option<GivenUp>) {
        let Some(connection) = self.connection(conn) else { return };
        connection.phase = Phase::Ending;
        connection.receive = Receive::Ended;
        if let Some(connecting) = self.connecting.get_mut(&conn) {
            connecting.given_up = reason;
        }
        self.submit_cancel(conn, Kind::Connect);
    }

    pub(super) fn connect_timed_out<H: Host<K>>(&mut self, _host: &mut H, conn: ConnToken) {
        if let Some(connection) = self.connection(conn) {
            connection.take_timer();
            if connection.phase == Phase::Connecting {
                self.give_up_connect(conn, Some(GivenUp::TimedOut));
            }
        }
    }

    pub(super) fn connect_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let Some(conn) = self.completed(completion) else { return };
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return };
        if let Some(timer) = connection.take_timer() {
            self.timers.cancel(timer);
        }
        let Some(connecting) = self.connecting.remove(&conn) else { return };
        if connection.phase == Phase::Connecting && completion.result == 0 {
            connection.phase = Phase::Open;
            connection.announced = true;
            self.arm_receive(conn);
            return host.connected(conn);
        }
        let abandoned = connection.phase == Phase::Ending;
        connection.phase = Phase::Ending;
        connection.receive = Receive::Ended;
        match connecting.given_up {
            Some(GivenUp::TimedOut) => host.connect_failed(conn, io::ErrorKind::TimedOut.into()),
            Some(GivenUp::Cancelled) => host.connect_failed(conn, io::Error::from_raw_os_error(libc::ECANCELED)),
            None if abandoned => {}
            None => host.connect_failed(conn, io::Error::from_raw_os_error(-completion.result)),
        }
        self.advance(host, conn);
    }
}
