//! Receiving: buffers, messages of any size, limits, and the shapes in which bytes can be read (scenarios C).

mod harness;

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::task::Poll;

use bytes::Bytes;
use harness::{Running, config, echo, eventually, pattern, read_all, read_exactly, receive, yield_now};
use ringline::{ParseResult, connect, spawn};

#[test]
fn c1_many_connections_share_a_tiny_ring() {
    handler!(Echo, conn => echo(conn));
    let server = Running::server::<Echo>(config().recv_ring_size(2).recv_buffer_size(2048));
    let clients: Vec<_> = (0..12)
        .map(|seed| {
            let mut stream = server.connect();
            std::thread::spawn(move || {
                let sent = pattern(1 << 20, seed);
                for piece in sent.chunks(100_000) {
                    stream.write_all(piece).unwrap();
                    assert!(read_exactly(&mut stream, piece.len()) == piece);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn c2_bytes_that_a_handler_leaves_for_later_hold_no_buffers() {
    // None of these readers consumes anything until all have everything; the ring holds a fraction of it.
    static READY: AtomicUsize = AtomicUsize::new(0);
    handler!(Hoard, conn => async move {
        let mut counted = false;
        let reader = |data: &[u8]| {
            if data.len() < 200_000 {
                return ParseResult::NeedMore;
            }
            if !std::mem::replace(&mut counted, true) {
                READY.fetch_add(1, Ordering::Release);
            }
            conn.send_nowait(&data[..10]).unwrap();
            ParseResult::Consumed(data.len())
        };
        assert_eq!(conn.with_data(reader).await, 200_000);
    });
    let server = Running::server::<Hoard>(config().recv_ring_size(4).recv_buffer_size(4096));
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for (seed, client) in clients.iter_mut().enumerate() {
        client.write_all(&pattern(200_000, seed as u64)[..199_999]).unwrap();
    }
    for (seed, client) in clients.iter_mut().enumerate() {
        client.write_all(&pattern(200_000, seed as u64)[199_999..]).unwrap();
        assert_eq!(read_all(client), &pattern(200_000, seed as u64)[..10]);
    }
    assert_eq!(READY.load(Ordering::Acquire), 8);
}

#[test]
fn c3_a_message_larger_than_the_ring_arrives_whole() {
    const MESSAGE: usize = 16 << 20;
    handler!(Whole, conn => async move {
        let reader = |data: &[u8]| match data.len() {
            MESSAGE => {
                let right = data == pattern(MESSAGE, 7);
                conn.send_nowait(if right { b"right" } else { b"wrong" }).unwrap();
                ParseResult::Consumed(MESSAGE)
            }
            _ => ParseResult::NeedMore,
        };
        conn.with_data(reader).await;
    });
    let server = Running::server::<Whole>(config().recv_ring_size(16).recv_buffer_size(4096));
    let mut stream = server.connect();
    stream.write_all(&pattern(MESSAGE, 7)).unwrap();
    assert_eq!(read_all(&mut stream), b"right");
}

#[test]
fn c7_a_reader_that_always_needs_more_is_cut_off_at_the_limit() {
    static MOST: AtomicUsize = AtomicUsize::new(0);
    static RESOLVED: AtomicBool = AtomicBool::new(false);
    handler!(Insatiable, conn => async move {
        if receive(conn, 1).await == b"e" {
            return echo(conn).await;
        }
        let reader = |data: &[u8]| {
            MOST.fetch_max(data.len(), Ordering::Relaxed);
            ParseResult::NeedMore
        };
        assert_eq!(conn.with_data(reader).await, 0);
        RESOLVED.store(true, Ordering::Release);
    });
    let server = Running::server::<Insatiable>(config().recv_accumulator_limit(1 << 20));
    let mut other = server.connect();
    other.write_all(b"e").unwrap();
    let mut endless = server.connect();
    let piece = pattern(64 * 1024, 8);
    let written = (0..1000).take_while(|_| endless.write_all(&piece).is_ok()).count();
    assert!(written < 1000, "64 MB were taken in");
    eventually("the read has resolved", || RESOLVED.load(Ordering::Acquire));
    let most = MOST.load(Ordering::Relaxed);
    assert!((1 << 20..4 << 20).contains(&most), "{most} bytes were buffered");
    other.write_all(b"alive").unwrap();
    assert_eq!(read_exactly(&mut other, 5), b"alive");
}

/// CPU time of the calling thread, in nanoseconds.
fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure lives across the call.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[test]
fn c8_the_cost_of_a_growing_message_is_linear() {
    static COST_NS: AtomicU64 = AtomicU64::new(0);
    handler!(Grow, conn => async move {
        let mut header = [0; 4];
        header.copy_from_slice(&receive(conn, 4).await);
        let len = u32::from_le_bytes(header) as usize;
        let before = thread_cpu_ns();
        let reader = |data: &[u8]| if data.len() < len { ParseResult::NeedMore } else { ParseResult::Consumed(len) };
        assert_eq!(conn.with_data(reader).await, len);
        COST_NS.store(thread_cpu_ns() - before, Ordering::Release);
    });
    let server = Running::server::<Grow>(config());
    let cost = |len: usize| {
        let mut stream = server.connect();
        stream.write_all(&(len as u32).to_le_bytes()).unwrap();
        let piece = vec![0; 16 * 1024];
        for _ in 0..len / piece.len() {
            stream.write_all(&piece).unwrap();
        }
        assert_eq!(read_all(&mut stream), b"");
        COST_NS.load(Ordering::Acquire) as f64
    };
    cost(8 << 20);
    let (small, large) = (cost(8 << 20), cost(64 << 20));
    // Eight times the bytes: linear is 8, quadratic is 64.
    assert!(large / small < 24.0, "8 MiB cost {small} ns, 64 MiB {large} ns");
}

#[test]
fn c9_a_greeting_that_comes_with_the_connect_is_not_lost() {
    static PEER: Mutex<Option<std::net::SocketAddr>> = Mutex::new(None);
    static GREETED: AtomicUsize = AtomicUsize::new(0);
    client_handler!(Greeted, async {
        let peer = PEER.lock().unwrap().unwrap();
        for _ in 0..100 {
            let conn = connect(peer).await.unwrap();
            assert!(conn.is_outbound());
            assert_eq!((conn.peer_addr(), conn.local_addr().is_some()), (Some(peer), true));
            // What has arrived meanwhile waits for its reader.
            yield_now().await;
            assert_eq!(receive(conn, 100).await, b"greeting");
            GREETED.fetch_add(1, Ordering::Release);
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    *PEER.lock().unwrap() = Some(listener.local_addr().unwrap());
    let _client = Running::client::<Greeted>(config());
    for _ in 0..100 {
        listener.accept().unwrap().0.write_all(b"greeting").unwrap();
    }
    eventually("every greeting was read", || GREETED.load(Ordering::Acquire) == 100);
}

#[test]
fn nothing_is_shown_twice_and_nothing_is_left_out() {
    handler!(Nibble, conn => async move {
        let mut step = 0;
        loop {
            step = step % 97 + 1;
            let read = conn.with_data(|data| {
                let count = step.min(data.len());
                conn.send_nowait(&data[..count]).unwrap();
                ParseResult::Consumed(count)
            });
            if read.await == 0 {
                return;
            }
        }
    });
    let server = Running::server::<Nibble>(config());
    let mut stream = server.connect();
    for seed in 0..30 {
        let sent = pattern(1 + seed as usize * 2500, seed);
        stream.write_all(&sent).unwrap();
        assert!(read_exactly(&mut stream, sent.len()) == sent);
    }
}

#[test]
fn bytes_outlive_the_call_and_the_connection_and_the_worker() {
    static KEPT: Mutex<Vec<Bytes>> = Mutex::new(Vec::new());
    handler!(Keep, conn => async move {
        loop {
            let read = conn.with_bytes(|bytes| {
                if bytes.len() < 1000 && !bytes.is_empty() {
                    return ParseResult::NeedMore;
                }
                let count = bytes.len().min(1000);
                KEPT.lock().unwrap().push(bytes.slice(..count));
                ParseResult::Consumed(count)
            });
            if read.await == 0 {
                return;
            }
        }
    });
    let server = Running::server::<Keep>(config().recv_ring_size(4).recv_buffer_size(4096));
    let mut stream = server.connect();
    let sent = pattern(2_000_000, 9);
    stream.write_all(&sent).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), b"");
    server.stop();
    assert!(KEPT.lock().unwrap().concat() == sent);
}

#[test]
fn bytes_of_one_chunk_are_not_copied() {
    static SAME: AtomicBool = AtomicBool::new(false);
    handler!(Compare, conn => async move {
        conn.recv_ready().await;
        let seen = conn.try_with_data(|data| { assert_eq!(data, b"abc"); ParseResult::NeedMore });
        assert_eq!(seen, Some(ParseResult::NeedMore));
        let mut addresses = Vec::new();
        conn.try_with_data(|data| { addresses.push(data.as_ptr()); ParseResult::NeedMore });
        conn.with_bytes(|bytes| { addresses.push(bytes.as_ptr()); ParseResult::Consumed(bytes.len()) }).await;
        SAME.store(addresses[0] == addresses[1], Ordering::Release);
    });
    let server = Running::server::<Compare>(config());
    let mut stream = server.connect();
    stream.write_all(b"abc").unwrap();
    assert_eq!(read_all(&mut stream), b"");
    assert!(SAME.load(Ordering::Acquire));
}

#[test]
fn a_reader_is_called_once_with_nothing_at_the_end() {
    static CALLS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    handler!(Watch, conn => async move {
        let first = conn.with_data(|data| { CALLS.lock().unwrap().push(data.len()); ParseResult::Consumed(data.len()) });
        assert_eq!(first.await, 3);
        let last = conn.with_data(|data| { CALLS.lock().unwrap().push(data.len()); ParseResult::NeedMore });
        assert_eq!(last.await, 0);
        assert_eq!(conn.try_with_data(|_| ParseResult::NeedMore), None);
        conn.recv_ready().await;
    });
    let server = Running::server::<Watch>(config());
    let mut stream = server.connect();
    stream.write_all(b"abc").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), b"");
    assert_eq!(*CALLS.lock().unwrap(), [3, 0]);
}

#[test]
fn an_incomplete_message_at_the_end_resolves_to_0_and_stays_readable() {
    static REST: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    handler!(Incomplete, conn => async move {
        assert_eq!(conn.with_data(|_| ParseResult::Consumed(0)).await, 0);
        *REST.lock().unwrap() = receive(conn, 100).await;
    });
    let server = Running::server::<Incomplete>(config());
    let mut stream = server.connect();
    stream.write_all(b"half a mess").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), b"");
    assert_eq!(*REST.lock().unwrap(), b"half a mess");
}

#[test]
fn cancel_ends_the_pending_receive_and_the_stream_goes_on() {
    handler!(Cancel, conn => async move {
        spawn(async move {
            yield_now().await;
            conn.cancel();
        })
        .unwrap();
        assert_eq!(conn.with_data(|_| ParseResult::NeedMore).await, 0);
        conn.send(b"cancelled").await.unwrap();
        echo(conn).await;
    });
    let server = Running::server::<Cancel>(config());
    let mut stream = server.connect();
    assert_eq!(read_exactly(&mut stream, 9), b"cancelled");
    stream.write_all(b"on").unwrap();
    assert_eq!(read_exactly(&mut stream, 2), b"on");
}

#[test]
fn a_reader_is_not_shown_the_same_bytes_again_without_news() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    handler!(Spurious, conn => async move {
        let mut read = pin!(conn.with_data(|data| {
            CALLS.fetch_add(1, Ordering::Release);
            if data.len() < 2 { ParseResult::NeedMore } else { ParseResult::Consumed(2) }
        }));
        let mut spurious = 0;
        let consumed = poll_fn(|cx| {
            // Woken in every pass, with or without news.
            if spurious < 1000 {
                spurious += 1;
                cx.waker().wake_by_ref();
            }
            read.as_mut().poll(cx)
        });
        assert_eq!(consumed.await, 2);
    });
    let server = Running::server::<Spurious>(config());
    let mut stream = server.connect();
    stream.write_all(b"a").unwrap();
    eventually("the first byte was shown", || CALLS.load(Ordering::Acquire) == 1);
    stream.write_all(b"b").unwrap();
    assert_eq!(read_all(&mut stream), b"");
    assert_eq!(CALLS.load(Ordering::Acquire), 2);
}

#[test]
fn receiving_pauses_for_a_task_that_does_not_read_and_nothing_is_lost() {
    static RELEASE: Mutex<Option<mpsc::Receiver<()>>> = Mutex::new(None);
    handler!(Busy, conn => async move {
        conn.recv_ready().await;
        let release = RELEASE.lock().unwrap().take().unwrap();
        // Busy with something else, while other tasks and the ring go on.
        while release.try_recv().is_err() {
            yield_now().await;
        }
        echo(conn).await;
    });
    let (go, release) = mpsc::channel();
    *RELEASE.lock().unwrap() = Some(release);
    let server = Running::server::<Busy>(config());
    let mut stream = server.connect();
    let sent = pattern(32 << 20, 10);
    stream.set_nonblocking(true).unwrap();
    let mut written = 0;
    // The peer's window closes long before everything is taken in.
    let mut refused = 0;
    while refused < 200 {
        match stream.write(&sent[written..]) {
            Ok(count) => (written, refused) = (written + count, 0),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                refused += 1;
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(written < sent.len(), "all of {written} bytes were taken in");
    stream.set_nonblocking(false).unwrap();
    go.send(()).unwrap();
    let writer = std::thread::spawn({
        let (mut stream, rest) = (stream.try_clone().unwrap(), sent[written..].to_vec());
        move || {
            stream.write_all(&rest).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    assert!(back == sent);
    writer.join().unwrap();
}

#[test]
fn a_read_that_is_dropped_while_it_waits_loses_nothing() {
    handler!(Drop, conn => async move {
        for _ in 0..10 {
            let mut read = Box::pin(conn.with_data(|_| ParseResult::NeedMore));
            poll_fn(|cx| { let _ = read.as_mut().poll(cx); Poll::Ready(()) }).await;
            drop(read);
            yield_now().await;
        }
        echo(conn).await;
    });
    let server = Running::server::<Drop>(config());
    let mut stream = server.connect();
    stream.write_all(b"kept").unwrap();
    assert_eq!(read_exactly(&mut stream, 4), b"kept");
}

#[test]
fn a_function_that_cancels_its_own_receive_has_consumed_what_it_answers() {
    static GOT: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    handler!(Cancel, conn => async move {
        let consumed = conn.with_data(|_| {
            conn.cancel();
            ParseResult::Consumed(3)
        });
        let consumed = consumed.await;
        GOT.lock().unwrap().push(consumed);
        assert_eq!(receive(conn, 4).await, b"sage");
        GOT.lock().unwrap().push(4);
    });
    let server = Running::server::<Cancel>(config());
    let mut client = server.connect();
    client.write_all(b"message").unwrap();
    assert_eq!(read_all(&mut client), b"");
    assert_eq!(*GOT.lock().unwrap(), [3, 4]);
}
