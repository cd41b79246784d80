//! `ringline-load`: puts load on a TCP echo server, verifies every byte that comes back, and prints one line of JSON.
//!
//! This file only ties the parts together. [`options`] reads the command line, [`stream`] and [`connection`] say which
//! bytes must go out and come back, [`arrivals`] when requests are due, [`measurement`] what counts, and [`backend`]
//! moves the bytes. Only the last one knows about io_uring.

mod arrivals;
mod backend;
mod connection;
mod cpu;
mod measurement;
mod options;
mod stream;

use std::error::Error;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use connection::Connection;
use measurement::Measurement;
use options::{Command, Options};
use stream::Stream;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let outcome = match options::parse(std::env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Ok(Command::Run(options)) => run(&options),
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

fn run(options: &Options) -> Result<String, Box<dyn Error>> {
    if let Some(cpu) = options.cpu {
        cpu::pin_to(cpu).map_err(|error| format!("cannot run on CPU {cpu} (--cpu): {error}"))?;
    }
    if options.rate.is_some() {
        cpu::wake_precisely();
    }
    cpu::raise_descriptor_limit(options.connections)?;
    let stream = Stream::new(options.stream_period());
    let connections = (0..options.connections).map(|id| Connection::new(stream, id, options.sizes(id))).collect();
    let sockets = connect(options)?;
    let mut measurement = Measurement::new(options);
    backend::run(options, &sockets, connections, &mut measurement)?;
    Ok(measurement.into_json(options))
}

fn connect(options: &Options) -> Result<Vec<TcpStream>, String> {
    let one = |_| {
        let socket = TcpStream::connect_timeout(&options.addr, CONNECT_TIMEOUT)
            .map_err(|error| format!("cannot connect to {} (--addr): {error}", options.addr))?;
        socket.set_nodelay(true).map_err(|error| format!("cannot set TCP_NODELAY: {error}"))?;
        Ok(socket)
    };
    (0..options.connections).map(one).collect()
}
