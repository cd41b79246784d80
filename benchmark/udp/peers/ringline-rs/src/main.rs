//! The UDP echo on ringline's Rust API: one worker, one socket, a datagram goes back as it came.

use std::future::Future;
use std::pin::Pin;

use ringline::{AsyncEventHandler, ConfigBuilder, ConnCtx, Error, RinglineBuilder, UdpCtx};

struct Echo;

impl AsyncEventHandler for Echo {
    fn create_for_worker(_worker: usize) -> Self {
        Echo
    }

    fn on_accept(&self, _conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        std::future::ready(())
    }

    fn on_udp_bind(&self, udp: UdpCtx) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
        Some(Box::pin(async move {
            let port = udp.local_addr().map_or(0, |address| address.port());
            println!("{{\"port\":{port},\"pid\":{}}}", std::process::id());
            while let Ok((data, peer)) = udp.recv_from().await {
                // What finds no room is lost, as datagrams may be.
                udp.send_to(peer, &data).ok();
            }
        }))
    }
}

fn main() -> Result<(), Error> {
    let config = ConfigBuilder::new().workers(1).pin_to_core(false).build()?;
    let (_server, workers) = RinglineBuilder::new(config).bind_udp(([127, 0, 0, 1], 0).into()).launch::<Echo>()?;
    for worker in workers {
        worker.join().expect("the worker does not panic")?;
    }
    Ok(())
}
