//! Closing connections, using slots again, and contexts that outlive their connection (scenarios A).

mod harness;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use harness::{Running, config, echo, eventually, pattern, read_all, read_exactly, receive, yield_now};
use ringline::{ConnCtx, Error, ParseResult, spawn};

#[test]
fn a1_closing_an_idle_connection_sends_fin() {
    // The connection's receive is armed when its task ends at once.
    handler!(Close, _conn => async {});
    let server = Running::server::<Close>(config());
    for _ in 0..20 {
        assert_eq!(read_all(&mut server.connect()), b"");
    }
}

#[test]
fn a1_closing_by_another_task_sends_fin_while_a_receive_waits() {
    handler!(CloseLater, conn => async move {
        spawn(async move {
            yield_now().await;
            conn.close();
        })
        .unwrap();
        assert_eq!(conn.with_data(|_| ParseResult::NeedMore).await, 0);
    });
    let server = Running::server::<CloseLater>(config());
    assert_eq!(read_all(&mut server.connect()), b"");
}

/// Connects until the server has a slot free again and sends a greeting.
fn connect_when_free(server: &Running) -> std::net::TcpStream {
    let mut connected = None;
    eventually("a slot is free", || {
        let mut stream = server.connect();
        let mut greeting = [0];
        let served = matches!(stream.read(&mut greeting), Ok(1));
        connected = served.then_some(stream);
        served
    });
    connected.unwrap()
}

#[test]
fn a5_a_stale_context_never_touches_the_next_occupant() {
    thread_local!(static FIRST: Cell<Option<ConnCtx>> = const { Cell::new(None) });
    static CHECKED: AtomicBool = AtomicBool::new(false);
    handler!(Remember, conn => async move {
        conn.send_nowait(b"!").unwrap();
        if let Some(stale) = FIRST.get() {
            conn.recv_ready().await;
            assert_eq!(stale.index(), conn.index(), "the slot is used again");
            assert_ne!(stale.token(), conn.token());
            stale.close();
            stale.shutdown_write();
            stale.cancel();
            assert_eq!(stale.try_with_data(|data| ParseResult::Consumed(data.len())), None);
            assert!(matches!(stale.send_nowait(b"x"), Err(Error::InvalidConnection)));
            assert!(matches!(stale.send(b"x").await, Err(Error::Io(_) | Error::InvalidConnection)));
            assert_eq!((stale.peer_addr(), stale.local_addr()), (None, None));
            CHECKED.store(true, Ordering::Release);
        } else {
            FIRST.set(Some(conn));
        }
        echo(conn).await;
    });
    let server = Running::server::<Remember>(config().max_connections(1));
    drop(connect_when_free(&server));
    let mut second = connect_when_free(&server);
    second.write_all(b"mine").unwrap();
    assert_eq!(read_exactly(&mut second, 4), b"mine");
    assert!(CHECKED.load(Ordering::Acquire));
}

#[test]
fn a7_a_future_of_a_past_connection_ends_without_reading_or_waking_the_next() {
    thread_local!(static FIRST: Cell<Option<ConnCtx>> = const { Cell::new(None) });
    handler!(Remember, conn => async move {
        conn.send_nowait(b"!").unwrap();
        if let Some(stale) = FIRST.get() {
            conn.recv_ready().await;
            let mut read = pin!(stale.with_data(|_| panic!("a stale context was shown bytes")));
            let polled = read.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(polled, Poll::Ready(0));
            stale.recv_ready().await;
        } else {
            FIRST.set(Some(conn));
        }
        echo(conn).await;
    });
    let server = Running::server::<Remember>(config().max_connections(1));
    drop(connect_when_free(&server));
    let mut second = connect_when_free(&server);
    second.write_all(b"mine").unwrap();
    assert_eq!(read_exactly(&mut second, 4), b"mine");
}

#[test]
fn a7_a_pending_read_dropped_after_the_slot_is_used_again_takes_nothing() {
    thread_local!(static KEPT: RefCell<Option<std::pin::Pin<Box<dyn Future<Output = usize>>>>> = const { RefCell::new(None) });
    handler!(Keep, conn => async move {
        conn.send_nowait(b"!").unwrap();
        let kept = KEPT.take();
        if kept.is_some() {
            conn.recv_ready().await;
            drop(kept);
            return echo(conn).await;
        }
        let mut read = Box::pin(conn.with_data(|_| ParseResult::NeedMore));
        std::future::poll_fn(|cx| { assert!(read.as_mut().poll(cx).is_pending()); Poll::Ready(()) }).await;
        KEPT.set(Some(read));
        conn.recv_ready().await;
    });
    let server = Running::server::<Keep>(config().max_connections(1));
    drop(connect_when_free(&server));
    let mut second = connect_when_free(&server);
    second.write_all(b"mine").unwrap();
    assert_eq!(read_exactly(&mut second, 4), b"mine");
}

#[test]
fn a11_closing_twice_frees_the_slot_once() {
    static SLOTS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    handler!(CloseTwice, conn => async move {
        conn.send_nowait(b"!").unwrap();
        if receive(conn, 1).await == b"c" {
            conn.close();
            conn.close();
            yield_now().await;
            conn.close();
        } else {
            SLOTS.lock().unwrap().push(conn.index());
            echo(conn).await;
        }
    });
    let server = Running::server::<CloseTwice>(config().max_connections(2));
    let mut first = connect_when_free(&server);
    first.write_all(b"c").unwrap();
    assert_eq!(read_all(&mut first), b"");
    drop(first);
    let mut both = [connect_when_free(&server), connect_when_free(&server)];
    for (index, stream) in both.iter_mut().enumerate() {
        let text = [b'-', b'a' + index as u8];
        stream.write_all(&text).unwrap();
        assert_eq!(read_exactly(stream, 1), text[1..]);
    }
    let mut slots = SLOTS.lock().unwrap().clone();
    slots.sort_unstable();
    assert_eq!(slots, [0, 1]);
}

#[test]
fn a15_data_that_comes_with_the_fin_is_read_before_the_end() {
    handler!(Reverse, conn => async move {
        let mut all = Vec::new();
        while conn.with_data(|data| { all.extend_from_slice(data); ParseResult::Consumed(data.len()) }).await > 0 {}
        all.reverse();
        conn.send_nowait(&all).unwrap();
    });
    let server = Running::server::<Reverse>(config());
    for len in (1..200).chain([5_000, 100_000]) {
        let mut sent = pattern(len, len as u64);
        let mut stream = server.connect();
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        sent.reverse();
        assert_eq!(read_all(&mut stream), sent);
    }
}

#[test]
fn a16_what_is_computed_after_the_peers_fin_still_arrives() {
    handler!(Answer, conn => async move {
        let mut request = Vec::new();
        while conn.with_data(|data| { request.extend_from_slice(data); ParseResult::Consumed(data.len()) }).await > 0 {}
        for _ in 0..10 {
            yield_now().await;
            conn.send(&request).await.unwrap();
        }
    });
    let server = Running::server::<Answer>(config());
    let mut stream = server.connect();
    stream.write_all(b"request ").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), b"request ".repeat(10));
}

#[test]
fn a17_a_task_that_reads_another_tasks_connection_wakes_when_it_is_torn_down() {
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    handler!(HandOver, conn => async move {
        let waiter = async move {
            assert_eq!(conn.with_data(|_| ParseResult::NeedMore).await, 0);
            ENDED.fetch_add(1, Ordering::Release);
        };
        spawn(waiter).unwrap();
        conn.send_nowait(b"!").unwrap();
        if receive(conn, 1).await == b"c" {
            conn.close();
        }
        // A reset by the peer ends the wait of both.
    });
    let server = Running::server::<HandOver>(config());
    let mut closed = server.connect();
    closed.write_all(b"c").unwrap();
    assert_eq!(read_all(&mut closed), b"!");
    eventually("the task of the closed connection has ended", || ENDED.load(Ordering::Acquire) == 1);

    let mut reset = server.connect();
    read_exactly(&mut reset, 1);
    // Without lingering, close sends a reset.
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the option's value lives across the call and its size is passed.
    let set = unsafe {
        let (value, size) = ((&raw const linger).cast(), size_of::<libc::linger>() as libc::socklen_t);
        libc::setsockopt(std::os::fd::AsRawFd::as_raw_fd(&reset), libc::SOL_SOCKET, libc::SO_LINGER, value, size)
    };
    assert_eq!(set, 0);
    drop(reset);
    eventually("the task of the reset connection has ended", || ENDED.load(Ordering::Acquire) == 2);
}
