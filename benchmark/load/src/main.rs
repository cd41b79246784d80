//! `ringline-load`: puts load on a TCP or UDP echo server, verifies every byte that comes back, and prints one line of JSON.
//!
//! This file only ties the parts together. [`options`] reads the command line, [`stream`] and [`connection`] say which
//! bytes must go out and come back, [`arrivals`] when requests are due, [`measurement`] what counts, [`load`] who sends
//! next, and [`tasks`] moves the bytes, on ringline's own runtime. [`datagrams`] does both for UDP, by
//! [`batches`].

mod arrivals;
mod batches;
mod connection;
mod cpu;
mod datagrams;
mod load;
mod measurement;
mod options;
mod stream;
mod tasks;

use std::error::Error;
use std::process::ExitCode;

use options::{Command, Options};

fn main() -> ExitCode {
    let outcome = match options::parse(std::env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Ok(Command::Run(options)) => run(options),
        Err(message) => Err(message.into()),
    };
    match outcome {
        Ok(json) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ringline-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<String, Box<dyn Error>> {
    if let Some(cpu) = options.cpu {
        cpu::pin_to(cpu).map_err(|error| format!("cannot run on CPU {cpu} (--cpu): {error}"))?;
    }
    if options.rate.is_some() {
        cpu::wake_precisely();
    }
    cpu::raise_descriptor_limit(options.connections)?;
    if options.udp { datagrams::run(&options) } else { tasks::run(options) }
}
