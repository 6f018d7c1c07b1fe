//! A node: the real `Applied`, fed by following the log, and the real `place_order` on top of it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use flux_gate::gate::{Origin, Verdict};
use flux_gate::log::{Append, Applied, Decided, Level, LogClock, LogTime};
use flux_gate::place_order::{Proposed, World};
use flux_gate::sale::record::KeyFingerprints;
use flux_gate::sale::{Book, BuyerRef, LogEntry, Outcome, ProductId, SaleState};

use super::executor::TaskId;
use super::gate::Change;
use super::rules::{Basis, SENT_ONCE};
use super::world::{Event, Sim};

pub struct Node {
    pub up: bool,
    /// How often it has been started: what was meant for an earlier life is dropped.
    pub life: u32,
    pub applied: Arc<Applied>,
    /// What its observer heard.
    heard: Arc<Mutex<Vec<Change>>>,
    /// The last offset that it applied.
    pub position: usize,
    pub clock_ahead_ms: i64,
    pub tasks: BTreeSet<TaskId>,
    undecided: BTreeMap<u64, Rc<Slot>>,
    batches: u64,
    batch_waiters: Vec<Waker>,
    follow_due: bool,
}

/// Where a proposal's end is put.
#[derive(Default)]
struct Slot {
    sent_us: u64,
    end: Cell<Option<Proposed>>,
    waker: RefCell<Option<Waker>>,
}

impl Slot {
    fn put(&self, end: Proposed) {
        self.end.set(Some(end));
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

impl Node {
    /// A node that has read the log's first `position` records and is about to serve.
    pub fn start(book: Book, position: usize, life: u32, clock_ahead_ms: i64, now_us: u64) -> Self {
        let heard = Arc::<Mutex<Vec<Change>>>::default();
        let hears = heard.clone();
        let observer = move |batch: &flux_gate::log::AppliedBatch<'_>| {
            let mut heard = hears.lock().unwrap();
            heard.extend(batch.levels.iter().copied().map(Change::Level));
            heard.push(Change::Settled(batch.decided.to_vec()));
        };
        let log_clock = LogClock::default();
        if let Some(latest_ms) = book.iter().map(|(_, state)| state.log_time_ms()).max() {
            log_clock.read(latest_ms, now_us);
        }
        let applied = Arc::new(Applied::following(&book, log_clock, Box::new(observer)));
        applied.mark_end_seen(now_us);
        Self {
            up: true,
            life,
            applied,
            heard,
            position,
            clock_ahead_ms,
            tasks: BTreeSet::new(),
            undecided: BTreeMap::new(),
            batches: 0,
            batch_waiters: Vec::new(),
            follow_due: false,
        }
    }
}

impl Sim {
    /// Sees to it that a node looks at the log before long.
    pub fn follow_soon(&self, node: usize) {
        let mut state = self.nodes[node].borrow_mut();
        if state.up && !state.follow_due {
            state.follow_due = true;
            let lags = self.faults.borrow().lags;
            let delay_us = match self.rng.per_mille(lags) {
                true => self.rng.between(10_000, 4_000_000),
                false => self.rng.between(1, 5_000),
            };
            self.schedule(delay_us, Event::Follow { node, life: state.life });
        }
    }

    /// A node applies what it finds in the log, or a part of it.
    pub fn follow(&self, node: usize, life: u32) {
        let log = self.log.borrow();
        let mut state = self.nodes[node].borrow_mut();
        if !state.up || state.life != life {
            return;
        }
        state.follow_due = false;
        let waiting = log.entries.len() - state.position;
        let stalled = log.stalled_until_us > self.now_us();
        if waiting > 0 && !stalled {
            let count = self.rng.between(1, waiting as u64) as usize;
            let batch = &log.entries[state.position..state.position + count];
            let outcomes = state.applied.apply_batch(batch);
            let mut rules = self.rules.borrow_mut();
            let wall_us = self.wall_us().saturating_add_signed(state.clock_ahead_ms * 1_000);
            let applied = state.applied.clone();
            let log_clock = applied.log_clock().expect("it follows a log");
            for (entry, outcome) in batch.iter().zip(outcomes) {
                rules.applied(node, entry, outcome);
                log_clock.read(entry.appended_at_ms, self.now_us());
                let slot = state.undecided.remove(&log.sources[entry.offset as usize - 1]);
                if let Some(slot) = slot {
                    let (at_ms, sent_us) = (entry.appended_at_ms, slot.sent_us);
                    log_clock.read_back(at_ms, sent_us, self.now_us(), wall_us);
                    slot.put(Proposed::Decided(decided(&state.applied, entry, outcome)));
                }
            }
            for entry in batch {
                state.applied.with_state(&entry.product, |state| rules.stands(node, state));
            }
            drop(rules);
            state.position += count;
            state.batches += 1;
            state.batch_waiters.drain(..).for_each(Waker::wake);
        }
        let ended = state.position == log.entries.len();
        if ended && !stalled {
            state.applied.mark_end_seen(self.now_us());
        }
        let heard: Vec<Change> = std::mem::take(&mut *state.heard.lock().unwrap());
        drop(state);
        drop(log);
        heard.into_iter().for_each(|change| self.write_gate(node, change));
        if !ended {
            self.follow_soon(node);
        }
    }

    /// Levels the gate from a node's applied state, as each does at least once a second.
    pub fn level_gate(&self, node: usize) {
        let applied = self.nodes[node].borrow().applied.clone();
        for product in applied.products() {
            let level = applied.with_state(&product, |state| {
                let (offset, remaining) = (state.applied_offset(), state.remaining());
                Level { product, offset, remaining }
            });
            level.into_iter().for_each(|level| self.write_gate(node, Change::Level(level)));
        }
    }

    /// The sender of a record is told that the log stopped.
    pub fn unacknowledged(&self, request: usize, sent: u64) {
        let node = self.requests.borrow()[request].node;
        let slot = self.nodes[node].borrow_mut().undecided.remove(&sent);
        if let Some(slot) = slot {
            slot.put(Proposed::Lost);
        }
    }

    /// Waits for `ready`, at most until `deadline_us`.
    fn until<'a, T: 'a>(
        self: &'a Rc<Self>,
        deadline_us: u64,
        mut ready: impl FnMut(&Waker) -> Option<T> + 'a,
    ) -> impl Future<Output = Option<T>> + 'a {
        let mut timer_set = false;
        poll_fn(move |context| {
            if let Some(value) = ready(context.waker()) {
                return Poll::Ready(Some(value));
            }
            if self.now_us() >= deadline_us {
                return Poll::Ready(None);
            }
            if !std::mem::replace(&mut timer_set, true) {
                self.executor.wake_at(deadline_us, context.waker().clone());
            }
            Poll::Pending
        })
    }
}

fn decided(applied: &Applied, entry: &LogEntry, outcome: Outcome) -> Decided {
    let log_time_ms = applied.with_state(&entry.product, SaleState::log_time_ms);
    let log_time_ms = log_time_ms.unwrap_or(entry.appended_at_ms);
    Decided { outcome, offset: entry.offset, log_time_ms }
}

/// One request on a node: what `place_order` sees of the world.
pub struct Visit {
    pub sim: Rc<Sim>,
    pub node: usize,
    pub request: usize,
    /// What the latest answer would be based on.
    pub basis: Rc<Cell<Option<Basis>>>,
    /// Whether a record of this request may still be decided.
    pub open: Cell<bool>,
}

impl World for Visit {
    fn log_time(&self) -> LogTime {
        let node = self.sim.nodes[self.node].borrow();
        let log_clock = node.applied.log_clock().expect("it follows a log");
        let wall_us = self.sim.wall_us().saturating_add_signed(node.clock_ahead_ms * 1_000);
        log_clock.now(self.sim.now_us(), wall_us / 1_000)
    }

    fn monotonic_us(&self) -> u64 {
        self.sim.now_us()
    }

    fn keys(&self) -> &KeyFingerprints {
        &self.sim.keys
    }

    fn end_seen_us(&self) -> u64 {
        self.sim.nodes[self.node].borrow().applied.end_seen_us()
    }

    fn with_state<R>(&self, product: &ProductId, read: impl FnOnce(&SaleState) -> R) -> Option<R> {
        let applied = self.sim.nodes[self.node].borrow().applied.clone();
        applied.with_state(product, |state| {
            let (offset, generation) = (state.applied_offset(), state.generation());
            let end_seen_age_us = self.sim.now_us() - applied.end_seen_us();
            self.basis.set(Some(Basis::Memory { offset, generation, end_seen_age_us }));
            read(state)
        })
    }

    async fn admit(&self, product: &ProductId, buyer: &BuyerRef, _: Origin) -> Verdict {
        let (sim, late) = (&self.sim, self.sim.faults.borrow().gate_late);
        if sim.rng.per_mille(late) {
            sim.until(sim.now_us() + sim.rng.between(1, 200_000), |_| None::<()>).await;
        }
        let verdict = sim.gate.admit(self.node, product, buyer, sim.now_us());
        if sim.rng.per_mille(late) {
            sim.until(sim.now_us() + sim.rng.between(1, 200_000), |_| None::<()>).await;
        }
        verdict
    }

    fn release(&self, product: &ProductId, buyer: &BuyerRef) {
        self.sim.count("released");
        self.sim.write_gate(self.node, Change::Settled(vec![(*product, *buyer)]));
    }

    async fn propose(&self, append: Append, wait_us: u64) -> Proposed {
        let sim = &self.sim;
        let open = self.open.replace(true);
        sim.rules.borrow_mut().demand(!open, SENT_ONCE, || {
            format!("{:?} while an earlier one is undecided", append.record)
        });
        if sim.rng.per_mille(sim.faults.borrow().kills_before_log) {
            sim.count("fault: killed between gate and log");
            sim.schedule(0, Event::Crash { node: self.node });
            return std::future::pending().await;
        }
        let Some(sent) = sim.send(append.product, append.record, Some(self.request)) else {
            self.open.set(false);
            return Proposed::NotSent;
        };
        let slot = Rc::new(Slot { sent_us: sim.now_us(), ..Slot::default() });
        sim.nodes[self.node].borrow_mut().undecided.insert(sent, slot.clone());
        let end = sim.until(sim.now_us() + wait_us, |waker| {
            *slot.waker.borrow_mut() = Some(waker.clone());
            slot.end.take()
        });
        let end = end.await.unwrap_or(Proposed::TimedOut);
        if let Proposed::Decided(decided) = end {
            self.open.set(false);
            self.basis.set(Some(Basis::Log(decided)));
            if decided.outcome == Outcome::Stale {
                sim.count("stale, so proposed again or busy");
            }
        }
        end
    }

    async fn next_batch(&self, wait_us: u64) -> bool {
        let (sim, node) = (&self.sim, &self.sim.nodes[self.node]);
        let seen = node.borrow().batches;
        let came = sim.until(sim.now_us() + wait_us, |waker| {
            let mut node = node.borrow_mut();
            node.batch_waiters.push(waker.clone());
            (node.batches > seen).then_some(())
        });
        came.await.is_some()
    }
}
