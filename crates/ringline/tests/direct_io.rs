//! Direct I/O from tasks and from handler methods, on the file system that holds the temporary directory (`TMPDIR`).

mod harness;

use std::future::Future;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use harness::{PATIENCE, Running, config, yield_now};
use ringline::direct_io::{FileRefused, Misaligned, Place};
use ringline::{
    AlignedBuffer, AsyncEventHandler, ConfigBuilder, ConnCtx, DirectIoCompletion, DirectIoConfig, DirectIoFile,
    DirectIoOp, DirectIoOptions, DriverCtx, Error, direct_io_fsync, direct_io_read, direct_io_write,
    open_direct_io_file, open_direct_io_file_with, request_shutdown, spawn,
};

fn with_files() -> ConfigBuilder {
    config().direct_io(Some(DirectIoConfig::new()))
}

fn create() -> DirectIoOptions {
    DirectIoOptions::new().create(true)
}

/// A path that is the test's own; the file goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("ringline-direct-io-{name}-{}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn filled(len: usize, seed: u64) -> AlignedBuffer {
    let mut buffer = AlignedBuffer::new(len).unwrap();
    buffer.copy_from_slice(&harness::pattern(len, seed));
    buffer
}

type Script = Pin<Box<dyn Future<Output = ()>>>;
type MakeScript = Box<dyn FnOnce() -> Script + Send>;

/// What the worker that starts next is to run. Tests of this file take turns.
static SCRIPT: Mutex<Option<MakeScript>> = Mutex::new(None);
static TURN: Mutex<()> = Mutex::new(());

struct Scripted;

impl AsyncEventHandler for Scripted {
    fn create_for_worker(_worker: usize) -> Self {
        Self
    }

    fn on_start(&self) -> Option<Script> {
        let script = SCRIPT.lock().unwrap_or_else(PoisonError::into_inner).take().expect("a script is there");
        Some(Box::pin(async move {
            script().await;
            request_shutdown().unwrap();
        }))
    }

    fn on_accept(&self, _conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        std::future::ready(())
    }
}

/// Runs a future on a worker of its own and waits until it has come to its end.
fn run<F: Future<Output = ()> + 'static>(config: ConfigBuilder, script: impl FnOnce() -> F + Send + 'static) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (finished, outcome) = mpsc::channel();
    let make: MakeScript = Box::new(move || {
        Box::pin(async move {
            script().await;
            finished.send(()).unwrap();
        })
    });
    *SCRIPT.lock().unwrap_or_else(PoisonError::into_inner) = Some(make);
    let running = Running::client::<Scripted>(config);
    outcome.recv_timeout(PATIENCE).expect("the script comes to its end");
    running.join();
}

#[test]
fn what_a_task_writes_it_reads_back() {
    let scratch = Scratch::new("round-trip");
    let path = scratch.0.clone();
    run(with_files(), || async move {
        let file = open_direct_io_file_with(&path, create()).await.unwrap();
        let block = file.block_size().unwrap() as usize;
        assert!(file.memory_alignment().is_some());
        assert_eq!(file.len_at_open(), Some(0));
        let (written, buffer) = direct_io_write(file, 0, filled(4 * block, 1)).await;
        assert_eq!((written.unwrap(), buffer.len()), (4 * block, 4 * block));
        direct_io_fsync(file).await.unwrap();
        let (read, buffer) = direct_io_read(file, block as u64, AlignedBuffer::new(2 * block).unwrap()).await;
        assert_eq!(read.unwrap(), 2 * block);
        assert!(buffer[..] == filled(4 * block, 1)[block..3 * block]);
        assert!(file.close() && !file.close());
        assert_eq!(file.block_size(), None);
        // Somebody who opens it again finds it as long as it was written.
        let again = open_direct_io_file(&path).await.unwrap();
        assert_eq!(again.len_at_open(), Some(4 * block as u64));
    });
}

#[test]
fn errors_name_what_is_wrong() {
    let scratch = Scratch::new("errors");
    let path = scratch.0.clone();
    run(with_files(), || async move {
        let missing = open_direct_io_file(&path).await.unwrap_err();
        assert!(matches!(&missing, Error::Io(error) if error.kind() == ErrorKind::NotFound), "{missing}");
        let device = open_direct_io_file("/dev/null").await.unwrap_err();
        assert!(matches!(&device, Error::Io(error) if error.kind() == ErrorKind::Unsupported), "{device}");
        let file = open_direct_io_file_with(&path, create()).await.unwrap();
        let (misaligned, buffer) = direct_io_read(file, 3, AlignedBuffer::new(4096).unwrap()).await;
        let error = misaligned.unwrap_err();
        let Error::FileRefused(FileRefused::Misaligned(Misaligned { place, value, block_size })) = error else {
            panic!("{error}")
        };
        assert_eq!((place, value, Some(block_size)), (Place::Offset, 3, file.block_size()));
        let reader = open_direct_io_file_with(&path, DirectIoOptions::new().read_only(true)).await.unwrap();
        let (refused, buffer) = direct_io_write(reader, 0, buffer).await;
        assert!(matches!(refused, Err(Error::FileRefused(FileRefused::ReadOnly))), "{refused:?}");
        file.close();
        let (stale, _) = direct_io_write(file, 0, buffer).await;
        assert!(matches!(stale, Err(Error::FileRefused(FileRefused::NotOpen))), "{stale:?}");
        let stale = direct_io_fsync(file).await;
        assert!(matches!(stale, Err(Error::FileRefused(FileRefused::NotOpen))), "{stale:?}");
    });
}

#[test]
fn a_worker_without_direct_io_says_how_to_enable_it() {
    run(config(), || async {
        let refused = open_direct_io_file("/etc/hostname").await.unwrap_err();
        assert!(matches!(refused, Error::FileRefused(FileRefused::NotEnabled)));
        assert!(refused.to_string().contains("set direct_io in the config"), "{refused}");
    });
}

#[test]
fn outside_of_a_worker_everything_is_refused_and_buffers_come_back() {
    let mut cx = Context::from_waker(Waker::noop());
    let opened = pin!(open_direct_io_file("/etc/hostname")).poll(&mut cx);
    assert!(matches!(opened, Poll::Ready(Err(Error::OutsideWorker))), "{opened:?}");
    let opened = pin!(ringline::open_nvme_device("/dev/ng0n1", 1)).poll(&mut cx);
    assert!(matches!(opened, Poll::Ready(Err(Error::OutsideWorker))), "{opened:?}");
}

#[test]
fn limits_are_those_of_the_configuration() {
    let scratch = Scratch::new("limits");
    let path = scratch.0.clone();
    let limits = DirectIoConfig::new().max_files(1).max_commands_in_flight(2);
    run(config().direct_io(Some(limits)), || async move {
        let file = open_direct_io_file_with(&path, create()).await.unwrap();
        let refused = open_direct_io_file(&path).await.unwrap_err();
        assert!(matches!(refused, Error::FileRefused(FileRefused::TooManyFiles { limit: 1 })), "{refused}");
        let (first, second) = (direct_io_write(file, 0, filled(4096, 1)), direct_io_write(file, 4096, filled(4096, 2)));
        let (refused, buffer) = direct_io_write(file, 0, filled(4096, 3)).await;
        assert!(matches!(refused, Err(Error::FileRefused(FileRefused::TooManyOperations { limit: 2 }))), "{refused:?}");
        assert_eq!((first.await.0.unwrap(), second.await.0.unwrap()), (4096, 4096));
        assert_eq!(direct_io_write(file, 0, buffer).await.0.unwrap(), 4096);
    });
    for limits in [DirectIoConfig::new().max_files(0), DirectIoConfig::new().max_commands_in_flight(0)] {
        let error = config().direct_io(Some(limits)).build().unwrap_err();
        assert!(error.to_string().contains("direct_io.max_"), "{error}");
    }
}

#[test]
fn f5_b15_dropped_futures_leak_neither_slots_nor_files() {
    let scratch = Scratch::new("dropped");
    let path = scratch.0.clone();
    let limits = DirectIoConfig::new().max_files(2).max_commands_in_flight(8);
    run(config().direct_io(Some(limits)), || async move {
        let file = open_direct_io_file_with(&path, create()).await.unwrap();
        assert_eq!(direct_io_write(file, 0, filled(65_536, 1)).await.0.unwrap(), 65_536);
        for _ in 0..50 {
            let begun: Vec<_> = (0..8).map(|_| direct_io_read(file, 0, AlignedBuffer::new(65_536).unwrap())).collect();
            drop(begun);
            drop(open_direct_io_file(&path));
            // Everything that was dropped ends by itself, and its slots are free again.
            loop {
                let (outcome, buffer) = direct_io_read(file, 0, AlignedBuffer::new(4096).unwrap()).await;
                match outcome {
                    Ok(read) => {
                        assert_eq!(read, 4096);
                        assert!(buffer[..] == filled(65_536, 1)[..4096]);
                        break;
                    }
                    Err(Error::FileRefused(FileRefused::TooManyOperations { .. })) => yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
            let again = loop {
                match open_direct_io_file(&path).await {
                    Ok(again) => break again,
                    Err(Error::FileRefused(FileRefused::TooManyFiles { .. })) => yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            };
            assert!(again.close());
        }
    });
}

#[test]
fn many_tasks_read_at_once_and_each_gets_its_own_bytes() {
    const BLOCK: usize = 4096;
    let scratch = Scratch::new("depth");
    let path = scratch.0.clone();
    run(with_files(), || async move {
        let file = open_direct_io_file_with(&path, create()).await.unwrap();
        for block in 0..64u64 {
            assert_eq!(direct_io_write(file, block * BLOCK as u64, filled(BLOCK, block)).await.0.unwrap(), BLOCK);
        }
        let (done, finished) = mpsc::channel();
        for task in 0..32u64 {
            let done = done.clone();
            spawn(async move {
                let mut buffer = AlignedBuffer::new(BLOCK).unwrap();
                for round in 0..20 {
                    let block = (task * 13 + round * 7) % 64;
                    let (read, filled_buffer) = direct_io_read(file, block * BLOCK as u64, buffer).await;
                    assert_eq!(read.unwrap(), BLOCK);
                    assert!(filled_buffer[..] == filled(BLOCK, block)[..], "the bytes of another block");
                    buffer = filled_buffer;
                }
                done.send(()).unwrap();
            })
            .unwrap();
        }
        drop(done);
        let mut tasks = 0;
        while tasks < 32 {
            match finished.try_recv() {
                Ok(()) => tasks += 1,
                Err(mpsc::TryRecvError::Empty) => yield_now().await,
                Err(mpsc::TryRecvError::Disconnected) => panic!("a task failed"),
            }
        }
    });
}

/// Opens, writes, makes durable, reads and closes, each step begun when the one before is told to be over.
struct Steps {
    path: PathBuf,
    expected: Option<(u64, DirectIoOp)>,
}

static STEPS: Mutex<Option<mpsc::Sender<Vec<u8>>>> = Mutex::new(None);

impl AsyncEventHandler for Steps {
    fn create_for_worker(_worker: usize) -> Self {
        Self { path: Scratch::new("handler").0.clone(), expected: None }
    }

    fn on_accept(&self, _conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        std::future::ready(())
    }

    fn on_notify(&mut self, ctx: &mut DriverCtx<'_>) {
        let (file, seq) = ctx.open_direct_io_file(&self.path, create()).unwrap();
        let (early, _) = ctx.direct_io_read(file, 0, AlignedBuffer::new(4096).unwrap()).unwrap_err();
        assert!(matches!(early, Error::FileRefused(FileRefused::NotOpen)), "{early}");
        self.expected = Some((seq, DirectIoOp::Open));
    }

    fn on_direct_io(&mut self, ctx: &mut DriverCtx<'_>, completion: DirectIoCompletion) {
        let DirectIoCompletion { file, op, seq, result, buffer, .. } = completion;
        assert_eq!(self.expected, Some((seq, op)));
        let bytes = result.unwrap();
        self.expected = Some(match op {
            DirectIoOp::Open => (ctx.direct_io_write(file, 0, filled(4096, 5)).unwrap(), DirectIoOp::Write),
            DirectIoOp::Write => {
                assert_eq!(bytes, 4096);
                (ctx.direct_io_fsync(file).unwrap(), DirectIoOp::Fsync)
            }
            DirectIoOp::Fsync => {
                let buffer = AlignedBuffer::new(4096).unwrap();
                (ctx.direct_io_read(file, 0, buffer).unwrap(), DirectIoOp::Read)
            }
            DirectIoOp::Read => {
                assert!(ctx.close_direct_io_file(file) && !ctx.close_direct_io_file(file));
                let read = buffer.unwrap().to_vec();
                STEPS.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap().send(read).unwrap();
                return;
            }
        });
    }
}

#[test]
fn handler_methods_are_told_of_what_they_began_under_its_number() {
    let _scratch = Scratch::new("handler");
    let (sender, read) = mpsc::channel();
    *STEPS.lock().unwrap() = Some(sender);
    let running = Running::client::<Steps>(with_files());
    running.handle().notify();
    let bytes = read.recv_timeout(PATIENCE).expect("the last step is told");
    assert!(bytes == filled(4096, 5)[..]);
    running.stop();
}

const _: () = {
    const fn is_copy<T: Copy>() {}
    is_copy::<DirectIoFile>();
};
