//! A function of JavaScript that native code calls from the event loop, as an event of its own.
//!
//! The call happens in a callback scope: what is due at the end of an event (`process.nextTick`, microtasks) runs before it
//! returns, and asynchronous context is tracked. What the function throws becomes an uncaught exception, as from any
//! other callback of Node.js.

use std::ptr;

use napi::bindgen_prelude::{Function, check_status};
use napi::{Env, JsValue, Result, sys};

/// A function without arguments, in its environment. It must be [released](Self::release) before that ends.
pub(crate) struct Callback {
    env: sys::napi_env,
    function: sys::napi_ref,
    context: sys::napi_async_context,
}

impl Callback {
    /// Keeps the function.
    pub(crate) fn new(env: &Env, function: &Function<'_, (), ()>) -> Result<Self> {
        let name = env.create_string("ringline")?;
        let (mut reference, mut context) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the values belong to this environment and this scope.
        check_status!(unsafe { sys::napi_create_reference(env.raw(), function.value().value, 1, &raw mut reference) })?;
        // SAFETY: as above; without a resource Node-API makes one.
        let status = unsafe { sys::napi_async_init(env.raw(), ptr::null_mut(), name.raw(), &raw mut context) };
        if status != sys::Status::napi_ok {
            // SAFETY: the reference was made above and is given to nobody.
            unsafe { sys::napi_delete_reference(env.raw(), reference) };
        }
        check_status!(status)?;
        Ok(Self { env: env.raw(), function: reference, context })
    }

    /// Calls the function. Nothing happens when the environment is ending.
    ///
    /// # Safety
    ///
    /// On the environment's thread, with no JavaScript running, before [`release`](Self::release).
    pub(crate) unsafe fn call(&self) {
        let (mut scope, mut function, mut this, mut result) = Default::default();
        // SAFETY: the caller is on the environment's thread and the reference exists. An answer other than "ok" leaves the
        // results null, and none is used without a look.
        unsafe {
            if sys::napi_open_handle_scope(self.env, &raw mut scope) != sys::Status::napi_ok {
                return;
            }
            sys::napi_get_reference_value(self.env, self.function, &raw mut function);
            sys::napi_get_global(self.env, &raw mut this);
            let called =
                sys::napi_make_callback(self.env, self.context, this, function, 0, ptr::null(), &raw mut result);
            if called != sys::Status::napi_ok {
                report_exception(self.env);
            }
            sys::napi_close_handle_scope(self.env, scope);
        }
    }

    /// Gives the function up.
    ///
    /// # Safety
    ///
    /// On the environment's thread, once, and with no use after it.
    pub(crate) unsafe fn release(&self) {
        // SAFETY: both were made in `new`, and the caller promises that this is their last use.
        unsafe {
            sys::napi_delete_reference(self.env, self.function);
            sys::napi_async_destroy(self.env, self.context);
        }
    }
}

/// Makes a pending exception an uncaught one; Node-API by itself would lose it, or only print a warning. None is pending
/// when the environment was told to end in the middle of a call.
///
/// # Safety
///
/// On the environment's thread, with a handle scope open.
pub(crate) unsafe fn report_exception(env: sys::napi_env) {
    let (mut thrown, mut exception) = (false, ptr::null_mut());
    // SAFETY: the caller's promise; the exception is used only when there is one.
    unsafe {
        sys::napi_is_exception_pending(env, &raw mut thrown);
        if thrown && sys::napi_get_and_clear_last_exception(env, &raw mut exception) == sys::Status::napi_ok {
            sys::napi_fatal_exception(env, exception);
        }
    }
}
