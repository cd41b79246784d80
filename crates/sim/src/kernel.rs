//! The ring: its queues, its waits, and the calls that are no operations.
//!
//! What an operation does when it is submitted is in `issue`, what it does when its time has come in `perform`, and how
//! time passes in `wait`.

use std::collections::VecDeque;
use std::fs::File as OpenFile;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ringline_ring::{
    BUFFER_ID_SHIFT, Completion, Doorbell, Entered, FLAG_BUFFER, FLAG_BUFFER_MORE, FileIndex, Kernel, Op,
    ProvidedBuffer, QueueFull, SocketOptions, Tag, Wait,
};

use crate::SimSocket;
use crate::buffers::{Filled, Groups};
use crate::faults::Fault;
use crate::files::{File, Files};
use crate::memory::{Region, Snapshot};
use crate::network::Network;
use crate::perform::Armed;
use crate::queue::{CompletionQueue, Posted};
use crate::stream::State;
use crate::world::{Listener, Socket, SocketId};

/// Settings of a simulated ring.
#[derive(Clone, Copy, Debug)]
pub struct RingOptions {
    /// Room of the submission queue, in operations.
    pub submissions: usize,
    /// Room of the completion queue; what has none waits on the overflow list.
    pub completions: usize,
    /// Entries of the file table.
    pub files: u32,
    /// Whether buffer groups can be incremental.
    pub incremental_buffers: bool,
}

impl Default for RingOptions {
    /// 256 submissions, 1,024 completions, 1,024 files, incremental buffers.
    fn default() -> Self {
        Self { submissions: 256, completions: 1024, files: 1024, incremental_buffers: true }
    }
}

/// An operation that has been pushed and not submitted.
pub(crate) struct Queued {
    pub(crate) op: Op,
    pub(crate) tag: Tag,
    pub(crate) memory: Snapshot,
}

/// A simulated ring on a [`Network`].
pub struct SimKernel {
    pub(crate) network: Network,
    options: RingOptions,
    pub(crate) submissions: VecDeque<Queued>,
    pub(crate) completions: CompletionQueue,
    pub(crate) files: Files,
    pub(crate) groups: Groups,
    /// Operations in flight, in the order of their submission.
    pub(crate) armed: Vec<Armed>,
    pub(crate) armed_ever: u64,
    doorbell: Doorbell,
    /// The descriptor of the doorbell once more, to read what other clones have rung.
    pub(crate) bell_counter: OpenFile,
    /// The bell has been rung, and no poll has told yet.
    pub(crate) bell_pending: bool,
    /// The bell has been rung at some time: as the counter is never read, a new poll finds it readable at once.
    pub(crate) bell_rung_ever: bool,
    /// There was no memory for a completion.
    pub(crate) completion_lost: bool,
}

impl SimKernel {
    /// A ring on a network. Several rings may stand on one network, and adopt each other's accepted sockets.
    ///
    /// # Panics
    ///
    /// When the test process is out of descriptors: the doorbell is a real eventfd.
    pub fn new(network: &Network, options: RingOptions) -> Self {
        let doorbell = Doorbell::new().expect("an eventfd for the doorbell");
        let descriptor = std::os::fd::AsFd::as_fd(&doorbell).try_clone_to_owned().expect("a second descriptor for it");
        network.world().kernels += 1;
        Self {
            network: network.clone(),
            options,
            submissions: VecDeque::new(),
            completions: CompletionQueue::new(options.completions),
            files: Files::new(options.files),
            groups: Groups::default(),
            armed: Vec::new(),
            armed_ever: 0,
            doorbell,
            bell_counter: OpenFile::from(descriptor),
            bell_pending: false,
            bell_rung_ever: false,
            completion_lost: false,
        }
    }

    /// Rings the doorbell, as another thread would.
    pub fn ring_doorbell(&self) {
        self.doorbell.ring();
    }

    /// The network on which the ring stands.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The sockets that are still open; see [`Network::open_files`].
    pub fn open_files(&self) -> Vec<String> {
        self.network.open_files()
    }

    /// How many operations have been submitted and have not had their last completion.
    pub fn operations_in_flight(&self) -> usize {
        self.armed.len()
    }

    /// How many buffers of a group the kernel owns.
    pub fn buffers_owned(&self, group: u16) -> usize {
        self.groups.owned_by_kernel(group)
    }

    /// The bytes of the buffers of a group that the kernel owns, those that it has used up included.
    pub fn buffer_bytes_owned(&self, group: u16) -> usize {
        self.groups.bytes_owned_by_kernel(group)
    }

    /// Fails the test when somebody has written into a provided buffer that the kernel owns. Dropping the kernel
    /// checks the same.
    pub fn check_buffers(&self) {
        if let Some((group, id)) = self.groups.spoiled() {
            self.violation(&format!("buffer {id} of group {group} was written while the kernel owned it"));
        }
    }

    #[track_caller]
    pub(crate) fn violation(&self, what: &str) -> ! {
        self.network.world().violation(what)
    }

    /// Posts a completion.
    pub(crate) fn post(&mut self, tag: Tag, result: i32, flags: u32, buffer: Option<(u16, Filled)>) {
        let mut completion = Completion { tag, result, flags };
        let mut gives_back = None;
        if let Some((group, filled)) = buffer {
            completion.flags |= FLAG_BUFFER | u32::from(filled.id) << BUFFER_ID_SHIFT;
            if filled.more {
                completion.flags |= FLAG_BUFFER_MORE;
            } else {
                gives_back = Some(group);
            }
        }
        let mut world = self.network.world();
        world.step("completion", tag.bits(), i64::from(result));
        world.step("flags", tag.bits(), i64::from(completion.flags));
        let lost = world.script.take_exactly(Fault::LostCompletion);
        drop(world);
        if lost {
            self.completion_lost = true;
            return;
        }
        self.completions.post(Posted { completion, group: gives_back });
    }

    /// The entry of the file table, which must be free.
    fn check_free(&self, file: FileIndex) {
        match self.files.get(file) {
            File::NeverOpened | File::Closed => {}
            File::Outside => self.violation(&format!("{file:?} is beyond the {} files", self.options.files)),
            File::Open(_) => self.violation(&format!("{file:?} was opened while it is in use")),
        }
    }

    fn install(&mut self, file: FileIndex, id: SocketId) {
        self.files.open(file, id);
        let mut world = self.network.world();
        world.retain(id);
        world.step("file opened", u64::from(file.0), i64::from(id.0));
    }
}

impl SimKernel {
    /// As [`Kernel::accepted`], which here checks what it is given.
    pub fn accepted(&mut self, result: u32) -> SimSocket {
        let socket = self.network.world().descriptors.own(result);
        socket.unwrap_or_else(|| self.violation(&format!("{result} is no accepted socket, or was taken before")))
    }
}

impl Kernel for SimKernel {
    type Socket = SimSocket;

    fn push(&mut self, op: Op, tag: Tag) -> Result<(), QueueFull> {
        if matches!(op, Op::SendSilently { .. }) != tag.is_silent() {
            self.violation(&format!("{op:?} and {tag:?} do not agree on whether it is silent"));
        }
        let mut world = self.network.world();
        if world.fails(Fault::QueueFull, |faults| faults.queue_full) {
            world.step("queue full", tag.bits(), 0);
            return Err(QueueFull);
        }
        let chance = world.faults.early_submission;
        let early = world.random.chance(chance);
        drop(world);
        if early || self.submissions.len() == self.options.submissions {
            self.submit(usize::MAX);
        }
        self.submissions.push_back(Queued { op, tag, memory: Snapshot::of(&op) });
        Ok(())
    }

    fn push_chain(&mut self, _: &[(Op, Tag)]) -> Result<(), QueueFull> {
        self.violation("the simulated kernel knows no chains")
    }

    fn takes_silent_sends(&self) -> bool {
        true
    }

    fn submit_now(&mut self) {
        self.submit(usize::MAX);
    }

    fn enter(&mut self, wait: Wait) -> io::Result<Entered> {
        let mut world = self.network.world();
        world.now_ns += world.options.enter_ns;
        let taken = world.script.take_exactly(Fault::Backpressure).then_some(0);
        let chance = world.faults.backpressure;
        let taken = taken.or_else(|| {
            let refused = world.random.chance(chance);
            refused.then(|| world.random.below(self.submissions.len() as u64 + 1) as usize)
        });
        drop(world);
        let inline = self.submit(taken.unwrap_or(usize::MAX));
        self.perform_due();
        let room = self.completions.flush_overflow();
        let entered = match taken {
            None if room => self.wait(inline + 1, wait),
            _ => Entered::Backpressure,
        };
        self.network.world().step("entered", entered as u64, self.completions.len() as i64);
        if self.completion_lost { Err(io::Error::from_raw_os_error(libc::EBADR)) } else { Ok(entered) }
    }

    fn has_completed(&mut self) -> bool {
        self.completions.len() > 0
    }

    fn next_completion(&mut self) -> Option<Completion> {
        let posted = self.completions.pop()?;
        if let (Some(group), Some(id)) = (posted.group, posted.completion.buffer_id()) {
            self.groups.reaped(group, id);
        }
        Some(posted.completion)
    }

    fn look(&mut self, each: impl FnMut(Tag)) {
        self.completions.tags().for_each(each);
    }

    fn now(&self) -> u64 {
        self.network.now()
    }

    fn incremental_buffers(&self) -> bool {
        self.options.incremental_buffers
    }

    fn create_buffer_group(&mut self, group: u16, entries: u16, incremental: bool) -> io::Result<()> {
        if incremental && !self.options.incremental_buffers {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        self.groups.create(group, entries, incremental).map_err(io::Error::from_raw_os_error)
    }

    unsafe fn provide_buffers(&mut self, group: u16, buffers: &[ProvidedBuffer]) {
        for buffer in buffers {
            let len = buffer.len as usize;
            if let Err(broken) = self.groups.may_provide(group, buffer.id, buffer.address.addr(), len) {
                self.violation(&broken);
            }
            // SAFETY: the caller lends the bytes to the kernel until a completion gives them back or the kernel is
            // dropped; the group drops the region at exactly those times.
            let region = unsafe { Region::take(buffer.address, len) };
            self.groups.provide(group, buffer.id, region);
            self.network.world().step("provided", u64::from(buffer.id), i64::from(group));
        }
    }

    fn listen(
        &mut self,
        file: FileIndex,
        address: SocketAddr,
        options: &SocketOptions,
    ) -> io::Result<(SimSocket, SocketAddr)> {
        self.check_free(file);
        let mut world = self.network.world();
        let bound = if address.port() == 0 { world.ephemeral(address.ip()) } else { address };
        let taken = world.listeners_at(bound);
        let free = taken.is_empty() || (options.reuse_port && world.all_share_port(&taken));
        if !free {
            return Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
        }
        let listener = Listener {
            address: bound,
            backlog_max: options.backlog as usize,
            backlog: VecDeque::new(),
            ended: false,
            reuse_port: options.reuse_port,
            released: false,
        };
        let id = world.insert(Socket::Listener(listener));
        world.retain(id);
        let number = world.descriptors.open(id);
        let socket = world.descriptors.own(number).expect("opened just now");
        drop(world);
        self.install(file, id);
        Ok((socket, bound))
    }

    fn share_listener(&mut self, file: FileIndex, socket: &SimSocket) -> io::Result<()> {
        self.check_free(file);
        self.install(file, socket.socket);
        Ok(())
    }

    fn end(&mut self, each: &mut dyn FnMut(Completion)) {
        // What is armed ends with the kernel and names nothing.
        while let Some(completion) = self.next_completion() {
            each(completion);
        }
    }

    unsafe fn accepted(&mut self, result: u32) -> SimSocket {
        Self::accepted(self, result)
    }

    fn adopt(&mut self, file: FileIndex, socket: &SimSocket) -> io::Result<SocketAddr> {
        self.check_free(file);
        let mut world = self.network.world();
        if !world.descriptors.issued(socket) {
            world.violation("a socket of another network was adopted");
        }
        let injected = world.script.take(|fault| if let Fault::Adopt(errno) = fault { Some(errno) } else { None });
        let chance = world.faults.adopt_fails;
        let injected = injected.or_else(|| world.random.chance(chance).then_some(libc::ENOTCONN));
        let stream = world.stream(socket.socket);
        // A connection that was reset in the backlog has no peer to tell of.
        let gone = (stream.state != State::Connected).then_some(libc::ENOTCONN);
        let peer = stream.peer;
        if let Some(errno) = injected.or(gone) {
            world.step("not adopted", u64::from(file.0), i64::from(errno));
            return Err(io::Error::from_raw_os_error(errno));
        }
        drop(world);
        self.install(file, socket.socket);
        Ok(peer.expect("a connected stream has a peer"))
    }

    fn shutdown_write(&mut self, socket: &SimSocket) -> io::Result<()> {
        let mut world = self.network.world();
        let result = world.stream(socket.socket).shut_down(false);
        world.settle(socket.socket);
        world.step("shut down", u64::from(socket.socket.0), i64::from(result));
        if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) }
    }

    fn open_stream(&mut self, file: FileIndex, peer: SocketAddr, _: &SocketOptions) -> io::Result<SimSocket> {
        self.check_free(file);
        let mut world = self.network.world();
        if world.descriptors.len() >= world.options.descriptors_max {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let id = world.new_stream();
        let ip = if peer.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        world.stream(id).local = Some(SocketAddr::new(ip, 0));
        world.retain(id);
        let number = world.descriptors.open(id);
        let socket = world.descriptors.own(number).expect("opened just now");
        drop(world);
        self.install(file, id);
        Ok(socket)
    }

    fn local_address(&self, socket: &SimSocket) -> Option<SocketAddr> {
        self.network.world().stream(socket.socket).local
    }

    fn doorbell(&self) -> Doorbell {
        self.doorbell.clone()
    }
}

impl Drop for SimKernel {
    /// Ends every operation, then empties the file table. Descriptors that completions named and nobody took stay
    /// open: nothing closes them on a real machine either.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.check_buffers();
        let sockets: Vec<SocketId> = self.armed.drain(..).filter_map(|armed| armed.socket).collect();
        let mut world = self.network.world();
        for id in sockets.into_iter().chain(self.files.close_all()) {
            world.release(id);
        }
        world.kernels -= 1;
    }
}
