//! What a completion or a due timer is about, and which operation family handles it.

use ringline_ring::{Completion, Kernel, Op, Tag};

use super::kind::Kind;
use super::{Driver, Due, Host};

/// After so many completions it is looked whether the turn has lasted long enough.
const COMPLETIONS_PER_LOOK: u64 = 32;
/// Completions processed in one turn before the host gets to act on them.
const TURN_COMPLETIONS_MAX: u64 = 1024;

impl<K: Kernel> Driver<K> {
    /// Handles what has completed, as much as one turn may. Answers whether more may be there.
    ///
    /// A function of its own, as are all loops over messages: its registers are then its own, too.
    #[inline(never)]
    pub(super) fn process_completions<H: Host<K>>(&mut self, host: &mut H) -> bool {
        let started = self.now;
        // Counted down, because nothing is compared then.
        let (mut done, mut left) = (0, COMPLETIONS_PER_LOOK);
        while let Some(completion) = self.submitter.kernel.next_completion() {
            self.complete(host, completion);
            left -= 1;
            if left == 0 {
                (done, left) = (done + COMPLETIONS_PER_LOOK, COMPLETIONS_PER_LOOK);
                if self.is_long(started, done) {
                    self.metrics.completions += done;
                    return true;
                }
            }
        }
        self.metrics.completions += done + COMPLETIONS_PER_LOOK - left;
        false
    }

    /// Whether a turn that has processed so many completions should end.
    #[inline(never)]
    fn is_long(&self, started: u64, done: u64) -> bool {
        let interval = self.settings.flush_interval_ns;
        done >= TURN_COMPLETIONS_MAX || (interval > 0 && self.submitter.kernel.now() - started >= interval)
    }

    #[inline(always)]
    fn complete<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        if completion.tag.kind() != Kind::Receive as u8 || !self.piece_received(host, completion) {
            // In pieces: as a value of three fields it would lie in memory, and the usual would be read from there.
            self.complete_otherwise(host, completion.tag, completion.result, completion.flags);
        }
    }

    /// What is not simply received or sent on a connection, so that the loop over that stays short.
    #[inline(never)]
    fn complete_otherwise<H: Host<K>>(&mut self, host: &mut H, tag: Tag, result: i32, flags: u32) {
        let completion = Completion { tag, result, flags };
        match Kind::from_number(completion.tag.kind()) {
            Some(Kind::Receive) => self.receive_completed(host, completion),
            Some(Kind::Send | Kind::SilentSend) => self.send_completed(host, completion),
            Some(Kind::Gathered) => self.gathered_completed(host, completion),
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
            Some(Kind::CancelOuter) => {}
            None => debug_assert!(false, "a completion of no kind: {completion:?}"),
        }
        if self.pipes.has_news() {
            self.tell_pipes(host);
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
