//! How far each partition has been applied, and the digests that prove what.
//!
//! The follower alone writes; others read. A digest is kept at every [`CHECKPOINT_OFFSETS`] offsets, so that
//! two who follow the same log can compare what they have applied without having stopped at the same place.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::chain::{Digest, Link};
use crate::snapshot::{CHECKPOINT_OFFSETS, CHECKPOINTS_KEPT, PartitionHead};

/// The heads of all partitions.
pub(super) struct Heads {
    partitions: Vec<Partition>,
}

struct Partition {
    /// The first offset that has not been applied, once everything before it can be seen by readers.
    applied: AtomicU64,
    head: Mutex<Head>,
}

/// Where a partition's chain stands.
pub(super) struct Head {
    pub at: PartitionHead,
    /// Digests by the offset that comes next, in rising order.
    checkpoints: VecDeque<(u64, Digest)>,
}

impl Heads {
    /// From the heads of all partitions, in their order.
    pub(super) fn new(heads: &[PartitionHead]) -> Self {
        let partitions = heads.iter().map(|head| Partition {
            applied: AtomicU64::new(head.next_offset),
            head: Mutex::new(Head {
                at: head.clone(),
                checkpoints: VecDeque::from([(head.next_offset, head.digest)]),
            }),
        });
        Self { partitions: partitions.collect() }
    }

    /// The head of a partition, for the follower.
    pub(super) fn head(&self, partition: i32) -> Option<parking_lot::MutexGuard<'_, Head>> {
        Some(self.partitions.get(usize::try_from(partition).ok()?)?.head.lock())
    }

    /// Says that readers see everything before `next_offset`.
    pub(super) fn mark_applied(&self, partition: i32, next_offset: u64) {
        if let Some(partition) = self.partitions.get(partition as usize) {
            partition.applied.store(next_offset, Ordering::Release);
        }
    }

    /// The first offset of each partition that has not been applied.
    pub(super) fn applied(&self) -> Vec<u64> {
        self.partitions.iter().map(|partition| partition.applied.load(Ordering::Acquire)).collect()
    }

    /// Whether readers see everything before these offsets.
    pub(super) fn reached(&self, ends: &[u64]) -> bool {
        let applied = |partition: &Partition| partition.applied.load(Ordering::Acquire);
        self.partitions.iter().zip(ends).all(|(partition, end)| applied(partition) >= *end)
    }

    /// The heads, in the order of the partitions.
    pub(super) fn snapshot(&self) -> Vec<PartitionHead> {
        self.partitions.iter().map(|partition| partition.head.lock().at.clone()).collect()
    }

    /// The digest of a partition when `next_offset` was the next one to be applied; `None` if it is not
    /// kept (any more).
    pub(super) fn digest_at(&self, partition: i32, next_offset: u64) -> Option<Digest> {
        let head = self.head(partition)?;
        if head.at.next_offset == next_offset {
            return Some(head.at.digest);
        }
        let found =
            head.checkpoints.binary_search_by_key(&next_offset, |(offset, _)| *offset).ok()?;
        Some(head.checkpoints[found].1)
    }
}

impl Head {
    /// Goes on by one record.
    pub(super) fn advance(&mut self, link: &Link<'_>, outcome: &'static str, buffer: &mut Vec<u8>) {
        self.at.advance(link, outcome, buffer);
        if self.at.next_offset.is_multiple_of(CHECKPOINT_OFFSETS) {
            if self.checkpoints.len() >= CHECKPOINTS_KEPT as usize {
                self.checkpoints.pop_front();
            }
            self.checkpoints.push_back((self.at.next_offset, self.at.digest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(offset: u64, outcome: &str) -> Link<'_> {
        Link { offset, log_time_ms: 1, product: "shoe", record: b"{}", outcome }
    }

    fn advanced(records: u64) -> Heads {
        let heads = Heads::new(&[PartitionHead::beginning(0), PartitionHead::beginning(1)]);
        let mut head = heads.head(1).unwrap();
        for offset in 0..records {
            head.advance(&link(offset, "confirmed"), "confirmed", &mut Vec::new());
        }
        drop(head);
        heads
    }

    #[test]
    fn a_snapshot_proves_its_last_record() {
        let heads = advanced(3);
        let snapshot = heads.snapshot();
        assert_eq!(snapshot[0], PartitionHead::beginning(0));
        assert_eq!((snapshot[1].partition, snapshot[1].next_offset), (1, 3));
        let again = Heads::new(&snapshot);
        let head = again.head(1).unwrap();
        assert!(head.at.ends_with(&link(2, ""), &mut Vec::new()));
        assert!(!head.at.ends_with(&link(1, ""), &mut Vec::new()));
        let altered = PartitionHead { last_outcome: "sold_out".into(), ..head.at.clone() };
        assert!(!altered.ends_with(&link(2, ""), &mut Vec::new()));
    }

    #[test]
    fn digests_are_kept_at_round_offsets_and_the_oldest_go_first() {
        let last = CHECKPOINT_OFFSETS * (CHECKPOINTS_KEPT + 2);
        let heads = advanced(last + 7);
        assert_eq!(heads.digest_at(1, last), advanced(last).digest_at(1, last));
        assert!(heads.digest_at(1, last + 7).is_some());
        assert!(heads.digest_at(1, last + 1).is_none());
        assert!(heads.digest_at(1, CHECKPOINT_OFFSETS).is_none());
        assert!(heads.digest_at(2, 0).is_none());
        assert_eq!(heads.digest_at(0, 0), Some(crate::chain::genesis()));
    }

    #[test]
    fn an_end_is_reached_when_every_partition_is_applied_to_it() {
        let heads = advanced(0);
        assert!(heads.reached(&[0, 0]));
        heads.mark_applied(1, 5);
        assert!(heads.reached(&[0, 5]));
        assert!(!heads.reached(&[1, 5]));
        assert_eq!(heads.applied(), [0, 5]);
    }
}
