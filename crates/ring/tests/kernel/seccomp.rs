//! The probe under a real seccomp filter, as container runtimes install it.

use std::io;

use ringline_ring::{RingSettings, SetupError, Unavailable, Uring, probe};

use crate::fixture::in_a_process_of_its_own;

/// The numbers of the three calls, the same on every architecture.
const SETUP: u32 = 425;
const ENTER: u32 = 426;
const REGISTER: u32 = 427;

/// Makes the system calls `first` to `last` answer `errno` from here on, for this process and its children.
fn block(first: u32, last: u32, errno: i32) -> io::Result<()> {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let jump =
        |code: u32, k, jt, jf| libc::sock_filter { code: (libc::BPF_JMP | code | libc::BPF_K) as u16, jt, jf, k };
    let number_of_call = 0;
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, number_of_call),
        jump(libc::BPF_JGE, first, 0, 2),
        jump(libc::BPF_JGT, last, 1, 0),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno as u32),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its instructions live across the calls, which copy them.
    unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[test]
fn without_a_filter_the_probe_finds_io_uring() {
    let found = probe().unwrap();
    assert!(found.release.starts_with(|first: char| first.is_ascii_digit()), "{found:?}");
}

fn expect_blocked(call: &'static str, errno: i32) {
    let reason = probe().unwrap_err();
    assert_eq!(reason, Unavailable::Seccomp { call, errno });
    assert_eq!(reason.name(), "blocked-by-seccomp");
    let text = reason.to_string();
    for part in ["seccomp", call, "Docker", "--security-opt", "io_uring_setup, io_uring_enter and io_uring_register"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_filter_that_answers_eperm_is_named() {
    in_a_process_of_its_own(
        "seccomp::a_filter_that_answers_eperm_is_named",
        || block(SETUP, REGISTER, libc::EPERM),
        || {
            expect_blocked("io_uring_setup", libc::EPERM);
            let error = Uring::new(&RingSettings::new(8, 8)).unwrap_err();
            assert!(matches!(error, SetupError::Unavailable(Unavailable::Seccomp { .. })), "{error}");
        },
    );
}

#[test]
fn a_filter_that_answers_enosys_is_named() {
    in_a_process_of_its_own(
        "seccomp::a_filter_that_answers_enosys_is_named",
        || block(SETUP, REGISTER, libc::ENOSYS),
        || expect_blocked("io_uring_setup", libc::ENOSYS),
    );
}

#[test]
fn a_filter_that_forgets_one_call_is_named_with_the_call() {
    in_a_process_of_its_own(
        "seccomp::a_filter_that_forgets_one_call_is_named_with_the_call",
        || block(ENTER, ENTER, libc::EPERM),
        || {
            expect_blocked("io_uring_enter", libc::EPERM);
            let error = Uring::new(&RingSettings::new(8, 8)).unwrap_err();
            assert!(matches!(error, SetupError::Unavailable(Unavailable::Seccomp { .. })), "{error}");
        },
    );
}

#[test]
fn a_filter_that_allows_a_ring_but_no_registration_is_named() {
    in_a_process_of_its_own(
        "seccomp::a_filter_that_allows_a_ring_but_no_registration_is_named",
        || block(REGISTER, REGISTER, libc::EPERM),
        || {
            expect_blocked("io_uring_register", libc::EPERM);
            let error = Uring::new(&RingSettings::new(8, 8)).unwrap_err();
            assert!(matches!(error, SetupError::Unavailable(Unavailable::Seccomp { .. })), "{error}");
        },
    );
}
