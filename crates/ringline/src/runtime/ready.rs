//! The tasks that are to be polled. Apart from the rest of a worker's state, so that a wake needs nothing else.

use std::cell::RefCell;

/// The ready queue of a worker.
#[derive(Default)]
pub(crate) struct Ready(RefCell<Queue>);

#[derive(Default)]
struct Queue {
    tasks: Vec<u32>,
    /// Which tasks stand in the queue.
    queued: Vec<bool>,
}

impl Ready {
    /// Makes room for one more task.
    pub(crate) fn add_task(&self) {
        self.0.borrow_mut().queued.push(false);
    }

    /// Puts a task on the queue, unless it stands there.
    #[inline]
    pub(crate) fn schedule(&self, task: u32) {
        let Queue { tasks, queued } = &mut *self.0.borrow_mut();
        if let Some(queued) = queued.get_mut(task as usize)
            && !std::mem::replace(queued, true)
        {
            tasks.push(task);
        }
    }

    /// Exchanges the queue with an empty list. What is woken from now on stands on the next one.
    #[inline]
    pub(crate) fn take(&self, into: &mut Vec<u32>) {
        debug_assert!(into.is_empty());
        std::mem::swap(&mut self.0.borrow_mut().tasks, into);
    }

    /// A task of a list that was taken is about to be polled: from now on, a wake counts for the time after that.
    #[inline]
    pub(crate) fn begins(&self, task: u32) {
        self.0.borrow_mut().queued[task as usize] = false;
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().tasks.is_empty()
    }
}
