//! Who waits for which record of this process to be read back.
//!
//! A record is known by the counter in its nonce. Its entry is taken out with the first record that carries
//! it, so a replayed record answers nobody. Counters rise, so the oldest entries are the first ones.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// How long an entry waits at most, in microseconds: longer than the producer tries to send and than any
/// request waits for its answer.
pub(super) const WAIT_US_MAX: u64 = 12_000_000;

/// The tickets of those who wait. Shared by the threads that send and the one that reads.
pub(super) struct Waiting<T> {
    entries: Mutex<Entries<T>>,
    entries_max: usize,
}

struct Entries<T> {
    by_counter: BTreeMap<u64, Entry<T>>,
    next_counter: u64,
    closed: bool,
}

struct Entry<T> {
    ticket: T,
    sent_us: u64,
}

/// What was waited for and has been read.
pub(super) struct Taken<T, D> {
    pub ticket: T,
    /// When it was sent, by the monotonic clock.
    pub sent_us: u64,
    pub found: D,
}

/// Why a record cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// As many as may wait do.
    Full,
    /// The log has stopped.
    Closed,
}

impl<T> Waiting<T> {
    /// Room for so many entries.
    pub(super) fn new(entries_max: usize) -> Self {
        let entries = Entries { by_counter: BTreeMap::new(), next_counter: 0, closed: false };
        Self { entries: Mutex::new(entries), entries_max }
    }

    /// Enters a ticket before its record is sent; returns the record's counter, which never comes again.
    pub(super) fn enter(&self, ticket: T, now_us: u64) -> Result<u64, NoRoom> {
        let mut entries = self.entries.lock();
        if entries.closed {
            return Err(NoRoom::Closed);
        }
        if entries.by_counter.len() >= self.entries_max {
            return Err(NoRoom::Full);
        }
        let counter = entries.next_counter;
        entries.next_counter += 1;
        entries.by_counter.insert(counter, Entry { ticket, sent_us: now_us });
        Ok(counter)
    }

    /// Takes back an entry whose record was not sent.
    pub(super) fn withdraw(&self, counter: u64) {
        self.entries.lock().by_counter.remove(&counter);
    }

    /// Takes out the tickets of records that have been read, and when each was sent, with whatever came
    /// with their counters.
    pub(super) fn take<D>(
        &self,
        read: impl Iterator<Item = (u64, D)>,
        taken: &mut Vec<Taken<T, D>>,
    ) {
        let mut entries = self.entries.lock();
        taken.extend(read.filter_map(|(counter, found)| {
            let Entry { ticket, sent_us } = entries.by_counter.remove(&counter)?;
            Some(Taken { ticket, sent_us, found })
        }));
    }

    /// Takes out the tickets that have waited too long.
    pub(super) fn take_overdue(&self, now_us: u64) -> Vec<T> {
        let mut entries = self.entries.lock();
        let mut overdue = Vec::new();
        while let Some(first) = entries.by_counter.first_entry() {
            if now_us.saturating_sub(first.get().sent_us) <= WAIT_US_MAX {
                break;
            }
            overdue.push(first.remove().ticket);
        }
        overdue
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.entries.lock().by_counter.len()
    }

    /// Takes in nothing more.
    pub(super) fn close(&self) {
        self.entries.lock().closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(taken: &[Taken<u32, &str>]) -> Vec<u32> {
        taken.iter().map(|taken| taken.ticket).collect()
    }

    #[test]
    fn a_record_answers_once_however_often_it_is_read() {
        let waiting = Waiting::new(10);
        let (a, b) = (waiting.enter(1, 0).unwrap(), waiting.enter(2, 0).unwrap());
        let mut taken = Vec::new();
        waiting
            .take([(b, "b"), (b, "replayed"), (a, "a"), (99, "unknown")].into_iter(), &mut taken);
        assert_eq!(slots(&taken), [2, 1]);
        taken.clear();
        waiting.take([(a, "replayed")].into_iter(), &mut taken);
        assert!(taken.is_empty());
    }

    #[test]
    fn it_is_bounded_and_a_withdrawn_entry_makes_room_under_a_new_counter() {
        let waiting = Waiting::new(1);
        let first = waiting.enter(1, 0).unwrap();
        assert_eq!(waiting.enter(2, 0), Err(NoRoom::Full));
        waiting.withdraw(first);
        assert_ne!(waiting.enter(2, 0).unwrap(), first);
        waiting.close();
        assert_eq!(waiting.enter(3, 0), Err(NoRoom::Closed));
    }

    #[test]
    fn overdue_entries_are_given_up_and_their_late_record_answers_nobody() {
        let waiting = Waiting::new(10);
        let old = waiting.enter(1, 0).unwrap();
        waiting.enter(2, 5).unwrap();
        assert!(waiting.take_overdue(WAIT_US_MAX).is_empty());
        let overdue = waiting.take_overdue(WAIT_US_MAX + 1);
        assert_eq!(overdue.len(), 1);
        let mut taken = Vec::new();
        waiting.take([(old, "late")].into_iter(), &mut taken);
        assert!(taken.is_empty());
        assert_eq!(waiting.len(), 1);
    }
}
