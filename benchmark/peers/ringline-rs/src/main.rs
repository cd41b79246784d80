//! The echo server on ringline's Rust API: one worker, sends into the copy pool without waiting.

use std::future::Future;

use ringline::{AsyncEventHandler, ConfigBuilder, ConnCtx, Error, ParseResult, RinglineBuilder};

struct Echo;

impl AsyncEventHandler for Echo {
    fn create_for_worker(_worker: usize) -> Self {
        Echo
    }

    fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        serve(conn)
    }
}

async fn serve(conn: ConnCtx) {
    loop {
        let mut full = false;
        let read = conn.with_data(|data| {
            full = conn.send_nowait(data).is_err();
            ParseResult::Consumed(if full { 0 } else { data.len() })
        });
        if read.await == 0 || full {
            return;
        }
    }
}

fn main() -> Result<(), Error> {
    let config = ConfigBuilder::new().workers(1).pin_to_core(false).build()?;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let (server, workers) = RinglineBuilder::new(config).bind(address).launch::<Echo>()?;
    let port = server.bound_addr().map_or(0, |bound| bound.port());
    println!("{{\"port\":{port},\"pid\":{}}}", std::process::id());
    for worker in workers {
        worker.join().expect("the worker does not panic")?;
    }
    Ok(())
}
