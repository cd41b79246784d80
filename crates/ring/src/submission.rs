//! Operations as submission queue entries: the one place that knows opcodes and their flags.

use std::os::fd::RawFd;

use io_uring::squeue::{Entry, Entry128, Flags};
use io_uring::{opcode, types};

use crate::descriptors::Descriptors;
use crate::{Direction, FileIndex, NVME_URING_CMD_IO, Op, OpenHow};

/// Sends never raise SIGPIPE, and never wait: with MSG_DONTWAIT the kernel completes them while it takes the
/// submission, with a short count or −EAGAIN, instead of arming a poll and sending at a time of its own choice.
const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;

/// With MSG_WAITALL a short count is a failure, which IOSQE_CQE_SKIP_SUCCESS does not skip; with MSG_DONTWAIT the kernel
/// still does not wait.
const SEND_WHOLE_FLAGS: i32 = SEND_FLAGS | libc::MSG_WAITALL;

/// A link of a chain waits instead: it would break the chain by coming back short.
const SEND_ALL_FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;

/// Permissions of a file that an open creates, before the umask of the process takes some away.
const CREATE_MODE: libc::mode_t = 0o666;

/// O_NONBLOCK is not among them: a ring answers −EAGAIN on such a file where it would otherwise wait in a kernel thread.
const fn open_flags(how: OpenHow) -> i32 {
    let access = if how.write { libc::O_RDWR } else { libc::O_RDONLY };
    let create = if how.create { libc::O_CREAT } else { 0 };
    let direct = if how.direct { libc::O_DIRECT } else { 0 };
    libc::O_CLOEXEC | access | create | direct
}

/// Asks that the notification of a zero-copy send says whether the kernel copied (IORING_SEND_ZC_REPORT_USAGE, which the
/// io-uring crate does not export).
const REPORT_USAGE: u16 = 1 << 3;

/// The entry for an operation, with `$target` to make a file index what the entry names it by.
macro_rules! entry {
    ($op:expr, $doorbell:expr, $target:expr) => {
        match $op {
            Op::AcceptMultishot { listener } => {
                opcode::AcceptMulti::new($target(listener)).flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK).build()
            }
            Op::ReceiveMultishot { file, group } => opcode::RecvMulti::new($target(file), group).build(),
            Op::ReceiveDatagrams { file, group, template } => {
                opcode::RecvMsgMulti::new($target(file), template.0, group).build()
            }
            Op::Send { file, bytes } => {
                opcode::Send::new($target(file), bytes.address, bytes.len).flags(SEND_FLAGS).build()
            }
            Op::SendSilently { file, bytes } => opcode::Send::new($target(file), bytes.address, bytes.len)
                .flags(SEND_WHOLE_FLAGS)
                .build()
                .flags(Flags::SKIP_SUCCESS),
            Op::SendMessage { file, message } => {
                opcode::SendMsg::new($target(file), message.0).flags(SEND_FLAGS as u32).build()
            }
            Op::SendMessageAll { file, message } => {
                opcode::SendMsg::new($target(file), message.0).flags(SEND_ALL_FLAGS as u32).build()
            }
            Op::SendZeroCopy { file, bytes, buffer } => opcode::SendZc::new($target(file), bytes.address, bytes.len)
                .flags(SEND_FLAGS)
                .buf_index(buffer)
                .zc_flags(REPORT_USAGE)
                .build(),
            Op::SendMessageZeroCopy { file, message } => {
                opcode::SendMsgZc::new($target(file), message.0).flags(SEND_FLAGS as u32).ioprio(REPORT_USAGE).build()
            }
            Op::PollWritable { file } => opcode::PollAdd::new($target(file), libc::POLLOUT as u32).build(),
            Op::Connect { file, address } => {
                // SAFETY: whoever made the pinned address promised that it stays until the operation completes.
                let address = unsafe { &*address.0 };
                opcode::Connect::new($target(file), address.as_ptr(), address.len()).build()
            }
            Op::Shutdown { file, direction } => {
                let how = match direction {
                    Direction::Write => libc::SHUT_WR,
                    Direction::Both => libc::SHUT_RDWR,
                };
                opcode::Shutdown::new($target(file), how).build()
            }
            Op::Open { path, how } => {
                opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), path.0).flags(open_flags(how)).mode(CREATE_MODE).build()
            }
            Op::Read { file, buffer, offset, region: None } => {
                opcode::Read::new($target(file), buffer.address, buffer.len).offset(offset).build()
            }
            Op::Read { file, buffer, offset, region: Some(region) } => {
                opcode::ReadFixed::new($target(file), buffer.address, buffer.len, region).offset(offset).build()
            }
            Op::Write { file, bytes, offset, region: None } => {
                opcode::Write::new($target(file), bytes.address, bytes.len).offset(offset).build()
            }
            Op::Write { file, bytes, offset, region: Some(region) } => {
                opcode::WriteFixed::new($target(file), bytes.address, bytes.len, region).offset(offset).build()
            }
            Op::Fsync { file } => opcode::Fsync::new($target(file)).build(),
            Op::Close { file } => opcode::Close::new($target(file)).build(),
            Op::Cancel { target } => opcode::AsyncCancel::new(target.bits()).build(),
            Op::PollDoorbell => opcode::PollAdd::new(types::Fd($doorbell), libc::POLLIN as u32).multi(true).build(),
            Op::PollReadable { descriptor } => opcode::PollAdd::new(types::Fd(descriptor), libc::POLLIN as u32).build(),
            Op::NvmeCommand { .. } => panic!("NVMe commands need a ring with wide entries"),
        }
    };
}

/// The entry for an NVMe command.
macro_rules! nvme {
    ($target:expr, $command:expr) => {{
        // SAFETY: whoever made the pinned command promised that it stays until the operation completes.
        let command = unsafe { &*$command.0 };
        opcode::UringCmd80::new($target, NVME_URING_CMD_IO).cmd(command.bytes()).build()
    }};
}

/// The entry for an operation on fixed files. Where `op` is a constant variant, the match folds away.
#[inline(always)]
pub(crate) fn entry(op: Op, doorbell: RawFd) -> Entry {
    entry!(op, doorbell, fixed)
}

#[inline(always)]
fn fixed(file: FileIndex) -> types::Fixed {
    types::Fixed(file.0)
}

/// The entry for an operation on plain descriptors. A close is done here and now, and the ring merely tells of it: the
/// descriptor's number may be somebody else's as soon as it is closed, so no later moment would do.
pub(crate) fn plain_entry(op: Op, doorbell: RawFd, descriptors: &mut Descriptors) -> Entry {
    match op {
        Op::Close { file } if descriptors.remove(file) => opcode::Nop::new().build(),
        op => entry!(op, doorbell, |file: FileIndex| types::Fd(descriptors.get(file))),
    }
}

/// The entry for an operation on a ring with wide entries; `descriptors` where it has no fixed files.
pub(crate) fn wide_entry(op: Op, doorbell: RawFd, descriptors: Option<&mut Descriptors>) -> Entry128 {
    match (op, descriptors) {
        (Op::NvmeCommand { device, command }, None) => nvme!(types::Fixed(device.0), command),
        (Op::NvmeCommand { device, command }, Some(descriptors)) => nvme!(types::Fd(descriptors.get(device)), command),
        (op, None) => entry(op, doorbell).into(),
        (op, Some(descriptors)) => plain_entry(op, doorbell, descriptors).into(),
    }
}
