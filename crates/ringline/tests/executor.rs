//! Tasks and wakers, panics, connects that nobody waits for, ticks and notifications (scenarios E).

mod harness;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};

use futures_util::future::{Either, join, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use harness::{Running, config, echo, eventually, pattern, read_all, read_exactly, receive, yield_now};
use ringline::{
    AsyncEventHandler, ConnCtx, DriverCtx, Error, ParseResult, TaskId, connect, connect_with_timeout, spawn,
};

#[test]
fn e1_a_task_that_wakes_itself_while_it_is_polled_goes_on() {
    handler!(Busy, conn => async move {
        let mut left = 1000;
        let spin = poll_fn(move |cx| {
            left -= 1;
            if left == 0 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        let (request, ()) = join(receive(conn, 4), spin).await;
        let (sent, ()) = join(conn.send(&request), yield_now()).await;
        assert_eq!(sent.unwrap(), 4);
    });
    let server = Running::server::<Busy>(config());
    let mut stream = server.connect();
    stream.write_all(b"ping").unwrap();
    assert_eq!(read_all(&mut stream), b"ping");
}

#[test]
fn e2_a_waker_wakes_its_task_from_any_thread() {
    type Parked = (Waker, Arc<AtomicBool>);
    static WAKERS: Mutex<Option<mpsc::Sender<Parked>>> = Mutex::new(None);
    handler!(Far, conn => async move {
        for _ in 0..200 {
            let done = Arc::new(AtomicBool::new(false));
            let mut sent = false;
            poll_fn(|cx| {
                if done.load(Ordering::Acquire) {
                    return Poll::Ready(());
                }
                if !std::mem::replace(&mut sent, true) {
                    let wakers = WAKERS.lock().unwrap();
                    wakers.as_ref().unwrap().send((cx.waker().clone(), Arc::clone(&done))).unwrap();
                }
                Poll::Pending
            })
            .await;
        }
        conn.send(b"woken").await.unwrap();
    });
    let (sender, receiver) = mpsc::channel::<Parked>();
    *WAKERS.lock().unwrap() = Some(sender);
    let waking = std::thread::spawn(move || {
        for (waker, done) in receiver {
            done.store(true, Ordering::Release);
            waker.wake();
        }
    });
    let server = Running::server::<Far>(config());
    assert_eq!(read_all(&mut server.connect()), b"woken");
    server.stop();
    *WAKERS.lock().unwrap() = None;
    waking.join().unwrap();
}

#[test]
fn e2_a_waker_that_outlives_its_worker_wakes_nobody() {
    static KEPT: Mutex<Option<Waker>> = Mutex::new(None);
    handler!(Keep, _conn => async move {
        poll_fn(|cx| { *KEPT.lock().unwrap() = Some(cx.waker().clone()); Poll::Ready(()) }).await;
    });
    let server = Running::server::<Keep>(config());
    assert_eq!(read_all(&mut server.connect()), b"");
    server.stop();
    let waker = KEPT.lock().unwrap().take().unwrap();
    waker.wake_by_ref();
    waker.wake();
}

#[test]
fn e3_a_connection_that_is_handed_to_another_task_wakes_that_task() {
    type Queue = Rc<RefCell<(VecDeque<ConnCtx>, Option<Waker>)>>;
    struct HandOver(Queue);
    impl AsyncEventHandler for HandOver {
        fn create_for_worker(_worker: usize) -> Self {
            HandOver(Queue::default())
        }
        fn on_start(&self) -> Option<std::pin::Pin<Box<dyn Future<Output = ()> + 'static>>> {
            let queue = Rc::clone(&self.0);
            Some(Box::pin(async move {
                loop {
                    let conn = poll_fn(|cx| {
                        let mut queue = queue.borrow_mut();
                        queue.1 = Some(cx.waker().clone());
                        queue.0.pop_front().map_or(Poll::Pending, Poll::Ready)
                    })
                    .await;
                    spawn(async move {
                        echo(conn).await;
                        conn.close();
                    })
                    .unwrap();
                }
            }))
        }
        fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
            let queue = Rc::clone(&self.0);
            async move {
                // This task reads first, gives up, and hands the connection on.
                let mut read = Box::pin(conn.with_data(|_| ParseResult::NeedMore));
                poll_fn(|cx| {
                    let _ = read.as_mut().poll(cx);
                    Poll::Ready(())
                })
                .await;
                drop(read);
                let waker = {
                    let mut queue = queue.borrow_mut();
                    queue.0.push_back(conn);
                    queue.1.take()
                };
                waker.into_iter().for_each(Waker::wake);
                std::future::pending().await
            }
        }
    }
    let server = Running::server::<HandOver>(config());
    for seed in 0..10 {
        let mut stream = server.connect();
        stream.write_all(&pattern(10_000, seed)).unwrap();
        assert_eq!(read_exactly(&mut stream, 10_000), pattern(10_000, seed));
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut stream), b"");
    }
}

#[test]
fn e4_a_panic_closes_that_connection_alone() {
    async fn serve(conn: ConnCtx) {
        match receive(conn, 1).await[..] {
            [b'p'] => panic!("this panic is part of the test"),
            [b'c'] => {
                conn.with_data(|data| ParseResult::Consumed(data.len() + 1)).await;
            }
            [b's'] => {
                spawn(async { panic!("this panic is part of the test") }).unwrap();
                yield_now().await;
                conn.send_nowait(b"going on").unwrap();
            }
            _ => echo(conn).await,
        }
    }
    struct Panics;
    impl AsyncEventHandler for Panics {
        fn create_for_worker(_worker: usize) -> Self {
            Panics
        }
        fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
            serve(conn)
        }
        fn on_tick(&mut self, _ctx: &mut DriverCtx<'_>) {
            static TICKS: AtomicUsize = AtomicUsize::new(0);
            assert_ne!(TICKS.fetch_add(1, Ordering::Relaxed), 5, "this panic is part of the test");
        }
        fn on_notify(&mut self, _ctx: &mut DriverCtx<'_>) {
            panic!("this panic is part of the test");
        }
    }
    let server = Running::server::<Panics>(config());
    let mut other = server.connect();
    other.write_all(b"e").unwrap();
    for (first, answer) in [(b"px", &b""[..]), (b"cx", b""), (b"sx", b"going on")] {
        let mut stream = server.connect();
        stream.write_all(first).unwrap();
        let mut read = Vec::new();
        match stream.read_to_end(&mut read) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        assert_eq!(read, answer);
        server.handle().notify();
        other.write_all(b"alive").unwrap();
        assert_eq!(read_exactly(&mut other, 5), b"alive");
    }
}

static PEER: Mutex<Option<SocketAddr>> = Mutex::new(None);
/// Tests that use `PEER` take turns.
static PEER_TURN: Mutex<()> = Mutex::new(());

fn peer() -> SocketAddr {
    PEER.lock().unwrap().unwrap()
}

fn with_peer(test: impl FnOnce(TcpListener)) {
    let _turn = PEER_TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    *PEER.lock().unwrap() = Some(listener.local_addr().unwrap());
    test(listener);
}

#[test]
fn e7_connects_that_lose_a_race_leave_no_connection_and_no_slot() {
    static ROUNDS: AtomicUsize = AtomicUsize::new(0);
    client_handler!(Race, async {
        for round in 0..60 {
            let attempt = connect(peer());
            let mut turns = round % 4;
            let rival = Box::pin(async move {
                while turns > 0 {
                    yield_now().await;
                    turns -= 1;
                }
            });
            // With few slots, a leaked one soon shows.
            match select(rival, attempt).await {
                Either::Left(((), attempt)) => drop(attempt),
                Either::Right((conn, _)) => match conn {
                    Ok(conn) => conn.close(),
                    Err(Error::ConnectionLimitReached { limit: 4 }) => yield_now().await,
                    Err(error) => panic!("{error}"),
                },
            }
            ROUNDS.fetch_add(1, Ordering::Release);
        }
        // Every slot comes back.
        let mut conns = Vec::new();
        while conns.len() < 4 {
            match connect(peer()).await {
                Ok(conn) => conns.push(conn),
                Err(Error::ConnectionLimitReached { .. }) => yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
        conns.iter().for_each(|conn| conn.send_nowait(b"!").unwrap());
        ROUNDS.fetch_add(1, Ordering::Release);
        std::future::pending::<()>().await;
    });
    with_peer(|listener| {
        let _client = Running::client::<Race>(config().max_connections(4));
        let mut standing = 0;
        while standing < 4 {
            // A connection that nobody wanted ends; only the last four speak.
            let mut stream = listener.accept().unwrap().0;
            stream.set_read_timeout(Some(harness::PATIENCE)).unwrap();
            match stream.read(&mut [0]) {
                Ok(1) => standing += 1,
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            }
        }
        assert_eq!(ROUNDS.load(Ordering::Acquire), 61);
    });
}

#[test]
fn e8_two_senders_that_are_blocked_finish_in_their_order() {
    static FINISHED: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    handler!(Both, conn => async move {
        for name in [1, 2] {
            spawn(async move {
                assert_eq!(conn.send(&vec![name; 6 << 20]).await.unwrap(), 6 << 20);
                FINISHED.lock().unwrap().push(name);
                if name == 2 {
                    conn.close();
                }
            })
            .unwrap();
        }
        std::future::pending().await
    });
    let server = Running::server::<Both>(config());
    let all = read_all(&mut server.connect());
    assert!(all == [vec![1; 6 << 20], vec![2; 6 << 20]].concat());
    assert_eq!(*FINISHED.lock().unwrap(), [1, 2]);
}

#[test]
fn a12_a_stale_task_id_cancels_nothing() {
    static OUTCOME: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    struct Note(&'static str);
    impl Drop for Note {
        fn drop(&mut self) {
            OUTCOME.lock().unwrap().push(self.0);
        }
    }
    handler!(Stale, conn => async move {
        let waits = |name| {
            let note = Note(name);
            async move {
                let _note = note;
                std::future::pending::<()>().await;
            }
        };
        let first = spawn(waits("first dropped")).unwrap();
        yield_now().await;
        first.cancel();
        let second = spawn(waits("second dropped")).unwrap();
        first.cancel();
        yield_now().await;
        assert_eq!(*OUTCOME.lock().unwrap(), ["first dropped"]);
        assert_ne!(first, second);
        second.cancel();
        conn.send(b"done").await.unwrap();
    });
    let server = Running::server::<Stale>(config());
    assert_eq!(read_all(&mut server.connect()), b"done");
    assert_eq!(*OUTCOME.lock().unwrap(), ["first dropped", "second dropped"]);
}

#[test]
fn a_task_that_cancels_itself_ends_at_its_next_await() {
    handler!(SelfCancel, conn => async move {
        let id: Rc<RefCell<Option<TaskId>>> = Rc::default();
        let task = {
            let id = Rc::clone(&id);
            async move {
                let own = id.borrow_mut().take().unwrap();
                own.cancel();
                conn.send_nowait(b"still running, ").unwrap();
                yield_now().await;
                conn.send_nowait(b"never").unwrap();
            }
        };
        *id.borrow_mut() = Some(spawn(task).unwrap());
        for _ in 0..5 {
            yield_now().await;
        }
        conn.send_nowait(b"ended").unwrap();
    });
    let server = Running::server::<SelfCancel>(config());
    assert_eq!(read_all(&mut server.connect()), b"still running, ended");
}

#[test]
fn futures_work_inside_combinators_with_wakers_of_their_own() {
    client_handler!(Many, async {
        let mut exchanges: FuturesUnordered<_> = (0..20)
            .map(|seed| async move {
                let conn = connect(peer()).await.unwrap();
                conn.send(&pattern(5000, seed)).await.unwrap();
                assert_eq!(receive(conn, 5000).await, pattern(5000, seed));
                conn.close();
            })
            .collect();
        while exchanges.next().await.is_some() {}
        ringline::request_shutdown().unwrap();
    });
    handler!(Echo, conn => echo(conn));
    let _turn = PEER_TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let server = Running::server::<Echo>(config());
    *PEER.lock().unwrap() = Some(server.address());
    Running::client::<Many>(config()).join();
}

/// Leaves a listener with a backlog that is full: it answers no further connects.
fn fill_backlog(listener: &std::net::TcpListener) -> Vec<std::net::TcpStream> {
    // SAFETY: listen takes no pointers; the descriptor is open.
    assert_eq!(unsafe { libc::listen(std::os::fd::AsRawFd::as_raw_fd(listener), 0) }, 0);
    let (address, limit) = (listener.local_addr().unwrap(), std::time::Duration::from_millis(50));
    (0..4).filter_map(|_| std::net::TcpStream::connect_timeout(&address, limit).ok()).collect()
}

#[test]
fn a_connect_without_a_limit_ends_with_its_worker() {
    static WAITS: AtomicUsize = AtomicUsize::new(0);
    client_handler!(Wait, async {
        let mut attempt = std::pin::pin!(connect(peer()));
        poll_fn(|cx| {
            assert!(attempt.as_mut().poll(cx).is_pending(), "nobody has answered");
            WAITS.store(1, Ordering::Release);
            Poll::<()>::Pending
        })
        .await;
    });
    with_peer(|listener| {
        let _waiting = fill_backlog(&listener);
        let client = Running::client::<Wait>(config());
        eventually("the connect waits", || WAITS.load(Ordering::Acquire) == 1);
        client.stop();
    });
}

#[test]
fn a_connect_that_takes_too_long_times_out_and_a_refused_one_says_so() {
    static OUTCOMES: Mutex<Vec<ErrorKind>> = Mutex::new(Vec::new());
    client_handler!(Fail, async {
        for attempt in [connect_with_timeout(peer(), 30), connect("127.0.0.1:1".parse().unwrap())] {
            match attempt.await {
                Err(Error::Io(error)) => OUTCOMES.lock().unwrap().push(error.kind()),
                other => panic!("{other:?}"),
            }
        }
        ringline::request_shutdown().unwrap();
    });
    with_peer(|listener| {
        let _waiting = fill_backlog(&listener);
        Running::client::<Fail>(config()).join();
    });
    assert_eq!(*OUTCOMES.lock().unwrap(), [ErrorKind::TimedOut, ErrorKind::ConnectionRefused]);
}

#[test]
fn a_polled_connect_that_is_dropped_is_given_up() {
    static STATE: AtomicUsize = AtomicUsize::new(0);
    client_handler!(GiveUp, async {
        let mut attempt = Box::pin(connect(peer()));
        let polled =
            poll_fn(|_| Poll::Ready(attempt.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()));
        assert!(!polled.await);
        drop(attempt);
        // The only slot is free again in the end.
        while let Err(Error::ConnectionLimitReached { .. }) = connect(peer()).await {
            yield_now().await;
        }
        STATE.store(1, Ordering::Release);
        std::future::pending::<()>().await;
    });
    with_peer(|_listener| {
        let _client = Running::client::<GiveUp>(config().max_connections(1));
        eventually("a second connect stands", || STATE.load(Ordering::Acquire) == 1);
    });
}

#[test]
fn ticks_come_to_a_handler_that_has_them_also_when_nothing_happens() {
    static TICKS: AtomicUsize = AtomicUsize::new(0);
    struct Tick;
    impl AsyncEventHandler for Tick {
        fn create_for_worker(_worker: usize) -> Self {
            Tick
        }
        fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
            echo(conn)
        }
        fn on_tick(&mut self, ctx: &mut DriverCtx<'_>) {
            if TICKS.fetch_add(1, Ordering::Release) == 100 {
                ctx.stop_ticks();
            }
        }
    }
    let server = Running::server::<Tick>(config());
    eventually("a hundred ticks have come", || TICKS.load(Ordering::Acquire) == 101);
    let mut stream = server.connect();
    stream.write_all(b"on").unwrap();
    assert_eq!(read_exactly(&mut stream, 2), b"on");
    assert_eq!(TICKS.load(Ordering::Acquire), 101, "no more were asked for");
}
