//! Every variant of [`Error`], from where it really comes, with words that help. (`InvalidConfig` is in `lifetimes.rs`,
//! `SendPoolExhausted` in `sending.rs`, `CompletionsLost` in `simulated/broken.rs`.)

mod harness;

use std::fs::File;
use std::future::Future;
use std::process::Command;
use std::sync::Mutex;

use harness::{Running, config, echo, eventually, read_all};
use ringline::{
    AsyncEventHandler, Config, ConfigBuilder, ConnCtx, Error, RinglineBuilder, ShutdownHandle, WorkerHandle, connect,
    spawn,
};

handler!(Echo, conn => echo(conn));

fn launch_error(config: ConfigBuilder) -> Error {
    RinglineBuilder::new(config.build().unwrap()).launch::<Echo>().unwrap_err()
}

/// The message of an error that a connection's task saw.
static SEEN: Mutex<Option<Error>> = Mutex::new(None);

#[test]
fn ring_setup_says_what_the_kernel_refused() {
    let error = launch_error(config().sqpoll(true).sqpoll_cpu(Some(4000)));
    assert!(matches!(error, Error::RingSetup(_)), "{error:?}");
    assert!(!error.to_string().is_empty());
}

#[test]
fn buffer_registration_says_what_would_help() {
    let error = launch_error(config().send_copy_count(u32::MAX - 1).send_copy_slot_size(1 << 30));
    assert!(matches!(error, Error::BufferRegistration(_)), "{error:?}");
    assert!(error.to_string().contains("send_copy_count"), "{error}");
}

/// Runs the rest of a test in a process of its own, as nobody, with this limit of open files: only root may raise a hard one.
/// False in the process that is to do no more.
fn limited(test: &str, soft: u64, hard: u64) -> bool {
    const CHILD: &str = "RINGLINE_TEST_LIMITED";
    if std::env::var_os(CHILD).is_none() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return false;
    }
    limit_open_files(soft, hard);
    // SAFETY: takes no pointers.
    unsafe { libc::setuid(65_534) };
    true
}

fn limit_open_files(soft: u64, hard: u64) {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the structure lives across the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

#[test]
fn resource_limit_says_which_and_how_to_raise_it() {
    if !limited("resource_limit_says_which_and_how_to_raise_it", 100, 100) {
        return;
    }
    let error = launch_error(config());
    assert!(matches!(error, Error::ResourceLimit(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("RLIMIT_NOFILE") && text.contains("16001") && text.contains("ulimit -n"), "{text}");
}

#[test]
fn with_few_descriptors_left_a_launch_stands_or_meets_the_limit_and_leaves_nothing() {
    if !limited("with_few_descriptors_left_a_launch_stands_or_meets_the_limit_and_leaves_nothing", 64, 300) {
        return;
    }
    handler!(Quiet, _conn => async {});
    let launch = || {
        let any = |address: &str| address.parse().unwrap();
        let builder = RinglineBuilder::new(config().max_connections(16).build().unwrap()).bind(any("127.0.0.1:0"));
        builder.bind_udp(any("127.0.0.1:0")).bind_udp(any("[::1]:0")).launch::<Quiet>()
    };
    let stop = |(shutdown, workers): (ShutdownHandle, Vec<WorkerHandle>)| {
        shutdown.shutdown();
        workers.into_iter().for_each(|worker| worker.join().unwrap().unwrap());
    };
    let fill = |files: &mut Vec<File>| files.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
    let mut files = Vec::new();
    fill(&mut files);
    assert!(files.len() < 64);
    // The soft limit is met, and raised.
    stop(launch().unwrap());
    limit_open_files(300, 300);
    fill(&mut files);
    let mut stood = 0;
    for left in 0.. {
        match launch() {
            Ok(launched) => {
                stood += 1;
                stop(launched);
            }
            Err(error) => {
                let met = matches!(&error, Error::ResourceLimit(limit) if (limit.soft, limit.hard) == (300, 300));
                assert!(met && stood == 0, "{left} left: {error}");
            }
        }
        let before = files.len();
        fill(&mut files);
        assert_eq!(files.len() - before, left, "as many can be opened again as were left");
        if stood == 3 {
            assert!(left >= 7, "a ring, its doorbell and three sockets are not to be had for nothing");
            return;
        }
        files.truncate(files.len() - (left + 1));
    }
}

#[test]
fn connection_limit_task_limit_and_invalid_connection() {
    handler!(Limits, conn => async move {
        let mut seen = Vec::new();
        seen.push(connect("127.0.0.1:1".parse().unwrap()).await.unwrap_err());
        spawn(std::future::pending()).unwrap();
        seen.push(spawn(std::future::pending()).unwrap_err());
        conn.close();
        seen.push(conn.send_nowait(b"late").unwrap_err());
        *SEEN.lock().unwrap() = seen.pop();
        assert!(matches!(seen[..], [Error::ConnectionLimitReached { limit: 1 }, Error::TaskLimitReached { limit: 1 }]));
        assert!(seen[0].to_string().contains("max_connections"));
        assert!(seen[1].to_string().contains("standalone_task_capacity"));
    });
    let server = Running::server::<Limits>(config().max_connections(1).standalone_task_capacity(1));
    assert_eq!(read_all(&mut server.connect()), b"");
    eventually("the task has noted its error", || SEEN.lock().unwrap().is_some());
    assert!(matches!(SEEN.lock().unwrap().take(), Some(Error::InvalidConnection)));
}

#[test]
fn outside_of_a_worker_nothing_begins() {
    assert!(matches!(spawn(async {}), Err(Error::OutsideWorker)));
    assert!(matches!(ringline::request_shutdown(), Err(Error::OutsideWorker)));
    let mut attempt = Box::pin(connect("127.0.0.1:1".parse().unwrap()));
    let polled = attempt.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    assert!(matches!(polled, std::task::Poll::Ready(Err(Error::OutsideWorker))));
}

#[test]
fn a_handler_that_panics_at_its_start_fails_the_launch() {
    struct Panics;
    impl AsyncEventHandler for Panics {
        fn create_for_worker(worker: usize) -> Self {
            assert_ne!(worker, 1, "this panic is part of the test");
            Panics
        }
        fn on_accept(&self, _conn: ConnCtx) -> impl Future<Output = ()> + 'static {
            std::future::ready(())
        }
    }
    let config: Config = config().workers(3).build().unwrap();
    let error = RinglineBuilder::new(config).launch::<Panics>().unwrap_err();
    assert!(matches!(error, Error::HandlerPanicked { worker: 1 }), "{error:?}");
}

#[test]
fn errors_convert_to_and_from_io_errors() {
    let refused = std::io::Error::from_raw_os_error(libc::ECONNREFUSED);
    let error = Error::from(refused);
    assert!(std::error::Error::source(&error).is_some());
    assert_eq!(std::io::Error::from(error).raw_os_error(), Some(libc::ECONNREFUSED));
    assert!(std::io::Error::from(Error::InvalidConnection).to_string().contains("closed"));
}
