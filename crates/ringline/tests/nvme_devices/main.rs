//! NVMe commands on drives, which these tests overwrite. Only the guest has such drives, so nothing but
//! `npm run test:guest` runs them. `RINGLINE_NVME_DEVICES` names the generic character devices of two namespaces of
//! 64 MiB, one with blocks of 512 bytes and one with 4096.

mod bench;
mod driver;
#[path = "../harness/mod.rs"]
mod harness;
mod tasks;

use std::path::{Path, PathBuf};

/// A namespace that may be overwritten.
struct Device {
    path: PathBuf,
    namespace: u32,
    block_size: u32,
}

impl Device {
    /// The block device of the same namespace.
    fn block_device(&self) -> PathBuf {
        PathBuf::from(self.path.to_str().unwrap().replace("/dev/ng", "/dev/nvme"))
    }
}

/// The namespaces, that with blocks of 512 bytes first.
fn devices() -> [Device; 2] {
    let listed = std::env::var("RINGLINE_NVME_DEVICES").expect("RINGLINE_NVME_DEVICES names the devices");
    let (small, large) = listed.split_once(',').expect("RINGLINE_NVME_DEVICES names two devices");
    [(small, 512), (large, 4096)].map(|(path, block_size)| {
        // The number of the namespace stands behind the last `n` of the name.
        let namespace = path.rsplit('n').next().unwrap().parse().unwrap();
        Device { path: Path::new(path).to_owned(), namespace, block_size }
    })
}

/// The blocks of each namespace that belong to one test, because tests run beside each other.
#[derive(Clone, Copy)]
enum Area {
    ReadBack,
    Stale,
    Swapped,
    Task,
    Steps,
}

impl Area {
    const BLOCKS: u64 = 1024;

    /// The first of its blocks.
    const fn lba(self) -> u64 {
        self as u64 * Self::BLOCKS
    }
}
