//! A TCP proxy that copies nothing. `cargo run --release --example proxy -- 127.0.0.1:8080 127.0.0.1:80`

use std::future::Future;
use std::net::SocketAddr;
use std::sync::OnceLock;

use bytes::Bytes;
use ringline::{
    AsyncEventHandler, Config, ConnCtx, Error, GuardBox, ParseResult, RinglineBuilder, connect_with_timeout, join,
};

const CONNECT_TIMEOUT_MS: u64 = 5000;

/// Where connections are passed on to.
pub(crate) static UPSTREAM: OnceLock<SocketAddr> = OnceLock::new();

pub(crate) struct Proxy;

impl AsyncEventHandler for Proxy {
    fn create_for_worker(_worker: usize) -> Self {
        Proxy
    }

    fn on_accept(&self, client: ConnCtx) -> impl Future<Output = ()> + 'static {
        let upstream = *UPSTREAM.get().expect("set before the launch");
        async move {
            match connect_with_timeout(upstream, CONNECT_TIMEOUT_MS).await {
                Ok(server) => {
                    join(pass_on(client, server), pass_on(server, client)).await;
                    // The client's connection is closed with its task; this one belongs to no task.
                    server.close();
                }
                Err(error) => eprintln!("no connection to {upstream}: {error}"),
            }
        }
    }
}

/// Passes on what one side sends, and in the end that it has finished. Waiting for each piece to be sent is what slows a
/// sender down to the pace of its receiver.
async fn pass_on(from: ConnCtx, to: ConnCtx) {
    loop {
        let mut piece = Bytes::new();
        let take = |bytes: Bytes| {
            piece = bytes;
            ParseResult::Consumed(piece.len())
        };
        if from.with_bytes(take).await == 0 {
            return to.shutdown_write();
        }
        if to.send_parts().guard(GuardBox::new(piece)).submit_await().await.is_err() {
            return from.close();
        }
    }
}

/// Each connection has two pieces on their way at most, and those that the peers have not acknowledged.
pub(crate) fn config() -> Result<Config, Error> {
    Config::builder().send_slab_slots(100_000).build()
}

fn main() -> Result<(), Error> {
    let mut addresses = std::env::args().skip(1).map(|argument| argument.parse::<SocketAddr>());
    let (Some(Ok(listen)), Some(Ok(upstream))) = (addresses.next(), addresses.next()) else {
        eprintln!("usage: proxy LISTEN UPSTREAM, each an address and a port such as 127.0.0.1:8080");
        std::process::exit(2);
    };
    UPSTREAM.get_or_init(|| upstream);
    let (_proxy, workers) = RinglineBuilder::new(config()?).bind(listen).launch::<Proxy>()?;
    workers.into_iter().try_for_each(|worker| worker.join().expect("the worker does not panic"))
}
