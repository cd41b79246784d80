//! The echo server on compio's io_uring driver: a task and a buffer per connection.

use std::io;
use std::os::fd::AsRawFd;

use compio::BufResult;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};

const BUFFER_BYTES: usize = 64 * 1024;
const BACKLOG: libc::c_int = 1024;

#[compio::main]
async fn main() -> io::Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    // The backlog of the standard library, 128, is too short for the connections that come all at once.
    // SAFETY: listen takes no pointers.
    unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) };
    let listener = TcpListener::from_std(listener)?;
    println!("{{\"port\":{},\"pid\":{}}}", listener.local_addr()?.port(), std::process::id());
    loop {
        let (stream, _) = listener.accept().await?;
        // A connection that ends with an error ends alone.
        compio::runtime::spawn(echo(stream)).detach();
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        let BufResult(count, filled) = stream.read(buffer).await;
        if count? == 0 {
            return Ok(());
        }
        let BufResult(written, sent) = stream.write_all(filled).await;
        written?;
        buffer = sent;
        buffer.clear();
    }
}
