//! The Node-API module of ringline: what JavaScript calls natively. It owns the exports and may not hold kernel or connection logic,
//! which belongs to `ringline` and `ringline-ring`.

use napi_derive::napi;

/// The version of the native library, which equals the version of the npm package it was built for.
#[napi]
#[must_use]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
