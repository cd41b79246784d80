//! Which worker's turn the calling thread is in. Contexts and futures carry no pointer: they reach their worker here.

use std::cell::Cell;
use std::ptr::null;
use std::rc::Rc;

use super::Core;

thread_local! {
    static CURRENT: Cell<*const Core> = const { Cell::new(null()) };
}

/// Makes a worker the current one of this thread until it is dropped; the one before is then current again.
pub(crate) struct Entered<'a> {
    before: *const Core,
    _core: &'a Rc<Core>,
}

/// Enters a worker.
pub(crate) fn enter(core: &Rc<Core>) -> Entered<'_> {
    Entered { before: CURRENT.replace(Rc::as_ptr(core)), _core: core }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

/// Runs `f` with the current worker; none outside of a turn.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&Core) -> R) -> Option<R> {
    let core = CURRENT.get();
    if core.is_null() {
        return None;
    }
    // SAFETY: the pointer is set only while an `Entered` borrows the `Rc` that owns the core.
    Some(f(unsafe { &*core }))
}
