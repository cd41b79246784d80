//! The echo server on ringline's driver, without the runtime above it, whose configuration allows 65,535 timers: here as
//! many are armed as the command line says, an hour and more from now, before the first connection comes.

use std::io;
use std::os::fd::OwnedFd;

use ringline::driver::{Chunk, ConnToken, DiskLimits, Driver, DriverSettings, Host};
use ringline_ring::{RingSettings, SocketOptions, Uring, Wait};

const CONNECTIONS_MAX: u32 = 1024;
const HOUR_NS: u64 = 3_600_000_000_000;

#[derive(Default)]
struct Echo {
    incoming: Vec<OwnedFd>,
    chunks: Vec<(ConnToken, Chunk)>,
    ended: Vec<ConnToken>,
}

impl Host<Uring> for Echo {
    fn incoming(&mut self, socket: OwnedFd) {
        self.incoming.push(socket);
    }
    fn connected(&mut self, _: ConnToken) {}
    fn connect_failed(&mut self, _: ConnToken, _: io::Error) {}
    fn received(&mut self, conn: ConnToken, chunk: Chunk) {
        self.chunks.push((conn, chunk));
    }
    fn receive_ended(&mut self, conn: ConnToken) {
        self.ended.push(conn);
    }
    fn sent(&mut self, _: ConnToken, _: u64) {}
    fn send_slot_free(&mut self, _: u32) {}
    fn slab_retired(&mut self, _: u32) {}
    fn closed(&mut self, _: ConnToken, _: Option<io::Error>) {}
    fn timer(&mut self, _: u64) {}
    fn doorbell(&mut self) {}
}

fn settings() -> DriverSettings {
    DriverSettings {
        max_connections: CONNECTIONS_MAX,
        udp_sockets_max: 0,
        receive_entries: 256,
        receive_buffer_size: 16_384,
        receive_group: 0,
        receive_for_keeps: false,
        send_slots: 16,
        send_slot_size: 16_384,
        guards_max: 1,
        zero_copy_threshold: 4096,
        sockets: SocketOptions { nodelay: true, backlog: 1024, reuse_port: false },
        disk: DiskLimits::default(),
        chain_links_max: 0,
        flush_interval_ns: 100_000,
    }
}

fn main() -> io::Result<()> {
    let armed: u64 = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(0);
    let settings = settings();
    let ring = RingSettings::new(1024, settings.fixed_files());
    let kernel = Uring::new(&ring).map_err(io::Error::other)?;
    let mut driver = Driver::new(kernel, settings)?;
    let mut host = Echo::default();
    let (_listener, address) = driver.listen(([127, 0, 0, 1], 0).into())?;
    driver.accept();
    let now = driver.clock();
    for key in 0..armed {
        // Not in order, as timers of a server are not.
        let delay = HOUR_NS + key.wrapping_mul(2_654_435_761) % HOUR_NS;
        driver.arm_timer(now + delay, key);
    }
    println!("{{\"port\":{},\"pid\":{}}}", address.port(), std::process::id());
    let mut more = false;
    loop {
        more = driver.turn(&mut host, if more { Wait::Poll } else { Wait::Forever })?.more;
        for socket in host.incoming.drain(..) {
            // A connection that finds no slot is closed.
            let _ = driver.adopt(socket);
        }
        for (conn, chunk) in host.chunks.drain(..) {
            if let Err(chunk) = driver.send_chunk(conn, chunk) {
                driver.release(chunk);
            }
        }
        for conn in host.ended.drain(..) {
            driver.close(conn);
        }
    }
}
