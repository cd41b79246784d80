//! Linked submissions on a bare ring: why a close would have to be a *hard* link. (Chains of sends are in `chains.rs`.)

use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::squeue::{Entry, Flags};
use io_uring::{IoUring, opcode, types};

use crate::fixture::{PATIENCE, QUIET, sees_fin, tcp_pair};

const FILE: types::Fixed = types::Fixed(0);
const RECEIVE: u64 = 1;
const FIRST: u64 = 2;
const CLOSE: u64 = 3;
static mut BUFFER: [u8; 16] = [0; 16];

/// A ring with a socket in its table and, if asked, a receive armed on it.
fn connected(armed: bool) -> (IoUring, TcpStream) {
    let mut ring = IoUring::new(8).unwrap();
    ring.submitter().register_files_sparse(1).unwrap();
    let (near, far): (OwnedFd, _) = tcp_pair();
    ring.submitter().register_files_update(0, &[near.as_raw_fd()]).unwrap();
    if armed {
        let receive = opcode::Recv::new(FILE, (&raw mut BUFFER).cast(), 16).build().user_data(RECEIVE);
        submit(&mut ring, &[receive]);
    }
    (ring, far)
}

fn submit(ring: &mut IoUring, entries: &[Entry]) {
    // SAFETY: the only memory that is named is static, and no test looks at it.
    unsafe { ring.submission().push_multiple(entries).unwrap() };
    ring.submit().unwrap();
}

/// The results of this many completions, by user data.
fn results(ring: &mut IoUring, count: usize) -> Vec<(u64, i32)> {
    let mut found = Vec::new();
    while found.len() < count {
        let timeout = types::Timespec::from(PATIENCE);
        let wait = types::SubmitArgs::new().timespec(&timeout);
        ring.submitter().submit_with_args(1, &wait).unwrap();
        found.extend(ring.completion().map(|completion| (completion.user_data(), completion.result())));
    }
    found.sort_unstable();
    found
}

fn close() -> Entry {
    opcode::Close::new(FILE).build().user_data(CLOSE)
}

#[test]
fn a_hard_linked_cancel_and_close_send_fin() {
    let (mut ring, mut far) = connected(true);
    let cancel = opcode::AsyncCancel::new(RECEIVE).build().user_data(FIRST).flags(Flags::IO_HARDLINK);
    submit(&mut ring, &[cancel, close()]);
    assert_eq!(results(&mut ring, 3), [(RECEIVE, -libc::ECANCELED), (FIRST, 0), (CLOSE, 0)]);
    assert!(sees_fin(&mut far, PATIENCE));
}

#[test]
fn a_linked_cancel_that_finds_nothing_cancels_the_close() {
    let (mut ring, mut far) = connected(false);
    let cancel = opcode::AsyncCancel::new(RECEIVE).build().user_data(FIRST).flags(Flags::IO_LINK);
    submit(&mut ring, &[cancel, close()]);
    assert_eq!(results(&mut ring, 2), [(FIRST, -libc::ENOENT), (CLOSE, -libc::ECANCELED)]);
    assert!(!sees_fin(&mut far, QUIET));
}

#[test]
fn a_hard_linked_cancel_that_finds_nothing_lets_the_close_run() {
    let (mut ring, mut far) = connected(false);
    let cancel = opcode::AsyncCancel::new(RECEIVE).build().user_data(FIRST).flags(Flags::IO_HARDLINK);
    submit(&mut ring, &[cancel, close()]);
    assert_eq!(results(&mut ring, 2), [(FIRST, -libc::ENOENT), (CLOSE, 0)]);
    assert!(sees_fin(&mut far, PATIENCE));
}

#[test]
fn a_linked_shutdown_and_close_send_fin() {
    let (mut ring, mut far) = connected(true);
    let shutdown = opcode::Shutdown::new(FILE, libc::SHUT_RDWR).build().user_data(FIRST).flags(Flags::IO_LINK);
    submit(&mut ring, &[shutdown, close()]);
    assert_eq!(results(&mut ring, 3), [(RECEIVE, 0), (FIRST, 0), (CLOSE, 0)]);
    assert!(sees_fin(&mut far, PATIENCE));
}
