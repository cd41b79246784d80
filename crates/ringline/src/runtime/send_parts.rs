//! Sends of several parts, copied and zero-copy, in order and all or nothing.

use super::{Inner, SendFuture, with_worker};
use crate::Error;
use crate::driver::ConnToken;
use crate::guard::GuardBox;

/// Most parts of one scatter-gather send.
pub const MAX_IOVECS: usize = 8;
/// Most [guards](crate::SendGuard) among them.
pub const MAX_GUARDS: usize = 4;

/// A part of a scatter-gather send.
#[derive(Debug)]
pub enum SendPart<'a> {
    /// Bytes that are copied when the send is submitted.
    Copy(&'a [u8]),
    /// Memory that is sent from where it lies. The guard is dropped when the kernel no longer uses it.
    Guard(GuardBox),
}

/// The parts of a send, in their order. Problems are kept until it is submitted.
#[derive(Debug)]
pub(super) struct Parts<'a, const MAX: usize> {
    parts: [Option<SendPart<'a>>; MAX],
    count: usize,
    guards: usize,
    latched: Option<Error>,
}

impl<'a, const MAX: usize> Parts<'a, MAX> {
    pub(super) const fn new() -> Self {
        Self { parts: [const { None }; MAX], count: 0, guards: 0, latched: None }
    }

    /// Adds a part. One too many is dropped, and makes the submission fail.
    pub(super) fn push(&mut self, part: SendPart<'a>) {
        let is_guard = matches!(part, SendPart::Guard(_));
        if self.count == MAX {
            return self.latch(Error::TooManyParts { of: "parts", max: MAX });
        }
        if is_guard && self.guards == MAX_GUARDS {
            return self.latch(Error::TooManyParts { of: "guards", max: MAX_GUARDS });
        }
        self.parts[self.count] = Some(part);
        self.count += 1;
        self.guards += usize::from(is_guard);
    }

    /// Keeps the first problem.
    fn latch(&mut self, error: Error) {
        self.latched.get_or_insert(error);
    }

    /// Queues the parts; returns the position of their end, and how many bytes they have together.
    fn submit(mut self, conn: ConnToken) -> (Result<u64, Error>, usize) {
        if let Some(error) = self.latched.take() {
            return (Err(error), 0);
        }
        let len = self.parts[..self.count].iter().flatten().map(SendPart::len).sum();
        let queued = with_worker(|inner| inner.send_parts(conn, &mut self.parts[..self.count]));
        // What was not queued is dropped here, where nothing is borrowed: a guard's drop may use the worker.
        (queued.unwrap_or(Err(Error::OutsideWorker)), len)
    }
}

impl SendPart<'_> {
    /// Number of bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            SendPart::Copy(bytes) => bytes.len(),
            SendPart::Guard(guard) => guard.as_ptr_len().1 as usize,
        }
    }
}

impl Inner {
    /// Queues all parts or none. Guards that were queued are taken out of `parts`; empty ones stay.
    fn send_parts(&mut self, conn: ConnToken, parts: &mut [Option<SendPart<'_>>]) -> Result<u64, Error> {
        self.check_open(conn)?;
        self.check_room(conn, parts.iter().flatten(), false)?;
        let mut end = 0;
        for part in parts.iter_mut().filter(|part| part.as_ref().is_some_and(|part| part.len() > 0)) {
            end = self.queue_part(conn, part)?;
        }
        Ok(end)
    }

    /// Queues a part that has bytes and for which room was found; returns the position of its end.
    pub(super) fn queue_part(&mut self, conn: ConnToken, part: &mut Option<SendPart<'_>>) -> Result<u64, Error> {
        match part.take() {
            Some(SendPart::Guard(guard)) => {
                let queued = self.driver.send_guard(conn, guard, 0);
                Ok(queued.unwrap_or_else(|_| unreachable!("room for it was found before")))
            }
            Some(SendPart::Copy(bytes)) => self.send(conn, bytes),
            None => unreachable!("each part is queued once"),
        }
    }

    /// Whether the connection takes bytes.
    pub(super) fn check_open(&mut self, conn: ConnToken) -> Result<(), Error> {
        self.host.connections.get(conn).ok_or(Error::InvalidConnection)?.check_sends()
    }

    /// Whether there are slots and guards for all parts, and the guards' memory lies in their regions. Unless they are
    /// `sealed`, parts share slots.
    pub(super) fn check_room<'p>(
        &mut self,
        conn: ConnToken,
        parts: impl Iterator<Item = &'p SendPart<'p>>,
        sealed: bool,
    ) -> Result<(), Error> {
        let slot_size = self.driver.send_memory().slot_size() as usize;
        // What the last slot still has room for.
        let mut room = self.driver.appendable(conn) as usize;
        let (mut slots, mut guards) = (0, 0);
        for part in parts {
            if sealed {
                room = 0;
            }
            match part {
                SendPart::Copy(bytes) => {
                    let rest = bytes.len().saturating_sub(room);
                    let more = rest.div_ceil(slot_size);
                    room = room + more * slot_size - bytes.len();
                    slots += more;
                }
                SendPart::Guard(guard) => {
                    self.check_region(guard)?;
                    if guard.as_ptr_len().1 > 0 {
                        guards += 1;
                        room = 0;
                    }
                }
            }
        }
        self.host.pool.check(slots)?;
        let free = self.driver.guards_left();
        if guards > free { Err(Error::GuardLimitReached { needed: guards, free }) } else { Ok(()) }
    }

    /// Whether the memory of a guard lies in the region that it names.
    pub(super) fn check_region(&self, guard: &GuardBox) -> Result<(), Error> {
        let id = guard.region();
        let Some(index) = id.index() else { return Ok(()) };
        let regions = self.driver.regions();
        let Some(region) = regions.get(index as usize) else {
            return Err(Error::InvalidRegion { region: id, registered: regions.len() });
        };
        let (address, len) = guard.as_ptr_len();
        let start = address.addr().checked_sub(region.as_ptr().addr());
        let end = start.and_then(|start| start.checked_add(len as usize));
        if end.is_some_and(|end| end <= region.len()) {
            return Ok(());
        }
        Err(Error::PointerOutOfRegion { region: id, address: address.addr(), len })
    }
}

/// Collects the parts of a send of [`DriverCtx::send_parts`](crate::DriverCtx::send_parts), or within
/// [`AsyncSendBuilder::build`].
///
/// Too many parts are told when the send is submitted, and nothing is sent then.
#[derive(Debug)]
#[must_use = "nothing is sent before `submit`"]
pub struct SendBuilder<'a> {
    conn: ConnToken,
    parts: Parts<'a, MAX_IOVECS>,
    _not_send: super::NotSend,
}

impl<'a> SendBuilder<'a> {
    pub(crate) const fn new(conn: ConnToken) -> Self {
        Self { conn, parts: Parts::new(), _not_send: super::NOT_SEND }
    }

    /// Adds bytes, which are copied when the send is submitted.
    pub fn copy(self, bytes: &'a [u8]) -> Self {
        self.part(SendPart::Copy(bytes))
    }

    /// Adds memory that is sent from where it lies. Where it is shorter than
    /// [`send_zc_threshold`](crate::Config::send_zc_threshold), or the peer is on this machine, the kernel copies it
    /// after all. The guard is dropped when the kernel no longer uses it, or at once when the send is refused.
    pub fn guard(self, guard: GuardBox) -> Self {
        self.part(SendPart::Guard(guard))
    }

    /// Adds a part.
    pub fn part(mut self, part: SendPart<'a>) -> Self {
        self.parts.push(part);
        self
    }

    /// Queues all parts or nothing, in order, behind what was queued before.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyParts`], [`Error::InvalidRegion`] and [`Error::PointerOutOfRegion`] for parts that cannot be
    /// sent, [`Error::SendPoolExhausted`] and [`Error::GuardLimitReached`] when there is no room at the moment,
    /// [`Error::InvalidConnection`] when the connection is closed, [`Error::Io`] (EPIPE) after its `shutdown_write`.
    pub fn submit(self) -> Result<(), Error> {
        self.parts.submit(self.conn).0.map(drop)
    }

    fn submit_await(self) -> SendFuture {
        let conn = self.conn;
        let (queued, len) = self.parts.submit(conn);
        SendFuture::new(conn, len, queued)
    }
}

/// A scatter-gather send of a connection: up to [`MAX_IOVECS`] parts, of them up to [`MAX_GUARDS`] guards, in order and
/// all or nothing. Made by [`ConnCtx::send_parts`](crate::ConnCtx::send_parts).
///
/// Every way to submit has the errors of [`SendBuilder::submit`].
///
/// ```no_run
/// # use bytes::Bytes;
/// # use ringline::{ConnCtx, Error, GuardBox, SendPart};
/// # async fn example(conn: ConnCtx, value: Bytes) -> Result<(), Error> {
/// let head = format!("${}\r\n", value.len());
/// conn.send_parts().build(|parts| parts.copy(head.as_bytes()).guard(GuardBox::new(value)).copy(b"\r\n"))?;
/// let sent = conn.send_parts().submit_batch_await([SendPart::Copy(b"+O"), SendPart::Copy(b"K\r\n")]).await?;
/// assert_eq!(sent, 5);
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "nothing is sent before it is submitted"]
pub struct AsyncSendBuilder<'a> {
    inner: SendBuilder<'a>,
}

impl<'a> AsyncSendBuilder<'a> {
    pub(crate) const fn new(conn: ConnToken) -> Self {
        Self { inner: SendBuilder::new(conn) }
    }

    /// Adds bytes; see [`SendBuilder::copy`].
    pub fn copy(self, bytes: &'a [u8]) -> Self {
        Self { inner: self.inner.copy(bytes) }
    }

    /// Adds memory that is sent from where it lies; see [`SendBuilder::guard`].
    pub fn guard(self, guard: GuardBox) -> Self {
        Self { inner: self.inner.guard(guard) }
    }

    /// Queues the parts, and does not tell when they are out.
    ///
    /// # Errors
    ///
    /// Those of [`SendBuilder::submit`].
    pub fn submit(self) -> Result<(), Error> {
        self.inner.submit()
    }

    /// Queues the parts at the call. The future resolves to their bytes when the kernel has taken them all; guards may
    /// be in use for longer.
    pub fn submit_await(self) -> SendFuture {
        self.inner.submit_await()
    }

    /// Has `add` add parts, then queues them all.
    ///
    /// # Errors
    ///
    /// Those of [`SendBuilder::submit`].
    pub fn build(self, add: impl FnOnce(SendBuilder<'a>) -> SendBuilder<'a>) -> Result<(), Error> {
        add(self.inner).submit()
    }

    /// As [`build`](Self::build), with the future of [`submit_await`](Self::submit_await).
    pub fn build_await(self, add: impl FnOnce(SendBuilder<'a>) -> SendBuilder<'a>) -> SendFuture {
        add(self.inner).submit_await()
    }

    /// Adds `parts`, then queues them all.
    ///
    /// # Errors
    ///
    /// Those of [`SendBuilder::submit`].
    pub fn submit_batch(self, parts: impl IntoIterator<Item = SendPart<'a>>) -> Result<(), Error> {
        parts.into_iter().fold(self.inner, SendBuilder::part).submit()
    }

    /// As [`submit_batch`](Self::submit_batch), with the future of [`submit_await`](Self::submit_await).
    pub fn submit_batch_await(self, parts: impl IntoIterator<Item = SendPart<'a>>) -> SendFuture {
        parts.into_iter().fold(self.inner, SendBuilder::part).submit_await()
    }
}
