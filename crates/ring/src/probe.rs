//! Whether io_uring can be used in this process, and if not, why not, in words.
//!
//! What decides is what the kernel does, never its version number: a ring is made, the operations are listed, an
//! `enter` is made. Only when one of them fails are the surrounding facts read (sysctl, seccomp mode, release, limits),
//! to find the words for it.

use std::{fmt, fs, io};

use io_uring::{IoUring, Probe, opcode};

use crate::limits;
use crate::setup::{self, RingSettings};

/// What the kernel offers beyond what is required.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The kernel's release, as `uname -r` prints it.
    pub release: String,
    /// Provided buffers can be consumed incrementally, and do so correctly.
    pub incremental_buffers: bool,
    /// Rings can do without the submission index array.
    pub no_sqarray: bool,
}

/// Why io_uring cannot be used in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unavailable {
    /// The operating system is not Linux. (This crate does not compile elsewhere; a loader can use the words.)
    Platform {
        /// The operating system and the processor architecture.
        platform: String,
    },
    /// The kernel does not have what is required.
    KernelTooOld {
        /// The kernel's release.
        release: String,
        /// What is missing.
        missing: &'static str,
    },
    /// The sysctl kernel.io_uring_disabled forbids it.
    Sysctl {
        /// 1: only for privileged processes and the group of kernel.io_uring_group; 2: for all.
        value: u8,
    },
    /// A seccomp filter blocks one of the three system calls.
    Seccomp {
        /// The system call that was blocked.
        call: &'static str,
        /// The errno that the filter answered.
        errno: i32,
    },
    /// There was no memory for a ring, also after waiting for it.
    Memory {
        /// The soft limit of locked memory in bytes; none when there is no limit.
        memlock: Option<u64>,
    },
    /// Something else, told by its errno.
    Other {
        /// The system call that failed.
        call: &'static str,
        /// Its errno.
        errno: i32,
    },
}

impl Unavailable {
    /// A stable name of the reason, for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Platform { .. } => "unsupported-platform",
            Self::KernelTooOld { .. } => "kernel-too-old",
            Self::Sysctl { .. } => "disabled-by-sysctl",
            Self::Seccomp { .. } => "blocked-by-seccomp",
            Self::Memory { .. } => "out-of-memory",
            Self::Other { .. } => "other",
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform { platform } => {
                write!(f, "io_uring is a feature of Linux 6.1 or newer; it does not exist on {platform}")
            }
            Self::KernelTooOld { release, missing } => write!(
                f,
                "the kernel is too old for this use of io_uring: {release} lacks {missing}; Linux 6.1 or newer is needed"
            ),
            Self::Sysctl { value: 1 } => f.write_str(
                "io_uring is disabled for unprivileged processes by the sysctl kernel.io_uring_disabled = 1; set it to \
                 0 (`sysctl kernel.io_uring_disabled=0`), put the process into the group named by \
                 kernel.io_uring_group, or give it CAP_SYS_ADMIN",
            ),
            Self::Sysctl { value } => write!(
                f,
                "io_uring is disabled for all processes by the sysctl kernel.io_uring_disabled = {value}; set it to 0 \
                 (`sysctl kernel.io_uring_disabled=0`)"
            ),
            Self::Seccomp { call, errno } => write!(
                f,
                "a seccomp filter blocks io_uring: {call} answered {}; the default profiles of Docker, containerd and \
                 Kubernetes do so: run the container with a profile that also allows io_uring_setup, io_uring_enter \
                 and io_uring_register (`docker run --security-opt seccomp=profile.json`)",
                ErrnoText(*errno)
            ),
            Self::Memory { memlock } => {
                f.write_str("the kernel had no memory for a ring (ENOMEM, after waiting for it): ")?;
                match memlock {
                    Some(bytes) => write!(f, "the limit of locked memory (RLIMIT_MEMLOCK) is {bytes} bytes; "),
                    None => f.write_str("there is no limit of locked memory (RLIMIT_MEMLOCK); "),
                }?;
                f.write_str(
                    "raise it with `ulimit -l unlimited`, LimitMEMLOCK=infinity in a systemd unit or --ulimit memlock=-1 \
                     for a container, raise the memory limit of the control group, or ask for smaller queues or fewer \
                     workers",
                )
            }
            Self::Other { call, errno } => write!(f, "io_uring cannot be used: {call} answered {}", ErrnoText(*errno)),
        }
    }
}

impl std::error::Error for Unavailable {}

/// An errno by its symbol where it is a frequent one, and in the words of the C library.
struct ErrnoText(i32);

impl fmt::Display for ErrnoText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symbol = match self.0 {
            libc::EPERM => "EPERM: ",
            libc::ENOSYS => "ENOSYS: ",
            libc::EACCES => "EACCES: ",
            libc::EINVAL => "EINVAL: ",
            libc::EMFILE => "EMFILE: ",
            libc::ENFILE => "ENFILE: ",
            _ => "",
        };
        write!(f, "{symbol}{}", io::Error::from_raw_os_error(self.0))
    }
}

/// Finds out whether io_uring can be used, and what of it.
///
/// # Errors
///
/// The reason, when it cannot.
pub fn probe() -> Result<Capabilities, Unavailable> {
    let facts = Facts::gather();
    let (ring, flags): (IoUring, _) = setup::make(&RingSettings::new(4, 0)).map_err(|error| match error {
        setup::SetupError::Unavailable(reason) => reason,
        setup::SetupError::Call { call, source } => facts.explain(call, &source),
        _ => unreachable!("the settings are legal and need no files"),
    })?;
    let too_old = |missing| Unavailable::KernelTooOld { release: facts.release.clone(), missing };
    if !flags.defer_taskrun {
        return Err(too_old("IORING_SETUP_DEFER_TASKRUN"));
    }
    let mut operations = Probe::new();
    ring.submitter().register_probe(&mut operations).map_err(|error| facts.explain("io_uring_register", &error))?;
    if !operations.is_supported(opcode::SendMsgZc::CODE) {
        return Err(too_old("IORING_OP_SENDMSG_ZC"));
    }
    enter_once(&ring).map_err(|error| facts.explain("io_uring_enter", &error))?;
    Ok(Capabilities {
        release: facts.release,
        incremental_buffers: crate::buffer_test::incremental_buffers(),
        no_sqarray: flags.no_sqarray,
    })
}

/// A filter may let rings be made and still forbid their use.
fn enter_once(ring: &IoUring) -> io::Result<usize> {
    // SAFETY: nothing is submitted and no argument is passed.
    unsafe { ring.submitter().enter::<libc::sigset_t>(0, 0, io_uring::EnterFlags::GETEVENTS.bits(), None) }
}

/// What surrounds a failed call and explains it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// kernel.io_uring_disabled; none when the kernel does not have the sysctl (before 6.6, or without io_uring).
    pub(crate) sysctl: Option<u8>,
    /// Whether a seccomp filter is in force in this process.
    pub(crate) filtered: bool,
    /// The kernel's release.
    pub(crate) release: String,
    /// The soft limit of locked memory in bytes, if there is one.
    pub(crate) memlock: Option<u64>,
}

/// A kernel at least as new as this has everything that is required. Used for the choice of words only.
const RELEASE_REQUIRED: (u32, u32) = (6, 1);

impl Facts {
    /// Reads them from the running system.
    pub(crate) fn gather() -> Self {
        let sysctl = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            sysctl: sysctl.and_then(|text| text.trim().parse().ok()),
            filtered: status.lines().any(|line| line.split_whitespace().eq(["Seccomp:", "2"])),
            release: release(),
            memlock: limits::locked_memory(),
        }
    }

    /// The reason behind a failed call.
    pub(crate) fn explain(&self, call: &'static str, error: &io::Error) -> Unavailable {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        let too_old = |missing| Unavailable::KernelTooOld { release: self.release.clone(), missing };
        match (errno, self.sysctl) {
            (libc::ENOMEM, _) => Unavailable::Memory { memlock: self.memlock },
            (libc::EPERM, Some(value @ 1..)) => Unavailable::Sysctl { value },
            // Nothing in the kernel itself answers EPERM here otherwise.
            (libc::EPERM, _) => Unavailable::Seccomp { call, errno },
            // The sysctl exists only where io_uring does, so somebody else answered.
            (libc::ENOSYS, Some(_)) => Unavailable::Seccomp { call, errno },
            // Docker answers ENOSYS too. On an old kernel the filter would not be the first thing to change.
            (libc::ENOSYS, None) if self.filtered && self.is_new_enough() => Unavailable::Seccomp { call, errno },
            (libc::ENOSYS, None) if self.is_new_enough() => too_old("io_uring (CONFIG_IO_URING is off)"),
            (libc::ENOSYS, None) => too_old("io_uring"),
            (libc::EINVAL, _) if !self.is_new_enough() => too_old("a set-up flag"),
            _ => Unavailable::Other { call, errno },
        }
    }

    fn is_new_enough(&self) -> bool {
        let mut numbers = self.release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok());
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= RELEASE_REQUIRED
    }
}

fn release() -> String {
    // SAFETY: a utsname is plain characters, for which zero is a value.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives across the call.
    if unsafe { libc::uname(&raw mut name) } != 0 {
        return "an unknown release".into();
    }
    // SAFETY: the kernel ends the string with a zero within the array.
    unsafe { std::ffi::CStr::from_ptr(name.release.as_ptr()) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(release: &str) -> Facts {
        Facts { sysctl: Some(0), filtered: false, release: release.into(), memlock: Some(65536) }
    }

    fn explain(facts: &Facts, errno: i32) -> Unavailable {
        facts.explain("io_uring_setup", &io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn the_sysctl_is_named_with_its_value() {
        for (value, remedy) in [(1, "kernel.io_uring_group"), (2, "for all processes")] {
            // A filter may be in force as well: the sysctl is certain, so it comes first.
            let facts = Facts { sysctl: Some(value), filtered: true, ..facts("6.12.0") };
            let reason = explain(&facts, libc::EPERM);
            assert_eq!(reason, Unavailable::Sysctl { value });
            assert_eq!(reason.name(), "disabled-by-sysctl");
            let text = reason.to_string();
            assert!(text.contains(&format!("kernel.io_uring_disabled = {value}")) && text.contains(remedy), "{text}");
        }
    }

    #[test]
    fn a_refusal_that_the_kernel_has_no_reason_for_is_a_filter() {
        for errno in [libc::EPERM, libc::ENOSYS] {
            for facts in [
                Facts { filtered: true, ..facts("6.12.0") },
                facts("6.12.0"),
                Facts { filtered: true, sysctl: None, ..facts("6.1.0-18-amd64") },
            ] {
                let reason = explain(&facts, errno);
                assert_eq!(reason, Unavailable::Seccomp { call: "io_uring_setup", errno }, "{facts:?}");
            }
        }
    }

    #[test]
    fn a_kernel_without_io_uring_is_named_with_its_release() {
        for filtered in [false, true] {
            let old = Facts { sysctl: None, filtered, ..facts("4.19.0-26-amd64") };
            let reason = explain(&old, libc::ENOSYS);
            assert_eq!(reason.name(), "kernel-too-old");
            let text = reason.to_string();
            assert!(text.contains("4.19.0-26-amd64 lacks io_uring;") && text.contains("Linux 6.1"), "{text}");
        }
    }

    #[test]
    fn a_new_kernel_built_without_io_uring_is_told_from_an_old_one() {
        let reason = explain(&Facts { sysctl: None, ..facts("6.12.0") }, libc::ENOSYS);
        assert!(reason.to_string().contains("CONFIG_IO_URING"), "{reason}");
    }

    #[test]
    fn a_lack_of_memory_names_the_limit_and_how_to_raise_it() {
        let reason = explain(&facts("6.12.0"), libc::ENOMEM);
        assert_eq!(reason, Unavailable::Memory { memlock: Some(65536) });
        let text = reason.to_string();
        for part in ["65536 bytes", "ulimit -l", "LimitMEMLOCK", "control group"] {
            assert!(text.contains(part), "{text}");
        }
        let unlimited = explain(&Facts { memlock: None, ..facts("6.12.0") }, libc::ENOMEM);
        assert!(unlimited.to_string().contains("no limit of locked memory"), "{unlimited}");
    }

    #[test]
    fn other_failures_name_the_call_and_the_errno() {
        let reason = explain(&facts("6.12.0"), libc::EMFILE);
        assert_eq!(reason, Unavailable::Other { call: "io_uring_setup", errno: libc::EMFILE });
        assert!(reason.to_string().contains("io_uring_setup answered EMFILE: Too many open files"), "{reason}");
    }

    #[test]
    fn a_platform_without_io_uring_is_named() {
        let reason = Unavailable::Platform { platform: "darwin arm64".into() };
        assert_eq!(reason.name(), "unsupported-platform");
        assert!(reason.to_string().contains("does not exist on darwin arm64"));
    }

    #[test]
    fn releases_are_read_as_numbers() {
        for (release, enough) in
            [("6.1.0", true), ("6.10.3", true), ("7.0", true), ("6.0.19", false), ("5.15.0-1", false), ("odd", false)]
        {
            assert_eq!(facts(release).is_new_enough(), enough, "{release}");
        }
    }

    #[test]
    fn this_system_tells_its_facts() {
        let facts = Facts::gather();
        assert!(facts.release.contains('.'), "{facts:?}");
    }
}
