//! The host of a random run: it adopts, checks what it receives, sends, keeps chunks for a while, and remembers what
//! each connection owes its peer.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash};

use ringline::driver::{Chunk, ConnToken, Driver, SlabHandle};
use ringline_ring::Wait;
use ringline_sim::{SimKernel, SimSocket};

use crate::clients::byte_of;
use crate::dice::Dice;
use crate::events::Event;
use crate::ledger::{Ledger, Life};
use crate::setup::GROUP;

/// What the host knows of one connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) token: ConnToken,
    /// The client at the other end, once its first byte has told.
    pub(crate) client: Option<u8>,
    /// Bytes received.
    pub(crate) received: usize,
    /// Every byte that was queued for sending.
    pub(crate) queued: Vec<u8>,
    /// Closed by the host without waiting for what is queued.
    pub(crate) aborted: bool,
    /// Closed by the host at all.
    pub(crate) closed_by_host: bool,
    pub(crate) paused: bool,
    /// How it was closed.
    pub(crate) closed: Option<Option<i32>>,
}

/// Received bytes that the host keeps, and what they were when they came.
struct Kept {
    chunk: Chunk,
    bytes: Vec<u8>,
}

pub(crate) struct Server {
    pub(crate) driver: Driver<SimKernel>,
    pub(crate) ledger: Ledger,
    pub(crate) conns: Vec<Conn>,
    index: HashMap<ConnToken, usize>,
    /// Sockets that were accepted and not adopted.
    pub(crate) lobby: Vec<SimSocket>,
    kept: Vec<Kept>,
    handles: Vec<(SlabHandle, u32, Vec<u8>)>,
    /// Buffers that the kernel is given at first.
    pub(crate) ring_size: usize,
    /// The bytes of these buffers.
    pub(crate) ring_bytes: usize,
    /// The most slabs that were full and held at a time.
    held_max: usize,
    pub(crate) more: bool,
    pub(crate) turns: u64,
    /// Whether received bytes are sent on and kept by chance, or just checked.
    pub(crate) playful: bool,
    /// A hash of every event.
    pub(crate) history: DefaultHasher,
}

impl Server {
    pub(crate) fn new(mut driver: Driver<SimKernel>) -> Self {
        let ring_size = driver.kernel_mut().buffers_owned(GROUP);
        let ring_bytes = driver.kernel_mut().buffer_bytes_owned(GROUP);
        let ledger = Ledger::new(driver.send_memory().slots());
        Self {
            driver,
            ledger,
            conns: Vec::new(),
            index: HashMap::new(),
            lobby: Vec::new(),
            kept: Vec::new(),
            handles: Vec::new(),
            ring_size,
            ring_bytes,
            held_max: 0,
            more: false,
            turns: 0,
            playful: true,
            history: DefaultHasher::new(),
        }
    }

    pub(crate) fn conn(&self, token: ConnToken) -> &Conn {
        &self.conns[self.index[&token]]
    }

    fn conn_mut(&mut self, token: ConnToken) -> &mut Conn {
        &mut self.conns[self.index[&token]]
    }

    /// A token that was given out: perhaps of a connection that is long gone.
    pub(crate) fn any_token(&self, dice: &mut Dice) -> Option<ConnToken> {
        let recent = self.conns.len().min(if dice.one_in(3) { usize::MAX } else { 8 });
        (recent > 0).then(|| self.conns[self.conns.len() - 1 - dice.below(recent)].token)
    }

    pub(crate) fn life(&self, token: ConnToken) -> Life {
        self.ledger.life(token).expect("the token was given out")
    }

    /// Tokens that the host may still use.
    pub(crate) fn standing(&self) -> Vec<ConnToken> {
        let stands = |token: &ConnToken| matches!(self.life(*token), Life::Open | Life::Ended);
        self.conns.iter().map(|conn| conn.token).filter(stands).collect()
    }

    pub(crate) fn began(&mut self, token: ConnToken, life: Life, client: Option<u8>) {
        self.ledger.began(token, life);
        self.index.insert(token, self.conns.len());
        self.conns.push(Conn {
            token,
            client,
            received: 0,
            queued: Vec::new(),
            aborted: false,
            closed_by_host: false,
            paused: false,
            closed: None,
        });
    }

    pub(crate) fn adopt_all(&mut self) {
        for socket in std::mem::take(&mut self.lobby) {
            if let Ok(token) = self.driver.adopt(socket) {
                self.began(token, Life::Open, None);
            }
        }
    }

    // ---- a turn, and what it told ---------------------------------------------------------------------------------

    pub(crate) fn turn(&mut self, wait: Wait, dice: &mut Dice) {
        let wait = if self.more { Wait::Poll } else { wait };
        self.more = self.driver.turn(&mut self.ledger, wait).unwrap().more;
        self.turns += 1;
        self.held_max = self.held_max.max(self.driver.slabs_held());
        for event in self.ledger.take_events() {
            format!("{event:?}").hash(&mut self.history);
            self.happened(event, dice);
        }
    }

    fn happened(&mut self, event: Event, dice: &mut Dice) {
        match event {
            Event::Incoming(socket) => self.lobby.push(socket),
            Event::Received(token, chunk) => self.received(token, chunk, dice),
            Event::Sent(token, position) => {
                let queued = self.conn(token).queued.len();
                assert!(position <= queued as u64, "{token:?} sent {position} of {queued} bytes");
            }
            Event::Closed(token, error) => {
                let conn = self.conn_mut(token);
                conn.closed = Some(error);
                assert!(error.is_none_or(|errno| errno > 0), "closed with {error:?}");
                self.check_stale(token);
            }
            Event::Connected(_) | Event::ConnectFailed(..) | Event::ReceiveEnded(_) => {}
            Event::Timer(_) | Event::Doorbell => {}
        }
    }

    /// Checks what has come against what the client has written.
    fn received(&mut self, token: ConnToken, chunk: Chunk, dice: &mut Dice) {
        // In a turn every buffer may be filled and replaced; beyond that, slabs are made only when others are held.
        let slabs_max = 2 * self.ring_size + self.held_max + 1;
        assert!((chunk.slab() as usize) < slabs_max, "{chunk:?} lies in a new slab, {} were held", self.held_max);
        let bytes = self.driver.chunk_bytes(&chunk).to_vec();
        let (from, client) = (self.conn(token).received, self.conn(token).client.unwrap_or(bytes[0]));
        if self.conn(token).client.is_none() {
            let taken = self.conns.iter().find(|conn| conn.client == Some(client));
            assert!(taken.is_none(), "{token:?} received the bytes of {taken:?}");
        }
        for (at, &byte) in bytes.iter().enumerate() {
            assert_eq!(byte, byte_of(client, from + at), "{token:?}, client {client}, byte {}", from + at);
        }
        let conn = self.conn_mut(token);
        conn.client = Some(client);
        conn.received += bytes.len();
        let choice = if self.playful { dice.below(8) } else { 0 };
        match choice {
            0..4 => self.give_back(chunk),
            4 => self.kept.push(Kept { chunk, bytes }),
            5 => self.share(chunk, bytes),
            _ => {
                let to = if dice.one_in(3) { self.any_token(dice).unwrap_or(token) } else { token };
                self.send_on(to, chunk, &bytes, dice);
            }
        }
    }

    fn give_back(&mut self, chunk: Chunk) {
        self.ledger.disown(&chunk);
        self.driver.release(chunk);
    }

    fn share(&mut self, chunk: Chunk, bytes: Vec<u8>) {
        let handle = self.driver.share(&chunk);
        assert_eq!(handle.slab(), chunk.slab());
        self.handles.push((handle, chunk.offset(), bytes));
        self.give_back(chunk);
    }

    /// Sends received bytes as they lie, in up to two pieces.
    fn send_on(&mut self, to: ConnToken, mut chunk: Chunk, bytes: &[u8], dice: &mut Dice) {
        self.ledger.disown(&chunk);
        let front_len = dice.below(bytes.len() + 1);
        if dice.one_in(2) {
            let front = self.driver.split_chunk(&mut chunk, front_len as u32);
            self.send_chunk(to, front, &bytes[..front_len]);
            return self.send_chunk(to, chunk, &bytes[front_len..]);
        }
        self.send_chunk(to, chunk, bytes);
    }

    fn send_chunk(&mut self, to: ConnToken, chunk: Chunk, bytes: &[u8]) {
        match self.driver.send_chunk(to, chunk) {
            Ok(position) => self.queued(to, bytes, position),
            Err(chunk) => self.driver.release(chunk),
        }
    }

    fn queued(&mut self, token: ConnToken, bytes: &[u8], position: u64) {
        assert_ne!(self.life(token), Life::Over, "{token:?} is stale and took bytes");
        let conn = self.conn_mut(token);
        conn.queued.extend(bytes);
        assert_eq!(conn.queued.len() as u64, position, "{token:?}: position after {} bytes", bytes.len());
    }

    // ---- what the host does between turns ---------------------------------------------------------------------------

    /// Sends `len` bytes through as many slots as there are.
    pub(crate) fn send(&mut self, token: ConnToken, len: usize, dice: &mut Dice) {
        let bytes: Vec<u8> = (0..len).map(|at| (at as u8).wrapping_mul(7) ^ dice.below(256) as u8).collect();
        let mut rest = &bytes[..];
        loop {
            let appendable = (self.driver.appendable(token) as usize).min(rest.len());
            if appendable > 0 && dice.one_in(2) {
                let (piece, behind) = rest.split_at(appendable);
                let position = self.driver.append(token, piece).expect("what is appendable can be appended");
                self.queued(token, piece, position);
                rest = behind;
            }
            let Some(slot) = self.ledger.take_slot() else { return };
            let piece = &rest[..rest.len().min(self.driver.send_memory().slot_size() as usize)];
            match self.driver.send_copy(token, slot, piece) {
                Ok(position) => self.queued(token, piece, position),
                Err(_) => return self.ledger.give_slot_back(slot),
            }
            rest = &rest[piece.len()..];
            if rest.is_empty() {
                return;
            }
        }
    }

    pub(crate) fn close(&mut self, token: ConnToken) {
        if self.driver.close(token) {
            self.ledger.close(token);
            self.conn_mut(token).closed_by_host = true;
        }
    }

    pub(crate) fn abort(&mut self, token: ConnToken) {
        let stale = self.life(token) == Life::Over;
        if self.driver.abort(token, None) && !stale {
            self.ledger.close(token);
            let conn = self.conn_mut(token);
            (conn.aborted, conn.closed_by_host) = (true, true);
        }
    }

    pub(crate) fn pause(&mut self, token: ConnToken) {
        if self.driver.pause_receive(token) {
            self.conn_mut(token).paused = true;
        }
    }

    pub(crate) fn resume(&mut self, token: ConnToken) {
        if self.driver.resume_receive(token) {
            self.conn_mut(token).paused = false;
        }
    }

    /// No operation with the token of a connection that is over does anything.
    pub(crate) fn check_stale(&mut self, token: ConnToken) {
        let driver = &mut self.driver;
        // A connect that failed occupies its slot until its file is closed.
        let freed = !driver.tokens().contains(&token);
        let done = [
            driver.close(token),
            driver.abort(token, None) && freed,
            driver.shutdown_write(token),
            driver.pause_receive(token),
            driver.resume_receive(token),
            driver.cancel_connect(token),
            driver.is_open(token),
            driver.appendable(token) > 0,
            driver.append(token, b"").is_ok(),
            driver.unsent(token).is_some() && freed,
            driver.peer_addr(token).is_some() && freed,
            driver.local_addr(token).is_some() && freed,
            driver.is_outbound(token).is_some() && freed,
        ];
        assert_eq!(done, [false; 13], "the stale {token:?} did something");
        if let Some(slot) = self.ledger.take_slot() {
            assert!(self.driver.send_copy(token, slot, b"x").is_err(), "the stale {token:?} took bytes");
            self.ledger.give_slot_back(slot);
        }
    }

    /// Gives back some of what is kept, having seen that nobody has changed it.
    pub(crate) fn let_go(&mut self, all: bool, dice: &mut Dice) {
        while !self.kept.is_empty() && (all || dice.one_in(2)) {
            let Kept { chunk, bytes } = self.kept.swap_remove(dice.below(self.kept.len()));
            assert_eq!(self.driver.chunk_bytes(&chunk), bytes, "received bytes changed");
            match self.any_token(dice) {
                Some(to) if !all && dice.one_in(2) => self.send_on(to, chunk, &bytes, dice),
                _ => self.give_back(chunk),
            }
        }
        while !self.handles.is_empty() && (all || dice.one_in(2)) {
            let (handle, offset, bytes) = self.handles.swap_remove(dice.below(self.handles.len()));
            let again = self.driver.reclaim_chunk(handle.slab(), handle.generation(), offset, bytes.len() as u32);
            let again = again.expect("a held slab can be read again");
            assert_eq!(self.driver.chunk_bytes(&again), bytes, "shared bytes changed");
            match self.any_token(dice) {
                Some(to) if !all && dice.one_in(2) => self.send_chunk(to, again, &bytes),
                _ => self.driver.release(again),
            }
            drop(handle);
        }
    }
}
