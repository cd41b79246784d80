//! Start, limits and shutdown: what is left behind must be nothing (scenarios D).
//!
//! These tests count descriptors and threads of the process, so they take turns.

mod harness;

use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use harness::{
    PATIENCE, Running, client, config, echo, eventually, no_worker_thread_is_left, open_descriptors, pattern, read_all,
    read_exactly, receive, worker_threads,
};
use ringline::{Config, DirectIoConfig, Error, MemoryRegion, NvmeConfig, RinglineBuilder};

static TURN: Mutex<()> = Mutex::new(());

fn take_turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn local() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

handler!(Echo, conn => echo(conn));

handler!(OneByOne, conn => async move {
    while let [byte] = receive(conn, 1).await[..] {
        conn.send(&[byte]).await.unwrap();
    }
});

fn assert_echoes(stream: &mut TcpStream) {
    stream.write_all(b"ping").unwrap();
    assert_eq!(read_exactly(stream, 4), b"ping");
}

#[test]
fn d5_a_full_worker_refuses_one_connection_and_goes_on() {
    let _turn = take_turn();
    let server = Running::server::<Echo>(config().max_connections(1));
    let mut first = server.connect();
    assert_echoes(&mut first);
    let mut refused = server.connect();
    assert!(matches!(refused.read(&mut [0]), Ok(0) | Err(_)), "a second connection was served");
    assert_echoes(&mut first);
    drop((first, refused));
    eventually("the slot is free again", || {
        let mut next = server.connect();
        next.write_all(b"ping").is_ok() && matches!(next.read(&mut [0; 4]), Ok(4))
    });
}

#[test]
fn d3_when_every_worker_is_full_a_connection_is_dropped_and_accepting_goes_on() {
    let _turn = take_turn();
    let server = Running::server::<Echo>(config().workers(2).max_connections(1));
    let mut served: Vec<_> = (0..2).map(|_| server.connect()).collect();
    served.iter_mut().for_each(assert_echoes);
    for _ in 0..4 {
        let mut dropped = server.connect();
        assert!(matches!(dropped.read(&mut [0]), Ok(0) | Err(_)), "a third connection was served");
    }
    served.iter_mut().for_each(assert_echoes);
    drop(served);
    eventually("connections are served again", || {
        let mut next = server.connect();
        next.write_all(b"ping").is_ok() && matches!(next.read(&mut [0; 4]), Ok(4))
    });
}

#[test]
fn d6_a_quiet_listener_shuts_down_and_its_port_is_free_at_once() {
    let _turn = take_turn();
    let first = Running::server::<Echo>(config());
    let address = first.address();
    first.stop();
    for _ in 0..20 {
        let again = Running::launch::<Echo>(RinglineBuilder::new(config().build().unwrap()).bind(address));
        assert_eq!(again.address(), address);
        assert_echoes(&mut again.connect());
        again.stop();
        no_worker_thread_is_left();
    }
}

#[test]
fn d6_shutdown_is_idempotent_and_ends_connections_with_fin_after_their_queued_bytes() {
    let _turn = take_turn();
    handler!(Queue, conn => async move {
        conn.send_nowait(&pattern(500_000, 1)).unwrap();
        conn.with_data(|_| ringline::ParseResult::NeedMore).await;
    });
    let server = Running::server::<Queue>(config().workers(2));
    let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for client in &mut clients {
        read_exactly(client, 1);
    }
    let other = server.handle().clone();
    other.shutdown();
    other.shutdown();
    for client in &mut clients {
        assert!(read_all(client) == pattern(500_000, 1)[1..]);
    }
    drop(clients);
    server.join();
    other.shutdown();
}

#[test]
fn d7_a_worker_that_cannot_start_leaves_nothing_behind() {
    let _turn = take_turn();
    let last_core = *ringline_ring::available_cores().last().unwrap();
    let address = TcpListener::bind(local()).unwrap().local_addr().unwrap();
    let before = open_descriptors();
    // The first worker starts, the second has no core.
    let config = Config::builder().workers(2).core_offset(last_core).build().unwrap();
    let error = RinglineBuilder::new(config).bind(address).launch::<Echo>().unwrap_err();
    let core = format!("core {}", last_core + 1);
    assert!(matches!(&error, Error::PinFailed(_)) && error.to_string().contains(&core), "{error}");
    no_worker_thread_is_left();
    assert_eq!(open_descriptors(), before);
    assert_eq!(TcpStream::connect_timeout(&address, PATIENCE).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn d7_a_busy_address_is_named_and_leaves_nothing_behind() {
    let _turn = take_turn();
    let listener = TcpListener::bind(local()).unwrap();
    let address = listener.local_addr().unwrap();
    let before = open_descriptors();
    let builder = RinglineBuilder::new(config().workers(2).build().unwrap()).bind(address);
    let error = builder.launch::<Echo>().unwrap_err();
    assert!(matches!(&error, Error::Io(error) if error.kind() == ErrorKind::AddrInUse), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    no_worker_thread_is_left();
    assert_eq!(open_descriptors(), before);
}

#[test]
fn d8_cycles_of_launch_and_shutdown_leave_the_descriptors_as_they_were() {
    static WAKERS: Mutex<Vec<Waker>> = Mutex::new(Vec::new());
    // Whoever has a waker may keep it; a worker's descriptors end with the worker all the same.
    handler!(KeptWakers, conn => async move {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        WAKERS.lock().unwrap().push(waker);
        echo(conn).await;
    });
    let _turn = take_turn();
    let cycle = || {
        let server = Running::server::<KeptWakers>(config().workers(2));
        let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(assert_echoes);
        server.stop();
    };
    cycle();
    let before = open_descriptors();
    for _ in 0..6 {
        cycle();
        assert_eq!(open_descriptors(), before);
        no_worker_thread_is_left();
    }
    let wakers = std::mem::take(&mut *WAKERS.lock().unwrap());
    assert_eq!(wakers.len(), 7 * 8);
    wakers.into_iter().for_each(Waker::wake);
}

#[test]
fn d9_dropping_the_last_handle_stops_the_workers() {
    let _turn = take_turn();
    let mut server = Running::server::<Echo>(config().workers(2));
    let mut stream = server.connect();
    assert_echoes(&mut stream);
    let other = server.handle().clone();
    server.drop_handle();
    assert_echoes(&mut stream);
    drop(other);
    assert_eq!(read_all(&mut stream), b"");
    drop(stream);
    server.join();
    no_worker_thread_is_left();
}

#[test]
fn shutdown_does_not_wait_for_ever_for_a_client_that_does_not_read() {
    let _turn = take_turn();
    handler!(Flood, conn => async move {
        conn.send_nowait(&[0; 14 << 20]).unwrap();
        conn.with_data(|_| ringline::ParseResult::NeedMore).await;
    });
    let server = Running::server::<Flood>(config());
    let mut stream = server.connect();
    read_exactly(&mut stream, 1);
    server.stop();
}

#[test]
fn connections_are_spread_evenly_over_workers() {
    static SERVED: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];
    struct Count(usize);
    impl ringline::AsyncEventHandler for Count {
        fn create_for_worker(worker: usize) -> Self {
            Count(worker)
        }
        fn on_accept(&self, conn: ringline::ConnCtx) -> impl Future<Output = ()> + 'static {
            SERVED[self.0].fetch_add(1, Ordering::Release);
            echo(conn)
        }
    }
    let _turn = take_turn();
    let server = Running::server::<Count>(config().workers(3));
    let mut clients: Vec<_> = (0..30).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(assert_echoes);
    assert_eq!(SERVED.each_ref().map(|served| served.load(Ordering::Acquire)), [10; 3]);
}

#[test]
fn an_idle_worker_whose_handler_has_no_ticks_does_not_wake() {
    let _turn = take_turn();
    let server = Running::server::<Echo>(config());
    assert_echoes(&mut server.connect());
    let [thread] = worker_threads()[..] else { panic!("one worker runs") };
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    // What the closed connection still causes comes to an end.
    let mut before = switches();
    eventually("the worker sleeps", || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        std::mem::replace(&mut before, switches()) == before
    });
}

#[test]
fn d13_impossible_values_are_refused_with_field_value_and_range() {
    let refused = |config: Result<Config, Error>| match config.unwrap_err() {
        error @ Error::InvalidConfig { .. } => error.to_string(),
        other => panic!("{other:?}"),
    };
    let build = Config::builder;
    let page = MemoryRegion::allocate(1).unwrap();
    let files = |files, commands| Some(DirectIoConfig::new().max_files(files).max_commands_in_flight(commands));
    let devices = |devices, commands| Some(NvmeConfig::new().max_devices(devices).max_commands_in_flight(commands));
    for (config, field, value) in [
        (build().sq_entries(0), "sq_entries", "0"),
        (build().sq_entries(100), "sq_entries", "100"),
        (build().sq_entries(65_536), "sq_entries", "65536"),
        (build().sqpoll(true).sqpoll_idle_ms(0), "sqpoll_idle_ms", "0"),
        (build().sqpoll_cpu(Some(0)), "sqpoll_cpu", "0"),
        (build().recv_ring_size(0), "recv_buffer.ring_size", "0"),
        (build().recv_ring_size(3), "recv_buffer.ring_size", "3"),
        (build().recv_buffer_size(0), "recv_buffer.buffer_size", "0"),
        (build().backlog(0), "backlog", "0"),
        (build().workers(1025), "worker.threads", "1025"),
        (build().max_connections(0), "max_connections", "0"),
        (build().max_connections(1 << 24), "max_connections", "16777216"),
        (build().recv_accumulator_limit(0).recv_accumulator_capacity(0), "recv_accumulator_limit", "0"),
        (build().recv_accumulator_limit(100), "recv_accumulator_capacity", "4096"),
        (build().send_copy_count(0), "send_copy_count", "0"),
        (build().send_copy_slot_size(0), "send_copy_slot_size", "0"),
        (build().standalone_task_capacity(0), "standalone_task_capacity", "0"),
        (build().max_chain_length(65), "max_chain_length", "65"),
        (build().send_slab_slots(0), "send_slab_slots", "0"),
        (build().timer_slots(0), "timer_slots", "0"),
        (build().recv_buffer_size((1 << 30) + 1), "recv_buffer.buffer_size", "1073741825"),
        (build().backlog(1 << 31), "backlog", "2147483648"),
        (build().send_copy_count(u32::MAX), "send_copy_count", "4294967295"),
        (build().send_copy_slot_size((1 << 30) + 1), "send_copy_slot_size", "1073741825"),
        (build().udp_bind(vec![local(); 1025]), "udp_bind", "1025 addresses"),
        (build().registered_regions(vec![page.clone(); 16_385]), "registered_regions", "16385 regions"),
        (build().direct_io(files(0, 1)), "direct_io.max_files", "0"),
        (build().direct_io(files(65_537, 1)), "direct_io.max_files", "65537"),
        (build().direct_io(files(1, 0)), "direct_io.max_commands_in_flight", "0"),
        (build().direct_io(Some(DirectIoConfig::new().busy_poll_us(10_001))), "direct_io.busy_poll_us", "10001"),
        (build().nvme(devices(0, 1)), "nvme.max_devices", "0"),
        (build().nvme(devices(1, 65_537)), "nvme.max_commands_in_flight", "65537"),
        (build().timer_slots(65_536), "timer_slots", "65536"),
    ] {
        let text = refused(config.build());
        assert!(text.starts_with(&format!("{field} is {value}, but must be ")), "{text}");
    }
    Config::default().validate().unwrap();
}

#[test]
fn d13_values_at_their_limits_are_possible() {
    let _turn = take_turn();
    let largest = config()
        .backlog(i32::MAX as u32)
        .recv_accumulator_capacity(usize::MAX)
        .recv_accumulator_limit(usize::MAX)
        .recv_bgid(u16::MAX)
        .send_slab_slots(u32::MAX)
        .send_zc_threshold(u32::MAX)
        .flush_interval_us(u64::MAX)
        .tick_timeout_us(u64::MAX)
        .max_chain_length(64)
        .standalone_task_capacity(usize::MAX)
        .timer_slots(65_535)
        .direct_io(Some(DirectIoConfig::new().max_files(1000).max_commands_in_flight(65_536).busy_poll_us(10_000)));
    let smallest = config()
        .sq_entries(1)
        .recv_ring_size(1)
        .recv_buffer_size(1)
        .backlog(1)
        .max_connections(1)
        .recv_accumulator_capacity(0)
        .send_copy_count(1)
        .send_copy_slot_size(1)
        .send_slab_slots(1)
        .flush_interval_us(0)
        .tick_timeout_us(0)
        .max_chain_length(0)
        .standalone_task_capacity(1)
        .timer_slots(1);
    for config in [largest, smallest] {
        let server = Running::server::<OneByOne>(config);
        let mut stream = server.connect();
        for byte in b"limits" {
            stream.write_all(&[*byte]).unwrap();
            assert_eq!(read_exactly(&mut stream, 1), [*byte]);
        }
        server.stop();
    }
}

#[test]
fn d13_a_configuration_that_was_changed_after_its_check_is_checked_again() {
    let _turn = take_turn();
    let mut config = config().build().unwrap();
    config.standalone_task_capacity = 0;
    let error = RinglineBuilder::new(config).bind(local()).launch::<Echo>().unwrap_err();
    assert!(matches!(error, Error::InvalidConfig { field: "standalone_task_capacity", .. }), "{error:?}");
    no_worker_thread_is_left();
}

#[test]
fn a_default_worker_is_lazy_with_memory() {
    let _turn = take_turn();
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = resident();
    let server = Running::server::<Echo>(config());
    assert_echoes(&mut client(server.address()));
    let grown = resident() - before;
    assert!(grown < 16 * 1024, "an idle worker takes {grown} KiB");
}
