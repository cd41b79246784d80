//! Rounds of sleepers, whatever runtime they sleep on: each sleeps again as soon as it wakes. A round is a line of JSON on standard input, and
//! what came of it, the CPU time of the process included, is one on standard output, as in `harness/task.mjs`.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One round. The sleepers count and do nothing else; a single one also notes by how much each sleep was too long.
pub struct Round {
    sleepers: u64,
    pause: Duration,
    length: Duration,
    began: Instant,
    cpu_from: Duration,
    over: AtomicBool,
    slept: AtomicU64,
    asleep: AtomicU64,
    overshoots: Mutex<Vec<Duration>>,
}

impl Round {
    /// Says that the process takes rounds.
    pub fn announce() {
        println!("{{\"pid\":{}}}", std::process::id());
    }

    /// Waits for the next round. None when there will be none.
    pub fn next() -> Option<Arc<Self>> {
        let mut line = String::new();
        if std::io::stdin().read_line(&mut line).ok()? == 0 {
            return None;
        }
        let number = |name: &str| -> Option<f64> {
            let (_, rest) = line.split_once(&format!("\"{name}\":"))?;
            let end = rest.find([',', '}'])?;
            rest[..end].trim().parse().ok()
        };
        let sleepers = number("sleepers")? as u64;
        Some(Arc::new(Self {
            sleepers,
            pause: Duration::from_secs_f64(number("ms")? / 1e3),
            length: Duration::from_secs_f64(number("seconds")?),
            began: Instant::now(),
            cpu_from: cpu_time(),
            over: AtomicBool::new(false),
            slept: AtomicU64::new(0),
            asleep: AtomicU64::new(sleepers),
            overshoots: Mutex::default(),
        }))
    }

    /// How many there are.
    pub fn sleepers(&self) -> u64 {
        self.sleepers
    }

    /// One of the sleepers.
    pub async fn sleeper<F: Future<Output = ()>>(self: Arc<Self>, sleep: impl Fn(Duration) -> F) {
        let mut overshoots = Vec::new();
        while !self.over.load(Ordering::Relaxed) {
            let from = (self.sleepers == 1).then(Instant::now);
            sleep(self.pause).await;
            overshoots.extend(from.map(|from| from.elapsed().saturating_sub(self.pause)));
            self.slept.fetch_add(1, Ordering::Relaxed);
        }
        self.overshoots.lock().expect("nobody panics").append(&mut overshoots);
        self.asleep.fetch_sub(1, Ordering::Relaxed);
    }

    /// Ends the round when it has lasted long enough, and tells what came of it.
    pub async fn end<F: Future<Output = ()>>(&self, sleep: impl Fn(Duration) -> F) {
        sleep(self.length).await;
        self.over.store(true, Ordering::Relaxed);
        while self.asleep.load(Ordering::Relaxed) > 0 {
            sleep(self.pause).await;
        }
        let (slept, cpu) = (self.slept.load(Ordering::Relaxed), (cpu_time() - self.cpu_from).as_nanos());
        let rate = slept as f64 / self.began.elapsed().as_secs_f64();
        println!(
            r#"{{"requests":{slept},"requests_per_second":{rate},"latency_ns":{},"server":{{"cpu_ns":{cpu},"main_thread_cpu_ns":{cpu}}}}}"#,
            self.quantiles(),
        );
    }

    fn quantiles(&self) -> String {
        let mut sorted = std::mem::take(&mut *self.overshoots.lock().expect("nobody panics"));
        if sorted.is_empty() {
            return "null".into();
        }
        sorted.sort();
        let at = |part: f64| sorted[((sorted.len() as f64 * part) as usize).min(sorted.len() - 1)].as_nanos();
        format!(r#"{{"p50":{},"p99":{},"p999":{}}}"#, at(0.5), at(0.99), at(0.999))
    }
}

/// CPU time of the process.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes to `time` and keeps nothing.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(answer, 0, "Linux has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
