//! A TCP echo server. `cargo run --release --example echo -- 127.0.0.1:7878`

use std::future::Future;

use ringline::{AsyncEventHandler, Config, ConnCtx, Error, ParseResult, RinglineBuilder};

/// Most bytes that are sent back at a time.
const PIECE_BYTES_MAX: usize = 64 * 1024;

pub(crate) struct Echo;

impl AsyncEventHandler for Echo {
    fn create_for_worker(_worker: usize) -> Self {
        Echo
    }

    fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        serve(conn)
    }
}

/// Sends back what arrives. Waiting for each send until the kernel has taken it slows down a client that does not read.
async fn serve(conn: ConnCtx) {
    loop {
        let mut sent = None;
        let read = conn.with_data(|data| {
            let piece = &data[..data.len().min(PIECE_BYTES_MAX)];
            sent = Some(conn.send(piece));
            ParseResult::Consumed(piece.len())
        });
        if read.await == 0 {
            return;
        }
        let Some(sent) = sent else { return };
        if sent.await.is_err() {
            return;
        }
    }
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
