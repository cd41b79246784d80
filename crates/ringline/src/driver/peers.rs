//! The addresses of the other sides. An IPv4 address is kept with its connection, in little room; the longer ones of IPv6
//! are kept here, by slot.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// What a connection keeps of its peer's address.
#[derive(Clone, Copy, Debug)]
pub(super) enum Peer {
    V4(Ipv4Addr, u16),
    /// It is in the table.
    V6,
}

impl Peer {
    /// What stands there before the address is known.
    pub(super) const UNKNOWN: Self = Self::V4(Ipv4Addr::UNSPECIFIED, 0);
}

/// The IPv6 addresses by slot.
#[derive(Default)]
pub(super) struct Peers(HashMap<u32, SocketAddrV6>);

impl Peers {
    /// Keeps the address of a slot's connection.
    pub(super) fn insert(&mut self, slot: u32, address: SocketAddr) -> Peer {
        match address {
            SocketAddr::V4(address) => Peer::V4(*address.ip(), address.port()),
            SocketAddr::V6(address) => {
                self.0.insert(slot, address);
                Peer::V6
            }
        }
    }

    /// The address of a slot's connection.
    pub(super) fn get(&self, slot: u32, peer: Peer) -> Option<SocketAddr> {
        match peer {
            Peer::V4(ip, port) => Some(SocketAddrV4::new(ip, port).into()),
            Peer::V6 => self.0.get(&slot).copied().map(SocketAddr::V6),
        }
    }

    /// The slot's connection is gone.
    pub(super) fn remove(&mut self, slot: u32, peer: Peer) {
        if let Peer::V6 = peer {
            self.0.remove(&slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_come_back_as_they_were_and_go_with_their_connection() {
        let mut peers = Peers::default();
        let addresses = ["192.0.2.1:80", "[2001:db8::1]:443"].map(|text| text.parse::<SocketAddr>().unwrap());
        let kept = addresses.map(|address| peers.insert(7, address));
        assert_eq!(kept.map(|peer| peers.get(7, peer).unwrap()), addresses);
        kept.into_iter().for_each(|peer| peers.remove(7, peer));
        assert!(peers.0.is_empty());
    }
}
