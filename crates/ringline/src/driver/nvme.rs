//! NVMe commands past the block layer: opening a device, reading, writing and flushing blocks.
//!
//! As with files, a device and a command have a slot and a generation each, and the command with its buffer belongs to
//! its slot until the completion comes. Only a worker whose ring has wide entries can do this.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ringline_ring::{
    AlignedBuffer, Completion, DeviceFacts, FileIndex, Kernel, NvmeCommand, Op, OpenHow, PinnedCommand, PinnedPath, Tag,
};

use super::handles::{Closing, Handles, Opened};
use super::kind::Kind;
use super::nvme_refused::{NvmeError, NvmeRefused};
use super::slots::Slots;
use super::{Driver, Host};

/// The opcodes of the NVM command set.
const FLUSH: u8 = 0;
const WRITE: u8 = 1;
const READ: u8 = 2;

/// Names an open device of one worker. It stays unique when the slot is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceToken {
    slot: u32,
    generation: u32,
}

impl DeviceToken {
    /// A token from its two parts.
    pub const fn from_parts(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// The slot, below the worker's limit of devices.
    pub const fn slot(self) -> u32 {
        self.slot
    }

    /// The generation of the slot, raised each time the slot is freed.
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NvmeOp {
    /// Reads blocks into its buffer.
    Read,
    /// Writes its buffer to blocks.
    Write,
    /// Makes what was written durable.
    Flush,
}

/// The end of a command.
#[derive(Debug)]
pub struct CommandCompletion {
    /// The device.
    pub device: DeviceToken,
    /// What was done.
    pub op: NvmeOp,
    /// The number that the call which submitted the command returned. No two disk operations of a worker, those on files
    /// included, ever have the same.
    pub seq: u64,
    /// Whether the device did it.
    pub result: Result<(), NvmeError>,
    /// The buffer of a read or write.
    pub buffer: Option<AlignedBuffer>,
}

/// What is known of a device.
struct Device {
    namespace: u32,
    facts: DeviceFacts,
}

struct Command {
    device: DeviceToken,
    op: NvmeOp,
    seq: u64,
    buffer: Option<AlignedBuffer>,
    /// At one place until it is submitted, which may be later than it is pushed.
    _command: Box<NvmeCommand>,
}

/// The devices of a worker and what is in flight on them.
pub(super) struct Devices {
    handles: Handles<Device>,
    commands: Slots<Command>,
    commands_max: u32,
}

impl Devices {
    pub(super) fn new(devices_max: u32, commands_max: u32) -> Self {
        Self { handles: Handles::new(devices_max), commands: Slots::new(commands_max), commands_max }
    }

    fn open(&self, device: DeviceToken) -> Result<&Device, NvmeRefused> {
        self.handles.open(device.slot, device.generation).ok_or(NvmeRefused::NotOpen)
    }
}

impl<K: Kernel> Driver<K> {
    /// Begins to open the generic character device of a namespace (`/dev/ng0n1`). [`Host::device_opened`] tells how it
    /// ended.
    ///
    /// # Errors
    ///
    /// When NVMe is not enabled, every slot is taken, or the path contains a zero byte.
    pub fn open_device(&mut self, path: &Path, namespace: u32) -> Result<DeviceToken, NvmeRefused> {
        let limit = self.devices.handles.limit();
        if limit == 0 || !self.submitter.kernel.takes_nvme() {
            return Err(NvmeRefused::NotEnabled);
        }
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| NvmeRefused::BadPath)?;
        // SAFETY: the string stays with the device until `device_open_completed`.
        let pinned = unsafe { PinnedPath::new(&path) };
        let facts = DeviceFacts { block_size: 1, blocks: 0 };
        let device = Device { namespace, facts };
        let inserted = self.devices.handles.insert(path, device);
        let (slot, generation) = inserted.ok_or(NvmeRefused::TooManyDevices { limit })?;
        let how = OpenHow { write: true, create: false, direct: false };
        self.submitter.push(Op::Open { path: pinned, how }, Kind::DeviceOpen, slot, generation);
        Ok(DeviceToken { slot, generation })
    }

    /// Block size and count of an open device; none when the token is stale or the device is not open yet.
    pub fn device_facts(&self, device: DeviceToken) -> Option<DeviceFacts> {
        self.devices.open(device).ok().map(|found| found.facts)
    }

    /// Submits a read of `blocks` blocks from block `lba` on, and returns the number of the operation;
    /// [`Host::command_completed`] brings the buffer back, which must have exactly the size of the blocks.
    ///
    /// # Errors
    ///
    /// When it cannot be submitted; the buffer comes back at once.
    pub fn read_blocks(
        &mut self,
        device: DeviceToken,
        lba: u64,
        blocks: u16,
        buffer: AlignedBuffer,
    ) -> Result<u64, (NvmeRefused, AlignedBuffer)> {
        self.move_blocks(device, NvmeOp::Read, lba, blocks, buffer)
    }

    /// Submits a write of `blocks` blocks from block `lba` on; otherwise as [`read_blocks`](Self::read_blocks).
    ///
    /// # Errors
    ///
    /// When it cannot be submitted; the buffer comes back at once.
    pub fn write_blocks(
        &mut self,
        device: DeviceToken,
        lba: u64,
        blocks: u16,
        buffer: AlignedBuffer,
    ) -> Result<u64, (NvmeRefused, AlignedBuffer)> {
        self.move_blocks(device, NvmeOp::Write, lba, blocks, buffer)
    }

    /// Submits a flush: what has been written is durable when it completes. Writes that are still in flight may or may
    /// not be included.
    ///
    /// # Errors
    ///
    /// When it cannot be submitted.
    pub fn flush_device(&mut self, device: DeviceToken) -> Result<u64, NvmeRefused> {
        let namespace = self.devices.open(device)?.namespace;
        let command = NvmeCommand { opcode: FLUSH, namespace, ..NvmeCommand::default() };
        self.submit_command(device, NvmeOp::Flush, command, None).map_err(|(refused, _)| refused)
    }

    /// Closes a device, once what is in flight on it has ended; [`Host::device_closed`] tells when. A device that is
    /// still being opened is given up, without an event. False when the token is stale or the device is closed already.
    pub fn close_device(&mut self, device: DeviceToken) -> bool {
        let Some(closing) = self.devices.handles.close(device.slot, device.generation) else { return false };
        match closing {
            Closing::CancelOpen => {
                let target = Tag::new(Kind::DeviceOpen as u8, device.slot, device.generation);
                self.submitter.push(Op::Cancel { target }, Kind::CancelOpen, device.slot, device.generation);
            }
            Closing::Later => {}
            Closing::Now => self.close_fixed_device(device),
        }
        true
    }

    /// Devices that occupy a slot, those that are being opened or closed included.
    pub fn open_devices(&self) -> u32 {
        self.devices.handles.used()
    }

    /// NVMe commands in flight.
    pub fn commands(&self) -> u32 {
        self.devices.commands.used()
    }

    fn move_blocks(
        &mut self,
        device: DeviceToken,
        op: NvmeOp,
        lba: u64,
        blocks: u16,
        buffer: AlignedBuffer,
    ) -> Result<u64, (NvmeRefused, AlignedBuffer)> {
        let (namespace, data_len) = match self.check_blocks(device, blocks, buffer.len()) {
            Ok(checked) => checked,
            Err(refused) => return Err((refused, buffer)),
        };
        let command = NvmeCommand {
            opcode: if op == NvmeOp::Read { READ } else { WRITE },
            namespace,
            address: buffer.as_ptr() as u64,
            data_len,
            cdw10: lba as u32,
            cdw11: (lba >> 32) as u32,
            cdw12: u32::from(blocks) - 1,
            ..NvmeCommand::default()
        };
        self.submit_command(device, op, command, Some(buffer))
            .map_err(|(refused, buffer)| (refused, buffer.expect("a refused transfer keeps its buffer")))
    }

    /// The namespace, and the length of the data, of a command that may be submitted.
    fn check_blocks(&self, device: DeviceToken, blocks: u16, len: usize) -> Result<(u32, u32), NvmeRefused> {
        let found = self.devices.open(device)?;
        if blocks == 0 {
            return Err(NvmeRefused::NoBlocks);
        }
        let block_size = found.facts.block_size;
        match u32::from(blocks).checked_mul(block_size) {
            Some(needed) if needed as usize == len => Ok((found.namespace, needed)),
            _ => Err(NvmeRefused::WrongLength { len, blocks, block_size }),
        }
    }

    fn submit_command(
        &mut self,
        device: DeviceToken,
        op: NvmeOp,
        command: NvmeCommand,
        buffer: Option<AlignedBuffer>,
    ) -> Result<u64, (NvmeRefused, Option<AlignedBuffer>)> {
        let limit = self.devices.commands_max;
        if self.devices.commands.used() >= limit {
            return Err((NvmeRefused::TooManyCommands { limit }, buffer));
        }
        let command = Box::new(command);
        // SAFETY: the slot keeps the box, and the buffer that the command names, until the completion.
        let pinned = unsafe { PinnedCommand::new(&raw const *command) };
        let seq = self.next_disk_seq();
        let slot = self.devices.commands.insert(Command { device, op, seq, buffer, _command: command });
        let (slot, generation) = slot.expect("one slot is free, checked above");
        self.devices.handles.begin(device.slot, device.generation);
        let op = Op::NvmeCommand { device: self.fixed_device(device), command: pinned };
        self.submitter.push(op, Kind::NvmeCommand, slot, generation);
        self.submit_ahead();
        Ok(seq)
    }

    pub(super) fn device_open_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let device = DeviceToken { slot: completion.tag.slot(), generation: completion.tag.generation() };
        let index = self.fixed_device(device);
        let Some(&mut Device { namespace, .. }) = self.devices.handles.any_mut(device.slot, device.generation) else {
            self.metrics.stale_completions += 1;
            return;
        };
        let opened: io::Result<DeviceFacts> = completion.outcome().and_then(|result| {
            // SAFETY: the completion of an open is looked at once, here.
            unsafe { self.submitter.kernel.adopt_device(index, result, namespace) }
        });
        match self.devices.handles.opened(device.slot, device.generation, opened.is_ok()) {
            Some(Opened::Told) => {
                if let (Some(found), Ok(facts)) =
                    (self.devices.handles.any_mut(device.slot, device.generation), &opened)
                {
                    found.facts = *facts;
                }
                host.device_opened(device, opened);
            }
            Some(Opened::CloseNow) => self.close_fixed_device(device),
            Some(Opened::Nothing) | None => {}
        }
    }

    pub(super) fn nvme_command_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let tag = completion.tag;
        let Some(command) = self.devices.commands.remove(tag.slot(), tag.generation()) else {
            self.metrics.stale_completions += 1;
            return;
        };
        let Command { device, op, seq, buffer, .. } = command;
        self.disk_operation_ended();
        let drained = self.devices.handles.end(device.slot, device.generation);
        let result = NvmeError::of_result(completion.result);
        host.command_completed(CommandCompletion { device, op, seq, result, buffer });
        if drained {
            self.close_fixed_device(device);
        }
    }

    fn close_fixed_device(&mut self, device: DeviceToken) {
        let op = Op::Close { file: self.fixed_device(device) };
        self.submitter.push(op, Kind::DeviceClose, device.slot, device.generation);
    }

    pub(super) fn device_close_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let device = DeviceToken { slot: completion.tag.slot(), generation: completion.tag.generation() };
        if self.devices.handles.closed(device.slot, device.generation) {
            host.device_closed(device);
        } else {
            self.metrics.stale_completions += 1;
        }
    }

    /// The fixed file of a device: behind those of the files.
    fn fixed_device(&self, device: DeviceToken) -> FileIndex {
        FileIndex(self.settings.first_disk_file() + self.settings.disk.files_max + device.slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_the_opcodes_are_those_of_the_nvm_command_set() {
        assert_eq!([FLUSH, WRITE, READ], [0x00, 0x01, 0x02]);
    }
}
