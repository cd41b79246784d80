//! The life of what a worker opens by its path: files and NVMe devices.
//!
//! `Opening → Open → Draining → Closing → freed`, or `Opening → Abandoned` for what its host gave up too early. This file
//! owns these phases and the count of what is in flight on each handle, and says what is to be submitted next; it submits
//! nothing itself and does not know what a handle is good for.

use std::ffi::CString;

use super::slots::Slots;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The open is in flight.
    Opening,
    /// Closed by the host while it was being opened.
    Abandoned,
    Open,
    /// Closed by the host: what is in flight ends first.
    Draining,
    /// The close of the fixed file is in flight.
    Closing,
}

struct Handle<T> {
    phase: Phase,
    /// At one place while the open is in flight.
    path: Option<CString>,
    /// Operations in flight.
    in_flight: u32,
    target: T,
}

/// Handles of one kind, by slot and generation. `T` is what is known of each.
pub(super) struct Handles<T> {
    handles: Slots<Handle<T>>,
    limit: u32,
}

/// What closing a handle asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// The open is in flight: to be cancelled, because what has no disk behind it (a FIFO) may take for ever to open.
    CancelOpen,
    /// Operations are in flight: nothing yet.
    Later,
    /// The fixed file is to be closed.
    Now,
}

/// What the end of an open means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// The host is to be told: it is open, or it failed and its slot is free.
    Told,
    /// Nobody wants it any more; the fixed file is to be closed.
    CloseNow,
    /// Nobody wants it any more, and it failed: its slot is free.
    Nothing,
}

impl<T> Handles<T> {
    /// No handle, and room for `limit`.
    pub(super) fn new(limit: u32) -> Self {
        Self { handles: Slots::new(limit), limit }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// Handles that occupy a slot, in whatever phase.
    pub(super) fn used(&self) -> u32 {
        self.handles.used()
    }

    /// A handle whose open is about to be submitted. The path stays at its place until [`opened`](Self::opened).
    pub(super) fn insert(&mut self, path: CString, target: T) -> Option<(u32, u32)> {
        self.handles.insert(Handle { phase: Phase::Opening, path: Some(path), in_flight: 0, target })
    }

    /// What is known of a handle that is open; none when it is stale, not open yet or closed.
    pub(super) fn open(&self, slot: u32, generation: u32) -> Option<&T> {
        let handle = self.handles.get(slot, generation)?;
        (handle.phase == Phase::Open).then_some(&handle.target)
    }

    /// What is known of a handle in whatever phase.
    pub(super) fn any_mut(&mut self, slot: u32, generation: u32) -> Option<&mut T> {
        self.handles.get_mut(slot, generation).map(|handle| &mut handle.target)
    }

    /// The open has ended. None when the handle is stale.
    pub(super) fn opened(&mut self, slot: u32, generation: u32, succeeded: bool) -> Option<Opened> {
        let handle = self.handles.get_mut(slot, generation)?;
        handle.path = None;
        let abandoned = handle.phase == Phase::Abandoned;
        if succeeded {
            handle.phase = if abandoned { Phase::Closing } else { Phase::Open };
        } else {
            self.handles.remove(slot, generation);
        }
        Some(match (abandoned, succeeded) {
            (false, _) => Opened::Told,
            (true, true) => Opened::CloseNow,
            (true, false) => Opened::Nothing,
        })
    }

    /// An operation on the handle is being submitted.
    pub(super) fn begin(&mut self, slot: u32, generation: u32) {
        if let Some(handle) = self.handles.get_mut(slot, generation) {
            handle.in_flight += 1;
        }
    }

    /// An operation on the handle has ended. True when the host has closed it and this was the last: the fixed file is to
    /// be closed.
    #[must_use]
    pub(super) fn end(&mut self, slot: u32, generation: u32) -> bool {
        let Some(handle) = self.handles.get_mut(slot, generation) else { return false };
        handle.in_flight -= 1;
        let drained = handle.phase == Phase::Draining && handle.in_flight == 0;
        if drained {
            handle.phase = Phase::Closing;
        }
        drained
    }

    /// The host closes the handle. None when it is stale or closed already.
    pub(super) fn close(&mut self, slot: u32, generation: u32) -> Option<Closing> {
        let handle = self.handles.get_mut(slot, generation)?;
        let (phase, closing) = match handle.phase {
            Phase::Opening => (Phase::Abandoned, Closing::CancelOpen),
            Phase::Open if handle.in_flight > 0 => (Phase::Draining, Closing::Later),
            Phase::Open => (Phase::Closing, Closing::Now),
            Phase::Abandoned | Phase::Draining | Phase::Closing => return None,
        };
        handle.phase = phase;
        Some(closing)
    }

    /// The fixed file is closed: the slot is free. False when the handle is stale.
    pub(super) fn closed(&mut self, slot: u32, generation: u32) -> bool {
        self.handles.remove(slot, generation).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> (Handles<()>, u32, u32) {
        let mut handles = Handles::new(1);
        let (slot, generation) = handles.insert(CString::default(), ()).unwrap();
        (handles, slot, generation)
    }

    #[test]
    fn a_handle_is_closed_when_its_last_operation_has_ended() {
        let (mut handles, slot, generation) = one();
        assert!(handles.open(slot, generation).is_none(), "not yet");
        assert_eq!(handles.opened(slot, generation, true), Some(Opened::Told));
        assert!(handles.open(slot, generation).is_some());
        handles.begin(slot, generation);
        handles.begin(slot, generation);
        assert!(!handles.end(slot, generation));
        assert_eq!(handles.close(slot, generation), Some(Closing::Later));
        assert!(handles.open(slot, generation).is_none());
        assert_eq!(handles.close(slot, generation), None);
        assert!(handles.end(slot, generation));
        assert_eq!((handles.used(), handles.closed(slot, generation), handles.used()), (1, true, 0));
        assert!(!handles.closed(slot, generation));
    }

    #[test]
    fn what_is_given_up_while_it_opens_is_closed_without_a_word() {
        let (mut handles, slot, generation) = one();
        assert_eq!(handles.close(slot, generation), Some(Closing::CancelOpen));
        assert_eq!(handles.close(slot, generation), None);
        assert_eq!(handles.opened(slot, generation, true), Some(Opened::CloseNow));
        assert!(handles.closed(slot, generation));
        let (mut handles, slot, generation) = one();
        assert_eq!(handles.close(slot, generation), Some(Closing::CancelOpen));
        assert_eq!(handles.opened(slot, generation, false), Some(Opened::Nothing));
        assert_eq!(handles.used(), 0);
    }

    #[test]
    fn a_handle_that_is_idle_or_could_not_be_opened_is_gone_at_once() {
        let (mut handles, slot, generation) = one();
        assert_eq!(handles.opened(slot, generation, true), Some(Opened::Told));
        assert_eq!(handles.close(slot, generation), Some(Closing::Now));
        let (mut handles, slot, generation) = one();
        assert_eq!(handles.opened(slot, generation, false), Some(Opened::Told));
        assert_eq!(handles.used(), 0);
        assert_eq!(handles.opened(slot, generation, true), None, "stale");
    }
}
