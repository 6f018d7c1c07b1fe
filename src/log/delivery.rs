//! From the thread that decides to the threads that wait: one message a thread and batch.
//!
//! Waking another thread costs a system call, so the log sends each thread all decisions of a batch in
//! one message, and the thread's own task wakes whoever waits. A slot is freed only when its decision has
//! come (or the log has ended), so a late decision never reaches somebody else.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Decided, Lost};

/// Where a decision goes: a thread, and a slot of that thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    port: u32,
    slot: u32,
}

/// The decisions of one batch for one thread, by slot. May be empty: then only the batch is announced.
type Message = Vec<(u32, Result<Decided, Lost>)>;

struct Port {
    sender: UnboundedSender<Message>,
    wants_batch: Arc<AtomicBool>,
}

/// The side of the log: all threads that take part. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Ports(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    /// By number. A number is never used again, as decisions for it may be under way.
    ports: Vec<Option<Port>>,
    closed: bool,
}

impl Ports {
    /// Opens this thread's inbox, inside a `LocalSet`.
    pub(super) fn open(&self) -> Inbox {
        let (sender, receiver) = unbounded_channel();
        let wants_batch = Arc::new(AtomicBool::new(false));
        let mut open = self.0.lock();
        let number = open.ports.len() as u32;
        let port = Port { sender, wants_batch: Arc::clone(&wants_batch) };
        let port = (!open.closed).then_some(port);
        open.ports.push(port);
        drop(open);
        let local = Rc::new(Local { port: number, wants_batch, waiting: RefCell::default() });
        tokio::task::spawn_local(hand_out(Rc::clone(&local), receiver));
        Inbox(local)
    }

    /// Sends every thread its decisions, and announces the batch to those that wait for one.
    pub(super) fn deliver(&self, decided: impl Iterator<Item = (Ticket, Decided)>) {
        self.send(decided.map(|(ticket, decided)| (ticket, Ok(decided))));
    }

    /// Gives up on records whose decision will not come any more. Of no effect on what has been decided.
    #[cfg(feature = "distributed")]
    pub(super) fn give_up(&self, tickets: impl Iterator<Item = Ticket>) {
        self.send(tickets.map(|ticket| (ticket, Err(Lost))));
    }

    fn send(&self, ends: impl Iterator<Item = (Ticket, Result<Decided, Lost>)>) {
        let mut open = self.0.lock();
        let mut messages: Vec<Message> = vec![Vec::new(); open.ports.len()];
        for (ticket, end) in ends {
            messages[ticket.port as usize].push((ticket.slot, end));
        }
        for (port, message) in open.ports.iter_mut().zip(messages) {
            let gone = port.as_ref().is_some_and(|port| {
                let wanted = port.wants_batch.swap(false, Ordering::SeqCst);
                (wanted || !message.is_empty()) && port.sender.send(message).is_err()
            });
            if gone {
                *port = None;
            }
        }
    }

    /// Ends all inboxes: what is undecided is lost.
    pub(super) fn close(&self) {
        let mut open = self.0.lock();
        open.closed = true;
        open.ports.iter_mut().for_each(|port| *port = None);
    }
}

/// The side of a thread.
pub(super) struct Inbox(Rc<Local>);

struct Local {
    port: u32,
    wants_batch: Arc<AtomicBool>,
    waiting: RefCell<Waiting>,
}

#[derive(Default)]
struct Waiting {
    slots: Slab<Slot>,
    batch_waiters: Slab<Waker>,
    batches: u64,
    ended: bool,
}

enum Slot {
    Waiting(Option<Waker>),
    Decided(Result<Decided, Lost>),
    /// Nobody waits any more, but the decision is still to come.
    Abandoned,
}

async fn hand_out(local: Rc<Local>, mut receiver: UnboundedReceiver<Message>) {
    while let Some(message) = receiver.recv().await {
        let mut waiting = local.waiting.borrow_mut();
        for (slot, end) in message {
            waiting.decide(slot as usize, end);
        }
        waiting.batches += 1;
        waiting.wake_batch_waiters();
    }
    let mut waiting = local.waiting.borrow_mut();
    waiting.ended = true;
    waiting.wake_batch_waiters();
    for (_, slot) in &mut waiting.slots {
        if let Slot::Waiting(Some(waker)) = slot {
            waker.wake_by_ref();
        }
    }
}

impl Waiting {
    fn decide(&mut self, key: usize, end: Result<Decided, Lost>) {
        match std::mem::replace(&mut self.slots[key], Slot::Decided(end)) {
            Slot::Waiting(Some(waker)) => waker.wake(),
            Slot::Abandoned => drop(self.slots.remove(key)),
            Slot::Waiting(None) | Slot::Decided(_) => {}
        }
    }

    fn wake_batch_waiters(&self) {
        self.batch_waiters.iter().for_each(|(_, waker)| waker.wake_by_ref());
    }
}

impl Inbox {
    /// Whether the log has stopped.
    pub(super) fn ended(&self) -> bool {
        self.0.waiting.borrow().ended
    }

    /// A slot for a record that is about to be queued.
    pub(super) fn reserve(&self) -> Undecided {
        let slot = self.0.waiting.borrow_mut().slots.insert(Slot::Waiting(None));
        Undecided { local: Rc::clone(&self.0), slot: Some(slot) }
    }

    pub(super) fn next_batch(&self) -> NextBatch {
        // Before the caller looks at the state: a batch that it does not see there finds the flag set.
        self.0.wants_batch.store(true, Ordering::SeqCst);
        let after = self.0.waiting.borrow().batches;
        NextBatch { local: Rc::clone(&self.0), after, waiter: None }
    }
}

/// A queued record's decision to come. Dropping it does not take the record back.
pub struct Undecided {
    local: Rc<Local>,
    slot: Option<usize>,
}

impl Undecided {
    pub(super) fn ticket(&self) -> Ticket {
        let slot = self.slot.expect("taken only when the decision is handed out");
        Ticket { port: self.local.port, slot: slot as u32 }
    }

    /// Gives the slot back at once: the record was not queued, no decision will come.
    pub(super) fn release(mut self) {
        if let Some(slot) = self.slot.take() {
            self.local.waiting.borrow_mut().slots.remove(slot);
        }
    }
}

impl Future for Undecided {
    type Output = Result<Decided, Lost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(key) = self.slot else { return Poll::Pending };
        let mut waiting = self.local.waiting.borrow_mut();
        let ended = waiting.ended;
        let answer = match &mut waiting.slots[key] {
            Slot::Decided(end) => *end,
            _ if ended => Err(Lost),
            slot => {
                *slot = Slot::Waiting(Some(context.waker().clone()));
                return Poll::Pending;
            }
        };
        waiting.slots.remove(key);
        drop(waiting);
        self.slot = None;
        Poll::Ready(answer)
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        let Some(key) = self.slot else { return };
        let mut waiting = self.local.waiting.borrow_mut();
        if waiting.ended || matches!(waiting.slots[key], Slot::Decided(_)) {
            waiting.slots.remove(key);
        } else {
            waiting.slots[key] = Slot::Abandoned;
        }
    }
}

/// The next applied batch: see [`super::LogHandle::next_batch`].
#[must_use = "nothing waits unless it is awaited"]
pub struct NextBatch {
    local: Rc<Local>,
    after: u64,
    waiter: Option<usize>,
}

impl Future for NextBatch {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut waiting = this.local.waiting.borrow_mut();
        if waiting.ended || waiting.batches > this.after {
            return Poll::Ready(());
        }
        match this.waiter {
            Some(key) => waiting.batch_waiters[key].clone_from(context.waker()),
            None => this.waiter = Some(waiting.batch_waiters.insert(context.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for NextBatch {
    fn drop(&mut self) {
        if let Some(key) = self.waiter {
            self.local.waiting.borrow_mut().batch_waiters.remove(key);
        }
    }
}
