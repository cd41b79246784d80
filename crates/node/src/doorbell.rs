//! The doorbell by which a ring thread wakes its JavaScript environment: one threadsafe function without payload.
//!
//! It is made on Node-API directly, because the wrapper of napi-rs allocates and boxes for every call. Its queue has one
//! place: a bell that is ringing already need not be rung again. It carries nothing; what happened stands in the
//! completion ring.

use std::ffi::c_void;
use std::ptr;

use napi::bindgen_prelude::check_status;
use napi::{Env, JsValue, Result, bindgen_prelude::Function, sys};

use crate::callback::report_exception;

/// A bell in an environment, not keeping that environment alive at first.
///
/// It is a plain name for the threadsafe function: copies ring the same bell, and [`release`](Self::release) ends it
/// for all of them.
#[derive(Clone, Copy)]
pub(crate) struct JsDoorbell(sys::napi_threadsafe_function);

// SAFETY: a threadsafe function may be called on any thread; the other methods take the environment, which exists on
// its own thread only.
unsafe impl Send for JsDoorbell {}

impl JsDoorbell {
    /// Makes a bell that calls `callback` without arguments on the environment's thread.
    pub(crate) fn new(env: &Env, callback: &Function<'_, (), ()>) -> Result<Self> {
        let name = env.create_string("ringline")?;
        let mut raw = ptr::null_mut();
        // SAFETY: the values belong to this environment and this scope.
        check_status!(unsafe {
            sys::napi_create_threadsafe_function(
                env.raw(),
                callback.value().value,
                ptr::null_mut(),
                name.raw(),
                1,
                1,
                ptr::null_mut(),
                None,
                ptr::null_mut(),
                Some(call),
                &raw mut raw,
            )
        })?;
        let this = Self(raw);
        this.unref(env);
        Ok(this)
    }

    /// Rings. Nothing happens when it is ringing already, or when its environment is ending.
    ///
    /// # Safety
    ///
    /// [`release`](Self::release) must not have been called.
    #[inline]
    pub(crate) unsafe fn ring(self) {
        // SAFETY: the caller promises that the function still exists. A full queue (it rings) and a closing environment
        // are answers that need no action.
        unsafe {
            sys::napi_call_threadsafe_function(
                self.0,
                ptr::null_mut::<c_void>(),
                sys::ThreadsafeFunctionCallMode::nonblocking,
            )
        };
    }

    /// Keeps the environment's event loop alive.
    pub(crate) fn keep_alive(self, env: &Env) {
        // SAFETY: on the environment's thread, before `release`; its only caller is the attachment that owns the bell.
        unsafe { sys::napi_ref_threadsafe_function(env.raw(), self.0) };
    }

    /// Lets the environment's event loop end.
    pub(crate) fn unref(self, env: &Env) {
        // SAFETY: as above.
        unsafe { sys::napi_unref_threadsafe_function(env.raw(), self.0) };
    }

    /// Gives the bell up.
    ///
    /// # Safety
    ///
    /// On the environment's thread, once, and when no thread will ring it any more.
    pub(crate) unsafe fn release(self) {
        // SAFETY: this was the only use that the function was made with, and the caller promises that it is the last.
        unsafe { sys::napi_release_threadsafe_function(self.0, sys::ThreadsafeFunctionReleaseMode::release) };
    }
}

/// Calls the callback. What it throws becomes an uncaught exception, as from any other callback of Node.js; Node-API by
/// itself would only print a warning.
unsafe extern "C" fn call(env: sys::napi_env, callback: sys::napi_value, _context: *mut c_void, _nothing: *mut c_void) {
    if env.is_null() || callback.is_null() {
        // The environment is ending.
        return;
    }
    let mut this = ptr::null_mut();
    let mut result = ptr::null_mut();
    // SAFETY: Node-API passes its environment, whose thread this is, and a function of it, with a scope open. An answer
    // other than "ok" leaves the results null, and none is used without a look.
    unsafe {
        sys::napi_get_undefined(env, &raw mut this);
        if sys::napi_call_function(env, this, callback, 0, ptr::null(), &raw mut result) == sys::Status::napi_ok {
            return;
        }
        report_exception(env);
    }
}
