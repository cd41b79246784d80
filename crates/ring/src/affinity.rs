//! Which cores the calling thread may run on, and binding it to one of them.

use std::io;

/// The cores that the calling thread may run on, in ascending order.
pub fn available_cores() -> Vec<usize> {
    // SAFETY: a cpu_set_t is plain integers, for which zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set lives across the call and its size is passed; 0 names the calling thread.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } != 0 {
        // A machine with more cores than a cpu_set_t holds: all we can tell is how many may be used.
        return (0..std::thread::available_parallelism().map_or(1, usize::from)).collect();
    }
    // SAFETY: every index is below the number of bits of the set.
    (0..libc::CPU_SETSIZE as usize).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) }).collect()
}

/// Binds the calling thread to one core.
///
/// # Errors
///
/// When the core does not exist or the process may not use it (a cpuset, `taskset`, a container limit). The error names
/// the core and those that are allowed.
pub fn pin_to_core(core: usize) -> io::Result<()> {
    let refused = |kind, cause: &str| {
        let allowed = available_cores();
        io::Error::new(kind, format!("cannot bind a thread to core {core} ({cause}); allowed are {allowed:?}"))
    };
    if core >= libc::CPU_SETSIZE as usize {
        return Err(refused(io::ErrorKind::InvalidInput, "no machine has a core of that number"));
    }
    // SAFETY: a cpu_set_t is plain integers, for which zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the index is below the number of bits of the set.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the set lives across the call and its size is passed; 0 names the calling thread.
    if unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) } != 0 {
        let error = io::Error::last_os_error();
        return Err(refused(error.kind(), &error.to_string()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_runs_on_that_core_alone() {
        let core = *available_cores().last().unwrap();
        std::thread::spawn(move || {
            pin_to_core(core).unwrap();
            assert_eq!(available_cores(), [core]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_core_that_does_not_exist_is_named_with_those_that_do() {
        let allowed = available_cores();
        for core in [1023, 1 << 20] {
            let text = pin_to_core(core).unwrap_err().to_string();
            assert!(text.contains(&format!("core {core} ")) && text.contains(&format!("{allowed:?}")), "{text}");
        }
    }
}
