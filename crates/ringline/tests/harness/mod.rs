//! What the tests share: a runtime that ends with the test, clients with time limits, and waiting for a condition.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use ringline::{AsyncEventHandler, Config, ConfigBuilder, RinglineBuilder, ShutdownHandle, WorkerHandle};

/// Longest wait for anything in a test, also on an emulated processor of a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One worker, bound to no core.
pub fn config() -> ConfigBuilder {
    Config::builder().workers(1).pin_to_core(false)
}

/// A launched runtime.
pub struct Running {
    handle: Option<ShutdownHandle>,
    workers: Vec<WorkerHandle>,
}

impl Running {
    /// Launches a server on a port of the kernel's choice.
    pub fn server<H: AsyncEventHandler>(config: ConfigBuilder) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        Self::launch::<H>(RinglineBuilder::new(config.build().unwrap()).bind(address))
    }

    /// Launches a runtime without a listener.
    pub fn client<H: AsyncEventHandler>(config: ConfigBuilder) -> Self {
        Self::launch::<H>(RinglineBuilder::new(config.build().unwrap()))
    }

    pub fn launch<H: AsyncEventHandler>(builder: RinglineBuilder) -> Self {
        let (handle, workers) = builder.launch::<H>().unwrap();
        Self { handle: Some(handle), workers }
    }

    pub fn handle(&self) -> &ShutdownHandle {
        self.handle.as_ref().unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.handle().bound_addr().unwrap()
    }

    /// A blocking connection to the server.
    pub fn connect(&self) -> TcpStream {
        client(self.address())
    }

    /// Drops the handle without calling `shutdown`.
    pub fn drop_handle(&mut self) {
        self.handle = None;
    }

    /// Whether every worker has ended.
    pub fn is_finished(&self) -> bool {
        self.workers.iter().all(WorkerHandle::is_finished)
    }

    /// Waits for the workers to end, which something else has told them.
    pub fn join(mut self) {
        self.join_workers();
    }

    /// Shuts down and waits for the end.
    pub fn stop(self) {
        self.handle().shutdown();
        self.join();
    }

    fn join_workers(&mut self) {
        eventually("every worker has ended", || self.is_finished());
        for worker in self.workers.drain(..) {
            worker.join().expect("a worker never panics").expect("a worker ends without an error");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle = None;
        if !std::thread::panicking() {
            self.join_workers();
        }
    }
}

/// Runs one future on a worker of its own, to its end, and hands its output out.
pub fn on_worker<T: Send + 'static, F: Future<Output = T> + 'static>(config: ConfigBuilder, run: fn() -> F) -> T {
    let (sender, receiver) = mpsc::channel();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    *NEXT.lock().unwrap() = Some(Box::new(move || {
        Box::pin(async move {
            sender.send(run().await).unwrap();
        })
    }));
    let worker = Running::client::<Runs>(config);
    drop(turn);
    let output = receiver.recv_timeout(PATIENCE).expect("the future ends, and does not panic");
    worker.stop();
    output
}

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

/// What the next worker of [`on_worker`] runs.
static NEXT: Mutex<Option<Box<dyn FnOnce() -> LocalFuture + Send>>> = Mutex::new(None);
/// Held from setting `NEXT` until the worker has taken it.
static TURN: Mutex<()> = Mutex::new(());

/// Takes what is next when it starts.
struct Runs;

impl AsyncEventHandler for Runs {
    fn create_for_worker(_worker: usize) -> Self {
        Runs
    }

    fn on_start(&self) -> Option<LocalFuture> {
        NEXT.lock().unwrap().take().map(|start| start())
    }

    fn on_accept(&self, _conn: ringline::ConnCtx) -> impl Future<Output = ()> + 'static {
        std::future::ready(())
    }
}

/// A blocking connection whose reads and writes give up in the end.
pub fn client(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Waits for a condition.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Everything up to the peer's FIN.
pub fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Exactly `len` bytes.
pub fn read_exactly(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Bytes in which every shift, gap or repetition shows.
pub fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Open descriptors of this process.
pub fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Waits until every worker thread is gone: a thread can be joined a moment before the kernel takes it off the list.
pub fn no_worker_thread_is_left() {
    eventually("every worker thread is gone", || worker_threads().is_empty());
}

/// Identifiers of the running worker threads of this process.
pub fn worker_threads() -> Vec<u64> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
    let workers =
        tasks.filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("ringline-")));
    workers.map(|task| task.file_name().unwrap().to_str().unwrap().parse().unwrap()).collect()
}

/// Defines a handler whose connections are served by one expression.
#[macro_export]
macro_rules! handler {
    ($name:ident, $conn:ident => $serve:expr) => {
        struct $name;

        impl ringline::AsyncEventHandler for $name {
            fn create_for_worker(_worker: usize) -> Self {
                $name
            }

            fn on_accept(&self, $conn: ringline::ConnCtx) -> impl Future<Output = ()> + 'static {
                $serve
            }
        }
    };
}

/// Defines a handler that runs one future at its start and serves no connections.
#[macro_export]
macro_rules! client_handler {
    ($name:ident, $start:expr) => {
        struct $name;

        impl ringline::AsyncEventHandler for $name {
            fn create_for_worker(_worker: usize) -> Self {
                $name
            }

            fn on_start(&self) -> Option<std::pin::Pin<Box<dyn Future<Output = ()> + 'static>>> {
                Some(Box::pin($start))
            }

            fn on_accept(&self, _conn: ringline::ConnCtx) -> impl Future<Output = ()> + 'static {
                std::future::ready(())
            }
        }
    };
}

/// Sends everything back, as fast as the client takes it.
pub async fn echo(conn: ringline::ConnCtx) {
    loop {
        let mut sent = None;
        let read = conn.with_data(|data| {
            // In pieces that any send pool of the tests has room for.
            let count = data.len().min(64 * 1024);
            sent = (count > 0).then(|| conn.send(&data[..count]));
            ringline::ParseResult::Consumed(count)
        });
        read.await;
        let Some(sent) = sent else { return };
        if sent.await.is_err() {
            return;
        }
    }
}

/// Reads exactly `len` bytes; fewer only at the end of the stream.
pub async fn receive(conn: ringline::ConnCtx, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let read = conn.with_data(|data| {
            let count = data.len().min(len - bytes.len());
            bytes.extend_from_slice(&data[..count]);
            ringline::ParseResult::Consumed(count)
        });
        if read.await == 0 {
            break;
        }
    }
    bytes
}

/// Lets every other task and the ring have a turn.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
