//! Zero-copy sends: memory that the kernel sends from where it lies, and who may not have it back yet.
//!
//! A zero-copy send has a result, like any send, and later a notification that its memory is free again. Between the two
//! the memory is held by a *flight*, which does not belong to the connection: that may be gone by then. Where a peer is
//! reached only by copying (loopback), the notification says so, and its connection goes back to plain sends, which are
//! cheaper there.

use std::io;

use ringline_ring::{Completion, Kernel, Op, PinnedMessage};

use super::kind::Kind;
use super::send::Gather;
use super::send_queue::{Origin, Piece};
use super::slots::Slots;
use super::{ConnToken, Driver, Host, file_of};
use crate::MemoryRegion;
use crate::guard::GuardBox;

/// Zero-copy sends whose notification has not come, at most; beyond it sends are copied.
const FLIGHTS_MAX: u32 = 1 << 16;

/// Memory with several users.
struct Shared {
    owner: Owner,
    /// The queued piece, and each flight that has sent a part of it.
    users: u32,
}

enum Owner {
    /// A guard with its host's key, and the registered buffer that it lies in.
    Guard(GuardBox, u64, Option<u16>),
    Slot(u32),
    Slab(u32),
}

/// A zero-copy send.
struct Flight {
    conn: ConnToken,
    /// What may be released with the notification.
    held: Vec<Origin>,
    /// The message, until the result.
    gather: Option<Box<Gather>>,
}

/// The zero-copy state of a worker.
pub(super) struct ZeroCopy {
    shared: Slots<Shared>,
    flights: Slots<Flight>,
    /// Lists of flights that have landed, to be used again.
    lists: Vec<Vec<Origin>>,
    /// Guards in queues and flights.
    guards: u32,
    guards_max: u32,
    /// A guarded piece below this many bytes is copied by the kernel.
    threshold: u32,
    /// Guards that are no longer needed, for the host to drop.
    released: Vec<GuardBox>,
    /// Registered memory, kept mapped.
    regions: Vec<MemoryRegion>,
}

impl ZeroCopy {
    pub(super) fn new(guards_max: u32, threshold: u32) -> Self {
        Self {
            shared: Slots::new(u32::MAX),
            flights: Slots::new(FLIGHTS_MAX),
            lists: Vec::new(),
            guards: 0,
            guards_max,
            threshold,
            released: Vec::new(),
            regions: Vec::new(),
        }
    }

    fn share(&mut self, owner: Owner, users: u32) -> u32 {
        // The generation is not needed: an entry is removed by its last user, who knows it by its number alone.
        let (number, _) = self.shared.insert(Shared { owner, users }).expect("there is memory for four billion");
        number
    }
}

impl Drop for ZeroCopy {
    /// The kernel has been dropped before. A guard whose notification never came is not dropped but forgotten: the
    /// network may still read its memory, and nobody would ever tell.
    fn drop(&mut self) {
        for (slot, generation) in self.flights.occupied().collect::<Vec<_>>() {
            let Some(flight) = self.flights.remove(slot, generation) else { continue };
            for origin in flight.held {
                let Origin::Shared(number) = origin else { continue };
                if let Some(Shared { owner: Owner::Guard(guard, ..), .. }) = self.shared.remove_any(number) {
                    std::mem::forget(guard);
                }
            }
        }
    }
}

impl<K: Kernel> Driver<K> {
    /// Registers memory that guards may name as their region, once and before anything is sent.
    ///
    /// # Safety
    ///
    /// The regions must stay mapped until the driver has been dropped.
    ///
    /// # Errors
    ///
    /// ENOMEM beyond RLIMIT_MEMLOCK, EFAULT for memory that is not mapped, EOPNOTSUPP for memory of a file.
    pub unsafe fn register_regions(&mut self, regions: &[(*mut u8, usize)]) -> io::Result<()> {
        let spare = self.files.fixed.spare(regions.len());
        // SAFETY: the driver drops its kernel first, and the caller promises the rest.
        unsafe { self.submitter.kernel.register_regions(regions, spare) }?;
        self.files.fixed.table_made(regions.len());
        Ok(())
    }

    /// As [`register_regions`](Self::register_regions), for memory that the driver then keeps mapped itself. Nothing
    /// happens when there are none.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn register_memory(&mut self, regions: &[MemoryRegion]) -> io::Result<()> {
        if regions.is_empty() {
            return Ok(());
        }
        let ranges: Vec<_> = regions.iter().map(|region| (region.as_ptr(), region.len())).collect();
        self.zero_copy.regions = regions.to_vec();
        // SAFETY: the regions kept above are dropped after the kernel, and each lasts as long as its clones.
        unsafe { self.register_regions(&ranges) }?;
        for (index, region) in (0..).zip(regions) {
            if let Some(mapping) = region.mapping() {
                self.files.fixed.given(mapping, index);
            }
        }
        Ok(())
    }

    /// The memory that was registered by [`register_memory`](Self::register_memory).
    pub fn regions(&self) -> &[MemoryRegion] {
        &self.zero_copy.regions
    }

    /// How many more guards can be queued.
    pub fn guards_left(&self) -> u32 {
        self.zero_copy.guards_max - self.zero_copy.guards
    }

    /// Queues memory that a guard keeps alive, to be sent without a copy where that pays. Returns the position of its
    /// end, as for a slot. When the memory is free again the host gets [`Host::guard_released`] with `key`, and the guard
    /// by [`take_released_guards`](Self::take_released_guards).
    ///
    /// # Errors
    ///
    /// When the connection takes no more bytes, or too many guards are queued; the guard comes back.
    pub fn send_guard(&mut self, conn: ConnToken, guard: GuardBox, key: u64) -> Result<u64, GuardBox> {
        let (address, len) = guard.as_ptr_len();
        let open = self.connection(conn).is_some_and(|connection| connection.accepts_sends());
        if !open || self.guards_left() == 0 {
            return Err(guard);
        }
        let region = guard.region().index();
        let number = self.zero_copy.share(Owner::Guard(guard, key, region), 1);
        self.zero_copy.guards += 1;
        let queued = self.enqueue(conn, Piece { address, len, origin: Origin::Shared(number) });
        Ok(queued.unwrap_or_else(|_| unreachable!("checked above")))
    }

    /// Moves guards that are no longer needed to the end of `into`. Dropping them runs code of the user's, so it happens
    /// outside of the driver.
    pub fn take_released_guards(&mut self, into: &mut Vec<GuardBox>) {
        into.append(&mut self.zero_copy.released);
    }

    /// Zero-copy sends whose notification has not come.
    pub fn zero_copy_in_flight(&self) -> u32 {
        self.zero_copy.flights.used()
    }

    /// Whether the next send of a connection should be a zero-copy one: it gathers a guard that is long enough.
    #[inline]
    pub(super) fn wants_zero_copy(&self, conn: ConnToken, most: usize) -> bool {
        if self.zero_copy.guards == 0 {
            return false;
        }
        let Some(connection) = self.connections.get(conn.slot(), conn.generation()) else { return false };
        let threshold = self.zero_copy.threshold;
        !connection.copied
            && self.zero_copy.flights.used() < FLIGHTS_MAX
            && self.pieces.any(&connection.queue, most, |piece| {
                matches!(piece.origin, Origin::Shared(_)) && piece.len >= threshold
            })
    }

    /// Submits what is queued, as far as one zero-copy send can hold it. The gather is filled already.
    pub(super) fn start_zero_copy(&mut self, conn: ConnToken, count: usize, gather: Box<Gather>) {
        // SAFETY: the gather is boxed and stays with the flight until the result; its pieces, and what they name, stay queued
        // until then.
        let message = unsafe { PinnedMessage::new(&raw const gather.header) };
        let held = self.zero_copy.lists.pop().unwrap_or_default();
        let flight = Flight { conn, held, gather: Some(gather) };
        let Some((slot, generation)) = self.zero_copy.flights.insert(flight) else { return };
        let Some(connection) = self.connections.get(conn.slot(), conn.generation()) else { return };
        let file = file_of(conn);
        let first = self.pieces.first(&connection.queue).filter(|_| count == 1);
        let op = match first.map(|piece| (*piece, self.zero_copy.region_of(piece.origin))) {
            // SAFETY: the flight holds the memory until the notification.
            Some((piece, buffer)) => Op::SendZeroCopy { file, bytes: unsafe { piece.pinned() }, buffer },
            None => Op::SendMessageZeroCopy { file, message },
        };
        self.metrics.zero_copy_sends += 1;
        self.submitter.push(op, Kind::ZeroCopy, slot, generation);
    }

    pub(super) fn zero_copy_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let (slot, generation) = (completion.tag.slot(), completion.tag.generation());
        let Some(flight) = self.zero_copy.flights.get_mut(slot, generation) else {
            self.metrics.stale_completions += 1;
            return;
        };
        let conn = flight.conn;
        if completion.is_notification() {
            if completion.was_copied() {
                self.metrics.zero_copy_copied += 1;
                if let Some(connection) = self.connection(conn) {
                    connection.copied = true;
                }
            }
            return self.land(host, slot, generation);
        }
        self.gathers.extend(flight.gather.take());
        // Whether a notification follows is told by this flag alone, also after an error.
        let lands_later = completion.more();
        if let Ok(sent @ 1..) = completion.outcome()
            && lands_later
        {
            self.hold_sent(conn, sent, slot, generation);
        }
        if !lands_later {
            self.land(host, slot, generation);
        }
        let mut result = completion.result;
        if matches!(-result, libc::ENOMEM | libc::ENOBUFS | libc::EOPNOTSUPP) {
            // The kernel has no memory to track the pages, or this socket cannot do it: a plain send still can.
            if let Some(connection) = self.connection(conn) {
                connection.copied = true;
            }
            result = -libc::EINTR;
        }
        self.send_finished(host, conn, result);
    }

    /// Gives the flight a share in all memory of which it has sent some.
    fn hold_sent(&mut self, conn: ConnToken, sent: u32, slot: u32, generation: u32) {
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return };
        let Some(flight) = self.zero_copy.flights.get_mut(slot, generation) else { return };
        let mut held = std::mem::take(&mut flight.held);
        let mut left = sent;
        let mut cursor = self.pieces.cursor(&connection.queue);
        while left > 0 {
            let Some(piece) = self.pieces.next(&mut cursor) else { break };
            left = left.saturating_sub(piece.len);
            let number = match piece.origin {
                Origin::Shared(number) => {
                    self.zero_copy.shared.get_any_mut(number).expect("a queued piece is a user").users += 1;
                    number
                }
                Origin::Slot(slot) => self.zero_copy.share(Owner::Slot(slot), 2),
                Origin::Slab(slab) => self.zero_copy.share(Owner::Slab(slab), 2),
            };
            piece.origin = Origin::Shared(number);
            held.push(piece.origin);
        }
        if let Some(flight) = self.zero_copy.flights.get_mut(slot, generation) {
            flight.held = held;
        }
    }

    /// The kernel no longer uses a flight's memory.
    fn land<H: Host<K>>(&mut self, host: &mut H, slot: u32, generation: u32) {
        let Some(mut flight) = self.zero_copy.flights.remove(slot, generation) else { return };
        for origin in flight.held.drain(..) {
            self.release_origin(host, origin);
        }
        self.zero_copy.lists.push(flight.held);
    }

    /// Gives back the memory of a piece that has left its queue or its flight.
    #[inline(always)]
    pub(super) fn release_origin<H: Host<K>>(&mut self, host: &mut H, origin: Origin) {
        match origin {
            Origin::Slot(slot) => host.send_slot_free(slot),
            Origin::Slab(slab) => self.release_slab_piece(slab),
            Origin::Shared(number) => self.release_shared(host, number),
        }
    }

    #[inline(always)]
    fn release_slab_piece(&mut self, slab: u32) {
        self.slab_pieces -= 1;
        self.buffers.slabs_mut().release_piece(slab);
    }

    fn release_shared<H: Host<K>>(&mut self, host: &mut H, number: u32) {
        let Some(shared) = self.zero_copy.shared.get_any_mut(number) else { return };
        shared.users -= 1;
        if shared.users > 0 {
            return;
        }
        match self.zero_copy.shared.remove_any(number).map(|shared| shared.owner) {
            Some(Owner::Guard(guard, key, _)) => {
                self.zero_copy.guards -= 1;
                self.zero_copy.released.push(guard);
                host.guard_released(key);
            }
            Some(Owner::Slot(slot)) => host.send_slot_free(slot),
            Some(Owner::Slab(slab)) => self.release_slab_piece(slab),
            None => {}
        }
    }
}

impl ZeroCopy {
    /// The registered buffer behind a piece, if any.
    fn region_of(&self, origin: Origin) -> Option<u16> {
        let Origin::Shared(number) = origin else { return None };
        match &self.shared.get_any(number)?.owner {
            Owner::Guard(_, _, region) => *region,
            Owner::Slot(_) | Owner::Slab(_) => None,
        }
    }
}
