//! An attempt's way after the guard: state, gate, log, answer.
//!
//! [`place_order`] is the only way by which an attempt reaches the log. It is written against [`World`], so
//! that the simulation runs this very code on a node whose log and gate lose, delay, repeat and lie.
//!
//! - An answer from memory is given only if the log's end was seen within the last second; "closed" only
//!   if it was seen since the close.
//! - A node whose keys are not those of the sale would know neither its orders nor its buyers: it says so.
//! - The gate proposes, the log decides: `Accepted` comes from an applied record and from nothing else.
//! - Where the log has a clock of its own, times are that clock's and not the node's ([`LogTime`]).
//! - A record is sent once an attempt. Only when the log itself said that the proposal was stale, so that
//!   nobody holds it any more, is it proposed again.

use crate::gate::{Origin, Verdict};
use crate::log::{Append, Decided, LogTime};
use crate::sale::record::KeyFingerprints;
use crate::sale::{
    BuyerRef, Duplicate, OrderId, OrderProposed, Outcome, ProductId, Record, SaleState, UserId,
};

pub mod node;

pub use node::Node;

/// How long the log's end may have been out of sight, in microseconds, for answers from memory to hold.
pub const END_SEEN_AGE_US_MAX: u64 = 1_000_000;
/// How long an attempt waits for a unit that is held by an undecided one, in microseconds.
pub const UNIT_WAIT_US_MAX: u64 = 50_000;
/// How long an attempt waits for its decision before it is answered "pending", in microseconds.
pub const DECISION_WAIT_US_MAX: u64 = 2_000_000;
/// How often one attempt is proposed, counting the first time.
pub const PROPOSALS_MAX: u32 = 3;

/// One attempt to buy, as the guard let it pass.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// What.
    pub product: ProductId,
    /// Who, as a pseudonym.
    pub buyer: BuyerRef,
    /// Who, in the shop's words: for the ledger's subjects alone.
    pub user: UserId,
    /// The id of the order that this attempt is or becomes.
    pub order_id: OrderId,
    /// From where, as pseudonyms.
    pub origin: Origin,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is an order, durable in the log.
    Accepted,
    /// It repeats an order.
    Duplicate(Duplicate),
    /// It went to the log, whose decision is not here yet.
    Pending,
    /// It went to the log, and whether it was decided is not known.
    OutcomeUnknown,
    /// Every unit is sold.
    SoldOut,
    /// The buyer has as many orders as one buyer may have.
    LimitReached,
    /// The sale has not opened.
    NotOpen {
        /// When it opens, Unix milliseconds.
        opens_at_ms: u64,
    },
    /// The sale is over.
    Closed,
    /// The sale is paused.
    Paused,
    /// There is no such product.
    UnknownProduct,
    /// The sale was opened under other keys than this node's: other nodes know its orders and buyers.
    OtherKeys,
    /// No unit was free for the moment, or the log has no room; nothing was proposed.
    Busy,
    /// Over the product's rate; nothing was proposed.
    OverRate {
        /// When to come again, in microseconds from now.
        retry_after_us: u64,
    },
    /// The log's end is out of sight, so nothing can be said.
    LogBehind,
}

/// How a proposal ended.
#[derive(Debug, Clone, Copy)]
pub enum Proposed {
    /// The log decided.
    Decided(Decided),
    /// Nothing was written, and nothing will be.
    NotSent,
    /// Not decided within the time; it may be yet.
    TimedOut,
    /// The log stopped; it may have been written.
    Lost,
}

impl Proposed {
    /// Its word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Decided(decided) => decided.outcome.name(),
            Self::NotSent => "not_sent",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
        }
    }
}

/// What an attempt needs of the node that it runs on.
#[allow(async_fn_in_trait, reason = "attempts stay on the thread of their connection")]
pub trait World {
    /// The time that the log has.
    fn log_time(&self) -> LogTime;
    /// A clock that never goes back, in microseconds.
    fn monotonic_us(&self) -> u64;
    /// When the log's end was last seen, by the same clock.
    fn end_seen_us(&self) -> u64;
    /// This node's keys behind order ids and buyers.
    fn keys(&self) -> &KeyFingerprints;
    /// Reads a product's applied state.
    fn with_state<R>(&self, product: &ProductId, read: impl FnOnce(&SaleState) -> R) -> Option<R>;
    /// Asks the gate.
    async fn admit(&self, product: &ProductId, buyer: &BuyerRef, origin: Origin) -> Verdict;
    /// Gives the gate's place back: the proposal was not sent.
    fn release(&self, product: &ProductId, buyer: &BuyerRef);
    /// Hands a record to the log and waits for its decision, for at most `wait_us`.
    async fn propose(&self, append: Append, wait_us: u64) -> Proposed;
    /// Waits for the next applied batch, for at most `wait_us`. `false`: there was none in that time, or
    /// too many wait already.
    async fn next_batch(&self, wait_us: u64) -> bool;
}

/// Carries one attempt to its answer.
pub async fn place_order(world: &impl World, attempt: &Attempt) -> Answer {
    let mut unit_wait_ends_us = world.monotonic_us() + UNIT_WAIT_US_MAX;
    let mut proposals = 0;
    loop {
        let proposal = match screen(world, attempt) {
            Ok(proposal) => proposal,
            Err(answer) => return answer,
        };
        match world.admit(&attempt.product, &attempt.buyer, attempt.origin).await {
            Verdict::Go => {}
            Verdict::OverRate { retry_after_us } => return Answer::OverRate { retry_after_us },
            Verdict::Busy => {
                let left_us = unit_wait_ends_us.saturating_sub(world.monotonic_us());
                if left_us == 0 {
                    return Answer::Busy;
                }
                // Waited or not, the state is looked at once more: it may know the answer by now.
                if !world.next_batch(left_us).await {
                    unit_wait_ends_us = 0;
                }
                continue;
            }
        }
        proposals += 1;
        let append = Append {
            product: attempt.product,
            record: Record::OrderProposed(proposal),
            subject: Some(attempt.user),
            by: None,
        };
        // Boxed: what is refused before is spared the room.
        match Box::pin(world.propose(append, DECISION_WAIT_US_MAX)).await {
            Proposed::Decided(decided) => match settle(decided.outcome) {
                Some(answer) => return answer,
                None if proposals < PROPOSALS_MAX => {}
                None => return Answer::Busy,
            },
            Proposed::NotSent => {
                world.release(&attempt.product, &attempt.buyer);
                return Answer::Busy;
            }
            Proposed::TimedOut => return Answer::Pending,
            Proposed::Lost => return Answer::OutcomeUnknown,
        }
    }
}

/// Check 12: what the applied state already knows; else the proposal that it leads to.
fn screen(world: &impl World, attempt: &Attempt) -> Result<OrderProposed, Answer> {
    let end_seen_age_us = world.monotonic_us().saturating_sub(world.end_seen_us());
    if end_seen_age_us > END_SEEN_AGE_US_MAX {
        return Err(Answer::LogBehind);
    }
    let LogTime { likely_ms, reached_ms } = world.log_time();
    world
        .with_state(&attempt.product, |state| {
            if !state.is_under(world.keys()) {
                return Err(Answer::OtherKeys);
            }
            let at_ms = state.log_time_at(reached_ms);
            let end_seen_ms = reached_ms.saturating_sub(end_seen_age_us.div_ceil(1_000));
            let screened_at_ms = state.screened_at(likely_ms, reached_ms);
            match state.refusal(attempt.order_id, attempt.buyer, screened_at_ms) {
                // This very attempt's record may have been taken before the close and not be seen yet.
                Some(Outcome::Closed) if !state.closed(state.log_time_at(end_seen_ms)) => {
                    Err(Answer::LogBehind)
                }
                Some(refusal) => Err(settle(refusal).unwrap_or(Answer::Busy)),
                None => Ok(OrderProposed {
                    order_id: attempt.order_id,
                    buyer: attempt.buyer,
                    sealed_user: None,
                    at_ms,
                    generation: state.generation(),
                }),
            }
        })
        .unwrap_or(Err(Answer::UnknownProduct))
}

/// The answer that an outcome means; `None` is "propose again".
fn settle(outcome: Outcome) -> Option<Answer> {
    Some(match outcome {
        Outcome::Confirmed => Answer::Accepted,
        Outcome::Duplicate(duplicate) => Answer::Duplicate(duplicate),
        Outcome::NotOpen { opens_at_ms } => Answer::NotOpen { opens_at_ms },
        Outcome::Closed => Answer::Closed,
        Outcome::Paused => Answer::Paused,
        Outcome::LimitReached => Answer::LimitReached,
        Outcome::SoldOut => Answer::SoldOut,
        Outcome::Stale => return None,
        // Only operators' records come to these.
        Outcome::Applied | Outcome::Ignored(_) => Answer::OutcomeUnknown,
    })
}
