//! What a worker is made of, on whichever thread will own it.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use ringline::Config;
use ringline::assembly::{HostKind, assemble};
use ringline::cluster::Member;
use ringline::driver::Driver;
use ringline_ring::Uring;

use crate::errors::Failure;
use crate::mailbox::Mailbox;
use crate::shared_memory::SharedMemory;
use crate::slabs::OfferedSlabs;
use crate::worker::{Sleeper, Wishes, Worker};

/// A worker that has no ring yet.
pub(crate) struct Plan {
    pub(crate) config: Config,
    pub(crate) member: Member<OwnedFd>,
    pub(crate) wishes: Wishes,
    pub(crate) memory: Arc<SharedMemory>,
    pub(crate) offers: OfferedSlabs,
    pub(crate) mailbox: Arc<Mailbox>,
}

impl Plan {
    /// The number of the worker.
    pub(crate) fn worker(&self) -> usize {
        self.member.index()
    }

    /// Makes the worker, on the thread that will turn it; from now on it can be reached.
    ///
    /// # Errors
    ///
    /// When the thread cannot be pinned, or the ring, its memory or a UDP socket cannot be had.
    pub(crate) fn make_worker<S: Sleeper>(self, sleeper: S) -> Result<Worker<Uring, S>, Failure> {
        let driver = self.make_driver()?;
        let Self { mut member, mailbox, .. } = self;
        mailbox.open(&driver.doorbell());
        member.reachable_by(driver.doorbell());
        member.ready();
        Ok(Worker::new(driver, self.memory, self.offers, mailbox, member, sleeper, self.wishes))
    }

    /// The driver, with its UDP sockets.
    fn make_driver(&self) -> Result<Driver<Uring>, Failure> {
        let host = if self.wishes.borrows { HostKind::BorrowingJavaScript } else { HostKind::JavaScript };
        let mut driver = assemble(&self.config, self.member.index(), host)?;
        for &address in &self.config.udp_bind {
            driver.bind_udp(address).map_err(|error| Failure::system(&error, "bind", Some(address)))?;
        }
        Ok(driver)
    }
}
