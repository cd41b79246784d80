//! Moves the bytes, on ringline itself: one worker, a task per connection that reads, and for bulk loads a second one that
//! writes. It does what [`Load`] says and decides nothing.

use std::cell::RefCell;
use std::error::Error;
use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use ringline::{
    AsyncEventHandler, Config, ConnCtx, DriverCtx, ParseResult, RinglineBuilder, connect_with_timeout, sleep, spawn,
};

use crate::load::Load;
use crate::options::Options;

const CONNECT_TIMEOUT_MS: u64 = 5000;
/// How often a load that waits for the server looks at the clock all the same.
const TICK_US: u64 = 20_000;
const SUBMISSIONS: u32 = 4096;
const RECEIVE_BUFFER_BYTES: usize = 16 * 1024;
const RECEIVE_BUFFERS_MIN: usize = 16;
const RECEIVE_BUFFERS_MAX: usize = 1024;
const SEND_SLOT_BYTES_MIN: usize = 256;
const SEND_SLOT_BYTES_MAX: usize = 16 * 1024;
/// What a writer has under way at a time.
const BULK_SEND_BYTES: usize = 64 * 1024;

/// The runtime makes its handlers itself, from nothing but a worker's number, so what they need lies here.
static PLAN: OnceLock<Plan> = OnceLock::new();

struct Plan {
    options: Options,
    outcome: Sender<Result<String, String>>,
}

impl Plan {
    /// Only the first outcome counts: those of connections that end because the run does come too late.
    fn tell(&self, outcome: Result<String, String>) {
        // Nobody listens any more when an earlier outcome has ended the run.
        let _ = self.outcome.send(outcome);
    }
}

/// Runs the load to its end, warm-up, window, and drain until every response has come, and returns its JSON.
pub(crate) fn run(options: Options) -> Result<String, Box<dyn Error>> {
    let config = configuration(&options)?;
    let (sender, outcome) = mpsc::channel();
    let plan = Plan { options, outcome: sender };
    assert!(PLAN.set(plan).is_ok(), "a process runs one load");
    let (running, workers) = RinglineBuilder::new(config).launch::<Client>()?;
    let outcome = outcome.recv()?;
    running.shutdown();
    for worker in workers {
        worker.join().map_err(|_| "the worker panicked")??;
    }
    Ok(outcome?)
}

fn configuration(options: &Options) -> Result<Config, ringline::Error> {
    let connections = options.connections;
    let in_flight = options.in_flight_bytes().map_or(BULK_SEND_BYTES, |bytes| bytes as usize);
    let slot_bytes = in_flight.next_power_of_two().clamp(SEND_SLOT_BYTES_MIN, SEND_SLOT_BYTES_MAX);
    // One more than fits: the next message is queued before the kernel has given the slot of the last one back.
    let slots_per_connection = in_flight.div_ceil(slot_bytes) + 1;
    // Twice what can come at a time, and no more: the fewer they are, the more of them the cache holds.
    let receive_buffers = (2 * connections * in_flight).div_ceil(RECEIVE_BUFFER_BYTES).next_power_of_two();
    Config::builder()
        .workers(1)
        .pin_to_core(false)
        .sq_entries(SUBMISSIONS)
        .max_connections(connections as u32)
        .recv_buffer_size(RECEIVE_BUFFER_BYTES as u32)
        .recv_ring_size(receive_buffers.clamp(RECEIVE_BUFFERS_MIN, RECEIVE_BUFFERS_MAX) as u16)
        .send_copy_slot_size(slot_bytes as u32)
        .send_copy_count((connections * slots_per_connection) as u32)
        // Per connection a reader and a writer, and one task that keeps the rate.
        .standalone_task_capacity(2 * connections + 1)
        .tick_timeout_us(TICK_US)
        .build()
}

type Shared = Rc<RefCell<Load>>;

struct Client {
    plan: &'static Plan,
    load: Shared,
}

impl AsyncEventHandler for Client {
    fn create_for_worker(_worker: usize) -> Self {
        let plan = PLAN.get().expect("set before the launch");
        Client { plan, load: Rc::new(RefCell::new(Load::new(&plan.options))) }
    }

    fn on_start(&self) -> Option<Pin<Box<dyn Future<Output = ()> + 'static>>> {
        for id in 0..self.plan.options.connections {
            spawn_task(self.plan, converse(self.plan, Rc::clone(&self.load), id));
        }
        None
    }

    fn on_accept(&self, _conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        // Nothing is bound, so nothing is accepted.
        ready(())
    }

    fn on_tick(&mut self, _ctx: &mut DriverCtx<'_>) {
        if let Some(outcome) = self.load.borrow_mut().end_turn() {
            self.plan.tell(outcome);
        }
    }
}

/// Runs a task whose failure fails the run.
fn spawn_task(plan: &'static Plan, task: impl Future<Output = Result<(), String>> + 'static) {
    let task = async move {
        if let Err(error) = task.await {
            plan.tell(Err(error));
        }
    };
    spawn(task).expect("the configuration has room for every task");
}

/// Connects, and passes on what comes until the run ends.
async fn converse(plan: &'static Plan, load: Shared, id: usize) -> Result<(), String> {
    let addr = plan.options.addr;
    let connected = connect_with_timeout(addr, CONNECT_TIMEOUT_MS).await;
    let conn = connected.map_err(|error| format!("cannot connect to {addr} (--addr): {error}"))?;
    if plan.options.is_bulk() {
        spawn_task(plan, write(Rc::clone(&load), id, conn));
    }
    if load.borrow_mut().connected(id, conn) && plan.options.rate.is_some() {
        spawn_task(plan, keep_rate(Rc::clone(&load)));
    }
    let mut verified = Ok(());
    loop {
        let read = conn.with_data(|bytes| {
            verified = load.borrow_mut().receive(id, bytes);
            ParseResult::Consumed(bytes.len())
        });
        let count = read.await;
        if let Err(wrong) = &verified {
            return Err(wrong.to_string());
        }
        if count == 0 {
            return Err(format!("the server closed connection {id}"));
        }
    }
}

/// Sends what there is to send, a bounded piece at a time, so that huge messages of many connections fit into the send slots.
async fn write(load: Shared, id: usize, conn: ConnCtx) -> Result<(), String> {
    loop {
        let bytes = poll_fn(|cx| load.borrow_mut().poll_unsent(id, BULK_SEND_BYTES, cx)).await;
        conn.send(bytes).await.map_err(|error| format!("connection {id}: {error}"))?;
    }
}

/// Makes requests at their intended times.
async fn keep_rate(load: Shared) -> Result<(), String> {
    loop {
        let left_ns = load.borrow_mut().request_arrivals();
        let Some(left_ns) = left_ns else { return Ok(()) };
        sleep(Duration::from_nanos(left_ns)).await;
    }
}
