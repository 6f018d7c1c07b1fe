//! The log of a run: one order for all, which records reach late, twice or never.
//!
//! Durable means in `entries`. A node learns of a decision by following, as with a real log.

use flux_gate::sale::{LogEntry, ProductId, Record};

use super::faults::EPOCH_MS;
use super::world::{Event, Sim};

/// A record on its way.
#[derive(Debug, Clone)]
pub struct Sent {
    pub id: u64,
    pub at_us: u64,
    pub request: Option<usize>,
    /// The node that sent it, and how often that had been started.
    pub node: Option<(usize, u32)>,
    pub product: ProductId,
    pub record: Record,
}

#[derive(Default)]
pub struct FakeLog {
    pub entries: Vec<LogEntry>,
    /// Beside each entry, which sending it came from.
    pub sources: Vec<u64>,
    pub clock_ahead_ms: i64,
    pub stalled_until_us: u64,
    /// What operators have sent, to be sent again.
    pub operations: Vec<(ProductId, Record)>,
    sent: u64,
    /// Records that will come, late or not.
    pub on_the_way: usize,
}

impl Sim {
    /// Sends a record. `None`: the log refuses it, and nothing was written.
    pub fn send(&self, product: ProductId, record: Record, request: Option<usize>) -> Option<u64> {
        let (rng, faults) = (&self.rng, *self.faults.borrow());
        if rng.per_mille(faults.refused) {
            self.count("fault: refused");
            return None;
        }
        let mut log = self.log.borrow_mut();
        log.sent += 1;
        let id = log.sent;
        let node = request.map(|request| self.requests.borrow()[request].node);
        let node = node.map(|node| (node, self.nodes[node].borrow().life));
        let sent = Sent { id, at_us: self.now_us(), request, node, product, record };
        if rng.per_mille(faults.lost) {
            self.count("fault: lost");
        } else {
            let repeats = usize::from(rng.per_mille(faults.repeated));
            for repeat in 0..=repeats {
                let delay_us = match () {
                    () if rng.per_mille(faults.late) => rng.between(100_000, 15_000_000),
                    () if repeat > 0 => rng.between(1, 12_000_000),
                    () => rng.between(100, 6_000),
                };
                log.on_the_way += 1;
                self.schedule(delay_us, Event::Append(sent.clone()));
            }
            if repeats > 0 {
                self.count("fault: repeated");
            }
        }
        if let Some(request) = request
            && rng.per_mille(faults.unacknowledged)
        {
            self.count("fault: unacknowledged");
            self.schedule(rng.between(10, 10_000), Event::Unacknowledged { request, sent: id });
        }
        Some(id)
    }

    /// A record reaches the log.
    pub fn append(&self, sent: Sent) {
        let faults = *self.faults.borrow();
        let mut log = self.log.borrow_mut();
        if sent.node.is_some_and(|sender| self.is_gone(sender))
            && self.rng.per_mille(faults.lost_with_node)
        {
            self.count("fault: lost with its node");
            log.on_the_way -= 1;
            return;
        }
        if log.stalled_until_us > self.now_us() {
            let delay_us = log.stalled_until_us - self.now_us() + self.rng.below(1_000);
            self.schedule(delay_us, Event::Append(sent));
            return;
        }
        let appended_at_ms = (self.wall_ms() as i64 + log.clock_ahead_ms) as u64;
        let offset = log.entries.len() as u64 + 1;
        let (product, record) = (sent.product, sent.record.clone());
        let entry = LogEntry { offset, appended_at_ms, product, record };
        self.trace(|| format!("append {} (sent {} at {} us)", show(&entry), sent.id, sent.at_us));
        self.rules.borrow_mut().appended(&entry, &sent, self.now_us());
        log.entries.push(entry);
        log.sources.push(sent.id);
        log.on_the_way -= 1;
        drop(log);
        if let Some((node, _)) = sent.node
            && self.rng.per_mille(faults.kills_after_log)
        {
            self.count("fault: killed after the log");
            self.crash(node);
        }
        for node in 0..self.nodes.len() {
            self.follow_soon(node);
        }
    }

    /// Whether the node, as it was started then, is no more.
    fn is_gone(&self, (node, life): (usize, u32)) -> bool {
        let node = self.nodes[node].borrow();
        !node.up || node.life != life
    }

    /// The wall clock of somebody whose clock is right.
    pub fn wall_ms(&self) -> u64 {
        self.wall_us() / 1_000
    }

    /// The same in microseconds.
    pub fn wall_us(&self) -> u64 {
        EPOCH_MS * 1_000 + self.now_us()
    }
}

pub fn show(entry: &LogEntry) -> String {
    format!(
        "{} at {} ms: {} {:?}",
        entry.offset,
        entry.appended_at_ms as i64 - EPOCH_MS as i64,
        entry.product,
        entry.record
    )
}
