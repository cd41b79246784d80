//! Socket addresses as JavaScript writes them and as records carry them.

use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::errors::Failure;
use crate::protocol::{Record, completion};

/// An address that stands for one that is not known.
pub(crate) const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Reads an IP address (an IPv6 one may carry a zone, `fe80::1%eth0`) and a port.
///
/// # Errors
///
/// `ERR_RINGLINE_INVALID_ADDRESS` when either is none. Host names are not resolved here.
pub(crate) fn parse(ip: &str, port: f64) -> Result<SocketAddr, Failure> {
    if !(0.0..=65_535.0).contains(&port) || port.fract() != 0.0 {
        return Err(invalid(format!("port is {port}, but must be an integer between 0 and 65535")));
    }
    let port = port as u16;
    if let Ok(ip) = ip.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let zoned = ip.split_once('%').and_then(|(ip, zone)| Some((ip.parse::<Ipv6Addr>().ok()?, zone)));
    let Some((v6, zone)) = zoned else {
        return Err(invalid(format!("{ip:?} is not an IP address; resolve host names with node:dns first")));
    };
    let Some(scope) = scope_of(zone) else {
        return Err(invalid(format!("{ip:?} names the network interface {zone:?}, which does not exist")));
    };
    Ok(SocketAddr::V6(SocketAddrV6::new(v6, port, 0, scope)))
}

fn invalid(message: String) -> Failure {
    Failure::new("ERR_RINGLINE_INVALID_ADDRESS", message)
}

/// The number of a zone: a number, or the name of an interface.
fn scope_of(zone: &str) -> Option<u32> {
    if let Ok(scope) = zone.parse::<u32>() {
        return (scope > 0).then_some(scope);
    }
    let name = CString::new(zone).ok()?;
    // SAFETY: the name is a terminated string that lives across the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index > 0).then_some(index)
}

/// The record that tells one end of a connection. A zone is not carried.
pub(crate) fn record(slot: u32, generation: u32, which: u32, address: SocketAddr) -> Record {
    let (family, words) = match address.ip() {
        IpAddr::V4(ip) => (4, [u32::from_le_bytes(ip.octets()), 0, 0, 0]),
        IpAddr::V6(ip) => (6, words_of(ip)),
    };
    let a = which | family << 8 | u32::from(address.port()) << 16;
    Record::new(completion::ADDRESS, slot, generation, [a, words[0], words[1], words[2], words[3]])
}

/// The bytes of an address as they lie in memory, four at a time.
pub(crate) fn words_of(ip: Ipv6Addr) -> [u32; 4] {
    let octets = ip.octets();
    std::array::from_fn(|word| u32::from_le_bytes(std::array::from_fn(|byte| octets[word * 4 + byte])))
}

/// The address whose bytes [`words_of`] has made words of.
pub(crate) fn bytes_of(words: [u32; 4]) -> [u8; 16] {
    std::array::from_fn(|byte| words[byte / 4].to_le_bytes()[byte % 4])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{LOCAL, PEER};

    #[test]
    fn addresses_are_read_as_javascript_writes_them() {
        assert_eq!(parse("127.0.0.1", 80.0).unwrap(), "127.0.0.1:80".parse().unwrap());
        assert_eq!(parse("::1", 0.0).unwrap(), "[::1]:0".parse().unwrap());
        assert_eq!(parse("fe80::1%3", 9.0).unwrap(), "[fe80::1%3]:9".parse().unwrap());
        assert!(matches!(parse("fe80::1%lo", 9.0).unwrap(), SocketAddr::V6(v6) if v6.scope_id() > 0));
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_code() {
        for (ip, port) in [
            ("localhost", 80.0),
            ("", 80.0),
            ("1.2.3", 80.0),
            ("fe80::1%no-such-interface", 80.0),
            ("127.0.0.1", 65_536.0),
            ("127.0.0.1", -1.0),
            ("127.0.0.1", 1.5),
            ("127.0.0.1", f64::NAN),
        ] {
            assert_eq!(parse(ip, port).unwrap_err().code(), "ERR_RINGLINE_INVALID_ADDRESS", "{ip}:{port}");
        }
    }

    #[test]
    fn records_carry_the_bytes_in_network_order() {
        let v4 = record(7, 9, PEER, "1.2.3.4:513".parse().unwrap());
        assert_eq!((v4.slot, v4.generation), (7, 9));
        assert_eq!(v4.values[0].to_le_bytes(), [0, 4, 1, 2]);
        assert_eq!(v4.values[1].to_le_bytes(), [1, 2, 3, 4]);
        let v6 = record(7, 9, LOCAL, "[102:304::f]:80".parse().unwrap());
        assert_eq!(v6.values[0], 1 | 6 << 8 | 80 << 16);
        assert_eq!(v6.values[1].to_le_bytes(), [1, 2, 3, 4]);
        assert_eq!(v6.values[4].to_le_bytes(), [0, 0, 0, 15]);
        let ip: Ipv6Addr = "102:304::f".parse().unwrap();
        assert_eq!(Ipv6Addr::from(bytes_of(words_of(ip))), ip);
    }
}
