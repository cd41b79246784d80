//! The real kernel: one io_uring instance, its file table, its buffer groups and its doorbell.
//!
//! It owns the ring and the descriptors of buffer rings; it does not own the memory that operations name. It knows
//! nothing of connections: which operations may be in flight together is the caller's business.

mod busy_poll;
mod release;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use io_uring::EnterFlags;
use io_uring::types::{SubmitArgs, Timespec};

use crate::buffer_group::BufferGroup;
use crate::queues::Queues;
use crate::setup::{self, RingSettings, SetupError, SetupFlags};
use crate::{
    Completion, DeviceFacts, Doorbell, Entered, FileFacts, FileIndex, Kernel, Op, ProvidedBuffer, QueueFull,
    SocketOptions, Tag, Wait, buffer_test, clock, files, nvme, sockets,
};

/// An io_uring instance. It belongs to the thread that makes it.
pub struct Uring {
    queues: Queues,
    /// Dropped after `queues`: see the order of release in `release.rs`.
    groups: Vec<BufferGroup>,
    doorbell: Doorbell,
    /// What `enter` names the ring by: its registered index, or its descriptor.
    enter_fd: RawFd,
    /// Flags of every `enter`.
    enter_flags: u32,
    /// Whether `enter_fd` is a registered index.
    registered: Option<u32>,
    /// A kernel thread takes the submissions.
    sqpoll: bool,
    /// How long a wait looks for completions before it sleeps.
    busy_poll_ns: u64,
    /// Waits are not the usual ones, for one of these two reasons: the usual ring makes one comparison for both.
    waits_otherwise: bool,
    /// The kernel says in shared memory whether deferred work waits.
    tells_of_work: bool,
    cq_entries: u32,
    /// Operations pushed whose last completion has not been reaped. Silent ones are not among them: once submitted, they use
    /// no memory any more.
    in_flight: u32,
    /// Silent operations pushed since the queue was last empty.
    silent_queued: u32,
    /// Operations queued but not submitted that will complete while they are being submitted.
    inline_queued: u32,
    /// The same, already submitted to make room; their completions have not been looked at yet.
    inline_ready: u32,
    /// Everything was ended, as far as it could be: what is in flight still is not waited for once more.
    ended: bool,
}

impl Uring {
    /// Makes a ring on the calling thread, which must be the one that uses it.
    ///
    /// # Errors
    ///
    /// See [`SetupError`].
    pub fn new(settings: &RingSettings) -> Result<Self, SetupError> {
        let made = setup::make_queues(settings).and_then(|(queues, flags)| Self::with_queues(queues, flags));
        made.map_err(SetupError::or_open_files)
    }

    fn with_queues(queues: Queues, flags: SetupFlags) -> Result<Self, SetupError> {
        let sqpoll = queues.parameters().is_setup_sqpoll();
        let doorbell = Doorbell::new().map_err(|source| SetupError::Call { call: "eventfd", source })?;
        let registered = setup::register_ring_fd(&queues);
        let (enter_fd, enter_flags) = match registered {
            Some(index) => (index as RawFd, EnterFlags::REGISTERED_RING.bits()),
            None => (queues.as_raw_fd(), 0),
        };
        Ok(Self {
            enter_fd,
            enter_flags,
            registered,
            sqpoll,
            busy_poll_ns: 0,
            waits_otherwise: sqpoll,
            tells_of_work: !sqpoll && (flags.defer_taskrun || flags.coop_taskrun),
            cq_entries: queues.parameters().cq_entries(),
            queues,
            groups: Vec::new(),
            doorbell,
            in_flight: 0,
            silent_queued: 0,
            inline_queued: 0,
            inline_ready: 0,
            ended: false,
        })
    }

    /// How many completions a wait has to ask for, so that it does not return with nothing but what completed inline.
    ///
    /// A submission thread completes operations at any time, also before the wait begins. Counting them could then wait
    /// for completions that have long been reaped, so nothing is counted and a wait may end early instead.
    #[inline]
    fn wanted(&self) -> u32 {
        if self.sqpoll { 1 } else { (self.inline_ready + self.inline_queued + 1).min(self.cq_entries) }
    }

    /// Whether an `enter` with nothing to submit could bring completions that are not in the queue yet.
    #[inline]
    fn has_kernel_work(&mut self) -> bool {
        self.queues.no_completions() && ((!self.tells_of_work && !self.sqpoll) || self.is_told_of_work())
    }

    /// Whether the kernel says that it has completions which only entering the ring brings.
    #[inline]
    fn is_told_of_work(&mut self) -> bool {
        self.queues.has_deferred_work() || self.queues.has_overflowed()
    }

    /// Pushes where the usual way is not open: the queue is full, or the ring is not a usual one. A full queue is
    /// emptied by submitting, without waiting, and tried once more.
    ///
    /// The usual way ends with the call of this, so that it has nothing to keep across a call.
    #[cold]
    #[inline(never)]
    fn push_otherwise(&mut self, op: Op, tag: Tag) -> Result<(), QueueFull> {
        let doorbell = self.doorbell.raw_fd();
        if self.queues.push(op, tag, doorbell).is_err() {
            // A failure is not lost: the queue stays full, and the next `enter` meets the same failure and reports it.
            let _ = self.submit();
            self.queues.push(op, tag, doorbell)?;
        }
        self.count_pushed(op);
        Ok(())
    }

    #[inline(always)]
    fn count_pushed(&mut self, op: Op) {
        if matches!(op, Op::SendSilently { .. }) {
            self.silent_queued += 1;
            return;
        }
        self.in_flight += 1;
        if op.completes_inline() {
            self.inline_queued += 1;
        }
    }

    /// A completion that has come since the kernel was last asked.
    #[cold]
    fn next_arrival(&mut self) -> Option<Completion> {
        // Completions that have been looked at must not be waited for again.
        self.inline_ready = 0;
        self.queues.sync();
        self.queues.next_completion()
    }

    fn submit(&mut self) -> io::Result<Entered> {
        let queued = self.queues.queued();
        let entered = if self.sqpoll {
            let wake = self.wake_up();
            self.enter_kernel(0, 0, wake | EnterFlags::SQ_WAIT, None)
        } else {
            self.enter_kernel(queued, 0, EnterFlags::empty(), None)
        };
        let submitted = std::mem::take(&mut self.inline_queued);
        if matches!(entered, Ok(Entered::Done)) {
            self.inline_ready += submitted;
        }
        entered
    }

    /// The flag that wakes a submission thread, if there is one that sleeps.
    fn wake_up(&mut self) -> EnterFlags {
        if self.sqpoll {
            // What the thread has not been shown it would not be woken for.
            self.queues.sync();
        }
        let asleep = self.sqpoll && self.queues.thread_sleeps();
        if asleep { EnterFlags::SQ_WAKEUP } else { EnterFlags::empty() }
    }

    #[inline(always)]
    fn enter_usually(&mut self, wait: Wait) -> io::Result<Entered> {
        let queued = self.queues.queued();
        let (want, timeout_ns) = match wait {
            // Waiting for no time at all would still set up a timer and sleep: some 18 µs.
            Wait::Poll | Wait::AtMost(0) if queued == 0 && !self.has_kernel_work() => return Ok(Entered::Done),
            Wait::Poll | Wait::AtMost(0) => (0, None),
            Wait::Forever => (self.wanted(), None),
            Wait::AtMost(ns) => (self.wanted(), Some(ns)),
        };
        // Deferred work runs only in an `enter` that collects events, even if it waits for none.
        let entered = self.enter_kernel(queued, want, EnterFlags::GETEVENTS, timeout_ns);
        // Forgotten also after a failure, when some may still be queued: a count that is too low ends a wait early, one
        // that is too high would never end it.
        self.inline_queued = 0;
        self.inline_ready = 0;
        entered
    }

    #[cold]
    fn enter_otherwise(&mut self, wait: Wait) -> io::Result<Entered> {
        if self.sqpoll { self.enter_with_thread(wait) } else { self.enter_busily(wait) }
    }

    /// With a submission thread: it takes the queue by itself, unless it sleeps.
    fn enter_with_thread(&mut self, wait: Wait) -> io::Result<Entered> {
        let wake = self.wake_up();
        match wait {
            Wait::Poll | Wait::AtMost(0) if wake.is_empty() && !self.has_kernel_work() => Ok(Entered::Done),
            Wait::Poll | Wait::AtMost(0) => self.enter_kernel(0, 0, wake | EnterFlags::GETEVENTS, None),
            Wait::Forever => self.enter_kernel(0, self.wanted(), wake | EnterFlags::GETEVENTS, None),
            Wait::AtMost(ns) => self.enter_kernel(0, self.wanted(), wake | EnterFlags::GETEVENTS, Some(ns)),
        }
    }

    /// The system call.
    #[inline]
    fn enter_kernel(
        &mut self,
        submit: u32,
        want: u32,
        flags: EnterFlags,
        timeout_ns: Option<u64>,
    ) -> io::Result<Entered> {
        let flags = flags.bits() | self.enter_flags;
        self.queues.sync();
        let submitted = match timeout_ns {
            None => io_uring_enter(self.enter_fd, submit, want, flags, std::ptr::null(), 0),
            Some(ns) => {
                let time = Timespec::new().sec(ns / 1_000_000_000).nsec((ns % 1_000_000_000) as u32);
                let args = SubmitArgs::new().timespec(&time);
                let flags = flags | EnterFlags::EXT_ARG.bits();
                io_uring_enter(self.enter_fd, submit, want, flags, (&raw const args).cast(), size_of_val(&args))
            }
        };
        self.queues.sync();
        if self.queues.queued() == 0 {
            self.silent_queued = 0;
        }
        match submitted {
            // The kernel does not wait when it could not take everything.
            Ok(count) if count < submit => Ok(Entered::Backpressure),
            Ok(_) => Ok(Entered::Done),
            Err(libc::ETIME) => Ok(Entered::TimedOut),
            Err(libc::EINTR) => Ok(Entered::Interrupted),
            Err(libc::EBUSY | libc::EAGAIN) => Ok(Entered::Backpressure),
            Err(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    pub(crate) fn register_file(&mut self, file: FileIndex, socket: &OwnedFd) -> io::Result<()> {
        self.queues.register_file(file, socket)
    }
}

impl Kernel for Uring {
    type Socket = OwnedFd;

    fn push(&mut self, op: Op, tag: Tag) -> Result<(), QueueFull> {
        self.push_made(|| op, tag)
    }

    #[inline(always)]
    fn push_made(&mut self, make: impl Fn() -> Op, tag: Tag) -> Result<(), QueueFull> {
        if self.queues.push_usually(make(), tag, self.doorbell.raw_fd()).is_err() {
            // One of its own: what is lent to a function has to lie in memory from the beginning.
            return self.push_otherwise(make(), tag);
        }
        self.count_pushed(make());
        Ok(())
    }

    fn push_chain(&mut self, links: &[(Op, Tag)]) -> Result<(), QueueFull> {
        let doorbell = self.doorbell.raw_fd();
        if self.queues.push_chain(links, doorbell).is_err() {
            // A failure is not lost: see `store_when_full`.
            let _ = self.submit();
            self.queues.push_chain(links, doorbell)?;
        }
        links.iter().for_each(|&(op, _)| self.count_pushed(op));
        Ok(())
    }

    fn takes_silent_sends(&self) -> bool {
        // A submission thread takes sends at a time of its own.
        !self.sqpoll
    }

    fn submit_now(&mut self) {
        if self.queues.queued() == 0 {
            return;
        }
        // A failure is not lost: what was not taken stays queued, and the next `enter` meets the same failure and reports it.
        let _ = if self.sqpoll { self.enter_with_thread(Wait::Poll) } else { self.submit() };
    }

    #[inline]
    fn enter(&mut self, wait: Wait) -> io::Result<Entered> {
        let entered = if self.waits_otherwise { self.enter_otherwise(wait) } else { self.enter_usually(wait) }?;
        if self.queues.has_lost_completions() {
            // As the kernel says it, if it is asked without anything to submit.
            return Err(io::Error::from_raw_os_error(libc::EBADR));
        }
        Ok(if self.queues.has_overflowed() { Entered::Backpressure } else { entered })
    }

    fn busy_poll(&mut self, longest_ns: u64) {
        // Where the kernel does not tell of work, looking for it would be a system call each time.
        self.busy_poll_ns = if self.tells_of_work { longest_ns } else { 0 };
        self.waits_otherwise = self.sqpoll || self.busy_poll_ns > 0;
    }

    #[inline]
    fn has_completed(&mut self) -> bool {
        !self.queues.no_completions() || self.is_told_of_work()
    }

    #[inline(always)]
    fn next_completion(&mut self) -> Option<Completion> {
        let completion = match self.queues.next_completion() {
            Some(completion) => completion,
            None => self.next_arrival()?,
        };
        if !completion.more() && !completion.tag.is_silent() {
            self.in_flight -= 1;
        }
        Some(completion)
    }

    #[inline]
    fn look(&mut self, each: impl FnMut(Tag)) {
        self.queues.look(each);
    }

    #[inline]
    fn now(&self) -> u64 {
        clock::now()
    }

    fn incremental_buffers(&self) -> bool {
        buffer_test::incremental_buffers()
    }

    fn create_buffer_group(&mut self, group: u16, entries: u16, incremental: bool) -> io::Result<()> {
        let made = BufferGroup::register(&self.queues.submitter(), group, entries, incremental)?;
        self.groups.push(made);
        Ok(())
    }

    #[inline]
    unsafe fn provide_buffers(&mut self, group: u16, buffers: &[ProvidedBuffer]) {
        let found = self.groups.iter_mut().find(|candidate| candidate.group() == group);
        // SAFETY: the caller's promise is the same.
        unsafe { found.expect("the buffer group has been created").provide(buffers) };
    }

    unsafe fn register_regions(&mut self, regions: &[(*mut u8, usize)], spare: u16) -> io::Result<()> {
        self.queues.submitter().register_buffers_sparse(regions.len() as u32 + u32::from(spare))?;
        for (index, &region) in (0..).zip(regions) {
            // SAFETY: the caller's promise, and nothing names any of them yet.
            unsafe { self.replace_region(index, Some(region))? };
        }
        Ok(())
    }

    unsafe fn replace_region(&mut self, index: u16, region: Option<(*mut u8, usize)>) -> io::Result<()> {
        let (start, len) = region.unwrap_or((std::ptr::null_mut(), 0));
        let vector = libc::iovec { iov_base: start.cast(), iov_len: len };
        // SAFETY: the caller's promise is the same; afterwards the kernel holds the pages itself.
        unsafe { self.queues.submitter().register_buffers_update(u32::from(index), &[vector], None) }
    }

    fn listen(
        &mut self,
        file: FileIndex,
        address: SocketAddr,
        options: &SocketOptions,
    ) -> io::Result<(OwnedFd, SocketAddr)> {
        let (socket, bound) = sockets::listen(address, options)?;
        self.register_file(file, &socket)?;
        Ok((socket, bound))
    }

    fn share_listener(&mut self, file: FileIndex, socket: &OwnedFd) -> io::Result<()> {
        self.register_file(file, socket)
    }

    fn bind_datagram(&mut self, file: FileIndex, address: SocketAddr) -> io::Result<SocketAddr> {
        let (socket, bound) = sockets::bind_datagram(address)?;
        self.register_file(file, &socket)?;
        Ok(bound)
    }

    fn end(&mut self, each: &mut dyn FnMut(Completion)) {
        self.end_all(each);
    }

    #[inline]
    unsafe fn accepted(&mut self, result: u32) -> OwnedFd {
        // SAFETY: the caller passes the result of an operation that made a descriptor, for us alone, and passes it once.
        unsafe { OwnedFd::from_raw_fd(result as RawFd) }
    }

    fn adopt(&mut self, file: FileIndex, socket: &OwnedFd) -> io::Result<SocketAddr> {
        let peer = sockets::peer_address(socket)?;
        self.register_file(file, socket)?;
        Ok(peer)
    }

    #[inline]
    fn shutdown_write(&mut self, socket: &OwnedFd) -> io::Result<()> {
        sockets::shutdown_write(socket)
    }

    fn open_stream(&mut self, file: FileIndex, peer: SocketAddr, options: &SocketOptions) -> io::Result<OwnedFd> {
        let socket = sockets::open_stream(peer, options)?;
        self.register_file(file, &socket)?;
        Ok(socket)
    }

    fn local_address(&self, socket: &OwnedFd) -> Option<SocketAddr> {
        sockets::local_address(socket).ok()
    }

    unsafe fn adopt_file(&mut self, file: FileIndex, result: u32) -> io::Result<FileFacts> {
        // SAFETY: the caller's promise is the same.
        let opened = unsafe { self.accepted(result) };
        let facts = files::examine(&opened)?;
        self.register_file(file, &opened)?;
        Ok(facts)
    }

    fn takes_nvme(&self) -> bool {
        self.queues.are_wide()
    }

    unsafe fn adopt_device(&mut self, file: FileIndex, result: u32, namespace: u32) -> io::Result<DeviceFacts> {
        // SAFETY: the caller's promise is the same.
        let opened = unsafe { self.accepted(result) };
        let facts = nvme::examine(&opened, namespace)?;
        self.register_file(file, &opened)?;
        Ok(facts)
    }

    fn announce_by(&mut self, bell: &Doorbell) -> io::Result<()> {
        self.queues.announce(false);
        self.queues.submitter().register_eventfd(bell.raw_fd())
    }

    fn announce(&mut self, on: bool) {
        self.queues.announce(on);
        if on && !self.sqpoll {
            // Deferred work that came before the switch has rung nothing. Taking it is a system call, whose barriers also
            // see to it that later work finds the switch on.
            let _ = self.enter_kernel(0, 0, EnterFlags::GETEVENTS, None);
        }
    }

    fn doorbell(&self) -> Doorbell {
        self.doorbell.clone()
    }
}

impl std::fmt::Debug for Uring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uring")
            .field("fd", &self.queues.as_raw_fd())
            .field("sqpoll", &self.sqpoll)
            .field("groups", &self.groups.len())
            .finish_non_exhaustive()
    }
}

/// The number of submissions taken, or the errno.
#[inline]
fn io_uring_enter(
    fd: RawFd,
    submit: u32,
    want: u32,
    flags: u32,
    arg: *const libc::c_void,
    arg_len: usize,
) -> Result<u32, i32> {
    // SAFETY: `arg` is null, or points to `arg_len` bytes of arguments that live across the call.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_enter, fd, submit, want, flags, arg, arg_len) };
    // SAFETY: errno is a variable of this thread.
    if result < 0 { Err(unsafe { *libc::__errno_location() }) } else { Ok(result as u32) }
}

#[cfg(test)]
mod tests;
