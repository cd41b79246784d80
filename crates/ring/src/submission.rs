//! Operations as submission queue entries: the one place that knows opcodes and their flags.

use io_uring::squeue::Entry;
use io_uring::{opcode, types};

use crate::{Direction, Op};

/// Sends never raise SIGPIPE, and never wait: with MSG_DONTWAIT the kernel completes them while it takes the
/// submission, with a short count or −EAGAIN, instead of arming a poll and sending at a time of its own choice.
const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;

/// A link of a chain waits instead: it would break the chain by coming back short.
const SEND_ALL_FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;

/// Asks that the notification of a zero-copy send says whether the kernel copied (IORING_SEND_ZC_REPORT_USAGE, which the
/// io-uring crate does not export).
const REPORT_USAGE: u16 = 1 << 3;

/// The entry for an operation. Where `op` is a constant variant, the match folds away.
#[inline(always)]
pub(crate) fn entry(op: Op, doorbell: std::os::fd::RawFd) -> Entry {
    match op {
        Op::AcceptMultishot { listener } => {
            opcode::AcceptMulti::new(types::Fixed(listener.0)).flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK).build()
        }
        Op::ReceiveMultishot { file, group } => opcode::RecvMulti::new(types::Fixed(file.0), group).build(),
        Op::ReceiveDatagrams { file, group, template } => {
            opcode::RecvMsgMulti::new(types::Fixed(file.0), template.0, group).build()
        }
        Op::Send { file, bytes } => {
            opcode::Send::new(types::Fixed(file.0), bytes.address, bytes.len).flags(SEND_FLAGS).build()
        }
        Op::SendMessage { file, message } => {
            opcode::SendMsg::new(types::Fixed(file.0), message.0).flags(SEND_FLAGS as u32).build()
        }
        Op::SendMessageAll { file, message } => {
            opcode::SendMsg::new(types::Fixed(file.0), message.0).flags(SEND_ALL_FLAGS as u32).build()
        }
        Op::SendZeroCopy { file, bytes, buffer } => opcode::SendZc::new(types::Fixed(file.0), bytes.address, bytes.len)
            .flags(SEND_FLAGS)
            .buf_index(buffer)
            .zc_flags(REPORT_USAGE)
            .build(),
        Op::SendMessageZeroCopy { file, message } => opcode::SendMsgZc::new(types::Fixed(file.0), message.0)
            .flags(SEND_FLAGS as u32)
            .ioprio(REPORT_USAGE)
            .build(),
        Op::PollWritable { file } => opcode::PollAdd::new(types::Fixed(file.0), libc::POLLOUT as u32).build(),
        Op::Connect { file, address } => {
            // SAFETY: whoever made the pinned address promised that it stays until the operation completes.
            let address = unsafe { &*address.0 };
            opcode::Connect::new(types::Fixed(file.0), address.as_ptr(), address.len()).build()
        }
        Op::Shutdown { file, direction } => {
            let how = match direction {
                Direction::Write => libc::SHUT_WR,
                Direction::Both => libc::SHUT_RDWR,
            };
            opcode::Shutdown::new(types::Fixed(file.0), how).build()
        }
        Op::Close { file } => opcode::Close::new(types::Fixed(file.0)).build(),
        Op::Cancel { target } => opcode::AsyncCancel::new(target.bits()).build(),
        Op::PollDoorbell => opcode::PollAdd::new(types::Fd(doorbell), libc::POLLIN as u32).multi(true).build(),
    }
}
