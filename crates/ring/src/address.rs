//! Socket addresses in the kernel's layout.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// An IPv4 or IPv6 address and port, as the kernel reads and writes them.
#[derive(Clone, Copy)]
pub struct SocketAddress {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

impl SocketAddress {
    /// Room for the kernel to write an address into.
    pub(crate) fn empty() -> Self {
        // SAFETY: sockaddr_storage is plain integers, for which zero is a value (AF_UNSPEC).
        let storage = unsafe { std::mem::zeroed() };
        Self { storage, len: size_of::<libc::sockaddr_storage>() as libc::socklen_t }
    }

    /// Where the kernel reads the address.
    pub fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        (&raw mut self.storage).cast()
    }

    /// How many bytes of it.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> libc::socklen_t {
        self.len
    }

    pub(crate) fn len_mut(&mut self) -> *mut libc::socklen_t {
        &raw mut self.len
    }

    /// An address from the bytes that the kernel wrote; longer input is cut.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut this = Self::empty();
        let len = bytes.len().min(size_of::<libc::sockaddr_storage>());
        // SAFETY: the storage has room for `len` bytes, every pattern of which is a value of it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), this.as_mut_ptr().cast(), len) };
        this.len = len as libc::socklen_t;
        this
    }

    /// The bytes that the kernel reads, and writes.
    #[cfg(test)]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        // SAFETY: `len` never exceeds the storage, all of which is initialised.
        unsafe { std::slice::from_raw_parts(self.as_ptr().cast(), self.len as usize) }
    }

    /// The address as the standard library writes it; `0.0.0.0:0` when the family is neither IPv4 nor IPv6.
    pub fn to_std(&self) -> SocketAddr {
        match i32::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that the storage holds a sockaddr_in.
                let v4 = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)))
            }
            libc::AF_INET6 => {
                // SAFETY: the family says that the storage holds a sockaddr_in6.
                let v6 = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                SocketAddr::V6(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id))
            }
            _ => SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)),
        }
    }
}

impl From<SocketAddr> for SocketAddress {
    fn from(address: SocketAddr) -> Self {
        let mut this = Self::empty();
        match address {
            SocketAddr::V4(v4) => {
                // SAFETY: sockaddr_storage is large enough and aligned for every address family.
                let raw = unsafe { &mut *(&raw mut this.storage).cast::<libc::sockaddr_in>() };
                raw.sin_family = libc::AF_INET as libc::sa_family_t;
                raw.sin_port = v4.port().to_be();
                raw.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
                this.len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            }
            SocketAddr::V6(v6) => {
                // SAFETY: as above.
                let raw = unsafe { &mut *(&raw mut this.storage).cast::<libc::sockaddr_in6>() };
                raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                raw.sin6_port = v6.port().to_be();
                raw.sin6_addr.s6_addr = v6.ip().octets();
                raw.sin6_flowinfo = v6.flowinfo();
                raw.sin6_scope_id = v6.scope_id();
                this.len = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            }
        }
        this
    }
}

impl std::fmt::Debug for SocketAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_std().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernel_layout() {
        for text in ["127.0.0.1:80", "0.0.0.0:0", "[::1]:65535", "[fe80::1%3]:9"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(SocketAddress::from(address).to_std(), address);
        }
    }
}
