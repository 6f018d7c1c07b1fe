//! A run: nodes, gate, log, worker, clients and operators, on one clock and one seed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use flux_gate::log::Level;
use flux_gate::sale::record::KeyFingerprints;
use flux_gate::sale::{Book, ProductId, Record};

use super::clients::{Client, Request};
use super::executor::{Executor, Step};
use super::faults::{Faults, Plan};
use super::gate::{Change, FakeGate};
use super::log::{FakeLog, Sent};
use super::node::Node;
use super::rng::Rng;
use super::rules::{Broken, RULE_5, Rules};
use super::worker::{self, Workers};

/// Until the last record that was late has arrived, microseconds.
const DRAIN_US: u64 = 20_000_000;
/// Until the sales are set to run for the end: after the last late record, before the last asking.
const SET_RUNNING_US: u64 = 18_000_000;
/// Until the gate has given up a place whose decision was lost.
const PLACE_US: u64 = flux_gate::gate::memory::PENDING_LIFETIME_US + 1_000_000;
/// How long clients may need to settle everything when nothing is wrong any more.
const SETTLE_US_MAX: u64 = 300_000_000;
const TICK_US: u64 = 500_000;

/// What happens at a time.
pub enum Event {
    Append(Sent),
    Unacknowledged { request: usize, sent: u64 },
    Follow { node: usize, life: u32 },
    Tick { node: usize },
    GateWrite(Change),
    Crash { node: usize },
    Restart { node: usize },
    Shop(usize),
    HangUp(usize),
    Operate,
    Work(usize),
    Fault,
    SetRunning,
    Phase(Phase),
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Things go wrong.
    Faulty,
    /// Nothing new goes wrong; what is late arrives.
    Draining,
    /// Clients ask until they know.
    Final,
}

/// How often what happened, over a run or many.
pub type Counts = BTreeMap<&'static str, u64>;

pub struct Sim {
    pub plan: Plan,
    pub rng: Rng,
    pub products: Vec<ProductId>,
    /// Of all nodes and sales.
    pub keys: KeyFingerprints,
    pub executor: Executor<Event>,
    pub faults: RefCell<Faults>,
    pub log: RefCell<FakeLog>,
    pub gate: FakeGate,
    pub nodes: Vec<RefCell<Node>>,
    pub clients: RefCell<Vec<Client>>,
    pub requests: RefCell<Vec<Request>>,
    pub workers: RefCell<Workers>,
    pub rules: RefCell<Rules>,
    /// See [`Faults::places_leak`].
    pub places_leak: bool,
    phase: Cell<Phase>,
    counts: RefCell<Counts>,
    trace: Option<RefCell<Vec<String>>>,
}

/// How to run a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Plain,
    /// Tells its story.
    Traced,
    /// Goes on where the recount differs, to see which rule falls.
    Survey,
}

/// What a run came to.
pub struct Run {
    pub broken: Option<Broken>,
    pub counts: Counts,
    pub trace: Vec<String>,
}

/// Runs one seed from beginning to end, or until a rule falls.
pub fn run(seed: u64, how: How) -> Run {
    let sim = Rc::new(Sim::new(seed, how));
    let broken = sim.to_the_end();
    sim.executor.clear();
    let trace = sim.trace.as_ref().map(RefCell::take).unwrap_or_default();
    Run { broken, counts: sim.counts.take(), trace }
}

impl Sim {
    fn new(seed: u64, how: How) -> Self {
        let rng = Rng::new(seed);
        let plan = Plan::draw(&rng);
        let faults = Faults::draw(&rng);
        let node = |_| RefCell::new(Node::start(Book::default(), 0, 0, 0, 0));
        Self {
            products: (0..plan.sales.len()).map(|n| format!("p-{n}").parse().unwrap()).collect(),
            keys: KeyFingerprints::default(),
            executor: Executor::new(),
            log: RefCell::default(),
            gate: FakeGate::new(plan.rate, plan.nodes),
            nodes: (0..plan.nodes).map(node).collect(),
            clients: RefCell::default(),
            requests: RefCell::default(),
            workers: RefCell::default(),
            rules: RefCell::new(Rules::new(
                faults.clocks_agree(),
                faults.log_clock == 0,
                plan.nodes == 1,
                how == How::Survey,
            )),
            places_leak: faults.places_leak(),
            phase: Cell::new(Phase::Faulty),
            counts: RefCell::default(),
            trace: (how == How::Traced).then(RefCell::default),
            faults: RefCell::new(faults),
            plan,
            rng,
        }
    }

    fn to_the_end(self: &Rc<Self>) -> Option<Broken> {
        self.begin();
        let mut rest_us = None;
        loop {
            let step = self.executor.step(&self.rng);
            self.count("steps");
            match step {
                Step::Polled => {}
                Step::Event(event) => self.happen(event),
                Step::Nothing => unreachable!("the nodes tick for ever"),
            }
            if self.rules.borrow().broken.is_some() {
                break;
            }
            if self.phase() != Phase::Final {
                continue;
            }
            if rest_us.is_none() && self.clients.borrow().iter().all(|client| client.done) {
                rest_us = Some(self.now_us() + PLACE_US);
            }
            if rest_us.is_some_and(|at_us| self.now_us() >= at_us) {
                self.at_rest();
                break;
            }
            let in_time = self.now_us() < self.plan.faulty_us + DRAIN_US + SETTLE_US_MAX;
            let mut rules = self.rules.borrow_mut();
            rules.demand(in_time, RULE_5, || "clients do not come to an end".to_owned());
        }
        self.counts.borrow_mut().insert("open cases", self.rules.borrow().open_cases);
        self.rules.borrow_mut().verdict()
    }

    fn begin(self: &Rc<Self>) {
        for number in 0..self.plan.clients {
            let client = Client::new(self, number);
            self.clients.borrow_mut().push(client);
            self.schedule(self.rng.below(1_000_000), Event::Shop(number));
        }
        for (number, (terms, at_us)) in self.plan.sales.iter().enumerate() {
            let (product, record) = (self.products[number], Record::SaleOpened(terms.clone()));
            let sent = Sent { id: 0, at_us: 0, request: None, node: None, product, record };
            self.log.borrow_mut().on_the_way += 1;
            self.schedule(*at_us, Event::Append(sent));
        }
        for node in 0..self.nodes.len() {
            self.schedule(self.rng.below(TICK_US), Event::Tick { node });
        }
        self.schedule(self.rng.below(1_000_000), Event::Operate);
        for worker in 0..worker::WORKERS {
            self.schedule(self.rng.below(1_000_000), Event::Work(worker));
        }
        self.schedule(self.rng.below(1_000_000), Event::Fault);
        self.schedule(self.plan.faulty_us, Event::Phase(Phase::Draining));
        self.schedule(self.plan.faulty_us + SET_RUNNING_US, Event::SetRunning);
        self.schedule(self.plan.faulty_us + DRAIN_US, Event::Phase(Phase::Final));
    }

    fn happen(self: &Rc<Self>, event: Event) {
        match event {
            Event::Append(sent) => self.append(sent),
            Event::Unacknowledged { request, sent } => self.unacknowledged(request, sent),
            Event::Follow { node, life } => self.follow(node, life),
            Event::Tick { node } => self.tick(node),
            Event::GateWrite(change) => self.gate.write_shared(&change, self.now_us()),
            Event::Crash { node } => self.crash(node),
            Event::Restart { node } => self.restart(node),
            Event::Shop(client) => self.shop(client),
            Event::HangUp(request) => self.hang_up(request),
            Event::Operate => self.operate(),
            Event::Work(worker) => self.work(worker),
            Event::Fault => self.strike(),
            Event::SetRunning => self.set_running(),
            Event::Phase(phase) => self.enter(phase),
        }
    }

    fn enter(self: &Rc<Self>, phase: Phase) {
        self.trace(|| format!("phase {phase:?}"));
        self.phase.set(phase);
        match phase {
            Phase::Faulty | Phase::Final => {}
            Phase::Draining => {
                *self.faults.borrow_mut() = Faults::default();
                self.gate.down_until_us.set(0);
                if self.gate.poisoned.get() {
                    self.gate.wipe();
                }
            }
        }
    }

    fn tick(&self, node: usize) {
        if self.nodes[node].borrow().up {
            self.level_gate(node);
            self.follow_soon(node);
        }
        self.schedule(TICK_US, Event::Tick { node });
    }

    /// One of the faults that come by themselves.
    fn strike(&self) {
        if self.phase() != Phase::Faulty {
            return;
        }
        let (rng, faults, now_us) = (&self.rng, *self.faults.borrow(), self.now_us());
        let node = rng.index(self.nodes.len());
        if rng.per_mille(faults.stalls) {
            self.count("fault: log stalled");
            self.log.borrow_mut().stalled_until_us = now_us + rng.between(10_000, 5_000_000);
        }
        if rng.per_mille(faults.gate_wiped) {
            self.count("fault: gate wiped");
            self.gate.wipe();
        }
        if rng.per_mille(faults.gate_forged) {
            self.count("fault: gate forged");
            self.gate.forge(self.forged_level());
        }
        if rng.per_mille(faults.gate_down) {
            self.count("fault: gate down");
            self.gate.down_until_us.set(now_us + rng.between(10_000, 3_000_000));
        }
        if rng.per_mille(faults.node_clocks) {
            self.count("fault: node's clock set");
            self.nodes[node].borrow_mut().clock_ahead_ms = self.wrong_clock(&[100, 5_000, 180_000]);
        }
        if rng.per_mille(faults.log_clock) {
            self.count("fault: log's clock set");
            self.log.borrow_mut().clock_ahead_ms = self.wrong_clock(&[100, 5_000, 60_000]);
        }
        if rng.per_mille(faults.crashes) {
            self.crash(node);
        }
        self.schedule(rng.between(10_000, 1_500_000), Event::Fault);
    }

    fn wrong_clock(&self, ranges_ms: &[u64]) -> i64 {
        let range_ms = self.rng.pick(ranges_ms);
        self.rng.below(2 * range_ms) as i64 - range_ms as i64
    }

    /// Mostly a wrong number as of the latest offset; sometimes as of an offset that is yet to come.
    fn forged_level(&self) -> Level {
        let product = self.rng.pick(&self.products);
        let log = self.log.borrow();
        let latest = log.entries.iter().rev().find(|entry| entry.product == product);
        let latest = latest.map_or(0, |entry| entry.offset);
        let offset = self.rng.pick(&[latest, latest, latest + 3, u64::MAX - 1]);
        self.gate.poisoned.set(self.gate.poisoned.get() || offset > latest);
        Level { product, offset, remaining: self.rng.pick(&[0, 1_000_000]) }
    }

    pub fn crash(&self, node: usize) {
        if !self.nodes[node].borrow().up {
            return;
        }
        self.count("fault: node crashed");
        self.trace(|| format!("node {node} crashes"));
        self.drop_requests(node);
        self.nodes[node].borrow_mut().up = false;
        self.gate.wipe_local(node);
        self.schedule(self.rng.between(1_000, 2_000_000), Event::Restart { node });
    }

    fn restart(&self, node: usize) {
        let (life, ahead_ms) = {
            let node = self.nodes[node].borrow();
            (node.life + 1, node.clock_ahead_ms)
        };
        let started = {
            let entries = &self.log.borrow().entries;
            let from_ledger = self.rng.per_mille(self.faults.borrow().from_ledger);
            let kept = if from_ledger { self.ledger().progress } else { 0 };
            if from_ledger {
                self.count("fault: started from the ledger");
            }
            let mut book = worker::restored(entries, kept);
            for entry in &entries[kept..] {
                book.apply(entry);
            }
            Node::start(book, entries.len(), life, ahead_ms, self.now_us())
        };
        *self.nodes[node].borrow_mut() = started;
        self.level_gate(node);
    }

    pub fn now_us(&self) -> u64 {
        self.executor.now_us()
    }

    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub fn schedule(&self, delay_us: u64, event: Event) {
        self.executor.schedule(&self.rng, delay_us, event);
    }

    pub fn count(&self, what: &'static str) {
        *self.counts.borrow_mut().entry(what).or_default() += 1;
    }

    pub fn trace(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            trace.borrow_mut().push(format!("{:>10} {}", self.now_us(), line()));
        }
    }
}
