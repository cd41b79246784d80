//! The sizes and switches of a random run, and running a property for many seeds.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use ringline::driver::{DiskLimits, Driver, DriverSettings};
use ringline_ring::SocketOptions;
use ringline_sim::{Faults, Network, NetworkOptions, RingOptions, SimKernel};

use crate::dice::Dice;

/// The buffer group of every driver here.
pub(crate) const GROUP: u16 = 3;

/// Settings that a test starts from: room for everything.
pub(crate) fn settings(max_connections: u32) -> DriverSettings {
    DriverSettings {
        max_connections,
        udp_sockets_max: 0,
        receive_entries: 64,
        receive_buffer_size: 1024,
        receive_group: GROUP,
        receive_for_keeps: false,
        send_slots: 64,
        send_slot_size: 4096,
        guards_max: 0,
        zero_copy_threshold: 0,
        disk: DiskLimits::default(),
        sockets: SocketOptions { nodelay: true, backlog: 64, reuse_port: false },
        chain_links_max: 16,
        flush_interval_ns: 100_000,
    }
}

/// What a random run is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// For the message of a failed run.
    name: &'static str,
    pub(crate) faults: Faults,
    pub(crate) incremental: bool,
    /// Slots of the driver.
    pub(crate) max_connections: (u32, u32),
    /// Clients that come one after the other.
    pub(crate) clients: usize,
    /// Longest message, in bytes.
    pub(crate) message_max: usize,
}

impl Setup {
    pub(crate) const CALM: Self = Self {
        name: "calm",
        faults: Faults::NONE,
        incremental: false,
        max_connections: (2, 8),
        clients: 16,
        message_max: 600,
    };
    pub(crate) const STORM: Self = Self { name: "storm", faults: Faults::STORM, ..Self::CALM };

    pub(crate) const fn incremental(self) -> Self {
        Self { incremental: true, ..self }
    }

    /// Messages of which a few fill a slab.
    pub(crate) const fn large(self) -> Self {
        Self { message_max: 40_000, clients: 8, ..self }
    }

    /// One slot or two for everybody: each is used again and again.
    pub(crate) const fn crowded(self) -> Self {
        Self { max_connections: (1, 2), clients: 40, ..self }
    }

    /// A network and a driver on it, of sizes that the dice choose.
    pub(crate) fn build(&self, seed: u64, dice: &mut Dice) -> (Network, Driver<SimKernel>) {
        let largest = self.message_max;
        let room = if dice.one_in(2) { largest / 4 } else { largest * 2 };
        let options = NetworkOptions {
            seed,
            faults: self.faults,
            send_buffer: dice.between(1, room),
            receive_buffer: dice.between(1, room),
            window: dice.between(1, room),
            ..NetworkOptions::default()
        };
        let network = Network::with_options(options);
        let (least, most) = self.max_connections;
        let max_connections = dice.between(least as usize, most as usize) as u32;
        let small_ring = dice.one_in(2);
        let tiny_pool = dice.one_in(2);
        let settings = DriverSettings {
            receive_entries: if small_ring { dice.pick(&[1, 2, 4]) } else { 64 },
            receive_buffer_size: if small_ring { dice.between(1, largest / 8) } else { largest } as u32,
            receive_for_keeps: dice.one_in(2),
            send_slots: if tiny_pool { dice.between(1, 3) } else { 64 } as u32,
            send_slot_size: if tiny_pool { dice.between(1, largest / 8) } else { largest } as u32,
            chain_links_max: 16,
            flush_interval_ns: dice.pick(&[0, 1, 100_000]),
            ..settings(max_connections)
        };
        let ring = RingOptions {
            submissions: dice.pick(&[1, 4, 256]),
            completions: dice.pick(&[2, 16, 1024]),
            files: settings.fixed_files(),
            incremental_buffers: self.incremental,
        };
        let driver = Driver::new(SimKernel::new(&network, ring), settings).unwrap();
        (network, driver)
    }
}

/// Runs a property for `seeds` seeds; the message of the first that fails tells its seed. With `SEED=7` in the
/// environment it runs for that one alone, with `SEEDS=5000` for so many.
pub(crate) fn for_seeds(setup: Setup, seeds: u64, property: impl Fn(Setup, u64)) {
    let wanted =
        |name| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number of seeds or a seed"));
    let seeds = match wanted("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..wanted("SEEDS").unwrap_or(seeds),
    };
    for seed in seeds {
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| property(setup, seed))) else { continue };
        let text = panic.downcast_ref::<String>().cloned();
        match text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)) {
            Some(text) => {
                let Setup { name, incremental, max_connections, clients, message_max, .. } = setup;
                panic!("{name}, {incremental}, {max_connections:?}, {clients}, {message_max}, seed {seed}: {text}")
            }
            None => resume_unwind(panic),
        }
    }
}
