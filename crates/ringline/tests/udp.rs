//! UDP through the API: every size, order of waiting, bounds, and errors that are not fatal (scenarios C10, D7, F6, F7).

mod harness;

use std::future::{Future, poll_fn};
use std::net::{SocketAddr, UdpSocket};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::task::Poll;

use harness::{PATIENCE, Running, config, eventually, open_descriptors, pattern, worker_threads, yield_now};
use ringline::{
    AsyncEventHandler, ConfigBuilder, ConnCtx, DriverCtx, Error, RinglineBuilder, UDP_QUEUE_BYTES_MAX,
    UDP_QUEUE_DATAGRAMS_MAX, UdpCtx, UdpSendError, UdpToken, join,
};

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

/// Defines a handler that serves each UDP socket by one expression.
macro_rules! udp_handler {
    ($name:ident, $udp:ident => $serve:expr) => {
        struct $name;
        impl AsyncEventHandler for $name {
            fn create_for_worker(_: usize) -> Self {
                $name
            }
            fn on_accept(&self, _: ConnCtx) -> impl Future<Output = ()> + 'static {
                std::future::ready(())
            }
            fn on_udp_bind(&self, $udp: UdpCtx) -> Option<LocalFuture> {
                Some(Box::pin($serve))
            }
        }
    };
}

/// A runtime with one UDP socket per worker.
fn udp_server<H: AsyncEventHandler>(config: ConfigBuilder) -> (Running, SocketAddr) {
    let builder = RinglineBuilder::new(config.build().unwrap()).bind_udp("127.0.0.1:0".parse().unwrap());
    let server = Running::launch::<H>(builder);
    let address = server.handle().udp_addrs()[0];
    (server, address)
}

/// A blocking socket that is connected to a server.
fn peer(address: SocketAddr) -> UdpSocket {
    let peer = UdpSocket::bind(SocketAddr::new(address.ip(), 0)).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.connect(address).unwrap();
    peer
}

async fn echo(udp: UdpCtx) {
    loop {
        let (bytes, peer) = udp.recv_from().await.unwrap();
        // What finds no room is lost, as datagrams may be.
        let _ = udp.send_to(peer, &bytes);
    }
}

#[test]
fn datagrams_of_every_size_are_echoed_one_by_one_over_ipv4_and_ipv6() {
    udp_handler!(Echo, udp => echo(udp));
    let addresses = ["127.0.0.1:0", "[::1]:0"].map(|address| address.parse().unwrap());
    let builder = RinglineBuilder::new(config().udp_bind(vec![addresses[0]]).build().unwrap()).bind_udp(addresses[1]);
    let server = Running::launch::<Echo>(builder);
    let mut buffer = vec![0; 70_000];
    for address in server.handle().udp_addrs() {
        let peer = peer(*address);
        for size in [0, 1, 64, 16_384, 16_385, 65_507] {
            peer.send(&pattern(size, 1)).unwrap();
            let len = peer.recv(&mut buffer).unwrap();
            assert!(buffer[..len] == pattern(size, 1), "{size} bytes came back as {len}");
        }
    }
    server.stop();
}

#[test]
fn batches_keep_their_order_and_their_senders() {
    udp_handler!(Echo, udp => echo(udp));
    let (_server, address) = udp_server::<Echo>(config());
    let peers: Vec<_> = (0..4).map(|_| peer(address)).collect();
    for round in 0..50u32 {
        for number in 0..8 {
            let numbers = [round.to_ne_bytes(), u32::to_ne_bytes(number)].concat();
            peers.iter().for_each(|peer| assert_eq!(peer.send(&numbers).unwrap(), 8));
        }
        for peer in &peers {
            for number in 0..8 {
                let mut answer = [0; 8];
                assert_eq!(peer.recv(&mut answer).unwrap(), 8);
                assert_eq!(answer.to_vec(), [round.to_ne_bytes(), u32::to_ne_bytes(number)].concat());
            }
        }
    }
}

#[test]
fn a_context_knows_its_socket() {
    static SEEN: Mutex<Vec<(usize, u32, Option<SocketAddr>)>> = Mutex::new(Vec::new());
    udp_handler!(Look, udp => async move {
        SEEN.lock().unwrap().push((udp.index(), udp.token().index(), udp.local_addr()));
    });
    let addresses = vec!["127.0.0.1:0".parse().unwrap(); 3];
    let server = Running::client::<Look>(config().workers(2).udp_bind(addresses));
    eventually("six sockets have their tasks", || SEEN.lock().unwrap().len() == 6);
    let mut seen = SEEN.lock().unwrap().clone();
    seen.sort_unstable();
    for (place, (index, token, address)) in seen.into_iter().enumerate() {
        assert_eq!((index, token), (place / 2, place as u32 / 2));
        // Both workers have the same port.
        assert_eq!(address, Some(server.handle().udp_addrs()[index]));
    }
}

#[test]
fn several_workers_share_an_address_and_every_peer_is_answered() {
    udp_handler!(Echo, udp => echo(udp));
    let (_server, address) = udp_server::<Echo>(config().workers(3));
    for number in 0..60u32 {
        let peer = peer(address);
        peer.send(&number.to_ne_bytes()).unwrap();
        let mut answer = [0; 4];
        peer.recv(&mut answer).unwrap();
        assert_eq!(answer, number.to_ne_bytes());
    }
}

#[test]
fn c10_a_second_waiter_gets_an_error_and_the_first_its_datagram() {
    udp_handler!(Twice, udp => async move {
        let mut first = pin!(udp.recv_from());
        assert!(poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending())).await);
        let refused = udp.recv_from().await.unwrap_err();
        assert!(matches!(refused, Error::UdpReceiverWaits) && refused.to_string().contains("one task"), "{refused}");
        let (bytes, peer) = first.await.unwrap();
        udp.send_to(peer, &bytes).unwrap();
        // Neither one that is done, nor one that was dropped while it waited, is in the way of the next.
        for _ in 0..3 {
            let mut dropped = Box::pin(udp.recv_from());
            assert!(poll_fn(|cx| Poll::Ready(dropped.as_mut().poll(cx).is_pending())).await);
        }
        echo(udp).await;
    });
    let (_server, address) = udp_server::<Twice>(config());
    let peer = peer(address);
    for text in [&b"one"[..], b"two", b"three"] {
        peer.send(text).unwrap();
        let mut answer = [0; 8];
        let len = peer.recv(&mut answer).unwrap();
        assert_eq!(&answer[..len], text);
    }
}

#[test]
fn f6_a_stalled_task_loses_the_newest_datagrams_and_they_are_counted() {
    static STALLED: Mutex<Option<mpsc::Receiver<()>>> = Mutex::new(None);
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Stall;
    impl AsyncEventHandler for Stall {
        fn create_for_worker(_: usize) -> Self {
            Stall
        }
        fn on_accept(&self, _: ConnCtx) -> impl Future<Output = ()> + 'static {
            std::future::ready(())
        }
        fn on_udp_bind(&self, udp: UdpCtx) -> Option<LocalFuture> {
            Some(Box::pin(async move {
                // Datagrams are taken off the socket meanwhile, so the worker goes on turning.
                while STALLED.lock().unwrap().as_ref().unwrap().try_recv().is_err() {
                    DROPPED.store(udp.dropped() as usize, Ordering::Release);
                    yield_now().await;
                }
                echo(udp).await;
            }))
        }
    }
    let (go_on, stalled) = mpsc::channel();
    *STALLED.lock().unwrap() = Some(stalled);
    let (_server, address) = udp_server::<Stall>(config());
    let peer = peer(address);
    // Empty ones count, too.
    let mut sent = 0u32;
    while DROPPED.load(Ordering::Acquire) < 10 {
        for _ in 0..16 {
            peer.send(if sent == 0 { b"first" } else { b"" }).unwrap();
            sent += 1;
        }
        std::thread::sleep(std::time::Duration::from_micros(100));
        assert!(sent < 1_000_000, "the queue has a bound");
    }
    assert!(sent as usize >= UDP_QUEUE_DATAGRAMS_MAX + 10);
    go_on.send(()).unwrap();
    let mut answer = [0; 8];
    assert_eq!(peer.recv(&mut answer).unwrap(), 5);
    assert_eq!(&answer[..5], b"first", "the oldest were kept");
    // What the kernel could not queue for this peer is lost, so that a marker is sent until it comes back.
    peer.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
    eventually("the socket works as before", || {
        peer.send(b"after").unwrap();
        std::iter::from_fn(|| peer.recv(&mut answer).ok()).any(|len| len == 5)
    });
}

#[test]
fn f6_large_datagrams_that_wait_are_bounded_by_their_bytes() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    static WAITING: AtomicUsize = AtomicUsize::new(0);
    udp_handler!(Stall, udp => async move {
        loop {
            DROPPED.store(udp.dropped() as usize, Ordering::Release);
            WAITING.store(ringline::worker_usage().unwrap().datagrams, Ordering::Release);
            yield_now().await;
        }
    });
    let (_server, address) = udp_server::<Stall>(config());
    let peer = peer(address);
    eventually("large datagrams are dropped", || {
        peer.send(&[1; 60_000]).unwrap();
        DROPPED.load(Ordering::Acquire) > 0
    });
    assert_eq!(WAITING.load(Ordering::Acquire), UDP_QUEUE_BYTES_MAX / 60_000);
}

#[test]
fn f7_every_reason_not_to_send_is_told_and_costs_no_slots() {
    static TOLD: Mutex<Option<(Vec<String>, u64)>> = Mutex::new(None);
    udp_handler!(Refuse, udp => async move {
        let (_, peer) = udp.recv_from().await.unwrap();
        let mut told = Vec::new();
        let mut tell = |sent: Result<(), UdpSendError>| told.push(format!("{:?}", sent.unwrap_err()));
        tell(udp.send_to(peer, &[0; 65_508]));
        // As many as may be on their way, in one turn.
        for _ in 0..1024 {
            udp.send_to(peer, b"").unwrap();
        }
        tell(udp.send_to(peer, b""));
        while ringline::worker_usage().unwrap().send_slots > 0 {
            yield_now().await;
        }
        tell(udp.send_to(peer, &[0; 65_000]));
        // The kernel finds this only later, and so does an unused port.
        udp.send_to("[::1]:9".parse().unwrap(), b"x").unwrap();
        let unused = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for _ in 0..10 {
            udp.send_to(unused, b"x").unwrap();
            yield_now().await;
        }
        while ringline::worker_usage().unwrap().send_slots > 0 {
            yield_now().await;
        }
        // An answer of the network is told by a later send or receive, and either goes on.
        *TOLD.lock().unwrap() = Some((told, udp.send_errors()));
        echo(udp).await;
    });
    // Slots of 32 bytes: 65,000 bytes need more of them than there are.
    let (_server, address) = udp_server::<Refuse>(config().send_copy_count(2000).send_copy_slot_size(32));
    let peer = peer(address);
    peer.send(b"begin").unwrap();
    eventually("the task has tried everything", || TOLD.lock().unwrap().is_some());
    let (told, errors) = TOLD.lock().unwrap().take().unwrap();
    assert!(told[0].starts_with("Io") && told[0].contains(&format!("code: {}", libc::EMSGSIZE)), "{told:?}");
    assert_eq!(told[1..], ["SendInFlight", "PoolExhausted"]);
    assert!(errors >= 1, "{errors}");
    let mut answer = [0; 32];
    // The empty ones have filled the peer's own buffer, so that its first questions may be answered in vain.
    peer.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
    eventually("the socket works as before", || {
        peer.send(b"still there?").unwrap();
        std::iter::from_fn(|| peer.recv(&mut answer).ok()).any(|len| len == 12)
    });
}

#[test]
fn payloads_outlive_the_worker() {
    static KEPT: Mutex<Vec<bytes::Bytes>> = Mutex::new(Vec::new());
    udp_handler!(Keep, udp => async move {
        loop {
            let (bytes, peer) = udp.recv_from().await.unwrap();
            KEPT.lock().unwrap().push(bytes);
            udp.send_to(peer, b"kept").unwrap();
        }
    });
    let (server, address) = udp_server::<Keep>(config());
    let peer = peer(address);
    for round in 0..200 {
        peer.send(&pattern(1000, round)).unwrap();
        assert_eq!(peer.recv(&mut [0; 8]).unwrap(), 4);
    }
    server.stop();
    let kept = std::mem::take(&mut *KEPT.lock().unwrap());
    assert!(kept.iter().enumerate().all(|(round, bytes)| *bytes == pattern(1000, round as u64)));
}

#[test]
fn a_handler_method_sends_by_token_and_a_foreign_token_is_refused() {
    static PEER: Mutex<Option<(UdpToken, SocketAddr)>> = Mutex::new(None);
    struct Notified;
    impl AsyncEventHandler for Notified {
        fn create_for_worker(_: usize) -> Self {
            Notified
        }
        fn on_accept(&self, _: ConnCtx) -> impl Future<Output = ()> + 'static {
            std::future::ready(())
        }
        fn on_udp_bind(&self, udp: UdpCtx) -> Option<LocalFuture> {
            Some(Box::pin(async move {
                let (_, peer) = udp.recv_from().await.unwrap();
                *PEER.lock().unwrap() = Some((udp.token(), peer));
            }))
        }
        fn on_notify(&mut self, ctx: &mut DriverCtx<'_>) {
            let (udp, peer) = PEER.lock().unwrap().unwrap();
            let foreign = ctx.send_to(UdpToken::from_index(7), peer, b"lost").unwrap_err();
            assert!(matches!(&foreign, UdpSendError::Io(error) if error.kind() == std::io::ErrorKind::NotFound));
            ctx.send_to(udp, peer, b"from afar").unwrap();
        }
    }
    let (server, address) = udp_server::<Notified>(config());
    let peer = peer(address);
    peer.send(b"here").unwrap();
    eventually("the worker knows the peer", || PEER.lock().unwrap().is_some());
    server.handle().notify();
    let mut answer = [0; 16];
    assert_eq!(peer.recv(&mut answer).unwrap(), 9);
}

#[test]
fn d7_an_address_that_cannot_be_bound_fails_the_launch_and_leaves_nothing() {
    udp_handler!(Echo, udp => echo(udp));
    let launch = |address: SocketAddr| {
        let builder = RinglineBuilder::new(config().workers(2).build().unwrap()).bind_udp(address);
        builder.bind("127.0.0.1:0".parse().unwrap()).launch::<Echo>().unwrap_err()
    };
    // Other tests of this file come and go meanwhile, so this one counts in a process of its own.
    const CHILD: &str = "RINGLINE_TEST_ALONE";
    if std::env::var_os(CHILD).is_none() {
        let name = "d7_an_address_that_cannot_be_bound_fails_the_launch_and_leaves_nothing";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let before = open_descriptors();
    for address in [taken.local_addr().unwrap(), "192.0.2.1:0".parse().unwrap(), "192.0.2.1:9".parse().unwrap()] {
        let error = launch(address);
        assert!(matches!(error, Error::Io(_)) && error.to_string().contains(&address.to_string()), "{error}");
        assert_eq!(open_descriptors(), before);
        // A thread that was joined may stand in /proc for a moment.
        eventually("no worker thread is left", || worker_threads().is_empty());
    }
}

#[test]
fn two_sockets_of_a_worker_are_served_by_two_tasks_at_once() {
    udp_handler!(Pair, udp => async move {
        // Each waits twice at the same time for different things.
        loop {
            let (received, ()) = join(udp.recv_from(), yield_now()).await;
            let (bytes, peer) = received.unwrap();
            udp.send_to(peer, &[&bytes[..], &udp.index().to_ne_bytes()[..1]].concat()).unwrap();
        }
    });
    let addresses = vec!["127.0.0.1:0".parse().unwrap(); 2];
    let server = Running::client::<Pair>(config().udp_bind(addresses));
    let peers: Vec<_> = server.handle().udp_addrs().iter().map(|address| peer(*address)).collect();
    for _ in 0..100 {
        peers.iter().for_each(|peer| assert_eq!(peer.send(b"x").unwrap(), 1));
        for (index, peer) in peers.iter().enumerate() {
            let mut answer = [0; 4];
            assert_eq!(peer.recv(&mut answer).unwrap(), 2);
            assert_eq!(answer[1] as usize, index);
        }
    }
}

/// Has the kernel answer EBUSY to this thread when it submits without looking for completions, as it does when it is short
/// of memory: what does not fit into the queue then has to wait for the next turn. A filter binds the thread that installs
/// it, for good.
fn refuse_submissions_between_turns() {
    const IO_URING_ENTER: u32 = 426;
    const GETEVENTS: u32 = 1;
    // Offsets of `seccomp_data`: the number of the call, and the low words of its second and fourth argument.
    const CALL: u32 = 0;
    const TO_SUBMIT: u32 = 24;
    const FLAGS: u32 = 40;
    let load = |k| libc::sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k };
    let jump = |test, k, jt, jf| libc::sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt, jf, k };
    let answer = |k| libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k };
    let mut filter = [
        load(CALL),
        jump(libc::BPF_JEQ, IO_URING_ENTER, 0, 5),
        load(TO_SUBMIT),
        jump(libc::BPF_JEQ, 0, 3, 0),
        load(FLAGS),
        jump(libc::BPF_JSET, GETEVENTS, 1, 0),
        answer(libc::SECCOMP_RET_ERRNO | libc::EBUSY as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its instructions live across the calls, which copy them.
    let installed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    assert!(installed, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_full_submission_queue_is_told_and_nothing_is_lost_or_kept() {
    static PEERS: Mutex<Vec<SocketAddr>> = Mutex::new(Vec::new());
    static REFUSED: Mutex<Option<(u32, String)>> = Mutex::new(None);
    udp_handler!(Flood, udp => async move {
        refuse_submissions_between_turns();
        let peers = PEERS.lock().unwrap().clone();
        // To one peer and the other in turn, so that none joins the one before it: 16 a turn, for each of which there are
        // four places.
        let mut sent = 0_u32;
        let refused = loop {
            match udp.send_to(peers[sent as usize % 2], &sent.to_ne_bytes()) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < 200, "the queue has a bound");
            if sent.is_multiple_of(16) {
                yield_now().await;
            }
        };
        while ringline::worker_usage().unwrap().send_slots > 0 {
            yield_now().await;
        }
        assert_eq!(udp.send_errors(), 0);
        *REFUSED.lock().unwrap() = Some((sent, format!("{refused:?}: {refused}")));
        echo(udp).await;
    });
    let any = "127.0.0.1:0";
    let peers = [(); 2].map(|()| UdpSocket::bind(any).unwrap());
    *PEERS.lock().unwrap() = peers.iter().map(|peer| peer.local_addr().unwrap()).collect();
    let (server, address) = udp_server::<Flood>(config().sq_entries(4));
    eventually("a send was refused, and those before it are out", || REFUSED.lock().unwrap().is_some());
    let (sent, refused) = REFUSED.lock().unwrap().take().unwrap();
    assert!(sent > 4 && refused.starts_with("SubmissionQueueFull: ") && refused.contains("try again"), "{refused}");
    for number in 0..sent {
        let peer = &peers[number as usize % 2];
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut bytes = [0; 4];
        assert_eq!((peer.recv(&mut bytes).unwrap(), bytes), (4, number.to_ne_bytes()));
    }
    peers[0].send_to(b"as before", address).unwrap();
    assert_eq!(peers[0].recv(&mut [0; 16]).unwrap(), 9);
    server.stop();
}
