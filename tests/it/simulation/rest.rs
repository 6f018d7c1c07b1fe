//! Rule 5: what holds when nothing is under way any more.

use flux_gate::sale::ProductId;

use super::gate::Change;
use super::model::Tally;
use super::rules::{RULE_2, RULE_5};
use super::world::Sim;

impl Sim {
    /// Checks the end of a run.
    pub fn at_rest(&self) {
        self.ledger_is_the_log();
        let under_way = self.log.borrow().on_the_way;
        let behind = self.nodes.iter().any(|node| {
            let node = node.borrow();
            node.up && node.position < self.log.borrow().entries.len()
        });
        self.demand_rest(under_way == 0 && !behind, || "not at rest".to_owned());
        self.late_levels();
        let tallies = self.rules.borrow().tallies.clone();
        for (product, tally) in tallies {
            if tally.opened {
                self.all_sold(&product, &tally);
                self.hint_is_true(&product, &tally);
            }
        }
    }

    fn ledger_is_the_log(&self) {
        let ledger = self.ledger();
        let rules = self.rules.borrow();
        let rows = rules.tallies.values().flat_map(|tally| &tally.orders);
        let log: Vec<_> = rows.map(|row| (row.id, (row.offset, row.reversed))).collect();
        let same = ledger.orders.len() == log.len()
            && log.iter().all(|(id, row)| ledger.orders.get(id) == Some(row));
        drop(rules);
        self.rules.borrow_mut().demand(same, RULE_2, || {
            format!("the ledger has {:?}, the log {log:?}", ledger.orders)
        });
    }

    /// No unit is lost for good: either all are sold, or every client has as many as it may.
    fn all_sold(&self, product: &ProductId, tally: &Tally) {
        if !self.plan.ends_open || tally.archived {
            return;
        }
        let clients = self.clients.borrow();
        let mut buyers = clients.iter().filter_map(|client| client.buyer_of(product));
        let sated = buyers.all(|buyer| tally.counted(buyer) >= tally.limit);
        let sold = tally.sold();
        self.demand_rest(sated || sold == tally.capacity, || {
            format!("{product}: {sold} of {} sold, and there is demand", tally.capacity)
        });
    }

    /// Levels that were long under way arrive after all; they must not count.
    fn late_levels(&self) {
        let levels = self.gate.levels.borrow().clone();
        if levels.is_empty() {
            return;
        }
        for _ in 0..3 {
            let late = Change::Level(levels[self.rng.index(levels.len())]);
            self.gate.write_shared(&late, self.now_us());
        }
    }

    fn hint_is_true(&self, product: &ProductId, tally: &Tally) {
        let pending = self.gate.pending(product);
        let leaks = self.places_leak;
        self.demand_rest(pending == 0 || leaks, || format!("{product}: {pending} still pend"));
        let left = tally.capacity - tally.sold();
        let free = self.gate.free_units(product, self.now_us());
        self.demand_rest(free == left, || {
            format!("{product}: the gate has {free} units for strangers, {left} are left")
        });
    }

    fn demand_rest(&self, holds: bool, how: impl FnOnce() -> String) {
        self.rules.borrow_mut().demand(holds, RULE_5, how);
    }
}
