//! Who came with whom before: users of an address, users of a fingerprint, what a user did.
//!
//! Three bounded tables (`guard/table.rs`), one word a key. A key is remembered for [`WINDOW_US`] from its
//! first sight (addresses, fingerprints) or its last (users); then it begins anew. When a bucket is full the
//! key whose time ends first is forgotten, and what only failed has the shortest time, so a flood of failures
//! pushes out its own like and no one else. To make others be forgotten takes as many signed requests as there
//! are places, from passes of as many users.
//!
//! The words hold no identity: bits of keyed hashes, small counts and a time.

use crate::guard::limits::Place;
use crate::guard::table::{Slot, Table};
use crate::sale::BuyerRef;

use super::sketch::{Sketch, mixed};

/// How long a key is remembered, in microseconds: ten minutes.
pub const WINDOW_US: u64 = 600_000_000;
/// How long one is remembered that has only failed, in microseconds.
pub const FAILED_WINDOW_US: u64 = 60_000_000;

/// An address's word.
const USERS_ON_ADDRESS: Sketch = Sketch { shift: 0, bits: 40 };
const KINDS_ON_ADDRESS: Sketch = Sketch { shift: 40, bits: 16 };
const FAILURES_FROM_ADDRESS: Field = Field { shift: 56, bits: 6 };

/// A fingerprint's word.
const USERS_ON_FINGERPRINT: Sketch = Sketch { shift: 0, bits: 32 };
const KINDS_ON_FINGERPRINT: Sketch = Sketch { shift: 32, bits: 16 };
const FAILURES_ON_FINGERPRINT: Field = Field { shift: 48, bits: 6 };

/// A user's word.
const FINGERPRINTS_OF_USER: Sketch = Sketch { shift: 0, bits: 8 };
const LAST_KEY: Field = Field { shift: 8, bits: 8 };
const REGULAR_INTERVALS: Field = Field { shift: 16, bits: 3 };
const EARLY_ORDERS: Field = Field { shift: 19, bits: 3 };
const FAILURES_OF_USER: Field = Field { shift: 22, bits: 4 };
/// Milliseconds between the last two orders; all ones is more than fits, 0 is none.
const INTERVAL_MS: Field = Field { shift: 26, bits: 14 };
/// Milliseconds of the last order, of a clock that goes round in four hours and a half.
const LAST_MS: Field = Field { shift: 40, bits: 24 };

/// Two intervals are as good as the same if they differ by at most this and a 64th of the former, in
/// milliseconds. A hand varies by a tenth.
const REGULAR_MS: u64 = 2;

/// A small number in a word.
#[derive(Debug, Clone, Copy)]
struct Field {
    shift: u32,
    bits: u32,
}

impl Field {
    const fn max(self) -> u64 {
        (1 << self.bits) - 1
    }

    fn get(self, word: u64) -> u64 {
        (word >> self.shift) & self.max()
    }

    fn set(self, word: &mut u64, value: u64) {
        *word = (*word & !(self.max() << self.shift)) | ((value & self.max()) << self.shift);
    }

    /// One more, up to what fits.
    fn increase(self, word: &mut u64) {
        let more = (self.get(*word) + 1).min(self.max());
        self.set(word, more);
    }
}

/// Who sends a request, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    /// From where.
    pub place: Place,
    /// The user, as a pseudonym.
    pub buyer: BuyerRef,
}

/// What was seen of those who came before, this request counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Users on its address, about.
    pub users_on_address: u16,
    /// Kinds of headers on its address, about.
    pub kinds_on_address: u16,
    /// Users on its fingerprint, about.
    pub users_on_fingerprint: u16,
    /// Kinds of headers under its fingerprint, about.
    pub kinds_on_fingerprint: u16,
    /// Fingerprints of its user, about.
    pub fingerprints_of_user: u16,
    /// Successive intervals between orders of its user that are as good as the same.
    pub regular_intervals: u8,
    /// Orders of its user before the opening.
    pub early_orders: u8,
    /// Failures of its user.
    pub failures_of_user: u8,
    /// Failures from its address.
    pub failures_from_address: u8,
    /// Failures under its fingerprint.
    pub failures_on_fingerprint: u8,
}

/// The tables.
pub struct Seen {
    addresses: Table,
    fingerprints: Table,
    users: Table,
}

impl Seen {
    /// Tables of at most `tracked_keys_max` keys each.
    pub fn new(tracked_keys_max: usize) -> Self {
        let table = || Table::new(tracked_keys_max);
        Self { addresses: table(), fingerprints: table(), users: table() }
    }

    /// Counts an order, and tells what was seen. `kind` is that of its headers, `key` chosen by its idempotency
    /// key: a retry with the same one says nothing of its user's rhythm.
    pub fn order(&self, sender: &Sender, kind: u64, key: u8, now_us: u64) -> Counts {
        let user = mixed(sender.buyer.table_hash());
        let mut counts = Counts::default();
        if let Some(tag) = sender.place.address {
            let word = self.addresses.with(tag, |slot| {
                let word = begun(slot, now_us);
                *word = USERS_ON_ADDRESS.with(*word, user);
                *word = KINDS_ON_ADDRESS.with(*word, kind);
                *word
            });
            counts.of_address(word);
        }
        if let Some(tag) = sender.place.fingerprint {
            let word = self.fingerprints.with(tag, |slot| {
                let word = begun(slot, now_us);
                *word = USERS_ON_FINGERPRINT.with(*word, user);
                *word = KINDS_ON_FINGERPRINT.with(*word, kind);
                *word
            });
            counts.of_fingerprint(word);
        }
        let word = self.users.with(sender.buyer.table_hash(), |slot| {
            let word = touched(slot, now_us);
            if let Some(tag) = sender.place.fingerprint {
                *word = FINGERPRINTS_OF_USER.with(*word, mixed(tag));
            }
            note_time(word, key, now_us / 1_000);
            *word
        });
        counts.of_user(word);
        counts
    }

    /// Tells what was seen, and counts nothing.
    pub fn look(&self, sender: &Sender, now_us: u64) -> Counts {
        let mut counts = Counts::default();
        let word_of = |table: &Table, tag| {
            let word = |slot: Slot<'_>| if *slot.tat_us > now_us { *slot.note } else { 0 };
            table.with_known(tag, word).unwrap_or_default()
        };
        if let Some(tag) = sender.place.address {
            counts.of_address(word_of(&self.addresses, tag));
        }
        if let Some(tag) = sender.place.fingerprint {
            counts.of_fingerprint(word_of(&self.fingerprints, tag));
        }
        counts.of_user(word_of(&self.users, sender.buyer.table_hash()));
        counts
    }

    /// Counts an order of this user before the opening.
    pub fn early(&self, buyer: &BuyerRef, now_us: u64) {
        self.users.with(buyer.table_hash(), |slot| EARLY_ORDERS.increase(touched(slot, now_us)));
    }

    /// Counts a failure of this user.
    pub fn failure_of_user(&self, buyer: &BuyerRef, now_us: u64) {
        self.users
            .with(buyer.table_hash(), |slot| FAILURES_OF_USER.increase(touched(slot, now_us)));
    }

    /// Counts a failure of somebody unknown.
    pub fn failure_of_place(&self, place: Place, now_us: u64) {
        let count = |table: &Table, tag: Option<u64>, field: Field| {
            let Some(tag) = tag else { return };
            table.with(tag, |slot| {
                if *slot.tat_us <= now_us {
                    *slot.tat_us = now_us.saturating_add(FAILED_WINDOW_US);
                    *slot.note = 0;
                }
                field.increase(slot.note);
            });
        };
        count(&self.addresses, place.address, FAILURES_FROM_ADDRESS);
        count(&self.fingerprints, place.fingerprint, FAILURES_ON_FINGERPRINT);
    }
}

impl Counts {
    fn of_address(&mut self, word: u64) {
        self.users_on_address = USERS_ON_ADDRESS.count(word);
        self.kinds_on_address = KINDS_ON_ADDRESS.count(word);
        self.failures_from_address = FAILURES_FROM_ADDRESS.get(word) as u8;
    }

    fn of_fingerprint(&mut self, word: u64) {
        self.users_on_fingerprint = USERS_ON_FINGERPRINT.count(word);
        self.kinds_on_fingerprint = KINDS_ON_FINGERPRINT.count(word);
        self.failures_on_fingerprint = FAILURES_ON_FINGERPRINT.get(word) as u8;
    }

    fn of_user(&mut self, word: u64) {
        self.fingerprints_of_user = FINGERPRINTS_OF_USER.count(word);
        self.regular_intervals = REGULAR_INTERVALS.get(word) as u8;
        self.early_orders = EARLY_ORDERS.get(word) as u8;
        self.failures_of_user = FAILURES_OF_USER.get(word) as u8;
    }

    /// Without what the fingerprint alone is blamed for.
    #[must_use]
    pub fn without_fingerprint(self) -> Self {
        let (users_on_fingerprint, kinds_on_fingerprint, failures_on_fingerprint) = (0, 0, 0);
        Self { users_on_fingerprint, kinds_on_fingerprint, failures_on_fingerprint, ..self }
    }
}

/// The word of a key whose time runs from its first sight. One that had only failed has its whole time now.
fn begun<'a>(slot: Slot<'a>, now_us: u64) -> &'a mut u64 {
    let Slot { tat_us, note } = slot;
    if *tat_us <= now_us {
        *note = 0;
        *tat_us = now_us.saturating_add(WINDOW_US);
    } else if *tat_us <= now_us.saturating_add(FAILED_WINDOW_US)
        && USERS_ON_ADDRESS.count(*note) == 0
    {
        *tat_us = now_us.saturating_add(WINDOW_US);
    }
    note
}

/// The word of a key whose time runs from its last sight.
fn touched<'a>(slot: Slot<'a>, now_us: u64) -> &'a mut u64 {
    let Slot { tat_us, note } = slot;
    if *tat_us <= now_us {
        *note = 0;
    }
    *tat_us = now_us.saturating_add(WINDOW_US);
    note
}

/// Notes when an order came, and whether its interval is that of the one before.
fn note_time(word: &mut u64, key: u8, now_ms: u64) {
    let (key, now) = (u64::from(key).max(1), now_ms & LAST_MS.max());
    let last_key = LAST_KEY.get(*word);
    if last_key == key {
        return;
    }
    let elapsed = now.wrapping_sub(LAST_MS.get(*word)) & LAST_MS.max();
    let interval = if last_key == 0 { 0 } else { elapsed.clamp(1, INTERVAL_MS.max()) };
    let former = INTERVAL_MS.get(*word);
    let known = |interval: u64| interval > 0 && interval < INTERVAL_MS.max();
    let same =
        known(interval) && known(former) && interval.abs_diff(former) <= REGULAR_MS + former / 64;
    if same {
        REGULAR_INTERVALS.increase(word);
    } else {
        REGULAR_INTERVALS.set(word, 0);
    }
    INTERVAL_MS.set(word, interval);
    LAST_MS.set(word, now);
    LAST_KEY.set(word, key);
}

#[cfg(test)]
mod tests;
