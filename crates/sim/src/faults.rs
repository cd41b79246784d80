//! What goes wrong, and how often: by chance ([`Faults`]) or at the next opportunity ([`Fault`]).
//!
//! Nothing here breaks a promise of the kernel. Each fault is something that a correct runtime has to survive.

use std::collections::VecDeque;

/// How likely something is, in steps of one in a thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chance(u16);

impl Chance {
    /// It does not happen.
    pub const NEVER: Self = Self(0);
    /// It happens each time.
    pub const ALWAYS: Self = Self(1000);

    /// `per_mille` times in a thousand; more than 1000 is as [`Chance::ALWAYS`].
    pub const fn per_mille(per_mille: u16) -> Self {
        Self(if per_mille > 1000 { 1000 } else { per_mille })
    }

    pub(crate) const fn in_per_mille(self) -> u16 {
        self.0
    }
}

/// How often things go wrong by chance. They can be changed while a run goes on: a property test turns them off to see
/// whether everything settles.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// A push is refused with `QueueFull`.
    pub queue_full: Chance,
    /// What is queued is submitted by a push instead of by the next enter.
    pub early_submission: Chance,
    /// A wait ends early with `Interrupted`; what was queued has been submitted.
    pub interrupted: Chance,
    /// An enter submits only the first part of the queue, or none of it, and answers `Backpressure`.
    pub backpressure: Chance,
    /// An accept answers ECONNABORTED, EMFILE, ENFILE, ENOBUFS or EPERM and ends.
    pub accept_fails: Chance,
    /// `adopt` closes the socket and answers ENOTCONN.
    pub adopt_fails: Chance,
    /// A multishot operation ends with a good completion that has no MORE flag.
    pub multishot_ends: Chance,
    /// A send takes fewer bytes than there is room for.
    pub short_send: Chance,
    /// A send answers −EAGAIN although there is room; a poll then completes at once.
    pub refused_send: Chance,
    /// A poll for room completes although there is none.
    pub spurious_writable: Chance,
    /// Bytes of a peer arrive in several pieces.
    pub split_arrival: Chance,
    /// The longest time, in nanoseconds, that bytes, ends of stream and resets of a peer travel.
    pub latency_ns_max: u64,
    /// A completion that is due is held back.
    pub delayed_completion: Chance,
    /// The longest time, in nanoseconds, for which a completion is held back.
    pub completion_delay_ns_max: u64,
    /// Completions of different operations come in an order that the seed chooses, not in that of their submission.
    pub reordered: bool,
}

impl Faults {
    /// Nothing goes wrong: everything is delivered at once, whole, and in order.
    pub const NONE: Self = Self {
        queue_full: Chance::NEVER,
        early_submission: Chance::NEVER,
        interrupted: Chance::NEVER,
        backpressure: Chance::NEVER,
        accept_fails: Chance::NEVER,
        adopt_fails: Chance::NEVER,
        multishot_ends: Chance::NEVER,
        short_send: Chance::NEVER,
        refused_send: Chance::NEVER,
        spurious_writable: Chance::NEVER,
        split_arrival: Chance::NEVER,
        latency_ns_max: 0,
        delayed_completion: Chance::NEVER,
        completion_delay_ns_max: 0,
        reordered: false,
    };

    /// Everything goes wrong now and then, often enough that a run of a few hundred operations sees all of it.
    pub const STORM: Self = Self {
        queue_full: Chance::per_mille(30),
        early_submission: Chance::per_mille(50),
        interrupted: Chance::per_mille(50),
        backpressure: Chance::per_mille(50),
        accept_fails: Chance::per_mille(100),
        adopt_fails: Chance::per_mille(30),
        multishot_ends: Chance::per_mille(100),
        short_send: Chance::per_mille(200),
        refused_send: Chance::per_mille(100),
        spurious_writable: Chance::per_mille(100),
        split_arrival: Chance::per_mille(300),
        latency_ns_max: 50_000,
        delayed_completion: Chance::per_mille(200),
        completion_delay_ns_max: 20_000,
        reordered: true,
    };
}

impl Default for Faults {
    fn default() -> Self {
        Self::NONE
    }
}

/// One thing that goes wrong at the next opportunity, once, whatever the chances are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next push is refused.
    QueueFull,
    /// The next wait that would block is interrupted instead.
    Interrupted,
    /// The next enter submits nothing and answers `Backpressure`.
    Backpressure,
    /// The next accept that has a connection to give answers this errno (a positive number) and ends.
    Accept(i32),
    /// The next `adopt` closes the socket and answers this errno (a positive number).
    Adopt(i32),
    /// The next completion of a multishot operation that would carry MORE is its last one.
    MultishotEnds,
    /// The next send takes at most so many bytes, and at least one.
    ShortSend(u32),
    /// The next send answers −EAGAIN.
    RefusedSend,
    /// The next completion that falls due is held back for so many nanoseconds.
    DelayedCompletion(u64),
    /// The kernel has no memory for the next completion, which is lost: every enter answers EBADR from then on.
    LostCompletion,
}

/// Faults that wait for their opportunity, oldest first.
#[derive(Default)]
pub(crate) struct Script(VecDeque<Fault>);

impl Script {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push_back(fault);
    }

    /// Takes the oldest fault for which `pick` answers something.
    pub(crate) fn take<T>(&mut self, pick: impl Fn(Fault) -> Option<T>) -> Option<T> {
        let (at, picked) = self.0.iter().enumerate().find_map(|(at, &fault)| pick(fault).map(|picked| (at, picked)))?;
        self.0.remove(at);
        Some(picked)
    }

    pub(crate) fn take_exactly(&mut self, wanted: Fault) -> bool {
        self.take(|fault| (fault == wanted).then_some(())).is_some()
    }
}
