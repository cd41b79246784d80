//! The echo server on the `ringline` crate that is published on crates.io, whose interface this project implements anew.

use std::future::Future;
use std::net::TcpListener;

use published::{AsyncEventHandler, ConfigBuilder, ConnCtx, Error, ParseResult, RinglineBuilder};

struct Echo;

impl AsyncEventHandler for Echo {
    fn create_for_worker(_id: usize) -> Self {
        Echo
    }

    fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        async move {
            loop {
                let mut refused = false;
                let read = conn.with_data(|data| {
                    refused = conn.send_nowait(data).is_err();
                    ParseResult::Consumed(data.len())
                });
                if read.await == 0 || refused {
                    return;
                }
            }
        }
    }
}

/// It does not tell which port it was given, so one is chosen for it.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("a listener has an address").port()
}

fn main() -> Result<(), Error> {
    let config = ConfigBuilder::new().workers(1).pin_to_core(false).build()?;
    let port = free_port();
    let (_shutdown, workers) =
        RinglineBuilder::new(config).bind(([127, 0, 0, 1], port).into()).launch::<Echo>()?;
    println!("{{\"port\":{port},\"pid\":{}}}", std::process::id());
    for worker in workers {
        worker.join().expect("the worker does not panic")?;
    }
    Ok(())
}
