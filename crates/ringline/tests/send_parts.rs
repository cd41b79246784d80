//! Scatter-gather and zero-copy sends: order, all or nothing, and when guards are dropped (scenarios A13, B7, B8, B9).

mod harness;

use std::future::Future;
use std::io::Read;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use harness::{Running, config, eventually, pattern, read_all, read_exactly, yield_now};
use ringline::{
    AsyncEventHandler, ConnCtx, ConnToken, DriverCtx, Error, GuardBox, MAX_GUARDS, MAX_IOVECS, MemoryRegion,
    ParseResult, RegionId, SendGuard, SendPart, worker_usage,
};

/// More than the buffers of both sockets hold.
const MORE_THAN_THE_SOCKET_HOLDS: usize = 24 << 20;

/// Bytes that count their drops.
struct Counted {
    bytes: Bytes,
    drops: Arc<AtomicUsize>,
}

// SAFETY: the bytes are reference-counted and immutable.
unsafe impl SendGuard for Counted {
    fn as_ptr_len(&self) -> (*const u8, u32) {
        (self.bytes.as_ptr(), self.bytes.len() as u32)
    }
    fn region(&self) -> RegionId {
        RegionId::UNREGISTERED
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // A guard is dropped where the worker can be used.
        assert!(worker_usage().is_ok());
        self.drops.fetch_add(1, Ordering::AcqRel);
    }
}

fn counted(bytes: Vec<u8>, drops: &Arc<AtomicUsize>) -> GuardBox {
    GuardBox::new(Counted { bytes: Bytes::from(bytes), drops: Arc::clone(drops) })
}

#[test]
fn parts_arrive_in_their_order_however_they_are_submitted() {
    handler!(Parts, conn => async move {
        let value = |seed| GuardBox::new(pattern(10_000, seed));
        conn.send_nowait(b"0").unwrap();
        conn.send_parts().build(|parts| parts.copy(b"<").guard(value(1)).copy(b">").guard(value(2))).unwrap();
        let sent = conn.send_parts().build_await(|parts| parts.guard(value(3)).copy(b"!")).await;
        assert_eq!(sent.unwrap(), 10_001);
        conn.send_parts().submit_batch([SendPart::Guard(value(4)), SendPart::Copy(&pattern(40_000, 5))]).unwrap();
        conn.send_nowait(b"6").unwrap();
        let parts = (0..MAX_IOVECS).map(|_| SendPart::Copy(b"7"));
        assert_eq!(conn.send_parts().submit_batch_await(parts).await.unwrap(), MAX_IOVECS);
        conn.send_parts().copy(b"8").guard(GuardBox::new(&b""[..])).copy(b"").copy(b"9").submit().unwrap();
        assert_eq!(conn.send_parts().submit_await().await.unwrap(), 0);
    });
    let server = Running::server::<Parts>(config());
    let expected = [
        &b"0<"[..],
        &pattern(10_000, 1),
        b">",
        &pattern(10_000, 2),
        &pattern(10_000, 3),
        b"!",
        &pattern(10_000, 4),
        &pattern(40_000, 5),
        b"6",
        b"77777777",
        b"89",
    ]
    .concat();
    assert!(read_all(&mut server.connect()) == expected);
}

#[test]
fn a_send_that_is_refused_sends_nothing_and_drops_its_guards() {
    static PASSED: AtomicBool = AtomicBool::new(false);
    handler!(Refused, conn => async move {
        let drops = Arc::default();
        let guard = || counted(vec![1; 5000], &drops);
        let mut expected = 0;
        let parts = (0..=MAX_IOVECS).map(|_| SendPart::Copy(b"x"));
        let refused = conn.send_parts().submit_batch(parts).unwrap_err();
        assert!(matches!(refused, Error::TooManyParts { of: "parts", max: MAX_IOVECS }), "{refused}");

        let guards = (0..=MAX_GUARDS).map(|_| SendPart::Guard(guard()));
        let refused = conn.send_parts().submit_batch_await(guards).await.unwrap_err();
        assert!(matches!(refused, Error::TooManyParts { of: "guards", max: MAX_GUARDS }), "{refused}");
        expected += MAX_GUARDS + 1;
        assert_eq!(drops.load(Ordering::Acquire), expected);

        // The guard in front of the bytes that find no room is not sent either.
        let refused = conn.send_parts().build(|parts| parts.guard(guard()).copy(&[0; 4 * 1024 + 1])).unwrap_err();
        assert!(matches!(refused, Error::SendPoolExhausted { needed: 5, free: 4 }), "{refused}");
        expected += 1;
        let refused = conn.send_parts().copy(b"x").guard(guard()).guard(guard()).guard(guard()).submit().unwrap_err();
        assert!(matches!(refused, Error::GuardLimitReached { needed: 3, free: 2 }), "{refused}");
        assert!(refused.to_string().contains("send_slab_slots"), "{refused}");
        expected += 3;
        assert_eq!(drops.load(Ordering::Acquire), expected);
        assert_eq!(worker_usage().unwrap().send_slots + worker_usage().unwrap().guards, 0);

        conn.send_parts().copy(b"all").submit_await().await.unwrap();
        conn.shutdown_write();
        let refused = conn.send_parts().guard(guard()).submit().unwrap_err();
        assert!(matches!(&refused, Error::Io(error) if error.kind() == std::io::ErrorKind::BrokenPipe), "{refused}");
        conn.close();
        let refused = conn.send_parts().guard(guard()).submit().unwrap_err();
        assert!(matches!(refused, Error::InvalidConnection), "{refused}");
        assert_eq!(drops.load(Ordering::Acquire), expected + 2);
        PASSED.store(true, Ordering::Release);
    });
    let config = config().send_copy_count(4).send_copy_slot_size(1024).send_slab_slots(2);
    let server = Running::server::<Refused>(config);
    assert_eq!(read_all(&mut server.connect()), b"all");
    eventually("the task has passed its last check", || PASSED.load(Ordering::Acquire));
}

/// A guard that names whatever it is told to.
struct Claims(*const u8, u32, RegionId);

// SAFETY: the tests name static memory, or memory that is refused.
unsafe impl SendGuard for Claims {
    fn as_ptr_len(&self) -> (*const u8, u32) {
        (self.0, self.1)
    }
    fn region(&self) -> RegionId {
        self.2
    }
}

/// The regions of the test below.
static REGIONS: Mutex<Vec<MemoryRegion>> = Mutex::new(Vec::new());

#[test]
fn memory_is_checked_against_the_region_that_its_guard_names() {
    handler!(Check, conn => async move {
        let regions = REGIONS.lock().unwrap().clone();
        let (start, len) = (regions[1].as_ptr().cast_const(), regions[1].len());
        let send = |guard| conn.send_parts().guard(GuardBox::new(guard)).submit();
        let second = RegionId::new(1);
        let refused = send(Claims(start, 1, RegionId::new(2))).unwrap_err();
        assert!(matches!(refused, Error::InvalidRegion { region, registered: 2 } if region.index() == Some(2)));
        assert!(refused.to_string().contains("registered_regions"), "{refused}");
        for (offset, count) in [(0, len + 1), (len - 1, 2), (len, 1), (usize::MAX, 1), (len + 4096, 4)] {
            let refused = send(Claims(start.wrapping_add(offset), count as u32, second)).unwrap_err();
            assert!(matches!(refused, Error::PointerOutOfRegion { .. }), "{offset} {count}: {refused}");
        }
        // Without a region nothing is checked.
        send(Claims(b"static ".as_ptr(), 7, RegionId::UNREGISTERED)).unwrap();
        // The last byte of the region belongs to it, and so does all of it.
        send(Claims(start.wrapping_add(len - 1), 1, second)).unwrap();
        // SAFETY: nobody writes to the region any more.
        let guard = unsafe { regions[1].guard(second, 0, len as u32) };
        assert_eq!(conn.send_parts().guard(GuardBox::new(guard)).submit_await().await.unwrap(), len);
    });
    let regions: Vec<_> = (0..2).map(|_| MemoryRegion::allocate(1 << 20).unwrap()).collect();
    let bytes = pattern(1 << 20, 9);
    // SAFETY: the region has as many bytes, and nobody else uses it yet.
    unsafe { regions[1].as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    *REGIONS.lock().unwrap() = regions.clone();
    let server = Running::server::<Check>(config().registered_regions(regions).send_zc_threshold(0));
    let expected = [b"static ", &bytes[bytes.len() - 1..], &bytes].concat();
    assert!(read_all(&mut server.connect()) == expected);
}

#[test]
fn a_region_that_cannot_be_registered_fails_the_launch() {
    handler!(Never, _conn => std::future::ready(()));
    let page = MemoryRegion::allocate(1).unwrap();
    // SAFETY: nobody ever reads or writes through it: the kernel refuses it.
    let unmapped = unsafe { MemoryRegion::from_raw(page.as_ptr().wrapping_add(1 << 46), 4096) };
    let config = config().registered_regions(vec![page, unmapped]).build().unwrap();
    let error = ringline::RinglineBuilder::new(config).launch::<Never>().unwrap_err();
    assert!(matches!(error, Error::BufferRegistration(_)), "{error:?}");
    let empty = ringline::Config::builder();
    // SAFETY: as above.
    let empty = empty.registered_regions(vec![unsafe { MemoryRegion::from_raw(std::ptr::null_mut(), 0) }]).build();
    assert!(matches!(empty, Err(Error::InvalidConfig { field: "registered_regions", .. })));
}

#[test]
fn b9_a_guard_lives_until_the_kernel_has_let_go_of_all_its_parts() {
    static DROPS: Mutex<Option<Arc<AtomicUsize>>> = Mutex::new(None);
    handler!(Large, conn => async move {
        let drops = DROPS.lock().unwrap().clone().unwrap();
        conn.send_parts().guard(counted(pattern(MORE_THAN_THE_SOCKET_HOLDS, 1), &drops)).submit().unwrap();
        conn.with_data(|_| ParseResult::NeedMore).await;
    });
    let drops = Arc::<AtomicUsize>::default();
    *DROPS.lock().unwrap() = Some(Arc::clone(&drops));
    let server = Running::server::<Large>(config().send_zc_threshold(0));
    let mut stream = server.connect();
    assert_eq!(read_exactly(&mut stream, 1), pattern(1, 1));
    assert_eq!(drops.load(Ordering::Acquire), 0);
    assert!(read_exactly(&mut stream, MORE_THAN_THE_SOCKET_HOLDS - 1) == pattern(MORE_THAN_THE_SOCKET_HOLDS, 1)[1..]);
    eventually("the guard is dropped", || drops.load(Ordering::Acquire) == 1);
    server.stop();
    assert_eq!(drops.load(Ordering::Acquire), 1, "dropped once");
}

#[test]
fn a13_a_task_that_ends_with_guards_in_flight_frees_its_slot_and_its_guards() {
    static DROPS: Mutex<Option<Arc<AtomicUsize>>> = Mutex::new(None);
    handler!(Forget, conn => async move {
        let drops = DROPS.lock().unwrap().clone().unwrap();
        conn.send_parts().build(|parts| parts.copy(b">").guard(counted(pattern(1 << 20, 2), &drops))).unwrap();
    });
    let drops = Arc::<AtomicUsize>::default();
    *DROPS.lock().unwrap() = Some(Arc::clone(&drops));
    let server = Running::server::<Forget>(config().send_zc_threshold(0).send_slab_slots(1).max_connections(1));
    for round in 1..=20 {
        // The only connection slot and the only guard slot have to be free again each time.
        let mut received = Vec::new();
        eventually("the next connection is served", || {
            received.clear();
            server.connect().read_to_end(&mut received).is_ok() && received.len() == (1 << 20) + 1
        });
        assert!(received[1..] == pattern(1 << 20, 2));
        eventually("the guard is dropped", || drops.load(Ordering::Acquire) >= round);
    }
}

#[test]
fn b8_a_connection_that_breaks_drops_its_queued_guards_exactly_once() {
    static DROPS: Mutex<Option<Arc<AtomicUsize>>> = Mutex::new(None);
    handler!(Break, conn => async move {
        let drops = DROPS.lock().unwrap().clone().unwrap();
        for _ in 0..3 {
            let guard = counted(vec![3; MORE_THAN_THE_SOCKET_HOLDS], &drops);
            conn.send_parts().build(|parts| parts.copy(b"x").guard(guard)).unwrap();
        }
        conn.with_data(|_| ParseResult::NeedMore).await;
    });
    let drops = Arc::<AtomicUsize>::default();
    *DROPS.lock().unwrap() = Some(Arc::clone(&drops));
    let server = Running::server::<Break>(config().send_zc_threshold(0));
    let mut stream = server.connect();
    read_exactly(&mut stream, 1);
    // Closed with unread bytes: the kernel resets the connection.
    drop(stream);
    eventually("every guard is dropped", || drops.load(Ordering::Acquire) == 3);
    server.stop();
    assert_eq!(drops.load(Ordering::Acquire), 3, "each is dropped once");
}

#[test]
fn b9_a_shutdown_waits_for_the_notifications_of_guards() {
    static DROPS: Mutex<Option<Arc<AtomicUsize>>> = Mutex::new(None);
    handler!(Late, conn => async move {
        let drops = DROPS.lock().unwrap().clone().unwrap();
        conn.send_parts().guard(counted(pattern(8 << 20, 4), &drops)).submit().unwrap();
        conn.with_data(|_| ParseResult::NeedMore).await;
    });
    let drops = Arc::<AtomicUsize>::default();
    *DROPS.lock().unwrap() = Some(Arc::clone(&drops));
    let server = Running::server::<Late>(config().send_zc_threshold(0));
    let mut stream = server.connect();
    read_exactly(&mut stream, 1);
    server.handle().shutdown();
    assert!(read_all(&mut stream) == pattern(8 << 20, 4)[1..]);
    drop(stream);
    server.join();
    assert_eq!(drops.load(Ordering::Acquire), 1);
}

#[test]
fn a_guard_whose_drop_panics_harms_nobody() {
    struct Panics;
    // SAFETY: the memory is static.
    unsafe impl SendGuard for Panics {
        fn as_ptr_len(&self) -> (*const u8, u32) {
            (b"value".as_ptr(), 5)
        }
        fn region(&self) -> RegionId {
            RegionId::UNREGISTERED
        }
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("this panic is part of the test");
        }
    }
    handler!(Careless, conn => async move {
        conn.send_parts().guard(GuardBox::new(Panics)).submit_await().await.unwrap();
        yield_now().await;
        conn.send(b" and more").await.unwrap();
    });
    let server = Running::server::<Careless>(config());
    assert_eq!(read_all(&mut server.connect()), b"value and more");
}

#[test]
fn a_handler_method_sends_parts_by_token() {
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
            ctx.send_parts(conn).copy(b"from ").guard(GuardBox::new(&b"afar"[..])).submit().unwrap();
            assert_eq!((ctx.usage().guards, ctx.usage().connections), (1, 1));
            ctx.close(conn);
        }
    }
    let server = Running::server::<Notified>(config());
    let mut stream = server.connect();
    assert_eq!(read_exactly(&mut stream, 6), b"hello ");
    server.handle().notify();
    assert_eq!(read_all(&mut stream), b"from afar");
}
