//! Sleeps, timeouts and deadlines: never early, never lost, bounded by `timer_slots` (scenarios D13, E5, E6).

mod harness;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use harness::{PATIENCE, config, on_worker, yield_now};
use ringline::{
    Deadline, SleepFuture, TimerExhausted, sleep, sleep_until, timeout, timeout_at, try_sleep, try_sleep_until,
    try_timeout, try_timeout_at,
};

#[test]
fn sleeps_never_end_early_and_not_much_too_late() {
    let mut late = on_worker(config(), || async {
        let mut late = Vec::new();
        for round in 0..400u64 {
            let duration = Duration::from_micros(round % 20 * 50);
            let (started, deadline) = (Instant::now(), Deadline::after(duration));
            if round.is_multiple_of(2) {
                sleep(duration).await
            } else {
                sleep_until(deadline).await
            }
            assert!(started.elapsed() >= duration, "{duration:?} took {:?}", started.elapsed());
            late.push(started.elapsed() - duration);
        }
        late
    });
    late.sort_unstable();
    // The median, because a busy machine delays some of them.
    assert!(late[200] < Duration::from_millis(5), "half of the sleeps were more than {:?} late", late[200]);
}

#[test]
fn sleeps_end_in_the_order_of_their_deadlines() {
    let ended = on_worker(config(), || async {
        let start = Deadline::now();
        let sleeper = |index: u64| {
            let after = index * 79 % 200;
            let deadline = start + Duration::from_micros(500 + after * 100);
            async move {
                sleep_until(deadline).await;
                assert!(deadline.has_passed());
                after
            }
        };
        (0..200).map(sleeper).collect::<FuturesUnordered<_>>().collect::<Vec<_>>().await
    });
    assert_eq!(ended, (0..200).collect::<Vec<_>>());
}

#[test]
fn e5_exhausted_timers_are_refused_by_the_try_forms_and_never_return_at_once() {
    let (armed, refused, early) = on_worker(config(), || async {
        let wait = Duration::from_millis(20);
        let started = Instant::now();
        let tries = (0..10_000).map(|_| try_sleep(wait));
        let (armed, refused): (Vec<_>, Vec<_>) = tries.partition(Result::is_ok);
        assert!(refused.iter().all(|sleep| matches!(sleep, Err(TimerExhausted { limit: 256, .. }))));
        assert!(try_sleep_until(Deadline::now()).is_err());
        assert!(try_timeout(wait, std::future::ready(())).is_err());
        assert!(try_timeout_at(Deadline::after(wait), std::future::ready(())).is_err());
        let mut early = 0;
        let mut sleeps: FuturesUnordered<_> = armed.into_iter().map(Result::unwrap).collect();
        let mut count = 0;
        while sleeps.next().await.is_some() {
            count += 1;
            early += usize::from(started.elapsed() < wait);
        }
        // All slots are free again.
        assert_eq!((0..256).map(|_| try_sleep(wait)).filter(Result::is_ok).count(), 256);
        (count, refused.len(), early)
    });
    assert_eq!((armed, refused, early), (256, 9744, 0));
}

#[test]
fn e5_the_infallible_forms_panic_and_say_what_to_raise() {
    let texts = on_worker(config().timer_slots(1), || async {
        let _armed = sleep(PATIENCE);
        let text = |panics: &dyn Fn()| {
            let panic = catch_unwind(AssertUnwindSafe(panics)).expect_err("no slot is free");
            panic.downcast_ref::<String>().cloned().unwrap_or_default()
        };
        [
            text(&|| drop(sleep(Duration::ZERO))),
            text(&|| drop(sleep_until(Deadline::now()))),
            text(&|| drop(timeout(Duration::ZERO, std::future::ready(())))),
            text(&|| drop(timeout_at(Deadline::now(), std::future::ready(())))),
        ]
    });
    for text in texts {
        assert_eq!(text, "all 1 timers of this worker are armed; raise timer_slots, or use try_sleep and try_timeout");
    }
}

#[test]
fn outside_of_a_worker_arming_a_timer_panics() {
    let panic = catch_unwind(|| drop(try_sleep(Duration::ZERO))).expect_err("there is no worker");
    assert!(panic.downcast_ref::<String>().is_some() || panic.downcast_ref::<&str>().is_some());
}

#[test]
fn e6_dropping_a_sleep_frees_its_slot_before_and_after_it_has_fired() {
    on_worker(config().timer_slots(1), || async {
        for round in 0..3000u32 {
            let mut sleeping = pin!(Some(sleep(Duration::from_micros(u64::from(round % 30)))));
            // Not polled, polled once, or dropped when the driver has fired it already.
            if round % 3 > 0 {
                poll_fn(|cx| {
                    let _ = sleeping.as_mut().as_pin_mut().unwrap().poll(cx);
                    Poll::Ready(())
                })
                .await;
            }
            if round % 3 == 2 {
                yield_now().await;
            }
        }
    });
}

#[test]
fn e6_a_slot_that_is_used_again_keeps_nothing_of_its_last_timer() {
    on_worker(config().timer_slots(1), || async {
        let wait = Duration::from_millis(2);
        for _ in 0..50 {
            let fired: SleepFuture = sleep(Duration::ZERO);
            yield_now().await;
            drop(fired);
            let started = Instant::now();
            sleep(wait).await;
            assert!(started.elapsed() >= wait);
        }
    });
}

#[test]
fn a_timeout_prefers_a_future_that_is_ready() {
    on_worker(config(), || async {
        assert_eq!(timeout(Duration::ZERO, std::future::ready(1)).await, Ok(1));
        assert_eq!(timeout_at(Deadline::now(), std::future::ready(2)).await, Ok(2));
        assert_eq!(try_timeout(PATIENCE, std::future::ready(3)).unwrap().await, Ok(3));
        // Both become ready in the same pass.
        let deadline = Deadline::after(Duration::from_millis(1));
        let slow = async {
            while !deadline.has_passed() {
                yield_now().await;
            }
        };
        assert!(timeout_at(deadline, slow).await.is_ok());
    });
}

#[test]
fn a_timeout_that_is_up_drops_the_future_before_it_says_so() {
    struct Alive(Rc<Cell<bool>>);
    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.set(false);
        }
    }
    on_worker(config(), || async {
        let (alive, wait) = (Rc::new(Cell::new(true)), Duration::from_millis(3));
        let guard = Alive(Rc::clone(&alive));
        let mut timed = pin!(timeout(wait, async move {
            std::future::pending::<()>().await;
            drop(guard);
        }));
        let started = Instant::now();
        let elapsed = timed.as_mut().await.unwrap_err();
        assert!(started.elapsed() >= wait && !alive.get());
        assert_eq!(std::io::Error::from(elapsed).kind(), std::io::ErrorKind::TimedOut);
    });
}

#[test]
fn deadlines_are_ordered_and_never_have_less_than_no_time_left() {
    let (now, later) = (Deadline::now(), Deadline::after(Duration::from_secs(9)));
    assert!(now < later && now.has_passed() && !later.has_passed());
    assert_eq!(now.remaining(), Duration::ZERO);
    assert!(later.remaining() > Duration::from_secs(8) && later.remaining() <= Duration::from_secs(9));
    assert_eq!((now + Duration::MAX) - (now + Duration::MAX), Duration::ZERO);
    assert!(Deadline::after(Duration::MAX) > later);
}
