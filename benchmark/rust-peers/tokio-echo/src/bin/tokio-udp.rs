//! The UDP echo on tokio's current-thread runtime.

use std::io;

use tokio::net::UdpSocket;

const DATAGRAM_BYTES_MAX: usize = 64 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    println!("{{\"port\":{},\"pid\":{}}}", socket.local_addr()?.port(), std::process::id());
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let (count, peer) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..count], peer).await?;
    }
}
