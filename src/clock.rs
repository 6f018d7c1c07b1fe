//! Time as an argument. `main.rs` and `app.rs` make the real clock; everything else is handed one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A source of time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { started: Instant },
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    #[allow(clippy::disallowed_methods, reason = "the one place where the real clock is read")]
    pub fn system() -> Self {
        Self(Source::System { started: Instant::now() })
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
            Source::System { .. } => {
                let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                elapsed.as_millis() as u64
            }
            Source::Manual(now) => now.load(Ordering::SeqCst).max(0) as u64,
        }
    }

    /// Microseconds since the clock was made; never goes backwards on the machine's clock. For rates and
    /// time-outs.
    #[allow(clippy::disallowed_methods, reason = "the one place where the real clock is read")]
    pub fn monotonic_us(&self) -> u64 {
        match &self.0 {
            Source::System { started } => started.elapsed().as_micros() as u64,
            Source::Manual(now) => now.load(Ordering::SeqCst).max(0) as u64 * 1_000,
        }
    }
}
