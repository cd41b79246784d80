//! How a thread turns its own worker, and where it waits.
//!
//! One wait has to serve two loops, this worker's ring and libuv. While bytes come and go, the thread waits _in the ring_,
//! which watches libuv's descriptor: a request costs no other system call than those of the ring. libuv gets its turn when it
//! has something to do (its descriptor is readable, a timer is due, an immediate is pending, a descriptor is to be watched
//! from now on), and after [`SLICE_NS`] without such a look. When nothing has come between two alarms, or when the thread has
//! other workers, it waits _in libuv_, which watches a bell that the kernel rings and an alarm for timers.

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{mem, thread};

use ringline_ring::{Uring, Wait};

use super::{IDLE, Inline, Stage, Waiting, Wanted, is_only_worker};
use crate::worker::{Broken, Progress, Worker};

/// Between two alarms lies as much time again as the thread has been waiting in the ring, but no less and no more than
/// this. Such waits count as work in `performance.eventLoopUtilization()`, which knows of libuv's own waits only.
const DWELL_NS: RangeInclusive<u64> = 1_000_000..=16_000_000;
/// How long a busy worker keeps its thread before libuv looks for other I/O, if it never waits.
const SLICE_NS: u64 = 1_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// What comes after a round.
#[derive(PartialEq, Eq)]
enum Next {
    /// Another round.
    Round,
    /// libuv's other events, without waiting.
    OtherEvents,
    /// libuv may wait.
    Wait,
}

/// One visit of the loop.
#[derive(Default)]
struct Visit {
    /// When it should end, unless the thread waits before.
    end: Option<u64>,
    /// It ends with this round: libuv has something to do.
    leaving: bool,
}

impl Inline {
    /// Keeps the loop from waiting, or no longer.
    pub(super) fn set_busy(&self, busy: bool) {
        if !self.is_stopped() {
            self.handles.borrow()[IDLE].set_busy(busy);
        }
    }

    /// Turns the worker until it has nothing to do, or libuv has. Answers whether the loop may wait.
    pub(super) fn turn(&self) -> bool {
        let mut visit = Visit::default();
        let mut called = false;
        loop {
            called |= self.tell();
            match self.act(&mut visit) {
                Next::Round => {}
                Next::OtherEvents => return false,
                // JavaScript may have wanted something of a worker whose turn was before this one's.
                Next::Wait => return !called || is_only_worker(),
            }
        }
    }

    /// Hands to the kernel what JavaScript has asked for. It may be running.
    pub(super) fn submit(&self) {
        let mut stage = self.stage.borrow_mut();
        let Stage::Running(worker) = &mut *stage else { return };
        let outcome = catch_unwind(AssertUnwindSafe(|| worker.submit()));
        end_unless_turned(&mut stage, outcome);
    }

    /// Reads messages without calling JavaScript.
    pub(super) fn read_mail(&self) {
        let mut stage = self.stage.borrow_mut();
        let Stage::Running(worker) = &mut *stage else { return };
        worker.look_at_mail();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            worker.tell();
            worker.act(Wait::Poll)
        }));
        end_unless_turned(&mut stage, outcome);
    }

    /// Tells JavaScript what has happened, and calls it if it sleeps. It may do anything meanwhile, stop the worker too.
    /// Answers whether it was called.
    fn tell(&self) -> bool {
        let wanted = {
            let mut stage = self.stage.borrow_mut();
            if let Stage::Running(worker) = &mut *stage
                && let Err(panic) = catch_unwind(AssertUnwindSafe(|| worker.tell()))
            {
                end_unless_turned(&mut stage, Err(panic));
            }
            match &mut *stage {
                Stage::Running(worker) => worker.sleeper().0.take(),
                Stage::Ending(ending) => {
                    let told = ending.tell();
                    let wanted = ending.sleeper().0.take();
                    if told {
                        *stage = Stage::Ended;
                    }
                    wanted
                }
                Stage::Ended => false,
            }
        };
        if wanted {
            self.called.set(true);
            // SAFETY: the loop has called this thread, so no JavaScript is running; the function is released only when no
            // handle is left that could bring it here.
            unsafe { self.callback.call() };
        }
        wanted
    }

    /// Does what JavaScript wants, and waits in the ring when there is nothing else to do and the thread may.
    fn act(&self, visit: &mut Visit) -> Next {
        let mut stage = self.stage.borrow_mut();
        let worker = match &mut *stage {
            Stage::Running(worker) => worker,
            // It says so when JavaScript has made room, which an immediate of its own does.
            Stage::Ending(_) => return Next::OtherEvents,
            Stage::Ended => return Next::Wait,
        };
        // JavaScript reads on when libuv has run its immediates.
        visit.leaving |= self.called.get() && worker.is_being_read();
        let mut wait = Wait::Poll;
        let may_wait = self.waiting.get() == Waiting::InRing && !self.rested.get() && is_only_worker();
        if may_wait && !visit.leaving && !worker.has_news() {
            match self.event_loop.timeout_ms() {
                Some(0) => visit.leaving = true,
                timeout => {
                    self.set_alarm(worker.driver().now(), timeout);
                    worker.driver().watch_outer(self.event_loop.descriptor());
                    // Whatever libuv has to do ends the wait.
                    visit.end = None;
                    wait = Wait::Forever;
                }
            }
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut progress = worker.act(wait)?;
            while progress == Progress::Turned && worker.driver().disk_batch_goes_on() {
                progress = worker.act(Wait::Poll)?;
            }
            Ok(progress)
        }));
        if wait != Wait::Poll {
            self.event_loop.update_time();
        }
        if !end_unless_turned(&mut stage, outcome) {
            return Next::Round;
        }
        match &mut *stage {
            Stage::Running(worker) => self.next(worker, visit),
            _ => Next::Round,
        }
    }

    /// Has the wait in the ring end once in a while. A time limit of the wait itself would set up a timer for each request,
    /// which costs as much as the rest of it; even once in a millisecond it costs a twentieth of a busy thread's time.
    fn set_alarm(&self, now: u64, timeout_ms: Option<u32>) {
        let dwell = now.saturating_sub(self.dwelling_from.get()).clamp(*DWELL_NS.start(), *DWELL_NS.end());
        let longest = timeout_ms.map_or(dwell, |ms| dwell.min(u64::from(ms) * NS_PER_MS));
        self.set_alarm_at(now + longest);
    }

    fn set_alarm_at(&self, deadline: u64) {
        if let Some(watched) = &mut *self.watched.borrow_mut() {
            watched.alarm.set(deadline);
        }
    }

    /// What comes after a round.
    fn next(&self, worker: &mut Worker<Uring, Wanted>, visit: &mut Visit) -> Next {
        let last = visit.leaving;
        visit.leaving |= worker.take_outer_ready();
        if worker.has_news() || worker.sleeper().0.get() {
            self.worked.set(true);
            self.move_into_ring(worker);
            let now = worker.driver().now();
            visit.leaving |= now >= *visit.end.get_or_insert(now + SLICE_NS);
            return if last { Next::OtherEvents } else { Next::Round };
        }
        if visit.leaving {
            return Next::OtherEvents;
        }
        if !worker.is_settled() {
            return Next::Round;
        }
        match self.waiting.get() {
            Waiting::InRing if self.rested.get() || !is_only_worker() => {
                worker.driver().unwatch_outer();
                self.waiting.set(Waiting::Changing);
            }
            Waiting::InRing => {}
            Waiting::Changing if worker.driver().watches_outer() => {}
            Waiting::Changing => {
                worker.driver().announce(true);
                self.waiting.set(Waiting::InLoop);
            }
            Waiting::InLoop => {
                if let Some(deadline) = worker.driver().next_deadline() {
                    self.set_alarm_at(deadline);
                }
                return Next::Wait;
            }
        }
        Next::Round
    }

    /// Something has come, so more is likely to: the next wait is in the ring, if it may be.
    fn move_into_ring(&self, worker: &mut Worker<Uring, Wanted>) {
        if self.waiting.get() == Waiting::InRing || !self.may_dwell || !is_only_worker() {
            return;
        }
        if !worker.driver().watches_outer() {
            worker.driver().announce(false);
            self.waiting.set(Waiting::InRing);
            self.dwelling_from.set(worker.driver().now());
            self.rested.set(false);
        }
    }
}

/// Ends a worker that cannot go on, or need not. Answers whether it can.
fn end_unless_turned(stage: &mut Stage, outcome: thread::Result<Result<Progress, Broken>>) -> bool {
    let outcome = match outcome {
        Ok(Ok(Progress::Turned | Progress::Full)) => return true,
        Ok(Ok(Progress::Ended)) => Ok(Ok(())),
        Ok(Err(broken)) => Ok(Err(broken)),
        Err(panic) => Err(panic),
    };
    if let Stage::Running(worker) = mem::replace(stage, Stage::Ended) {
        *stage = Stage::Ending(Box::new(worker.end(outcome)));
    }
    false
}
