//! Chains of sends, as JavaScript announces them: a SEND_CHAIN, then the sends that are its links.
//!
//! They are collected until the last has come. What the driver has been given it may send before the rest is there, and a
//! chain starts as a whole.

use ringline::driver::{ConnToken, Driver, GATHER_MAX};
use ringline_ring::Kernel;

use crate::bridge::Bridge;
use crate::commands::{Malformed, carry_out};
use crate::protocol::{Record, flag, storage, submission};

/// The chain that is being announced, if any. There is one at a time, because JavaScript writes its records in one go.
#[derive(Default)]
pub(crate) struct Announced {
    conn: Option<ConnToken>,
    sends: Vec<Record>,
}

impl Announced {
    /// Whether a record belongs to a chain, or begins one.
    #[inline]
    pub(crate) fn claims(&self, record: &Record) -> bool {
        self.conn.is_some() || record.kind == submission::SEND_CHAIN
    }

    /// Takes a record that it claims, and queues the chain when it is the last.
    ///
    /// # Errors
    ///
    /// When the record does not belong to the chain, or the chain is longer than it may be.
    #[cold]
    pub(crate) fn take<K: Kernel>(
        &mut self,
        record: Record,
        driver: &mut Driver<K>,
        bridge: &mut Bridge<K>,
    ) -> Result<(), Malformed> {
        let Some(conn) = self.conn else {
            self.conn = Some(ConnToken::from_parts(record.slot, record.generation));
            return Ok(());
        };
        let flags = flags_of(record).ok_or(Malformed::Chain)?;
        if conn != ConnToken::from_parts(record.slot, record.generation) {
            return Err(Malformed::Chain);
        }
        self.sends.push(record);
        if flags & flag::CHAIN_END == 0 {
            // What is longer than this needs more links than there may be.
            let longest = driver.chain_links_max() * GATHER_MAX;
            return if self.sends.len() < longest { Ok(()) } else { Err(Malformed::Chain) };
        }
        self.conn = None;
        let queued = queue(conn, &self.sends, driver, bridge);
        self.sends.clear();
        queued
    }
}

/// Queues all sends of a chain and makes one of them.
fn queue<K: Kernel>(
    conn: ConnToken,
    sends: &[Record],
    driver: &mut Driver<K>,
    bridge: &mut Bridge<K>,
) -> Result<(), Malformed> {
    let links = || sends.split_inclusive(|&send| ends_link(send));
    let submissions: usize = links().map(|link| link.len().div_ceil(GATHER_MAX)).sum();
    if submissions > driver.chain_links_max() {
        return Err(Malformed::Chain);
    }
    let begin = driver.queued(conn);
    let (mut bytes, mut ends) = (0, Vec::new());
    for link in links() {
        for &send in link {
            carry_out(send, driver, bridge)?;
            bytes += u64::from(len_of(send));
        }
        ends.extend(driver.queued(conn));
    }
    // A connection that has gone, or that a send has just ended, takes no bytes: then there is nothing to chain.
    let all = begin.is_some_and(|begin| driver.queued(conn) == Some(begin + bytes));
    if let (Some(begin), true, 2..) = (begin, all, submissions) {
        driver.chain(conn, begin, ends);
    }
    Ok(())
}

/// The flags of a send; none of what is none.
fn flags_of(record: Record) -> Option<u32> {
    match record.kind {
        submission::SEND_SLOT => Some(record.values[2]),
        submission::SEND_CHUNK | storage::submission::SEND_GUARD => Some(record.values[3]),
        _ => None,
    }
}

fn ends_link(send: Record) -> bool {
    flags_of(send).is_some_and(|flags| flags & (flag::LINK_END | flag::CHAIN_END) != 0)
}

fn len_of(send: Record) -> u32 {
    let [_, slot_len, other_len, ..] = send.values;
    if send.kind == submission::SEND_SLOT { slot_len } else { other_len }
}
