//! The rules of docs/RULES.md, checked after each step, against the plain recount of [`super::model`].
//!
//! Each record is judged once, when the log takes it: the code's own claim (`Book::apply`) is held against
//! the rules first and against the recount second. Nodes are then held against that judgement.

use std::collections::BTreeMap;

use flux_gate::log::Decided;
use flux_gate::place_order::{Answer, Attempt, END_SEEN_AGE_US_MAX};
use flux_gate::sale::{
    Book, BuyerRef, DuplicateReason, LogEntry, OrderId, Outcome, ProductId, Record, SaleState,
};

use super::faults::EPOCH_MS;
use super::log::Sent;
use super::model::Tally;

/// A rule that fell, and how.
#[derive(Debug, Clone)]
pub struct Broken {
    pub rule: &'static str,
    pub how: String,
}

/// Never more than there is.
pub const RULE_1: &str = "rule 1";
/// Accepted is an order, once.
pub const RULE_2: &str = "rule 2";
/// One order a key.
pub const RULE_3: &str = "rule 3";
/// Refused is no order.
pub const RULE_4: &str = "rule 4";
/// At rest all is sold and nothing pends.
pub const RULE_5: &str = "rule 5";
/// Stop means stop.
pub const RULE_6: &str = "rule 6";
/// Same offset, same state.
pub const AGREEMENT: &str = "agreement";
/// As recounted.
pub const PROTOCOL: &str = "protocol";
/// Times are the log's.
pub const LOG_TIME: &str = "log time";
/// How far a node may be from it: as long as a record was under way by which it learnt of the time.
const OUT_MS_MAX: u64 = 21_000;
/// An attempt's record is sent once.
pub const SENT_ONCE: &str = "sent once";

/// What all nodes must agree on at an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    sold: u32,
    capacity: u32,
    paused: bool,
    archived: bool,
    generation: u64,
    log_time_ms: u64,
    offset: u64,
}

/// What an answer was based on.
#[derive(Debug, Clone, Copy)]
pub enum Basis {
    /// The state that a node had in memory.
    Memory { offset: u64, generation: u64, end_seen_age_us: u64 },
    /// The log's decision.
    Log(Decided),
}

struct Confirmed {
    product: ProductId,
    buyer: BuyerRef,
    offset: u64,
    generation: u64,
    sent_us: u64,
    request: Option<usize>,
    reversed: bool,
}

struct Refusal {
    offset: u64,
    generation: u64,
    /// Records that were sent before this must not become an order.
    before_us: u64,
    by_time: bool,
    answer: Answer,
}

/// The judge of a run.
pub struct Rules {
    /// Whether a refusal that depends on the time binds: only if all clocks show the same.
    clocks_agree: bool,
    /// Whether the log's clock is right, whatever those of the nodes are.
    log_clock_is_right: bool,
    /// Whether there is one node, which knows all that any node knows.
    one_node: bool,
    /// Whether to go on after the recount differs, to see which rule falls because of it.
    goes_on: bool,
    differs: Option<Broken>,
    book: Book,
    pub tallies: BTreeMap<ProductId, Tally>,
    outcomes: Vec<Outcome>,
    digests: Vec<Option<Digest>>,
    appended_us: Vec<u64>,
    confirmed: BTreeMap<OrderId, Confirmed>,
    refusals: BTreeMap<OrderId, Vec<Refusal>>,
    /// Requests that were told that nothing was proposed, or that what was is void.
    void: Vec<usize>,
    /// Orders whose attempt had been refused by a node that did not know the latest generation, or by a
    /// clock that was wrong: see "What the rules leave open" in [`super`].
    pub open_cases: u64,
    pub broken: Option<Broken>,
}

impl Rules {
    pub fn new(
        clocks_agree: bool,
        log_clock_is_right: bool,
        one_node: bool,
        goes_on: bool,
    ) -> Self {
        Self {
            clocks_agree,
            log_clock_is_right,
            one_node,
            goes_on,
            differs: None,
            book: Book::default(),
            tallies: BTreeMap::new(),
            outcomes: Vec::new(),
            digests: Vec::new(),
            appended_us: Vec::new(),
            confirmed: BTreeMap::new(),
            refusals: BTreeMap::new(),
            void: Vec::new(),
            open_cases: 0,
            broken: None,
        }
    }

    /// Notes the first rule that falls.
    pub fn demand(&mut self, holds: bool, rule: &'static str, how: impl FnOnce() -> String) {
        let note =
            if rule == PROTOCOL && self.goes_on { &mut self.differs } else { &mut self.broken };
        if !holds && note.is_none() {
            *note = Some(Broken { rule, how: how() });
        }
    }

    /// What fell in this run; a rule rather than the recount.
    pub fn verdict(&mut self) -> Option<Broken> {
        self.broken.take().or_else(|| self.differs.take())
    }

    /// The log took a record: rules 1, 3, 4 and 6, then the recount.
    pub fn appended(&mut self, entry: &LogEntry, sent: &Sent, now_us: u64) {
        let paused = self.tallies.get(&entry.product).is_some_and(|tally| tally.paused);
        let before_ms = self.digest(&entry.product).map_or(0, |digest| digest.log_time_ms);
        let claim = self.book.apply(entry);
        let tally = self.tallies.entry(entry.product).or_default();
        let expected = tally.take(entry);
        tally.follow(entry, claim, expected);
        self.outcomes.push(claim);
        self.digests.push(self.digest(&entry.product));
        self.appended_us.push(now_us);
        if let Record::OrderProposed(proposal) = &entry.record {
            let sent_ms = EPOCH_MS + sent.at_us / 1_000;
            let out_ms = proposal.at_ms.saturating_sub(sent_ms);
            self.demand(!self.log_clock_is_right || out_ms <= OUT_MS_MAX, LOG_TIME, || {
                format!("{entry:?} is dated {out_ms} ms ahead")
            });
        }
        match &entry.record {
            Record::OrderProposed(proposal) if claim == Outcome::Confirmed => {
                self.demand(!paused, RULE_6, || format!("{entry:?} was confirmed in a pause"));
                let confirmed = Confirmed {
                    product: entry.product,
                    buyer: proposal.buyer,
                    offset: entry.offset,
                    generation: proposal.generation,
                    sent_us: sent.at_us,
                    request: sent.request,
                    reversed: false,
                };
                let before = self.confirmed.insert(proposal.order_id, confirmed);
                self.demand(before.is_none(), RULE_3, || format!("a second time: {entry:?}"));
                self.rule_4(proposal.order_id);
            }
            Record::OrderReversed { order_id, .. } if claim == Outcome::Applied => {
                if let Some(order) = self.confirmed.get_mut(order_id) {
                    order.reversed = true;
                }
            }
            _ => {}
        }
        self.rule_1(entry);
        self.recount(entry, claim, expected, before_ms);
    }

    fn rule_1(&mut self, entry: &LogEntry) {
        let tally = &self.tallies[&entry.product];
        let (capacity, limit) = (tally.capacity, tally.limit);
        let mut sold = 0;
        let mut by_buyer = BTreeMap::<BuyerRef, u32>::new();
        for order in self.confirmed.values() {
            if order.product == entry.product && !order.reversed {
                sold += 1;
                *by_buyer.entry(order.buyer).or_default() += 1;
            }
        }
        let most = by_buyer.into_values().max().unwrap_or(0);
        self.demand(sold <= capacity, RULE_1, || {
            format!("{sold} sold of {capacity} after {entry:?}")
        });
        self.demand(most <= limit, RULE_1, || {
            format!("{most} orders of one buyer, limit {limit}, after {entry:?}")
        });
    }

    fn recount(&mut self, entry: &LogEntry, claim: Outcome, expected: Outcome, before_ms: u64) {
        self.demand(claim == expected, PROTOCOL, || {
            format!("{entry:?} came to {claim:?}, which should be {expected:?}")
        });
        let tally = &self.tallies[&entry.product];
        let counted = tally.opened.then(|| Digest {
            sold: tally.sold(),
            capacity: tally.capacity,
            paused: tally.paused,
            archived: tally.archived,
            generation: tally.generation,
            log_time_ms: tally.log_time_ms,
            offset: entry.offset,
        });
        let state = self.digest(&entry.product);
        let goes_on = state.as_ref().is_none_or(|state| state.log_time_ms >= before_ms);
        self.demand(goes_on, PROTOCOL, || format!("log time went back at {entry:?}"));
        self.demand(state == counted, PROTOCOL, || {
            format!("after {entry:?} the state is {state:?}, which should be {counted:?}")
        });
    }

    fn digest(&self, product: &ProductId) -> Option<Digest> {
        self.book.get(product).map(digest)
    }

    /// A node applied a record.
    pub fn applied(&mut self, node: usize, entry: &LogEntry, outcome: Outcome) {
        let judged = self.outcomes[entry.offset as usize - 1];
        self.demand(outcome == judged, AGREEMENT, || {
            format!("node {node} makes {outcome:?} of {entry:?}, others {judged:?}")
        });
    }

    /// A node's state after a batch, whose last record about the product is at its offset.
    pub fn stands(&mut self, node: usize, state: &SaleState) {
        let digest = digest(state);
        let judged = self.digests[digest.offset as usize - 1].clone();
        self.demand(judged.as_ref() == Some(&digest), AGREEMENT, || {
            format!("node {node} is at {digest:?}, others were at {judged:?}")
        });
    }

    /// A client was answered: rules 2, 3 and 4.
    pub fn answered(
        &mut self,
        request: usize,
        attempt: &Attempt,
        answer: Answer,
        basis: Option<Basis>,
        now_us: u64,
    ) {
        let id = attempt.order_id;
        let order = self.confirmed.get(&id);
        let owned = |order: Option<&Confirmed>| {
            order.is_some_and(|order| {
                order.product == attempt.product && order.buyer == attempt.buyer
            })
        };
        match answer {
            Answer::Accepted => {
                let holds = owned(order);
                self.demand(holds, RULE_2, || format!("{id} was accepted and is no order"));
            }
            Answer::Duplicate(duplicate) => {
                let holds = owned(self.confirmed.get(&duplicate.order_id))
                    && (duplicate.reason == DuplicateReason::RepeatWindow
                        || duplicate.order_id == id);
                self.demand(holds, RULE_3, || format!("{id} was answered {duplicate:?}"));
                if duplicate.reason == DuplicateReason::RepeatWindow {
                    self.refused(id, answer, basis, now_us);
                }
            }
            Answer::SoldOut
            | Answer::LimitReached
            | Answer::NotOpen { .. }
            | Answer::Closed
            | Answer::Paused => self.refused(id, answer, basis, now_us),
            Answer::Busy
            | Answer::OverRate { .. }
            | Answer::LogBehind
            | Answer::OtherKeys
            | Answer::UnknownProduct => {
                self.void.push(request);
                self.rule_4(id);
            }
            Answer::Pending | Answer::OutcomeUnknown => {}
        }
    }

    /// A node whose own clock is wrong does not close a sale by it, nor open one once it has read a record of
    /// its own (`known`). `state` is what it knows of the sale.
    pub fn by_the_logs_time(
        &mut self,
        answer: Answer,
        state: &SaleState,
        known: bool,
        now_us: u64,
    ) {
        let now_ms = EPOCH_MS + now_us / 1_000;
        let closes_at_ms = state.terms().closes_at_ms.unwrap_or(0);
        let out_ms_max = if known { OUT_MS_MAX } else { 0 };
        let holds = match answer {
            Answer::NotOpen { opens_at_ms } => !known || now_ms < opens_at_ms + OUT_MS_MAX,
            Answer::Closed => state.archived() || now_ms + out_ms_max >= closes_at_ms,
            _ => true,
        };
        self.demand(!self.log_clock_is_right || holds, LOG_TIME, || {
            format!("{answer:?} was said at {now_ms} ms of a sale that closes at {closes_at_ms} ms")
        });
    }

    fn refused(&mut self, id: OrderId, answer: Answer, basis: Option<Basis>, now_us: u64) {
        let (offset, generation, before_us) = match basis {
            Some(Basis::Memory { offset, generation, end_seen_age_us }) => {
                let in_sight = end_seen_age_us <= END_SEEN_AGE_US_MAX;
                self.demand(in_sight, PROTOCOL, || {
                    format!("{id} was refused by a state that was {end_seen_age_us} us old")
                });
                (offset, generation, now_us)
            }
            Some(Basis::Log(decided)) => {
                let index = decided.offset as usize - 1;
                let generation = self.digests[index].as_ref().map_or(0, |d| d.generation);
                (decided.offset, generation, self.appended_us[index])
            }
            None => (0, 0, now_us),
        };
        self.is_true(id, answer, offset);
        let archived = answer == Answer::Closed;
        let missed = self.confirmed.get(&id).filter(|order| order.offset <= offset && !archived);
        let missed = missed.map(|order| order.offset);
        self.demand(missed.is_none(), RULE_3, || {
            format!("{id} is an order since offset {missed:?} and was answered {answer:?}")
        });
        let by_time =
            matches!(answer, Answer::NotOpen { .. } | Answer::Closed | Answer::Duplicate(_));
        let refusal = Refusal { offset, generation, before_us, by_time, answer };
        self.refusals.entry(id).or_default().push(refusal);
        self.rule_4(id);
    }

    /// What a refusal says was so at the offset that it was based on.
    fn is_true(&mut self, id: OrderId, answer: Answer, offset: u64) {
        let then = (offset as usize).checked_sub(1).and_then(|index| self.digests[index].clone());
        let holds = then.as_ref().is_some_and(|then| match answer {
            Answer::SoldOut => then.sold == then.capacity,
            Answer::Paused => then.paused,
            _ => true,
        });
        let no_product = then.is_none() && answer == Answer::Closed;
        self.demand(holds || no_product, PROTOCOL, || {
            format!("{id} was answered {answer:?} at {then:?}")
        });
    }

    /// No record that was sent for an attempt before its refusal becomes an order after it.
    ///
    /// A record of a later generation was sent by somebody who knew of a change that the refusal did not.
    fn rule_4(&mut self, id: OrderId) {
        let Some(order) = self.confirmed.get(&id) else {
            return;
        };
        let void = order.request.is_some_and(|request| self.void.contains(&request));
        let mut fallen = None;
        for refusal in self.refusals.get(&id).into_iter().flatten() {
            if order.offset <= refusal.offset || order.sent_us >= refusal.before_us {
                continue;
            }
            let knew_more = order.generation > refusal.generation && !self.one_node;
            if knew_more || (refusal.by_time && !self.clocks_agree) {
                self.open_cases += 1;
            } else {
                fallen = Some((refusal.answer, refusal.offset));
            }
        }
        let offset = order.offset;
        self.demand(!void, RULE_4, || format!("{id} was said not to be proposed; order {offset}"));
        self.demand(fallen.is_none(), RULE_4, || {
            format!("{id} was refused {fallen:?} and became the order at {offset}")
        });
    }

    /// The orders of a product that were confirmed, for operators who reverse them.
    pub fn orders(&self, product: &ProductId) -> Vec<OrderId> {
        let of = self.confirmed.iter().filter(|(_, order)| order.product == *product);
        of.map(|(id, _)| *id).collect()
    }
}

fn digest(state: &SaleState) -> Digest {
    Digest {
        sold: state.sold(),
        capacity: state.terms().capacity,
        paused: state.paused(),
        archived: state.archived(),
        generation: state.generation(),
        log_time_ms: state.log_time_ms(),
        offset: state.applied_offset(),
    }
}
