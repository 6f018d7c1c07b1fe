//! One serving thread's way to the gate in Redis: a connection of its own, which all its attempts share.
//!
//! No attempt waits for a connection to be made: without one it is screened in memory.

use std::cell::RefCell;
use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, RedisError, Value};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::calls::{self, Answer, RateOf};
use super::product::Product;
use super::{Shared, library};
use crate::gate::{Origin, Verdict};
use crate::sale::{BuyerRef, ProductId};

/// Attempts of one thread whose answers are outstanding though nobody waits for them any more. What is
/// beyond expires in Redis.
const LATE_MAX: usize = 10_000;
/// How long a thread without a connection waits before it tries again.
const RECONNECT_DELAY: Duration = Duration::from_millis(250);
/// How long a call may take that is no attempt.
const CALL_TIMEOUT: Duration = Duration::from_millis(250);
/// A connection on which something went wrong must answer within this, or it is given up.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// One thread's way to the gate. Neither `Send` nor `Sync`.
pub struct RedisHandle {
    shared: Arc<Shared>,
    link: Rc<Link>,
    keeping: AbortHandle,
}

/// This thread's connection, and what its mender is to look at.
#[derive(Default)]
struct Link {
    sound: RefCell<Option<MultiplexedConnection>>,
    suspect: RefCell<Option<MultiplexedConnection>>,
    late: RefCell<Vec<Late>>,
    look: Notify,
}

/// An attempt that nobody waits for: Redis may hold a unit for it, or come to hold one when it gets there.
struct Late {
    cell: Arc<Product>,
    product: ProductId,
    buyer: BuyerRef,
}

/// Why an attempt got no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("Redis did not answer in time")]
    TimedOut,
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("Redis gave an answer that is none of ours")]
    Nonsense,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum NotCalled {
    /// Redis is not there, as far as is known.
    #[error("there is no connection to Redis")]
    Away,
    /// It took too long.
    #[error("Redis did not answer in time")]
    TimedOut,
    /// The connection broke, or Redis refuses the call.
    #[error("{0}")]
    Redis(#[from] RedisError),
}

impl RedisHandle {
    /// Must be called inside a `LocalSet`: it spawns the task that connects.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let link = Rc::<Link>::default();
        let keeping = tokio::task::spawn_local(keep_connected(shared.clone(), link.clone()));
        Self { shared, link, keeping: keeping.abort_handle() }
    }

    /// See [`GateHandle::admit`](crate::gate::GateHandle::admit). Takes at most the time-out of
    /// [`Options`](super::Options).
    pub async fn admit(
        &self,
        product: &ProductId,
        buyer: &BuyerRef,
        origin: Origin,
        now_us: u64,
    ) -> Verdict {
        let shared = &*self.shared;
        let here = shared.local.admit(product, buyer, now_us);
        let (Verdict::Go, Some(cell)) = (here, shared.product(product)) else {
            shared.counters.refused_here.add(1);
            return here;
        };
        let mut place =
            Place { handle: self, cell: &cell, product, buyer, kept: false, asked: false };
        let verdict = match self.connection() {
            None => shared.screen_here(&cell, now_us),
            Some(connection) => {
                place.asked = true;
                match self.ask(connection, &cell, buyer, origin).await {
                    Ok(answer) => {
                        // What was refused left nothing behind in Redis, and what was not is kept.
                        place.asked = false;
                        self.verdict(&cell, answer)
                    }
                    Err(failure) => {
                        self.failed(&failure);
                        shared.screen_here(&cell, shared.clock.monotonic_us())
                    }
                }
            }
        };
        place.kept = verdict == Verdict::Go;
        verdict
    }

    /// Gives back a place whose proposal was never sent.
    pub fn release(&self, product: &ProductId, buyer: &BuyerRef) {
        self.shared.settled(&[(*product, *buyer)]);
    }

    /// Calls a function of the library that is no attempt. A failure of Redis, not one of the call, is taken as one
    /// of an attempt would be.
    ///
    /// # Errors
    /// There is no answer: what was called may have taken effect or not.
    pub async fn call(&self, call: &Cmd) -> Result<Value, NotCalled> {
        let mut connection = self.connection().ok_or(NotCalled::Away)?;
        let asked = connection.req_packed_command(call);
        let failure = match tokio::time::timeout(CALL_TIMEOUT, asked).await {
            Ok(Ok(value)) => return Ok(value.extract_error()?),
            // Redis itself says what is wrong with this call: it is there for others.
            Ok(Err(error)) if error.code().is_some() => return Err(error.into()),
            Ok(Err(error)) => Failure::Redis(error),
            Err(_elapsed) => Failure::TimedOut,
        };
        self.failed(&failure);
        Err(match failure {
            Failure::Redis(error) => NotCalled::Redis(error),
            _ => NotCalled::TimedOut,
        })
    }

    /// Whether this thread has a sound connection.
    #[cfg(test)]
    pub(crate) fn is_connected(&self) -> bool {
        self.link.sound.borrow().is_some()
    }

    fn connection(&self) -> Option<MultiplexedConnection> {
        if self.shared.breaker.is_open() {
            return None;
        }
        self.link.sound.borrow().clone()
    }

    async fn ask(
        &self,
        mut connection: MultiplexedConnection,
        cell: &Arc<Product>,
        buyer: &BuyerRef,
        origin: Origin,
    ) -> Result<Answer, Failure> {
        let shared = &*self.shared;
        shared.counters.calls.add(1);
        let admit = calls::admit(&cell.keys, &shared.rates.load(), buyer, origin);
        let asked = async {
            let answer = answer(connection.req_packed_command(&admit).await?)?;
            if answer != Answer::Unlevelled {
                return Ok(answer);
            }
            shared.counters.unlevelled.add(1);
            let (offset, remaining) = cell.level();
            let mut both = redis::pipe();
            let window_us = shared.longest_window_us.load(Ordering::Relaxed);
            both.add_command(calls::level(&cell.keys, window_us, offset, remaining, &[]));
            both.add_command(admit.clone());
            let mut answers = connection.req_packed_commands(&both, 0, 2).await?;
            self::answer(answers.pop().unwrap_or_default())
        };
        tokio::time::timeout(shared.timeout, asked).await.unwrap_or(Err(Failure::TimedOut))
    }

    fn verdict(&self, cell: &Arc<Product>, answer: Answer) -> Verdict {
        let counters = &self.shared.counters;
        match answer {
            Answer::Go => {
                counters.went.add(1);
                Verdict::Go
            }
            Answer::NoUnit => {
                counters.no_unit.add(1);
                let wake = cell.doubt(self.shared.clock.monotonic_us());
                self.shared.inbox.wake(cell, wake);
                Verdict::Busy
            }
            Answer::Undecided => {
                counters.undecided.add(1);
                Verdict::Busy
            }
            // Wiped twice within one attempt.
            Answer::Unlevelled => Verdict::Busy,
            Answer::OverRate { of, retry_after_us } => {
                let counter = match of {
                    RateOf::Product => &counters.over_product_rate,
                    RateOf::Address => &counters.over_address_rate,
                    RateOf::Fingerprint => &counters.over_fingerprint_rate,
                    RateOf::Buyer => &counters.over_buyer_rate,
                };
                counter.add(1);
                Verdict::OverRate { retry_after_us }
            }
        }
    }

    /// The others of this node need not find out for themselves.
    fn failed(&self, failure: &Failure) {
        let shared = &*self.shared;
        match failure {
            Failure::TimedOut => shared.counters.timeouts.add(1),
            Failure::Redis(_) | Failure::Nonsense => shared.counters.errors.add(1),
        }
        shared.open_breaker(failure);
        self.link.suspect();
    }
}

impl Drop for RedisHandle {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

fn answer(value: Value) -> Result<Answer, Failure> {
    Answer::parse(&value.extract_error()?).ok_or(Failure::Nonsense)
}

/// The place that an attempt holds on this node while it asks. Given back unless it is kept: also when the
/// client hangs up in between.
struct Place<'a> {
    handle: &'a RedisHandle,
    cell: &'a Arc<Product>,
    product: &'a ProductId,
    buyer: &'a BuyerRef,
    kept: bool,
    /// Redis was asked and has not answered.
    asked: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.handle.shared.local.give_back(self.product, self.buyer);
        }
        if self.asked {
            let (cell, product, buyer) = (self.cell.clone(), *self.product, *self.buyer);
            self.handle.link.late(Late { cell, product, buyer });
        }
    }
}

impl Link {
    /// Nobody uses the connection until it has been looked at.
    fn suspect(&self) {
        if let Some(connection) = self.sound.take() {
            self.suspect.replace(Some(connection));
            self.look.notify_one();
        }
    }

    fn late(&self, late: Late) {
        let waiting = &mut *self.late.borrow_mut();
        if waiting.len() < LATE_MAX {
            waiting.push(late);
            self.look.notify_one();
        }
    }
}

/// Makes this thread's connection, and makes it anew when it is broken.
async fn keep_connected(shared: Arc<Shared>, link: Rc<Link>) {
    let mut told = false;
    loop {
        match shared.endpoint.connect_and_watch().await {
            Ok((connection, mut driver)) => {
                told = false;
                link.sound.replace(Some(connection));
                tokio::select! {
                    // Noticed before an attempt does.
                    _ = &mut driver => {}
                    () = until_broken(&shared, &link) => {}
                }
                link.sound.take();
                link.suspect.take();
            }
            Err(error) => {
                tell(&error, &mut told);
                tokio::time::sleep(RECONNECT_DELAY).await;
            }
        }
    }
}

async fn until_broken(shared: &Arc<Shared>, link: &Link) {
    if !link.late.borrow().is_empty() {
        // From the connection before.
        link.look.notify_one();
    }
    loop {
        link.look.notified().await;
        let suspect = link.suspect.take();
        let Some(connection) = suspect.clone().or_else(|| link.sound.borrow().clone()) else {
            return;
        };
        let mut looking =
            tokio::task::spawn_local(look(shared.clone(), connection, link.late.take()));
        match tokio::time::timeout(CHECK_TIMEOUT, &mut looking).await {
            Ok(Ok(true)) => {
                if suspect.is_some() {
                    link.sound.replace(suspect);
                }
            }
            // It goes on by itself: what hangs may yet be answered.
            _ => return,
        }
    }
}

/// Whether a connection answers; whatever the server says, any answer will do. Once it has, or has broken,
/// all that was sent on it before has taken effect or never will: only now can units be given back that
/// late attempts took.
async fn look(shared: Arc<Shared>, mut connection: MultiplexedConnection, late: Vec<Late>) -> bool {
    let answered = connection.req_packed_command(&calls::version()).await.is_ok();
    for Late { cell, product, buyer } in late {
        // If its place is still held, it is given back with the decision.
        if !shared.local.holds(&product, &buyer) {
            shared.settle(&cell, &buyer);
        }
    }
    answered
}

fn tell(error: &dyn Display, told: &mut bool) {
    if !std::mem::replace(told, true) {
        tracing::debug!(%error, library = library::NAME, "a thread has no connection to Redis");
    }
}
