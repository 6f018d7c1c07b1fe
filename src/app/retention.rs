//! The thread "retention" of one node: deletes what is too old, and has it written into the audit trail.
//!
//! Of many nodes the workers do it. What else has an end sees to it itself: the audit trail by its segments,
//! passes and sessions by their times, pseudonyms of addresses by their key.

use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use serde_json::{Value, json};

use super::STORE_FAILED_EXIT_CODE;
use crate::audit::{Kind, Trail};
use crate::clock::Clock;
use crate::config::privacy::Privacy;
use crate::log::SqliteLog;

const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// The running thread.
pub(super) struct Retention {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What it works with.
pub(super) struct Parts {
    pub log: SqliteLog,
    pub trail: Trail,
    pub clock: Clock,
    pub privacy: Privacy,
    /// Erasures that were done again at the start.
    pub erased_again: usize,
}

impl Retention {
    /// Starts it; the first look is at once.
    pub(super) fn start(parts: Parts) -> std::io::Result<Self> {
        let (stop, stopped) = bounded::<()>(0);
        let every = Duration::from_secs(parts.privacy.retention_minutes.saturating_mul(60));
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let thread = std::thread::Builder::new().name("retention".to_owned()).spawn(move || {
            let record = |fields| runtime.block_on(record(&parts.trail, fields));
            if parts.erased_again > 0 {
                let count = parts.erased_again;
                record(json!({ "what": "erasures_done_again", "count": count }));
            }
            loop {
                expire(&parts, &record);
                if stopped.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Ends it, after what it is at.
    pub(super) fn stop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that deletes what is too old panicked");
        }
    }
}

fn expire(parts: &Parts, record: &impl Fn(Value)) {
    let days = parts.privacy.subjects_days;
    let before_ms = parts.clock.unix_ms().saturating_sub(days.saturating_mul(DAY_MS));
    match parts.log.expire_subjects(before_ms) {
        Ok(0) => {}
        Ok(count) => {
            tracing::info!(count, "user ids of sales that were archived long ago are deleted");
            record(json!({ "what": "user_ids", "count": count, "before_ms": before_ms }));
        }
        Err(error) => {
            tracing::error!(%error, "the store failed; ending the process so that nothing is lost");
            std::process::exit(STORE_FAILED_EXIT_CODE);
        }
    }
}

/// What is done is done: that it cannot be written down is told in the log.
async fn record(trail: &Trail, fields: Value) {
    if let Err(error) = trail.record(Kind::Retention, fields).await {
        tracing::error!(%error, "what was deleted is not in the trail");
    }
}
