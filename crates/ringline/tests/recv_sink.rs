//! Receiving straight into the caller's memory: order, bounds, and stale tokens (scenario A5).

mod harness;

use std::future::Future;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::{Running, config, eventually, pattern, read_all, receive, yield_now};
use ringline::{ConnCtx, Error, ParseResult};

/// Reads into memory until it is full, or the stream ends.
async fn read_into(conn: ConnCtx, into: &mut [u8]) -> usize {
    let mut filled = 0;
    while filled < into.len() {
        let rest = &mut into[filled..];
        // SAFETY: the sink is taken before the slice is used again, and no test drops this future before.
        unsafe { conn.set_recv_sink(rest.as_mut_ptr(), rest.len()).unwrap() };
        conn.recv_ready().await;
        match conn.take_recv_sink() {
            Some(count @ 1..) => filled += count,
            _ => break,
        }
    }
    filled
}

#[test]
fn a_large_body_goes_into_the_callers_memory_and_the_rest_to_the_reader() {
    const BODY: usize = 16 << 20;
    handler!(Upload, conn => async move {
        // The head is parsed as always; what came with it is buffered, and belongs to the body.
        assert_eq!(receive(conn, 5).await, b"head ");
        let mut body = vec![0; BODY];
        assert_eq!(read_into(conn, &mut body).await, BODY);
        assert!(body == pattern(BODY, 1));
        assert_eq!(receive(conn, 4).await, b"tail");
        conn.send(b"all").await.unwrap();
    });
    let server = Running::server::<Upload>(config());
    let mut stream = server.connect();
    stream.write_all(&[b"head ", &pattern(BODY, 1)[..], b"tail"].concat()).unwrap();
    assert_eq!(read_all(&mut stream), b"all");
}

#[test]
fn a_sink_that_nobody_looks_at_is_filled_and_what_follows_is_buffered() {
    static BUFFERED: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    handler!(Lazy, conn => async move {
        let mut sink = [0; 8];
        // SAFETY: the array stays in this future, which is not dropped before the sink is taken.
        unsafe { conn.set_recv_sink(sink.as_mut_ptr(), sink.len()).unwrap() };
        // SAFETY: the sink is refused.
        let refused = unsafe { conn.set_recv_sink(std::ptr::null_mut(), 0) };
        assert!(matches!(refused, Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::AlreadyExists));
        conn.send(b"!").await.unwrap();
        // A reader gets only what comes behind the sink.
        let rest = receive(conn, 7).await;
        assert_eq!((conn.take_recv_sink(), &sink), (Some(8), b"01234567"));
        assert_eq!(conn.take_recv_sink(), None);
        *BUFFERED.lock().unwrap() = rest;
    });
    let server = Running::server::<Lazy>(config());
    let mut stream = server.connect();
    assert_eq!(harness::read_exactly(&mut stream, 1), b"!");
    for piece in [&b"012"[..], b"3456", b"789", b"abcde"] {
        stream.write_all(piece).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    eventually("the reader has the rest", || *BUFFERED.lock().unwrap() == b"89abcde");
}

#[test]
fn bytes_that_are_with_a_reader_stay_in_front_of_a_sink_that_it_sets() {
    handler!(Within, conn => async move {
        let mut sink = [0; 6];
        let address = sink.as_mut_ptr();
        let read = conn.with_data(|data| {
            if data.len() < 8 {
                return ParseResult::NeedMore;
            }
            // SAFETY: the array stays in this future, which is not dropped before the sink is taken.
            unsafe { conn.set_recv_sink(address, 6).unwrap() };
            ParseResult::Consumed(2)
        });
        assert_eq!(read.await, 2);
        conn.recv_ready().await;
        assert_eq!((conn.take_recv_sink(), &sink), (Some(6), b"cdefgh"));
        conn.send(b"right").await.unwrap();
    });
    let server = Running::server::<Within>(config());
    let mut stream = server.connect();
    stream.write_all(b"abcdefgh").unwrap();
    assert_eq!(read_all(&mut stream), b"right");
}

#[test]
fn the_end_of_the_stream_resolves_and_keeps_what_came() {
    handler!(Ends, conn => async move {
        let mut body = [0; 100];
        assert_eq!(read_into(conn, &mut body).await, 5);
        assert_eq!(&body[..6], b"short\0");
        conn.send(b"seen").await.unwrap();
    });
    let server = Running::server::<Ends>(config());
    let mut stream = server.connect();
    stream.write_all(b"short").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), b"seen");
}

#[test]
fn a5_a_stale_sink_is_never_written_by_the_slots_next_owner() {
    static ROUND: AtomicUsize = AtomicUsize::new(0);
    static FIRST: Mutex<Option<usize>> = Mutex::new(None);
    handler!(Stale, conn => {
        let round = ROUND.fetch_add(1, Ordering::AcqRel);
        async move {
            let mut sink = Box::new([0; 4]);
            // SAFETY: the box lives until this connection is closed and its sink is taken, both below.
            unsafe { conn.set_recv_sink(sink.as_mut_ptr(), 4).unwrap() };
            if round > 0 {
                conn.recv_ready().await;
                assert_eq!(conn.take_recv_sink(), Some(4));
                conn.send(&*sink).await.unwrap();
                return;
            }
            conn.close();
            // SAFETY: the sink is refused.
            assert!(matches!(unsafe { conn.set_recv_sink(sink.as_mut_ptr(), 4) }, Err(Error::InvalidConnection)));
            while ROUND.load(Ordering::Acquire) == 1 {
                yield_now().await;
            }
            // The slot has its next owner by now, and that has a sink of its own.
            for _ in 0..1000 {
                assert_eq!(conn.take_recv_sink(), None);
                yield_now().await;
            }
            *FIRST.lock().unwrap() = Some(sink.iter().map(|&byte: &u8| byte as usize).sum());
        }
    });
    let server = Running::server::<Stale>(config().max_connections(1));
    let mut first = server.connect();
    assert_eq!(read_all(&mut first), b"");
    drop(first);
    eventually("the slot is free", || {
        let mut next = server.connect();
        next.write_all(b"next").is_ok()
            && std::panic::catch_unwind(move || read_all(&mut next)).is_ok_and(|read| read == b"next")
    });
    eventually("the first task is done", || FIRST.lock().unwrap().is_some());
    assert_eq!(*FIRST.lock().unwrap(), Some(0));
}
