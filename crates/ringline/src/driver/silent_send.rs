//! The usual send: one piece, of memory that nobody else uses, on a connection without a chain.
//!
//! It is *silent*: the kernel says nothing of it when it has taken everything, and completes it when it has not, which ends
//! the wait behind it. As it does not wait, it is over when the kernel has been entered; what has no completion then is sent.
//!
//! Its piece waits on the list of connections to advance, and the list becomes that of the silent sends until the same turn has
//! entered the kernel. Nothing is queued meanwhile. A piece that was not sent whole, or of which nothing is known then, goes back
//! to its queue and is treated as that of any other send.

use ringline_ring::{Kernel, Op};

use super::connection::{Connection, Phase, Sending};
use super::kind::Kind;
use super::send_queue::{Listed, Piece, Pieces, SendQueue};
use super::{ConnToken, Driver, Host, file_of};

impl<K: Kernel> Driver<K> {
    /// Submits what comes next for the connections on the list.
    #[inline(never)]
    pub(super) fn advance_listed<H: Host<K>>(&mut self, host: &mut H) {
        // Another list may come up meanwhile.
        while self.pieces.listed() > 0 {
            let mut list = self.pieces.take_list();
            if self.silent_sends {
                for listed in &mut list {
                    if !self.send_silently(host, listed) {
                        self.advance_otherwise(host, listed);
                    }
                }
            } else {
                list.iter_mut().for_each(|listed| self.advance_otherwise(host, listed));
            }
            if self.silent.is_empty() {
                std::mem::swap(&mut self.silent, &mut list);
            } else {
                self.silent.append(&mut list);
            }
            self.pieces.give_list(list);
        }
    }

    /// Submits the piece of a connection on the list, silently, if that is the usual. Answers whether it was; if not, nothing
    /// is submitted.
    #[inline(always)]
    fn send_silently<H: Host<K>>(&mut self, host: &mut H, listed: &Listed) -> bool {
        let conn = listed.conn;
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return false };
        connection.dirty = false;
        if connection.phase != Phase::Open || connection.sending != Sending::Idle || listed.piece.len == 0 {
            return false;
        }
        if !connection.is_plain() {
            let rare = connection.rare();
            if rare.chained {
                return false;
            }
            self.sends_awaited |= self.pipes.await_sent(rare.pipe_in);
        }
        connection.sending = Sending::Silent;
        connection.queue = SendQueue::EMPTY;
        self.metrics.sends += 1;
        let file = file_of(conn);
        // SAFETY: the piece stays on the list of silent sends, or goes back to its queue, until the send is over.
        let bytes = unsafe { listed.piece.pinned() };
        let make = || Op::SendSilently { file, bytes };
        self.submitter.push_made(make, Kind::SilentSend, conn.slot(), conn.generation());
        if !self.sends_awaited && host.awaits_sent(conn) {
            self.sends_awaited = true;
        }
        true
    }

    /// Advances a connection on the list whose send is not the usual one, if it has any.
    #[inline(never)]
    fn advance_otherwise<H: Host<K>>(&mut self, host: &mut H, listed: &mut Listed) {
        // The list becomes that of the silent sends.
        let conn = std::mem::replace(&mut listed.conn, ConnToken::NOBODY);
        if let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) {
            connection.dirty = false;
            self.pieces.unlist_from(listed, &mut connection.queue);
        }
        self.advance(host, conn);
    }

    /// Whether there are sends that [`end_silent_sends`](Self::end_silent_sends) would end.
    #[inline]
    pub(super) fn has_silent_sends(&self) -> bool {
        !self.silent.is_empty() || !self.doubtful.is_empty()
    }

    /// Ends the silent sends, which are over: those that were not whole have completions that wait to be taken, and all the
    /// others are sent.
    #[inline(never)]
    pub(super) fn end_silent_sends<H: Host<K>>(&mut self, host: &mut H) {
        let connections = &mut self.connections;
        self.submitter.kernel.look(|tag| {
            if tag.is_silent()
                && let Some(connection) = connections.get_mut(tag.slot(), tag.generation())
                && matches!(connection.sending, Sending::Silent | Sending::Doubtful)
            {
                connection.sending = Sending::InFlight;
            }
        });
        for conn in std::mem::take(&mut self.doubtful) {
            if let Some(connection) = self.connection(conn).filter(|connection| connection.sending == Sending::Doubtful)
            {
                let sent = connection.in_flight;
                self.send_finished(host, conn, sent as i32);
            }
        }
        let mut silent = std::mem::take(&mut self.silent);
        for listed in &silent {
            self.sent_silently(host, listed);
        }
        silent.clear();
        self.silent = silent;
    }

    /// Ends a silent send. Nothing can have happened to its connection but that it was marked: it is at rest then.
    #[inline(always)]
    fn sent_silently<H: Host<K>>(&mut self, host: &mut H, listed: &Listed) {
        let (conn, len, origin) = (listed.conn, listed.piece.len, listed.piece.origin);
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return };
        if connection.sending != Sending::Silent || !connection.is_plain() {
            return self.sent_otherwise(host, listed);
        }
        debug_assert!(connection.phase == Phase::Open && connection.queue.is_empty());
        connection.sending = Sending::Idle;
        connection.sent += u64::from(len);
        self.metrics.bytes_sent += u64::from(len);
        let sent = connection.sent;
        self.release_origin(host, origin);
        host.sent(conn, sent);
    }

    /// Ends a silent send as any other is ended: now if it was whole, otherwise with its completion.
    #[inline(never)]
    fn sent_otherwise<H: Host<K>>(&mut self, host: &mut H, &Listed { conn, piece }: &Listed) {
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return };
        take_back(connection, &mut self.pieces, piece);
        if connection.sending == Sending::Silent {
            self.send_finished(host, conn, piece.len as i32);
        }
    }

    /// Keeps the silent sends of which nothing is known yet: the kernel may not have taken them, or not have told of all
    /// that were not whole.
    #[cold]
    pub(super) fn doubt_silent_sends(&mut self) {
        for Listed { conn, piece } in self.silent.drain(..) {
            if let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) {
                take_back(connection, &mut self.pieces, piece);
                connection.sending = Sending::Doubtful;
                self.doubtful.push(conn);
            }
        }
    }
}

/// Puts the piece of a silent send back to its queue, as that of any other send in flight.
fn take_back<S>(connection: &mut Connection<S>, pieces: &mut Pieces, piece: Piece) {
    connection.in_flight = piece.len;
    connection.tail_sealed = true;
    debug_assert!(connection.queue.is_empty(), "something was queued while a silent send was in flight");
    pieces.push(&mut connection.queue, piece);
}
