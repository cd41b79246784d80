//! The echo server on monoio's io_uring driver: a task and a buffer per connection.

use std::io;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};

const BUFFER_BYTES: usize = 64 * 1024;

#[monoio::main(driver = "uring", entries = 4096)]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{{\"port\":{},\"pid\":{}}}", listener.local_addr()?.port(), std::process::id());
    loop {
        let (stream, _) = listener.accept().await?;
        // A connection that ends with an error ends alone.
        monoio::spawn(echo(stream));
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        let (count, filled) = stream.read(buffer).await;
        if count? == 0 {
            return Ok(());
        }
        let (written, sent) = stream.write_all(filled).await;
        written?;
        buffer = sent;
        buffer.clear();
    }
}
