//! Sends messages to an echo server from many connections, checks every byte that comes back, and says how long it took.
//!
//! `cargo run --release --example echo_client -- 127.0.0.1:7878 [connections] [messages per connection] [bytes]`

use std::cell::Cell;
use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use ringline::{AsyncEventHandler, Config, ConnCtx, Error, ParseResult, RinglineBuilder, connect, spawn};

/// What to do, from the command line.
#[derive(Clone, Copy)]
struct Plan {
    server: SocketAddr,
    connections: usize,
    messages: usize,
    bytes: usize,
}

impl Plan {
    fn from_arguments() -> Self {
        let mut arguments = std::env::args().skip(1);
        let server = arguments.next().unwrap_or_else(|| "127.0.0.1:7878".into());
        let mut number = |default| arguments.next().map_or(default, |text| text.parse().expect("a number"));
        Self {
            server: server.parse().expect("an address and a port, such as 127.0.0.1:7878"),
            connections: number(64),
            messages: number(10_000),
            bytes: number(64),
        }
    }
}

struct Client;

impl AsyncEventHandler for Client {
    fn create_for_worker(_worker: usize) -> Self {
        Client
    }

    fn on_start(&self) -> Option<Pin<Box<dyn Future<Output = ()> + 'static>>> {
        Some(Box::pin(async {
            let plan = Plan::from_arguments();
            let (running, started) = (Rc::new(Cell::new(plan.connections)), Instant::now());
            for _ in 0..plan.connections {
                let running = Rc::clone(&running);
                let task = async move {
                    if let Err(error) = converse(plan).await {
                        eprintln!("a connection failed: {error}");
                    }
                    running.set(running.get() - 1);
                    if running.get() == 0 {
                        report(plan, started);
                        ringline::request_shutdown().expect("a task runs on a worker");
                    }
                };
                spawn(task).expect("the configuration has room for a task per connection");
            }
        }))
    }

    fn on_accept(&self, _conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        // Nothing is bound, so nothing is accepted.
        ready(())
    }
}

/// Sends each message when the one before has come back.
async fn converse(plan: Plan) -> Result<(), Error> {
    let conn = connect(plan.server).await?;
    for number in 0..plan.messages {
        let message = vec![number as u8; plan.bytes];
        conn.send_nowait(&message)?;
        let echo = conn.with_data(|data| match data.len() {
            len if len < message.len() => ParseResult::NeedMore,
            _ => {
                assert_eq!(data, message, "the server sent something else back");
                ParseResult::Consumed(data.len())
            }
        });
        assert_ne!(echo.await, 0, "the server ended the connection");
    }
    Ok(())
}

fn report(plan: Plan, started: Instant) {
    let (total, seconds) = (plan.connections * plan.messages, started.elapsed().as_secs_f64());
    println!("{total} messages of {} bytes in {seconds:.2} s: {:.0} per second", plan.bytes, total as f64 / seconds);
}

fn main() -> Result<(), Error> {
    let plan = Plan::from_arguments();
    let config = Config::builder().workers(1).pin_to_core(false).standalone_task_capacity(plan.connections.max(1));
    let (_running, workers) = RinglineBuilder::new(config.build()?).launch::<Client>()?;
    for worker in workers {
        worker.join().expect("the worker does not panic")?;
    }
    Ok(())
}
