//! The examples, served and used as a person would. (Their `main` functions only read arguments and launch.)

mod harness;

#[path = "../examples/cache.rs"]
#[allow(dead_code, reason = "the test launches the handler itself")]
mod cache;
#[path = "../examples/echo.rs"]
#[allow(dead_code, reason = "the test launches the handler itself")]
mod echo;
#[path = "../examples/proxy.rs"]
#[allow(dead_code, reason = "the test launches the handler itself")]
mod proxy;

use std::io::Write;
use std::net::TcpStream;

use harness::{Running, config, pattern, read_all, read_exactly};
use ringline::{Config, RinglineBuilder};

fn launch<H: ringline::AsyncEventHandler>(mut config: Config) -> Running {
    config.worker.pin_to_core = false;
    Running::launch::<H>(RinglineBuilder::new(config).bind("127.0.0.1:0".parse().unwrap()))
}

fn write_and_finish(stream: &TcpStream, bytes: Vec<u8>) {
    let mut stream = stream.try_clone().unwrap();
    std::thread::spawn(move || {
        stream.write_all(&bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    });
}

#[test]
fn every_example_is_short() {
    for source in [
        include_str!("../examples/cache.rs"),
        include_str!("../examples/echo.rs"),
        include_str!("../examples/proxy.rs"),
    ] {
        assert!(source.lines().count() < 100, "{} lines", source.lines().count());
    }
}

#[test]
fn the_echo_example_sends_everything_back() {
    let server = Running::server::<echo::Echo>(config());
    let mut stream = server.connect();
    write_and_finish(&stream, pattern(4 << 20, 1));
    assert!(read_all(&mut stream) == pattern(4 << 20, 1));
}

#[test]
fn the_cache_example_keeps_values_and_frees_their_places() {
    let server = launch::<cache::Cache>(config().registered_regions(vec![cache::ARENA.clone()]).build().unwrap());
    let mut stream = server.connect();
    stream.set_nodelay(true).unwrap();
    let mut ask = |words: &[&[u8]], expected: &[u8]| {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend([format!("${}\r\n", word.len()).as_bytes(), word, b"\r\n"].concat());
        }
        // In two pieces, so that the first is no whole request.
        let (first, second) = request.split_at(request.len() / 2);
        stream.write_all(first).unwrap();
        stream.write_all(second).unwrap();
        assert!(read_exactly(&mut stream, expected.len()) == expected);
    };
    ask(&[b"GET", b"nothing"], b"$-1\r\n");
    let (value, other) = (pattern(60_000, 1), pattern(64 * 1024, 2));
    let stored = |value: &[u8]| [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat();
    ask(&[b"SET", b"key", &value], b"+OK\r\n");
    ask(&[b"SET", b"empty", b""], b"+OK\r\n");
    ask(&[b"GET", b"key"], &stored(&value));
    ask(&[b"GET", b"empty"], b"$0\r\n\r\n");
    // More often than there are places: those of replaced values are used again.
    for _ in 0..1500 {
        ask(&[b"SET", b"key", &other], b"+OK\r\n");
    }
    ask(&[b"GET", b"key"], &stored(&other));
    for key in 0..1022u32 {
        ask(&[b"SET", &key.to_be_bytes(), b"x"], b"+OK\r\n");
    }
    ask(&[b"SET", b"one too many", b"x"], b"-ERR the cache is full\r\n");
    ask(&[b"PING"], b"-ERR neither");
}

#[test]
fn the_proxy_example_passes_everything_on_both_ways_and_the_ends_too() {
    let echo = Running::server::<echo::Echo>(config());
    proxy::UPSTREAM.set(echo.address()).unwrap();
    let proxy = Running::server::<proxy::Proxy>(config());
    let mut clients: Vec<_> = (0..8).map(|_| proxy.connect()).collect();
    for (seed, client) in clients.iter().enumerate() {
        write_and_finish(client, pattern(2 << 20, seed as u64));
    }
    for (seed, client) in clients.iter_mut().enumerate() {
        assert!(read_all(client) == pattern(2 << 20, seed as u64), "client {seed}");
    }
}
