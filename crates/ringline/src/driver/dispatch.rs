//! What a completion or a due timer is about, and which operation family handles it.

use ringline_ring::{Completion, Kernel, Op, Tag};

use super::kind::Kind;
use super::{Driver, Due, Host};

/// Completions copied out of the queue at a time: few, because the copies are made room for in every turn.
const REAP_BATCH: usize = 32;
/// Completions processed in one turn before the host gets to act on them.
const TURN_COMPLETIONS_MAX: usize = 1024;

impl<K: Kernel> Driver<K> {
    /// Handles what has completed, as much as one turn may. Answers whether more may be there.
    pub(super) fn process_completions<H: Host<K>>(&mut self, host: &mut H) -> bool {
        let mut batch = [Completion { tag: Tag::from_bits(0), result: 0, flags: 0 }; REAP_BATCH];
        let started = self.now;
        let mut done = 0;
        loop {
            let count = self.submitter.kernel.reap(&mut batch);
            for completion in &batch[..count] {
                self.complete(host, *completion);
                if self.pipes.has_news() {
                    self.tell_pipes(host);
                }
            }
            done += count;
            if count < REAP_BATCH {
                self.metrics.completions += done as u64;
                return false;
            }
            let interval = self.settings.flush_interval_ns;
            let late = interval > 0 && self.submitter.kernel.now() - started >= interval;
            if late || done >= TURN_COMPLETIONS_MAX {
                self.metrics.completions += done as u64;
                return true;
            }
        }
    }

    #[inline(always)]
    fn complete<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let kind = completion.tag.kind();
        if kind == Kind::Receive as u8 {
            self.receive_completed(host, completion);
        } else if kind == Kind::Send as u8 {
            self.send_completed(host, completion);
        } else {
            self.complete_otherwise(host, completion);
        }
    }

    /// What is neither received nor sent on a connection, so that the loop over those stays short.
    #[inline(never)]
    fn complete_otherwise<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        match Kind::from_number(completion.tag.kind()) {
            Some(Kind::Receive | Kind::Send) => {}
            Some(Kind::Writable) => self.writable_completed(host, completion),
            Some(Kind::Accept) => self.accept_completed(host, completion),
            Some(Kind::Doorbell) => {
                self.metrics.doorbells += 1;
                if !completion.more() {
                    self.submitter.push(Op::PollDoorbell, Kind::Doorbell, 0, 0);
                }
                // It may have been rung for slabs that came back, which are looked at before the next wait.
                self.buffers.slabs_mut().collect_returned();
                host.doorbell();
            }
            Some(Kind::Connect) => self.connect_completed(host, completion),
            Some(Kind::Close) => self.close_completed(host, completion),
            Some(Kind::Cancel) => self.cancel_completed(host, completion),
            Some(Kind::CancelAccept) => {}
            Some(Kind::CloseListener) => self.listener_closed(),
            Some(Kind::Datagrams) => self.datagram_received(host, completion),
            Some(Kind::Datagram) => self.datagram_sent(host, completion),
            Some(Kind::DatagramRoom) => self.datagram_room(completion),
            Some(Kind::Chain) => self.chain_completed(host, completion),
            Some(Kind::CancelChain) => self.chain_cancel_completed(host, completion),
            Some(Kind::FileOpen) => self.file_open_completed(host, completion),
            Some(Kind::FileOperation) => self.file_operation_completed(host, completion),
            Some(Kind::FileClose) => self.file_close_completed(host, completion),
            Some(Kind::CancelOpen) => {}
            Some(Kind::DeviceOpen) => self.device_open_completed(host, completion),
            Some(Kind::NvmeCommand) => self.nvme_command_completed(host, completion),
            Some(Kind::DeviceClose) => self.device_close_completed(host, completion),
            Some(Kind::ZeroCopy) => self.zero_copy_completed(host, completion),
            Some(Kind::Outer) => self.outer_completed(host, completion),
            // The send in front of it has completed as well.
            Some(Kind::CancelOuter | Kind::Tripwire) => {}
            None => debug_assert!(false, "a completion of no kind: {completion:?}"),
        }
    }

    /// Answers whether any was due.
    pub(super) fn fire_timers<H: Host<K>>(&mut self, host: &mut H) -> bool {
        let mut fired = false;
        while let Some(due) = self.timers.pop_due(self.now) {
            fired = true;
            match due {
                Due::Connect(conn) => self.connect_timed_out(host, conn),
                Due::Linger(conn) => self.linger_over(host, conn),
                Due::Room(conn) => self.look_for_room(host, conn),
                Due::Accept => self.resume_accepting(),
                Due::Buffers => self.buffers_timer = false,
                Due::Trim => self.trim(host),
                Due::Datagrams(index) => self.arm_datagrams(index),
                Due::Host(key) => host.timer(key),
            }
        }
        fired
    }
}
