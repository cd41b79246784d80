//! What the driver tells during a turn, queued until the turn is over.

use std::io;
use std::net::SocketAddr;

use ringline::driver::{
    Chunk, CommandCompletion, ConnToken, DeviceToken, FileCompletion, FileToken, Host, PipeEnd, UdpToken,
};
use ringline_ring::{DeviceFacts, FileFacts, Kernel};

use super::*;
use crate::pipes;

impl<K: Kernel> Host<K> for Bridge<K> {
    fn incoming(&mut self, socket: K::Socket) {
        self.incoming.push(socket);
    }

    fn connected(&mut self, conn: ConnToken) {
        let base = self.open(conn);
        if let Some((request, peer)) = self.answered(conn) {
            self.pending.push_back(Event::Connected { conn, request, peer, base });
        }
    }

    fn connect_failed(&mut self, conn: ConnToken, error: io::Error) {
        if let Some((request, _)) = self.answered(conn) {
            self.refuse_connect(request, errno::of(&error));
        }
    }

    #[inline]
    fn received(&mut self, conn: ConnToken, chunk: Chunk) {
        self.received.push_back((conn, chunk));
        self.pending.push_back(Event::Received);
    }

    fn receive_ended(&mut self, conn: ConnToken) {
        self.pending.push_back(Event::Ended { conn });
    }

    #[inline]
    fn sent(&mut self, conn: ConnToken, position: u64) {
        let sending = &mut self.sending[conn.slot() as usize];
        let total = sending.base.wrapping_add(position as u32);
        self.memory.word(Part::SentBytes, conn.slot()).store(total, Ordering::Relaxed);
        if position < sending.watch_next {
            return;
        }
        // Where watched positions lie between the first and the last is not kept: each further progress is reported.
        sending.watch_next = if position >= sending.watch_last { UNWATCHED } else { position + 1 };
        if !std::mem::replace(&mut sending.sent_queued, true) {
            self.pending.push_back(Event::Sent { conn });
        }
    }

    #[inline]
    fn awaits_sent(&self, conn: ConnToken) -> bool {
        // A thread of its own may be asked at any time how much is unsent, and for slots.
        !self.inline
            || self.sending[conn.slot() as usize].watch_next != UNWATCHED
            || self.memory.control(control::WANTS_SLOTS).load(Ordering::Relaxed) == 1
    }

    #[inline]
    fn send_slot_free(&mut self, slot: u32) {
        self.slots.give_back(slot);
        self.datagrams.slot_freed(slot);
    }

    #[inline]
    fn datagram(&mut self, udp: UdpToken, peer: SocketAddr, payload: &[u8]) {
        match self.datagrams.arrived(udp.index(), peer, payload) {
            Arrival::Stored(retired, waiting) => {
                if let Some(slab) = retired {
                    self.pending.push_back(Event::DatagramSlabRetired { slab });
                }
                self.pending.push_back(Event::Datagram(waiting));
            }
            Arrival::Dropped => self.pending.push_back(Event::DatagramsLost { udp: udp.index() }),
            Arrival::DroppedToo => {}
        }
    }

    fn datagram_failed(&mut self, udp: UdpToken, _error: io::Error) {
        self.datagram_lost(udp.index());
    }

    fn slab_retired(&mut self, slab: u32) {
        // JavaScript that borrows keeps its one ArrayBuffer of a slab for all of the slab's uses.
        if self.lent.is_none() {
            self.retired.push(slab);
        }
    }

    fn closed(&mut self, conn: ConnToken, error: Option<io::Error>) {
        let errno = error.map_or(0, |error| errno::of(&error));
        self.pending.push_back(Event::Closed { conn, errno });
    }

    fn pipe_ended(&mut self, key: u64, moved: u64, end: PipeEnd) {
        self.tell(pipes::ended(key as u32, moved, end));
    }

    fn guard_released(&mut self, key: u64) {
        self.guards_released = true;
        self.tell_released(key as u32);
    }

    fn file_opened(&mut self, file: FileToken, outcome: io::Result<FileFacts>) {
        let told = self.disk.file_opened(file, outcome);
        self.pending.extend(told.map(Event::Ready));
    }

    fn file_completed(&mut self, completion: FileCompletion) {
        let told = self.disk.file_completed(&completion);
        self.pending.extend(told.map(Event::Ready));
    }

    fn file_closed(&mut self, file: FileToken) {
        self.tell(disk::file_closed(file));
    }

    fn device_opened(&mut self, device: DeviceToken, outcome: io::Result<DeviceFacts>) {
        let told = self.disk.device_opened(device, outcome);
        self.pending.extend(told.map(Event::Ready));
    }

    fn command_completed(&mut self, completion: CommandCompletion) {
        let told = self.disk.command_completed(&completion);
        self.pending.extend(told.map(Event::Ready));
    }

    fn device_closed(&mut self, device: DeviceToken) {
        self.tell(disk::device_closed(device));
    }

    fn trim(&mut self) -> bool {
        self.datagrams.trim()
    }

    fn timer(&mut self, key: u64) {
        match self.timers.due(key) {
            Some(number) => self.pending.push_back(Event::TimerDue { number }),
            None => self.due.push(key),
        }
    }

    fn outer_ready(&mut self) {
        self.outer_ready = true;
    }

    fn doorbell(&mut self) {
        self.rung = true;
    }
}
