//! Passes the linker what a Node-API module needs; owns nothing else.

fn main() {
    napi_build::setup();
}
