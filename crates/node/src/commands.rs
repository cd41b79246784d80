//! Submission records become calls of the driver.
//!
//! JavaScript wrote them, so nothing in them is believed: kind, slot, length and range are checked before anything
//! happens. A record for a connection that has gone is normal and ignored, its memory given back. A record that cannot
//! have been meant ends the worker: going on would mean guessing what belongs to whom.

use std::fmt;
use std::io;
use std::sync::Arc;

use ringline::driver::{ConnToken, Driver};
use ringline_ring::Kernel;

use crate::bridge::Bridge;
use crate::chains::Announced;
use crate::protocol::{Record, flag, storage, submission};
use crate::shared_memory::SharedMemory;
use crate::shared_ring::{Consumer, Corrupt, Place};
use crate::{disk, guards, pipes};

/// A record that breaks the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// More records were claimed than the ring holds.
    Positions,
    /// There is no such command.
    Kind(u32),
    /// There is no such send slot, or the worker has it already.
    SendSlot(u32),
    /// A send of no bytes, or of more or fewer than its slots are there for.
    Length(u32),
    /// There is no such UDP socket, or the address of a datagram is missing.
    Datagram(u32),
    /// A timer with this number is armed already.
    Timer(u32),
    /// A record amid a chain that is not a send of its connection, or a chain with too many links.
    Chain,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Positions => f.write_str("the submission ring claims more records than it holds"),
            Self::Kind(kind) => write!(f, "there is no submission of kind {kind}"),
            Self::SendSlot(slot) => write!(f, "send slot {slot} does not exist or is in use"),
            Self::Length(len) => write!(f, "a send of {len} bytes"),
            Self::Datagram(udp) => write!(f, "a datagram of UDP socket {udp} that has no socket or no receiver"),
            Self::Timer(number) => write!(f, "timer {number} is armed already"),
            Self::Chain => f.write_str("a chain of sends with something else in it, or with too many links"),
        }
    }
}

impl From<Corrupt> for Malformed {
    fn from(Corrupt: Corrupt) -> Self {
        Self::Positions
    }
}

/// The reading end of the submission ring.
pub(crate) struct Commands {
    ring: Consumer,
    chain: Announced,
}

impl Commands {
    /// The commands of a worker that has not turned yet.
    pub(crate) fn new(memory: Arc<SharedMemory>) -> Self {
        Self { ring: Consumer::new(memory, Place::SUBMISSIONS), chain: Announced::default() }
    }

    /// Whether records wait to be read.
    #[inline]
    pub(crate) fn waiting(&mut self) -> bool {
        // A broken position is something to be read as well: reading it is what reports it.
        !matches!(self.ring.refresh(), Ok(0))
    }

    /// Carries out every record that was published, and gives their room back. Answers whether there were any.
    ///
    /// # Errors
    ///
    /// The first record that breaks the protocol. Nothing was done for it.
    #[inline]
    pub(crate) fn run<K: Kernel>(&mut self, driver: &mut Driver<K>, bridge: &mut Bridge<K>) -> Result<bool, Malformed> {
        if self.ring.refresh()? == 0 {
            return Ok(false);
        }
        while let Some(record) = self.ring.pop() {
            if self.chain.claims(&record) {
                self.chain.take(record, driver, bridge)?;
            } else {
                carry_out(record, driver, bridge)?;
            }
        }
        self.ring.release();
        Ok(true)
    }
}

/// Carries out one record.
///
/// # Errors
///
/// When it breaks the protocol.
#[inline]
pub(crate) fn carry_out<K: Kernel>(
    record: Record,
    driver: &mut Driver<K>,
    bridge: &mut Bridge<K>,
) -> Result<(), Malformed> {
    let conn = ConnToken::from_parts(record.slot, record.generation);
    // The driver answers false for a connection that has gone or is closing, which needs no action.
    match record.kind {
        submission::SEND_SLOT => return send_slot(conn, record, driver, bridge),
        submission::SEND_CHUNK => return send_chunk(conn, record, driver, bridge),
        submission::CLOSE => driver.close(conn),
        submission::SHUTDOWN_WRITE => driver.shutdown_write(conn),
        submission::PAUSE => driver.pause_receive(conn),
        submission::RESUME => driver.resume_receive(conn),
        submission::ABORT => driver.abort(conn, None),
        submission::TIMER => return arm_timer(record, driver, bridge),
        submission::TIMER_CANCEL => {
            bridge.timers().cancel(driver, record.values[0]);
            return Ok(());
        }
        submission::SEND_DATAGRAM => return send_datagram(record, driver, bridge),
        submission::DATAGRAM_TO => {
            let [a, b, c, d, _] = record.values;
            bridge.datagrams().announce_receiver([a, b, c, d], record.generation);
            return Ok(());
        }
        submission::PIPE => {
            pipes::pipe(record, driver, bridge);
            return Ok(());
        }
        submission::PIPE_START => {
            driver.start_pipe(conn, u64::from(record.values[0]));
            return Ok(());
        }
        submission::PIPE_STOP => {
            driver.stop_pipe(conn, u64::from(record.values[0]));
            return Ok(());
        }
        submission::DATAGRAM_SLOT => return announce_slot(record.values[0], bridge),
        storage::submission::SEND_GUARD => return guards::send(conn, record, driver, bridge),
        kind if disk::is_command(kind) => return disk::carry_out(record, driver, bridge),
        kind => return Err(Malformed::Kind(kind)),
    };
    Ok(())
}

#[inline]
fn send_slot<K: Kernel>(
    conn: ConnToken,
    record: Record,
    driver: &mut Driver<K>,
    bridge: &mut Bridge<K>,
) -> Result<(), Malformed> {
    let [slot, len, flags, ..] = record.values;
    if len == 0 || len > driver.send_memory().slot_size() {
        return Err(Malformed::Length(len));
    }
    if !bridge.slots().take(slot) {
        return Err(Malformed::SendSlot(slot));
    }
    match driver.send_slot(conn, slot, len) {
        Ok(end) if flags & flag::WATCH != 0 => bridge.watch(conn, end),
        Ok(_) => {}
        Err(_) => bridge.slots().give_back(slot),
    }
    Ok(())
}

fn send_chunk<K: Kernel>(
    conn: ConnToken,
    record: Record,
    driver: &mut Driver<K>,
    bridge: &mut Bridge<K>,
) -> Result<(), Malformed> {
    let [slab, offset, len, flags, ..] = record.values;
    if len == 0 {
        return Err(Malformed::Length(len));
    }
    let generation = flags >> flag::SLAB_GENERATION_SHIFT;
    let Some(chunk) = driver.reclaim_chunk(slab, generation, offset, len) else {
        // The memory went before the send came, as when its ArrayBuffer was given away: the bytes of this connection
        // would have a hole.
        driver.abort(conn, Some(io::Error::from_raw_os_error(libc::EFAULT)));
        return Ok(());
    };
    match driver.send_chunk(conn, chunk) {
        Ok(end) if flags & flag::WATCH != 0 => bridge.watch(conn, end),
        Ok(_) => {}
        Err(chunk) => driver.release(chunk),
    }
    Ok(())
}

fn arm_timer<K: Kernel>(record: Record, driver: &mut Driver<K>, bridge: &mut Bridge<K>) -> Result<(), Malformed> {
    let [number, low, high, ..] = record.values;
    let delay_ns = u64::from(low) | u64::from(high) << 32;
    if bridge.timers().arm(driver, number, delay_ns) { Ok(()) } else { Err(Malformed::Timer(number)) }
}

fn announce_slot<K: Kernel>(slot: u32, bridge: &mut Bridge<K>) -> Result<(), Malformed> {
    if !bridge.slots().take(slot) {
        return Err(Malformed::SendSlot(slot));
    }
    bridge.datagrams().announce_slot(slot);
    Ok(())
}

#[inline]
fn send_datagram<K: Kernel>(record: Record, driver: &mut Driver<K>, bridge: &mut Bridge<K>) -> Result<(), Malformed> {
    let (udp, meta) = (record.slot, record.generation);
    let [slot, len, word, ..] = record.values;
    if !bridge.datagrams().has(udp) {
        return Err(Malformed::Datagram(udp));
    }
    // The announced slots are full, and this one takes the rest, which may be nothing only when there is nothing at all.
    let (before, most) = bridge.datagrams().lengths(driver.send_memory().slot_size());
    if len > most || (len <= before && before > 0) {
        return Err(Malformed::Length(len));
    }
    announce_slot(slot, bridge)?;
    let to = bridge.datagrams().receiver(meta, word).ok_or(Malformed::Datagram(udp))?;
    bridge.send_datagram(driver, udp, to, len);
    Ok(())
}
