//! Several futures in one task: order, outputs, and what becomes of the losers (scenarios E1, E7).

mod harness;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use harness::{PATIENCE, config, on_worker, yield_now};
use ringline::{Deadline, Either, Either3, connect, join, join3, select, select3, sleep};

/// A future that is ready at its poll number `polls`, and notes each poll and its drop.
struct Noted<'a> {
    name: char,
    polls: u32,
    notes: &'a RefCell<String>,
}

impl Future for Noted<'_> {
    type Output = char;
    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<char> {
        self.notes.borrow_mut().push(self.name);
        self.polls -= 1;
        if self.polls == 0 {
            return Poll::Ready(self.name);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        self.notes.borrow_mut().push(self.name.to_ascii_uppercase());
    }
}

#[test]
fn joins_poll_in_order_and_drop_each_future_when_it_is_ready() {
    on_worker(config(), || async {
        let notes = RefCell::default();
        let noted = |name, polls| Noted { name, polls, notes: &notes };
        assert_eq!(join(noted('a', 2), noted('b', 1)).await, ('a', 'b'));
        assert_eq!(notes.take(), "abBaA");
        assert_eq!(join3(noted('a', 1), noted('b', 3), noted('c', 2)).await, ('a', 'b', 'c'));
        assert_eq!(notes.take(), "aAbcbcCbB");
    });
}

#[test]
fn selects_are_biased_and_drop_the_losers_before_they_resolve() {
    on_worker(config(), || async {
        let notes = RefCell::default();
        let noted = |name, polls| Noted { name, polls, notes: &notes };
        let mut both = pin!(select(noted('a', 1), noted('b', 1)));
        assert_eq!(both.as_mut().await, Either::Left('a'));
        assert_eq!(notes.take(), "aAB");
        assert_eq!(select(noted('a', 2), noted('b', 1)).await, Either::Right('b'));
        assert_eq!(notes.take(), "abAB");
        let mut three = pin!(select3(noted('a', 3), noted('b', 2), noted('c', 2)));
        assert_eq!(three.as_mut().await, Either3::Second('b'));
        assert_eq!(notes.take(), "abcabABC");
        assert_eq!(select3(noted('a', 2), noted('b', 2), noted('c', 1)).await, Either3::Third('c'));
        assert_eq!(select3(ready(1), ready(2), ready(3)).await, Either3::First(1));
    });
}

#[test]
fn outputs_of_one_type_need_no_match() {
    on_worker(config(), || async {
        assert_eq!(select(pending(), ready(2)).await.into_inner(), 2);
        assert_eq!(select(ready(1), pending()).await.into_inner(), 1);
        for (index, expected) in [1, 2, 3].into_iter().enumerate() {
            let at = |place: usize| async move { if place == index { place + 1 } else { pending().await } };
            assert_eq!(select3(at(0), at(1), at(2)).await.into_inner(), expected);
        }
    });
}

#[test]
fn joined_futures_wait_for_different_things_at_once() {
    on_worker(config(), || async {
        let rung = Rc::new(Cell::new(false));
        let waits = async {
            while !rung.get() {
                yield_now().await;
            }
        };
        let rings = async {
            sleep(Duration::from_millis(2)).await;
            rung.set(true);
        };
        let ((), (), ()) = join3(waits, rings, yield_now()).await;
    });
}

#[test]
fn e7_a_connect_that_lost_a_select_is_closed_and_not_leaked() {
    on_worker(config().max_connections(2), || async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        for _ in 0..20 {
            let attempt = connect(listener.local_addr().unwrap());
            // The connection stands before the select looks at it, but the first argument wins.
            let (mut accepted, _) = patiently(|| listener.accept()).await;
            assert!(matches!(select(ready(()), attempt).await, Either::Left(())));
            accepted.set_nonblocking(true).unwrap();
            assert_eq!(patiently(|| accepted.read(&mut [0])).await, 0, "the peer sees FIN");
        }
    });
}

/// Calls until it no longer would block, while the worker goes on.
async fn patiently<T>(mut call: impl FnMut() -> std::io::Result<T>) -> T {
    let deadline = Deadline::after(PATIENCE);
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => assert!(!deadline.has_passed(), "in time"),
            result => return result.unwrap(),
        }
        yield_now().await;
    }
}

#[test]
fn a_combinator_that_is_polled_after_its_end_panics_and_says_why() {
    on_worker(config(), || async {
        let mut done = pin!(select(ready(1), ready(2)));
        done.as_mut().await;
        let again = poll_fn(|cx| {
            let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| done.as_mut().poll(cx).is_ready()));
            Poll::Ready(polled.is_err())
        });
        assert!(again.await);
    });
}
