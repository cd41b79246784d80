//! The tasks of a worker: one per connection, and those that were spawned.
//!
//! A task's slot keeps its header, and so its wakers' identity, for the life of the worker. A late wake of a past
//! occupant at worst polls the next one once too often.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;

use super::conn_ctx::{NOT_SEND, NotSend};
use super::waker::{self, RemoteWakes, TaskHeader};
use super::{current, with_worker};
use crate::Error;
use crate::driver::ConnToken;

/// A task's future.
pub(crate) type BoxFuture = Pin<Box<dyn Future<Output = ()>>>;

/// Whose work a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The handler's, for one connection: it is closed when the task ends.
    Connection(ConnToken),
    /// Started by [`spawn`]; counted.
    Spawned,
    /// The handler's `on_start` and `on_udp_bind`.
    Start,
}

enum State {
    Free,
    Waiting(BoxFuture),
    /// Being polled.
    Running {
        cancelled: bool,
    },
}

struct Slot {
    header: Arc<TaskHeader>,
    /// The waker that polls use; with the poll while the task runs.
    waker: Option<Waker>,
    generation: u32,
    owner: Owner,
    state: State,
}

/// All tasks of a worker.
pub(crate) struct Tasks {
    slots: Vec<Slot>,
    free: Vec<u32>,
    remote: Arc<RemoteWakes>,
    spawned: usize,
    spawned_max: usize,
}

impl Tasks {
    pub(crate) fn new(remote: Arc<RemoteWakes>, spawned_max: usize) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), remote, spawned: 0, spawned_max }
    }

    /// Whether one more task may be spawned.
    fn check_room(&self) -> Result<(), Error> {
        if self.spawned < self.spawned_max { Ok(()) } else { Err(Error::TaskLimitReached { limit: self.spawned_max }) }
    }

    /// Tasks that [`spawn`] started and that have not ended.
    pub(crate) fn spawned(&self) -> usize {
        self.spawned
    }

    /// Adds a task and puts it on the ready queue.
    pub(crate) fn insert(&mut self, owner: Owner, future: BoxFuture, ready: &mut Vec<u32>) -> TaskId {
        let task = self.free.pop().unwrap_or_else(|| self.grow());
        let slot = &mut self.slots[task as usize];
        slot.owner = owner;
        slot.state = State::Waiting(future);
        slot.header.schedule(ready);
        self.spawned += usize::from(owner == Owner::Spawned);
        TaskId { task, generation: slot.generation, _not_send: NOT_SEND }
    }

    fn grow(&mut self) -> u32 {
        let task = self.slots.len() as u32;
        let header = TaskHeader::new(&self.remote, task);
        let waker = Some(waker::of(&header));
        self.slots.push(Slot { header, waker, generation: 1, owner: Owner::Start, state: State::Free });
        task
    }

    /// Takes a task that was on the ready queue, to be polled; none if there is no such task any more.
    #[inline]
    pub(crate) fn start(&mut self, task: u32) -> Option<(BoxFuture, Waker)> {
        let slot = &mut self.slots[task as usize];
        slot.header.unscheduled();
        match std::mem::replace(&mut slot.state, State::Running { cancelled: false }) {
            State::Waiting(future) => slot.waker.take().map(|waker| (future, waker)),
            other => {
                slot.state = other;
                None
            }
        }
    }

    /// Takes a task back that waits again. A future that was cancelled meanwhile comes back, to be dropped.
    #[inline]
    pub(crate) fn park(&mut self, task: u32, future: BoxFuture, waker: Waker) -> Option<BoxFuture> {
        let slot = &mut self.slots[task as usize];
        slot.waker = Some(waker);
        if matches!(slot.state, State::Running { cancelled: false }) {
            slot.state = State::Waiting(future);
            return None;
        }
        self.free(task);
        Some(future)
    }

    /// Frees the slot of a task that has ended, and tells whose it was.
    pub(crate) fn finish(&mut self, task: u32, waker: Waker) -> Owner {
        self.slots[task as usize].waker = Some(waker);
        self.free(task)
    }

    fn free(&mut self, task: u32) -> Owner {
        let slot = &mut self.slots[task as usize];
        slot.state = State::Free;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(task);
        self.spawned -= usize::from(slot.owner == Owner::Spawned);
        slot.owner
    }

    /// Ends a task. Its future comes back, to be dropped, unless it is being polled right now.
    fn cancel(&mut self, id: TaskId) -> Option<BoxFuture> {
        let slot = self.slots.get_mut(id.task as usize).filter(|slot| slot.generation == id.generation)?;
        if let State::Running { cancelled } = &mut slot.state {
            *cancelled = true;
            return None;
        }
        let State::Waiting(future) = std::mem::replace(&mut slot.state, State::Free) else { return None };
        self.free(id.task);
        Some(future)
    }

    /// Puts a task on the ready queue that another thread has woken.
    pub(crate) fn woken_remotely(&self, task: u32, ready: &mut Vec<u32>) {
        if let Some(slot) = self.slots.get(task as usize) {
            slot.header.taken_from_remote();
            slot.header.schedule(ready);
        }
    }

    /// Takes all futures, to be dropped.
    pub(crate) fn take_all(&mut self) -> Vec<BoxFuture> {
        let mut futures = Vec::new();
        for task in 0..self.slots.len() {
            if let State::Waiting(future) = std::mem::replace(&mut self.slots[task].state, State::Free) {
                self.free(task as u32);
                futures.push(future);
            }
        }
        futures
    }
}

/// Runs `future` as a task of the current worker, until it ends or is [cancelled](TaskId::cancel).
///
/// A panic in it ends the task alone; the panic hook reports it.
///
/// # Errors
///
/// [`Error::TaskLimitReached`] when [`standalone_task_capacity`](crate::Config::standalone_task_capacity) tasks are
/// running, [`Error::OutsideWorker`] when the calling thread is not in a worker's turn.
pub fn spawn(future: impl Future<Output = ()> + 'static) -> Result<TaskId, Error> {
    with_worker(|inner| inner.host.tasks.check_room()).unwrap_or(Err(Error::OutsideWorker))?;
    let future = Box::pin(future);
    let spawned = current::with(|core| {
        core.with(|inner| inner.host.tasks.insert(Owner::Spawned, future, &mut core.ready.borrow_mut()))
    });
    spawned.ok_or(Error::OutsideWorker)
}

/// Names a spawned task of this worker. Once the task has ended, it names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaskId {
    task: u32,
    generation: u32,
    _not_send: NotSend,
}

impl TaskId {
    /// Ends the task and drops its future; a task that cancels itself ends at its next await. Nothing happens when the
    /// task has ended already.
    pub fn cancel(&self) {
        let future = with_worker(|inner| inner.host.tasks.cancel(*self)).flatten();
        // Dropped only now: a future's drop may use the worker.
        drop(future);
    }
}
