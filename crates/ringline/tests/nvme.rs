//! NVMe commands from tasks, where no device is needed. Those that need one are in `nvme_devices/tasks.rs`.

mod harness;

use std::sync::{Mutex, PoisonError, mpsc};

use harness::{PATIENCE, Running, config};
use ringline::nvme::NvmeRefused;
use ringline::{ConfigBuilder, Error, NvmeConfig, open_nvme_device, request_shutdown};

fn with_nvme() -> ConfigBuilder {
    config().nvme(Some(NvmeConfig::new()))
}

fn tell<T>(sender: &Mutex<Option<mpsc::Sender<T>>>, what: T) {
    sender.lock().unwrap_or_else(PoisonError::into_inner).take().expect("told once").send(what).unwrap();
}

static REFUSED: Mutex<Option<mpsc::Sender<Error>>> = Mutex::new(None);

client_handler!(WithoutNvme, async {
    tell(&REFUSED, open_nvme_device("/dev/ng0n1", 1).await.unwrap_err());
    request_shutdown().unwrap();
});

#[test]
fn a_worker_without_nvme_says_how_to_enable_it() {
    let (sender, refused) = mpsc::channel();
    *REFUSED.lock().unwrap() = Some(sender);
    let running = Running::client::<WithoutNvme>(config());
    let error = refused.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(error, Error::NvmeRefused(NvmeRefused::NotEnabled)));
    assert!(error.to_string().contains("set nvme in the config"), "{error}");
    running.join();
}

#[test]
fn limits_of_0_are_refused() {
    for limits in [NvmeConfig::new().max_devices(0), NvmeConfig::new().max_commands_in_flight(0)] {
        let error = config().nvme(Some(limits)).build().unwrap_err();
        assert!(error.to_string().contains("nvme.max_"), "{error}");
    }
}

handler!(Echo, conn => harness::echo(conn));

#[test]
fn a_worker_with_nvme_serves_connections_as_any_other() {
    use std::io::{Read, Write};
    let server = Running::server::<Echo>(with_nvme());
    for len in [1, 4096, 100_000] {
        let mut stream = server.connect();
        let sent = harness::pattern(len, 3);
        stream.write_all(&sent).unwrap();
        let mut received = vec![0; len];
        stream.read_exact(&mut received).unwrap();
        assert!(received == sent, "{len} bytes came back changed");
    }
    server.stop();
}
