//! Shoppers: they ask under new keys and old ones, twice at once, hang up, and in the end ask until they
//! know.

use std::cell::Cell;
use std::rc::Rc;

use flux_gate::gate::Origin;
use flux_gate::log::LogClock;
use flux_gate::place_order::{Answer, Attempt, place_order};
use flux_gate::sale::{BuyerRef, Duplicate, DuplicateReason, OrderId, ProductId, UserId};

use super::executor::TaskId;
use super::node::Visit;
use super::rules::Basis;
use super::world::{Event, Phase, Sim};

/// Keys that a client uses before the end.
const KEYS_MAX: usize = 5;

pub struct Client {
    product: ProductId,
    buyer: BuyerRef,
    user: UserId,
    keys: Vec<Key>,
    in_flight: usize,
    /// The latest answer that says where the client stands.
    latest: Option<Answer>,
    /// Whether it knows that there is no more for it.
    pub done: bool,
}

#[derive(Clone, Copy)]
struct Key {
    order_id: OrderId,
    settled: bool,
}

/// One HTTP request.
pub struct Request {
    client: usize,
    key: usize,
    pub node: usize,
    task: TaskId,
    ended: bool,
}

impl Client {
    pub fn new(sim: &Sim, number: usize) -> Self {
        let product = sim.products[number % sim.products.len()];
        Self {
            product,
            buyer: BuyerRef::from_bytes(sim.rng.bytes()),
            user: format!("user-{number}").parse().unwrap(),
            keys: Vec::new(),
            in_flight: 0,
            latest: None,
            done: false,
        }
    }

    pub fn buyer_of(&self, product: &ProductId) -> Option<BuyerRef> {
        (self.product == *product).then_some(self.buyer)
    }

    fn new_key(&mut self, sim: &Sim) -> usize {
        let order_id = OrderId::from_random_bytes(sim.rng.bytes());
        self.keys.push(Key { order_id, settled: false });
        self.keys.len() - 1
    }

    fn unsettled(&self) -> Option<usize> {
        self.keys.iter().position(|key| !key.settled)
    }
}

impl Sim {
    /// A client does what it does next.
    pub fn shop(self: &Rc<Self>, number: usize) {
        if self.phase() == Phase::Final {
            self.finish(number);
            return;
        }
        let hang_ups = self.faults.borrow().hang_ups;
        let mut clients = self.clients.borrow_mut();
        let client = &mut clients[number];
        let fresh =
            client.keys.is_empty() || (client.keys.len() < KEYS_MAX && self.rng.per_mille(400));
        let key = match client.unsettled() {
            _ if fresh => client.new_key(self),
            Some(key) if self.rng.per_mille(700) => key,
            _ => self.rng.index(client.keys.len()),
        };
        let times = if self.rng.per_mille(200) { 2 } else { 1 };
        drop(clients);
        for _ in 0..times {
            let request = self.ask(number, key);
            if let Some(request) = request
                && self.rng.per_mille(hang_ups)
            {
                self.schedule(self.rng.between(1, 30_000), Event::HangUp(request));
            }
        }
        let pause_us = match self.phase() {
            Phase::Faulty => self.rng.pick(&[3_000, 150_000, 600_000, 2_000_000]),
            _ => 4_000_000,
        };
        self.schedule(self.rng.between(1, pause_us), Event::Shop(number));
    }

    /// In the end: settle every key, then buy on until told that there is no more.
    fn finish(self: &Rc<Self>, number: usize) {
        let mut clients = self.clients.borrow_mut();
        let client = &mut clients[number];
        let mut pause_us = self.rng.between(50_000, 400_000);
        let key = match (client.unsettled(), client.latest) {
            _ if client.in_flight > 0 => None,
            (Some(key), _) => Some(key),
            (None, Some(Answer::SoldOut | Answer::LimitReached | Answer::Closed)) => {
                client.done = true;
                return;
            }
            (None, Some(Answer::Paused | Answer::NotOpen { .. })) => {
                client.done = true;
                return;
            }
            (None, Some(Answer::Duplicate(duplicate))) if in_window(duplicate) => {
                client.latest = None;
                pause_us = 2_000_000;
                None
            }
            (None, _) => Some(client.new_key(self)),
        };
        drop(clients);
        if let Some(key) = key {
            self.ask(number, key);
        }
        self.schedule(pause_us, Event::Shop(number));
    }

    /// Sends a request to a node that is up.
    fn ask(self: &Rc<Self>, number: usize, key: usize) -> Option<usize> {
        let up: Vec<usize> =
            (0..self.nodes.len()).filter(|&node| self.nodes[node].borrow().up).collect();
        if up.is_empty() {
            return None;
        }
        let node = self.rng.pick(&up);
        let mut clients = self.clients.borrow_mut();
        let client = &mut clients[number];
        client.in_flight += 1;
        let (product, buyer, user) = (client.product, client.buyer, client.user);
        let (order_id, origin) = (client.keys[key].order_id, Origin::default());
        let attempt = Attempt { product, buyer, user, order_id, origin };
        let mut requests = self.requests.borrow_mut();
        let request = requests.len();
        self.trace(|| format!("ask {request}: client {number}, key {key}, node {node}"));
        let basis = Rc::<Cell<Option<Basis>>>::default();
        let open = Cell::new(false);
        let visit = Visit { sim: self.clone(), node, request, basis: basis.clone(), open };
        let task = self.executor.spawn(async move {
            let answer = place_order(&visit, &attempt).await;
            visit.sim.answered(request, &attempt, answer, basis.get());
        });
        self.nodes[node].borrow_mut().tasks.insert(task);
        requests.push(Request { client: number, key, node, task, ended: false });
        Some(request)
    }

    fn answered(&self, request: usize, attempt: &Attempt, answer: Answer, basis: Option<Basis>) {
        self.trace(|| format!("answer {request}: {answer:?} by {basis:?}"));
        self.count(word(&answer));
        if let Some(Basis::Memory { .. }) = basis {
            let node = self.requests.borrow()[request].node;
            let applied = self.nodes[node].borrow().applied.clone();
            let known = applied.log_clock().is_some_and(LogClock::is_known);
            applied.with_state(&attempt.product, |state| {
                self.rules.borrow_mut().by_the_logs_time(answer, state, known, self.now_us());
            });
        }
        self.rules.borrow_mut().answered(request, attempt, answer, basis, self.now_us());
        let (number, key) = self.end(request);
        let mut clients = self.clients.borrow_mut();
        let client = &mut clients[number];
        let settled = !matches!(
            answer,
            Answer::Pending
                | Answer::OutcomeUnknown
                | Answer::UnknownProduct
                | Answer::Busy
                | Answer::OverRate { .. }
                | Answer::LogBehind
                | Answer::OtherKeys
        );
        client.keys[key].settled |= settled;
        if settled && self.phase() == Phase::Final {
            client.latest = Some(answer);
        }
    }

    /// The request is over, whoever ended it.
    fn end(&self, request: usize) -> (usize, usize) {
        let mut requests = self.requests.borrow_mut();
        let request = &mut requests[request];
        request.ended = true;
        self.nodes[request.node].borrow_mut().tasks.remove(&request.task);
        self.clients.borrow_mut()[request.client].in_flight -= 1;
        (request.client, request.key)
    }

    /// A client hangs up: its future is dropped where it stands.
    pub fn hang_up(&self, request: usize) {
        let (ended, task) = {
            let request = &self.requests.borrow()[request];
            (request.ended, request.task)
        };
        if !ended && self.executor.cancel(task) {
            self.count("fault: hung up");
            self.end(request);
        }
    }

    /// A node's requests vanish with it.
    pub fn drop_requests(&self, node: usize) {
        let of_node = |(index, request): (usize, &Request)| {
            (request.node == node && !request.ended).then_some(index)
        };
        let requests: Vec<usize> =
            self.requests.borrow().iter().enumerate().filter_map(of_node).collect();
        for request in requests {
            self.executor.cancel(self.requests.borrow()[request].task);
            self.end(request);
        }
    }
}

fn in_window(duplicate: Duplicate) -> bool {
    duplicate.reason == DuplicateReason::RepeatWindow
}

fn word(answer: &Answer) -> &'static str {
    match answer {
        Answer::Accepted => "accepted",
        Answer::Duplicate(duplicate) if in_window(*duplicate) => "duplicate: repeat window",
        Answer::Duplicate(_) => "duplicate: same key",
        Answer::Pending => "pending",
        Answer::OutcomeUnknown => "outcome unknown",
        Answer::SoldOut => "sold out",
        Answer::LimitReached => "limit reached",
        Answer::NotOpen { .. } => "not open",
        Answer::Closed => "closed",
        Answer::Paused => "paused",
        Answer::UnknownProduct => "unknown product",
        Answer::Busy => "busy",
        Answer::OverRate { .. } => "over the rate",
        Answer::LogBehind => "log behind",
        Answer::OtherKeys => "other keys",
    }
}
