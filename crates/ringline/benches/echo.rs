//! Echo round trips of the core over loopback: one worker, one blocking client. `cargo bench -p ringline`

use std::future::Future;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringline::{AsyncEventHandler, Config, ConnCtx, ParseResult, RinglineBuilder};

struct Echo;

impl AsyncEventHandler for Echo {
    fn create_for_worker(_worker: usize) -> Self {
        Echo
    }

    fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        serve(conn)
    }
}

async fn serve(conn: ConnCtx) {
    let echo = |data: &[u8]| {
        // The client waits for each answer, so its messages always fit into the send pool.
        conn.send_nowait(data).expect("the send pool holds what one client has in flight");
        ParseResult::Consumed(data.len())
    };
    while conn.with_data(echo).await > 0 {}
}

/// One round: `pipelined` messages of `bytes` bytes there, then all of them back.
fn round(client: &mut TcpStream, out: &[u8], back: &mut [u8]) {
    client.write_all(black_box(out)).unwrap();
    client.read_exact(black_box(back)).unwrap();
}

fn echo(criterion: &mut Criterion) {
    let config = Config::builder().workers(1).pin_to_core(false).build().unwrap();
    let (server, workers) = RinglineBuilder::new(config).bind("127.0.0.1:0".parse().unwrap()).launch::<Echo>().unwrap();
    let mut client = TcpStream::connect(server.bound_addr().unwrap()).unwrap();
    client.set_nodelay(true).unwrap();

    let mut group = criterion.benchmark_group("echo");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    for (name, bytes, pipelined) in [("64 B", 64, 1), ("64 B, 16 pipelined", 64, 16), ("16 KiB", 16 * 1024, 1)] {
        let out: Vec<u8> = (0..bytes * pipelined).map(|index| index as u8).collect();
        let mut back = vec![0; out.len()];
        round(&mut client, &out, &mut back);
        assert_eq!(out, back);
        group.throughput(Throughput::Elements(pipelined as u64));
        group.bench_function(name, |bencher| bencher.iter(|| round(&mut client, &out, &mut back)));
    }
    group.finish();

    server.shutdown();
    for worker in workers {
        worker.join().unwrap().unwrap();
    }
}

criterion_group!(benches, echo);
criterion_main!(benches);
