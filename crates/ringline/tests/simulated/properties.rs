//! Properties of random runs. What a run checks is told in `chaos`: streams are exact both ways, memory has one owner,
//! stale tokens do nothing, events come in order, nothing hangs or spins, and nothing is left behind.

use crate::chaos::Chaos;
use crate::setup::{Setup, for_seeds};

fn run(setup: Setup, seed: u64) {
    Chaos::new(setup, seed).run();
}

#[test]
fn runs_end_well_with_plain_buffers() {
    for_seeds(Setup::CALM, 400, run);
}

#[test]
fn runs_end_well_with_incremental_buffers() {
    for_seeds(Setup::CALM.incremental(), 400, run);
}

#[test]
fn runs_end_well_with_plain_buffers_in_the_storm() {
    for_seeds(Setup::STORM, 400, run);
}

#[test]
fn runs_end_well_with_incremental_buffers_in_the_storm() {
    for_seeds(Setup::STORM.incremental(), 400, run);
}

#[test]
fn runs_with_large_messages_end_well() {
    for setup in [Setup::CALM, Setup::STORM] {
        for_seeds(setup.large(), 20, run);
        for_seeds(setup.large().incremental(), 20, run);
    }
}

#[test]
fn runs_whose_last_bytes_are_sent_or_dropped_by_a_driver_that_waits_end_well() {
    // Nothing ends the wait behind a send that was taken whole.
    run(Setup::CALM.large(), 97);
    // A connection that is closing drops 45,275 bytes that come one by one.
    run(Setup::CALM.large(), 3148);
}

#[test]
fn runs_that_use_one_slot_again_and_again_end_well() {
    for_seeds(Setup::CALM.crowded(), 200, run);
    for_seeds(Setup::STORM.crowded(), 200, run);
}

#[test]
fn a_seed_names_a_run() {
    for setup in [Setup::CALM, Setup::STORM, Setup::STORM.incremental()] {
        for_seeds(setup, 20, |setup, seed| {
            assert_eq!(Chaos::new(setup, seed).run(), Chaos::new(setup, seed).run());
        });
    }
}
