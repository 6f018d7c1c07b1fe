//! Simulated time, and the attempts' futures that run in it.
//!
//! Nothing here waits: time goes to the next event. Which of several futures that can go on is polled
//! first, and whether an event of the same moment comes before it, is drawn from the seed.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use super::rng::Rng;

pub type TaskId = u64;
type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The clock, the events to come, and the futures.
pub struct Executor<E> {
    now_us: Cell<u64>,
    tasks_made: Cell<TaskId>,
    events: RefCell<BinaryHeap<Reverse<Due<E>>>>,
    tasks: RefCell<BTreeMap<TaskId, Task>>,
    ready: Arc<Ready>,
}

/// What one step was.
pub enum Step<E> {
    /// A future was polled or woken.
    Polled,
    /// An event came due.
    Event(E),
    /// There is nothing left to happen.
    Nothing,
}

enum What<E> {
    Wake(Waker),
    Event(E),
}

struct Due<E> {
    at_us: u64,
    /// Drawn: events of the same moment come in any order.
    tie: u64,
    what: What<E>,
}

#[derive(Default)]
struct Ready(Mutex<Vec<TaskId>>);

struct TaskWaker {
    task: TaskId,
    ready: Arc<Ready>,
}

impl<E> Executor<E> {
    pub fn new() -> Self {
        Self {
            now_us: Cell::new(0),
            tasks_made: Cell::new(0),
            events: RefCell::default(),
            tasks: RefCell::default(),
            ready: Arc::default(),
        }
    }

    /// Microseconds since the run began. Never goes back.
    pub fn now_us(&self) -> u64 {
        self.now_us.get()
    }

    pub fn schedule(&self, rng: &Rng, delay_us: u64, event: E) {
        self.push(self.now_us() + delay_us, rng.next(), What::Event(event));
    }

    /// Wakes a future at a time.
    pub fn wake_at(&self, at_us: u64, waker: Waker) {
        self.push(at_us, 0, What::Wake(waker));
    }

    fn push(&self, at_us: u64, tie: u64, what: What<E>) {
        self.events.borrow_mut().push(Reverse(Due { at_us, tie, what }));
    }

    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) -> TaskId {
        let task = self.tasks_made.get();
        self.tasks_made.set(task + 1);
        self.tasks.borrow_mut().insert(task, Box::pin(future));
        self.ready.push(task);
        task
    }

    /// Drops a future where it stands. True if it had not ended.
    pub fn cancel(&self, task: TaskId) -> bool {
        let future = self.tasks.borrow_mut().remove(&task);
        future.is_some()
    }

    /// Drops all futures: they hold the world that holds them.
    pub fn clear(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
        self.events.borrow_mut().clear();
    }

    /// Does the next thing.
    pub fn step(&self, rng: &Rng) -> Step<E> {
        let due_now =
            self.events.borrow().peek().is_some_and(|Reverse(due)| due.at_us <= self.now_us());
        let ready = self.ready.take(rng, due_now);
        if let Some(task) = ready {
            self.poll(task);
            return Step::Polled;
        }
        let Some(Reverse(due)) = self.events.borrow_mut().pop() else {
            return Step::Nothing;
        };
        self.now_us.set(self.now_us().max(due.at_us));
        match due.what {
            What::Event(event) => Step::Event(event),
            What::Wake(waker) => {
                waker.wake();
                Step::Polled
            }
        }
    }

    fn poll(&self, task: TaskId) {
        let Some(mut future) = self.tasks.borrow_mut().remove(&task) else {
            return;
        };
        let waker = Waker::from(Arc::new(TaskWaker { task, ready: self.ready.clone() }));
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.tasks.borrow_mut().insert(task, future);
        }
    }
}

impl Ready {
    fn push(&self, task: TaskId) {
        self.0.lock().unwrap().push(task);
    }

    /// One of the futures that can go on; none, perhaps, if an event is due as well.
    fn take(&self, rng: &Rng, event_due: bool) -> Option<TaskId> {
        let mut ready = self.0.lock().unwrap();
        if ready.is_empty() || (event_due && rng.per_mille(500)) {
            return None;
        }
        let index = rng.index(ready.len());
        Some(ready.swap_remove(index))
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.task);
    }
}

impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl<E> Eq for Due<E> {}
impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<E> Ord for Due<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_us, self.tie).cmp(&(other.at_us, other.tie))
    }
}
