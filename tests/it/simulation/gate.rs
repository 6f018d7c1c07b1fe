//! The gate of a run: the real [`MemoryGate`], shared by all nodes as Redis would be, behind a wire that
//! loses, delays and lies. Each node has one of its own besides, for when the shared one is out of reach.

use std::cell::{Cell, RefCell};

use flux_gate::gate::{MemoryGate, Verdict};
use flux_gate::gcra::Rate;
use flux_gate::log::Level;
use flux_gate::sale::{BuyerRef, ProductId};

use super::world::{Event, Sim};

/// What a node writes to its gate.
#[derive(Debug, Clone)]
pub enum Change {
    Level(Level),
    Settled(Vec<(ProductId, BuyerRef)>),
}

#[derive(Debug)]
pub struct FakeGate {
    rate: Option<Rate>,
    shared: RefCell<MemoryGate>,
    local: Vec<RefCell<MemoryGate>>,
    pub down_until_us: Cell<u64>,
    /// A forged level that no honest one can replace, because it claims an offset that is yet to come.
    pub poisoned: Cell<bool>,
    pub levels: RefCell<Vec<Level>>,
}

impl FakeGate {
    pub fn new(rate: Option<Rate>, nodes: usize) -> Self {
        Self {
            rate,
            shared: RefCell::new(MemoryGate::new(rate)),
            local: (0..nodes).map(|_| RefCell::new(MemoryGate::new(rate))).collect(),
            down_until_us: Cell::new(0),
            poisoned: Cell::new(false),
            levels: RefCell::default(),
        }
    }

    pub fn wipe(&self) {
        *self.shared.borrow_mut() = MemoryGate::new(self.rate);
        self.poisoned.set(false);
    }

    /// A node's own gate is gone with the node.
    pub fn wipe_local(&self, node: usize) {
        *self.local[node].borrow_mut() = MemoryGate::new(self.rate);
    }

    pub fn forge(&self, level: Level) {
        self.shared.borrow().level(&level.product, level.offset, level.remaining);
    }

    pub fn write_local(&self, node: usize, change: &Change) {
        write(&self.local[node].borrow(), change);
    }

    pub fn write_shared(&self, change: &Change, now_us: u64) {
        if let Change::Level(level) = change {
            self.levels.borrow_mut().push(*level);
        }
        if self.down_until_us.get() <= now_us {
            write(&self.shared.borrow(), change);
        }
    }

    pub fn admit(
        &self,
        node: usize,
        product: &ProductId,
        buyer: &BuyerRef,
        now_us: u64,
    ) -> Verdict {
        if self.down_until_us.get() > now_us {
            return self.local[node].borrow().admit(product, buyer, now_us);
        }
        self.shared.borrow().admit(product, buyer, now_us)
    }

    pub fn pending(&self, product: &ProductId) -> usize {
        self.shared.borrow().pending(product)
    }

    /// How many strangers the gate would let through now: its hint less what pends. It takes them all, so
    /// it is the last thing that a run asks.
    pub fn free_units(&self, product: &ProductId, now_us: u64) -> u32 {
        let gate = self.shared.borrow();
        let mut now_us = now_us;
        let mut free = 0;
        while free < 1_000 {
            let stranger = BuyerRef::from_bytes(u128::MAX.wrapping_sub(free.into()).to_le_bytes());
            match gate.admit(product, &stranger, now_us) {
                Verdict::Go => free += 1,
                Verdict::OverRate { retry_after_us } => now_us += retry_after_us,
                Verdict::Busy => break,
            }
        }
        free
    }
}

fn write(gate: &MemoryGate, change: &Change) {
    match change {
        Change::Level(level) => gate.level(&level.product, level.offset, level.remaining),
        Change::Settled(decided) => gate.settled(decided),
    }
}

impl Sim {
    /// A node writes to its gate: its own at once, the shared one perhaps late, perhaps never.
    pub fn write_gate(&self, node: usize, change: Change) {
        let faults = *self.faults.borrow();
        self.gate.write_local(node, &change);
        if self.rng.per_mille(faults.gate_loses) {
            self.count("fault: gate write lost");
        } else if self.rng.per_mille(faults.gate_late) {
            self.schedule(self.rng.between(1, 1_500_000), Event::GateWrite(change));
        } else {
            self.gate.write_shared(&change, self.now_us());
        }
    }
}
