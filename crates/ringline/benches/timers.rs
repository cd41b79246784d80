//! A timeout that is armed and disarmed again, with no other timer and with a million of them. `cargo bench -p ringline`

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use ringline::Config;
use ringline::assembly::{HostKind, assemble};

const TIMEOUT_NS: u64 = 30_000_000_000;
const HOUR_NS: u64 = 3_600_000_000_000;
/// By how much the deadlines of two timers that are armed one after the other differ, modulo an hour.
const STRIDE_NS: u64 = 1_234_567_891;

fn timers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timeout, armed and disarmed");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for armed in [0, 1_000_000] {
        let config = Config::builder().workers(1).pin_to_core(false).build().unwrap();
        let mut driver = assemble(&config, 0, HostKind::Tasks).unwrap();
        let now = driver.clock();
        for timer in 0..armed {
            driver.arm_timer(now + HOUR_NS + timer * STRIDE_NS % HOUR_NS, timer);
        }
        group.bench_function(format!("beside {armed}"), |bencher| {
            bencher.iter(|| {
                let timer = driver.arm_timer(black_box(now + TIMEOUT_NS), 0);
                driver.cancel_timer(black_box(timer));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, timers);
criterion_main!(benches);
