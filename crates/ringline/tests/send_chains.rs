//! Chains of sends: order, bounds, failing links, and what is free again afterwards (scenarios B11, B12).

mod harness;

use std::future::Future;
use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use harness::{Running, config, eventually, pattern, read_all, read_exactly, yield_now};
use ringline::{
    AsyncEventHandler, ConnCtx, ConnToken, DriverCtx, Error, GuardBox, ParseResult, join, join3, worker_usage,
};

/// More than the buffers of both sockets hold.
const MORE_THAN_THE_SOCKET_HOLDS: usize = 12 << 20;

#[test]
fn the_links_of_a_chain_arrive_in_order_with_one_completion() {
    handler!(Chain, conn => async move {
        let (long, value) = (pattern(100_000, 1), GuardBox::new(pattern(5000, 2)));
        let sent = conn.send_chain(|chain| chain.copy(b"<").copy(&long).copy(b"").guard(value).copy(b">")).await;
        assert_eq!(sent.unwrap(), 105_002);
        assert_eq!(worker_usage().unwrap().guards, 0);
        assert_eq!(conn.send_chain(|chain| chain.copy(b"one")).await.unwrap(), 3);
        assert_eq!(conn.send_chain(|chain| chain).await.unwrap(), 0);
        conn.send_chain_nowait(|chain| chain.copy(b"no").copy(b"wait")).unwrap();
    });
    let server = Running::server::<Chain>(config());
    let expected = [b"<", &pattern(100_000, 1)[..], &pattern(5000, 2), b">onenowait"].concat();
    assert!(read_all(&mut server.connect()) == expected);
}

#[test]
fn b12_chains_and_plain_sends_reach_the_wire_in_the_order_of_their_calls() {
    handler!(Mixed, conn => async move {
        for round in 0..50 {
            let [a, b, c, d, e] = [1, 2, 3, 4, 5].map(|part| pattern(4321 * (part as usize), round * 10 + part));
            // One that is in flight already, then a chain, a plain send, two chains, and another plain send.
            let before = conn.send(&a);
            yield_now().await;
            let first = conn.send_chain(|chain| chain.copy(&b).copy(&c));
            conn.send_nowait(b"between").unwrap();
            let second = conn.send_chain(|chain| chain.copy(&d).copy(b"!"));
            conn.send_chain_nowait(|chain| chain.copy(&e).copy(b"?").copy(b".")).unwrap();
            conn.send_nowait(b"after").unwrap();
            let (before, first, second) = join3(before, first, second).await;
            assert_eq!([before.unwrap(), first.unwrap(), second.unwrap()], [a.len(), b.len() + c.len(), d.len() + 1]);
        }
        assert_eq!(conn.send_chain(|chain| chain.copy(b"the").copy(b" end")).await.unwrap(), 7);
        assert_eq!(worker_usage().unwrap().send_slots, 0);
    });
    let server = Running::server::<Mixed>(config());
    let mut expected = Vec::new();
    for round in 0..50 {
        let [a, b, c, d, e] = [1, 2, 3, 4, 5].map(|part| pattern(4321 * (part as usize), round * 10 + part));
        expected.extend([&a[..], &b, &c, b"between", &d, b"!", &e, b"?.after"].concat());
    }
    expected.extend_from_slice(b"the end");
    assert!(read_all(&mut server.connect()) == expected);
}

#[test]
fn b12_a_chain_that_is_larger_than_the_socket_waits_for_its_reader_and_keeps_the_order() {
    static QUEUED: AtomicBool = AtomicBool::new(false);
    handler!(Large, conn => async move {
        let half = pattern(MORE_THAN_THE_SOCKET_HOLDS / 2, 1);
        let chain = conn.send_chain(|chain| half.chunks(1 << 20).fold(chain, |chain, link| chain.copy(link)));
        let behind = conn.send(b"behind");
        let again = conn.send_chain(|chain| half.chunks(1 << 20).fold(chain, |chain, link| chain.copy(link)));
        QUEUED.store(true, Ordering::Release);
        let (chain, (behind, again)) = join(chain, join(behind, again)).await;
        assert_eq!([chain.unwrap(), behind.unwrap(), again.unwrap()], [half.len(), 6, half.len()]);
        conn.send(b"done").await.unwrap();
    });
    let server = Running::server::<Large>(config());
    let mut stream = server.connect();
    eventually("everything is queued", || QUEUED.load(Ordering::Acquire));
    let half = pattern(MORE_THAN_THE_SOCKET_HOLDS / 2, 1);
    assert!(read_all(&mut stream) == [&half[..], b"behind", &half, b"done"].concat());
}

#[test]
fn b11_a_link_that_fails_cancels_the_rest_and_frees_everything() {
    static FAILED: Mutex<Option<String>> = Mutex::new(None);
    handler!(Fails, conn => async move {
        let link = vec![7; 1 << 20];
        let guard = GuardBox::new(vec![8; 1 << 20]);
        let chain = conn.send_chain(|chain| (0..12).fold(chain.guard(guard), |chain, _| chain.copy(&link)));
        let behind = conn.send(b"behind");
        let again = conn.send_chain(|chain| chain.copy(b"never").copy(b"sent"));
        let (chain, behind, again) = join3(chain, behind, again).await;
        assert!(behind.is_err() && again.is_err());
        *FAILED.lock().unwrap() = Some(format!("{chain:?}"));
    });
    let server = Running::server::<Fails>(config().max_connections(1));
    for _ in 0..5 {
        let mut stream = server.connect();
        read_exactly(&mut stream, 1);
        // Closed with unread bytes: the kernel resets the connection while a link waits for room.
        drop(stream);
        eventually("the chain has failed", || FAILED.lock().unwrap().is_some());
        let failed = FAILED.lock().unwrap().take().unwrap();
        assert!(failed.contains("ConnectionReset") || failed.contains("BrokenPipe"), "{failed}");
        // The only connection slot, and every send slot that the next round needs, are free again.
        eventually("the connection slot is free", || {
            let mut probe = server.connect();
            let served = matches!(probe.read(&mut [0]), Ok(1));
            drop(probe);
            served
        });
        eventually("the probe has failed, too", || FAILED.lock().unwrap().take().is_some());
    }
}

#[test]
fn a_chain_in_flight_ends_with_its_connection() {
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    /// How many tasks had ended, and what was in use then.
    static USAGE: Mutex<(usize, u32)> = Mutex::new((0, 0));
    struct Stuck;
    impl AsyncEventHandler for Stuck {
        fn create_for_worker(_: usize) -> Self {
            Stuck
        }
        fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
            let link = vec![7; 1 << 20];
            conn.send_chain_nowait(|chain| (0..12).fold(chain, |chain, _| chain.copy(&link))).unwrap();
            async move {
                // The reader has the first byte, so a link is waiting for room.
                conn.with_data(|_| ParseResult::Consumed(1)).await;
                ENDED.fetch_add(1, Ordering::AcqRel);
                panic!("this panic is part of the test");
            }
        }
        fn on_notify(&mut self, ctx: &mut DriverCtx<'_>) {
            *USAGE.lock().unwrap() = (ENDED.load(Ordering::Acquire), ctx.usage().send_slots + ctx.usage().connections);
        }
    }
    let server = Running::server::<Stuck>(config());
    for round in 1..=5 {
        let mut stream = server.connect();
        read_exactly(&mut stream, 1);
        stream.write_all(b"!").unwrap();
        eventually("slots and connection are free though nobody reads", || {
            server.handle().notify();
            *USAGE.lock().unwrap() == (round, 0)
        });
        drop(stream);
    }
}

#[test]
fn a_chain_goes_out_to_a_peer_that_has_finished_sending() {
    handler!(Answer, conn => async move {
        let request = harness::receive(conn, usize::MAX).await;
        let half = pattern(MORE_THAN_THE_SOCKET_HOLDS / 2, 1);
        let chain = conn.send_chain(|chain| half.chunks(1 << 20).fold(chain.copy(&request), |chain, link| chain.copy(link)));
        assert_eq!(chain.await.unwrap(), half.len() + request.len());
    });
    let server = Running::server::<Answer>(config());
    let mut stream = server.connect();
    stream.write_all(b"request").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(read_all(&mut stream) == [b"request", &pattern(MORE_THAN_THE_SOCKET_HOLDS / 2, 1)[..]].concat());
}

#[test]
fn chains_that_the_kernel_breaks_and_chains_that_are_too_long_arrive_whole_and_in_order() {
    /// So long that the kernel tires of waiting for room and breaks the chain; and a chain of three is longer than the
    /// result of a send can tell.
    const LONG: u32 = 900 << 20;
    static SENT: Mutex<Option<usize>> = Mutex::new(None);
    /// Zeroes that are never written, so that they share one page, and never read to their end either.
    struct Zeroes(ringline::MemoryRegion, u32);
    // SAFETY: nobody writes to the region.
    unsafe impl ringline::SendGuard for Zeroes {
        fn as_ptr_len(&self) -> (*const u8, u32) {
            (self.0.as_ptr(), self.1)
        }
        fn region(&self) -> ringline::RegionId {
            ringline::RegionId::UNREGISTERED
        }
    }
    handler!(Gigabytes, conn => async move {
        let region = ringline::MemoryRegion::allocate(LONG as usize).unwrap();
        let zeroes = |len| GuardBox::new(Zeroes(region.clone(), len));
        let chain = |count| {
            conn.send_chain(|chain| (0..count).fold(chain, |chain, _| chain.guard(zeroes(LONG)).copy(b"between")))
        };
        let (broken, too_long) = join(chain(1), chain(3)).await;
        *SENT.lock().unwrap() = Some(broken.unwrap() + too_long.unwrap());
    });
    let server = Running::server::<Gigabytes>(config());
    let mut stream = server.connect();
    let expected = 4 * (LONG as usize + 7);
    let (mut buffer, zeroes) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let (mut received, mut marks) = (0, Vec::new());
    while received < expected {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the stream ended after {received} bytes");
        // A comparison of slices is quick where a look at each byte is not.
        if buffer[..count] != zeroes[..count] {
            let others = buffer[..count].iter().enumerate().filter(|(_, byte)| **byte != 0);
            marks.extend(others.map(|(at, byte)| (received + at, *byte)));
        }
        received += count;
    }
    let between = |round| {
        let start = round * (LONG as usize + 7) + LONG as usize;
        b"between".iter().enumerate().map(move |(at, byte)| (start + at, *byte))
    };
    assert_eq!(marks, (0..4).flat_map(between).collect::<Vec<_>>());
    eventually("both chains have resolved", || *SENT.lock().unwrap() == Some(expected));
}

#[test]
fn chains_have_bounds_and_can_be_disabled() {
    static REFUSED: Mutex<Vec<String>> = Mutex::new(Vec::new());
    handler!(Bounds, conn => async move {
        let links = |count| conn.send_chain_nowait(move |chain| (0..count).fold(chain, |chain, _| chain.copy(b"x")));
        links(1).and_then(|()| links(4)).and_then(|()| links(5)).unwrap_or_else(|refused| {
            assert!(matches!(refused, Error::ChainTooLong { .. }), "{refused:?}");
            REFUSED.lock().unwrap().push(refused.to_string());
        });
    });
    for (config, arrives, text) in [
        (config().max_chain_length(4), &b"xxxxx"[..], "needs 5 links and may have 4"),
        // A chain has to fit into the submission queue.
        (config().sq_entries(4), b"xxxxx", "needs 5 links and may have 4"),
        (config().max_chain_length(0), b"", "chains are disabled"),
    ] {
        let server = Running::server::<Bounds>(config);
        assert_eq!(read_all(&mut server.connect()), arrives);
        server.stop();
        let refused = REFUSED.lock().unwrap().pop().unwrap();
        assert!(refused.contains(text), "{refused}");
    }
}

#[test]
fn chains_of_many_connections_share_a_submission_queue_that_holds_one() {
    handler!(Crowded, conn => async move {
        for _ in 0..20 {
            let sent = conn.send_chain(|chain| chain.copy(b"a").copy(b"b").copy(b"c").copy(b"d")).await;
            assert_eq!(sent.unwrap(), 4);
        }
    });
    let server = Running::server::<Crowded>(config().sq_entries(4));
    let mut clients: Vec<_> = (0..32).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(read_all(client), b"abcd".repeat(20));
    }
}

#[test]
fn a_handler_method_sends_a_chain_by_token() {
    struct Notified(std::cell::Cell<Option<ConnToken>>);
    impl AsyncEventHandler for Notified {
        fn create_for_worker(_: usize) -> Self {
            Notified(std::cell::Cell::new(None))
        }
        fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
            self.0.set(Some(conn.token()));
            conn.send_nowait(b"hello ").unwrap();
            let wait = conn.with_data(|_| ParseResult::NeedMore);
            async move {
                wait.await;
            }
        }
        fn on_notify(&mut self, ctx: &mut DriverCtx<'_>) {
            let conn = self.0.get().unwrap();
            ctx.send_chain(conn, |chain| chain.copy(b"from ").copy(b"afar")).unwrap();
            ctx.close(conn);
        }
    }
    let server = Running::server::<Notified>(config());
    let mut stream = server.connect();
    assert_eq!(read_exactly(&mut stream, 6), b"hello ");
    server.handle().notify();
    assert_eq!(read_all(&mut stream), b"from afar");
}
