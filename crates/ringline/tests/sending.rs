//! Sending: order, completeness, back-pressure, and what a dropped future leaves behind (scenarios B).

mod harness;

use std::future::{Future, poll_fn};
use std::io::Write;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::stream::{FuturesUnordered, StreamExt};
use harness::{Running, config, echo, eventually, pattern, read_all, read_exactly, receive, yield_now};
use ringline::{Error, ParseResult};

/// More than the buffers of both sockets hold.
const MORE_THAN_THE_SOCKET_HOLDS: usize = 12 << 20;

#[test]
fn b1_everything_queued_before_a_close_arrives_in_order_at_a_slow_reader() {
    static RETURNED: AtomicBool = AtomicBool::new(false);
    handler!(Burst, conn => async move {
        for piece in pattern(MORE_THAN_THE_SOCKET_HOLDS, 1).chunks(16 * 1024) {
            conn.send_nowait(piece).unwrap();
        }
        conn.close();
        RETURNED.store(true, Ordering::Release);
    });
    let server = Running::server::<Burst>(config());
    let mut stream = server.connect();
    eventually("the task has ended", || RETURNED.load(Ordering::Acquire));
    assert!(read_all(&mut stream) == pattern(MORE_THAN_THE_SOCKET_HOLDS, 1));
}

#[test]
fn b1_small_and_large_sends_keep_the_order_of_their_calls() {
    const SIZES: [usize; 7] = [1, 64, 16_384, 3, 40_000, 16_383, 2];
    handler!(Mixed, conn => async move {
        for round in 0..20 {
            for (index, size) in SIZES.into_iter().enumerate() {
                let sent = conn.send(&pattern(size, round * 10 + index as u64));
                // Some are waited for, so that appending to a slot and starting a new one both happen.
                if (round + index as u64).is_multiple_of(3) {
                    assert_eq!(sent.await.unwrap(), size);
                }
            }
        }
    });
    let server = Running::server::<Mixed>(config());
    let mut expected = Vec::new();
    for round in 0..20 {
        for (index, size) in SIZES.into_iter().enumerate() {
            expected.extend(pattern(size, round * 10 + index as u64));
        }
    }
    assert!(read_all(&mut server.connect()) == expected);
}

#[test]
fn b2_shutdown_write_sends_fin_after_the_last_byte_and_receiving_goes_on() {
    static HEARD: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    handler!(HalfClose, conn => async move {
        conn.send_nowait(&pattern(3 << 20, 2)).unwrap();
        conn.shutdown_write();
        assert!(matches!(conn.send_nowait(b"late"), Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe));
        *HEARD.lock().unwrap() = receive(conn, 5).await;
    });
    let server = Running::server::<HalfClose>(config());
    let mut stream = server.connect();
    assert!(read_all(&mut stream) == pattern(3 << 20, 2));
    stream.write_all(b"heard").unwrap();
    eventually("the server heard what came after its FIN", || *HEARD.lock().unwrap() == b"heard");
}

#[test]
fn b3_a_full_socket_is_waited_for() {
    static RESOLVED: AtomicBool = AtomicBool::new(false);
    handler!(Wait, conn => async move {
        conn.send_nowait(b"!").unwrap();
        assert_eq!(conn.send(&pattern(MORE_THAN_THE_SOCKET_HOLDS, 3)).await.unwrap(), MORE_THAN_THE_SOCKET_HOLDS);
        RESOLVED.store(true, Ordering::Release);
    });
    let server = Running::server::<Wait>(config());
    let mut stream = server.connect();
    read_exactly(&mut stream, 1);
    assert!(!RESOLVED.load(Ordering::Acquire), "the kernel cannot have taken all of it");
    assert!(read_all(&mut stream) == pattern(MORE_THAN_THE_SOCKET_HOLDS, 3));
    assert!(RESOLVED.load(Ordering::Acquire));
}

/// Counts wakes, and passes them on.
struct Counting {
    wakes: AtomicUsize,
    inner: Waker,
}

impl Wake for Counting {
    fn wake(self: std::sync::Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.inner.wake_by_ref();
    }
}

#[test]
fn b4_a_send_of_many_slots_wakes_its_waiter_once_with_the_whole_count() {
    static WAKES: AtomicUsize = AtomicUsize::new(usize::MAX);
    handler!(Count, conn => async move {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        let counting = std::sync::Arc::new(Counting { wakes: AtomicUsize::new(0), inner: waker });
        let mut sent = pin!(conn.send(&pattern(5 << 20, 4)));
        let sent = poll_fn(|_| sent.as_mut().poll(&mut Context::from_waker(&counting.clone().into()))).await;
        assert_eq!(sent.unwrap(), 5 << 20);
        WAKES.store(counting.wakes.load(Ordering::Relaxed), Ordering::Release);
    });
    let server = Running::server::<Count>(config());
    assert!(read_all(&mut server.connect()) == pattern(5 << 20, 4));
    eventually("the send has resolved", || WAKES.load(Ordering::Acquire) != usize::MAX);
    assert_eq!(WAKES.load(Ordering::Acquire), 1);
}

#[test]
fn b5_pipelined_sends_resolve_each_with_its_own_count() {
    static COUNTS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    handler!(Pipeline, conn => async move {
        let mut sends: FuturesUnordered<_> = [1usize, 100_000, 7, 50_000].iter().map(|&len| conn.send(&pattern(len, 5))).collect();
        while let Some(sent) = sends.next().await {
            COUNTS.lock().unwrap().push(sent.unwrap());
        }
    });
    let server = Running::server::<Pipeline>(config());
    assert_eq!(read_all(&mut server.connect()).len(), 150_008);
    eventually("all sends have resolved", || COUNTS.lock().unwrap().len() == 4);
    let mut counts = COUNTS.lock().unwrap().clone();
    counts.sort_unstable();
    assert_eq!(counts, [1, 7, 50_000, 100_000]);
}

#[test]
fn b14_an_exhausted_pool_is_an_error_and_recovers() {
    handler!(Exhaust, conn => async move {
        let refused = conn.send_nowait(&[0; 4 * 1024 + 1]);
        assert!(matches!(refused, Err(Error::SendPoolExhausted { needed: 5, free: 4 })), "{refused:?}");
        assert!(matches!(conn.send(&[0; 1 << 20]).await, Err(Error::SendPoolExhausted { .. })));
        // What was refused has queued nothing, and every slot can be used.
        for round in 0..100 {
            assert_eq!(conn.send(&pattern(4 * 1024, round)).await.unwrap(), 4 * 1024);
        }
    });
    let server = Running::server::<Exhaust>(config().send_copy_count(4).send_copy_slot_size(1024));
    let expected: Vec<u8> = (0..100).flat_map(|round| pattern(4 * 1024, round)).collect();
    assert!(read_all(&mut server.connect()) == expected);
}

#[test]
fn b15_dropped_send_futures_lose_no_bytes_and_no_slots() {
    handler!(Drop, conn => async move {
        for round in 0..200 {
            let mut sent = Box::pin(conn.send(&pattern(1000, round)));
            // Dropped unpolled, dropped while it waits, or awaited.
            match round % 3 {
                0 => drop(sent),
                1 => { poll_fn(|cx| { let _ = sent.as_mut().poll(cx); Poll::Ready(()) }).await; }
                _ => { sent.await.unwrap(); }
            }
        }
    });
    let server = Running::server::<Drop>(config().send_copy_count(4).send_copy_slot_size(1024));
    let expected: Vec<u8> = (0..200).flat_map(|round| pattern(1000, round)).collect();
    assert!(read_all(&mut server.connect()) == expected);
}

#[test]
fn a_send_whose_connection_breaks_resolves_with_the_error() {
    static FAILED: Mutex<Option<String>> = Mutex::new(None);
    handler!(Break, conn => async move {
        conn.send_nowait(b"!").unwrap();
        let sent = conn.send(&[0; MORE_THAN_THE_SOCKET_HOLDS]).await;
        *FAILED.lock().unwrap() = Some(format!("{sent:?}"));
        assert!(matches!(conn.send_nowait(b"x"), Err(Error::InvalidConnection)));
    });
    let server = Running::server::<Break>(config());
    let mut stream = server.connect();
    read_exactly(&mut stream, 1);
    // Closed with unread bytes: the kernel resets the connection.
    drop(stream);
    eventually("the send has failed", || FAILED.lock().unwrap().is_some());
    let failed = FAILED.lock().unwrap().take().unwrap();
    assert!(failed.contains("ConnectionReset") || failed.contains("BrokenPipe"), "{failed}");
}

#[test]
fn sending_nothing_resolves_at_once() {
    handler!(Nothing, conn => async move {
        conn.send_nowait(b"").unwrap();
        assert_eq!(conn.send(b"").await.unwrap(), 0);
        conn.send(b"done").await.unwrap();
    });
    let server = Running::server::<Nothing>(config());
    assert_eq!(read_all(&mut server.connect()), b"done");
}

#[test]
fn a_client_that_does_not_read_slows_the_echo_down_and_loses_nothing() {
    handler!(Echo, conn => echo(conn));
    let server = Running::server::<Echo>(config().send_copy_count(16));
    let mut stream = server.connect();
    let sent = pattern(MORE_THAN_THE_SOCKET_HOLDS, 6);
    let writer = std::thread::spawn({
        let (mut stream, sent) = (stream.try_clone().unwrap(), sent.clone());
        move || {
            stream.write_all(&sent).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
    });
    assert!(read_all(&mut stream) == sent);
    writer.join().unwrap();
}

#[test]
fn a_send_from_within_a_reader_goes_out() {
    handler!(Within, conn => async move {
        let reader = |data: &[u8]| {
            conn.send_nowait(data).unwrap();
            assert_eq!(conn.try_with_data(|_| ParseResult::NeedMore), None, "the bytes are with this reader");
            ParseResult::Consumed(data.len())
        };
        while conn.with_data(reader).await > 0 {
            yield_now().await;
        }
    });
    let server = Running::server::<Within>(config());
    let mut stream = server.connect();
    for round in 0..50 {
        stream.write_all(&pattern(777, round)).unwrap();
        assert_eq!(read_exactly(&mut stream, 777), pattern(777, round));
    }
}

#[test]
fn what_a_reader_has_in_hand_is_sent_from_where_it_lies() {
    handler!(InPlace, conn => async move {
        // A piece that is large enough needs no slot, however few there are; a short one is copied.
        let mut refused = None;
        while conn.with_data(|data| {
            refused = refused.take().or(conn.send_nowait(data).err());
            ParseResult::Consumed(data.len())
        }).await > 0 {}
        assert!(refused.is_none(), "{refused:?}");
    });
    let server = Running::server::<InPlace>(config().send_copy_count(32).send_copy_slot_size(1024));
    let mut client = server.connect();
    for round in 0..50 {
        // Twice as much as the pool holds.
        let bytes = pattern(64 * 1024 + round * 100, round as u64);
        client.write_all(&bytes).unwrap();
        assert!(read_exactly(&mut client, bytes.len()) == bytes, "round {round}");
    }
}
