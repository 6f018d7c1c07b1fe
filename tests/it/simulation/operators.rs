//! Operators and shops: they pause, resume, restock, reschedule, reverse, archive, and repeat themselves.

use flux_gate::sale::{BuyerRef, CapacityTarget, OperationId, OrderId, ProductId, Record};

use super::faults::EPOCH_MS;
use super::world::{Event, Phase, Sim};

impl Sim {
    /// An operator sends a record, now and then one that was sent before.
    pub fn operate(&self) {
        if self.phase() != Phase::Faulty {
            return;
        }
        let known = self.log.borrow().operations.len();
        let (product, record) = match known {
            1.. if self.rng.per_mille(250) => {
                self.log.borrow().operations[self.rng.index(known)].clone()
            }
            _ => {
                let product = self.rng.pick(&self.products);
                (product, self.draw_operation(&product))
            }
        };
        self.order(product, record);
        let pause_us = self.plan.operators_pause_us;
        self.schedule(self.rng.between(pause_us / 10, pause_us * 2), Event::Operate);
    }

    fn order(&self, product: ProductId, record: Record) {
        self.count(record.kind());
        self.log.borrow_mut().operations.push((product, record.clone()));
        self.send(product, record, None);
    }

    fn draw_operation(&self, product: &ProductId) -> Record {
        let rng = &self.rng;
        let operation = self.new_operation();
        match rng.below(100) {
            0..12 => Record::SalePaused { operation },
            12..32 => Record::SaleResumed { operation },
            32..44 => Record::CapacityChanged {
                to: CapacityTarget::Total(rng.below(12) as u32),
                operation,
            },
            44..52 => Record::CapacityChanged {
                to: CapacityTarget::Remaining(rng.below(6) as u32),
                operation,
            },
            52..90 => self.reversal(product),
            90..94 => Record::ScheduleChanged {
                opens_at_ms: EPOCH_MS + rng.below(10_000),
                closes_at_ms: rng.per_mille(300).then(|| EPOCH_MS + rng.below(30_000)),
                operation,
            },
            94..96 if self.plan.archives => Record::SaleArchived { operation },
            96..98 => Record::SubjectErased {
                buyer: BuyerRef::from_bytes(rng.bytes()),
                operation: Some(operation),
            },
            _ => Record::SaleOpened(self.plan.sales[0].0.clone()),
        }
    }

    fn reversal(&self, product: &ProductId) -> Record {
        let orders = self.rules.borrow().orders(product);
        let order_id = match orders.len() {
            0 => OrderId::from_random_bytes(self.rng.bytes()),
            count => orders[self.rng.index(count)],
        };
        Record::OrderReversed {
            order_id,
            restock: self.rng.per_mille(700),
            frees_limit: self.rng.per_mille(500),
            reason: "payment failed".into(),
        }
    }

    fn new_operation(&self) -> OperationId {
        let number = self.log.borrow().operations.len();
        format!("operation-{number}-{}", self.rng.below(1_000_000)).parse().unwrap()
    }

    /// At the end of the faults: every sale that is not archived runs.
    pub fn set_running(&self) {
        if !self.plan.ends_open {
            return;
        }
        for product in &self.products {
            let (resume, schedule) = (self.new_operation(), self.new_operation());
            self.order(*product, Record::SaleResumed { operation: resume });
            self.order(
                *product,
                Record::ScheduleChanged { opens_at_ms: 0, closes_at_ms: None, operation: schedule },
            );
        }
    }
}
