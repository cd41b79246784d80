//! A TCP proxy that copies nothing. `cargo run --release --example proxy -- 127.0.0.1:8080 127.0.0.1:80`

use std::future::Future;
use std::net::SocketAddr;
use std::sync::OnceLock;

use ringline::{AsyncEventHandler, Config, ConnCtx, Error, RinglineBuilder, connect_with_timeout, join};

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
                    // The bytes pass within the worker, half-closes included, no faster than the receiver reads.
                    let (there, back) = join(client.pipe(server), server.pipe(client)).await;
                    there.and(back).map_or_else(|error| eprintln!("a connection broke: {error}"), drop);
                    // The client's connection is closed with its task; this one belongs to no task.
                    server.close();
                }
                Err(error) => eprintln!("no connection to {upstream}: {error}"),
            }
        }
    }
}

fn main() -> Result<(), Error> {
    let mut addresses = std::env::args().skip(1).map(|argument| argument.parse::<SocketAddr>());
    let (Some(Ok(listen)), Some(Ok(upstream))) = (addresses.next(), addresses.next()) else {
        eprintln!("usage: proxy LISTEN UPSTREAM, each an address and a port such as 127.0.0.1:8080");
        std::process::exit(2);
    };
    UPSTREAM.get_or_init(|| upstream);
    let (_proxy, workers) = RinglineBuilder::new(Config::default()).bind(listen).launch::<Proxy>()?;
    workers.into_iter().try_for_each(|worker| worker.join().expect("the worker does not panic"))
}
