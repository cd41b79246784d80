//! Guarded sends: memory that JavaScript asked for and the kernel sends from where it lies.
//!
//! Each is answered with GUARD_RELEASED exactly once, whatever becomes of it, except by a worker that has ended.

use std::io;

use ringline::GuardBox;
use ringline::driver::{ConnToken, Driver};
use ringline_ring::Kernel;

use crate::bridge::Bridge;
use crate::commands::Malformed;
use crate::protocol::{Record, flag};

/// Carries out a SEND_GUARD.
pub(crate) fn send<K: Kernel>(
    conn: ConnToken,
    record: Record,
    driver: &mut Driver<K>,
    bridge: &mut Bridge<K>,
) -> Result<(), Malformed> {
    let [memory, offset, len, flags, key] = record.values;
    if len == 0 {
        return Err(Malformed::Length(len));
    }
    let Some(guard) = bridge.storage().0.guard(memory, offset, len, driver.regions()) else {
        // The bytes of this connection would have a hole.
        driver.abort(conn, Some(io::Error::from_raw_os_error(libc::EFAULT)));
        bridge.tell_released(key);
        return Ok(());
    };
    match driver.send_guard(conn, GuardBox::new(guard), u64::from(key)) {
        Ok(end) if flags & flag::WATCH != 0 => bridge.watch(conn, end),
        Ok(_) => {}
        Err(guard) => {
            drop(guard);
            // A connection that takes no more is gone, or a shutdown is closing it: what it has queued still goes out. With
            // more guards than there may be, a stream that stands would have a hole.
            if driver.guards_left() == 0 {
                driver.abort(conn, Some(io::Error::from_raw_os_error(libc::ENOBUFS)));
            }
            bridge.tell_released(key);
        }
    }
    Ok(())
}
