//! The function by which JavaScript wakes its worker.
//!
//! It is the one native call that can come once per message, when a single connection talks in turns. A method of a
//! napi-rs class costs about 0.2 µs in checks of `this`; this bare function of Node-API has nothing to check.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use napi::bindgen_prelude::{FromNapiValue, Unknown, check_status};
use napi::{Env, Result, sys};

use crate::mailbox::Mailbox;

const NAME: &str = "ring";

/// Makes the function. It keeps the mailbox, and may be called also when the worker has ended.
pub(crate) fn create<'env>(env: &'env Env, mailbox: Arc<Mailbox>) -> Result<Unknown<'env>> {
    let data = Arc::into_raw(mailbox).cast_mut().cast::<c_void>();
    let mut function = ptr::null_mut();
    // SAFETY: the name is read as long as stated; `data` is what the callback expects, and is kept by the finalizer.
    let status = unsafe {
        let (name, len) = (NAME.as_ptr().cast(), NAME.len() as isize);
        let status = sys::napi_create_function(env.raw(), name, len, Some(wake), data, &raw mut function);
        if status == sys::Status::napi_ok {
            sys::napi_add_finalizer(env.raw(), function, data, Some(forget), ptr::null_mut(), ptr::null_mut())
        } else {
            status
        }
    };
    if status != sys::Status::napi_ok {
        // SAFETY: the finalizer was not taken over, and the function, if there is one, is never given to anybody.
        drop(unsafe { Arc::from_raw(data.cast::<Mailbox>()) });
    }
    check_status!(status)?;
    // SAFETY: the value was made above, in this environment and scope.
    unsafe { Unknown::from_napi_value(env.raw(), function) }
}

unsafe extern "C" fn wake(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut data = ptr::null_mut();
    // SAFETY: the arguments are those of this call; what is not wanted may be null.
    unsafe {
        sys::napi_get_cb_info(env, info, ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), &raw mut data);
        // SAFETY: the function was made with a mailbox, which is kept until the function is collected.
        if let Some(mailbox) = data.cast::<Mailbox>().as_ref() {
            mailbox.wake();
        }
    }
    ptr::null_mut()
}

unsafe extern "C" fn forget(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: `create` gave this count to the function, and a finalizer runs once.
    drop(unsafe { Arc::from_raw(data.cast::<Mailbox>()) });
}
