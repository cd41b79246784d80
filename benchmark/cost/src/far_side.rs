//! The clients: a process that holds their ends of the connections and acts only when it is told to.
//!
//! It is asked for a turn with the number of connections that there are to be, and answers on how many it has sent a
//! message: on all, once every earlier message has come back, otherwise on none. Or it is told to go ahead, and then
//! exchanges messages on one connection at its own pace.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What the process is started with.
pub(crate) const ARGUMENT: &str = "far-side";

/// Bytes of a message.
const MESSAGE: [u8; 64] = [b'.'; 64];

/// Connections that are made in one turn: fewer than a listener's backlog holds.
const CONNECTS_PER_TURN: usize = 500;

/// The far side as the server sees it. The process ends when this is dropped.
pub(crate) struct FarSide {
    process: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl FarSide {
    /// Starts the process.
    pub(crate) fn start() -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        match (process.stdin.take(), process.stdout.take()) {
            (Some(to), Some(from)) => Ok(Self { process, to, from }),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Tells it where the server is; once, before the first turn.
    pub(crate) fn aim(&mut self, server: SocketAddr) -> io::Result<()> {
        self.to.write_all(&server.port().to_le_bytes())
    }

    /// Lets it have its turn. The answer is the number of messages that it sent.
    pub(crate) fn turn(&mut self, connections: u32) -> io::Result<u32> {
        self.tell(connections, 0)?;
        let mut sent = [0; 4];
        self.from.read_exact(&mut sent)?;
        Ok(u32::from_le_bytes(sent))
    }

    /// Lets it exchange so many messages on its first connection, each when the one before has come back. It takes no turn
    /// until the last one has.
    pub(crate) fn go_ahead(&mut self, messages: u32) -> io::Result<()> {
        self.tell(1, messages)
    }

    fn tell(&mut self, connections: u32, messages: u32) -> io::Result<()> {
        self.to.write_all(&connections.to_le_bytes())?;
        self.to.write_all(&messages.to_le_bytes())
    }
}

impl Drop for FarSide {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the process does, until nobody gives it turns any more.
pub(crate) fn run() -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut port = [0; 2];
    input.read_exact(&mut port)?;
    let server = SocketAddr::from(([127, 0, 0, 1], u16::from_le_bytes(port)));
    let mut streams: Vec<TcpStream> = Vec::new();
    // Those behind this one have their messages still to come back, from the first on in the order they were sent.
    let mut awaited = 0..0;
    let (mut wanted, mut messages) = ([0; 4], [0; 4]);
    while input.read_exact(&mut wanted).is_ok() && input.read_exact(&mut messages).is_ok() {
        let messages = u32::from_le_bytes(messages);
        if messages > 0 {
            if streams.is_empty() {
                streams.push(connect(server)?);
            }
            exchange(&mut streams[0], messages)?;
            continue;
        }
        while awaited.start < awaited.end && came_back(&mut streams[awaited.start])? {
            awaited.start += 1;
        }
        let mut sent = 0;
        if awaited.is_empty() {
            let wanted = u32::from_le_bytes(wanted) as usize;
            // While there are not enough connections, only the new ones say something: the server has then accepted them.
            let first = if streams.len() < wanted { streams.len() } else { 0 };
            while streams.len() < wanted.min(first + CONNECTS_PER_TURN) {
                streams.push(connect(server)?);
            }
            for stream in &mut streams[first..] {
                stream.write_all(&MESSAGE)?;
            }
            awaited = first..streams.len();
            sent = awaited.len() as u32;
        }
        output.write_all(&sent.to_le_bytes())?;
        output.flush()?;
    }
    Ok(())
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Sends messages and reads each before the next.
fn exchange(stream: &mut TcpStream, messages: u32) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    for _ in 0..messages {
        stream.write_all(&MESSAGE)?;
        let mut back = [0; MESSAGE.len()];
        stream.read_exact(&mut back)?;
    }
    stream.set_nonblocking(true)
}

/// Reads the message of a connection, if it has come back.
fn came_back(stream: &mut TcpStream) -> io::Result<bool> {
    let mut back = [0; MESSAGE.len()];
    match stream.read(&mut back) {
        Ok(_) if back == MESSAGE => Ok(true),
        Ok(count) => Err(io::Error::other(format!("{count} bytes of another message came back"))),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}
