//! A TCP echo server. `cargo run --release --example echo -- 127.0.0.1:7878`

use std::future::Future;

use ringline::{AsyncEventHandler, Config, ConnCtx, Error, ParseResult, RinglineBuilder, SendFuture};

struct Echo;

impl AsyncEventHandler for Echo {
    fn create_for_worker(_worker: usize) -> Self {
        Echo
    }

    fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        async move {
            // Waiting for each send until the kernel has taken it is what slows down a client that does not read.
            while let Some(sent) = echo_once(conn).await {
                if sent.await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Sends back what has arrived; none at the end of the stream.
async fn echo_once(conn: ConnCtx) -> Option<SendFuture> {
    let mut sent = None;
    let read = conn.with_data(|data| {
        if !data.is_empty() {
            sent = Some(conn.send(data));
        }
        ParseResult::Consumed(data.len())
    });
    read.await;
    sent
}

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7878".into());
    let address = address.parse().expect("the argument is an address and a port, such as 127.0.0.1:7878");
    let (server, workers) = RinglineBuilder::new(Config::default()).bind(address).launch::<Echo>()?;
    println!("echoing on {}", server.bound_addr().expect("the server is bound"));
    for worker in workers {
        worker.join().expect("the worker does not panic")?;
    }
    Ok(())
}
