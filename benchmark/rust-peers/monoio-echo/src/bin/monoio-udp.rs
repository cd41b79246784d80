//! The UDP echo on monoio's io_uring driver.

use std::io;

use monoio::net::udp::UdpSocket;

const DATAGRAM_BYTES_MAX: usize = 64 * 1024;

#[monoio::main(driver = "uring")]
async fn main() -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    println!("{{\"port\":{},\"pid\":{}}}", socket.local_addr()?.port(), std::process::id());
    let mut buffer = Vec::with_capacity(DATAGRAM_BYTES_MAX);
    loop {
        let (received, filled) = socket.recv_from(buffer).await;
        let (_, peer) = received?;
        let (sent, back) = socket.send_to(filled, peer).await;
        sent?;
        buffer = back;
        buffer.clear();
    }
}
