//! What operations in flight do when their time has come: look again, post, and go on or end.
//!
//! Each look at the ready operations goes through them in an order that the seed chooses, and holds some of them back.
//! The completions of one operation always come in order.

use ringline_ring::{Direction, FLAG_MORE, FileIndex, Tag};

use crate::SimKernel;
use crate::buffers::Filled;
use crate::faults::Fault;
use crate::files::File;
use crate::memory::Snapshot;
use crate::stream::{Received, State};
use crate::world::{SocketId, World};

/// The completion flag that says that more bytes, or the end of the stream, wait in the socket
/// (IORING_CQE_F_SOCK_NONEMPTY). The end itself carries it too.
const FLAG_SOCKET_NONEMPTY: u32 = 1 << 2;
/// One piece in so many is the last that a receive takes before others have their turn.
const RECEIVE_YIELDS_ONE_IN: u64 = 8;
/// What accepts answer that fail by chance.
const ACCEPT_ERRORS: [i32; 5] = [libc::ECONNABORTED, libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::EPERM];

pub(crate) enum Kind {
    Accept,
    /// `fresh`: not tried yet.
    Receive {
        group: u16,
        fresh: bool,
    },
    Writable,
    Connect,
    Shutdown {
        file: FileIndex,
        direction: Direction,
    },
    Doorbell,
}

/// An operation in flight.
pub(crate) struct Armed {
    /// Never used twice, unlike a tag.
    pub(crate) id: u64,
    pub(crate) tag: Tag,
    pub(crate) kind: Kind,
    /// The socket that the operation keeps open.
    pub(crate) socket: Option<SocketId>,
    pub(crate) cancelled: bool,
    /// When it may go on, once it is ready.
    pub(crate) due_ns: Option<u64>,
    memory: Snapshot,
}

impl Armed {
    pub(crate) const fn new(id: u64, tag: Tag, kind: Kind, socket: Option<SocketId>, memory: Snapshot) -> Self {
        Self { id, tag, kind, socket, cancelled: false, due_ns: None, memory }
    }

    pub(crate) fn describe(&self) -> String {
        let kind = match self.kind {
            Kind::Accept => "accept",
            Kind::Receive { .. } => "receive",
            Kind::Writable => "poll for room",
            Kind::Connect => "connect",
            Kind::Shutdown { .. } => "shutdown",
            Kind::Doorbell => "poll of the doorbell",
        };
        let cancelled = if self.cancelled { ", cancelled" } else { "" };
        format!("{kind} {:?}{cancelled}", self.tag)
    }
}

/// Whether an operation goes on after a step.
#[derive(PartialEq, Eq)]
enum Goes {
    On,
    Ended,
}

impl SimKernel {
    /// Runs the calendar and every operation that is ready and due, until nothing is left to do at this time.
    pub(crate) fn perform_due(&mut self) {
        loop {
            self.network.run_due();
            self.hear_bell();
            let mut due = self.due();
            if due.is_empty() {
                return;
            }
            let mut world = self.network.world();
            if world.faults.reordered {
                world.random.shuffle(&mut due);
            }
            drop(world);
            for id in due {
                self.perform(id);
            }
        }
    }

    /// When the next operation that is ready falls due.
    pub(crate) fn next_due_at(&self) -> Option<u64> {
        self.armed.iter().filter_map(|armed| armed.due_ns).min()
    }

    /// The operations that are ready now. Those that are newly ready may be held back.
    fn due(&mut self) -> Vec<u64> {
        let mut world = self.network.world();
        let mut due = Vec::new();
        for armed in &mut self.armed {
            if armed.due_ns.is_none() && ready(&mut world, armed, self.bell_pending) {
                armed.due_ns = Some(world.now_ns + completion_delay(&mut world));
            }
            if armed.due_ns.is_some_and(|due_ns| due_ns <= world.now_ns) {
                due.push(armed.id);
            }
        }
        due
    }

    /// Lets one operation go on.
    pub(crate) fn perform(&mut self, id: u64) {
        // The step before may have ended it.
        let Some(at) = self.armed.iter().position(|armed| armed.id == id) else { return };
        let mut armed = self.armed.remove(at);
        armed.due_ns = None;
        if !armed.memory.unchanged() {
            self.violation(&format!("the memory of {} changed while it was in flight", armed.describe()));
        }
        let goes = if armed.cancelled { self.end_cancelled(&mut armed) } else { self.go_on(&mut armed) };
        match goes {
            Goes::On => self.armed.insert(at, armed),
            Goes::Ended => {
                if let Some(socket) = armed.socket {
                    self.network.world().release(socket);
                }
            }
        }
    }

    /// A cancelled operation ends, now and then after a last step that was under way already.
    fn end_cancelled(&mut self, armed: &mut Armed) -> Goes {
        let mut world = self.network.world();
        let stopped = matches!(armed.kind, Kind::Shutdown { .. });
        let under_way = !stopped && world.random.coin() && ready_uncancelled(&mut world, armed, self.bell_pending);
        drop(world);
        if under_way && self.step(armed) == Goes::Ended {
            return Goes::Ended;
        }
        self.post(armed.tag, -libc::ECANCELED, 0, None);
        Goes::Ended
    }

    fn go_on(&mut self, armed: &mut Armed) -> Goes {
        loop {
            let mut world = self.network.world();
            if !ready_uncancelled(&mut world, armed, self.bell_pending) {
                return Goes::On;
            }
            let yields = world.random.below(RECEIVE_YIELDS_ONE_IN) == 0;
            drop(world);
            if self.step(armed) == Goes::Ended {
                return Goes::Ended;
            }
            if yields {
                return Goes::On;
            }
        }
    }

    fn step(&mut self, armed: &mut Armed) -> Goes {
        match (&mut armed.kind, armed.socket) {
            (Kind::Accept, Some(id)) => self.accept(armed.tag, id),
            (Kind::Receive { group, fresh }, Some(id)) => {
                *fresh = false;
                let group = *group;
                self.receive(armed.tag, id, group)
            }
            (Kind::Writable, Some(id)) => {
                let mask = self.network.world().stream(id).writable();
                // A poll that completes without room still says that there is some.
                self.end(armed.tag, i32::from(if mask == 0 { libc::POLLOUT } else { mask }))
            }
            (Kind::Connect, Some(id)) => {
                let result = self.network.world().stream(id).connect_result.take();
                self.end(armed.tag, result.expect("a connect is ready when it has a result"))
            }
            (&mut Kind::Shutdown { file, direction }, _) => {
                let result = self.shut_down(file, direction);
                self.end(armed.tag, result)
            }
            (Kind::Doorbell, _) => {
                self.bell_pending = false;
                self.post_multishot(armed.tag, i32::from(libc::POLLIN), 0, None)
            }
            (Kind::Accept | Kind::Receive { .. } | Kind::Writable | Kind::Connect, None) => {
                unreachable!("these operations hold their socket")
            }
        }
    }

    fn end(&mut self, tag: Tag, result: i32) -> Goes {
        self.post(tag, result, 0, None);
        Goes::Ended
    }

    /// Posts a completion of a multishot operation. It is the last one when the queue has no room, and by chance.
    fn post_multishot(&mut self, tag: Tag, result: i32, flags: u32, buffer: Option<(u16, Filled)>) -> Goes {
        let unlucky = self.network.world().fails(Fault::MultishotEnds, |faults| faults.multishot_ends);
        let ends = unlucky || self.completions.full();
        self.post(tag, result, if ends { flags } else { flags | FLAG_MORE }, buffer);
        if ends { Goes::Ended } else { Goes::On }
    }

    fn accept(&mut self, tag: Tag, id: SocketId) -> Goes {
        let mut world = self.network.world();
        let errno = accept_error(&mut world);
        let listener = world.listener(id).expect("accepts are armed on listeners");
        if listener.ended {
            drop(world);
            return self.end(tag, -libc::EINVAL);
        }
        match errno {
            Some(errno) => {
                // Only these two concern the connection itself; for want of anything else it stays in the backlog.
                if matches!(errno, libc::ECONNABORTED | libc::EPERM)
                    && let Some(lost) = listener.backlog.pop_front()
                {
                    world.stream(lost).refuse();
                }
                drop(world);
                self.end(tag, -errno)
            }
            None => {
                let connection = listener.backlog.pop_front().expect("an accept is ready when there is a connection");
                world.retain(connection);
                let number = world.descriptors.open(connection);
                drop(world);
                self.post_multishot(tag, number as i32, 0, None)
            }
        }
    }

    fn receive(&mut self, tag: Tag, id: SocketId, group: u16) -> Goes {
        let Some(room) = self.groups.room(group) else { return self.end(tag, -libc::ENOBUFS) };
        let mut world = self.network.world();
        let received = world.stream(id).receive(room);
        world.settle(id);
        let flags = if world.stream(id).nonempty() { FLAG_SOCKET_NONEMPTY } else { 0 };
        match received {
            Received::NotYet => Goes::On,
            Received::End => {
                drop(world);
                self.post(tag, 0, flags, None);
                Goes::Ended
            }
            Received::Failed(errno) => {
                drop(world);
                self.end(tag, -errno)
            }
            Received::Bytes(bytes) => {
                world.trace.bytes(&bytes);
                drop(world);
                match self.groups.fill(group, &bytes) {
                    Ok(filled) => self.post_multishot(tag, bytes.len() as i32, flags, Some((group, filled))),
                    Err(broken) => self.violation(&broken),
                }
            }
        }
    }

    /// The worker thread looks the file up now: a close may have been faster, and a new socket may stand there.
    fn shut_down(&mut self, file: FileIndex, direction: Direction) -> i32 {
        let File::Open(id) = self.files.get(file) else { return -libc::EBADF };
        let mut world = self.network.world();
        let both = direction == Direction::Both;
        if let Some(listener) = world.listener(id) {
            if both {
                listener.ended = true;
                world.abandon_backlog(id);
            }
            return 0;
        }
        let result = world.stream(id).shut_down(both);
        world.settle(id);
        result
    }
}

fn ready(world: &mut World, armed: &Armed, bell_pending: bool) -> bool {
    armed.cancelled || ready_uncancelled(world, armed, bell_pending)
}

fn ready_uncancelled(world: &mut World, armed: &Armed, bell_pending: bool) -> bool {
    match (&armed.kind, armed.socket) {
        (Kind::Accept, Some(id)) => {
            let listener = world.listener(id).expect("accepts are armed on listeners");
            listener.ended || !listener.backlog.is_empty()
        }
        (Kind::Receive { fresh, .. }, Some(id)) => {
            let stream = world.stream(id);
            // A connect that is under way has set the socket neither readable nor broken.
            *fresh || (stream.state != State::Connecting && stream.readable())
        }
        (Kind::Writable, Some(id)) => {
            let chance = world.faults.spurious_writable;
            world.stream(id).writable() != 0 || world.random.chance(chance)
        }
        (Kind::Connect, Some(id)) => world.stream(id).connect_result.is_some(),
        (Kind::Doorbell, _) => bell_pending,
        // A shutdown waits for its worker thread only, which its due time stands for.
        (Kind::Shutdown { .. }, _) => true,
        (Kind::Accept | Kind::Receive { .. } | Kind::Writable | Kind::Connect, None) => false,
    }
}

/// What the accept that is next fails with, if it does.
fn accept_error(world: &mut World) -> Option<i32> {
    let scripted = world.script.take(|fault| if let Fault::Accept(errno) = fault { Some(errno) } else { None });
    if scripted.is_some() {
        return scripted;
    }
    if world.descriptors.len() >= world.options.descriptors_max {
        return Some(libc::EMFILE);
    }
    let chance = world.faults.accept_fails;
    let fails = world.random.chance(chance);
    fails.then(|| ACCEPT_ERRORS[world.random.below(ACCEPT_ERRORS.len() as u64) as usize])
}

fn completion_delay(world: &mut World) -> u64 {
    let scripted = world.script.take(|fault| if let Fault::DelayedCompletion(ns) = fault { Some(ns) } else { None });
    if let Some(ns) = scripted {
        return ns;
    }
    let chance = world.faults.delayed_completion;
    let delayed = world.random.chance(chance);
    if delayed { world.random.below(world.faults.completion_delay_ns_max + 1) } else { 0 }
}
