//! A worker that is turned by the thread of its far side.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::thread;

use ringline_ring::Wait;

use super::far_side::{FarSide, LIMIT};
use crate::protocol::{Record, completion, control, flag, submission};
use crate::shared_memory::Part;
use crate::worker::{Progress, Wishes};

const REQUESTS: u32 = 200;
/// How long a turn waits that other threads are to be seen after.
const ROUND_NS: u64 = 10_000_000;

/// Asks, reads the answer and asks again, then goes.
fn ask(address: SocketAddr) {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    for request in 0..REQUESTS {
        let mut answer = [0; 4];
        client.write_all(&request.to_le_bytes()).unwrap();
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, request.to_le_bytes());
    }
}

/// Answers each request with the chunk it came in, and awaits the last byte of some; the enters that all of it took.
fn serve(awaited_one_in: u32) -> u64 {
    let (mut side, make_worker) = FarSide::without_thread(0, Wishes { inline: true, ..Wishes::default() });
    let mut worker = make_worker();
    // The worker is told to listen by a message, so somebody else has to wait for its answer.
    let cluster = side.cluster.clone();
    let client = thread::spawn(move || ask(cluster.listen("127.0.0.1:0".parse().unwrap(), &|| {}).unwrap()));
    let (mut answered, mut gone) = (0, false);
    while !gone {
        worker.tell();
        while let Some(record) = side.poll() {
            gone |= record.kind == completion::END;
            if record.kind == completion::DATA {
                let [slab, offset, len, ..] = record.values;
                let watch = if answered % awaited_one_in == 0 { flag::WATCH } else { 0 };
                let flags = side.offers.generation(slab).unwrap() << flag::SLAB_GENERATION_SHIFT | watch;
                let values = [slab, offset, len, flags, 0];
                side.submissions
                    .push(Record::new(submission::SEND_CHUNK, record.slot, record.generation, values))
                    .unwrap();
                answered += 1;
            }
        }
        side.submissions.publish();
        side.memory.control(control::JS_ASLEEP).store(1, Ordering::SeqCst);
        assert_eq!(worker.act(if gone { Wait::Poll } else { Wait::Forever }).unwrap(), Progress::Turned);
    }
    let sent = side.memory.word(Part::SentBytes, 0).load(Ordering::Relaxed);
    assert_eq!((answered, sent), (REQUESTS, REQUESTS * size_of::<u32>() as u32));
    let enters = worker.driver().metrics().enters;
    client.join().unwrap();
    enters
}

#[test]
fn an_answer_that_nobody_awaits_costs_one_enter_and_one_that_is_awaited_two() {
    let requests = u64::from(REQUESTS);
    let (indifferent, awaited) = (serve(REQUESTS), serve(1));
    assert!((requests..requests + requests / 10).contains(&indifferent), "{indifferent} enters");
    assert!((2 * requests..2 * requests + requests / 10).contains(&awaited), "{awaited} enters");
}

#[test]
fn a_burst_is_told_of_at_once_however_many_the_kernel_receives_for_per_enter() {
    const CLIENTS: u32 = 60;
    let (mut side, make_worker) = FarSide::without_thread(0, Wishes { inline: true, ..Wishes::default() });
    let mut worker = make_worker();
    let cluster = side.cluster.clone();
    let listening = thread::spawn(move || cluster.listen("127.0.0.1:0".parse().unwrap(), &|| {}).unwrap());
    while !listening.is_finished() {
        worker.tell();
        assert_eq!(worker.act(Wait::AtMost(ROUND_NS)).unwrap(), Progress::Turned);
    }
    let address = listening.join().unwrap();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(address).unwrap()).collect();
    while worker.driver().open_connections() < CLIENTS {
        worker.tell();
        assert_eq!(worker.act(Wait::AtMost(ROUND_NS)).unwrap(), Progress::Turned);
    }
    // The receives of those accepted last are armed by a turn of its own.
    worker.tell();
    worker.act(Wait::Poll).unwrap();
    worker.tell();
    while side.poll().is_some() {}
    for client in &mut clients {
        client.write_all(b"all at once").unwrap();
    }
    worker.act(Wait::Forever).unwrap();
    worker.tell();
    let told = std::iter::from_fn(|| side.poll()).filter(|record| record.kind == completion::DATA).count();
    assert_eq!(told, CLIENTS as usize);
}
