//! Errors as JavaScript sees them: an `Error` with a stable `code` and, for system errors, what Node.js adds to one.

use std::net::SocketAddr;
use std::{borrow::Cow, io};

use napi::bindgen_prelude::Object;
use napi::{Env, JsValue};
use ringline_ring::{OpenFilesLimit, SetupError};

use crate::errno;

/// Why a call failed, before it is an error of some environment.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Cow<'static, str>,
    message: String,
    system: Option<System>,
}

/// What a system error carries beyond its code.
#[derive(Debug)]
struct System {
    errno: i32,
    syscall: &'static str,
    address: Option<SocketAddr>,
}

impl Failure {
    /// A failure of ringline's own: `code` is an `ERR_RINGLINE_…`.
    pub(crate) fn new(code: &'static str, message: String) -> Self {
        Self { code: Cow::Borrowed(code), message, system: None }
    }

    /// A failed system call, as Node.js tells one: `listen EADDRINUSE: Address already in use 127.0.0.1:80`. TypeScript, which has
    /// the number and the call, puts Node's own words for the number in. A limit of open files that was met is told as such,
    /// whichever call has met it.
    pub(crate) fn system(error: &io::Error, syscall: &'static str, address: Option<SocketAddr>) -> Self {
        if let Some(limit) = OpenFilesLimit::met_by(error) {
            return Self::from(SetupError::OpenFiles(limit));
        }
        let errno = errno::of(error);
        let code = errno::name(errno);
        let place = address.map(|address| format!(" {address}")).unwrap_or_default();
        let message = format!("{syscall} {code}: {}{place}", errno::text(errno));
        Self { code: Cow::Borrowed(code), message, system: Some(System { errno, syscall, address }) }
    }

    /// The `code` of the error.
    #[cfg(test)]
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// The words of the error.
    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The failure as an error of this environment, ready to be returned and so thrown.
    pub(crate) fn into_js(self, env: &Env) -> napi::Error {
        match self.object(env) {
            Ok(object) => napi::Error::from(object.to_unknown()),
            Err(error) => error,
        }
    }

    fn object<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        let mut object = env.create_error(napi::Error::from_reason(self.message.as_str()))?;
        object.set("code", &*self.code)?;
        if let Some(system) = &self.system {
            object.set("errno", -system.errno)?;
            object.set("syscall", system.syscall)?;
            if let Some(address) = system.address {
                object.set("address", address.ip().to_string())?;
                object.set("port", address.port())?;
            }
        }
        Ok(object)
    }
}

impl From<napi::Error> for Failure {
    fn from(error: napi::Error) -> Self {
        Self::new("ERR_RINGLINE_NODE_API", format!("Node-API answered {}: {}", error.status, error.reason))
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        let code = match &error {
            SetupError::Unavailable(reason) => match reason.name() {
                "unsupported-platform" => "ERR_RINGLINE_UNSUPPORTED_PLATFORM",
                "kernel-too-old" => "ERR_RINGLINE_KERNEL_TOO_OLD",
                "disabled-by-sysctl" => "ERR_RINGLINE_DISABLED_BY_SYSCTL",
                "blocked-by-seccomp" => "ERR_RINGLINE_BLOCKED_BY_SECCOMP",
                "out-of-memory" => "ERR_RINGLINE_OUT_OF_MEMORY",
                _ => "ERR_RINGLINE_IO_URING_UNAVAILABLE",
            },
            SetupError::OpenFiles(_) => "ERR_RINGLINE_RESOURCE_LIMIT",
            SetupError::Invalid { .. } => "ERR_RINGLINE_INVALID_CONFIG",
            _ => "ERR_RINGLINE_RING_SETUP",
        };
        Self::new(code, error.to_string())
    }
}

impl From<ringline::Error> for Failure {
    fn from(error: ringline::Error) -> Self {
        let code = match error {
            ringline::Error::RingSetup(error) => return Self::from(error),
            ringline::Error::InvalidConfig { .. } => "ERR_RINGLINE_INVALID_CONFIG",
            ringline::Error::BufferRegistration(_) => "ERR_RINGLINE_BUFFER_REGISTRATION",
            ringline::Error::PinFailed(_) => "ERR_RINGLINE_PIN_FAILED",
            ringline::Error::ResourceLimit(_) => "ERR_RINGLINE_RESOURCE_LIMIT",
            _ => "ERR_RINGLINE_WORKER_FAILED",
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringline_ring::Unavailable;

    fn code(error: ringline::Error) -> (String, String) {
        let failure = Failure::from(error);
        (failure.code().to_owned(), failure.message().to_owned())
    }

    #[test]
    fn each_reason_why_io_uring_cannot_be_used_has_a_code_and_words_of_its_own() {
        let reasons = [
            (Unavailable::Platform { platform: "plan9-mips".to_owned() }, "ERR_RINGLINE_UNSUPPORTED_PLATFORM", "plan9"),
            (
                Unavailable::KernelTooOld { release: "5.10.0".to_owned(), missing: "SENDMSG_ZC" },
                "ERR_RINGLINE_KERNEL_TOO_OLD",
                "5.10.0",
            ),
            (Unavailable::Sysctl { value: 2 }, "ERR_RINGLINE_DISABLED_BY_SYSCTL", "kernel.io_uring_disabled"),
            (
                Unavailable::Seccomp { call: "io_uring_setup", errno: libc::EPERM },
                "ERR_RINGLINE_BLOCKED_BY_SECCOMP",
                "seccomp",
            ),
            (Unavailable::Memory { memlock: Some(65_536) }, "ERR_RINGLINE_OUT_OF_MEMORY", "65536"),
            (
                Unavailable::Other { call: "io_uring_setup", errno: libc::EIO },
                "ERR_RINGLINE_IO_URING_UNAVAILABLE",
                "io_uring_setup",
            ),
        ];
        for (reason, expected, word) in reasons {
            let (code, message) = code(ringline::Error::RingSetup(SetupError::Unavailable(reason)));
            assert_eq!(code, expected);
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn each_failure_of_a_launch_has_a_code_of_its_own() {
        let broken = || io::Error::from_raw_os_error(libc::ENOMEM);
        for (error, expected) in [
            (ringline::Error::BufferRegistration(broken()), "ERR_RINGLINE_BUFFER_REGISTRATION"),
            (ringline::Error::PinFailed(broken()), "ERR_RINGLINE_PIN_FAILED"),
            (
                ringline::Error::RingSetup(SetupError::Call { call: "register", source: broken() }),
                "ERR_RINGLINE_RING_SETUP",
            ),
            (ringline::Error::HandlerPanicked { worker: 0 }, "ERR_RINGLINE_WORKER_FAILED"),
        ] {
            assert_eq!(code(error).0, expected);
        }
    }

    #[test]
    fn system_errors_name_call_code_and_address() {
        let error = io::Error::from_raw_os_error(libc::EADDRINUSE);
        let failure = Failure::system(&error, "listen", Some("127.0.0.1:80".parse().unwrap()));
        assert_eq!(failure.code(), "EADDRINUSE");
        assert_eq!(failure.message(), "listen EADDRINUSE: Address already in use 127.0.0.1:80");
    }
}
