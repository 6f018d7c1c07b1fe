//! How often each answer was given. A thread counts in a block of its own; a scrape adds the blocks up.

use std::sync::atomic::{AtomicU64, Ordering};

use super::code::Code;

/// The counts of one thread.
#[derive(Debug)]
#[repr(align(128))] // no two threads share a cache line
pub struct Counters([AtomicU64; Code::COUNT]);

impl Default for Counters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Counters {
    /// Counts one answer.
    pub fn count(&self, code: Code) {
        self.0[code as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often `code` was given.
    pub fn get(&self, code: Code) -> u64 {
        self.0[code as usize].load(Ordering::Relaxed)
    }
}
