//! How far the worker is behind while orders come in: looked at from a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::cluster::{Books, Cluster};

/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// Looks until it is stopped.
pub struct Lag {
    stop: Arc<AtomicBool>,
    records_max: Arc<AtomicU64>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Lag {
    /// Starts to look.
    ///
    /// # Errors
    /// The stores refuse.
    pub fn watch(cluster: &Cluster<'_>) -> anyhow::Result<Self> {
        let books = cluster.books()?;
        let (stop, records_max) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let shared = (stop.clone(), records_max.clone());
        let thread = Some(std::thread::spawn(move || look(books, &shared.0, &shared.1)));
        Ok(Self { stop, records_max, thread })
    }

    /// Stops, and tells the most records that the ledger was behind the log.
    ///
    /// # Errors
    /// A store did not answer.
    pub fn stop(mut self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result?,
            Some(Err(_)) => anyhow::bail!("the thread that looks at the lag panicked"),
            None => {}
        }
        Ok(self.records_max.load(Ordering::Relaxed))
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn look(mut books: Books, stop: &AtomicBool, records_max: &AtomicU64) -> anyhow::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        records_max.fetch_max(books.lag()?, Ordering::Relaxed);
        std::thread::sleep(EVERY);
    }
    Ok(())
}
