//! The places of a queue by their number, and the latest one of each buyer.
//!
//! The early ones have the numbers from 0 on until they are fixed; whoever comes later has the next. Each number is
//! given once. What is over is given back: late ones from the front, the early all at once.

use std::collections::VecDeque;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::sale::BuyerRef;

/// How it stands with a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Admitted,
    Spent,
    Lapsed,
    Passed,
}

/// One place: 32 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub buyer: BuyerRef,
    pub issued_ms: u64,
    /// While waiting when they were last heard of, while admitted until when: in steps from the queue's begin.
    pub step: u32,
    pub state: State,
}

impl Slot {
    pub fn is_live(&self) -> bool {
        matches!(self.state, State::Waiting | State::Admitted)
    }
}

/// All of a queue.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Those who came before the opening, by number.
    early: Vec<Slot>,
    /// How many of them are waiting or admitted.
    early_live: u32,
    /// When they are fixed how many they were: the number of the first late one.
    drawn: Option<u32>,
    /// Those who came after it, by number from `late_first` on.
    late: VecDeque<Slot>,
    late_first: u32,
    /// The number of each buyer's latest place.
    by_buyer: HashTable<u32>,
}

impl Slots {
    /// Places that were given out.
    pub fn given(&self) -> u32 {
        match self.drawn {
            None => self.early.len() as u32,
            Some(_) => self.late_first + self.late.len() as u32,
        }
    }

    /// Places that are kept.
    pub fn kept(&self) -> usize {
        self.early.len() + self.late.len()
    }

    /// The early ones, by number.
    pub fn early(&self) -> &[Slot] {
        &self.early
    }

    /// Those who are here are the early ones, whoever comes from now on is late.
    pub fn seal(&mut self) {
        let drawn = self.early.len() as u32;
        (self.drawn, self.late_first) = (Some(drawn), drawn);
    }

    /// Whether it is the number of a late one.
    pub fn is_late(&self, number: u32) -> bool {
        self.drawn.is_some_and(|drawn| number >= drawn)
    }

    pub fn get(&self, number: u32) -> Option<&Slot> {
        match number.checked_sub(self.late_first) {
            Some(at) if self.drawn.is_some() => self.late.get(at as usize),
            _ => self.early.get(number as usize),
        }
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut Slot> {
        match number.checked_sub(self.late_first) {
            Some(at) if self.drawn.is_some() => self.late.get_mut(at as usize),
            _ => self.early.get_mut(number as usize),
        }
    }

    /// The buyer's latest place.
    pub fn find(&self, buyer: &BuyerRef) -> Option<(u32, &Slot)> {
        let same = |number: &u32| self.get(*number).is_some_and(|slot| slot.buyer == *buyer);
        let number = *self.by_buyer.find(buyer.table_hash(), same)?;
        Some((number, self.get(number)?))
    }

    /// The next number is this one's, who waits. From now on it is the buyer's place.
    pub fn push(&mut self, slot: Slot) -> u32 {
        let (number, buyer) = (self.given(), slot.buyer);
        match self.drawn {
            None => {
                self.early.push(slot);
                self.early_live += 1;
            }
            Some(_) => self.late.push_back(slot),
        }
        let mut table = std::mem::take(&mut self.by_buyer);
        let of = |number: &u32| self.get(*number).map(|slot| slot.buyer);
        let hash = |number: &u32| of(number).map_or(0, |buyer| buyer.table_hash());
        match table.entry(buyer.table_hash(), |known| of(known) == Some(buyer), hash) {
            Entry::Occupied(mut known) => *known.get_mut() = number,
            Entry::Vacant(place) => drop(place.insert(number)),
        }
        self.by_buyer = table;
        number
    }

    /// Ends a live place; how it stood before.
    pub fn finish(&mut self, number: u32, state: State) -> Option<State> {
        let before = std::mem::replace(&mut self.get_mut(number)?.state, state);
        if self.drawn.is_some_and(|drawn| number < drawn) {
            self.early_live -= 1;
        }
        Some(before)
    }

    /// Gives back the memory of places that are over, all before `head` having had their turn.
    pub fn free(&mut self, head: u32) {
        while let Some(slot) = self.late.front().copied().filter(|slot| !slot.is_live()) {
            self.forget(&slot.buyer, self.late_first);
            self.late.pop_front();
            self.late_first += 1;
        }
        let all_served = self.drawn.is_some_and(|drawn| head >= drawn);
        if all_served && self.early_live == 0 && !self.early.is_empty() {
            for (number, slot) in (0..).zip(std::mem::take(&mut self.early)) {
                self.forget(&slot.buyer, number);
            }
        }
    }

    /// Bytes beside its own, by what it has reserved.
    pub fn bytes(&self) -> usize {
        let slots = self.early.capacity() + self.late.capacity();
        slots * size_of::<Slot>() + self.by_buyer.allocation_size()
    }

    /// The place is over; a later one of the same buyer stays.
    fn forget(&mut self, buyer: &BuyerRef, number: u32) {
        let known = self.by_buyer.find_entry(buyer.table_hash(), |known| *known == number);
        if let Ok(known) = known {
            known.remove();
        }
    }
}

#[cfg(test)]
impl Slots {
    /// All that are kept.
    pub fn all(&self) -> impl Iterator<Item = &Slot> {
        self.early.iter().chain(&self.late)
    }

    /// Early ones, late ones, buyers that are known, early ones that count as waiting or admitted.
    pub fn sizes(&self) -> (usize, usize, usize, usize) {
        (self.early.len(), self.late.len(), self.by_buyer.len(), self.early_live as usize)
    }
}
