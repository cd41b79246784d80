//! Passes the linker what a Node-API module needs; owns nothing else.

fn main() {
    napi_build::setup();
    // Node.js unloads a module with the last worker thread that loaded it. Finalizers and thread-local destructors may
    // run later than that, so the library stays mapped once it was loaded.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
