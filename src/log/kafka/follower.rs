//! The thread that reads the log back: verifies, applies, answers, and keeps the chain.
//!
//! Invariants:
//! - a partition is applied without gaps, in the order of its offsets; anything else ends the log;
//! - a decision is handed out only after its record has been read back (so it is below the high watermark:
//!   replicated as the topic demands) and applied;
//! - what cannot be decoded changes no state but has its place in the chain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};

use super::client::Context;
use super::error::FatalError;
use super::heads::Heads;
use super::message::{self, Read, UNDECODABLE, Undecodable};
use super::pace::Pace;
use super::sender::{Outbox, counter_of};
use super::waiting::Taken;
use crate::chain::Digest;
use crate::keys::records::Nonce;
use crate::log::delivery::{Ports, Ticket};
use crate::log::{Applied, Decided};
use crate::receipt::{Claim, Issuer};
use crate::sale::record::KeyFingerprints;
use crate::sale::{LogEntry, Outcome, ProductId, Record};

/// Records of one batch: enough that what a batch costs is small beside them, few enough that the first of
/// them waits for milliseconds only.
const BATCH_RECORDS_MAX: usize = 2_000;
/// How long the thread waits for a record before it looks up.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// How often overdue entries are looked for, in microseconds.
const OVERDUE_EVERY_US: u64 = 1_000_000;

/// The follower's consumer.
pub(super) type Consumer = BaseConsumer<Context>;

/// The parts of a [`Follower`] that come from elsewhere.
pub(super) struct FollowerParts {
    pub key_fingerprints: KeyFingerprints,
    pub applied: Arc<Applied>,
    pub heads: Arc<Heads>,
    pub outbox: Arc<Outbox>,
    pub ports: Ports,
    pub receipts: Option<Arc<Issuer>>,
}

/// What the follower keeps between batches.
pub(super) struct Follower {
    parts: FollowerParts,
    counts: Arc<Counts>,
    places: Vec<Place>,
    /// Whether the end that was read at start has been reached: from then on a sale under other keys is told
    /// of when it is opened; before, it may yet turn out to be archived.
    caught_up: bool,
    buffers: Buffers,
    trouble: Pace,
    overdue: Pace,
}

/// Where the follower is in a partition.
struct Place {
    next_offset: u64,
    /// Whether the record before `next_offset` is still to be read, to prove that the snapshot belongs to
    /// this log.
    unproven: bool,
}

/// What has been read since the start of the process.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub records: AtomicU64,
    pub undecodable: AtomicU64,
}

/// Used again for every batch.
#[derive(Default)]
struct Buffers {
    entries: Vec<LogEntry>,
    nonces: Vec<Nonce>,
    /// For each message of the batch, whether it is a record.
    is_record: Vec<bool>,
    taken: Vec<Taken<Ticket, usize>>,
    /// The digest of its partition after each entry.
    digests: Vec<Digest>,
    digested: Vec<u8>,
}

impl Follower {
    /// Begins where the heads are.
    pub(super) fn new(parts: FollowerParts, counts: Arc<Counts>) -> Self {
        let place = |next_offset| Place { next_offset, unproven: next_offset > 0 };
        let places = parts.heads.applied().into_iter().map(place).collect();
        Self {
            parts,
            counts,
            places,
            caught_up: false,
            buffers: Buffers::default(),
            trouble: Pace::every_10_seconds(),
            overdue: Pace::new(OVERDUE_EVERY_US),
        }
    }

    /// The offset of each partition from which it has to be read.
    pub(super) fn begin_offsets(&self) -> Vec<u64> {
        self.places.iter().map(Place::expected).collect()
    }

    /// Follows the log until it is told to stop.
    pub(super) fn run(mut self, consumer: &Consumer, stop: &AtomicBool) -> Result<(), FatalError> {
        let mut batch = Vec::with_capacity(BATCH_RECORDS_MAX);
        while !stop.load(Ordering::Acquire) {
            self.step(consumer, &mut batch)?;
        }
        Ok(())
    }

    /// Follows the log until everything before `ends` is applied.
    pub(super) fn catch_up(&mut self, consumer: &Consumer, ends: &[u64]) -> Result<(), FatalError> {
        let mut batch = Vec::with_capacity(BATCH_RECORDS_MAX);
        while self.places.iter().any(|place| place.unproven) || !self.parts.heads.reached(ends) {
            self.step(consumer, &mut batch)?;
        }
        self.caught_up = true;
        let applied = &self.parts.applied;
        for product in applied.products() {
            let keys = &self.parts.key_fingerprints;
            if applied.with_state(&product, |state| state.is_under(keys)) == Some(false) {
                tell_of_other_keys(&product);
            }
        }
        Ok(())
    }

    /// Reads one batch (waiting for its first record up to [`POLL_TIMEOUT`]) and applies it.
    fn step<'c>(
        &mut self,
        consumer: &'c Consumer,
        batch: &mut Vec<BorrowedMessage<'c>>,
    ) -> Result<(), FatalError> {
        let gathered = self.gather(consumer, batch);
        if !batch.is_empty() {
            self.apply(batch)?;
            batch.clear();
        }
        gathered?;
        let now_us = self.parts.outbox.clock.monotonic_us();
        if self.overdue.due(now_us) {
            let overdue = self.parts.outbox.waiting.take_overdue(now_us);
            if !overdue.is_empty() {
                self.parts.ports.give_up(overdue.into_iter());
            }
        }
        Ok(())
    }

    /// Takes what is there. What has been taken before an error counts.
    fn gather<'c>(
        &mut self,
        consumer: &'c Consumer,
        batch: &mut Vec<BorrowedMessage<'c>>,
    ) -> Result<(), FatalError> {
        let mut timeout = POLL_TIMEOUT;
        while batch.len() < BATCH_RECORDS_MAX {
            match consumer.poll(timeout) {
                None => break,
                Some(Ok(message)) => {
                    if self.is_next(&message)? {
                        batch.push(message);
                    }
                }
                Some(Err(error)) => self.judge(error)?,
            }
            timeout = Duration::ZERO;
        }
        Ok(())
    }

    /// Whether the message is to be applied; `false` for one that only proves the snapshot.
    fn is_next(&mut self, message: &BorrowedMessage<'_>) -> Result<bool, FatalError> {
        let (partition, found) = (message.partition(), message.offset() as u64);
        let Some(place) = self.places.get_mut(partition as usize) else { return Ok(false) };
        let expected = place.expected();
        if found != expected {
            return Err(FatalError::Gap { partition, expected, found });
        }
        if !std::mem::take(&mut place.unproven) {
            place.next_offset += 1;
            return Ok(true);
        }
        let proven = self.parts.heads.head(partition).is_some_and(|head| {
            let link = message::link(message, "");
            head.at.ends_with(&link, &mut self.buffers.digested)
        });
        if proven { Ok(false) } else { Err(FatalError::OtherRecord { partition, offset: found }) }
    }

    /// Most errors pass: the client library goes on by itself.
    fn judge(&mut self, error: KafkaError) -> Result<(), FatalError> {
        use RDKafkaErrorCode::{
            AutoOffsetReset, GroupAuthorizationFailed, LogTruncation, OffsetOutOfRange,
        };
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            return Err(FatalError::Client(error));
        }
        match error.rdkafka_error_code() {
            Some(AutoOffsetReset | OffsetOutOfRange | LogTruncation) => {
                Err(FatalError::CutOff(error))
            }
            // The library asks for the coordinator of the group that we never join, and may be told that
            // nodes have no rights on groups, which is as it should be.
            Some(GroupAuthorizationFailed) => Ok(()),
            _ => {
                if self.trouble.due(self.parts.outbox.clock.monotonic_us()) {
                    tracing::warn!(%error, "the order log cannot be read for now");
                }
                Ok(())
            }
        }
    }

    fn apply(&mut self, batch: &[BorrowedMessage<'_>]) -> Result<(), FatalError> {
        let mut buffers = std::mem::take(&mut self.buffers);
        let (count, newer_rules) = self.read(batch, &mut buffers);
        let outcomes = if buffers.entries.is_empty() {
            Vec::new()
        } else {
            self.parts.applied.apply_batch(&buffers.entries)
        };
        // The chain before the answers: who has an answer finds its record in the heads.
        self.chain(&batch[..count], &outcomes, &mut buffers);
        self.give_receipts(&outcomes, &buffers);
        self.deliver(&outcomes, &mut buffers);
        self.tell_of_other_keys(&buffers.entries, &outcomes);
        self.buffers = buffers;
        newer_rules.map_or(Ok(()), Err)
    }

    /// Reads the messages into `buffers`. Returns how many of them count, and the error at the next.
    fn read(
        &self,
        batch: &[BorrowedMessage<'_>],
        buffers: &mut Buffers,
    ) -> (usize, Option<FatalError>) {
        buffers.entries.clear();
        buffers.nonces.clear();
        buffers.is_record.clear();
        let outbox = &self.parts.outbox;
        for (index, message) in batch.iter().enumerate() {
            match message::read(message, &outbox.keys, outbox.partitions) {
                Read::Record { entry, nonce } => {
                    buffers.entries.push(entry);
                    buffers.nonces.push(nonce);
                    buffers.is_record.push(true);
                }
                Read::Undecodable { reason } => {
                    self.note_undecodable(message, &reason);
                    buffers.is_record.push(false);
                }
                Read::NewerRules { rules_version } => {
                    let (partition, offset) = (message.partition(), message.offset() as u64);
                    let error = FatalError::NewerRules { partition, offset, rules_version };
                    return (index, Some(error));
                }
            }
        }
        (batch.len(), None)
    }

    /// Told by the worker, which puts it aside, for each; here it is counted.
    fn note_undecodable(&self, message: &BorrowedMessage<'_>, reason: &Undecodable) {
        self.counts.undecodable.fetch_add(1, Ordering::Relaxed);
        let (partition, offset) = (message.partition(), message.offset());
        tracing::debug!(partition, offset, %reason, "a message of the order log is no record");
    }

    /// Hands out the decisions of this process's records, and announces the batch to all threads.
    fn deliver(&self, outcomes: &[Outcome], buffers: &mut Buffers) {
        let Buffers { entries, nonces, taken, .. } = buffers;
        if entries.is_empty() {
            return;
        }
        let prefix = &self.parts.outbox.nonce_prefix;
        let own = nonces
            .iter()
            .enumerate()
            .filter_map(|(index, nonce)| counter_of(nonce, prefix).map(|counter| (counter, index)));
        self.parts.outbox.waiting.take(own, taken);
        self.learn_the_time(entries, taken);
        let applied = &self.parts.applied;
        self.parts.ports.deliver(taken.drain(..).map(|Taken { ticket, found: index, .. }| {
            let entry = &entries[index];
            let log_time_ms = applied.log_time_ms(&entry.product);
            let decided = Decided {
                outcome: outcomes[index],
                offset: entry.offset,
                log_time_ms: log_time_ms.unwrap_or(entry.appended_at_ms),
            };
            (ticket, decided)
        }));
    }

    /// Before the decisions are handed out: whoever has one proposes by the time that came with it.
    fn learn_the_time(&self, entries: &[LogEntry], own: &[Taken<Ticket, usize>]) {
        let Some(log_clock) = self.parts.applied.log_clock() else { return };
        let clock = &self.parts.outbox.clock;
        let (read_us, wall_us) = (clock.monotonic_us(), clock.unix_ms().saturating_mul(1_000));
        if let Some(latest_ms) = entries.iter().map(|entry| entry.appended_at_ms).max() {
            log_clock.read(latest_ms, read_us);
        }
        for Taken { sent_us, found, .. } in own {
            log_clock.read_back(entries[*found].appended_at_ms, *sent_us, read_us, wall_us);
        }
    }

    /// Takes the chains of the partitions on, and says how far they are applied.
    fn chain(&self, batch: &[BorrowedMessage<'_>], outcomes: &[Outcome], buffers: &mut Buffers) {
        self.counts.records.fetch_add(outcomes.len() as u64, Ordering::Relaxed);
        let mut outcomes = outcomes.iter();
        let mut is_record = buffers.is_record.iter();
        buffers.digests.clear();
        for run in batch.chunk_by(|one, next| one.partition() == next.partition()) {
            let partition = run[0].partition();
            let Some(mut head) = self.parts.heads.head(partition) else { continue };
            for message in run {
                let is_record = is_record.next() == Some(&true);
                let outcome = match is_record {
                    true => outcomes.next().map_or(UNDECODABLE, Outcome::name),
                    false => UNDECODABLE,
                };
                let link = message::link(message, outcome);
                head.advance(&link, outcome, &mut buffers.digested);
                if is_record {
                    buffers.digests.push(head.at.digest);
                }
            }
            let next_offset = head.at.next_offset;
            drop(head);
            self.parts.heads.mark_applied(partition, next_offset);
        }
    }

    /// Makes the receipts of this process's confirmed orders, before anybody is told of them.
    fn give_receipts(&self, outcomes: &[Outcome], buffers: &Buffers) {
        let Some(receipts) = &self.parts.receipts else { return };
        let Buffers { entries, nonces, digests, .. } = buffers;
        let prefix = &self.parts.outbox.nonce_prefix;
        let rows = entries.iter().zip(outcomes).zip(nonces.iter().zip(digests));
        receipts.seal(rows.filter_map(|((entry, outcome), (nonce, digest))| {
            counter_of(nonce, prefix)?;
            match &entry.record {
                Record::OrderProposed(proposal) if *outcome == Outcome::Confirmed => Some(Claim {
                    product: entry.product,
                    order_id: proposal.order_id,
                    offset: entry.offset,
                    log_time_ms: entry.appended_at_ms,
                    digest: *digest,
                }),
                _ => None,
            }
        }));
    }

    /// Such a sale is followed like any other, so that all digests agree, and not served: see `place_order`.
    fn tell_of_other_keys(&self, entries: &[LogEntry], outcomes: &[Outcome]) {
        if !self.caught_up {
            return;
        }
        for (entry, outcome) in entries.iter().zip(outcomes) {
            match &entry.record {
                Record::SaleOpened(terms)
                    if *outcome == Outcome::Applied
                        && terms.key_fingerprints != self.parts.key_fingerprints =>
                {
                    tell_of_other_keys(&entry.product);
                }
                _ => {}
            }
        }
    }
}

fn tell_of_other_keys(product: &ProductId) {
    tracing::error!(
        %product,
        "a sale was opened under other keys (secrets.order_key, secrets.buyer_key); this node does not serve \
         it: give the nodes the same keys, or archive the sale"
    );
}

impl Place {
    /// The offset that must come next.
    fn expected(&self) -> u64 {
        self.next_offset - u64::from(self.unproven)
    }
}
