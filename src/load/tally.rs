//! What came of the requests: counts by trick and answer, latencies by class, orders by id.
//!
//! One a thread, merged at the end; nothing here is shared.

use std::collections::{BTreeMap, HashSet};

use hdrhistogram::Histogram;

use super::answer::Answer;
use super::plan::Kind;
use super::shot::Trick;
use super::timeline::Timeline;
use super::wire::WireError;
use crate::sale::OrderId;

/// Longest latency that is told apart, in microseconds.
pub(super) const LATENCY_US_MAX: u64 = 120_000_000;
/// Distinct answers that are counted apart; a server that makes up words must not fill the memory.
const ROWS_MAX: usize = 256;
/// The word under which the answers beyond them are counted.
const OTHER_WORD: &str = "other";

/// A histogram of latencies in microseconds, to three digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are in order")
}

/// What an answer is, for latencies and totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 200 "success".
    Accepted,
    /// Any other answer.
    Refused,
    /// No answer.
    Unanswered,
}

/// Totals of a kind of sender, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered 200 "success".
    pub accepted: u64,
    /// Answered otherwise.
    pub refused: u64,
    /// Not answered.
    pub unanswered: u64,
}

impl Counts {
    /// Requests that came to an end, one way or another.
    pub fn ended(&self) -> u64 {
        self.accepted + self.refused + self.unanswered
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
    }

    fn count(&mut self, class: Class) {
        match class {
            Class::Accepted => self.accepted += 1,
            Class::Refused => self.refused += 1,
            Class::Unanswered => self.unanswered += 1,
        }
    }
}

/// Answers of one sort to one trick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What was sent.
    pub trick: Trick,
    /// Status code; 0 without an answer.
    pub status: u16,
    /// The answer's word, or why there is none.
    pub word: String,
    /// How many.
    pub count: u64,
}

/// Everything that a run, or a thread of it, has to say.
#[derive(Debug)]
pub struct Tally {
    /// Answers by trick and word.
    pub rows: Vec<Row>,
    /// Totals.
    pub counts: Counts,
    /// Latencies of accepted orders.
    pub accepted_latency: Histogram<u64>,
    /// Latencies of the other answers.
    pub refused_latency: Histogram<u64>,
    /// Latencies of all answers.
    pub all_latency: Histogram<u64>,
    /// Time between a request being due and being written (open loop): the generator's own lateness.
    pub lateness: Histogram<u64>,
    /// Orders that were answered 200 "success", in the order of the answers; one that was answered so
    /// twice is here twice.
    pub accepted_orders: Vec<OrderId>,
    /// Orders that other answers named.
    pub mentioned_orders: HashSet<OrderId>,
    /// Attempts by kind.
    pub attempts: [u64; 4],
    /// Honest attempts whose outcome is known.
    pub settled: u64,
    /// Honest attempts that were given up with an open outcome.
    pub given_up: u64,
    /// Sends of an honest attempt after the first.
    pub retries: u64,
    /// Attempts that were due when the run ended, and were never sent (open loop).
    pub unsent: u64,
    /// Distinct honest buyers that tried, over all threads.
    pub honest_buyers: u64,
    /// Length of the sending, in microseconds.
    pub elapsed_us: u64,
    /// The run ended because the server was gone.
    pub server_lost: bool,
    /// What happened when.
    pub timeline: Timeline,
    /// Processor time of the threads that sent, in microseconds.
    pub cpu_us: u64,
    /// Orders are not remembered: nobody will ask for them, and a long run has many.
    pub forgets_orders: bool,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            counts: Counts::default(),
            accepted_latency: histogram(),
            refused_latency: histogram(),
            all_latency: histogram(),
            lateness: histogram(),
            accepted_orders: Vec::new(),
            mentioned_orders: HashSet::new(),
            attempts: [0; 4],
            settled: 0,
            given_up: 0,
            retries: 0,
            unsent: 0,
            honest_buyers: 0,
            elapsed_us: 0,
            server_lost: false,
            timeline: Timeline::default(),
            cpu_us: 0,
            forgets_orders: false,
        }
    }
}

impl Tally {
    /// Counts an answer.
    pub fn answered(&mut self, trick: Trick, answer: &Answer<'_>, latency_us: u64) {
        let class = if answer.is_accepted() { Class::Accepted } else { Class::Refused };
        self.counts.count(class);
        self.count_row(trick, answer.status, &answer.word);
        let latency = match class {
            Class::Accepted => &mut self.accepted_latency,
            _ => &mut self.refused_latency,
        };
        latency.saturating_record(latency_us);
        self.all_latency.saturating_record(latency_us);
        match answer.order_id {
            Some(_) if self.forgets_orders => {}
            Some(order) if class == Class::Accepted => self.accepted_orders.push(order),
            Some(order) => {
                self.mentioned_orders.insert(order);
            }
            None => {}
        }
    }

    /// Counts a request that got no answer.
    pub fn unanswered(&mut self, trick: Trick, error: &WireError) {
        self.counts.count(Class::Unanswered);
        self.count_row(trick, 0, error.word());
    }

    fn count_row(&mut self, trick: Trick, status: u16, word: &str) {
        let same = |row: &&mut Row| row.trick == trick && row.status == status && row.word == word;
        if let Some(row) = self.rows.iter_mut().find(same) {
            row.count += 1;
        } else if self.rows.len() < ROWS_MAX {
            self.rows.push(Row { trick, status, word: word.to_owned(), count: 1 });
        } else if word == OTHER_WORD {
            self.rows.push(Row { trick, status, word: OTHER_WORD.to_owned(), count: 1 });
        } else {
            self.count_row(trick, status, OTHER_WORD);
        }
    }

    /// Takes in another thread's.
    pub fn merge(&mut self, other: Self) {
        for row in other.rows {
            let same = |mine: &&mut Row| {
                (mine.trick, mine.status, &mine.word) == (row.trick, row.status, &row.word)
            };
            match self.rows.iter_mut().find(same) {
                Some(mine) => mine.count += row.count,
                None => self.rows.push(row),
            }
        }
        self.counts.add(&other.counts);
        for (mine, theirs) in [
            (&mut self.accepted_latency, &other.accepted_latency),
            (&mut self.refused_latency, &other.refused_latency),
            (&mut self.all_latency, &other.all_latency),
            (&mut self.lateness, &other.lateness),
        ] {
            mine.add(theirs).expect("all histograms have the same bounds");
        }
        self.accepted_orders.extend(other.accepted_orders);
        self.mentioned_orders.extend(other.mentioned_orders);
        for (mine, theirs) in self.attempts.iter_mut().zip(other.attempts) {
            *mine += theirs;
        }
        self.settled += other.settled;
        self.given_up += other.given_up;
        self.retries += other.retries;
        self.unsent += other.unsent;
        self.honest_buyers = self.honest_buyers.max(other.honest_buyers);
        self.elapsed_us = self.elapsed_us.max(other.elapsed_us);
        self.server_lost |= other.server_lost;
        self.timeline.merge(other.timeline);
        self.cpu_us += other.cpu_us;
    }

    /// Answers to a kind of sender by status and word, the most frequent first.
    pub fn answers(&self, kind: Kind) -> Vec<(u16, &str, u64)> {
        let mut sums: BTreeMap<(u16, &str), u64> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.trick.kind() == kind) {
            *sums.entry((row.status, &row.word)).or_default() += row.count;
        }
        let mut answers: Vec<_> =
            sums.into_iter().map(|((status, word), count)| (status, word, count)).collect();
        answers.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
        answers
    }

    /// Totals of a kind of sender.
    pub fn counts_of(&self, kind: Kind) -> Counts {
        let mut counts = Counts::default();
        for row in self.rows.iter().filter(|row| row.trick.kind() == kind) {
            match (row.status, row.word.as_str()) {
                (0, _) => counts.unanswered += row.count,
                (200, "success") => counts.accepted += row.count,
                _ => counts.refused += row.count,
            }
        }
        counts
    }

    /// "Accepted" in answer to what must fail: each of them breaks the contract.
    pub fn wrongly_accepted(&self) -> u64 {
        let accepted = |row: &&Row| row.status == 200 && row.word == "success";
        self.rows
            .iter()
            .filter(|row| row.trick.must_fail())
            .filter(accepted)
            .map(|row| row.count)
            .sum()
    }

    /// Answers with a word, over all senders.
    pub fn count_of_word(&self, word: &str) -> u64 {
        self.rows.iter().filter(|row| row.word == word).map(|row| row.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn answer(status: u16, word: &str, order: Option<u8>) -> Answer<'_> {
        Answer {
            status,
            word: Cow::Borrowed(word),
            order_id: order.map(|byte| OrderId::from_random_bytes([byte; 16])),
            server_time_ms: None,
            retry_after_s: None,
            opens_at_ms: None,
        }
    }

    #[test]
    fn answers_are_counted_by_kind_and_word_and_orders_remembered() {
        let mut tally = Tally::default();
        tally.answered(Trick::Order, &answer(200, "success", Some(1)), 500);
        tally.answered(Trick::Order, &answer(409, "sold_out", None), 100);
        tally.answered(Trick::StaleTime, &answer(400, "request_expired", None), 90);
        tally.unanswered(Trick::Order, &WireError::Closed);
        let mut other = Tally::default();
        other.answered(Trick::Order, &answer(409, "sold_out", None), 200);
        other.answered(Trick::ReplayVerbatim, &answer(200, "ignored_same_key", Some(1)), 80);
        tally.merge(other);

        assert_eq!(tally.counts, Counts { accepted: 1, refused: 4, unanswered: 1 });
        assert_eq!(tally.answers(Kind::Honest)[0], (409, "sold_out", 2));
        assert_eq!(tally.counts_of(Kind::Honest).ended(), 4);
        assert_eq!(tally.accepted_orders.len(), 1);
        assert_eq!(tally.mentioned_orders.len(), 1);
        assert_eq!(tally.refused_latency.len(), 4);
        assert_eq!(tally.wrongly_accepted(), 0);
    }

    #[test]
    fn an_accepted_forgery_is_noticed() {
        let mut tally = Tally::default();
        tally.answered(Trick::ReplayVerbatim, &answer(200, "success", Some(1)), 1);
        assert_eq!(
            tally.wrongly_accepted(),
            0,
            "a verbatim replay may win where its original did not"
        );
        tally.answered(Trick::ReplayFreshKey, &answer(200, "success", Some(2)), 1);
        tally.answered(Trick::ForeignPass, &answer(200, "success", Some(3)), 1);
        assert_eq!(tally.wrongly_accepted(), 2);
    }

    #[test]
    fn a_server_that_makes_up_words_does_not_fill_the_memory() {
        let mut tally = Tally::default();
        for n in 0..1_000 {
            let word = format!("word-{n}");
            tally.answered(Trick::Order, &answer(400, &word, None), 1);
        }
        assert_eq!(tally.rows.len(), ROWS_MAX + 1);
        assert_eq!(tally.rows.iter().map(|row| row.count).sum::<u64>(), 1_000);
    }
}
