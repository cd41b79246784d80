//! What happened, as a hash by which two runs are compared, and its last few steps for the message of a failed check.

use std::collections::VecDeque;
use std::fmt::Write;

/// How many steps a failed check prints.
const RECENT_MAX: usize = 40;

/// One step of a run.
#[derive(Clone, Copy)]
struct Step {
    at_ns: u64,
    what: &'static str,
    subject: u64,
    value: i64,
}

/// The record of a run.
#[derive(Default)]
pub(crate) struct Trace {
    hash: u64,
    recent: VecDeque<Step>,
}

impl Trace {
    /// Records a step. `subject` is a tag, a file or a buffer; `value` a result or a count.
    pub(crate) fn step(&mut self, at_ns: u64, what: &'static str, subject: u64, value: i64) {
        for word in [at_ns, subject, value as u64] {
            self.mix(word);
        }
        self.bytes(what.as_bytes());
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Step { at_ns, what, subject, value });
    }

    /// Records bytes that crossed the kernel's border.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        self.mix(bytes.len() as u64);
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    /// The last steps, one a line.
    pub(crate) fn recent(&self) -> String {
        self.recent.iter().fold(String::new(), |mut text, step| {
            let _ = writeln!(text, "  {:>10} ns  {:<12} {:#018x}  {}", step.at_ns, step.what, step.subject, step.value);
            text
        })
    }

    fn mix(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517C_C1B7_2722_0A95);
    }
}
