//! What an operation does at the moment of its submission.
//!
//! Sends, cancels and closes are over at once. The others are armed, and complete when their time has come; a shutdown
//! is among them, as Linux hands it to a worker thread that looks its file up only then.

use ringline_ring::{FileIndex, Op, Tag};

use crate::SimKernel;
use crate::faults::Fault;
use crate::files::File;
use crate::kernel::Queued;
use crate::memory::Snapshot;
use crate::perform::{Armed, Kind};
use crate::world::SocketId;

/// The most pieces that a message may have (`UIO_MAXIOV`).
const PIECES_MAX: usize = 1024;
/// One shutdown in so many is faster than the rest of its batch.
const EAGER_SHUTDOWN_ONE_IN: u64 = 8;
/// How long the worker thread takes for the others, in nanoseconds.
const SHUTDOWN_NS_MAX: u64 = 5_000;

impl SimKernel {
    pub(crate) fn issue(&mut self, queued: Queued) {
        let Queued { op, tag, memory } = queued;
        self.network.world().step("submission", tag.bits(), i64::from(code(&op)));
        match op {
            Op::AcceptMultishot { listener } => self.arm_on(listener, tag, Kind::Accept, memory),
            Op::ReceiveMultishot { file, group } => self.issue_receive(file, group, tag),
            Op::Send { file, .. } | Op::SendMessage { file, .. } | Op::SendSilently { file, .. } => {
                self.send(file, tag, &op, &memory);
            }
            Op::PollWritable { file } => self.arm_on(file, tag, Kind::Writable, memory),
            Op::Connect { file, .. } => self.issue_connect(file, tag, memory),
            Op::Shutdown { file, direction } => self.issue_shutdown(file, tag, Kind::Shutdown { file, direction }),
            Op::Close { file } => self.close(file, tag),
            Op::Cancel { target } => self.cancel(target, tag),
            Op::ReceiveDatagrams { .. } => self.violation("the simulated network has no datagrams"),
            Op::SendMessageAll { .. } => self.violation("the simulated kernel knows no chains"),
            Op::Open { .. } | Op::Read { .. } | Op::Write { .. } | Op::Fsync { .. } | Op::NvmeCommand { .. } => {
                self.violation("the simulated machine has no disk")
            }
            Op::SendZeroCopy { .. } | Op::SendMessageZeroCopy { .. } => self.violation("the simulated kernel copies"),
            Op::PollReadable { .. } => self.violation("the simulated machine has no other event loop"),
            Op::PollDoorbell => {
                self.hear_bell();
                self.bell_pending |= self.bell_rung_ever;
                self.arm(tag, Kind::Doorbell, None, memory);
            }
        }
    }

    /// The socket behind a fixed file; `None`, with EBADF posted, when it has been closed.
    fn resolve(&mut self, file: FileIndex, tag: Tag) -> Option<SocketId> {
        match self.files.get(file) {
            File::Open(id) => Some(id),
            File::Closed => {
                self.post(tag, -libc::EBADF, 0, None);
                None
            }
            File::NeverOpened => self.violation(&format!("{tag:?} names {file:?}, which was never opened")),
            File::Outside => self.violation(&format!("{tag:?} names {file:?}, which is beyond the table")),
        }
    }

    /// As [`resolve`](Self::resolve), for operations that make sense on streams only.
    fn resolve_stream(&mut self, file: FileIndex, tag: Tag) -> Option<SocketId> {
        let id = self.resolve(file, tag)?;
        if !self.network.world().is_stream(id) {
            self.violation(&format!("{tag:?} names {file:?}, which is a listener"));
        }
        Some(id)
    }

    /// Arms an operation and lets it hold its socket.
    fn arm(&mut self, tag: Tag, kind: Kind, socket: Option<SocketId>, memory: Snapshot) {
        if let Some(twin) = self.armed.iter().find(|armed| armed.tag == tag) {
            self.violation(&format!("{tag:?} is the tag of another operation in flight: {}", twin.describe()));
        }
        if let Some(id) = socket {
            self.network.world().retain(id);
        }
        self.armed.push(Armed::new(self.armed_ever, tag, kind, socket, memory));
        self.armed_ever += 1;
    }

    fn arm_on(&mut self, file: FileIndex, tag: Tag, kind: Kind, memory: Snapshot) {
        let Some(id) = self.resolve(file, tag) else { return };
        let is_listener = !self.network.world().is_stream(id);
        if is_listener != matches!(kind, Kind::Accept) {
            self.violation(&format!("{tag:?} names {file:?}, which is not of its kind"));
        }
        self.arm(tag, kind, Some(id), memory);
    }

    fn issue_receive(&mut self, file: FileIndex, group: u16, tag: Tag) {
        if !self.groups.exists(group) {
            self.violation(&format!("{tag:?} receives into group {group}, which does not exist"));
        }
        let Some(id) = self.resolve_stream(file, tag) else { return };
        let receives = |armed: &&Armed| armed.socket == Some(id) && matches!(armed.kind, Kind::Receive { .. });
        if let Some(twin) = self.armed.iter().find(receives) {
            self.violation(&format!("{tag:?} is a second receive on one stream, beside {}", twin.describe()));
        }
        // Linux tries at once, and picks a buffer before it looks for bytes: an empty group ends the operation here.
        self.arm(tag, Kind::Receive { group, fresh: true }, Some(id), Snapshot::Nothing);
    }

    fn send(&mut self, file: FileIndex, tag: Tag, op: &Op, memory: &Snapshot) {
        let Some(id) = self.resolve_stream(file, tag) else { return };
        let bytes = match memory {
            Snapshot::Bytes(_, bytes) | Snapshot::Message(_, bytes) => bytes,
            _ => unreachable!("a send has bytes"),
        };
        if let Op::SendMessage { message, .. } = op
            && crate::memory::pieces(*message) > PIECES_MAX
        {
            return self.post(tag, -libc::EMSGSIZE, 0, None);
        }
        let mut world = self.network.world();
        let result = match world.stream(id).room() {
            Err(errno) => -errno,
            Ok(0) if !bytes.is_empty() => -libc::EAGAIN,
            Ok(_) if world.fails(Fault::RefusedSend, |faults| faults.refused_send) => -libc::EAGAIN,
            Ok(room) => {
                let most = room.min(bytes.len());
                let scripted = world
                    .script
                    .take(|fault| if let Fault::ShortSend(most) = fault { Some(most as usize) } else { None });
                let chance = world.faults.short_send;
                let taken = match scripted {
                    Some(limit) => most.min(limit.max(1)),
                    None if most > 0 && world.random.chance(chance) => world.random.up_to(most),
                    None => most,
                };
                world.trace.bytes(&bytes[..taken]);
                world.stream(id).send(&bytes[..taken]);
                world.settle(id);
                taken as i32
            }
        };
        drop(world);
        if !tag.is_silent() || usize::try_from(result) != Ok(bytes.len()) {
            self.post(tag, result, 0, None);
        }
    }

    fn issue_connect(&mut self, file: FileIndex, tag: Tag, memory: Snapshot) {
        let Some(id) = self.resolve_stream(file, tag) else { return };
        let Snapshot::Address(_, to) = memory else { unreachable!("a connect has an address") };
        let started = self.network.world().start_connect(id, to);
        match started {
            Ok(()) => self.arm(tag, Kind::Connect, Some(id), memory),
            Err(errno) => self.post(tag, -errno, 0, None),
        }
    }

    fn issue_shutdown(&mut self, file: FileIndex, tag: Tag, kind: Kind) {
        if matches!(self.files.get(file), File::NeverOpened | File::Outside) {
            self.resolve(file, tag);
        }
        self.arm(tag, kind, None, Snapshot::Nothing);
        let mut world = self.network.world();
        let eager = world.random.below(EAGER_SHUTDOWN_ONE_IN) == 0;
        let due_ns = world.now_ns + world.random.below(SHUTDOWN_NS_MAX);
        drop(world);
        let armed = self.armed.last_mut().expect("armed just now");
        armed.due_ns = Some(due_ns);
        if eager {
            let id = armed.id;
            self.perform(id);
        }
    }

    fn close(&mut self, file: FileIndex, tag: Tag) {
        if self.resolve(file, tag).is_none() {
            return;
        }
        let id = self.files.close(file).expect("resolved just now");
        self.network.world().release(id);
        self.post(tag, 0, 0, None);
    }

    /// Marks the target. Its own completion comes later, and may be the one that it would have had anyway.
    fn cancel(&mut self, target: Tag, tag: Tag) {
        let found = self.armed.iter_mut().find(|armed| armed.tag == target);
        let result = match found {
            None => -libc::ENOENT,
            // Linux may or may not find an operation that is already on its way out.
            Some(armed) if armed.cancelled => {
                if self.network.world().random.coin() {
                    0
                } else {
                    -libc::ENOENT
                }
            }
            // The worker thread may have started: then it is too late.
            Some(armed) if matches!(armed.kind, Kind::Shutdown { .. }) && self.network.world().random.coin() => {
                armed.due_ns = Some(self.network.now());
                -libc::EALREADY
            }
            Some(armed) => {
                armed.cancelled = true;
                armed.due_ns = None;
                0
            }
        };
        self.post(tag, result, 0, None);
    }
}

/// A number for each kind of operation, for the trace.
const fn code(op: &Op) -> i32 {
    match op {
        Op::AcceptMultishot { .. } => 1,
        Op::ReceiveMultishot { .. } => 2,
        Op::Send { .. } => 3,
        Op::SendMessage { .. } => 4,
        Op::PollWritable { .. } => 5,
        Op::Connect { .. } => 6,
        Op::Shutdown { .. } => 7,
        Op::Close { .. } => 8,
        Op::Cancel { .. } => 9,
        Op::PollDoorbell => 10,
        Op::PollReadable { .. } => 20,
        Op::ReceiveDatagrams { .. } => 11,
        Op::Open { .. } => 14,
        Op::Read { .. } => 15,
        Op::Write { .. } => 16,
        Op::Fsync { .. } => 17,
        Op::NvmeCommand { .. } => 18,
        Op::SendZeroCopy { .. } => 12,
        Op::SendMessageZeroCopy { .. } => 13,
        Op::SendMessageAll { .. } => 19,
        Op::SendSilently { .. } => 21,
    }
}
