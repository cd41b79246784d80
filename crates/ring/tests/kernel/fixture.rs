//! What the tests of this folder share: a ring that remembers completions until a test asks for them, and a pair of
//! connected sockets of which one end stands in the ring's file table.

use std::collections::VecDeque;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use ringline_ring::{
    Completion, FileIndex, Kernel, Op, ProvidedBuffer, Region, RingSettings, SocketOptions, Tag, Uring, Wait,
};

/// How long a test waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long a test looks on, to see that something does not happen.
pub(crate) const QUIET: Duration = Duration::from_millis(60);

pub(crate) const OPTIONS: SocketOptions = SocketOptions { nodelay: true, backlog: 16, reuse_port: false };
pub(crate) const LOOPBACK: &str = "127.0.0.1:0";

pub(crate) fn loopback() -> SocketAddr {
    LOOPBACK.parse().unwrap()
}

/// A ring and the completions that no test has asked for yet. The ring is declared first: it is dropped before the
/// memory that it may write.
pub(crate) struct Bench {
    pub(crate) ring: Uring,
    pub(crate) seen: VecDeque<Completion>,
    next: u32,
    pub(crate) memory: Vec<Region>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(RingSettings::new(16, 16))
    }

    pub(crate) fn with(settings: RingSettings) -> Self {
        let ring = Uring::new(&settings).unwrap();
        Self { ring, seen: VecDeque::new(), next: 0, memory: Vec::new() }
    }

    /// Queues an operation under a tag of its own.
    pub(crate) fn push(&mut self, op: Op) -> Tag {
        let tag = self.next_tag();
        self.ring.push(op, tag).unwrap();
        tag
    }

    /// A tag that no operation has had.
    pub(crate) fn next_tag(&mut self) -> Tag {
        self.next += 1;
        Tag::new(1, 0, self.next)
    }

    /// Submits, and collects what is there without waiting.
    pub(crate) fn poll(&mut self) {
        self.ring.enter(Wait::Poll).unwrap();
        self.collect();
    }

    /// Takes what stands in the completion queue; returns how many.
    pub(crate) fn collect(&mut self) -> usize {
        let mut total = 0;
        loop {
            let mut completions = [EMPTY; 8];
            let count = self.ring.reap(&mut completions);
            self.seen.extend(&completions[..count]);
            total += count;
            if count < completions.len() {
                return total;
            }
        }
    }

    /// The next completion of an operation; others are kept.
    pub(crate) fn wait_for(&mut self, tag: Tag) -> Completion {
        self.next_within(tag, PATIENCE).unwrap_or_else(|| panic!("no completion of {tag:?}; seen: {:?}", self.seen))
    }

    /// The next completion of an operation if it comes in time.
    pub(crate) fn next_within(&mut self, tag: Tag, patience: Duration) -> Option<Completion> {
        let deadline = self.ring.now() + patience.as_nanos() as u64;
        // Submit first: a wait does not end with the completion of a send that is submitted by it.
        self.poll();
        loop {
            self.collect();
            if let Some(at) = self.seen.iter().position(|completion| completion.tag == tag) {
                return self.seen.remove(at);
            }
            let now = self.ring.now();
            if now >= deadline {
                return None;
            }
            self.ring.enter(Wait::AtMost(deadline - now)).unwrap();
        }
    }

    /// Makes group 0 with `count` buffers of `len` bytes each, numbered from 0; returns the first byte of the first.
    pub(crate) fn provide(&mut self, count: u16, len: usize, incremental: bool) -> *mut u8 {
        self.ring.create_buffer_group(0, count.next_power_of_two(), incremental).unwrap();
        let memory = Region::new(usize::from(count) * len).unwrap();
        let start = memory.as_ptr();
        self.memory.push(memory);
        for id in 0..count {
            self.give(start, id, len);
        }
        start
    }

    /// Gives one buffer of the memory at `start` to group 0.
    pub(crate) fn give(&mut self, start: *mut u8, id: u16, len: usize) {
        let address = start.wrapping_add(usize::from(id) * len);
        // SAFETY: the memory belongs to this bench and is released after its ring.
        unsafe { self.ring.provide_buffers(0, &[ProvidedBuffer { id, address, len: len as u32 }]) };
    }

    /// A connection on loopback: the near end in the file table at `file`, the far end as an ordinary socket.
    pub(crate) fn connection(&mut self, file: FileIndex) -> TcpStream {
        let (near, far) = tcp_pair();
        self.ring.adopt(file, &near).unwrap();
        far
    }

    /// Arms a receive on a file from group 0 and submits it.
    pub(crate) fn receive(&mut self, file: FileIndex) -> Tag {
        let tag = self.push(Op::ReceiveMultishot { file, group: 0 });
        self.poll();
        tag
    }
}

pub(crate) const EMPTY: Completion = Completion { tag: Tag::from_bits(0), result: 0, flags: 0 };

/// Two connected TCP sockets.
pub(crate) fn tcp_pair() -> (OwnedFd, TcpStream) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    far.set_nodelay(true).unwrap();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let (near, _) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    (near.into(), far)
}

/// Whether the other side has ended its stream: FIN, seen within the given time.
pub(crate) fn sees_fin(far: &mut TcpStream, patience: Duration) -> bool {
    far.set_read_timeout(Some(patience)).unwrap();
    let outcome = far.read(&mut [0; 16]);
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    match outcome {
        Ok(0) => true,
        Ok(count) => panic!("{count} unexpected bytes"),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}

/// Runs the body of the test `name` in a process of its own: for what belongs to a whole process, such as its open
/// files and limits. `prepare` runs there before the program starts.
pub(crate) fn in_a_process_of_its_own(name: &str, prepare: fn() -> std::io::Result<()>, body: impl FnOnce()) {
    const MARK: &str = "RINGLINE_TEST_OF_ITS_OWN";
    if std::env::var_os(MARK).is_some_and(|mark| mark == name) {
        return body();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--test-threads=1"]).env(MARK, name);
    // SAFETY: what the tests pass makes system calls only, no allocation.
    unsafe { command.pre_exec(prepare) };
    let child = command.output().unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&child.stderr));
}

/// Takes root's rights from the calling thread, and from no other.
pub(crate) fn drop_privileges() {
    const NOBODY: libc::c_long = 65_534;
    // SAFETY: no pointers; the raw call changes this thread alone.
    if unsafe { libc::geteuid() } == 0 {
        // SAFETY: as above.
        assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) }, 0);
    }
}

/// Sets both the soft and the hard limit of a resource of this process.
macro_rules! limit {
    ($resource:expr, $value:expr) => {{
        let limit = libc::rlimit { rlim_cur: $value, rlim_max: $value };
        // SAFETY: the structure lives across the call.
        assert_eq!(unsafe { libc::setrlimit($resource, &raw const limit) }, 0);
    }};
}
pub(crate) use limit;
