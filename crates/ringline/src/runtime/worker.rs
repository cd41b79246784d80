//! One worker's loop: messages from other threads, ready tasks, the handler's tick, then a turn of the driver.
//!
//! [`Worker::turn`] is one step of it. Whoever owns the thread calls it; a worker thread does so in a loop.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll};

use ringline_ring::{Uring, Wait};

use super::connection::Phase;
use super::tasks::{BoxFuture, Owner};
use super::{ConnCtx, Core, Inner, UdpCtx, current};
use crate::cluster::{Member, Message};
use crate::driver::{ConnToken, Driver, UdpToken};
use crate::error::ring_broken;
use crate::handler::{AsyncEventHandler, DriverCtx};
use crate::launch::refused;
use crate::{Config, Error};

/// How long a worker that shuts down waits for queued sends to go out and for connections to close.
pub(crate) const SHUTDOWN_GRACE_NS: u64 = 2_000_000_000;

/// Whether a worker goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    /// Shut down, everything closed: the worker is only good for being dropped.
    Stopped,
}

/// A worker: its handler, its tasks and its ring.
pub(crate) struct Worker<H: AsyncEventHandler> {
    core: Rc<Core>,
    handler: H,
    member: Member<OwnedFd>,
    /// Whether the handler wants ticks.
    ticks: bool,
    tick_timeout_ns: u64,
    /// The driver has more to deliver already.
    more: bool,
    /// When a shutdown ends at the latest.
    stop_at: Option<u64>,
    // Lists whose memory is used again each turn.
    batch: Vec<u32>,
    messages: Vec<Message<OwnedFd>>,
    sockets: Vec<OwnedFd>,
}

impl<H: AsyncEventHandler> Worker<H> {
    /// Binds the UDP sockets, makes the handler, and starts its `on_start` and `on_udp_bind` tasks.
    ///
    /// # Errors
    ///
    /// When an address cannot be bound, or the handler panicked; the member comes back, to report it.
    pub(crate) fn new(
        driver: Driver<Uring>,
        config: &Config,
        member: Member<OwnedFd>,
    ) -> Result<Self, (Error, Member<OwnedFd>)> {
        let core = Rc::new(Core::new(driver, config));
        let index = member.index();
        let sockets = match core.with(|inner| inner.bind_udp(&config.udp_bind)) {
            Ok(sockets) => sockets,
            Err(error) => return Err((error, member)),
        };
        let handler = {
            let _entered = current::enter(&core);
            let started = catch_unwind(|| {
                let handler = H::create_for_worker(index);
                let mut futures: Vec<_> = handler.on_start().into_iter().collect();
                futures.extend(sockets.into_iter().filter_map(|udp| handler.on_udp_bind(UdpCtx::new(udp))));
                (handler, futures)
            });
            let Ok((handler, futures)) = started else {
                return Err((Error::HandlerPanicked { worker: index }, member));
            };
            for future in futures {
                spawn_as(&core, Owner::Start, future);
            }
            handler
        };
        Ok(Self {
            core,
            handler,
            member,
            ticks: true,
            tick_timeout_ns: config.tick_timeout_us.saturating_mul(1000),
            more: false,
            stop_at: None,
            batch: Vec::new(),
            messages: Vec::new(),
            sockets: Vec::new(),
        })
    }

    /// Reports that the worker runs from now on.
    pub(crate) fn ready(&mut self) {
        self.member.ready();
    }

    /// One step: does what there is to do, then waits at most as asked for more to come.
    ///
    /// # Errors
    ///
    /// When the ring is broken.
    pub(crate) fn turn(&mut self, wait: Wait) -> Result<Status, Error> {
        let core = Rc::clone(&self.core);
        let _entered = current::enter(&core);
        if core.with(|inner| std::mem::take(&mut inner.host.rung)) {
            self.read_messages(&core);
        }
        self.run_ready(&core);
        self.begin_connections(&core);
        self.run_ready(&core);
        self.deliver_disk_news(&core);
        self.tick(&core);
        if core.with(|inner| std::mem::take(&mut inner.host.shutdown_requested)) {
            self.member.cluster().shutdown();
        }
        wake_foreign(&core);
        if self.is_over(&core) {
            return Ok(Status::Stopped);
        }
        let wait = self.limit_wait(&core, wait);
        self.more = core.with(|inner| {
            inner.keep_unread();
            inner.host.connections.forget_departed();
            inner.driver.turn(&mut inner.host, wait).map(|turn| turn.more).map_err(ring_broken)
        })?;
        wake_foreign(&core);
        drop_released_guards(&core);
        Ok(Status::Running)
    }

    /// What other threads sent: wakes, sockets, notifications, the order to listen, the order to stop.
    #[cold]
    fn read_messages(&mut self, core: &Core) {
        core.remote.take(&mut self.batch);
        core.with(|inner| self.batch.drain(..).for_each(|task| inner.host.tasks.woken_remotely(task)));
        self.member.take(&mut self.messages);
        for message in self.messages.drain(..) {
            match message {
                Message::Socket(socket) => self.sockets.push(socket),
                Message::Listen(address) => self.member.listening(core.with(|inner| {
                    let opened = inner.driver.listen(address)?;
                    inner.driver.accept();
                    Ok(opened)
                })),
                Message::TakeOver => self.member.take_over(|listener| {
                    core.with(|inner| {
                        inner.driver.share_listener(listener)?;
                        inner.driver.accept();
                        Ok(())
                    })
                }),
            }
        }
        if self.member.take_notification() {
            let mut ctx = DriverCtx::new(&mut self.ticks);
            // A panic was reported by the panic hook; it must not take the connections with it.
            let _ = catch_unwind(AssertUnwindSafe(|| self.handler.on_notify(&mut ctx)));
        }
        if self.stop_at.is_none() && self.member.cluster().is_stopping() {
            self.stop_at = Some(core.with(begin_shutdown));
        }
    }

    /// Polls the tasks that are ready now. What they wake is polled in the next pass.
    #[inline]
    fn run_ready(&mut self, core: &Core) {
        if core.ready.is_empty() {
            return;
        }
        core.ready.take(&mut self.batch);
        for &task in &self.batch {
            poll_task(core, task);
        }
        self.batch.clear();
    }

    /// Gives accepted sockets, and outbound connections of the handler's, their tasks.
    #[inline]
    fn begin_connections(&mut self, core: &Rc<Core>) {
        let nothing = core.with(|inner| inner.host.incoming.is_empty() && inner.host.established.is_empty());
        if nothing && self.sockets.is_empty() {
            return;
        }
        let (mut incoming, established) =
            core.with(|inner| (std::mem::take(&mut inner.host.incoming), std::mem::take(&mut inner.host.established)));
        self.sockets.extend(incoming.drain(..).filter_map(|socket| self.member.route(socket)));
        for socket in self.sockets.drain(..) {
            // Dropping the socket refuses the connection: the worker is shutting down, every slot is taken, or the
            // peer has gone again. The driver counts the latter two.
            let adopted = core.with(|inner| if inner.host.stopping { None } else { inner.adopt(socket) });
            if let Some(conn) = adopted {
                begin_task(core, &self.handler, conn);
            }
        }
        for conn in established {
            begin_task(core, &self.handler, conn);
        }
    }

    /// Tells the handler how the disk operations of its own have ended.
    #[inline]
    fn deliver_disk_news(&mut self, core: &Core) {
        if core.with(|inner| inner.host.disk.has_news()) {
            self.deliver_each(core);
        }
    }

    #[cold]
    fn deliver_each(&mut self, core: &Core) {
        let (files, commands) = core.with(|inner| inner.host.disk.take_news());
        let mut ctx = DriverCtx::new(&mut self.ticks);
        // A panic was reported by the panic hook; it must not take the connections with it.
        for completion in files {
            let _ = catch_unwind(AssertUnwindSafe(|| self.handler.on_direct_io(&mut ctx, completion)));
        }
        for completion in commands {
            let _ = catch_unwind(AssertUnwindSafe(|| self.handler.on_nvme(&mut ctx, completion)));
        }
    }

    #[inline]
    fn tick(&mut self, _core: &Core) {
        if self.ticks {
            let mut ctx = DriverCtx::new(&mut self.ticks);
            // A panic was reported by the panic hook; it must not take the connections with it.
            let _ = catch_unwind(AssertUnwindSafe(|| self.handler.on_tick(&mut ctx)));
        }
    }

    /// How long the driver may wait.
    #[inline]
    fn limit_wait(&mut self, core: &Core, wait: Wait) -> Wait {
        if self.more || !core.ready.is_empty() || core.with(|inner| inner.host.rung) {
            return Wait::Poll;
        }
        let mut limit = match wait {
            Wait::Poll => return Wait::Poll,
            Wait::Forever => u64::MAX,
            Wait::AtMost(limit) => limit,
        };
        if self.ticks && self.tick_timeout_ns > 0 {
            limit = limit.min(self.tick_timeout_ns);
        }
        if let Some(stop_at) = self.stop_at {
            limit = limit.min(stop_at.saturating_sub(core.with(|inner| inner.driver.clock())));
        }
        if limit == u64::MAX { Wait::Forever } else { Wait::AtMost(limit) }
    }

    /// Whether a shutdown has come to its end.
    #[inline]
    fn is_over(&self, core: &Core) -> bool {
        let Some(stop_at) = self.stop_at else { return false };
        core.with(|inner| {
            let closed = inner.driver.open_connections() == 0
                && inner.driver.zero_copy_in_flight() == 0
                && !inner.driver.is_listening();
            closed || inner.driver.clock() >= stop_at
        })
    }
}

impl<H: AsyncEventHandler> Drop for Worker<H> {
    fn drop(&mut self) {
        let core = Rc::clone(&self.core);
        let _entered = current::enter(&core);
        // Futures go first: dropping them may use the worker.
        for future in core.with(|inner| inner.host.tasks.take_all()) {
            drop_quietly(future);
        }
    }
}

impl Inner {
    fn bind_udp(&mut self, addresses: &[SocketAddr]) -> Result<Vec<UdpToken>, Error> {
        let bind = |address: &SocketAddr| {
            let bound = self.driver.bind_udp(*address);
            self.host.datagrams.add();
            bound.map_err(|error| refused("bind a UDP socket to", *address, &error))
        };
        addresses.iter().map(bind).collect()
    }

    /// Makes a connection of an accepted socket.
    fn adopt(&mut self, socket: OwnedFd) -> Option<ConnToken> {
        let conn = self.driver.adopt(socket).ok()?;
        self.host.connections.open(conn, Phase::Open);
        Some(conn)
    }
}

/// Refuses what is new, closes what is there; returns when the grace ends.
fn begin_shutdown(inner: &mut Inner) -> u64 {
    inner.host.stopping = true;
    inner.driver.stop_accepting();
    inner.driver.hurry();
    for conn in inner.host.connections.living() {
        // A connect that is given up this way tells its future so.
        if !inner.driver.cancel_connect(conn) {
            inner.close(conn);
        }
    }
    inner.driver.clock() + SHUTDOWN_GRACE_NS
}

/// Gives a connection its task.
fn begin_task<H: AsyncEventHandler>(core: &Core, handler: &H, conn: ConnToken) {
    match catch_unwind(AssertUnwindSafe(|| handler.on_accept(ConnCtx::new(conn)))) {
        Ok(future) => spawn_as(core, Owner::Connection(conn), Box::pin(future)),
        Err(_) => core.with(|inner| inner.abort(conn, panicked())),
    }
}

fn spawn_as(core: &Core, owner: Owner, future: BoxFuture) {
    core.with(|inner| inner.host.tasks.insert(owner, future));
}

/// Polls one task. When it ends, so does the connection it was for; when it panics, that connection is aborted.
fn poll_task(core: &Core, task: u32) {
    // SAFETY: the tasks are part of the core, which outlives this call and so the waker.
    let Some((mut future, waker)) = core.with(|inner| unsafe { inner.host.tasks.start(task) }) else { return };
    let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
    if matches!(polled, Ok(Poll::Pending)) {
        if let Some(cancelled) = core.with(|inner| inner.host.tasks.park(task, future)) {
            drop_quietly(cancelled);
        }
        return;
    }
    drop_quietly(future);
    core.with(|inner| match (inner.host.tasks.finish(task), polled) {
        (Owner::Connection(conn), Ok(_)) => inner.close(conn),
        (Owner::Connection(conn), Err(_)) => inner.abort(conn, panicked()),
        _ => {}
    });
}

/// A panic in a future's drop is reported by the panic hook, and goes no further.
fn drop_quietly(future: BoxFuture) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
}

fn panicked() -> io::Error {
    io::Error::other("the connection's task panicked")
}

/// Wakes the wakers of other runtimes' making.
#[inline]
fn wake_foreign(core: &Core) {
    let wakers = core
        .with(|inner| if inner.host.foreign.is_empty() { Vec::new() } else { std::mem::take(&mut inner.host.foreign) });
    for waker in wakers {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

/// Drops the guards that the kernel no longer needs. Their drops may use the worker, and a panic goes no further.
#[inline]
fn drop_released_guards(core: &Core) {
    if !core.with(|inner| std::mem::take(&mut inner.host.guards_released)) {
        return;
    }
    let mut guards = Vec::new();
    core.with(|inner| inner.driver.take_released_guards(&mut guards));
    for guard in guards {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(guard)));
    }
}
