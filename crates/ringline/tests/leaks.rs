//! Futures that are dropped at any moment: whatever was in use is free again, and no received byte is lost.
//!
//! One test, because it counts the descriptors of the process.

mod harness;

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;

use harness::{Running, config, echo, on_worker, open_descriptors, pattern, receive, yield_now};
use ringline::{
    ConnCtx, Deadline, Either, Either3, Error, GuardBox, ParseResult, WorkerUsage, connect, connect_with_timeout, join,
    join3, select, select3, sleep, sleep_until, spawn, timeout, timeout_at, try_sleep, try_sleep_until, try_timeout,
    try_timeout_at, worker_usage,
};

static SERVER: OnceLock<SocketAddr> = OnceLock::new();
/// Nobody answers there: its backlog is full.
static SILENT: OnceLock<SocketAddr> = OnceLock::new();

type AnyFuture = Pin<Box<dyn Future<Output = ()>>>;

/// One future of each kind, on a connection whose peer sends back what it gets.
fn futures(conn: ConnCtx, round: u64) -> Vec<AnyFuture> {
    let (server, silent) = (*SERVER.get().unwrap(), *SILENT.get().unwrap());
    let bytes = pattern(20_000, round);
    let short = Duration::from_micros(round % 7 * 100);
    let close = |connected: Result<ConnCtx, Error>| connected.into_iter().for_each(|conn| conn.close());
    let (sent, parts, chain) = (
        conn.send(&bytes),
        conn.send_parts().build_await(|parts| parts.copy(b"head").guard(GuardBox::new(bytes.clone()))),
        conn.send_chain(|links| links.copy(&bytes).guard(GuardBox::new(bytes.clone())).copy(b"tail")),
    );
    vec![
        Box::pin(async move { drop(sent.await) }),
        Box::pin(async move { drop(parts.await) }),
        Box::pin(async move { drop(chain.await) }),
        Box::pin(async move { close(connect(server).await) }),
        Box::pin(async move { close(connect_with_timeout(silent, 1 + round % 3).await) }),
        Box::pin(async move { timeout(short, connect(silent)).await.into_iter().for_each(close) }),
        Box::pin(async move {
            conn.with_data(|_| ParseResult::NeedMore).await;
        }),
        Box::pin(async move {
            conn.with_bytes(|_| ParseResult::NeedMore).await;
        }),
        Box::pin(conn.recv_ready()),
        Box::pin(sleep(short)),
        Box::pin(sleep_until(Deadline::after(short))),
        Box::pin(try_sleep(short).unwrap()),
        Box::pin(try_sleep_until(Deadline::after(short)).unwrap()),
        Box::pin(async move { timeout_at(Deadline::after(short), connect(server)).await.into_iter().for_each(close) }),
        Box::pin(async move { try_timeout(short, conn.connect(silent)).unwrap().await.into_iter().for_each(close) }),
        Box::pin(async move {
            let attempt = conn.connect_with_timeout(silent, 1);
            try_timeout_at(Deadline::after(short), attempt).unwrap().await.into_iter().for_each(close);
        }),
        Box::pin(async move {
            if let Either::Right(connected) = select(sleep(short), connect(server)).await {
                close(connected);
            }
        }),
        Box::pin(async move {
            if let Either3::First(connected) = select3(connect(silent), sleep(short), conn.recv_ready()).await {
                close(connected);
            }
        }),
        Box::pin(async move {
            let ((), elapsed) = join(sleep(short), timeout(short, std::future::pending::<()>())).await;
            assert!(elapsed.is_err());
        }),
        Box::pin(async move {
            join3(yield_now(), sleep(short), yield_now()).await;
        }),
        Box::pin(async move {
            // A task of its own, which ends with the future that started it.
            struct Cancel(ringline::TaskId);
            impl Drop for Cancel {
                fn drop(&mut self) {
                    self.0.cancel();
                }
            }
            let endless = async move {
                join(sleep(short), std::future::pending::<()>()).await;
            };
            let task = Cancel(spawn(endless).unwrap());
            sleep(short).await;
            drop(task);
        }),
    ]
}

/// Polls a future a few times, with a turn of the worker in between, and drops it.
async fn poll_and_drop(mut future: AnyFuture, polls: u64) {
    for _ in 0..polls {
        if poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await {
            return;
        }
        yield_now().await;
    }
}

/// What is in use once everything that was begun has come to its end.
async fn settled(expected: Option<WorkerUsage>) -> WorkerUsage {
    let deadline = Deadline::after(harness::PATIENCE);
    loop {
        let usage = worker_usage().unwrap();
        let idle = usage.send_slots == 0 && usage.guards == 0 && usage.zero_copy_sends == 0;
        if idle && expected.is_none_or(|expected| expected == usage) {
            return usage;
        }
        assert!(!deadline.has_passed(), "{usage:?} is in use, and was not before: {expected:?}");
        yield_now().await;
    }
}

#[test]
fn b15_futures_that_are_dropped_at_any_moment_leave_nothing_behind() {
    handler!(Echo, conn => echo(conn));
    let server = Running::server::<Echo>(config());
    SERVER.set(server.address()).unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY: listen takes no pointers.
    assert_eq!(unsafe { libc::listen(std::os::fd::AsRawFd::as_raw_fd(&silent), 0) }, 0);
    let _fills_the_backlog = std::net::TcpStream::connect(silent.local_addr().unwrap()).unwrap();
    SILENT.set(silent.local_addr().unwrap()).unwrap();
    on_worker(config().send_zc_threshold(0), || async {
        let conn = connect(*SERVER.get().unwrap()).await.unwrap();
        // With its answer the server has accepted the connection, and so has all descriptors that it needs.
        conn.send(b"ready").await.unwrap();
        assert_eq!(receive(conn, 5).await, b"ready");
        let before = settled(None).await;
        let descriptors = open_descriptors();
        for round in 0..300 {
            for (kind, future) in futures(conn, round).into_iter().enumerate() {
                poll_and_drop(future, (round + kind as u64) % 4).await;
            }
            // Everything that was sent comes back, in order, whoever waited for it.
            let bytes = pattern(20_000, round);
            let expected = [&bytes[..], b"head", &bytes, &bytes, &bytes, b"tail"].concat();
            assert!(receive(conn, expected.len()).await == expected, "round {round}");
        }
        assert_eq!(settled(Some(before)).await, before);
        let deadline = Deadline::after(harness::PATIENCE);
        while open_descriptors() != descriptors {
            // The server closes its ends of the connections that were given up a little later.
            assert!(!deadline.has_passed(), "{} descriptors, {descriptors} before", open_descriptors());
            yield_now().await;
        }
    });
}
