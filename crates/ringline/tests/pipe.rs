//! Pipes between connections: bytes exact in both directions, half-closes, failures on either side, back-pressure.

mod harness;

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Mutex;
use std::time::Duration;

use harness::{PATIENCE, Running, config, eventually, pattern, read_all, read_exactly, receive, yield_now};
use ringline::{ConnCtx, Error, ParseResult, connect, join};

/// What became of the pipes of a proxied connection, by its upstream's port: towards the upstream, and back.
static OUTCOMES: Mutex<Vec<(u16, Outcome, Outcome)>> = Mutex::new(Vec::new());

#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Moved(u64),
    Failed(Option<i32>),
    Closed,
    Other(String),
}

impl From<Result<u64, Error>> for Outcome {
    fn from(result: Result<u64, Error>) -> Self {
        match result {
            Ok(moved) => Self::Moved(moved),
            Err(Error::Io(error)) => Self::Failed(error.raw_os_error()),
            Err(Error::InvalidConnection) => Self::Closed,
            Err(error) => Self::Other(error.to_string()),
        }
    }
}

/// Reads the port of the upstream that a client wants, in two bytes, and connects to it.
async fn upstream(client: ConnCtx) -> (u16, ConnCtx) {
    let wanted = receive(client, 2).await;
    let port = u16::from_be_bytes([wanted[0], wanted[1]]);
    let server = connect(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
    (port, server)
}

handler!(Proxy, client => async move {
    let (port, server) = upstream(client).await;
    let (there, back) = join(client.pipe(server), server.pipe(client)).await;
    server.close();
    OUTCOMES.lock().unwrap().push((port, there.into(), back.into()));
});

/// An upstream that the test plays, and a client whose first bytes name it.
fn proxied(server: &Running, first: &[u8]) -> (u16, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut client = server.connect();
    client.write_all(&[&port.to_be_bytes()[..], first].concat()).unwrap();
    let (upstream, _) = listener.accept().unwrap();
    upstream.set_read_timeout(Some(PATIENCE)).unwrap();
    upstream.set_write_timeout(Some(PATIENCE)).unwrap();
    (port, client, upstream)
}

fn outcome(port: u16) -> (Outcome, Outcome) {
    let mut found = None;
    eventually("the pipes have ended", || {
        let outcomes = OUTCOMES.lock().unwrap();
        found = outcomes.iter().find(|outcome| outcome.0 == port).map(|(_, there, back)| (there.clone(), back.clone()));
        found.is_some()
    });
    found.unwrap()
}

/// Closes with a reset instead of a FIN.
fn reset(stream: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the option's value is a live `linger` of the length that is given.
    let set = unsafe {
        let value = (&raw const linger).cast();
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, size_of_val(&linger) as u32)
    };
    assert_eq!(set, 0);
}

#[test]
fn every_byte_passes_both_ways_at_once_while_one_side_reads_slowly() {
    const LEN: usize = 24 << 20;
    let server = Running::server::<Proxy>(config());
    let (port, mut client, mut upstream) = proxied(&server, b"");
    let (mut writer, mut back) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            writer.write_all(&pattern(LEN, 1)).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        scope.spawn(move || {
            back.write_all(&pattern(LEN, 2)).unwrap();
            back.shutdown(Shutdown::Write).unwrap();
        });
        scope.spawn(move || assert!(read_all(&mut client) == pattern(LEN, 2)));
        let mut received = Vec::new();
        let mut piece = vec![0; 100_000];
        loop {
            let count = upstream.read(&mut piece).unwrap();
            received.extend_from_slice(&piece[..count]);
            if count == 0 {
                break;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        assert!(received == pattern(LEN, 1));
    });
    assert_eq!(outcome(port), (Outcome::Moved(LEN as u64), Outcome::Moved(LEN as u64)));
}

#[test]
fn what_is_buffered_goes_first() {
    let server = Running::server::<Proxy>(config());
    let first = pattern(200_000, 3);
    let (port, mut client, mut upstream) = proxied(&server, &first);
    client.write_all(b" and then").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(read_all(&mut upstream) == [&first[..], b" and then"].concat());
    drop(upstream);
    assert_eq!(outcome(port), (Outcome::Moved(200_009), Outcome::Moved(0)));
}

#[test]
fn a_half_close_passes_and_the_answer_still_comes_back() {
    let server = Running::server::<Proxy>(config());
    let (port, mut client, mut upstream) = proxied(&server, b"question");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut upstream), b"question");
    upstream.write_all(b"answer").unwrap();
    drop(upstream);
    assert_eq!(read_all(&mut client), b"answer");
    assert_eq!(outcome(port), (Outcome::Moved(8), Outcome::Moved(6)));
}

#[test]
fn a_reset_source_fails_its_pipe_and_leaves_the_target_open() {
    handler!(Watch, client => async move {
        let (port, server) = upstream(client).await;
        let piped = client.pipe(server).await;
        // No FIN has told the upstream that this was everything.
        server.send(b"broken off").await.unwrap();
        server.close();
        OUTCOMES.lock().unwrap().push((port, piped.into(), Outcome::Moved(0)));
    });
    let server = Running::server::<Watch>(config());
    let (port, client, mut upstream) = proxied(&server, b"half of it, ");
    assert_eq!(read_exactly(&mut upstream, 12), b"half of it, ");
    reset(client);
    assert_eq!(read_all(&mut upstream), b"broken off");
    assert_eq!(outcome(port).0, Outcome::Failed(Some(libc::ECONNRESET)));
}

#[test]
fn a_reset_target_fails_its_pipe_and_the_rest_can_be_read() {
    handler!(Watch, client => async move {
        let (port, server) = upstream(client).await;
        let piped = client.pipe(server).await;
        client.send(b"gone").await.unwrap();
        let rest = receive(client, 4).await;
        client.send(&rest).await.unwrap();
        OUTCOMES.lock().unwrap().push((port, piped.into(), Outcome::Moved(0)));
    });
    let server = Running::server::<Watch>(config());
    let (port, mut client, mut upstream) = proxied(&server, b"up");
    assert_eq!(read_exactly(&mut upstream, 2), b"up", "the pipe stands");
    reset(upstream);
    assert_eq!(read_exactly(&mut client, 4), b"gone");
    client.write_all(b"rest").unwrap();
    assert_eq!(read_all(&mut client), b"rest");
    assert_eq!(outcome(port).0, Outcome::Failed(Some(libc::ECONNRESET)));
}

#[test]
fn closing_either_side_ends_the_pipe() {
    handler!(Closer, client => async move {
        let (port, server) = upstream(client).await;
        let close = |conn: ConnCtx| async move {
            yield_now().await;
            conn.close();
        };
        let (target, ()) = join(client.pipe(server), close(server)).await;
        let (source, ()) = join(client.pipe(client), close(client)).await;
        OUTCOMES.lock().unwrap().push((port, target.into(), source.into()));
    });
    let server = Running::server::<Closer>(config());
    let (port, mut client, mut upstream) = proxied(&server, b"");
    assert_eq!((read_all(&mut client), read_all(&mut upstream)), (vec![], vec![]));
    assert_eq!(outcome(port), (Outcome::Closed, Outcome::Closed));
}

#[test]
fn shutting_the_target_down_for_writing_ends_the_pipe_at_once() {
    handler!(Shut, client => async move {
        let (port, server) = upstream(client).await;
        let shut = async {
            yield_now().await;
            server.shutdown_write();
        };
        let (piped, ()) = join(client.pipe(server), shut).await;
        // Only now does the client send more: it is read here.
        client.send(b"go on").await.unwrap();
        assert_eq!(receive(client, 4).await, b"rest");
        OUTCOMES.lock().unwrap().push((port, piped.into(), Outcome::Moved(4)));
    });
    let server = Running::server::<Shut>(config());
    let (port, mut client, mut upstream) = proxied(&server, b"first");
    assert_eq!(read_all(&mut upstream), b"first");
    assert_eq!(read_exactly(&mut client, 5), b"go on");
    client.write_all(b"rest").unwrap();
    assert_eq!(outcome(port), (Outcome::Closed, Outcome::Moved(4)));
}

#[test]
fn a_dropped_pipe_loses_no_byte() {
    /// Lets a pipe run for a few turns; whether it has come to its end.
    async fn pipe_for_a_while(client: ConnCtx, server: ConnCtx) -> bool {
        let mut pipe = std::pin::pin!(client.pipe(server));
        for _ in 0..3 {
            let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(pipe.as_mut().poll(cx))).await;
            if polled.is_ready() {
                return true;
            }
            yield_now().await;
        }
        false
    }
    handler!(Dropper, client => async move {
        let (port, server) = upstream(client).await;
        let (mut piped, mut read) = (0, 0);
        while !pipe_for_a_while(client, server).await {
            piped += 1;
            // What comes next is read, and sent in order with what was piped: the target takes sends again at once.
            let bytes = receive(client, 1).await;
            if bytes.is_empty() {
                break;
            }
            read += 1;
            server.send(&bytes).await.unwrap();
        }
        server.close();
        OUTCOMES.lock().unwrap().push((port, Outcome::Moved(piped), Outcome::Moved(read)));
    });
    let server = Running::server::<Dropper>(config());
    let (port, mut client, mut upstream) = proxied(&server, b"");
    for round in 0..200 {
        let bytes = pattern(4096, round);
        client.write_all(&bytes).unwrap();
        assert!(read_exactly(&mut upstream, bytes.len()) == bytes, "round {round}");
    }
    client.shutdown(Shutdown::Write).unwrap();
    assert!(read_all(&mut upstream).is_empty());
    let (Outcome::Moved(piped), Outcome::Moved(read)) = outcome(port) else { unreachable!("as the handler says") };
    assert!(piped > 1 && read > 1, "{piped} pipes were dropped, {read} bytes read beside them");
}

#[test]
fn a_direction_has_one_pipe_and_a_target_takes_no_other_sends() {
    handler!(Busy, client => async move {
        let (port, server) = upstream(client).await;
        let pipe = client.pipe(server);
        let again: Outcome = client.pipe(server).await.into();
        let other: Outcome = client.pipe(client).await.into();
        assert!(matches!(server.send_nowait(b"no"), Err(Error::PipeBusy)));
        assert!(matches!(server.send_parts().copy(b"no").submit(), Err(Error::PipeBusy)));
        assert!(pipe.await.is_ok());
        assert!(matches!(server.send_nowait(b"no"), Err(Error::Io(_))), "its FIN is out");
        OUTCOMES.lock().unwrap().push((port, again, other));
    });
    let server = Running::server::<Busy>(config());
    let (port, client, mut upstream) = proxied(&server, b"once");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut upstream), b"once");
    let busy = Outcome::Other(Error::PipeBusy.to_string());
    assert_eq!(outcome(port), (busy.clone(), busy));
}

#[test]
fn a_pipe_from_within_a_reader_is_refused() {
    handler!(Within, conn => async move {
        let mut refused = None;
        conn.with_data(|data| {
            refused = Some(conn.pipe(conn));
            ParseResult::Consumed(data.len())
        })
        .await;
        assert!(matches!(refused.unwrap().await, Err(Error::PipeBusy)));
        conn.send(b"refused").await.unwrap();
    });
    let server = Running::server::<Within>(config());
    let mut client = server.connect();
    client.write_all(b"x").unwrap();
    assert_eq!(read_all(&mut client), b"refused");
}

#[test]
fn a5_a_pipe_of_stale_connections_is_refused() {
    static STALE: Mutex<Vec<Outcome>> = Mutex::new(Vec::new());
    handler!(Stale, conn => async move {
        thread_local! { static PAST: std::cell::Cell<Option<ConnCtx>> = const { std::cell::Cell::new(None) } }
        if let Some(past) = PAST.get() {
            assert_eq!(past.index(), conn.index(), "the slot is used again");
            let refused = [past.pipe(conn).await.into(), conn.pipe(past).await.into()];
            STALE.lock().unwrap().extend(refused);
        }
        PAST.set(Some(conn));
        conn.send(b"!").await.unwrap();
    });
    let server = Running::server::<Stale>(config());
    for _ in 0..2 {
        let mut client = server.connect();
        assert_eq!(read_all(&mut client), b"!");
        drop(client);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(*STALE.lock().unwrap(), [Outcome::Closed, Outcome::Closed]);
}

#[test]
fn a_connection_piped_to_itself_echoes() {
    handler!(Loop, conn => async move { assert_eq!(conn.pipe(conn).await.unwrap(), 8 << 20) });
    let server = Running::server::<Loop>(config());
    let mut client = server.connect();
    let bytes = pattern(8 << 20, 7);
    let mut writer = client.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&bytes).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        assert!(read_all(&mut client) == bytes);
    });
}

#[test]
fn a_target_that_does_not_read_stops_its_source() {
    /// What the kernel holds in four sockets' buffers, and the pipe's own bound, fits into this many times.
    const BOUND: usize = 64 << 20;
    let server = Running::server::<Proxy>(config());
    let (port, mut client, mut upstream) = proxied(&server, b"");
    client.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let piece = pattern(1 << 20, 9);
    let mut written = 0;
    loop {
        match client.write(&piece[written % piece.len()..]) {
            Ok(count) => written += count,
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        assert!(written < BOUND, "the proxy takes {written} bytes that nobody reads");
    }
    client.shutdown(Shutdown::Write).unwrap();
    let received = read_all(&mut upstream);
    assert_eq!(received.len(), written);
    assert!(received.chunks(piece.len()).all(|chunk| chunk == &piece[..chunk.len()]));
    drop(upstream);
    assert_eq!(outcome(port).0, Outcome::Moved(written as u64));
}
