//! The tasks of a worker: one per connection, and those that were spawned.
//!
//! A task's slot keeps its number, and so its wakers' identity, for the life of the worker. A late wake of a past
//! occupant at worst polls the next one once too often.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use super::conn_ctx::{NOT_SEND, NotSend};
use super::ready::Ready;
use super::waker::{self, BLOCK_TASKS, HeaderBlock, RemoteWakes};
use super::with_worker;
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

/// What is going on with the occupant of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is none.
    Free,
    /// It waits to be polled; its future is in the slot.
    Waiting,
    /// It is being polled.
    Running,
    /// It is being polled, and ends with that.
    Cancelled,
}

struct Slot {
    future: Option<BoxFuture>,
    /// The connection of an [`Owner::Connection`].
    conn: ConnToken,
    generation: u32,
    owner: OwnerKind,
    stage: Stage,
}

/// An [`Owner`] without its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OwnerKind {
    Connection,
    Spawned,
    Start,
}

// One per connection.
const _: () = assert!(size_of::<Slot>() <= 32);

impl Slot {
    const NO_CONNECTION: ConnToken = ConnToken::from_parts(u32::MAX, 0);

    fn occupy(&mut self, owner: Owner, future: BoxFuture) {
        (self.owner, self.conn) = match owner {
            Owner::Connection(conn) => (OwnerKind::Connection, conn),
            Owner::Spawned => (OwnerKind::Spawned, Self::NO_CONNECTION),
            Owner::Start => (OwnerKind::Start, Self::NO_CONNECTION),
        };
        self.future = Some(future);
        self.stage = Stage::Waiting;
    }

    fn owner(&self) -> Owner {
        match self.owner {
            OwnerKind::Connection => Owner::Connection(self.conn),
            OwnerKind::Spawned => Owner::Spawned,
            OwnerKind::Start => Owner::Start,
        }
    }
}

/// All tasks of a worker.
pub(crate) struct Tasks {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// The headers of the slots. They stay as long as this value.
    headers: Vec<Arc<HeaderBlock>>,
    ready: Rc<Ready>,
    remote: Arc<RemoteWakes>,
    spawned: usize,
    spawned_max: usize,
}

impl Tasks {
    pub(crate) fn new(ready: Rc<Ready>, remote: Arc<RemoteWakes>, spawned_max: usize) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), headers: Vec::new(), ready, remote, spawned: 0, spawned_max }
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
    pub(crate) fn insert(&mut self, owner: Owner, future: BoxFuture) -> TaskId {
        let task = self.free.pop().unwrap_or_else(|| self.grow());
        let slot = &mut self.slots[task as usize];
        slot.occupy(owner, future);
        self.ready.schedule(task);
        self.spawned += usize::from(owner == Owner::Spawned);
        TaskId { task, generation: slot.generation, _not_send: NOT_SEND }
    }

    fn grow(&mut self) -> u32 {
        let task = self.slots.len() as u32;
        if task.is_multiple_of(BLOCK_TASKS) {
            self.headers.push(HeaderBlock::new(&self.remote, task));
        }
        let (conn, owner) = (Slot::NO_CONNECTION, OwnerKind::Start);
        self.slots.push(Slot { future: None, conn, generation: 1, owner, stage: Stage::Free });
        self.ready.add_task();
        task
    }

    /// Takes a task that was on the ready queue, to be polled; none if there is no such task any more.
    ///
    /// # Safety
    ///
    /// The waker must not be used when this value is gone.
    #[inline]
    pub(crate) unsafe fn start(&mut self, task: u32) -> Option<(BoxFuture, ManuallyDrop<Waker>)> {
        self.ready.begins(task);
        let slot = &mut self.slots[task as usize];
        let future = slot.future.take()?;
        slot.stage = Stage::Running;
        // SAFETY: the block stays as long as this value, which the caller takes care of.
        Some((future, unsafe { waker::lend(&self.headers[(task / BLOCK_TASKS) as usize], task) }))
    }

    /// Takes a task back that waits again. A future that was cancelled meanwhile comes back, to be dropped.
    #[inline]
    pub(crate) fn park(&mut self, task: u32, future: BoxFuture) -> Option<BoxFuture> {
        let slot = &mut self.slots[task as usize];
        if slot.stage == Stage::Running {
            slot.stage = Stage::Waiting;
            slot.future = Some(future);
            return None;
        }
        self.finish(task);
        Some(future)
    }

    /// Frees the slot of a task that has ended, and tells whose it was.
    pub(crate) fn finish(&mut self, task: u32) -> Owner {
        let slot = &mut self.slots[task as usize];
        slot.stage = Stage::Free;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(task);
        self.spawned -= usize::from(slot.owner == OwnerKind::Spawned);
        slot.owner()
    }

    /// Ends a task. Its future comes back, to be dropped, unless it is being polled right now.
    fn cancel(&mut self, id: TaskId) -> Option<BoxFuture> {
        let slot = self.slots.get_mut(id.task as usize).filter(|slot| slot.generation == id.generation)?;
        if slot.stage == Stage::Running {
            slot.stage = Stage::Cancelled;
        }
        let future = slot.future.take()?;
        self.finish(id.task);
        Some(future)
    }

    /// Puts a task on the ready queue that another thread has woken.
    pub(crate) fn woken_remotely(&self, task: u32) {
        if let Some(block) = self.headers.get((task / BLOCK_TASKS) as usize) {
            block.taken_from_remote(task);
            self.ready.schedule(task);
        }
    }

    /// Takes all futures, to be dropped.
    pub(crate) fn take_all(&mut self) -> Vec<BoxFuture> {
        let mut futures = Vec::new();
        for task in 0..self.slots.len() {
            if let Some(future) = self.slots[task].future.take() {
                self.finish(task as u32);
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
    with_worker(|inner| inner.host.tasks.insert(Owner::Spawned, future)).ok_or(Error::OutsideWorker)
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
