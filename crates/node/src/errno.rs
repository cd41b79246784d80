//! Error numbers of the system: their names, their texts, and the number of an error that has none.

use std::ffi::CStr;
use std::io::{self, ErrorKind};

/// The number of an I/O error. Errors of the standard library that carry none get the one that says the same.
pub(crate) fn of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or_else(|| match error.kind() {
        ErrorKind::TimedOut => libc::ETIMEDOUT,
        ErrorKind::ConnectionReset => libc::ECONNRESET,
        ErrorKind::BrokenPipe => libc::EPIPE,
        ErrorKind::OutOfMemory => libc::ENOMEM,
        ErrorKind::InvalidInput => libc::EINVAL,
        _ => libc::EIO,
    })
}

macro_rules! names {
    ($($name:ident)*) => {
        /// The name of an error number, or `UNKNOWN`, as Node.js says.
        pub(crate) fn name(errno: i32) -> &'static str {
            match errno {
                $(libc::$name => stringify!($name),)*
                _ => "UNKNOWN",
            }
        }
    };
}

names! {
    E2BIG EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF EBUSY ECANCELED ECONNABORTED ECONNREFUSED
    ECONNRESET EDESTADDRREQ EEXIST EFAULT EHOSTDOWN EHOSTUNREACH EINPROGRESS EINTR EINVAL EIO EISCONN EMFILE EMSGSIZE
    ENETDOWN ENETRESET ENETUNREACH ENFILE ENOBUFS ENODEV ENOENT ENOMEM ENOPROTOOPT ENOSYS ENOTCONN ENOTRECOVERABLE
    ENOTSOCK EOPNOTSUPP EOVERFLOW EPERM EPIPE EPROTO EPROTONOSUPPORT EPROTOTYPE ESHUTDOWN ETIMEDOUT EXDEV
}

/// What the system says about an error number: `Address already in use`.
pub(crate) fn text(errno: i32) -> String {
    let mut buffer = [0; 128];
    // SAFETY: the buffer is as long as stated, and the call terminates what it writes.
    let status = unsafe { libc::strerror_r(errno, buffer.as_mut_ptr(), buffer.len()) };
    if status != 0 {
        return format!("error {errno}");
    }
    // SAFETY: the call succeeded, so the buffer holds a terminated string.
    unsafe { CStr::from_ptr(buffer.as_ptr()) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_names_and_texts_agree() {
        assert_eq!(name(libc::EADDRINUSE), "EADDRINUSE");
        assert_eq!(text(libc::EADDRINUSE), "Address already in use");
        assert_eq!(name(9999), "UNKNOWN");
        assert_eq!(of(&ErrorKind::TimedOut.into()), libc::ETIMEDOUT);
        assert_eq!(of(&io::Error::from_raw_os_error(libc::ECANCELED)), libc::ECANCELED);
        assert_eq!(of(&io::Error::other("anything")), libc::EIO);
    }
}
