//! The public names of the crate, each used once, and `docs/api-map.md` held against them: a name that is removed or renamed fails to
//! compile here, and a name that the page has and the crate has not, or the other way round, fails the test. It owns the list of names;
//! whether they work is for the tests that the page names.

use std::collections::BTreeSet;
use std::future::Ready;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ringline::{
    AlignedBuffer, AsyncEventHandler, AsyncSendBuilder, ChainBuilder, Config, ConfigBuilder, ConnCtx, ConnToken,
    Deadline, DirectIoCompletion, DirectIoConfig, DirectIoFile, DirectIoOp, DirectIoOptions, DriverCtx, Either,
    Either3, GuardBox, MemoryRegion, NvmeCompletion, NvmeConfig, NvmeDevice, ParseResult, RecvBufferConfig, RegionId,
    RinglineBuilder, SendBuilder, SendPart, ShutdownHandle, TaskId, UdpCtx, UdpSendError, UdpToken, WorkerConfig,
};

const PAGE: &str = include_str!("../../../docs/api-map.md");

/// Imports every name, so that a missing one does not compile, and lists them.
macro_rules! items {
    ($list:ident: $($name:ident)*) => {
        const $list: &[&str] = &[$(stringify!($name)),*];
        #[allow(unused_imports)]
        mod items { pub(crate) use ringline::{$($name),*}; }
    };
}

/// Calls every method with arguments of these types, in functions that nobody calls, and lists them.
macro_rules! members {
    ($list:ident: $($type:ident::$member:ident $(::<$generic:ty>)? $(($($arg:ident: $arg_type:ty),*))? $(-> $result:ty)?;)*) => {
        const $list: &[&str] = &[$(concat!(stringify!($type), "::", stringify!($member))),*];
        $(const _: () = {
            #[allow(dead_code, unused_unsafe, clippy::let_underscore_future, clippy::too_many_arguments)]
            fn used($($($arg: $arg_type),*)?) {
                // SAFETY: nobody calls this function; it only has to compile.
                let _ $(: $result)? = unsafe { $type::$member $(::<$generic>)? $(($($arg),*))? };
            }
        };)*
    };
}

type Parse = fn(&[u8]) -> ParseResult;
type ParseBytes = fn(bytes::Bytes) -> ParseResult;
type Chain = fn(ChainBuilder<'static>) -> ChainBuilder<'static>;
type Build = fn(SendBuilder<'static>) -> SendBuilder<'static>;
type Bytes = &'static [u8];
type Parts = Vec<SendPart<'static>>;

struct Probe;

impl AsyncEventHandler for Probe {
    fn create_for_worker(_worker: usize) -> Self {
        Self
    }

    fn on_accept(&self, _conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        std::future::ready(())
    }
}

items! { ITEMS:
    config direct_io error guard handler nvme
    AsyncEventHandler AsyncSendBuilder Config ConfigBuilder ConnCtx ConnToken ConnectFuture Deadline DirectIoCompletion DirectIoConfig
    DirectIoFile DirectIoOp DiskIoFuture DriverCtx Either Either3 Elapsed Error GuardBox Join Join3 MAX_GUARDS MAX_IOVECS MemoryRegion
    NvmeCompletion NvmeConfig NvmeDevice ParseResult RecvBufferConfig RecvReadyFuture RegionId RinglineBuilder Select Select3
    SendFuture SendGuard SendPart ShutdownHandle SleepFuture TaskId TimeoutFuture TimerExhausted UdpCtx UdpRecvFuture UdpSendError
    UdpToken WithBytesFuture WithDataFuture WorkerConfig
    connect connect_with_timeout direct_io_read direct_io_write join join3 nvme_read nvme_write open_direct_io_file
    open_nvme_device request_shutdown select select3 sleep sleep_until spawn timeout timeout_at try_sleep try_sleep_until
    try_timeout try_timeout_at
}

members! { MEMBERS:
    RinglineBuilder::new(config: Config);
    RinglineBuilder::bind(builder: RinglineBuilder, address: SocketAddr);
    RinglineBuilder::bind_udp(builder: RinglineBuilder, address: SocketAddr);
    RinglineBuilder::launch::<Probe>(builder: RinglineBuilder);

    ShutdownHandle::shutdown(handle: &ShutdownHandle);
    ShutdownHandle::notify(handle: &ShutdownHandle);
    ShutdownHandle::bound_addr(handle: &ShutdownHandle);
    ShutdownHandle::udp_addrs(handle: &ShutdownHandle);

    AsyncEventHandler::create_for_worker(worker: usize) -> Probe;
    AsyncEventHandler::on_start(handler: &Probe);
    AsyncEventHandler::on_accept(handler: &Probe, conn: ConnCtx);
    AsyncEventHandler::on_udp_bind(handler: &Probe, udp: UdpCtx);
    AsyncEventHandler::on_tick(handler: &mut Probe, ctx: &mut DriverCtx<'_>);
    AsyncEventHandler::on_notify(handler: &mut Probe, ctx: &mut DriverCtx<'_>);
    AsyncEventHandler::on_direct_io(handler: &mut Probe, ctx: &mut DriverCtx<'_>, completion: DirectIoCompletion);
    AsyncEventHandler::on_nvme(handler: &mut Probe, ctx: &mut DriverCtx<'_>, completion: NvmeCompletion);

    ConnCtx::index(conn: &ConnCtx);
    ConnCtx::token(conn: &ConnCtx) -> ConnToken;
    ConnCtx::with_data(conn: &ConnCtx, parse: Parse);
    ConnCtx::with_bytes(conn: &ConnCtx, parse: ParseBytes);
    ConnCtx::try_with_data(conn: &ConnCtx, parse: Parse);
    ConnCtx::recv_ready(conn: &ConnCtx);
    ConnCtx::pipe(conn: &ConnCtx, to: ConnCtx);
    ConnCtx::set_recv_sink(conn: &ConnCtx, address: *mut u8, len: usize);
    ConnCtx::take_recv_sink(conn: &ConnCtx);
    ConnCtx::send_nowait(conn: &ConnCtx, data: Bytes);
    ConnCtx::send(conn: &ConnCtx, data: Bytes);
    ConnCtx::send_parts(conn: &ConnCtx);
    ConnCtx::send_chain(conn: &ConnCtx, add: Chain);
    ConnCtx::send_chain_nowait(conn: &ConnCtx, add: Chain);
    ConnCtx::connect(conn: &ConnCtx, peer: SocketAddr);
    ConnCtx::connect_with_timeout(conn: &ConnCtx, peer: SocketAddr, timeout_ms: u64);
    ConnCtx::shutdown_write(conn: &ConnCtx);
    ConnCtx::close(conn: &ConnCtx);
    ConnCtx::cancel(conn: &ConnCtx);
    ConnCtx::peer_addr(conn: &ConnCtx);
    ConnCtx::local_addr(conn: &ConnCtx);
    ConnCtx::is_outbound(conn: &ConnCtx);
    ConnCtx::request_shutdown(conn: &ConnCtx);

    ParseResult::Consumed(bytes: usize);
    ParseResult::NeedMore;

    AsyncSendBuilder::copy(builder: AsyncSendBuilder<'static>, data: Bytes);
    AsyncSendBuilder::guard(builder: AsyncSendBuilder<'static>, guard: GuardBox);
    AsyncSendBuilder::build(builder: AsyncSendBuilder<'static>, add: Build);
    AsyncSendBuilder::build_await(builder: AsyncSendBuilder<'static>, add: Build);
    AsyncSendBuilder::submit(builder: AsyncSendBuilder<'static>);
    AsyncSendBuilder::submit_await(builder: AsyncSendBuilder<'static>);
    AsyncSendBuilder::submit_batch(builder: AsyncSendBuilder<'static>, parts: Parts);
    AsyncSendBuilder::submit_batch_await(builder: AsyncSendBuilder<'static>, parts: Parts);
    SendBuilder::copy(builder: SendBuilder<'static>, data: Bytes);
    SendBuilder::guard(builder: SendBuilder<'static>, guard: GuardBox);
    SendBuilder::submit(builder: SendBuilder<'static>);
    SendPart::Copy(data: Bytes);
    SendPart::Guard(guard: GuardBox);
    ChainBuilder::copy(chain: ChainBuilder<'static>, data: Bytes);
    ChainBuilder::guard(chain: ChainBuilder<'static>, guard: GuardBox);
    ChainBuilder::link(chain: ChainBuilder<'static>, part: SendPart<'static>);

    DriverCtx::send(ctx: &mut DriverCtx<'_>, conn: ConnToken, data: Bytes);
    DriverCtx::send_parts(ctx: &mut DriverCtx<'_>, conn: ConnToken);
    DriverCtx::send_chain(ctx: &mut DriverCtx<'_>, conn: ConnToken, add: Chain);
    DriverCtx::close(ctx: &mut DriverCtx<'_>, conn: ConnToken);
    DriverCtx::shutdown_write(ctx: &mut DriverCtx<'_>, conn: ConnToken);
    DriverCtx::cancel(ctx: &mut DriverCtx<'_>, conn: ConnToken);
    DriverCtx::peer_addr(ctx: &DriverCtx<'_>, conn: ConnToken);
    DriverCtx::is_outbound(ctx: &DriverCtx<'_>, conn: ConnToken);
    DriverCtx::connect(ctx: &mut DriverCtx<'_>, peer: SocketAddr);
    DriverCtx::connect_with_timeout(ctx: &mut DriverCtx<'_>, peer: SocketAddr, timeout_ms: u64);
    DriverCtx::send_to(ctx: &mut DriverCtx<'_>, udp: UdpToken, peer: SocketAddr, data: Bytes);
    DriverCtx::request_shutdown(ctx: &mut DriverCtx<'_>);
    DriverCtx::usage(ctx: &DriverCtx<'_>);
    DriverCtx::metrics(ctx: &DriverCtx<'_>);
    DriverCtx::open_direct_io_file(ctx: &mut DriverCtx<'_>, path: &Path, options: DirectIoOptions);
    DriverCtx::direct_io_read(ctx: &mut DriverCtx<'_>, file: DirectIoFile, offset: u64, buffer: AlignedBuffer);
    DriverCtx::direct_io_write(ctx: &mut DriverCtx<'_>, file: DirectIoFile, offset: u64, buffer: AlignedBuffer);
    DriverCtx::direct_io_fsync(ctx: &mut DriverCtx<'_>, file: DirectIoFile);
    DriverCtx::close_direct_io_file(ctx: &mut DriverCtx<'_>, file: DirectIoFile);
    DriverCtx::open_nvme_device(ctx: &mut DriverCtx<'_>, path: &Path, namespace: u32);
    DriverCtx::nvme_read(ctx: &mut DriverCtx<'_>, device: NvmeDevice, lba: u64, num_blocks: u16, buffer: AlignedBuffer);
    DriverCtx::nvme_write(ctx: &mut DriverCtx<'_>, device: NvmeDevice, lba: u64, num_blocks: u16, buffer: AlignedBuffer);
    DriverCtx::nvme_flush(ctx: &mut DriverCtx<'_>, device: NvmeDevice);
    DriverCtx::close_nvme_device(ctx: &mut DriverCtx<'_>, device: NvmeDevice);

    MemoryRegion::allocate(len: usize);
    MemoryRegion::len(region: &MemoryRegion);
    MemoryRegion::as_ptr(region: &MemoryRegion);
    MemoryRegion::guard(region: &MemoryRegion, id: RegionId, offset: usize, len: u32);

    TaskId::cancel(task: &TaskId);
    Deadline::now();
    Deadline::after(duration: Duration);
    Deadline::remaining(deadline: Deadline);
    Either::Left(value: u8) -> Either<u8, u8>;
    Either::Right(value: u8) -> Either<u8, u8>;
    Either::into_inner(either: Either<u8, u8>);
    Either3::First(value: u8) -> Either3<u8, u8, u8>;
    Either3::Second(value: u8) -> Either3<u8, u8, u8>;
    Either3::Third(value: u8) -> Either3<u8, u8, u8>;
    Either3::into_inner(either: Either3<u8, u8, u8>);

    UdpCtx::index(udp: &UdpCtx);
    UdpCtx::token(udp: &UdpCtx) -> UdpToken;
    UdpCtx::local_addr(udp: &UdpCtx);
    UdpCtx::recv_from(udp: &UdpCtx);
    UdpCtx::send_to(udp: &UdpCtx, peer: SocketAddr, data: Bytes);
    UdpCtx::dropped(udp: &UdpCtx);
    UdpCtx::send_errors(udp: &UdpCtx);
    UdpSendError::PoolExhausted;
    UdpSendError::SendInFlight;
    UdpSendError::SubmissionQueueFull;
    UdpSendError::Io(error: std::io::Error);

    DirectIoFile::close(file: DirectIoFile);
    DirectIoFile::block_size(file: DirectIoFile);
    DirectIoFile::len_at_open(file: DirectIoFile);
    DirectIoOp::Read;
    DirectIoOp::Write;
    DirectIoOp::Fsync;
    NvmeDevice::close(device: NvmeDevice);
    NvmeDevice::block_size(device: NvmeDevice);
    NvmeDevice::blocks(device: NvmeDevice);

    Config::default();
    ConfigBuilder::build(builder: ConfigBuilder);
    ConfigBuilder::sq_entries(builder: ConfigBuilder, value: u32);
    ConfigBuilder::sqpoll(builder: ConfigBuilder, value: bool);
    ConfigBuilder::sqpoll_idle_ms(builder: ConfigBuilder, value: u32);
    ConfigBuilder::sqpoll_cpu(builder: ConfigBuilder, value: Option<u32>);
    ConfigBuilder::recv_buffer(builder: ConfigBuilder, value: RecvBufferConfig);
    ConfigBuilder::registered_regions(builder: ConfigBuilder, value: Vec<MemoryRegion>);
    ConfigBuilder::worker(builder: ConfigBuilder, value: WorkerConfig);
    ConfigBuilder::backlog(builder: ConfigBuilder, value: u32);
    ConfigBuilder::max_connections(builder: ConfigBuilder, value: u32);
    ConfigBuilder::recv_accumulator_capacity(builder: ConfigBuilder, value: usize);
    ConfigBuilder::send_copy_count(builder: ConfigBuilder, value: u32);
    ConfigBuilder::send_copy_slot_size(builder: ConfigBuilder, value: u32);
    ConfigBuilder::send_slab_slots(builder: ConfigBuilder, value: u32);
    ConfigBuilder::send_zc_threshold(builder: ConfigBuilder, value: u32);
    ConfigBuilder::flush_interval_us(builder: ConfigBuilder, value: u64);
    ConfigBuilder::tick_timeout_us(builder: ConfigBuilder, value: u64);
    ConfigBuilder::tcp_nodelay(builder: ConfigBuilder, value: bool);
    ConfigBuilder::max_chain_length(builder: ConfigBuilder, value: u32);
    ConfigBuilder::standalone_task_capacity(builder: ConfigBuilder, value: usize);
    ConfigBuilder::timer_slots(builder: ConfigBuilder, value: u32);
    ConfigBuilder::udp_bind(builder: ConfigBuilder, value: Vec<SocketAddr>);
    ConfigBuilder::nvme(builder: ConfigBuilder, value: Option<NvmeConfig>);
    ConfigBuilder::direct_io(builder: ConfigBuilder, value: Option<DirectIoConfig>);
    ConfigBuilder::reuse_port(builder: ConfigBuilder, value: bool);
}

/// The first cell of every row of the page: the Rust name, without its backticks.
fn names_on_the_page() -> Vec<&'static str> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap_or(row)).collect()
}

#[test]
fn the_page_has_the_names_that_are_used_here_and_no_other() {
    let on_the_page: BTreeSet<_> = names_on_the_page().into_iter().collect();
    let used: BTreeSet<_> = ITEMS.iter().chain(MEMBERS).copied().collect();
    let unknown: Vec<_> = on_the_page.difference(&used).collect();
    assert!(unknown.is_empty(), "docs/api-map.md has names that are not used in this file: {unknown:?}");
    let unlisted: Vec<_> = used.difference(&on_the_page).collect();
    assert!(unlisted.is_empty(), "docs/api-map.md has no row for {unlisted:?}");
}

#[test]
fn no_name_has_two_rows() {
    let mut seen = BTreeSet::new();
    let twice: Vec<_> = names_on_the_page().into_iter().filter(|name| !seen.insert(*name)).collect();
    assert!(twice.is_empty(), "docs/api-map.md has more than one row for {twice:?}");
}

#[test]
fn the_futures_of_the_page_are_futures() {
    fn future<F: Future>() {}
    type Done = Ready<()>;
    future::<items::ConnectFuture>();
    future::<items::DiskIoFuture>();
    future::<items::Join<Done, Done>>();
    future::<items::Join3<Done, Done, Done>>();
    future::<items::RecvReadyFuture>();
    future::<items::Select<Done, Done>>();
    future::<items::Select3<Done, Done, Done>>();
    future::<items::SendFuture>();
    future::<items::SleepFuture>();
    future::<items::TimeoutFuture<Done>>();
    future::<items::UdpRecvFuture>();
    future::<items::WithBytesFuture<ParseBytes>>();
    future::<items::WithDataFuture<Parse>>();
}
