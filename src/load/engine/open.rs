//! Open loop: attempts arrive by a schedule, whether or not earlier ones were answered. One that finds no
//! free connection waits, and its latency runs from the time at which it was due.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::crew::Line;
use super::pause::Pauses;
use super::{Next, Sender};
use crate::load::plan::Kind;
use crate::load::profile;
use crate::load::shot::Shot;

/// Longest pause of the dispatcher, in microseconds: so often it looks whether the run is over.
const PAUSE_US_MAX: u64 = 20_000;

/// An attempt that is due.
struct Job {
    kind: Kind,
    shot: Shot,
    due_us: u64,
    retries: u32,
}

/// Attempts of one kind that wait for one of its connections.
#[derive(Default)]
struct Lane {
    jobs: RefCell<VecDeque<Job>>,
    closed: Cell<bool>,
    news: Notify,
}

impl Lane {
    fn put(&self, job: Job) {
        self.jobs.borrow_mut().push_back(job);
        self.news.notify_one();
    }

    async fn take(&self) -> Option<Job> {
        loop {
            if let Some(job) = self.jobs.borrow_mut().pop_front() {
                return Some(job);
            }
            if self.closed.get() {
                return None;
            }
            self.news.notified().await;
        }
    }

    /// No more will come; what still waits is dropped and counted.
    fn close(&self) -> u64 {
        self.closed.set(true);
        self.news.notify_waiters();
        self.jobs.borrow_mut().drain(..).count() as u64
    }
}

/// A retry in the order of its time; the number makes the order total.
type Later = Reverse<(u64, u64)>;

/// The schedule of one thread.
struct Schedule {
    sender: Rc<Sender>,
    lanes: [Lane; 4],
    later: RefCell<BinaryHeap<Later>>,
    retries: RefCell<hashbrown::HashMap<u64, Job>>,
    retry_numbers: Cell<u64>,
    /// Attempts that are not over: waiting, on the wire, or to be retried.
    unfinished: Cell<u64>,
}

/// Runs the schedule to its end, and waits for the last answers.
pub(super) async fn run(sender: &Rc<Sender>, lines: Vec<Line>, per_second: u32) {
    let schedule = Rc::new(Schedule {
        sender: sender.clone(),
        lanes: Default::default(),
        later: RefCell::default(),
        retries: RefCell::default(),
        retry_numbers: Cell::new(0),
        unfinished: Cell::new(0),
    });
    let mut tasks = JoinSet::new();
    for line in lines {
        tasks.spawn_local(serve(schedule.clone(), line));
    }
    schedule.dispatch(per_second).await;
    for lane in &schedule.lanes {
        sender.tally.borrow_mut().unsent += lane.close();
    }
    while tasks.join_next().await.is_some() {}
}

async fn serve(schedule: Rc<Schedule>, mut line: Line) {
    let lane = &schedule.lanes[line.kind.index()];
    while let Some(job) = lane.take().await {
        match schedule.sender.send(&mut line, &job.shot, job.due_us, job.retries).await {
            Next::Done => schedule.unfinished.update(|count| count - 1),
            Next::Again(wait_ms) => schedule.put_off(job, wait_ms),
        }
    }
}

impl Schedule {
    async fn dispatch(&self, per_second: u32) {
        let sender = &self.sender;
        let pauses = Pauses::new();
        let mut arrivals = Arrivals::new(sender, per_second);
        loop {
            let now_us = sender.clock.monotonic_us();
            while let Some(job) = arrivals.next_if_due(now_us) {
                self.unfinished.update(|count| count + 1);
                self.lanes[job.kind.index()].put(job);
            }
            self.put_retries(now_us);
            let waiting: usize = self.lanes.iter().map(|lane| lane.jobs.borrow().len()).sum();
            sender.waiting.set(waiting as u64);
            let over = arrivals.are_over() && self.unfinished.get() == 0;
            if over || sender.is_stopped() || now_us > sender.retries_end_us() {
                return;
            }
            let next_us = arrivals.due_us().min(self.next_retry_us());
            let pause_us = next_us.saturating_sub(now_us).min(PAUSE_US_MAX);
            pauses.wait(Duration::from_micros(pause_us)).await;
        }
    }

    fn put_off(&self, job: Job, wait_ms: u64) {
        let number = self.retry_numbers.get();
        self.retry_numbers.set(number + 1);
        let due_us = self.sender.clock.monotonic_us() + wait_ms * 1_000;
        self.later.borrow_mut().push(Reverse((due_us, number)));
        self.retries.borrow_mut().insert(number, Job { due_us, retries: job.retries + 1, ..job });
    }

    fn put_retries(&self, now_us: u64) {
        let mut later = self.later.borrow_mut();
        while let Some(Reverse((due_us, number))) = later.peek().copied() {
            if due_us > now_us {
                return;
            }
            later.pop();
            if let Some(job) = self.retries.borrow_mut().remove(&number) {
                self.lanes[job.kind.index()].put(job);
            }
        }
    }

    fn next_retry_us(&self) -> u64 {
        self.later.borrow().peek().map_or(u64::MAX, |Reverse((due_us, _))| *due_us)
    }
}

/// The attempts of one thread, spaced by the schedule; the threads take turns.
struct Arrivals<'a> {
    sender: &'a Sender,
    schedule: profile::Schedule,
    number: u64,
    /// When the next is due; `None` when there are no more.
    due_us: Option<u64>,
}

impl<'a> Arrivals<'a> {
    fn new(sender: &'a Sender, per_second: u32) -> Self {
        let length_us = sender.plan.duration_ms_max * 1_000;
        let schedule = profile::Schedule::new(sender.plan.profile, per_second, length_us);
        let mut arrivals = Self { sender, schedule, number: sender.place.thread, due_us: None };
        arrivals.look_up();
        arrivals
    }

    fn look_up(&mut self) {
        let due_us = self.schedule.due_us(self.number);
        self.due_us = due_us.map(|due_us| self.sender.start_us + due_us);
    }

    fn are_over(&self) -> bool {
        self.due_us.is_none()
    }

    fn due_us(&self) -> u64 {
        self.due_us.unwrap_or(u64::MAX)
    }

    fn next_if_due(&mut self, now_us: u64) -> Option<Job> {
        let due_us = self.due_us.filter(|due_us| *due_us <= now_us)?;
        let mix = &self.sender.plan.mix;
        let kind = mix.kind_at(self.sender.choices.borrow_mut().below(mix.total()));
        let Some(shot) = self.sender.next(kind, due_us) else {
            self.due_us = None;
            return None;
        };
        let since_start_us = self.sender.since_start_us(due_us);
        self.sender.tally.borrow_mut().timeline.due(since_start_us);
        self.number += self.sender.place.threads;
        self.look_up();
        Some(Job { kind, shot, due_us, retries: 0 })
    }
}
