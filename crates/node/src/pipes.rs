//! Pipes between connections of one worker, as JavaScript asks for them and hears of them.
//!
//! JavaScript may have records of the source that it has not read. So a pipe begins held: PIPE_HELD stands behind the last
//! of those records, and what they name is sent by JavaScript before it lets the pipe flow with PIPE_START. Each PIPE is
//! answered with PIPE_ENDED exactly once, whatever becomes of it, except by a worker that has ended.

use ringline::driver::{ConnToken, Driver, PipeEnd, PipeRefused};
use ringline_ring::Kernel;

use crate::bridge::Bridge;
use crate::protocol::{Record, completion, pipe_end};

/// Carries out a PIPE.
pub(crate) fn pipe<K: Kernel>(record: Record, driver: &mut Driver<K>, bridge: &mut Bridge<K>) {
    let from = ConnToken::from_parts(record.slot, record.generation);
    let [slot, generation, key, ..] = record.values;
    let to = ConnToken::from_parts(slot, generation);
    let told = match driver.pipe(from, to, u64::from(key)) {
        Ok(()) => Record::of_worker(completion::PIPE_HELD, key),
        Err(PipeRefused::SourceClosed | PipeRefused::SourceBusy) => ended(key, 0, PipeEnd::SourceFailed(0)),
        Err(PipeRefused::TargetClosed | PipeRefused::TargetBusy) => ended(key, 0, PipeEnd::TargetFailed(0)),
    };
    bridge.tell(told);
}

/// What JavaScript is told of the end of a pipe.
pub(crate) fn ended(key: u32, moved: u64, end: PipeEnd) -> Record {
    let (how, errno) = match end {
        PipeEnd::Finished => (pipe_end::PIPE_FINISHED, 0),
        PipeEnd::Stopped => (pipe_end::PIPE_STOPPED, 0),
        PipeEnd::SourceFailed(errno) => (pipe_end::PIPE_SOURCE_FAILED, errno),
        PipeEnd::TargetFailed(errno) => (pipe_end::PIPE_TARGET_FAILED, errno),
    };
    Record::new(completion::PIPE_ENDED, 0, 0, [key, how, errno as u32, moved as u32, (moved >> 32) as u32])
}
