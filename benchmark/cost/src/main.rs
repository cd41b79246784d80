//! `ringline-cost`: counts what one echoed message costs the core, in units that do not depend on how busy the machine is.
//!
//! The server and its clients move in turns: the [far side](far_side), a process of its own, sends one message on each
//! connection and then waits, the server echoes them, the far side looks whether all have come back. So each round is
//! the same work, and a few rounds tell the cost. Only with one connection does the far side go ahead by itself. Allocated
//! bytes, system calls and completions are counted here; run under `valgrind --tool=callgrind` with the functions of [`script`] as its triggers, the user instructions are too
//! (`benchmark/cost.mjs` does that). One line of JSON per scenario; callgrind writes two files each, in the same order.

mod allocations;
mod bare;
mod far_side;
mod script;
mod tasks;

use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        None => run(),
        Some(far_side::ARGUMENT) => far_side::run().map_err(Into::into),
        Some(other) => Err(format!("{other:?} is no argument of ringline-cost: it takes none").into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringline-cost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    tasks::run()?;
    bare::run()
}
