//! Several workers: balance, listeners of their own, cores, and handles that other threads hold.
//!
//! These tests look at the threads of the process, so they take turns.

mod harness;

use std::future::Future;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use harness::{Running, client, config, echo, eventually, read_all, read_exactly, receive, worker_threads};
use ringline::{AsyncEventHandler, Config, ConnCtx, DriverCtx, RinglineBuilder, request_shutdown, spawn};

static TURN: Mutex<()> = Mutex::new(());

fn take_turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

static SERVED: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];
static NOTIFIED: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];

/// An echo server that counts what each worker does.
struct Count(usize);

impl AsyncEventHandler for Count {
    fn create_for_worker(worker: usize) -> Self {
        SERVED[worker].store(0, Ordering::Release);
        NOTIFIED[worker].store(0, Ordering::Release);
        Count(worker)
    }

    fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        SERVED[self.0].fetch_add(1, Ordering::AcqRel);
        echo(conn)
    }

    fn on_notify(&mut self, _: &mut DriverCtx<'_>) {
        NOTIFIED[self.0].fetch_add(1, Ordering::AcqRel);
    }
}

fn served() -> [usize; 4] {
    SERVED.each_ref().map(|served| served.load(Ordering::Acquire))
}

#[test]
fn a_thousand_connections_are_spread_evenly_over_four_workers() {
    let _turn = take_turn();
    let server = Running::server::<Count>(config().workers(4).max_connections(500));
    let mut clients: Vec<_> = (0..1000).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.write_all(b"ping").unwrap();
    }
    for client in &mut clients {
        assert_eq!(read_exactly(client, 4), b"ping");
    }
    assert!(served().iter().all(|count| count.abs_diff(250) <= 1), "{:?}", served());
}

#[test]
fn with_reuse_port_every_worker_listens_and_all_connections_are_served() {
    let _turn = take_turn();
    let server = Running::server::<Count>(config().workers(4).reuse_port(true));
    let port = format!("{:04X}", server.address().port());
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let listeners = table.lines().filter(|line| {
        let mut fields = line.split_whitespace().skip(1);
        // The state 0A is LISTEN.
        fields.next().is_some_and(|local| local.ends_with(&port)) && fields.nth(1) == Some("0A")
    });
    assert_eq!(listeners.count(), 4);
    let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.write_all(b"ping").unwrap();
        assert_eq!(read_exactly(client, 4), b"ping");
    }
    assert_eq!(served().iter().sum::<usize>(), 200);
    // A hash that gives all of 200 connections to one of four would be broken.
    assert!(served().iter().filter(|served| **served > 0).count() > 1, "{:?}", served());
    server.stop();
}

/// Panics a second time when somebody drops what it panicked with, which no worker survives.
struct Deadly;

impl Drop for Deadly {
    fn drop(&mut self) {
        panic!("this panic is part of the test");
    }
}

/// Says which worker it is, and takes that down with it when it is told to.
struct Mortal(usize);

impl AsyncEventHandler for Mortal {
    fn create_for_worker(worker: usize) -> Self {
        Mortal(worker)
    }

    fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        let worker = self.0;
        async move {
            while let [request] = receive(conn, 1).await[..] {
                if request == b'!' {
                    std::panic::panic_any(Deadly);
                }
                conn.send_nowait(&[worker as u8]).unwrap();
            }
        }
    }
}

#[test]
fn when_the_worker_that_accepts_dies_the_next_one_takes_its_listener_over() {
    let _turn = take_turn();
    let address = "127.0.0.1:0".parse().unwrap();
    let builder = RinglineBuilder::new(config().workers(3).build().unwrap()).bind(address);
    let (handle, mut workers) = builder.launch::<Mortal>().unwrap();
    let address = handle.bound_addr().unwrap();
    let ask = |stream: &mut std::net::TcpStream| {
        stream.write_all(b"?").unwrap();
        usize::from(read_exactly(stream, 1)[0])
    };
    for dying in [0, 1] {
        let mut stream = std::iter::repeat_with(|| client(address)).find_map(|mut stream| {
            let found = ask(&mut stream) == dying;
            found.then_some(stream)
        });
        stream.as_mut().unwrap().write_all(b"!").unwrap();
        eventually("the worker is dead", || {
            // The port is open all the time, whoever gets what comes.
            drop(client(address));
            workers[0].is_finished()
        });
        assert!(workers.remove(0).join().is_err());
        for _ in 0..20 {
            assert!(ask(&mut client(address)) > dying);
        }
    }
    handle.shutdown();
    workers.remove(0).join().unwrap().unwrap();
    assert_eq!(std::net::TcpStream::connect(address).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn workers_are_bound_to_the_cores_from_core_offset_on() {
    let _turn = take_turn();
    let cores = ringline_ring::available_cores();
    for offset in [cores[0], *cores.last().unwrap()] {
        let config = Config::builder().workers(1).core_offset(offset).build().unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let server = Running::launch::<Count>(RinglineBuilder::new(config).bind(address));
        let [thread] = worker_threads()[..] else { panic!("one worker runs") };
        let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/status")).unwrap();
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
        assert_eq!(allowed.trim(), offset.to_string());
        server.stop();
    }
}

#[test]
fn other_threads_notify_every_worker_and_shut_all_down() {
    let _turn = take_turn();
    let server = Running::server::<Count>(config().workers(4));
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.write_all(b"ping").unwrap();
        assert_eq!(read_exactly(client, 4), b"ping");
    }
    let handle = server.handle().clone();
    std::thread::spawn(move || handle.notify()).join().unwrap();
    eventually("every worker is notified", || NOTIFIED.iter().all(|notified| notified.load(Ordering::Acquire) == 1));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let handle = server.handle().clone();
            std::thread::spawn(move || handle.shutdown())
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    clients.iter_mut().for_each(|client| assert_eq!(read_all(client), b""));
    server.join();
    assert_eq!(worker_threads(), [0; 0]);
}

#[test]
fn any_task_and_any_handler_method_can_shut_the_runtime_down() {
    handler!(FromConnection, conn => async move { conn.request_shutdown() });
    handler!(FromSpawned, _conn => async move {
        spawn(async { request_shutdown().unwrap() }).unwrap();
        std::future::pending::<()>().await;
    });
    struct FromNotify;
    impl AsyncEventHandler for FromNotify {
        fn create_for_worker(_: usize) -> Self {
            FromNotify
        }
        fn on_accept(&self, _: ConnCtx) -> impl Future<Output = ()> + 'static {
            std::future::pending()
        }
        fn on_notify(&mut self, ctx: &mut DriverCtx<'_>) {
            ctx.request_shutdown();
        }
    }
    let _turn = take_turn();
    let config = || config().workers(2);
    for server in [Running::server::<FromConnection>(config()), Running::server::<FromSpawned>(config())] {
        let mut client = server.connect();
        assert_eq!(read_all(&mut client), b"");
        drop(client);
        server.join();
    }
    let server = Running::server::<FromNotify>(config());
    server.handle().notify();
    server.join();
    assert_eq!(worker_threads(), [0; 0]);
}
