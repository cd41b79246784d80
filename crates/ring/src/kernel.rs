//! The seam between the runtime and the kernel.
//!
//! Everything that the event loop wants of the operating system goes through [`Kernel`]: the real one is
//! `Uring`, the simulated one lives in the `ringline-sim` crate. The trait is used with static dispatch
//! only, so the seam costs nothing.

use std::io;
use std::net::SocketAddr;

use crate::{Completion, DeviceFacts, Doorbell, FileFacts, FileIndex, Op, Tag};

/// The submission queue has no room and could not be emptied: submit again after the next [`Kernel::enter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFull;

/// How long [`Kernel::enter`] may block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: submit, collect what is there, return.
    Poll,
    /// Until something completes that does not complete inline. A silent send that was not whole is such a thing.
    Forever,
    /// As `Forever`, at most this many nanoseconds.
    AtMost(u64),
}

/// Why [`Kernel::enter`] did not do all its work. None of them is fatal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// Submitted and, if asked, waited.
    Done,
    /// The time of [`Wait::AtMost`] passed.
    TimedOut,
    /// A signal came (EINTR): go round the loop.
    Interrupted,
    /// Not everything that was queued may have been submitted, or more has completed than the completion queue holds: reap
    /// and go round the loop.
    Backpressure,
}

/// Settings of sockets that the kernel makes for the runtime.
#[derive(Debug, Clone, Copy)]
pub struct SocketOptions {
    /// Set TCP_NODELAY (inherited by the connections of a listener).
    pub nodelay: bool,
    /// Listen backlog, in connections.
    pub backlog: u32,
    /// Set SO_REUSEPORT on a listener.
    pub reuse_port: bool,
}

/// One address range of a provided buffer.
#[derive(Debug, Clone, Copy)]
pub struct ProvidedBuffer {
    /// Identifier that completions will name.
    pub id: u16,
    /// First byte.
    pub address: *mut u8,
    /// Number of bytes.
    pub len: u32,
}

/// What the runtime asks of the kernel.
///
/// One value belongs to one thread. Dropping it ends every operation before any memory that it was given is released:
/// drop the kernel first, buffers afterwards.
pub trait Kernel {
    /// A socket that is not, or not only, in the file table: a descriptor that closes when it is dropped.
    type Socket: Send + 'static;

    /// Queues one operation; it is submitted by the next [`enter`](Kernel::enter) or earlier.
    fn push(&mut self, op: Op, tag: Tag) -> Result<(), QueueFull>;

    /// As [`push`](Kernel::push), of the operation that `make` makes, each time the same. Where it is one variant, nothing of
    /// the others is left in the code, and its entry is written straight into the queue.
    #[inline(always)]
    fn push_made(&mut self, make: impl Fn() -> Op, tag: Tag) -> Result<(), QueueFull> {
        self.push(make(), tag)
    }

    /// Queues operations that run one after the other, all of them or none. When one fails or does less than it was asked
    /// to, those behind it complete with −ECANCELED.
    ///
    /// # Errors
    ///
    /// When there is no room for all of them, or never will be: a submission queue must have as many entries.
    fn push_chain(&mut self, links: &[(Op, Tag)]) -> Result<(), QueueFull>;

    /// Whether [`Op::SendSilently`] may be pushed. Such a send is over after the next [`enter`](Kernel::enter) that does not
    /// answer [`Entered::Backpressure`]: its completion waits then to be taken, or there will be none and all was sent.
    fn takes_silent_sends(&self) -> bool {
        false
    }

    /// Submits what is queued, at once: it neither waits nor collects completions. What cannot be submitted now is by the
    /// next [`enter`](Kernel::enter), which reports what stands in the way.
    fn submit_now(&mut self);

    /// Submits what is queued and waits as asked. Completions are then collected with
    /// [`next_completion`](Kernel::next_completion).
    ///
    /// # Errors
    ///
    /// Only when the ring itself is broken; what is temporary is told by [`Entered`].
    fn enter(&mut self, wait: Wait) -> io::Result<Entered>;

    /// Whether an [`enter`](Kernel::enter) that does not wait would find completions, as far as that can be told without a
    /// system call; in doubt no.
    fn has_completed(&mut self) -> bool;

    /// From now on a wait looks for completions for so many nanoseconds before it sleeps; 0 = it sleeps at once, as at first.
    /// A kernel may do without.
    fn busy_poll(&mut self, longest_ns: u64) {
        let _ = longest_ns;
    }

    /// The oldest completion that has not been taken; none when the completion queue is empty. A wait looks only for
    /// completions that come after those that were there: take them all before.
    fn next_completion(&mut self) -> Option<Completion>;

    /// Looks at the tags of the completions that wait to be taken, oldest first, and leaves them there.
    fn look(&mut self, each: impl FnMut(Tag)) {
        let _ = each;
    }

    /// Moves completions into `into`, oldest first, and returns how many. Fewer than its length means that the
    /// completion queue is empty.
    fn reap(&mut self, into: &mut [Completion]) -> usize {
        let mut reaped = 0;
        while reaped < into.len()
            && let Some(completion) = self.next_completion()
        {
            into[reaped] = completion;
            reaped += 1;
        }
        reaped
    }

    /// Nanoseconds of a monotonic clock.
    fn now(&self) -> u64;

    /// Whether provided buffers can be consumed incrementally; see [`create_buffer_group`](Kernel::create_buffer_group).
    fn incremental_buffers(&self) -> bool;

    /// Makes a provided-buffer ring with room for `entries` buffers (a power of two, at most 32,768). With
    /// `incremental`, the kernel fills each buffer piece by piece before it takes the next.
    ///
    /// # Errors
    ///
    /// What the kernel answers, ENOMEM for example.
    fn create_buffer_group(&mut self, group: u16, entries: u16, incremental: bool) -> io::Result<()>;

    /// Gives buffers to a group; the kernel may write into them from now on.
    ///
    /// # Safety
    ///
    /// Each buffer must stay allocated, and must not be touched, until a completion says that the kernel is done with
    /// it or this `Kernel` has been dropped. No more than `entries` buffers may be in the group at a time.
    unsafe fn provide_buffers(&mut self, group: u16, buffers: &[ProvidedBuffer]);

    /// Registers memory that zero-copy sends, reads and writes may name by its position here, and makes room for `spare`
    /// more. Once, before anything is sent.
    ///
    /// # Safety
    ///
    /// The regions must stay mapped until this `Kernel` has been dropped.
    ///
    /// # Errors
    ///
    /// ENOMEM beyond RLIMIT_MEMLOCK, EFAULT for memory that is not mapped, EOPNOTSUPP for memory of a file.
    unsafe fn register_regions(&mut self, regions: &[(*mut u8, usize)], spare: u16) -> io::Result<()> {
        let _ = (regions, spare);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Registers memory at a position of that table in place of what was registered there, or empties the position. The
    /// kernel holds the pages until then, whoever unmaps them.
    ///
    /// # Safety
    ///
    /// The region must be mapped now. No operation that has not completed may name what was registered there before.
    ///
    /// # Errors
    ///
    /// As for [`register_regions`](Kernel::register_regions).
    unsafe fn replace_region(&mut self, index: u16, region: Option<(*mut u8, usize)>) -> io::Result<()> {
        let _ = (index, region);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Opens a listening TCP socket in the file table, and returns it with the address it is bound to. It listens until both
    /// the table and the caller have let go of it.
    ///
    /// # Errors
    ///
    /// What socket, bind or listen answer: EADDRINUSE, EACCES, EADDRNOTAVAIL, …
    fn listen(
        &mut self,
        file: FileIndex,
        address: SocketAddr,
        options: &SocketOptions,
    ) -> io::Result<(Self::Socket, SocketAddr)>;

    /// Puts a listening socket, which another kernel may have opened, into the file table.
    ///
    /// # Errors
    ///
    /// What the kernel answers when it cannot take the descriptor.
    fn share_listener(&mut self, file: FileIndex, socket: &Self::Socket) -> io::Result<()>;

    /// Opens a UDP socket in the file table, bound to `address` with SO_REUSEPORT, and returns the address it got.
    ///
    /// # Errors
    ///
    /// What socket or bind answer: EADDRINUSE, EACCES, EADDRNOTAVAIL, …
    fn bind_datagram(&mut self, file: FileIndex, address: SocketAddr) -> io::Result<SocketAddr> {
        let _ = (file, address);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Ends every operation, and hands over each completion that has not been reaped: some name descriptors that nobody has
    /// taken. Nothing may be pushed afterwards.
    fn end(&mut self, each: &mut dyn FnMut(Completion));

    /// Takes ownership of the descriptor that a completion of [`Op::AcceptMultishot`] or [`Op::Open`] names in its result.
    ///
    /// # Safety
    ///
    /// `result` must be that of such a completion of this kernel, and may be passed once only: it names a descriptor that
    /// nobody owns yet.
    unsafe fn accepted(&mut self, result: u32) -> Self::Socket;

    /// Puts an accepted socket into the file table, and tells the address of the other side. The connection ends when both
    /// the table and the caller have let go of it.
    ///
    /// # Errors
    ///
    /// ENOTCONN when the peer has already gone, or what the kernel answers when it cannot take the descriptor.
    fn adopt(&mut self, file: FileIndex, socket: &Self::Socket) -> io::Result<SocketAddr>;

    /// Ends the sending direction of a connection: the peer sees FIN after what was sent. A call and no operation,
    /// because the ring would hand it to a kernel thread, which takes ten times as long.
    ///
    /// # Errors
    ///
    /// ENOTCONN when the peer has reset the connection.
    fn shutdown_write(&mut self, socket: &Self::Socket) -> io::Result<()>;

    /// Opens an unconnected stream socket for the family of `peer` in the file table, and returns it.
    ///
    /// # Errors
    ///
    /// EMFILE, ENFILE, ENOBUFS, EAFNOSUPPORT, …
    fn open_stream(&mut self, file: FileIndex, peer: SocketAddr, options: &SocketOptions) -> io::Result<Self::Socket>;

    /// The local address of a socket, if the kernel can tell.
    fn local_address(&self, socket: &Self::Socket) -> Option<SocketAddr>;

    /// Takes ownership of the descriptor that a completion of [`Op::Open`] names in its result, finds out what direct
    /// I/O needs of it, and moves it into the file table. Nothing here waits for a disk: the inode is in memory by then.
    ///
    /// # Errors
    ///
    /// When it is neither a regular file nor a block device, when it takes no direct I/O, or when the kernel cannot take
    /// the descriptor; ENOSYS from a kernel without files. The descriptor is closed.
    ///
    /// # Safety
    ///
    /// As that of [`accepted`](Kernel::accepted), with a completion of [`Op::Open`].
    unsafe fn adopt_file(&mut self, file: FileIndex, result: u32) -> io::Result<FileFacts> {
        let _ = (file, result);
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }

    /// Whether [`Op::NvmeCommand`] can be submitted.
    fn takes_nvme(&self) -> bool {
        false
    }

    /// Takes ownership of the descriptor that a completion of [`Op::Open`] names in its result, asks the device about a
    /// namespace, and moves it into the file table. This waits for the device to answer one question.
    ///
    /// # Errors
    ///
    /// When it is not the generic character device of that namespace, or the device does not answer; ENOSYS from a
    /// kernel without devices. The descriptor is closed.
    ///
    /// # Safety
    ///
    /// As that of [`accepted`](Kernel::accepted), with a completion of [`Op::Open`].
    unsafe fn adopt_device(&mut self, file: FileIndex, result: u32, namespace: u32) -> io::Result<DeviceFacts> {
        let _ = (file, result, namespace);
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }

    /// Has the kernel ring `bell` when something completes, for a thread that waits elsewhere than in
    /// [`enter`](Kernel::enter). It rings only while [`announce`](Kernel::announce) is on, which is not so at first.
    ///
    /// # Errors
    ///
    /// What the kernel answers: EINVAL when it cannot, EBUSY when there is such a bell already.
    fn announce_by(&mut self, bell: &Doorbell) -> io::Result<()> {
        let _ = bell;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Switches that bell on or off. What completed before it was on can be reaped when this returns, or after the next
    /// `enter`, without a ring.
    fn announce(&mut self, on: bool) {
        let _ = on;
    }

    /// Something that other threads can ring to end a wait; each ring completes [`Op::PollDoorbell`].
    fn doorbell(&self) -> Doorbell;
}
