//! Sleepers on ringline's timers, one worker.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ringline::{AsyncEventHandler, ConfigBuilder, ConnCtx, Error, RinglineBuilder, request_shutdown, sleep, spawn};
use sleeps::Round;

const SLEEPERS_MAX: u16 = 16_384;

struct Sleepers;

impl AsyncEventHandler for Sleepers {
    fn create_for_worker(_worker: usize) -> Self {
        Sleepers
    }

    fn on_accept(&self, _conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        std::future::ready(())
    }

    fn on_start(&self) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
        Some(Box::pin(async {
            Round::announce();
            while let Some(round) = Round::next() {
                for _ in 0..round.sleepers() {
                    spawn(Arc::clone(&round).sleeper(sleep)).expect("there is room for all sleepers");
                }
                round.end(sleep).await;
            }
            request_shutdown().expect("a task runs on a worker");
        }))
    }
}

fn main() -> Result<(), Error> {
    let config = ConfigBuilder::new().workers(1).pin_to_core(false);
    let config = config.standalone_task_capacity(SLEEPERS_MAX.into()).timer_slots(SLEEPERS_MAX.into()).build()?;
    let (_server, workers) = RinglineBuilder::new(config).launch::<Sleepers>()?;
    for worker in workers {
        worker.join().expect("the worker does not panic")?;
    }
    Ok(())
}
