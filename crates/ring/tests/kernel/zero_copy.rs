//! Zero-copy sends, which the runtime does not use yet: when their memory is free. These tests speak to a bare ring.

use std::io::Read;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, cqueue, opcode, types};

use crate::fixture::{PATIENCE, tcp_pair};

static BYTES: [u8; 65_536] = [5; 65_536];
/// `IORING_SEND_ZC_REPORT_USAGE`, and the bit of the notification's result that says that the bytes were copied.
const REPORT_USAGE: u16 = 1 << 3;
const COPIED: i32 = i32::MIN;

/// What became of one zero-copy send: its result, and the result of its notification if one was announced.
fn send(socket: i32, flags: i32, personality: u16) -> (i32, Option<i32>) {
    let mut ring = IoUring::new(4).unwrap();
    let entry = opcode::SendZc::new(types::Fd(socket), BYTES.as_ptr(), BYTES.len() as u32)
        .flags(flags | libc::MSG_NOSIGNAL)
        .zc_flags(REPORT_USAGE)
        .build()
        .personality(personality);
    // SAFETY: the bytes are static.
    unsafe { ring.submission().push(&entry).unwrap() };
    let first = next(&mut ring);
    assert!(!cqueue::notif(first.flags()));
    let notification = cqueue::more(first.flags()).then(|| {
        let second = next(&mut ring);
        assert!(cqueue::notif(second.flags()) && !cqueue::more(second.flags()));
        second.result()
    });
    // Nothing may follow what the flags have announced.
    ring.submit().unwrap();
    assert!(ring.completion().next().is_none());
    (first.result(), notification)
}

fn next(ring: &mut IoUring) -> cqueue::Entry {
    let timeout = types::Timespec::from(PATIENCE);
    ring.submitter().submit_with_args(1, &types::SubmitArgs::new().timespec(&timeout)).unwrap();
    ring.completion().next().unwrap()
}

#[test]
fn a_zero_copy_send_on_loopback_is_copied_and_says_so() {
    let (near, mut far) = tcp_pair();
    let reader = std::thread::spawn(move || far.read_exact(&mut vec![0; BYTES.len()]).map(|()| far));
    let (sent, notification) = send(near.as_raw_fd(), libc::MSG_WAITALL, 0);
    assert_eq!(sent, BYTES.len() as i32);
    assert_eq!(notification.map(|usage| usage & COPIED), Some(COPIED));
    reader.join().unwrap().unwrap();
}

#[test]
fn whether_a_notification_follows_a_failed_zero_copy_send_is_told_by_the_flags_alone() {
    // `send` checks in each case that a notification comes if it was announced, and only then.
    // A personality that nobody registered: refused before the kernel looks at the operation, so nothing follows.
    let (near, _far) = tcp_pair();
    assert_eq!(send(near.as_raw_fd(), 0, 99), (-libc::EINVAL, None));

    // On 6.18 a notification follows each of these errors, also the one of a descriptor that does not exist.
    assert_eq!(send(-1, 0, 0).0, -libc::EBADF);
    // SAFETY: shutdown takes no pointers.
    assert_eq!(unsafe { libc::shutdown(near.as_raw_fd(), libc::SHUT_WR) }, 0);
    assert_eq!(send(near.as_raw_fd(), 0, 0).0, -libc::EPIPE);

    // Filled with plain sends: a zero-copy send that is queued but not read has no notification yet.
    let (near, _far) = tcp_pair();
    let (fd, flags) = (near.as_raw_fd(), libc::MSG_DONTWAIT);
    // SAFETY: the bytes are static.
    while unsafe { libc::send(fd, BYTES.as_ptr().cast(), BYTES.len(), flags) } > 0 {}
    assert_eq!(send(fd, flags, 0).0, -libc::EAGAIN);
}
