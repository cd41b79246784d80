//! What is measured, one scenario after the other, and where each measurement begins and ends.

use std::io;
use std::net::SocketAddr;

use ringline::driver::Metrics;

use crate::allocations;
use crate::far_side::FarSide;

/// Messages of a measurement, at least.
const MESSAGES_MIN: u32 = 5_000;
/// Messages before a measurement, at least. Lists grow in that time to the size that they need, and enough is received
/// that buffers are used again.
const WARM_UP_MESSAGES_MIN: u32 = 2_500;
/// Fewest rounds of either.
const ROUNDS_MIN: u32 = 3;

/// One measurement.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) connections: u32,
}

impl Scenario {
    fn rounds(&self) -> u32 {
        MESSAGES_MIN.div_ceil(self.connections).max(ROUNDS_MIN)
    }

    fn warm_up_rounds(&self) -> u32 {
        WARM_UP_MESSAGES_MIN.div_ceil(self.connections).max(ROUNDS_MIN)
    }
}

/// A server with one connection waits for each message, as it does in the field: the far side goes ahead by itself.
const CONNECTIONS_ALONE: u32 = 1;

/// Scenarios, and the far side that they are played with.
pub(crate) struct Script {
    scenarios: std::vec::IntoIter<Scenario>,
    current: Option<Scenario>,
    far_side: FarSide,
    /// Rounds of the current scenario that have begun.
    round: u32,
    begun: Counts,
    /// Messages that had arrived when the far side was told to go ahead.
    started: Option<u64>,
}

/// What is counted, since the start of the process or of the worker.
#[derive(Clone, Copy, Default)]
struct Counts {
    allocated: u64,
    metrics: Metrics,
}

impl Script {
    pub(crate) fn new(scenarios: Vec<Scenario>, server: SocketAddr) -> io::Result<Self> {
        let mut scenarios = scenarios.into_iter();
        let mut far_side = FarSide::start()?;
        far_side.aim(server)?;
        Ok(Self { current: scenarios.next(), scenarios, far_side, round: 0, begun: Counts::default(), started: None })
    }

    /// Gives the far side its turn, and begins and ends measurements. False when the last one is over.
    pub(crate) fn turn(&mut self, metrics: Metrics) -> io::Result<bool> {
        let Some(scenario) = &self.current else { return Ok(false) };
        if scenario.connections == CONNECTIONS_ALONE {
            let Some(started) = self.started else {
                self.started = Some(metrics.chunks);
                return self.far_side.go_ahead(scenario.warm_up_rounds() + scenario.rounds()).map(|()| true);
            };
            if metrics.chunks - started == u64::from(self.round) {
                return Ok(true);
            }
        } else if self.far_side.turn(scenario.connections)? < scenario.connections {
            return Ok(true);
        }
        self.round += 1;
        if self.round == scenario.warm_up_rounds() {
            self.begun = Counts { allocated: allocations::bytes(), metrics };
            ringline_cost_mark();
        }
        if self.round == scenario.warm_up_rounds() + scenario.rounds() {
            ringline_cost_mark();
            self.report(scenario, Counts { allocated: allocations::bytes(), metrics });
            (self.round, self.started) = (0, None);
            self.current = self.scenarios.next();
        }
        Ok(self.current.is_some())
    }

    fn report(&self, scenario: &Scenario, ended: Counts) {
        let Scenario { name, connections } = scenario;
        let messages = connections * scenario.rounds();
        let (from, to) = (&self.begun.metrics, &ended.metrics);
        println!(
            r#"{{"scenario":"{name}","connections":{connections},"messages":{messages},"allocated_bytes":{},"enters":{},"completions":{},"doorbells":{}}}"#,
            ended.allocated - self.begun.allocated,
            to.enters - from.enters,
            to.completions - from.completions,
            to.doorbells - from.doorbells,
        );
    }
}

/// Runs what is not the server's work. Callgrind does not count it: `--toggle-collect`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) fn ringline_cost_aside(script: &mut Script, metrics: Metrics) -> io::Result<bool> {
    script.turn(metrics)
}

/// Callgrind writes down what it has counted since the last time, and begins anew: `--dump-before`. Twice per scenario, at
/// its beginning and its end.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ringline_cost_mark() {
    std::hint::black_box(());
}
