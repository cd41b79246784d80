//! The real kernel behind a submission queue that is full for zero-copy sends as often as a test wants. The real queue is emptied by
//! whoever finds it full, so that it stays full only when the kernel cannot take any more.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use ringline_ring::{
    Completion, Doorbell, Entered, FileIndex, Kernel, Op, ProvidedBuffer, QueueFull, SocketOptions, Tag, Uring, Wait,
};

pub(crate) struct Reluctant {
    pub(crate) kernel: Uring,
    /// So many zero-copy sends find the queue full.
    pub(crate) refusals: Rc<Cell<u32>>,
}

impl Kernel for Reluctant {
    type Socket = OwnedFd;

    fn push(&mut self, op: Op, tag: Tag) -> Result<(), QueueFull> {
        let left = self.refusals.get();
        if left > 0 && matches!(op, Op::SendZeroCopy { .. } | Op::SendMessageZeroCopy { .. }) {
            self.refusals.set(left - 1);
            return Err(QueueFull);
        }
        self.kernel.push(op, tag)
    }

    fn push_chain(&mut self, links: &[(Op, Tag)]) -> Result<(), QueueFull> {
        self.kernel.push_chain(links)
    }

    fn submit_now(&mut self) {
        self.kernel.submit_now();
    }

    fn enter(&mut self, wait: Wait) -> io::Result<Entered> {
        self.kernel.enter(wait)
    }

    fn has_completed(&mut self) -> bool {
        self.kernel.has_completed()
    }

    fn next_completion(&mut self) -> Option<Completion> {
        self.kernel.next_completion()
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
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.kernel.provide_buffers(group, buffers) };
    }

    fn listen(
        &mut self,
        file: FileIndex,
        address: SocketAddr,
        options: &SocketOptions,
    ) -> io::Result<(OwnedFd, SocketAddr)> {
        self.kernel.listen(file, address, options)
    }

    fn share_listener(&mut self, file: FileIndex, socket: &OwnedFd) -> io::Result<()> {
        self.kernel.share_listener(file, socket)
    }

    fn end(&mut self, each: &mut dyn FnMut(Completion)) {
        self.kernel.end(each);
    }

    unsafe fn accepted(&mut self, result: u32) -> OwnedFd {
        // SAFETY: the caller's promise is the same.
        unsafe { self.kernel.accepted(result) }
    }

    fn adopt(&mut self, file: FileIndex, socket: &OwnedFd) -> io::Result<SocketAddr> {
        self.kernel.adopt(file, socket)
    }

    fn shutdown_write(&mut self, socket: &OwnedFd) -> io::Result<()> {
        self.kernel.shutdown_write(socket)
    }

    fn open_stream(&mut self, file: FileIndex, peer: SocketAddr, options: &SocketOptions) -> io::Result<OwnedFd> {
        self.kernel.open_stream(file, peer, options)
    }

    fn local_address(&self, socket: &OwnedFd) -> Option<SocketAddr> {
        self.kernel.local_address(socket)
    }

    fn doorbell(&self) -> Doorbell {
        self.kernel.doorbell()
    }
}
