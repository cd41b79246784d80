//! Whole runs of an echo server under everything that can go wrong: each is replayed exactly by its seed, and every
//! stream comes back unharmed.

mod echo;

use echo::Echo;
use ringline_sim::{Faults, Network, NetworkOptions, Peer};

/// Turns after which a run that has not ended never will.
const TURNS_MAX: usize = 20_000;

struct Client {
    peer: Peer,
    sent: Vec<u8>,
    received: Vec<u8>,
}

fn options(seed: u64) -> NetworkOptions {
    NetworkOptions { seed, send_buffer: 64, receive_buffer: 100, window: 50, ..NetworkOptions::default() }
}

/// What a run comes to.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Outcome {
    trace_hash: u64,
    /// Connections whose bytes came back; the others were refused at the door.
    served: usize,
}

fn run(seed: u64) -> Outcome {
    let network = Network::with_options(NetworkOptions { faults: Faults::STORM, ..options(seed) });
    let (mut server, address) = Echo::new(&network, seed.is_multiple_of(2));
    let mut clients: Vec<Client> = (0..5)
        .map(|client| {
            let peer = network.connect(address).unwrap();
            let sent: Vec<u8> = (0..600_u32).map(|n| (n * 7 + client) as u8).collect();
            for piece in sent.chunks(90) {
                peer.write(piece);
            }
            peer.shutdown_write();
            Client { peer, sent, received: Vec::new() }
        })
        .collect();
    let mut turns = 0;
    while clients.iter().any(|client| !over(&client.peer)) {
        server.turn();
        turns += 1;
        assert!(turns < TURNS_MAX, "seed {seed}: no end\n{:#?}", network.open_files());
        for client in &mut clients {
            client.received.extend(client.peer.read_up_to(turns % 40));
        }
    }
    let mut served = 0;
    for client in &clients {
        // An accept or an adoption that failed has closed the connection before anything was echoed.
        let refused = client.received.is_empty();
        served += usize::from(!refused);
        assert!(refused || client.received == client.sent, "seed {seed}: {} bytes", client.received.len());
    }
    server.stop();
    while !server.idle() {
        server.turn();
        turns += 1;
        assert!(turns < TURNS_MAX, "seed {seed}: no stop\n{:#?}", network.open_files());
    }
    drop(server);
    assert_eq!(network.open_files(), Vec::<String>::new(), "seed {seed}");
    Outcome { trace_hash: network.trace_hash(), served }
}

fn over(peer: &Peer) -> bool {
    peer.sees_end() || peer.sees_reset()
}

#[test]
fn every_stream_survives_the_storm() {
    let served: usize = (0..200).map(|seed| run(seed).served).sum();
    assert!(served > 800, "{served} of 1,000 connections were served");
}

#[test]
fn a_seed_names_a_run() {
    for seed in 0..10 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

#[test]
fn different_seeds_are_different_runs() {
    let mut hashes: Vec<u64> = (0..50).map(|seed| run(seed).trace_hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 50);
}

#[test]
fn without_faults_every_connection_is_served() {
    let network = Network::with_options(options(1));
    let (mut server, address) = Echo::new(&network, true);
    let peer = network.connect(address).unwrap();
    peer.write(&[42; 500]);
    let mut received = Vec::new();
    for _ in 0..TURNS_MAX {
        server.turn();
        received.extend(peer.read());
        if received.len() == 500 {
            return assert_eq!(received, [42; 500]);
        }
    }
    panic!("{} of 500 bytes came back", received.len());
}
