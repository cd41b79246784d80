//! ArrayBuffers over memory that Rust owns.
//!
//! Made on Node-API directly: the constructor of napi-rs falls back to a copy where external memory is not allowed, and
//! a copy of shared memory is shared with nobody.

use std::ffi::c_void;
use std::ptr;

use napi::bindgen_prelude::{ArrayBuffer, FromNapiValue};
use napi::{Env, sys};

use crate::errors::Failure;

/// Makes an ArrayBuffer over `len` bytes at `address`, which keeps `owner` until it is collected.
///
/// # Errors
///
/// When the host of this environment does not allow external memory (Electron, for example), or is out of memory.
///
/// # Safety
///
/// The bytes must stay allocated while `owner` lives, and no other live ArrayBuffer may cover any of them.
pub(crate) unsafe fn array_buffer<'env, T: 'static>(
    env: &'env Env,
    address: *mut u8,
    len: usize,
    owner: T,
) -> Result<ArrayBuffer<'env>, Failure> {
    let owner = Box::into_raw(Box::new(owner));
    let mut value = ptr::null_mut();
    // SAFETY: the finalizer gets the owner back as the type it was boxed as, and runs once.
    let status = unsafe {
        sys::napi_create_external_arraybuffer(
            env.raw(),
            address.cast(),
            len,
            Some(drop_owner::<T>),
            owner.cast(),
            &raw mut value,
        )
    };
    if status != sys::Status::napi_ok {
        // SAFETY: the call failed, so the finalizer was not taken over and the owner is still ours.
        drop(unsafe { Box::from_raw(owner) });
        return Err(Failure::new(
            "ERR_RINGLINE_EXTERNAL_MEMORY",
            format!(
                "this JavaScript host does not share memory with native code (Node-API status {status}); \
                 ringline needs Node.js, or a build that allows external ArrayBuffers"
            ),
        ));
    }
    // SAFETY: the value was made by the call above, in this environment and scope.
    unsafe { ArrayBuffer::from_napi_value(env.raw(), value) }.map_err(Failure::from)
}

unsafe extern "C" fn drop_owner<T>(_env: sys::napi_env, _address: *mut c_void, owner: *mut c_void) {
    // SAFETY: the hint is the box that `array_buffer` made, and Node-API runs a finalizer once.
    drop(unsafe { Box::from_raw(owner.cast::<T>()) });
}
