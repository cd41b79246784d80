//! What a driver tells its host, as data.

use ringline::driver::{Chunk, ConnToken};
use ringline_sim::SimSocket;

/// One call of a host's method.
#[derive(Debug)]
pub(crate) enum Event {
    Incoming(SimSocket),
    Connected(ConnToken),
    /// With an errno; 0 stands for a time-out that the driver itself has noticed.
    ConnectFailed(ConnToken, i32),
    Received(ConnToken, Chunk),
    ReceiveEnded(ConnToken),
    Sent(ConnToken, u64),
    Closed(ConnToken, Option<i32>),
    Timer(u64),
    Doorbell,
}
