//! When requests are due at a given rate. The times are fixed in advance and never moved by a slow server, so waiting for
//! it counts as latency (no coordinated omission).

/// An endless row of requests at equal distances, handed to the connections in turn.
pub(crate) struct Arrivals {
    start_ns: u64,
    interval_ns: f64,
    next: u64,
    connections: u64,
}

impl Arrivals {
    /// `rate` is in requests per second over all connections.
    pub(crate) fn new(rate: f64, connections: usize, start_ns: u64) -> Self {
        Arrivals { start_ns, interval_ns: 1e9 / rate, next: 0, connections: connections as u64 }
    }

    /// When the next request is due.
    pub(crate) fn next_ns(&self) -> u64 {
        self.start_ns + (self.next as f64 * self.interval_ns) as u64
    }

    /// The next request that is due at `now_ns`: its connection and its intended time.
    pub(crate) fn take_due(&mut self, now_ns: u64) -> Option<(usize, u64)> {
        let intended_ns = self.next_ns();
        if intended_ns > now_ns {
            return None;
        }
        let connection = (self.next % self.connections) as usize;
        self.next += 1;
        Some((connection, intended_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_look_finds_every_request_that_was_due_with_its_own_time() {
        let mut arrivals = Arrivals::new(1_000_000.0, 2, 500);
        assert_eq!(arrivals.take_due(499), None);
        let due: Vec<_> = std::iter::from_fn(|| arrivals.take_due(3_600)).collect();
        assert_eq!(due, [(0, 500), (1, 1_500), (0, 2_500), (1, 3_500)]);
        assert_eq!(arrivals.next_ns(), 4_500);
    }
}
