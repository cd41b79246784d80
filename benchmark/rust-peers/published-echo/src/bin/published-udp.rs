//! The UDP echo on the `ringline` crate that is published on crates.io.

use std::future::Future;
use std::net::UdpSocket;
use std::pin::Pin;

use published::{AsyncEventHandler, ConfigBuilder, ConnCtx, Error, RinglineBuilder, UdpCtx};

struct Echo;

impl AsyncEventHandler for Echo {
    fn create_for_worker(_id: usize) -> Self {
        Echo
    }

    fn on_accept(&self, _conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        std::future::ready(())
    }

    fn on_udp_bind(&self, udp: UdpCtx) -> Option<Pin<Box<dyn Future<Output = ()> + 'static>>> {
        Some(Box::pin(async move {
            loop {
                let (data, peer) = udp.recv_from().await;
                // What finds no room is lost, as datagrams may be.
                udp.send_to(peer, &data).ok();
            }
        }))
    }
}

/// It does not tell which port it was given, so one is chosen for it.
fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
    socket.local_addr().expect("a socket has an address").port()
}

fn main() -> Result<(), Error> {
    let config = ConfigBuilder::new().workers(1).pin_to_core(false).build()?;
    let port = free_port();
    let (_shutdown, workers) = RinglineBuilder::new(config).bind_udp(([127, 0, 0, 1], port).into()).launch::<Echo>()?;
    println!("{{\"port\":{port},\"pid\":{}}}", std::process::id());
    for worker in workers {
        worker.join().expect("the worker does not panic")?;
    }
    Ok(())
}
