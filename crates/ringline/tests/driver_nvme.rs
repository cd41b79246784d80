//! NVMe commands through the driver, where no device is needed. Those that need one are in `nvme_devices/driver.rs`.

#[path = "nvme_devices/bench.rs"]
mod bench;

use std::io;
use std::path::Path;

use bench::{Bench, filled};
use ringline::driver::NvmeRefused;
use ringline_ring::AlignedBuffer;

#[test]
fn a_worker_without_wide_entries_refuses_devices() {
    let refused = Bench::with_ring(false).driver.open_device(Path::new("/dev/ng0n1"), 1).unwrap_err();
    assert_eq!(refused, NvmeRefused::NotEnabled);
    assert!(refused.to_string().contains("set nvme in the config"), "{refused}");
}

#[test]
fn what_is_no_nvme_device_is_refused_in_words_and_leaves_nothing_behind() {
    let mut bench = Bench::new();
    let (_, outcome) = bench.try_open(Path::new("/dev/null"), 1);
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("/dev/ng0n1"), "{error}");
    let (_, outcome) = bench.try_open(Path::new("/dev/ringline-has-no-such-device"), 1);
    assert_eq!(outcome.unwrap_err().raw_os_error(), Some(libc::ENOENT));
    assert_eq!(bench.driver.open_devices(), 0);
}

#[test]
fn a_ring_with_wide_entries_serves_files_as_well() {
    let mut bench = Bench::new();
    let path = std::env::temp_dir().join(format!("ringline-wide-{}", std::process::id()));
    let (file, _) = bench.open_file(&path, true);
    let seq = bench.driver.write_file(file, 0, filled(65_536, 1)).unwrap();
    assert_eq!(bench.operation(seq).result.unwrap(), 65_536);
    let seq = bench.driver.read_file(file, 0, AlignedBuffer::new(65_536).unwrap()).unwrap();
    let read = bench.operation(seq);
    std::fs::remove_file(&path).unwrap();
    assert!(read.buffer.unwrap()[..] == filled(65_536, 1)[..]);
}
