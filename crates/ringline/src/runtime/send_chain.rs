//! Chains of sends: links that the kernel runs one after the other, with one completion for all.

use super::send_parts::SendPart;
use super::{Inner, NOT_SEND, NotSend, SendFuture, with_worker};
use crate::Error;
use crate::driver::{ConnToken, GATHER_MAX};
use crate::guard::GuardBox;

/// Collects the links of a [chain](crate::ConnCtx::send_chain), in their order.
#[derive(Debug)]
#[must_use = "a chain is submitted by returning its builder"]
pub struct ChainBuilder<'a> {
    links: Vec<Option<SendPart<'a>>>,
    _not_send: NotSend,
}

impl<'a> ChainBuilder<'a> {
    /// Adds a link of bytes, which are copied when the chain is submitted.
    pub fn copy(self, bytes: &'a [u8]) -> Self {
        self.link(SendPart::Copy(bytes))
    }

    /// Adds a link of memory that a guard keeps alive until the chain has completed. In a chain the kernel copies it.
    pub fn guard(self, guard: GuardBox) -> Self {
        self.link(SendPart::Guard(guard))
    }

    /// Adds a link. One without bytes is left out.
    pub fn link(mut self, part: SendPart<'a>) -> Self {
        self.links.push(Some(part));
        self
    }

    /// Queues the chain that `add` makes; returns the position of its end, and its bytes.
    pub(crate) fn submit(
        conn: ConnToken,
        add: impl FnOnce(ChainBuilder<'a>) -> ChainBuilder<'a>,
    ) -> (Result<u64, Error>, usize) {
        let mut links = add(ChainBuilder { links: Vec::new(), _not_send: NOT_SEND }).links;
        links.retain(|link| link.as_ref().is_some_and(|link| link.len() > 0));
        let len = links.iter().flatten().map(SendPart::len).sum();
        let queued = with_worker(|inner| inner.send_chain(conn, &mut links));
        // What was not queued is dropped here, where nothing is borrowed: a guard's drop may use the worker.
        (queued.unwrap_or(Err(Error::OutsideWorker)), len)
    }

    pub(super) fn submit_await(conn: ConnToken, add: impl FnOnce(ChainBuilder<'a>) -> ChainBuilder<'a>) -> SendFuture {
        let (queued, len) = Self::submit(conn, add);
        SendFuture::new(conn, len, queued)
    }
}

impl Inner {
    /// Queues all links or none. Guards that were queued are taken out of `links`, which all have bytes.
    fn send_chain(&mut self, conn: ConnToken, links: &mut [Option<SendPart<'_>>]) -> Result<u64, Error> {
        self.check_open(conn)?;
        let slot_size = self.driver.send_memory().slot_size() as usize;
        let submissions = |link: &SendPart<'_>| match link {
            SendPart::Copy(bytes) => bytes.len().div_ceil(slot_size).div_ceil(GATHER_MAX),
            SendPart::Guard(_) => 1,
        };
        let needed = links.iter().flatten().map(submissions).sum();
        let limit = self.driver.chain_links_max();
        if needed > limit || limit == 0 {
            return Err(Error::ChainTooLong { needed, limit });
        }
        self.check_room(conn, links.iter().flatten(), true)?;
        let begin = self.driver.queued(conn).ok_or(Error::InvalidConnection)?;
        let mut ends = Vec::with_capacity(links.len());
        for link in links {
            self.driver.seal(conn);
            ends.push(self.queue_part(conn, link)?);
        }
        let end = ends.last().copied().unwrap_or(begin);
        if needed > 1 {
            self.driver.chain(conn, begin, ends);
        }
        Ok(end)
    }
}
