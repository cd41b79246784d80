//! What counts: the warm-up, the measured window and the drain after it; responses and latencies within the window; the
//! CPU time that server and load used between its two ends.

use hdrhistogram::Histogram;

use crate::cpu::{self, ServerCpu};
use crate::options::Options;

const LATENCY_NS_MAX: u64 = 600_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// Counts of responses and bytes. The histogram covers the window only; the bytes, the whole run.
pub(crate) struct Tally {
    latencies_ns: Histogram<u64>,
    verified_bytes: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let latencies_ns =
            Histogram::new_with_bounds(1, LATENCY_NS_MAX, SIGNIFICANT_DIGITS).expect("the bounds are legal constants");
        Tally { latencies_ns, verified_bytes: 0 }
    }

    #[inline]
    pub(crate) fn bytes(&mut self, count: usize) {
        self.verified_bytes += count as u64;
    }

    #[inline]
    pub(crate) fn response(&mut self, latency_ns: u64) {
        self.latencies_ns.saturating_record(latency_ns);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Window,
    Drain,
}

struct Reading {
    at_ns: u64,
    load_cpu_ns: u64,
    server: Option<ServerCpu>,
}

impl Reading {
    fn take(now_ns: u64, pid: Option<u32>) -> Self {
        Reading { at_ns: now_ns, load_cpu_ns: cpu::own_cpu_ns(), server: pid.and_then(ServerCpu::read) }
    }
}

/// The course of one run. All times are nanoseconds since the run began.
pub(crate) struct Measurement {
    pub(crate) tally: Tally,
    phase: Phase,
    phase_ends_ns: u64,
    window_ns: u64,
    pid: Option<u32>,
    first: Option<Reading>,
    last: Option<Reading>,
    /// Responses and latencies as they were when the window closed.
    window_latencies_ns: Option<Histogram<u64>>,
}

impl Measurement {
    pub(crate) fn new(options: &Options) -> Self {
        Measurement {
            tally: Tally::new(),
            phase: Phase::WarmUp,
            phase_ends_ns: options.warmup.as_nanos() as u64,
            window_ns: options.duration.as_nanos() as u64,
            pid: options.pid,
            first: None,
            last: None,
            window_latencies_ns: None,
        }
    }

    /// Moves on to the phase of `now_ns`. Returns whether new requests may still be made.
    #[inline]
    pub(crate) fn advance(&mut self, now_ns: u64) -> bool {
        if now_ns >= self.phase_ends_ns {
            self.next_phase(now_ns);
        }
        self.phase != Phase::Drain
    }

    #[cold]
    fn next_phase(&mut self, now_ns: u64) {
        match self.phase {
            Phase::WarmUp => {
                self.tally.latencies_ns.reset();
                self.first = Some(Reading::take(now_ns, self.pid));
                self.phase = Phase::Window;
                self.phase_ends_ns = now_ns + self.window_ns;
            }
            Phase::Window => {
                self.last = Some(Reading::take(now_ns, self.pid));
                self.window_latencies_ns = Some(self.tally.latencies_ns.clone());
                self.phase = Phase::Drain;
                self.phase_ends_ns = u64::MAX;
            }
            Phase::Drain => {}
        }
    }

    /// One line of JSON; call it after the run. `lost` counts datagrams that did not come back.
    pub(crate) fn to_json(&self, options: &Options, lost: u64) -> String {
        let (Some(first), Some(last), Some(latencies)) = (&self.first, &self.last, &self.window_latencies_ns) else {
            unreachable!("a run ends only after its window");
        };
        let requests = latencies.len();
        let seconds = (last.at_ns - first.at_ns) as f64 / 1e9;
        let load_cpu_ns = last.load_cpu_ns - first.load_cpu_ns;
        let server = match (&first.server, &last.server) {
            (Some(before), Some(after)) => after.since(before).to_json(),
            _ => "null".to_owned(),
        };
        let rate = options.rate.map_or("null".to_owned(), |rate| rate.to_string());
        let size = if options.verify_random { "\"random\"".to_owned() } else { options.size_bytes.to_string() };
        let at = |quantile| latencies.value_at_quantile(quantile);
        format!(
            concat!(
                r#"{{"connections":{},"size":{},"pipeline":{},"rate":{},"seconds":{:.6},"requests":{},"#,
                r#""requests_per_second":{:.1},"latency_ns":{{"mean":{:.0},"p50":{},"p99":{},"p999":{},"max":{}}},"#,
                r#""verified_bytes":{},"lost":{},"load_cpu_ns":{},"server":{}}}"#
            ),
            options.connections,
            size,
            options.pipeline,
            rate,
            seconds,
            requests,
            requests as f64 / seconds,
            latencies.mean(),
            at(0.5),
            at(0.99),
            at(0.999),
            latencies.max(),
            self.tally.verified_bytes,
            lost,
            load_cpu_ns,
            server,
        )
    }
}
