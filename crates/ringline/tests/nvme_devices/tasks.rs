//! NVMe commands from tasks and from handler methods, on a drive.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError, mpsc};

use ringline::nvme::NvmeRefused;
use ringline::{
    AlignedBuffer, AsyncEventHandler, ConfigBuilder, ConnCtx, DriverCtx, Error, NvmeCompletion, NvmeConfig, NvmeOp,
    nvme_flush, nvme_read, nvme_write, open_nvme_device, request_shutdown,
};

use crate::bench::filled;
use crate::harness::{self, PATIENCE, Running, config};
use crate::{Area, client_handler, devices};

fn with_nvme() -> ConfigBuilder {
    config().nvme(Some(NvmeConfig::new()))
}

fn tell<T>(sender: &Mutex<Option<mpsc::Sender<T>>>, what: T) {
    sender.lock().unwrap_or_else(PoisonError::into_inner).take().expect("told once").send(what).unwrap();
}

static TASK: Mutex<Option<mpsc::Sender<Vec<u8>>>> = Mutex::new(None);

client_handler!(TaskOfItsOwn, async {
    let [named, _] = devices();
    let lba = Area::Task.lba();
    let opened = open_nvme_device(&named.path, named.namespace).await.unwrap();
    let block = opened.block_size().unwrap() as usize;
    let (written, buffer) = nvme_write(opened, lba, 8, filled(8 * block, 11)).await;
    assert_eq!((written.unwrap(), buffer.len()), (8 * block, 8 * block));
    nvme_flush(opened).await.unwrap();
    let (none, buffer) = nvme_read(opened, lba, 0, buffer).await;
    assert!(matches!(none, Err(Error::NvmeRefused(NvmeRefused::NoBlocks))), "{none:?}");
    let beyond = opened.blocks().unwrap();
    let (status, _) = nvme_read(opened, beyond, 8, buffer).await;
    let error = status.unwrap_err();
    assert!(matches!(&error, Error::NvmeStatus(status) if status.code() == 0x80), "{error}");
    assert!(error.to_string().contains("LBA out of range"), "{error}");
    // Dropped mid-flight: the buffer stays with the command, and its slot comes back.
    for _ in 0..300 {
        drop(nvme_read(opened, lba, 8, AlignedBuffer::new(8 * block).unwrap()));
        harness::yield_now().await;
    }
    let (read, buffer) = nvme_read(opened, lba, 8, AlignedBuffer::new(8 * block).unwrap()).await;
    assert_eq!(read.unwrap(), 8 * block);
    assert!(opened.close() && opened.block_size().is_none());
    tell(&TASK, buffer.to_vec());
    request_shutdown().unwrap();
});

#[test]
fn what_a_task_writes_to_blocks_it_reads_back() {
    let (sender, read) = mpsc::channel();
    *TASK.lock().unwrap() = Some(sender);
    let running = Running::client::<TaskOfItsOwn>(with_nvme());
    let bytes = read.recv_timeout(PATIENCE).expect("the task comes to its end");
    assert!(bytes == filled(bytes.len(), 11)[..]);
    running.join();
}

/// Opens, writes, flushes, reads and closes, each step begun when the one before is told to be over.
struct Steps {
    expected: Option<(u64, NvmeOp)>,
}

static STEPS: Mutex<Option<mpsc::Sender<Vec<u8>>>> = Mutex::new(None);

impl AsyncEventHandler for Steps {
    fn create_for_worker(_worker: usize) -> Self {
        Self { expected: None }
    }

    fn on_start(&self) -> Option<Pin<Box<dyn Future<Output = ()> + 'static>>> {
        None
    }

    fn on_accept(&self, _conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        std::future::ready(())
    }

    fn on_notify(&mut self, ctx: &mut DriverCtx<'_>) {
        let [named, _] = devices();
        let (_, seq) = ctx.open_nvme_device(named.path, named.namespace).unwrap();
        self.expected = Some((seq, NvmeOp::Open));
    }

    fn on_nvme(&mut self, ctx: &mut DriverCtx<'_>, completion: NvmeCompletion) {
        let NvmeCompletion { device, op, seq, result, buffer, .. } = completion;
        assert_eq!(self.expected, Some((seq, op)));
        result.unwrap();
        self.expected = Some(match op {
            NvmeOp::Open => {
                let buffer = filled(device.block_size().unwrap() as usize, 21);
                (ctx.nvme_write(device, Area::Steps.lba(), 1, buffer).unwrap(), NvmeOp::Write)
            }
            NvmeOp::Write => (ctx.nvme_flush(device).unwrap(), NvmeOp::Flush),
            NvmeOp::Flush => {
                let buffer = AlignedBuffer::new(device.block_size().unwrap() as usize).unwrap();
                (ctx.nvme_read(device, Area::Steps.lba(), 1, buffer).unwrap(), NvmeOp::Read)
            }
            NvmeOp::Read => {
                assert!(ctx.close_nvme_device(device));
                return tell(&STEPS, buffer.unwrap().to_vec());
            }
        });
    }
}

#[test]
fn handler_methods_are_told_of_what_they_submitted_under_its_number() {
    let (sender, read) = mpsc::channel();
    *STEPS.lock().unwrap() = Some(sender);
    let running = Running::client::<Steps>(with_nvme());
    running.handle().notify();
    let bytes = read.recv_timeout(PATIENCE).expect("the last step is told");
    assert!(bytes == filled(bytes.len(), 21)[..]);
    running.stop();
}
