//! Limits of the process that a ring meets at its start.

use ringline_ring::{RingSettings, SetupError, SubmissionPolling, Unavailable, Uring, raise_open_files};

use crate::fixture::{Bench, drop_privileges, in_a_process_of_its_own, limit};

fn soft_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure lives across the call.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    limit.rlim_cur
}

#[test]
fn the_soft_limit_of_open_files_is_raised_for_the_file_table() {
    in_a_process_of_its_own(
        "settings::the_soft_limit_of_open_files_is_raised_for_the_file_table",
        || Ok(()),
        || {
            let lowered = libc::rlimit { rlim_cur: 64, rlim_max: 5000 };
            // SAFETY: the structure lives across the call.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const lowered) }, 0);
            drop_privileges();
            Bench::with(RingSettings::new(4, 1000));
            // Twice as many where plain descriptors stand in for fixed files.
            let raised = soft_limit();
            assert!([1000, 2000].contains(&raised), "{raised}");
            Bench::with(RingSettings::new(4, 10));
            assert_eq!(soft_limit(), raised, "a limit is never lowered");
        },
    );
}

#[test]
fn where_plain_descriptors_stand_in_for_fixed_files_the_limit_counts_those_of_all_rings() {
    in_a_process_of_its_own(
        "settings::where_plain_descriptors_stand_in_for_fixed_files_the_limit_counts_those_of_all_rings",
        || {
            let lowered = libc::rlimit { rlim_cur: 64, rlim_max: 5000 };
            // SAFETY: the structure lives across the call.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const lowered) }, 0);
            Ok(())
        },
        || {
            drop_privileges();
            // SAFETY: no other thread of this process reads the environment.
            unsafe { std::env::set_var("RINGLINE_NO_FIXED_FILES", "1") };
            let one = Bench::with(RingSettings::new(4, 1000));
            assert_eq!(soft_limit(), 2000);
            let two = Bench::with(RingSettings::new(4, 500));
            assert_eq!(soft_limit(), 3000);
            drop(one);
            let three = Bench::with(RingSettings::new(4, 1000));
            assert_eq!(soft_limit(), 3000, "the first ring has given back its share");
            let four = Bench::with(RingSettings::new(4, 4000));
            assert_eq!(soft_limit(), 5000, "as far as it goes");
            drop((two, three, four));
        },
    );
}

#[test]
fn a_hard_limit_of_open_files_is_named_with_the_remedy() {
    in_a_process_of_its_own(
        "settings::a_hard_limit_of_open_files_is_named_with_the_remedy",
        || Ok(()),
        || {
            limit!(libc::RLIMIT_NOFILE, 200);
            drop_privileges();
            let error = Uring::new(&RingSettings::new(4, 1000)).unwrap_err();
            assert!(
                matches!(&error, SetupError::OpenFiles(limit) if (limit.needed, limit.soft, limit.hard) == (1000, 200, 200))
            );
            let text = error.to_string();
            for part in ["1000 file descriptors", "is 200", "ulimit -n 1000", "LimitNOFILE=1000"] {
                assert!(text.contains(part), "{text}");
            }
            assert!(raise_open_files(200).is_ok() && raise_open_files(201).is_err());
            Bench::with(RingSettings::new(4, 200));
        },
    );
}

#[test]
fn a_lack_of_locked_memory_is_named_with_the_remedy() {
    in_a_process_of_its_own(
        "settings::a_lack_of_locked_memory_is_named_with_the_remedy",
        || Ok(()),
        || {
            limit!(libc::RLIMIT_MEMLOCK, 4096);
            drop_privileges();
            // Whether rings count against the limit has changed from kernel to kernel. Where they do not, all is well.
            match Uring::new(&RingSettings::new(4096, 0)) {
                Ok(_) => {}
                Err(SetupError::Unavailable(reason)) => {
                    assert_eq!(reason, Unavailable::Memory { memlock: Some(4096) });
                    for part in ["4096 bytes", "ulimit -l", "LimitMEMLOCK"] {
                        assert!(reason.to_string().contains(part), "{reason}");
                    }
                }
                Err(other) => panic!("{other}"),
            }
        },
    );
}

#[test]
fn the_queues_have_the_size_that_was_asked_for_at_least() {
    for entries in [1, 3, 100, 1 << 20] {
        Bench::with(RingSettings::new(entries, 0)).poll();
    }
}

#[test]
fn a_submission_thread_may_run_on_another_core_than_its_worker() {
    let cores = ringline_ring::available_cores();
    std::thread::spawn(move || {
        ringline_ring::pin_to_core(cores[0]).unwrap();
        let polling = SubmissionPolling { idle_ms: 1, cpu: Some(*cores.last().unwrap() as u32) };
        Bench::with(RingSettings { sqpoll: Some(polling), ..RingSettings::new(8, 0) }).poll();
    })
    .join()
    .unwrap();
}
