//! A kernel between the driver and the simulated one that changes completions on their way: for what no kernel promises
//! to do, or does only when completions and slots meet in one unlucky order.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use ringline_ring::{
    Completion, Doorbell, Entered, FileIndex, Kernel, Op, ProvidedBuffer, QueueFull, SocketOptions, Tag, Wait,
};
use ringline_sim::{SimKernel, SimSocket};

/// What a test does to completions, and what it has seen pushed.
#[derive(Default)]
pub(crate) struct Meddling {
    /// Every operation so far.
    pub(crate) pushed: Vec<(Op, Tag)>,
    /// The address of every buffer that was provided.
    pub(crate) provided: BTreeSet<usize>,
    /// Completions that come before the kernel's own.
    pub(crate) forged: VecDeque<Completion>,
    /// Changes a completion of the kernel.
    pub(crate) change: Option<fn(&mut Completion)>,
}

impl Meddling {
    /// The tag of the newest operation of a sort.
    pub(crate) fn newest(&self, sort: impl Fn(&Op) -> bool) -> Tag {
        self.pushed.iter().rev().find(|(op, _)| sort(op)).expect("such an operation was pushed").1
    }
}

pub(crate) struct Meddler {
    kernel: SimKernel,
    pub(crate) meddling: Rc<RefCell<Meddling>>,
}

impl Meddler {
    pub(crate) fn new(kernel: SimKernel) -> Self {
        Self { kernel, meddling: Rc::default() }
    }

    pub(crate) fn simulated(&self) -> &SimKernel {
        &self.kernel
    }
}

impl Kernel for Meddler {
    type Socket = SimSocket;

    fn push(&mut self, op: Op, tag: Tag) -> Result<(), QueueFull> {
        self.kernel.push(op, tag)?;
        self.meddling.borrow_mut().pushed.push((op, tag));
        Ok(())
    }

    fn push_chain(&mut self, links: &[(Op, Tag)]) -> Result<(), QueueFull> {
        self.kernel.push_chain(links)?;
        self.meddling.borrow_mut().pushed.extend_from_slice(links);
        Ok(())
    }

    fn takes_silent_sends(&self) -> bool {
        self.kernel.takes_silent_sends()
    }

    fn submit_now(&mut self) {
        self.kernel.submit_now();
    }

    fn enter(&mut self, wait: Wait) -> io::Result<Entered> {
        let wait = if self.meddling.borrow().forged.is_empty() { wait } else { Wait::Poll };
        self.kernel.enter(wait)
    }

    fn has_completed(&mut self) -> bool {
        self.kernel.has_completed()
    }

    fn next_completion(&mut self) -> Option<Completion> {
        let mut meddling = self.meddling.borrow_mut();
        if let Some(forged) = meddling.forged.pop_front() {
            return Some(forged);
        }
        let mut completion = self.kernel.next_completion()?;
        if let Some(change) = meddling.change {
            change(&mut completion);
        }
        Some(completion)
    }

    fn look(&mut self, each: impl FnMut(Tag)) {
        self.kernel.look(each);
    }

    fn now(&self) -> u64 {
        self.kernel.now()
    }

    fn incremental_buffers(&self) -> bool {
        self.kernel.incremental_buffers()
    }

    fn create_buffer_group(&mut self, group: u16, entries: u16, incremental: bool) -> io::Result<()> {
        self.kernel.create_buffer_group(group, entries, incremental)
    }

    unsafe fn provide_buffers(&mut self, group: u16, buffers: &[ProvidedBuffer]) {
        self.meddling.borrow_mut().provided.extend(buffers.iter().map(|buffer| buffer.address.addr()));
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.kernel.provide_buffers(group, buffers) };
    }

    fn listen(
        &mut self,
        file: FileIndex,
        address: SocketAddr,
        options: &SocketOptions,
    ) -> io::Result<(SimSocket, SocketAddr)> {
        self.kernel.listen(file, address, options)
    }

    fn share_listener(&mut self, file: FileIndex, socket: &SimSocket) -> io::Result<()> {
        self.kernel.share_listener(file, socket)
    }

    fn end(&mut self, each: &mut dyn FnMut(Completion)) {
        self.kernel.end(each);
    }

    unsafe fn accepted(&mut self, result: u32) -> SimSocket {
        self.kernel.accepted(result)
    }

    fn adopt(&mut self, file: FileIndex, socket: &SimSocket) -> io::Result<SocketAddr> {
        self.kernel.adopt(file, socket)
    }

    fn shutdown_write(&mut self, socket: &SimSocket) -> io::Result<()> {
        self.kernel.shutdown_write(socket)
    }

    fn open_stream(&mut self, file: FileIndex, peer: SocketAddr, options: &SocketOptions) -> io::Result<SimSocket> {
        self.kernel.open_stream(file, peer, options)
    }

    fn local_address(&self, socket: &SimSocket) -> Option<SocketAddr> {
        self.kernel.local_address(socket)
    }

    fn doorbell(&self) -> Doorbell {
        self.kernel.doorbell()
    }
}
