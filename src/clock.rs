//! Time as an argument. `main.rs` and `app.rs` make the real clock; everything else is handed one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A source of time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { started: Instant, wall_shift_ms: Option<Arc<AtomicI64>> },
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    #[allow(clippy::disallowed_methods, reason = "the one place where the real clock is read")]
    pub fn system() -> Self {
        Self(Source::System { started: Instant::now(), wall_shift_ms: None })
    }

    /// The machine's clock, whose wall time can be set by [`Clock::shift_wall_ms`] as an administrator or a
    /// time server sets it; the other one goes on. For tests.
    #[allow(clippy::disallowed_methods, reason = "the one place where the real clock is read")]
    pub fn settable() -> Self {
        Self(Source::System { started: Instant::now(), wall_shift_ms: Some(Arc::default()) })
    }

    /// Sets how far the wall time of a settable clock is from the machine's; others cannot be set.
    pub fn shift_wall_ms(&self, shift_ms: i64) {
        if let Source::System { wall_shift_ms: Some(shift), .. } = &self.0 {
            shift.store(shift_ms, Ordering::SeqCst);
        }
    }

    /// A clock that stands still until it is told otherwise: for tests and simulation.
    pub fn manual(unix_ms: i64) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(unix_ms))))
    }

    /// Sets a manual clock; the machine's clock cannot be set from here.
    pub fn set_ms(&self, unix_ms: i64) {
        if let Source::Manual(now) = &self.0 {
            now.store(unix_ms, Ordering::SeqCst);
        }
    }

    /// Wall-clock time in Unix milliseconds. May jump in both directions.
    #[allow(clippy::disallowed_methods, reason = "the one place where the real clock is read")]
    pub fn unix_ms(&self) -> u64 {
        match &self.0 {
            Source::System { wall_shift_ms, .. } => {
                let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let shift_ms = wall_shift_ms.as_ref().map_or(0, |ms| ms.load(Ordering::SeqCst));
                (elapsed.as_millis() as u64).saturating_add_signed(shift_ms)
            }
            Source::Manual(now) => now.load(Ordering::SeqCst).max(0) as u64,
        }
    }

    /// Microseconds since the clock was made; never goes backwards on the machine's clock. For rates and
    /// time-outs.
    #[allow(clippy::disallowed_methods, reason = "the one place where the real clock is read")]
    pub fn monotonic_us(&self) -> u64 {
        match &self.0 {
            Source::System { started, .. } => started.elapsed().as_micros() as u64,
            Source::Manual(now) => now.load(Ordering::SeqCst).max(0) as u64 * 1_000,
        }
    }

    /// Processor time that the calling thread has used, in microseconds: its own and the system's for it.
    /// A manual clock has none.
    pub fn thread_cpu_us(&self) -> u64 {
        match &self.0 {
            Source::System { .. } => {
                let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
                used.tv_sec as u64 * 1_000_000 + used.tv_nsec as u64 / 1_000
            }
            Source::Manual(_) => 0,
        }
    }
}
