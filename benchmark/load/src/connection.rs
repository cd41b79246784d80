//! One connection's side of the conversation: which bytes to send next, which must come back, and which request each of
//! them belongs to. No sockets and no clock: whoever moves the bytes tells the time.

use std::collections::VecDeque;
use std::fmt;

use crate::measurement::Tally;
use crate::stream::{CHUNK_BYTES_MAX, Cursor, Random, Stream};

const RANDOM_SIZE_BITS_MAX: u64 = 22; // 4 MiB

/// How long each message is.
pub(crate) enum Sizes {
    /// Always this many bytes.
    Fixed(u64),
    /// 1 B to 4 MiB, every power of two equally likely, so that both tiny and huge messages are frequent.
    Random(Random),
}

impl Sizes {
    /// Random sizes that are the same again for the same seed and connection.
    pub(crate) fn random(seed: u64, id: usize) -> Self {
        Sizes::Random(Random::new(seed ^ (id as u64).wrapping_mul(0xd6e8_feb8_6659_fd93)))
    }

    fn next(&mut self) -> u64 {
        match self {
            Sizes::Fixed(size) => *size,
            Sizes::Random(random) => {
                let bits = random.next() % (RANDOM_SIZE_BITS_MAX + 1);
                1 + random.next() % (1 << bits)
            }
        }
    }
}

struct Request {
    intended_ns: u64,
    /// Bytes of the response that have not come yet.
    missing: u64,
}

/// What one connection has sent, must send and must receive.
pub(crate) struct Connection {
    id: usize,
    stream: Stream,
    sizes: Sizes,
    send_cursor: Cursor,
    unsent: u64,
    receive_cursor: Cursor,
    received: u64,
    outstanding: VecDeque<Request>,
}

impl Connection {
    pub(crate) fn new(stream: Stream, id: usize, sizes: Sizes) -> Self {
        let start = stream.start(id);
        let outstanding = VecDeque::new();
        Connection { id, stream, sizes, send_cursor: start, unsent: 0, receive_cursor: start, received: 0, outstanding }
    }

    /// Adds one request, whose latency counts from `intended_ns`.
    pub(crate) fn request(&mut self, intended_ns: u64) {
        let missing = self.sizes.next();
        self.unsent += missing;
        self.outstanding.push_back(Request { intended_ns, missing });
    }

    /// The next bytes to send, as many as can be named at once; empty when there is nothing to send.
    pub(crate) fn unsent(&self) -> &'static [u8] {
        self.stream.at(self.send_cursor, self.unsent.min(CHUNK_BYTES_MAX as u64) as usize)
    }

    /// The first `count` of the unsent bytes are on their way.
    pub(crate) fn sent(&mut self, count: usize) {
        self.unsent -= count as u64;
        self.send_cursor = self.stream.after(self.send_cursor, count);
    }

    /// Verifies `bytes`, which came at `now_ns`, and returns how many responses they complete.
    #[inline]
    pub(crate) fn receive(&mut self, bytes: &[u8], now_ns: u64, tally: &mut Tally) -> Result<usize, WrongBytes> {
        for piece in bytes.chunks(CHUNK_BYTES_MAX) {
            if piece != self.stream.at(self.receive_cursor, piece.len()) {
                return Err(self.wrong_byte_in(piece));
            }
            self.receive_cursor = self.stream.after(self.receive_cursor, piece.len());
            self.received += piece.len() as u64;
        }
        tally.bytes(bytes.len());
        self.complete(bytes.len() as u64, now_ns, tally)
    }

    fn complete(&mut self, mut count: u64, now_ns: u64, tally: &mut Tally) -> Result<usize, WrongBytes> {
        let mut completed = 0;
        while count > 0 {
            let Some(request) = self.outstanding.front_mut() else {
                return Err(WrongBytes { connection: self.id, position: self.received, what: "more than was sent" });
            };
            let part = count.min(request.missing);
            request.missing -= part;
            count -= part;
            if request.missing == 0 {
                tally.response(now_ns.saturating_sub(request.intended_ns));
                self.outstanding.pop_front();
                completed += 1;
            }
        }
        Ok(completed)
    }

    fn wrong_byte_in(&self, piece: &[u8]) -> WrongBytes {
        let expected = self.stream.at(self.receive_cursor, piece.len());
        let offset = piece.iter().zip(expected).take_while(|(got, wanted)| got == wanted).count();
        WrongBytes { connection: self.id, position: self.received + offset as u64, what: "a wrong byte" }
    }

    /// Whether every request has its response.
    pub(crate) fn is_settled(&self) -> bool {
        self.outstanding.is_empty()
    }
}

/// The server did not return what it was sent.
#[derive(Debug)]
pub(crate) struct WrongBytes {
    connection: usize,
    position: u64,
    what: &'static str,
}

impl fmt::Display for WrongBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WrongBytes { connection, position, what } = self;
        write!(f, "connection {connection} received {what} at position {position} of its stream")
    }
}

impl std::error::Error for WrongBytes {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::SHORT_PERIOD_BYTES;

    fn connection(size: u64) -> (Connection, Tally) {
        (Connection::new(Stream::new(SHORT_PERIOD_BYTES), 3, Sizes::Fixed(size)), Tally::new())
    }

    #[test]
    fn responses_complete_at_their_last_byte_however_they_are_cut() {
        let (mut connection, mut tally) = connection(100);
        connection.request(0);
        connection.request(0);
        let echo = connection.unsent();
        connection.sent(echo.len());
        assert_eq!(echo.len(), 200);
        assert_eq!(connection.receive(&echo[..99], 1, &mut tally).unwrap(), 0);
        assert_eq!(connection.receive(&echo[99..150], 1, &mut tally).unwrap(), 1);
        assert_eq!(connection.receive(&echo[150..], 1, &mut tally).unwrap(), 1);
        assert!(connection.is_settled());
    }

    #[test]
    fn one_wrong_byte_is_found_at_its_position() {
        let (mut connection, mut tally) = connection(64);
        connection.request(0);
        let mut echo = connection.unsent().to_vec();
        echo[41] ^= 1;
        let error = connection.receive(&echo, 1, &mut tally).unwrap_err();
        assert_eq!(error.position, 41);
    }

    #[test]
    fn swapped_messages_are_wrong() {
        let (mut connection, mut tally) = connection(64);
        connection.request(0);
        connection.request(0);
        let mut echo = connection.unsent().to_vec();
        echo.rotate_left(64);
        assert!(connection.receive(&echo, 1, &mut tally).is_err());
    }

    #[test]
    fn a_doubled_response_is_more_than_was_sent() {
        let (mut connection, mut tally) = connection(SHORT_PERIOD_BYTES as u64);
        connection.request(0);
        let echo = connection.unsent();
        assert_eq!(connection.receive(echo, 1, &mut tally).unwrap(), 1);
        assert!(connection.receive(echo, 1, &mut tally).is_err());
    }

    #[test]
    fn random_sizes_span_one_byte_to_four_mebibytes() {
        let mut sizes = Sizes::random(1, 0);
        let drawn: Vec<u64> = (0..20_000).map(|_| sizes.next()).collect();
        assert_eq!(drawn.iter().min(), Some(&1));
        assert!(drawn.iter().max().is_some_and(|&max| max > 4_000_000 && max <= 4 << 20));
    }
}
