//! The echo of the async API: a task per connection, `with_data` and `send_nowait`.

use std::error::Error;
use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::OnceLock;

use ringline::{AsyncEventHandler, Config, ConnCtx, DriverCtx, ParseResult, RinglineBuilder, worker_metrics};

use crate::script::{Scenario, Script, ringline_cost_aside};

const CONNECTIONS: [u32; 4] = [1, 10, 1_000, 10_000];
/// A message of each connection waits for its turn in the largest scenario, some of them twice.
const SEND_SLOTS: u32 = 16_384;

static SERVER: OnceLock<SocketAddr> = OnceLock::new();

struct Echo {
    script: Option<Script>,
}

impl AsyncEventHandler for Echo {
    fn create_for_worker(_worker: usize) -> Self {
        Self { script: None }
    }

    fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        serve(conn)
    }

    /// The server has done what there was to do.
    fn on_tick(&mut self, ctx: &mut DriverCtx<'_>) {
        let Some(&server) = SERVER.get() else { return };
        let scenarios = CONNECTIONS.map(|connections| Scenario { name: "tasks", connections });
        let script = self.script.get_or_insert_with(|| Script::new(scenarios.into(), server).unwrap_or_else(give_up));
        let metrics = worker_metrics().unwrap_or_else(give_up);
        if !ringline_cost_aside(script, metrics).unwrap_or_else(give_up) {
            ctx.request_shutdown();
            ctx.stop_ticks();
        }
    }
}

/// A panic would be the worker's to survive.
fn give_up<T>(error: impl Display) -> T {
    eprintln!("ringline-cost: {error}");
    std::process::exit(1)
}

async fn serve(conn: ConnCtx) {
    let echo = |data: &[u8]| {
        conn.send_nowait(data).expect("there are enough send slots");
        ParseResult::Consumed(data.len())
    };
    while conn.with_data(echo).await > 0 {}
}

pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let config = Config::builder().workers(1).pin_to_core(false).send_copy_count(SEND_SLOTS).build()?;
    let (server, workers) = RinglineBuilder::new(config).bind(([127, 0, 0, 1], 0).into()).launch::<Echo>()?;
    SERVER.get_or_init(|| server.bound_addr().expect("the server is bound"));
    for worker in workers {
        worker.join().map_err(|_| "the worker panicked")??;
    }
    Ok(())
}
