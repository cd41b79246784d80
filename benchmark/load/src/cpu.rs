//! CPU time of this process and of the server, and where this process may run. The numbers come from the scheduler, in
//! nanoseconds; nothing here samples.

use std::fs;
use std::io;

/// CPU time that a process has used until now.
pub(crate) struct ServerCpu {
    /// All threads, those that have ended included: the process's CPU clock.
    total_ns: u64,
    /// Threads that are alive, from `/proc/PID/task/*/schedstat`.
    threads: Vec<(u32, u64)>,
    pid: u32,
}

impl ServerCpu {
    /// `None` when there is no such process.
    pub(crate) fn read(pid: u32) -> Option<Self> {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let threads = threads.filter_map(|entry| {
            let entry = entry.ok()?;
            let schedstat = fs::read_to_string(entry.path().join("schedstat")).ok()?;
            let run_ns = schedstat.split_ascii_whitespace().next()?.parse().ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, run_ns))
        });
        Some(ServerCpu { threads: threads.collect(), total_ns: process_cpu_ns(pid)?, pid })
    }

    /// What was used between `before` and `self`.
    pub(crate) fn since(&self, before: &ServerCpu) -> ServerCpuUsed {
        let earlier = |id| before.threads.iter().find(|thread| thread.0 == id).map_or(0, |thread| thread.1);
        let used = |&(id, run_ns): &(u32, u64)| (id, run_ns.saturating_sub(earlier(id)));
        let threads: Vec<_> = self.threads.iter().map(used).collect();
        let main_thread_ns = threads.iter().find(|thread| thread.0 == self.pid).map_or(0, |thread| thread.1);
        let alive_ns = threads.iter().map(|thread| thread.1).sum();
        let total_ns = self.total_ns.saturating_sub(before.total_ns);
        ServerCpuUsed { total_ns, alive_ns, main_thread_ns, threads: threads.len() }
    }
}

/// CPU time that a process used during the window.
pub(crate) struct ServerCpuUsed {
    total_ns: u64,
    alive_ns: u64,
    main_thread_ns: u64,
    threads: usize,
}

impl ServerCpuUsed {
    pub(crate) fn to_json(&self) -> String {
        let ServerCpuUsed { total_ns, alive_ns, main_thread_ns, threads } = self;
        format!(
            r#"{{"cpu_ns":{total_ns},"cpu_ns_of_live_threads":{alive_ns},"main_thread_cpu_ns":{main_thread_ns},"threads":{threads}}}"#
        )
    }
}

fn clock_ns(clock: libc::clockid_t) -> Option<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing during the call.
    let result = unsafe { libc::clock_gettime(clock, &mut time) };
    (result == 0).then(|| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

fn process_cpu_ns(pid: u32) -> Option<u64> {
    let mut clock = 0;
    // SAFETY: `clock` is valid for writing during the call.
    let result = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) };
    if result == 0 { clock_ns(clock) } else { None }
}

/// CPU time of this process, all threads.
pub(crate) fn own_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID).expect("every process has a CPU clock")
}

/// Restricts this process to one CPU.
pub(crate) fn pin_to(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: an all-zero `cpu_set_t` is the empty set, and `cpu` was checked to be within it.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        set
    };
    // SAFETY: `set` is valid for reading and its size is given.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets timed waits end on time: by default the kernel may add 50 µs, which would be counted as the server's latency.
pub(crate) fn wake_precisely() {
    // SAFETY: this option takes one integer and touches no memory of ours.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
}

/// Makes room for the descriptors of `connections`.
pub(crate) fn raise_descriptor_limit(connections: usize) -> Result<(), String> {
    let needed = connections as libc::rlim_t + 64;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing during the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 || limit.rlim_cur >= needed {
        return Ok(());
    }
    let raised = libc::rlimit { rlim_cur: needed, rlim_max: limit.rlim_max.max(needed) };
    // SAFETY: `raised` is valid for reading during the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0 {
        return Ok(());
    }
    Err(format!(
        "--connections {connections} needs {needed} file descriptors, the limit is {}; raise it with `ulimit -n`",
        limit.rlim_cur
    ))
}
