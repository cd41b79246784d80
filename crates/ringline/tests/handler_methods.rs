//! What a handler method does without a connection at hand, by token, one test each. Sends of several parts, chains, UDP, files and devices
//! are in the files of these.

mod harness;

use std::future::Future;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use harness::{PATIENCE, Running, config, eventually, read_all, read_exactly};
use ringline::{AsyncEventHandler, ConnCtx, ConnToken, DriverCtx, Error, ParseResult};

type Use = Box<dyn FnOnce(&mut DriverCtx<'_>) + Send>;

/// What the next notification runs. The tests take turns with it.
static USE: Mutex<Option<Use>> = Mutex::new(None);
/// The connections that were accepted or made, oldest first.
static CONNS: Mutex<Vec<ConnToken>> = Mutex::new(Vec::new());
static TURN: Mutex<()> = Mutex::new(());

/// Greets, then echoes.
struct Greeter;

impl AsyncEventHandler for Greeter {
    fn create_for_worker(_: usize) -> Self {
        CONNS.lock().unwrap().clear();
        Greeter
    }

    fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        CONNS.lock().unwrap().push(conn.token());
        async move {
            conn.send_nowait(if conn.is_outbound() { b"out" } else { b"in." }).unwrap();
            // A receive that was cancelled answers 0 as the end does: at the end the next one does so, too.
            let mut ends = 0;
            while ends < 2 {
                let read = conn.with_data(|data| {
                    conn.send_nowait(data).unwrap();
                    ParseResult::Consumed(data.len())
                });
                ends = if read.await == 0 { ends + 1 } else { 0 };
            }
        }
    }

    fn on_notify(&mut self, ctx: &mut DriverCtx<'_>) {
        if let Some(run) = USE.lock().unwrap().take() {
            run(ctx);
        }
    }
}

/// A running server whose notifications a test uses.
struct Notified {
    server: Running,
    _turn: MutexGuard<'static, ()>,
}

impl Notified {
    fn start() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self { server: Running::server::<Greeter>(config()), _turn: turn }
    }

    /// A client that was greeted, and its connection's token.
    fn client(&self) -> (std::net::TcpStream, ConnToken) {
        let mut stream = self.server.connect();
        assert_eq!(read_exactly(&mut stream, 3), b"in.");
        (stream, *CONNS.lock().unwrap().last().unwrap())
    }

    /// Runs something in `on_notify`, and answers what it answers.
    fn run<T: Send + 'static>(&self, run: impl FnOnce(&mut DriverCtx<'_>) -> T + Send + 'static) -> T {
        let (sender, receiver) = mpsc::channel();
        *USE.lock().unwrap() = Some(Box::new(move |ctx| sender.send(run(ctx)).unwrap()));
        self.server.handle().notify();
        receiver.recv_timeout(PATIENCE).unwrap()
    }
}

/// Somebody to connect to.
fn peer() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn send_queues_bytes() {
    let notified = Notified::start();
    let (mut stream, conn) = notified.client();
    notified.run(move |ctx| ctx.send(conn, b"news")).unwrap();
    assert_eq!(read_exactly(&mut stream, 4), b"news");
}

#[test]
fn close_sends_what_is_queued_and_then_fin() {
    let notified = Notified::start();
    let (mut stream, conn) = notified.client();
    let late = notified.run(move |ctx| {
        ctx.send(conn, b"bye").unwrap();
        ctx.close(conn);
        ctx.close(conn);
        ctx.send(conn, b"late")
    });
    assert!(matches!(late, Err(Error::InvalidConnection)));
    assert_eq!(read_all(&mut stream), b"bye");
}

#[test]
fn shutdown_write_sends_fin_and_receiving_goes_on() {
    let notified = Notified::start();
    let (mut stream, conn) = notified.client();
    notified.run(move |ctx| {
        ctx.send(conn, b"last").unwrap();
        ctx.shutdown_write(conn);
    });
    assert_eq!(read_all(&mut stream), b"last");
    assert!(notified.run(move |ctx| ctx.peer_addr(conn)).is_some(), "the connection stands");
}

#[test]
fn cancel_ends_a_pending_receive_and_the_connection_goes_on() {
    let notified = Notified::start();
    let (mut stream, conn) = notified.client();
    notified.run(move |ctx| ctx.cancel(conn));
    stream.write_all(b"still here").unwrap();
    assert_eq!(read_exactly(&mut stream, 10), b"still here");
}

#[test]
fn cancel_ends_a_connect_that_does_not_stand() {
    let notified = Notified::start();
    let (silent, address) = peer();
    // SAFETY: listen takes no pointers.
    assert_eq!(unsafe { libc::listen(silent.as_raw_fd(), 0) }, 0);
    let _fills_the_backlog = std::net::TcpStream::connect(address).unwrap();
    let made = notified.run(move |ctx| ctx.connect(address)).unwrap();
    assert_eq!(notified.run(|ctx| ctx.usage().connections), 1);
    notified.run(move |ctx| ctx.cancel(made));
    eventually("the slot is free", || notified.run(|ctx| ctx.usage().connections) == 0);
    assert!(!notified.run(move |ctx| ctx.is_outbound(made)));
}

#[test]
fn peer_addr_and_is_outbound_know_both_kinds_of_connections() {
    let notified = Notified::start();
    let (stream, conn) = notified.client();
    let told = notified.run(move |ctx| (ctx.peer_addr(conn), ctx.is_outbound(conn)));
    assert_eq!(told, (Some(stream.local_addr().unwrap()), false));
    let (listener, address) = peer();
    let made = notified.run(move |ctx| ctx.connect(address)).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    assert_eq!(read_exactly(&mut accepted, 3), b"out");
    let told = notified.run(move |ctx| (ctx.peer_addr(made), ctx.is_outbound(made)));
    assert_eq!(told, (Some(address), true));
}

#[test]
fn connect_and_connect_with_timeout_make_connections_with_tasks() {
    let notified = Notified::start();
    let (listener, address) = peer();
    let made = notified.run(move |ctx| [ctx.connect(address), ctx.connect_with_timeout(address, 10_000)]);
    for made in made {
        made.unwrap();
        assert_eq!(read_exactly(&mut listener.accept().unwrap().0, 3), b"out");
    }
    // What cannot be made leaves a stale token and nothing else.
    let refused = notified.run(|ctx| ctx.connect("127.0.0.1:1".parse().unwrap())).unwrap();
    eventually("the token is stale", || !notified.run(move |ctx| ctx.is_outbound(refused)));
}

#[test]
fn metrics_count_enters_completions_and_doorbells_per_request() {
    const REQUESTS: u64 = 100;
    let notified = Notified::start();
    let (mut peer, _) = notified.client();
    let before = notified.run(|ctx| ctx.metrics());
    for _ in 0..REQUESTS {
        peer.write_all(b"request").unwrap();
        assert_eq!(read_exactly(&mut peer, 7), b"request");
    }
    let after = notified.run(|ctx| ctx.metrics());
    assert_eq!((after.chunks - before.chunks, after.bytes_received - before.bytes_received), (REQUESTS, 7 * REQUESTS));
    assert_eq!((after.sends - before.sends, after.bytes_sent - before.bytes_sent), (REQUESTS, 7 * REQUESTS));
    // One enter per request, and what the second notification took.
    let enters = after.enters - before.enters;
    assert!((REQUESTS..REQUESTS + REQUESTS / 10).contains(&enters), "{enters} enters");
    let completions = after.completions - before.completions;
    assert!((REQUESTS..REQUESTS + REQUESTS / 10).contains(&completions), "{completions} completions");
    assert_eq!(after.doorbells - before.doorbells, 1, "only the second notification rang");
}

#[test]
fn usage_counts_what_is_in_use() {
    let notified = Notified::start();
    let (_stream, _) = notified.client();
    let usage = notified.run(|ctx| ctx.usage());
    assert_eq!((usage.connections, usage.timers, usage.guards), (1, 0, 0));
}

#[test]
fn request_shutdown_ends_the_runtime() {
    let Notified { server, _turn } = Notified::start();
    *USE.lock().unwrap() = Some(Box::new(|ctx| ctx.request_shutdown()));
    server.handle().notify();
    server.join();
}

#[test]
fn a_stale_token_is_refused_by_everything_and_touches_nobody() {
    let notified = Notified::start();
    let (stream, stale) = notified.client();
    drop(stream);
    eventually("the slot is free", || notified.run(|ctx| ctx.usage().connections) == 0);
    let (mut stream, conn) = notified.client();
    let refused = notified.run(move |ctx| {
        ctx.close(stale);
        ctx.shutdown_write(stale);
        ctx.cancel(stale);
        assert!(ctx.peer_addr(stale).is_none() && !ctx.is_outbound(stale));
        [
            ctx.send(stale, b"never"),
            ctx.send_parts(stale).copy(b"never").submit(),
            ctx.send_chain(stale, |chain| chain.copy(b"never").copy(b"ever")),
            ctx.send(conn, b"alive"),
        ]
    });
    assert!(refused[..3].iter().all(|refused| matches!(refused, Err(Error::InvalidConnection))), "{refused:?}");
    assert_eq!(read_exactly(&mut stream, 5), b"alive");
}
