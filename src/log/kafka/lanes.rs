//! Self-clocking batches: of each partition one batch is under way at a time, and what comes meanwhile
//! gathers for the next one.
//!
//! The client library has a setting for this (`max.in.flight=1`), but an idempotent producer that holds
//! records back for a batch under way asks itself without a pause whether it may send them: half a core.
//! So records wait here, and the library gets a batch when nothing else is on its way.

use parking_lot::Mutex;

/// Records of one batch: what fits into one request of the library's usual size, at 400 bytes each.
pub(super) const BATCH_RECORDS_MAX: usize = 2_000;

/// What waits and what is under way, of each partition. Shared by the threads that send and the one that
/// takes in reports.
pub(super) struct Lanes<T> {
    lanes: Vec<Mutex<Lane<T>>>,
    waiting_max: usize,
}

struct Lane<T> {
    /// The producer that this lane's reports come from; those of earlier ones do not count.
    producer: u64,
    under_way: usize,
    waiting: Vec<T>,
}

/// What becomes of a record that is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// Nothing is under way: it goes now, and counts as under way.
    Now,
    /// It goes with the next batch.
    Waits,
    /// As many as may wait do.
    Full,
}

impl<T> Lanes<T> {
    /// Lanes for so many partitions, with room for so many records that wait in each.
    pub(super) fn new(partitions: u32, waiting_max: usize) -> Self {
        let lane = || Mutex::new(Lane { producer: 0, under_way: 0, waiting: Vec::new() });
        Self { lanes: (0..partitions).map(|_| lane()).collect(), waiting_max }
    }

    /// Takes a record in; it is only made if it has to wait.
    pub(super) fn enter(&self, partition: i32, record: impl FnOnce() -> T) -> Entered {
        let Some(lane) = self.lane(partition) else { return Entered::Full };
        let mut lane = lane.lock();
        if lane.under_way == 0 {
            lane.under_way = 1;
            return Entered::Now;
        }
        if lane.waiting.len() >= self.waiting_max {
            return Entered::Full;
        }
        lane.waiting.push(record());
        Entered::Waits
    }

    /// A record of this producer's is not under way any more, whatever became of it. Returns the next batch
    /// if it was the last one; that counts as under way then.
    pub(super) fn reported(&self, partition: i32, producer: u64) -> Vec<T> {
        let Some(lane) = self.lane(partition) else { return Vec::new() };
        let mut lane = lane.lock();
        if lane.producer != producer {
            return Vec::new();
        }
        lane.under_way = lane.under_way.saturating_sub(1);
        if lane.under_way == 0 { lane.next_batch() } else { Vec::new() }
    }

    /// Another producer takes over: nothing of the one before is under way any more. Returns the first
    /// batch of each partition.
    pub(super) fn replaced(&self, producer: u64) -> Vec<(i32, Vec<T>)> {
        let next = |(lane, partition): (&Mutex<Lane<T>>, i32)| {
            let mut lane = lane.lock();
            lane.producer = producer;
            (partition, lane.next_batch())
        };
        self.lanes.iter().zip(0..).map(next).collect()
    }

    fn lane(&self, partition: i32) -> Option<&Mutex<Lane<T>>> {
        self.lanes.get(usize::try_from(partition).ok()?)
    }
}

impl<T> Lane<T> {
    fn next_batch(&mut self) -> Vec<T> {
        let count = self.waiting.len().min(BATCH_RECORDS_MAX);
        let rest = self.waiting.split_off(count);
        self.under_way = count;
        std::mem::replace(&mut self.waiting, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Vec<u32> = Vec::new();

    #[test]
    fn what_comes_while_a_batch_is_under_way_goes_together() {
        let lanes = Lanes::new(2, 10);
        assert_eq!(lanes.enter(0, || 1), Entered::Now);
        assert_eq!(lanes.enter(0, || 2), Entered::Waits);
        assert_eq!(lanes.enter(0, || 3), Entered::Waits);
        assert_eq!(lanes.enter(1, || 4), Entered::Now, "partitions do not wait for each other");
        assert_eq!(lanes.reported(0, 0), [2, 3]);
        assert_eq!(lanes.enter(0, || 5), Entered::Waits);
        assert_eq!(lanes.reported(0, 0), NONE);
        assert_eq!(lanes.reported(0, 0), [5], "both are done");
        assert_eq!(lanes.reported(0, 0), NONE);
        assert_eq!(lanes.enter(0, || 6), Entered::Now);
    }

    #[test]
    fn a_lane_has_an_end_and_so_has_a_batch() {
        let waiting_max = BATCH_RECORDS_MAX + 1;
        let lanes = Lanes::new(1, waiting_max);
        assert_eq!(lanes.enter(0, || 0), Entered::Now);
        for record in 0..waiting_max {
            assert_eq!(lanes.enter(0, || record), Entered::Waits);
        }
        assert_eq!(lanes.enter(0, || 0), Entered::Full);
        assert_eq!(lanes.reported(0, 0).len(), BATCH_RECORDS_MAX);
        assert_eq!(lanes.enter(0, || 7), Entered::Waits, "the one that is left keeps its place");
        for _ in 1..BATCH_RECORDS_MAX {
            assert!(lanes.reported(0, 0).is_empty());
        }
        assert_eq!(lanes.reported(0, 0), [waiting_max - 1, 7]);
    }

    #[test]
    fn reports_of_a_producer_that_was_replaced_do_not_count() {
        let lanes = Lanes::new(1, 10);
        assert_eq!(lanes.enter(0, || 1), Entered::Now);
        assert_eq!(lanes.enter(0, || 2), Entered::Waits);
        assert_eq!(lanes.replaced(1), [(0, vec![2])]);
        assert_eq!(lanes.enter(0, || 3), Entered::Waits);
        assert_eq!(lanes.reported(0, 0), NONE);
        assert_eq!(lanes.reported(0, 1), [3]);
    }

    #[test]
    fn a_partition_that_is_not_there_takes_nothing() {
        let lanes = Lanes::new(1, 10);
        assert_eq!(lanes.enter(1, || 1), Entered::Full);
        assert_eq!(lanes.enter(-1, || 1), Entered::Full);
    }
}
