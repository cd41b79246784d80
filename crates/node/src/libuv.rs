//! What inline delivery needs of libuv: its functions, looked up when they are first wanted, and handles of a loop.
//!
//! Node.js exports libuv's functions to its add-ons. Other hosts of Node-API do not, and the library must load there all
//! the same, so nothing of libuv is linked.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::mem::transmute_copy;
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};

use napi::{Env, sys};

use crate::errors::Failure;

/// What a handle reports.
const READABLE: c_int = 1;

/// The kinds of handles, as libuv numbers them.
#[derive(Clone, Copy)]
enum HandleKind {
    Idle = 6,
    Poll = 8,
    Prepare = 9,
}

/// Called with a handle, whose [`data`] says whose it is.
pub(crate) type OnEvent = unsafe extern "C" fn(*mut c_void);
/// Called with a poll handle, a status and what the descriptor is ready for.
pub(crate) type OnPoll = unsafe extern "C" fn(*mut c_void, c_int, c_int);

macro_rules! functions {
    ($($name:ident = $symbol:literal: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions of libuv.
        #[derive(Clone, Copy)]
        struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Functions {
            /// The functions of this process, or the name of one that is missing.
            fn find() -> Result<Self, &'static CStr> {
                Ok(Self {
                    $($name: {
                        // SAFETY: the name ends with a zero byte.
                        let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, $symbol.as_ptr()) };
                        if address.is_null() {
                            return Err($symbol);
                        }
                        // SAFETY: libuv's function of that name has had this type since it exists.
                        unsafe { transmute_copy(&address) }
                    },)*
                })
            }
        }
    };
}

functions! {
    handle_size = c"uv_handle_size": fn(c_int) -> usize;
    close = c"uv_close": fn(*mut c_void, OnEvent);
    keep_alive = c"uv_ref": fn(*mut c_void);
    unref = c"uv_unref": fn(*mut c_void);
    prepare_init = c"uv_prepare_init": fn(*mut c_void, *mut c_void) -> c_int;
    prepare_start = c"uv_prepare_start": fn(*mut c_void, OnEvent) -> c_int;
    idle_init = c"uv_idle_init": fn(*mut c_void, *mut c_void) -> c_int;
    idle_start = c"uv_idle_start": fn(*mut c_void, OnEvent) -> c_int;
    idle_stop = c"uv_idle_stop": fn(*mut c_void) -> c_int;
    poll_init = c"uv_poll_init": fn(*mut c_void, *mut c_void, c_int) -> c_int;
    poll_start = c"uv_poll_start": fn(*mut c_void, c_int, OnPoll) -> c_int;
    backend_fd = c"uv_backend_fd": fn(*const c_void) -> c_int;
    backend_timeout = c"uv_backend_timeout": fn(*const c_void) -> c_int;
    update_time = c"uv_update_time": fn(*mut c_void);
}

/// The event loop of an environment, on its own thread.
#[derive(Clone, Copy)]
pub(crate) struct EventLoop {
    uv: Functions,
    raw: NonNull<c_void>,
}

/// A handle of a loop. libuv uses its memory until it has closed, so it must be [closed](Self::close) before it is dropped,
/// and dropped only after the callback of that.
pub(crate) struct Handle {
    uv: Functions,
    /// Zeroed, and aligned as malloc aligns.
    memory: Box<[Cell<u128>]>,
}

impl EventLoop {
    /// The loop of an environment.
    ///
    /// # Errors
    ///
    /// `ERR_RINGLINE_INLINE_UNAVAILABLE` when it has none, or not libuv's.
    pub(crate) fn of(env: &Env) -> Result<Self, Failure> {
        let unavailable = |why: String| {
            let message =
                format!("inline delivery needs the event loop of Node.js, but {why}; use delivery 'threadsafe'");
            Failure::new("ERR_RINGLINE_INLINE_UNAVAILABLE", message)
        };
        let uv = Functions::find()
            .map_err(|missing| unavailable(format!("this host has no {}", missing.to_string_lossy())))?;
        let mut raw = ptr::null_mut();
        // SAFETY: the environment is a live one, on its own thread.
        let status = unsafe { sys::napi_get_uv_event_loop(env.raw(), &raw mut raw) };
        match NonNull::new(raw.cast::<c_void>()) {
            Some(raw) if status == sys::Status::napi_ok => Ok(Self { uv, raw }),
            _ => Err(unavailable(format!("this environment has none (Node-API status {status})"))),
        }
    }

    /// The descriptor that is readable when the loop has I/O to do.
    pub(crate) fn descriptor(self) -> RawFd {
        // SAFETY: the loop lives as long as its environment, and this is its thread; so everywhere below.
        unsafe { (self.uv.backend_fd)(self.raw.as_ptr()) }
    }

    /// How many milliseconds the loop would wait if it waited now; 0 when it has something to do, also to watch another
    /// descriptor from now on, or is about to end. None when it would wait for I/O alone.
    pub(crate) fn timeout_ms(self) -> Option<u32> {
        // SAFETY: see `descriptor`.
        let timeout = unsafe { (self.uv.backend_timeout)(self.raw.as_ptr()) };
        u32::try_from(timeout).ok()
    }

    /// Has the loop look at the clock.
    pub(crate) fn update_time(self) {
        // SAFETY: see `descriptor`.
        unsafe { (self.uv.update_time)(self.raw.as_ptr()) };
    }

    /// A handle whose callback is called each time before the loop waits. Like those below, it does not keep the loop alive.
    pub(crate) fn prepare(self, on_event: OnEvent, data: *mut c_void) -> Handle {
        let handle = self.allocate(HandleKind::Prepare);
        // SAFETY: the memory is of the size of a prepare handle. Neither call fails on a fresh one.
        unsafe {
            (self.uv.prepare_init)(self.raw.as_ptr(), handle.raw());
            (self.uv.prepare_start)(handle.raw(), on_event);
        }
        handle.with(data)
    }

    /// A handle that keeps the loop from waiting while it is [busy](Handle::set_busy), which it is not at first.
    pub(crate) fn idle(self, data: *mut c_void) -> Handle {
        let handle = self.allocate(HandleKind::Idle);
        // SAFETY: the memory is of the size of an idle handle. The call does not fail.
        unsafe { (self.uv.idle_init)(self.raw.as_ptr(), handle.raw()) };
        handle.with(data)
    }

    /// A handle whose callback is called while a descriptor is readable. The descriptor must stay open until the handle is
    /// closed.
    ///
    /// # Errors
    ///
    /// What epoll answers. No handle is left then.
    pub(crate) fn poll(self, descriptor: RawFd, on_poll: OnPoll, data: *mut c_void) -> Result<Handle, Failure> {
        let handle = self.allocate(HandleKind::Poll);
        // SAFETY: the memory is of the size of a poll handle. The second call does not fail on a fresh one.
        unsafe {
            let status = (self.uv.poll_init)(self.raw.as_ptr(), handle.raw(), descriptor);
            if status != 0 {
                return Err(Failure::system(&io::Error::from_raw_os_error(-status), "epoll_ctl", None));
            }
            (self.uv.poll_start)(handle.raw(), READABLE, on_poll);
        }
        Ok(handle.with(data))
    }

    fn allocate(self, kind: HandleKind) -> Handle {
        // SAFETY: the call only looks a number up.
        let size = unsafe { (self.uv.handle_size)(kind as c_int) };
        Handle { uv: self.uv, memory: vec![Cell::new(0); size.div_ceil(size_of::<u128>())].into() }
    }
}

impl Handle {
    /// Keeps the loop alive.
    pub(crate) fn keep_alive(&self) {
        // SAFETY: the handle was initialised, and this is the thread of its loop; so everywhere below.
        unsafe { (self.uv.keep_alive)(self.raw()) };
    }

    /// Lets the loop end.
    pub(crate) fn unref(&self) {
        // SAFETY: see `keep_alive`.
        unsafe { (self.uv.unref)(self.raw()) };
    }

    /// Keeps the loop from waiting, or no longer. Only for a handle made by [`EventLoop::idle`].
    pub(crate) fn set_busy(&self, busy: bool) {
        // SAFETY: see `keep_alive`. Neither call fails.
        unsafe {
            if busy {
                (self.uv.idle_start)(self.raw(), nothing);
            } else {
                (self.uv.idle_stop)(self.raw());
            }
        }
    }

    /// Closes the handle; `on_closed` is called later, by the loop. Once.
    pub(crate) fn close(&self, on_closed: OnEvent) {
        // SAFETY: see `keep_alive`.
        unsafe { (self.uv.close)(self.raw(), on_closed) };
    }

    fn with(self, data: *mut c_void) -> Self {
        // SAFETY: every handle begins with the pointer that belongs to its user.
        unsafe { self.raw().cast::<*mut c_void>().write(data) };
        self.unref();
        self
    }

    fn raw(&self) -> *mut c_void {
        self.memory.as_ptr().cast_mut().cast()
    }
}

/// What a handle was made with.
///
/// # Safety
///
/// The handle must have been made here and not be dropped.
pub(crate) unsafe fn data(handle: *mut c_void) -> *mut c_void {
    // SAFETY: see `Handle::with`; the caller promises the rest.
    unsafe { handle.cast::<*mut c_void>().read() }
}

unsafe extern "C" fn nothing(_handle: *mut c_void) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_libuv_is_told_which_function_it_lacks() {
        assert_eq!(Functions::find().err(), Some(c"uv_handle_size"));
    }
}
