//! What a worker counts, and its text for Prometheus.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::trace::Tracer;

/// The numbers of one worker. All threads write, the status listener reads.
#[derive(Debug)]
pub struct Metrics {
    partitions: Vec<PartitionMetrics>,
    /// Whether the worker does what it should: it is a member of the group and the ledger takes batches.
    ready: AtomicBool,
    /// Transactions committed.
    pub batches: AtomicU64,
    /// Messages of committed batches, undecodable ones included.
    pub records: AtomicU64,
    /// Orders of committed batches.
    pub orders: AtomicU64,
    /// Messages put aside in the dead-letter topic.
    pub dead_letters: AtomicU64,
    /// Orders whose user id could not be opened.
    pub unopened: AtomicU64,
    /// Batches that failed, or that another worker was ahead of.
    pub failures: AtomicU64,
    /// When the last batch was committed, Unix milliseconds; 0 is never.
    pub committed_at_ms: AtomicU64,
    /// Rows of the evidence that were too old or too many.
    pub evidence_deleted: AtomicU64,
    /// Private keys that open user ids.
    pub seal_keys: AtomicU64,
    /// User ids deleted because their time was over.
    pub expired: AtomicU64,
    tracer: Tracer,
}

/// The numbers of one partition.
#[derive(Debug, Default)]
struct PartitionMetrics {
    assigned: AtomicBool,
    /// The first offset that is not in the ledger, as far as this worker knows.
    next_offset: AtomicU64,
    /// The end of the log.
    end_offset: AtomicU64,
}

impl Metrics {
    /// Of a log with so many partitions, and of the spans that are sent.
    pub fn new(partitions: u32, tracer: Tracer) -> Self {
        Self {
            partitions: (0..partitions).map(|_| PartitionMetrics::default()).collect(),
            ready: AtomicBool::new(false),
            batches: AtomicU64::new(0),
            records: AtomicU64::new(0),
            orders: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            unopened: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            committed_at_ms: AtomicU64::new(0),
            evidence_deleted: AtomicU64::new(0),
            seal_keys: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            tracer,
        }
    }

    /// Says which partitions are this worker's.
    pub fn assign(&self, partitions: &[i32]) {
        for (number, partition) in (0..).zip(&self.partitions) {
            partition.assigned.store(partitions.contains(&number), Ordering::Relaxed);
        }
    }

    /// Says how far a partition is in the ledger.
    pub fn advance(&self, partition: i32, next_offset: u64) {
        if let Some(partition) = self.partitions.get(partition as usize) {
            partition.next_offset.store(next_offset, Ordering::Relaxed);
        }
    }

    /// Says where a partition of the log ends.
    pub fn ends_at(&self, partition: i32, end_offset: u64) {
        if let Some(partition) = self.partitions.get(partition as usize) {
            partition.end_offset.store(end_offset, Ordering::Relaxed);
        }
    }

    /// Says whether the worker does what it should.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Whether the worker does what it should.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Records in this worker's partitions that are not in the ledger.
    pub fn lag(&self) -> u64 {
        let assigned = self.partitions.iter().filter(|p| p.assigned.load(Ordering::Relaxed));
        assigned.map(PartitionMetrics::lag).sum()
    }

    /// The text for Prometheus. `now_ms` is the time, Unix milliseconds.
    pub fn render(&self, now_ms: u64) -> String {
        let mut text = String::new();
        let get = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let mut metric = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
            // Writing to a String does not fail.
            let _ = writeln!(text, "# HELP flux_gate_worker_{name} {help}");
            let _ = writeln!(text, "# TYPE flux_gate_worker_{name} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(text, "flux_gate_worker_{name}{labels} {value}");
            }
        };
        let one = |value| [(String::new(), value)];
        for (name, help, value) in [
            ("batches_total", "Transactions committed", &self.batches),
            ("records_total", "Messages of committed batches", &self.records),
            ("orders_total", "Orders of committed batches", &self.orders),
            (
                "dead_letters_total",
                "Messages put aside in the dead-letter topic",
                &self.dead_letters,
            ),
            ("unopened_total", "Orders whose user id could not be opened", &self.unopened),
            ("failures_total", "Batches that failed or came too late", &self.failures),
            (
                "evidence_deleted_total",
                "Rows of the evidence that were too old or too many",
                &self.evidence_deleted,
            ),
            ("expired_total", "User ids deleted because their time was over", &self.expired),
        ] {
            metric(name, "counter", help, &one(get(value)));
        }
        let ready = "1 if the worker does what it should";
        metric("ready", "gauge", ready, &one(u64::from(self.is_ready())));
        let keys = "Private keys that open user ids";
        metric("seal_keys", "gauge", keys, &one(get(&self.seal_keys)));
        let committed_at_ms = get(&self.committed_at_ms);
        if committed_at_ms > 0 {
            let age = now_ms.saturating_sub(committed_at_ms) / 1_000;
            metric("last_commit_age_seconds", "gauge", "Since the last commit", &one(age));
        }
        let each = |of: fn(&PartitionMetrics) -> u64| -> Vec<_> {
            let numbered = self.partitions.iter().enumerate();
            let assigned = numbered.filter(|(_, p)| p.assigned.load(Ordering::Relaxed));
            assigned.map(|(number, p)| (format!("{{partition=\"{number}\"}}"), of(p))).collect()
        };
        let next = each(|p| p.next_offset.load(Ordering::Relaxed));
        metric("next_offset", "gauge", "The first offset that is not in the ledger", &next);
        let end = each(|p| p.end_offset.load(Ordering::Relaxed));
        metric("end_offset", "gauge", "The end of the log", &end);
        let lag = each(PartitionMetrics::lag);
        metric("lag_records", "gauge", "Records that are not in the ledger yet", &lag);
        if let Some(counts) = self.tracer.counts() {
            let spans = counts.spans().map(|(word, n)| (format!("{{word=\"{word}\"}}"), n));
            let help = "Spans, by what became of them";
            metric("trace_spans_total", "counter", help, &spans);
        }
        text
    }
}

impl PartitionMetrics {
    fn lag(&self) -> u64 {
        let end = self.end_offset.load(Ordering::Relaxed);
        end.saturating_sub(self.next_offset.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_that_of_the_assigned_partitions() {
        let metrics = Metrics::new(3, Tracer::default());
        for partition in 0..3 {
            metrics.ends_at(partition, 100);
            metrics.advance(partition, 90 + partition as u64);
        }
        metrics.assign(&[0, 2]);
        assert_eq!(metrics.lag(), 10 + 8);
        let text = metrics.render(0);
        assert!(text.contains("flux_gate_worker_lag_records{partition=\"2\"} 8\n"), "{text}");
        assert!(!text.contains("partition=\"1\""), "{text}");
        metrics.advance(0, 101);
        assert_eq!(metrics.lag(), 8);
    }
}
