//! The echo server on ringline's Rust API: one worker, sends into the copy pool without waiting. With `--wait-for-sends` it
//! takes the next piece of a connection only when the last one is out. With `--proxy PORT` it is a proxy instead: every
//! connection is piped to that port of this machine, and back.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::OnceLock;

use ringline::{AsyncEventHandler, ConfigBuilder, ConnCtx, Error, ParseResult, RinglineBuilder, connect, join};

/// Most bytes that are sent back at a time when sends are waited for.
const PIECE_BYTES_MAX: usize = 16 * 1024;

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

struct WaitingEcho;

impl AsyncEventHandler for WaitingEcho {
    fn create_for_worker(_worker: usize) -> Self {
        WaitingEcho
    }

    fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        serve_waiting(conn)
    }
}

/// Takes more only when the last piece is out, which slows down a client that does not read.
async fn serve_waiting(conn: ConnCtx) {
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

/// Where the proxy's connections go.
static UPSTREAM: OnceLock<SocketAddr> = OnceLock::new();

struct Proxy;

impl AsyncEventHandler for Proxy {
    fn create_for_worker(_worker: usize) -> Self {
        Proxy
    }

    fn on_accept(&self, client: ConnCtx) -> impl Future<Output = ()> + 'static {
        let upstream = *UPSTREAM.get().expect("set before the launch");
        async move {
            if let Ok(server) = connect(upstream).await {
                // How a pipe ends is of no interest to a benchmark: both connections are closed in any case.
                let _ = join(client.pipe(server), server.pipe(client)).await;
                server.close();
            }
        }
    }
}

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--proxy").skip(1);
    if let Some(port) = arguments.next().and_then(|port| port.parse().ok()) {
        UPSTREAM.get_or_init(|| SocketAddr::from(([127, 0, 0, 1], port)));
        return run::<Proxy>();
    }
    if std::env::args().any(|argument| argument == "--wait-for-sends") { run::<WaitingEcho>() } else { run::<Echo>() }
}

fn run<H: AsyncEventHandler>() -> Result<(), Error> {
    let config = ConfigBuilder::new().workers(1).pin_to_core(false).build()?;
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let (server, workers) = RinglineBuilder::new(config).bind(address).launch::<H>()?;
    let port = server.bound_addr().map_or(0, |bound| bound.port());
    println!("{{\"port\":{port},\"pid\":{}}}", std::process::id());
    for worker in workers {
        worker.join().expect("the worker does not panic")?;
    }
    Ok(())
}
