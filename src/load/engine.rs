//! How a thread sends.
//!
//! Each connection is a task that belongs to one kind of sender, for its address is part of what it is.
//! [`closed`] and [`open`] differ in nothing but what makes a connection send next; [`crew`] starts the
//! threads.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::Stop;
use super::answer::Answer;
use super::plan::{Identity, Kind, Plan};
use super::senders::{Place, Senders};
use super::shot::{OrderWriter, Shot, Trick};
use super::tally::{Tally, histogram};
use super::timeline::Outcome;
use super::wire::{Connection, WireError};
use crate::clock::Clock;

mod closed;
mod crew;
mod open;
mod pause;

pub use crew::{Crew, Seat};
use crew::{Line, Part};

/// Time after the last attempt in which retries are still made, in milliseconds.
const RETRY_GRACE_MS: u64 = 3_000;
/// Time between two tries to connect again, in milliseconds.
const RECONNECT_MS: u64 = 100;
/// A retry for which the server names no time comes after this and up to as much again, in milliseconds.
const RETRY_MS: u64 = 100;

/// What comes after an answer.
enum Next {
    /// The attempt is over.
    Done,
    /// The same attempt once more, after so many milliseconds.
    Again(u64),
}

/// What all connections of a thread share.
struct Sender {
    plan: Plan,
    clock: Clock,
    stop: Stop,
    seat: Arc<Mutex<Seat>>,
    place: Place,
    start_us: u64,
    end_us: u64,
    attempts_left: Cell<u64>,
    waiting: Cell<u64>,
    skew_ms: Cell<i64>,
    last_answer_us: Cell<u64>,
    lost: Cell<bool>,
    writer: RefCell<OrderWriter>,
    choices: RefCell<Senders>,
    tally: RefCell<Tally>,
    recent: RefCell<Histogram<u64>>,
}

impl Sender {
    fn new(part: Part, start_us: u64) -> Self {
        let Part { plan, clock, stop, seat, number } = part;
        let (thread, threads) = (number as u64, plan.threads as u64);
        let writer = OrderWriter::new(
            plan.target.authority(),
            plan.product,
            plan.identity.clone(),
            plan.seed,
        );
        let place = Place {
            thread,
            threads,
            buyers: writer.buyers(),
            passes: matches!(plan.identity, Identity::Shoppers(_)),
            attacked: plan.mix.attacks(),
        };
        let rest = u64::from(thread < plan.attempts_max % threads);
        Self {
            place,
            start_us,
            end_us: start_us + plan.duration_ms_max * 1_000,
            attempts_left: Cell::new(plan.attempts_max / threads + rest),
            waiting: Cell::new(0),
            skew_ms: Cell::new(plan.skew_ms),
            last_answer_us: Cell::new(start_us),
            lost: Cell::new(false),
            writer: RefCell::new(writer),
            choices: RefCell::new(Senders::new(place, plan.seed)),
            tally: RefCell::new(Tally { forgets_orders: plan.forgets_orders, ..Tally::default() }),
            recent: RefCell::new(histogram()),
            plan,
            clock,
            stop,
            seat,
        }
    }

    /// The next attempt of a kind, unless the run is over.
    fn next(&self, kind: Kind, now_us: u64) -> Option<Shot> {
        let left = self.attempts_left.get();
        if left == 0 || now_us >= self.end_us || self.is_stopped() {
            return None;
        }
        self.attempts_left.set(left - 1);
        self.tally.borrow_mut().attempts[kind.index()] += 1;
        Some(self.choices.borrow_mut().next(kind))
    }

    fn is_stopped(&self) -> bool {
        self.lost.get() || self.stop.is_set()
    }

    /// The time until which a retry may be sent, in microseconds.
    fn retries_end_us(&self) -> u64 {
        self.end_us + RETRY_GRACE_MS * 1_000
    }

    /// Sends a shot that was due at `due_us` over a line, and says what comes next.
    async fn send(&self, line: &mut Line, shot: &Shot, due_us: u64, retries: u32) -> Next {
        match self.exchange(line, shot, due_us, retries).await {
            Ok(next) => next,
            Err(error) => {
                line.connection = None;
                self.failed(shot, &error, retries).await
            }
        }
    }

    async fn exchange(
        &self,
        line: &mut Line,
        shot: &Shot,
        due_us: u64,
        retries: u32,
    ) -> Result<Next, WireError> {
        let limit = Duration::from_millis(self.plan.answer_timeout_ms);
        let connection = match &mut line.connection {
            Some(connection) => connection,
            none => {
                let opening = Connection::open(&self.plan.target, line.source);
                let opened = tokio::time::timeout(limit, opening).await;
                none.insert(opened.unwrap_or(Err(WireError::TimedOut))?)
            }
        };
        let sent_ms = self.write(shot, due_us, &mut line.request);
        let exchange = tokio::time::timeout(limit, connection.exchange(&line.request)).await;
        let response = exchange.unwrap_or(Err(WireError::TimedOut))?;
        let now_us = self.clock.monotonic_us();
        let latency_us = now_us.saturating_sub(due_us);
        self.last_answer_us.set(now_us);
        let answer = match &self.plan.identity {
            Identity::Unsigned { .. } => Answer::read_plain(&response),
            _ => Answer::read(&response),
        };
        let mut tally = self.tally.borrow_mut();
        tally.answered(shot.trick, &answer, latency_us);
        tally.timeline.answered(self.since_start_us(now_us), Outcome::of(&answer), latency_us);
        drop(tally);
        self.recent.borrow_mut().saturating_record(latency_us);
        let next = self.after(shot, &answer, retries);
        if shot.trick == Trick::Order && !answer.is_open() && matches!(next, Next::Done) {
            // What is decided is overheard: to replay it must never win anything.
            self.choices.borrow_mut().overhear(Shot { time_ms: Some(sent_ms), ..*shot });
        }
        if response.close {
            line.connection = None;
        }
        Ok(next)
    }

    fn since_start_us(&self, now_us: u64) -> u64 {
        now_us.saturating_sub(self.start_us)
    }

    /// Signs as late as possible: the time in the request is the time at which it goes out, in Unix
    /// milliseconds of the server.
    fn write(&self, shot: &Shot, due_us: u64, request: &mut Vec<u8>) -> u64 {
        let now_ms = self.now_ms();
        request.clear();
        self.writer.borrow_mut().write(shot, now_ms, request);
        let lateness_us = self.clock.monotonic_us().saturating_sub(due_us);
        self.tally.borrow_mut().lateness.saturating_record(lateness_us);
        now_ms
    }

    /// The server's time as far as it is known, in Unix milliseconds.
    fn now_ms(&self) -> u64 {
        self.clock.unix_ms().saturating_add_signed(self.skew_ms.get())
    }

    fn after(&self, shot: &Shot, answer: &Answer<'_>, retries: u32) -> Next {
        if shot.trick != Trick::Order {
            return Next::Done;
        }
        if let (400, Some(server_ms)) = (answer.status, answer.server_time_ms) {
            self.skew_ms.set(server_ms as i64 - self.clock.unix_ms() as i64);
            return self.again(0, retries);
        }
        if let (403, Some(opens_at_ms)) = (answer.status, answer.opens_at_ms) {
            return self.again(opens_at_ms.saturating_sub(self.now_ms()), retries);
        }
        if answer.is_open() {
            let wait_ms = answer.retry_after_s.map_or(RETRY_MS, |seconds| seconds * 1_000);
            return self.again(wait_ms, retries);
        }
        self.tally.borrow_mut().settled += 1;
        Next::Done
    }

    /// Once more after `wait_ms` and some jitter, if there is a retry and time left.
    fn again(&self, wait_ms: u64, retries: u32) -> Next {
        let jitter_ms = self.choices.borrow_mut().below(wait_ms / 2 + RETRY_MS);
        let wait_ms = wait_ms + jitter_ms;
        let then_us = self.clock.monotonic_us() + wait_ms * 1_000;
        let mut tally = self.tally.borrow_mut();
        if retries >= self.plan.retries_max || then_us > self.retries_end_us() || self.is_stopped()
        {
            tally.given_up += 1;
            return Next::Done;
        }
        tally.retries += 1;
        Next::Again(wait_ms)
    }

    async fn failed(&self, shot: &Shot, error: &WireError, retries: u32) -> Next {
        let now_us = self.clock.monotonic_us();
        {
            let mut tally = self.tally.borrow_mut();
            tally.unanswered(shot.trick, error);
            tally.timeline.unanswered(self.since_start_us(now_us));
        }
        let silent_us = now_us.saturating_sub(self.last_answer_us.get());
        if matches!(error, WireError::Io(_)) && silent_us > self.plan.lost_after_ms * 1_000 {
            self.lost.set(true);
        }
        if matches!(error, WireError::Io(_)) {
            tokio::time::sleep(Duration::from_millis(RECONNECT_MS)).await;
        }
        if shot.trick == Trick::Order { self.again(RETRY_MS, retries) } else { Next::Done }
    }

    fn report(&self) {
        let mut seat = self.seat.lock();
        let mut recent = self.recent.borrow_mut();
        seat.counts = self.tally.borrow().counts;
        seat.waiting = self.waiting.get();
        if seat.recent.add(&*recent).is_ok() {
            recent.reset();
        }
    }

    fn finish(&self) -> Tally {
        self.report();
        let mut tally = self.tally.take();
        tally.elapsed_us = self.last_answer_us.get().saturating_sub(self.start_us);
        tally.server_lost = self.lost.get();
        let honest = tally.attempts[Kind::Honest.index()] * self.place.threads;
        tally.honest_buyers = self.place.honest_buyers_after(honest);
        tally
    }
}
