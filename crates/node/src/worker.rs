//! A worker: one driver, its bridge, and the steps that turn them.
//!
//! A round has two steps. [`Worker::tell`]: events go out in one batch, and the doorbell is rung when JavaScript sleeps.
//! [`Worker::act`]: commands go in, the driver turns. Who owns the thread calls them in turns; nothing here assumes which
//! thread that is. [`Worker::run`] is the loop of a thread of its own, which blocks in the kernel only after it has
//! announced so and has looked at the submission ring once more.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::thread;
use std::time::Duration;

use ringline::cluster::{Member, Message};
use ringline::driver::{Driver, Turn};
use ringline_ring::{Kernel, Wait};

use crate::bridge::Bridge;
use crate::commands::{Commands, Malformed};
use crate::mailbox::{Letter, Mailbox};
use crate::protocol::control;
use crate::shared_memory::SharedMemory;
use crate::slabs::OfferedSlabs;
use crate::spin::Spin;
use crate::{disk, errno};

/// How long a worker that shuts down waits for peers to take what is queued for them.
const SHUTDOWN_GRACE_NS: u64 = 2_000_000_000;
/// While a worker waits for room it looks for other news this often.
const ROOM_WAIT: Duration = Duration::from_millis(20);
/// A turn that brought so many events is likely to have left some: the kernel receives for some twenty connections per
/// `enter`, whatever waits beyond.
const BURST_EVENTS: usize = 16;
/// Events that are gathered before JavaScript is called for them.
const GATHER_EVENTS_MAX: usize = 256;

/// Key of the timer that makes ticks.
const TICK: u64 = 1;
/// Key of the timer that ends a shutdown.
const GRACE: u64 = 2;

/// What a handler wants of its worker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    /// Nanoseconds between ticks; 0 = none.
    pub(crate) tick_ns: u64,
    /// It gives back what it receives when it returns.
    pub(crate) borrows: bool,
    /// Its thread turns the worker, which has no other.
    pub(crate) inline: bool,
    /// How long a ring thread may look for work before it blocks; zero = not at all.
    pub(crate) spin: Duration,
}

/// The JavaScript environment of a worker, as the worker wakes it.
pub(crate) trait Sleeper {
    /// Wakes it.
    fn ring(&self);
}

/// Why a worker stopped by itself.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The ring does not work any more.
    Ring(io::Error),
    /// JavaScript does not keep to the protocol.
    Protocol(Malformed),
}

impl Broken {
    fn errno(&self) -> i32 {
        match self {
            Self::Ring(error) => errno::of(error),
            Self::Protocol(_) => libc::EPROTO,
        }
    }
}

/// How a step has left its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The driver has turned.
    Turned,
    /// The driver did not turn: JavaScript has to make room first, which it was asked for.
    Full,
    /// A shutdown is complete, and everything but that was told.
    Ended,
}

/// How far a worker has come with its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Nobody has asked for it.
    No,
    /// It was asked for. What JavaScript had published by then is to be carried out first.
    Asked,
    /// Connections are being closed.
    Begun,
}

/// A driver with everything that happens around it.
pub(crate) struct Worker<K: Kernel, S> {
    driver: Driver<K>,
    bridge: Bridge<K>,
    commands: Commands,
    memory: Arc<SharedMemory>,
    mailbox: Arc<Mailbox>,
    member: Member<K::Socket>,
    sleeper: S,
    /// Accepted sockets for this worker that wait for room to be told of.
    sockets: VecDeque<K::Socket>,
    messages: Vec<Message<K::Socket>>,
    /// Time between ticks in nanoseconds; 0 = none.
    tick_ns: u64,
    spin: Spin,
    inline: bool,
    /// The events that JavaScript was told of last were a burst.
    bursty: bool,
    stop: Stop,
    /// What the last turn left behind.
    last: Turn,
}

/// What is left of a worker that has ended: it still has to say so.
pub(crate) struct Ending<K: Kernel, S> {
    bridge: Bridge<K>,
    sleeper: S,
    errno: i32,
}

impl<K: Kernel, S: Sleeper> Ending<K, S> {
    /// Tells JavaScript, unless there is no room for it yet.
    pub(crate) fn tell(&mut self) -> bool {
        let told = self.bridge.write_stopped(self.errno);
        if self.bridge.publish() {
            self.sleeper.ring();
        }
        told
    }

    /// How JavaScript is woken.
    pub(crate) fn sleeper(&self) -> &S {
        &self.sleeper
    }
}

impl<K: Kernel, S: Sleeper> Worker<K, S> {
    /// A worker around a new driver.
    pub(crate) fn new(
        mut driver: Driver<K>,
        memory: Arc<SharedMemory>,
        offers: OfferedSlabs,
        mailbox: Arc<Mailbox>,
        member: Member<K::Socket>,
        sleeper: S,
        wishes: Wishes,
    ) -> Self {
        let tick_ns = wishes.tick_ns;
        let mut bridge = Bridge::new(&driver, Arc::clone(&memory), offers, wishes);
        // What came before the doorbell was there has not rung it.
        bridge.rung = true;
        if tick_ns > 0 {
            driver.arm_timer(driver.clock() + tick_ns, TICK);
        }
        Self {
            commands: Commands::new(Arc::clone(&memory)),
            driver,
            bridge,
            memory,
            mailbox,
            member,
            sleeper,
            sockets: VecDeque::new(),
            messages: Vec::new(),
            tick_ns,
            spin: Spin::new(wishes.spin),
            inline: wishes.inline,
            bursty: false,
            stop: Stop::No,
            last: Turn { more: false, quiet: false },
        }
    }

    /// Runs until asked to end, then tells JavaScript. Never panics.
    pub(crate) fn run(mut self) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.turn_until_ended()));
        let mailbox = Arc::clone(&self.mailbox);
        let mut ending = self.end(outcome);
        while !mailbox.is_stopped() && !ending.tell() {
            thread::park();
        }
    }

    /// Closes everything. What may be half done after a panic is only dropped.
    pub(crate) fn end(self, outcome: thread::Result<Result<(), Broken>>) -> Ending<K, S> {
        let errno = match outcome {
            Ok(Ok(())) => 0,
            Ok(Err(broken)) => {
                if let Broken::Protocol(malformed) = &broken {
                    eprintln!("ringline: a worker was stopped, because its submission ring is damaged: {malformed}");
                }
                broken.errno()
            }
            Err(_) => libc::ENOTRECOVERABLE,
        };
        let Self { driver, bridge, member, sleeper, .. } = self;
        // Sockets, the listener's too, are closed before JavaScript hears that they are.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop((driver, member))));
        let errno = if dropped.is_err() { libc::ENOTRECOVERABLE } else { errno };
        Ending { bridge, sleeper, errno }
    }

    fn turn_until_ended(&mut self) -> Result<(), Broken> {
        while !self.mailbox.is_stopped() {
            self.tell();
            match self.act(Wait::Forever)? {
                Progress::Turned => {}
                // JavaScript wakes this thread when it has made room.
                Progress::Full => thread::park_timeout(ROOM_WAIT),
                Progress::Ended => break,
            }
        }
        Ok(())
    }

    /// Tells JavaScript what has happened, as far as there is room.
    #[inline]
    pub(crate) fn tell(&mut self) {
        if std::mem::take(&mut self.bridge.rung) {
            self.read_mail();
        }
        self.bridge.deliver(&mut self.driver);
        // Behind the events of the turn that accepted them, but before this thread may block: nothing would wake it for them.
        self.adopt_waiting();
        // Whoever is told of something finds it counted.
        self.memory.metrics.store(&self.driver.metrics());
        self.publish();
    }

    /// Does what JavaScript wants and hands it to the kernel, without waiting or looking for what has completed. What is
    /// answered at once is told by the next step.
    ///
    /// # Errors
    ///
    /// As [`act`](Self::act).
    pub(crate) fn submit(&mut self) -> Result<Progress, Broken> {
        self.commands.run(&mut self.driver, &mut self.bridge).map_err(Broken::Protocol)?;
        self.driver.submit_now();
        Ok(Progress::Turned)
    }

    /// Does what JavaScript wants and turns the driver, which waits as asked unless there is something to do.
    ///
    /// # Errors
    ///
    /// When the worker cannot go on. It is then only good for being dropped.
    #[inline]
    pub(crate) fn act(&mut self, wait: Wait) -> Result<Progress, Broken> {
        self.bridge.note_read();
        self.commands.run(&mut self.driver, &mut self.bridge).map_err(Broken::Protocol)?;
        if self.stop == Stop::Asked {
            self.begin_shutdown();
        }
        self.bridge.take_back(&mut self.driver);
        // What commands have answered, and slots of sends that were refused: nothing that there is room for may wait to be
        // told while this thread blocks.
        if self.bridge.has_pending() {
            self.bridge.deliver(&mut self.driver);
        }
        self.publish();
        let ended = self.has_ended();
        if ended && !self.bridge.has_pending() {
            return Ok(Progress::Ended);
        }
        if ended || self.bridge.is_backlogged() {
            // The doorbell stays unheard while the driver does not turn.
            self.bridge.rung = true;
            return Ok(Progress::Full);
        }
        self.last = self.turn(wait).map_err(Broken::Ring)?;
        self.gather().map_err(Broken::Ring)?;
        self.follow_up();
        Ok(Progress::Turned)
    }

    /// Turns on while a burst goes on, where each telling is a call of JavaScript: one call for all of it costs less than
    /// one for each part.
    #[inline]
    fn gather(&mut self) -> io::Result<()> {
        if !self.inline || !self.bridge.has_pending() {
            return Ok(());
        }
        // What ends a wait is one event, whatever came with it. Where bursts follow each other it is the first of the next.
        let mut least = if self.bursty { 1 } else { BURST_EVENTS };
        let mut before = 0;
        while self.bridge.pending() >= before + least && before < GATHER_EVENTS_MAX {
            (before, least) = (self.bridge.pending(), BURST_EVENTS);
            self.last = self.driver.turn(&mut self.bridge, Wait::Poll)?;
        }
        self.bursty = self.bridge.pending() >= BURST_EVENTS;
        Ok(())
    }

    /// Whether there is something to tell, or to do, without another turn's waiting.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.last.more || self.bridge.rung || self.bridge.has_pending() || !self.sockets.is_empty()
    }

    /// Whether the driver has nothing left to submit or to wait for but its next event.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.last.quiet
    }

    /// Whether JavaScript has not read everything yet, but will come back for it by itself.
    #[inline]
    pub(crate) fn is_being_read(&self) -> bool {
        self.memory.control(control::JS_ASLEEP).load(Ordering::Relaxed) == 0
    }

    /// Whether the other event loop of this thread was found to have work since the last call.
    #[inline]
    pub(crate) fn take_outer_ready(&mut self) -> bool {
        std::mem::take(&mut self.bridge.outer_ready)
    }

    /// Reads messages in the next step, even if no ring of the doorbell was heard.
    pub(crate) fn look_at_mail(&mut self) {
        self.bridge.rung = true;
    }

    /// The driver.
    #[inline]
    pub(crate) fn driver(&mut self) -> &mut Driver<K> {
        &mut self.driver
    }

    /// How JavaScript is woken.
    #[inline]
    pub(crate) fn sleeper(&self) -> &S {
        &self.sleeper
    }

    /// Shows JavaScript what there is to see, and wakes it if it sleeps.
    #[inline]
    fn publish(&mut self) {
        if self.bridge.publish() {
            self.memory.metrics.count_batch();
            self.sleeper.ring();
        }
    }

    #[inline]
    fn turn(&mut self, wait: Wait) -> io::Result<Turn> {
        if self.last.more || wait == Wait::Poll {
            return self.driver.turn(&mut self.bridge, Wait::Poll);
        }
        if let Some(budget) = self.spin.budget() {
            let turn = self.driver.turn(&mut self.bridge, Wait::Poll)?;
            if turn.more || !turn.quiet || self.look_for_work(budget) {
                return Ok(turn);
            }
        }
        if !self.announce_sleep() {
            return self.driver.turn(&mut self.bridge, Wait::Poll);
        }
        let asleep_from = if self.spin.is_enabled() { self.driver.clock() } else { 0 };
        let turn = self.driver.turn(&mut self.bridge, wait);
        self.memory.control(control::WORKER_ASLEEP).store(0, Ordering::Relaxed);
        if self.spin.is_enabled() {
            self.spin.waited(Duration::from_nanos(self.driver.now().saturating_sub(asleep_from)));
        }
        turn
    }

    /// Waits for work without blocking, until a timer is due at the latest. While it does, JavaScript rings no doorbell.
    fn look_for_work(&mut self, budget: Duration) -> bool {
        let Self { spin, driver, commands, bridge, .. } = self;
        let budget = driver.time_to_timer().map_or(budget, |left| budget.min(left));
        spin.look(budget, || commands.waiting() || driver.is_ready() || bridge.has_been_read())
    }

    /// Says that this thread will block, unless there is something to do after all.
    #[inline]
    fn announce_sleep(&mut self) -> bool {
        let asleep = self.memory.control(control::WORKER_ASLEEP);
        asleep.store(1, Ordering::SeqCst);
        // Either this sees the tail that JavaScript published, or JavaScript sees the flag after it has published.
        fence(Ordering::SeqCst);
        // Who rings needs no such care: a doorbell that was rung before the wait ends it as well.
        if self.commands.waiting() || self.bridge.has_been_read() {
            asleep.store(0, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Acts on what the turn left for the worker: accepted sockets and timers.
    #[inline]
    fn follow_up(&mut self) {
        for socket in self.bridge.incoming.drain(..) {
            self.sockets.extend(self.member.route(socket));
        }
        while let Some(key) = self.bridge.due.pop() {
            match key {
                TICK => {
                    self.bridge.tick();
                    self.driver.arm_timer(self.driver.now() + self.tick_ns, TICK);
                }
                _ => self.abort_all(),
            }
        }
    }

    /// Makes connections of waiting sockets as far as JavaScript can be told of them.
    #[inline]
    fn adopt_waiting(&mut self) {
        if self.stop != Stop::No {
            self.sockets.clear();
        }
        while !self.sockets.is_empty() && self.bridge.can_adopt() {
            if let Some(socket) = self.sockets.pop_front() {
                self.bridge.adopt(&mut self.driver, socket);
            }
        }
        // Those beyond what a worker can have would find no slot anyway.
        self.sockets.truncate(self.driver.max_connections() as usize);
    }

    /// What other threads want.
    fn read_mail(&mut self) {
        for letter in self.mailbox.take() {
            match letter {
                Letter::Connect { request, .. } if self.stop != Stop::No => {
                    self.bridge.refuse_connect(request, libc::ECANCELED);
                }
                Letter::Connect { request, peer, timeout } => {
                    self.bridge.connect(&mut self.driver, request, peer, timeout);
                }
                Letter::CancelConnect { request } => self.bridge.cancel_connect(&mut self.driver, request),
                Letter::Notify => self.bridge.notify(),
                Letter::Open { request, path, target } => {
                    disk::open(&mut self.driver, &mut self.bridge, request, &path, target);
                }
                Letter::CancelOpen { request } => disk::cancel_open(&mut self.driver, &mut self.bridge, request),
            }
        }
        self.member.take(&mut self.messages);
        for message in self.messages.drain(..) {
            match message {
                Message::Socket(socket) => self.sockets.push_back(socket),
                Message::Listen(address) => {
                    let opened = self.driver.listen(address);
                    self.driver.accept();
                    self.member.listening(opened);
                }
                Message::TakeOver => self.member.take_over(|listener| {
                    self.driver.share_listener(listener)?;
                    self.driver.accept();
                    Ok(())
                }),
            }
        }
        if self.member.take_notification() {
            self.bridge.notify();
        }
        if self.stop == Stop::No && self.member.cluster().is_stopping() {
            self.stop = Stop::Asked;
        }
    }

    /// Refuses what is new and closes what there is, queued sends first.
    fn begin_shutdown(&mut self) {
        self.stop = Stop::Begun;
        self.driver.stop_accepting();
        self.driver.hurry();
        for conn in self.driver.tokens() {
            if !self.driver.cancel_connect(conn) {
                self.driver.close(conn);
            }
        }
        self.driver.arm_timer(self.driver.clock() + SHUTDOWN_GRACE_NS, GRACE);
    }

    /// Closes whatever peers have kept from closing.
    fn abort_all(&mut self) {
        for conn in self.driver.tokens() {
            self.driver.abort(conn, None);
        }
    }

    #[inline]
    fn has_ended(&self) -> bool {
        self.stop == Stop::Begun && self.driver.open_connections() == 0 && !self.driver.is_listening()
    }
}
