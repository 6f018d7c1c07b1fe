//! The thread "worker-lag": asks where the log ends, so that lag can be seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::metrics::Metrics;
use crate::log::kafka::client;

/// Between two looks, and how often the thread looks whether to stop.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const STOP_EVERY: Duration = Duration::from_millis(50);
/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Asks until it is told to stop.
pub(super) fn watch(
    asker: &BaseConsumer<client::Context>,
    topic: &str,
    partitions: u32,
    metrics: &Arc<Metrics>,
    stopping: &AtomicBool,
) {
    while !stopping.load(Ordering::Relaxed) {
        for partition in 0..partitions as i32 {
            if stopping.load(Ordering::Relaxed) {
                return;
            }
            // The client tells of its troubles itself; an old end is better than none.
            if let Ok((_, end)) = asker.fetch_watermarks(topic, partition, ANSWER_MAX) {
                metrics.ends_at(partition, end.max(0) as u64);
            }
        }
        let mut waited = Duration::ZERO;
        while waited < LOOK_EVERY && !stopping.load(Ordering::Relaxed) {
            std::thread::sleep(STOP_EVERY);
            waited += STOP_EVERY;
        }
    }
}
