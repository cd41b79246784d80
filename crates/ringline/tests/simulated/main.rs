//! The driver on the simulated kernel: properties of random runs, and the failure scenarios that the simulator can force.
//!
//! Every run is named by a seed, which the message of a failed one tells; the same seed replays it. Time is virtual, so
//! nothing here waits for the clock on the wall.

mod accepting;
mod broken;
mod chaos;
mod clients;
mod closing;
mod connecting;
mod dice;
mod events;
mod ledger;
mod meddler;
mod properties;
mod receiving;
mod rig;
mod sending;
mod server;
mod setup;
mod stalling;
