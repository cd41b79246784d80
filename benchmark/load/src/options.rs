//! The command line: names, defaults, legal ranges and their error messages.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::connection::Sizes;
use crate::{datagrams, stream};

pub(crate) const USAGE: &str = "\
ringline-load: load on a TCP or UDP echo server, every byte verified; prints one line of JSON

  --addr IP:PORT       the echo server (required)
  --udp                send datagrams: a socket is a connection, a datagram a message of 8 to 65507 bytes
  --joined             with --udp: what a socket has to send leaves as few sends, cut up by the kernel (UDP_SEGMENT)
  --connections N      1 to 30000, default 64
  --size BYTES         of one message, 1 to 67108864, default 64
  --pipeline N         requests in flight per connection, 1 to 1024, default 1
  --duration SECONDS   of the measured window, default 3
  --warmup SECONDS     before it, not measured, default 0.5
  --rate N             requests per second over all connections: open loop, latency from the intended send time;
                       without it the loop is closed and --pipeline requests are always in flight
  --verify-random      messages of random sizes, 1 B to 4 MiB, in place of --size
  --seed N             of the random sizes, default 1
  --cpu N              run on this CPU
  --pid N              also report the CPU time of this process (the server) over the window";

const CONNECTIONS_MAX: usize = 30_000;
const SIZE_BYTES_MAX: u64 = 64 * 1024 * 1024;
const PIPELINE_MAX: usize = 1024;
const DATAGRAM_BYTES_MIN: u64 = datagrams::HEADER_BYTES as u64;
const DATAGRAM_BYTES_MAX: u64 = 65_507;
/// What a connection may have in flight without a writer of its own.
const IN_FLIGHT_BYTES_MAX: u64 = 64 * 1024;

pub(crate) enum Command {
    Run(Options),
    Help,
}

pub(crate) struct Options {
    pub(crate) addr: SocketAddr,
    pub(crate) udp: bool,
    pub(crate) joined: bool,
    pub(crate) connections: usize,
    pub(crate) size_bytes: u64,
    pub(crate) pipeline: usize,
    pub(crate) duration: Duration,
    pub(crate) warmup: Duration,
    pub(crate) rate: Option<f64>,
    pub(crate) verify_random: bool,
    pub(crate) seed: u64,
    pub(crate) cpu: Option<usize>,
    pub(crate) pid: Option<u32>,
}

impl Options {
    /// The sizes of the messages of connection `id`.
    pub(crate) fn sizes(&self, id: usize) -> Sizes {
        if self.verify_random { Sizes::random(self.seed, id) } else { Sizes::Fixed(self.size_bytes) }
    }

    /// Bytes that a connection has in flight at most; none when they are too many to be queued all at once.
    pub(crate) fn in_flight_bytes(&self) -> Option<u64> {
        let bytes = self.size_bytes * self.pipeline as u64;
        (!self.verify_random && bytes <= IN_FLIGHT_BYTES_MAX).then_some(bytes)
    }

    /// Whether messages are sent piece by piece, each when the one before is out.
    pub(crate) fn is_bulk(&self) -> bool {
        self.in_flight_bytes().is_none()
    }

    /// A soak wants a long period, so that almost no displaced byte can be right by chance; a measurement wants a stream
    /// that stays in the cache, so that the load costs as little as it can.
    pub(crate) fn stream_period(&self) -> usize {
        if self.verify_random { stream::LONG_PERIOD_BYTES } else { stream::SHORT_PERIOD_BYTES }
    }
}

/// Reads the arguments (without the program's name).
pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let unset = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let mut options = Options {
        addr: unset,
        udp: false,
        joined: false,
        connections: 64,
        size_bytes: 64,
        pipeline: 1,
        duration: Duration::from_secs(3),
        warmup: Duration::from_millis(500),
        rate: None,
        verify_random: false,
        seed: 1,
        cpu: None,
        pid: None,
    };
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--verify-random" => options.verify_random = true,
            "--udp" => options.udp = true,
            "--joined" => options.joined = true,
            _ => set(&mut options, &name, arguments.next())?,
        }
    }
    if options.addr == unset {
        return Err(format!("--addr is missing\n\n{USAGE}"));
    }
    if options.udp {
        check_datagrams(&options)?;
    } else if options.joined {
        return Err("--joined: only datagrams can be joined; add --udp".into());
    }
    Ok(Command::Run(options))
}

fn check_datagrams(options: &Options) -> Result<(), String> {
    if options.rate.is_some() || options.verify_random {
        return Err("--udp: --rate and --verify-random are for connections".into());
    }
    if (DATAGRAM_BYTES_MIN..=DATAGRAM_BYTES_MAX).contains(&options.size_bytes) {
        return Ok(());
    }
    Err(format!(
        "--size {}: a datagram must have {DATAGRAM_BYTES_MIN} to {DATAGRAM_BYTES_MAX} bytes",
        options.size_bytes
    ))
}

fn set(options: &mut Options, name: &str, value: Option<String>) -> Result<(), String> {
    let Some(value) = value else { return Err(format!("{name} is unknown or lacks its value\n\n{USAGE}")) };
    let value = value.as_str();
    match name {
        "--addr" => options.addr = number(name, value)?,
        "--connections" => options.connections = within(name, value, 1, CONNECTIONS_MAX)?,
        "--size" => options.size_bytes = within(name, value, 1, SIZE_BYTES_MAX)?,
        "--pipeline" => options.pipeline = within(name, value, 1, PIPELINE_MAX)?,
        "--duration" => options.duration = seconds(name, value)?,
        "--warmup" => options.warmup = seconds(name, value)?,
        "--rate" => options.rate = Some(within(name, value, 0.1, 1e8)?),
        "--seed" => options.seed = number(name, value)?,
        "--cpu" => options.cpu = Some(number(name, value)?),
        "--pid" => options.pid = Some(number(name, value)?),
        _ => return Err(format!("{name} is unknown\n\n{USAGE}")),
    }
    Ok(())
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name} {value}: not a legal value"))
}

fn within<T>(name: &str, value: &str, min: T, max: T) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let parsed: T = number(name, value)?;
    if parsed >= min && parsed <= max { Ok(parsed) } else { Err(format!("{name} {value}: must be {min} to {max}")) }
}

fn seconds(name: &str, value: &str) -> Result<Duration, String> {
    within(name, value, 0.0, 86_400.0).map(Duration::from_secs_f64)
}
