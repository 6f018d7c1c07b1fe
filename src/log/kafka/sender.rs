//! The way of a record into Kafka: sealed, encoded, vouched for, entered as waiting, handed to the producer.
//!
//! Nothing is answered from here: decisions come from the follower alone.

use std::cell::RefCell;
use std::sync::Arc;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;

use super::lanes::Lanes;
use super::message::{author_of, partition_of};
use super::pipe::{Message, Pipe};
use super::waiting::{NoRoom, Waiting};
use crate::clock::Clock;
use crate::keys::records::{NONCE_BYTES, NoOperatorKey, Nonce, RecordKeys, VOUCHER_BYTES_MAX};
use crate::keys::seal::Sealer;
use crate::log::delivery::Ticket;
use crate::log::{NotAppended, Queued};
use crate::sale::Record;
use crate::sale::record::RECORD_BYTES_MAX;
use crate::trace;

/// The first bytes of all nonces of this process.
pub(super) type NoncePrefix = [u8; 8];

/// What all threads that send share.
pub(super) struct Outbox {
    pub partitions: u32,
    pub keys: RecordKeys,
    pub sealer: Option<Sealer>,
    pub clock: Clock,
    pub waiting: Waiting<Ticket>,
    pub nonce_prefix: NoncePrefix,
    pipe: Arc<Pipe>,
}

/// The parts of an [`Outbox`] that come from elsewhere.
pub(super) struct OutboxParts {
    pub topic: String,
    pub partitions: u32,
    pub keys: RecordKeys,
    pub sealer: Option<Sealer>,
    pub clock: Clock,
    pub waiting_max: usize,
    pub nonce_prefix: NoncePrefix,
}

impl Outbox {
    /// Makes the producer; it connects by itself, whenever brokers can be reached.
    pub(super) fn new(config: ClientConfig, parts: OutboxParts) -> Result<Self, KafkaError> {
        let OutboxParts { topic, partitions, keys, sealer, clock, waiting_max, nonce_prefix } =
            parts;
        let lanes = Lanes::new(partitions, waiting_max);
        let pipe = Pipe::new(config, topic, lanes, clock.clone())?;
        let waiting = Waiting::new(waiting_max);
        Ok(Self { partitions, keys, sealer, clock, waiting, nonce_prefix, pipe })
    }

    /// Records that the producer gave up on. They may be in the log all the same.
    pub(super) fn not_sent(&self) -> u64 {
        self.pipe.not_sent()
    }

    /// The producer's own thread, see [`Pipe::run`].
    pub(super) fn run(&self) {
        self.pipe.run();
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        self.waiting.close();
        self.pipe.stop();
    }
}

/// One thread's way to send.
pub(in crate::log) struct Sender {
    outbox: Arc<Outbox>,
    buffers: RefCell<Buffers>,
}

/// Used again for every record.
struct Buffers {
    value: Vec<u8>,
    voucher: Vec<u8>,
}

impl Sender {
    pub(super) fn new(outbox: Arc<Outbox>) -> Self {
        let value = Vec::with_capacity(RECORD_BYTES_MAX);
        let voucher = Vec::with_capacity(VOUCHER_BYTES_MAX);
        Self { outbox, buffers: RefCell::new(Buffers { value, voucher }) }
    }

    /// Hands a record to the producer. On an error it was not, and will not be.
    pub(in crate::log) fn try_send(&self, queued: Queued) -> Result<(), NotAppended> {
        let Queued { append, ticket } = queued;
        let outbox = &*self.outbox;
        let now_us = outbox.clock.monotonic_us();
        let mut record = append.record;
        if let (Record::OrderProposed(proposal), Some(user), Some(sealer)) =
            (&mut record, &append.subject, &outbox.sealer)
        {
            let moment = (now_us, proposal.at_ms);
            let sealed = sealer.seal(user, &append.product, &proposal.order_id, moment);
            proposal.sealed_user = Some(sealed);
        }
        let mut buffers = self.buffers.borrow_mut();
        let Buffers { value, voucher } = &mut *buffers;
        value.clear();
        record.encode_into(append.by, value);
        if value.len() > RECORD_BYTES_MAX {
            return Err(NotAppended::Invalid);
        }
        let counter = outbox.waiting.enter(ticket, now_us).map_err(|no_room| match no_room {
            NoRoom::Full => NotAppended::QueueFull,
            NoRoom::Closed => NotAppended::Stopped,
        })?;
        let nonce = nonce(outbox.nonce_prefix, counter);
        voucher.clear();
        let product = append.product.as_str();
        let sent = outbox
            .keys
            .vouch(author_of(&record), product, &nonce, value, voucher)
            .map_err(|NoOperatorKey| NotAppended::NoOperatorKey)
            .and_then(|()| {
                let partition = partition_of(&append.product, outbox.partitions);
                let product = append.product;
                let trace = trace::place();
                let nonce = &nonce;
                let message = Message { product, partition, value, nonce, voucher, trace, now_us };
                outbox.pipe.send(&message)
            });
        if sent.is_err() {
            outbox.waiting.withdraw(counter);
        }
        sent
    }
}

/// The nonce of the `counter`-th record of a process.
fn nonce(prefix: NoncePrefix, counter: u64) -> Nonce {
    let mut nonce = [0; NONCE_BYTES];
    nonce[..8].copy_from_slice(&prefix);
    nonce[8..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

/// The counter in a nonce of this process.
pub(super) fn counter_of(nonce: &Nonce, prefix: &NoncePrefix) -> Option<u64> {
    let counter = nonce.strip_prefix(prefix)?.try_into().ok()?;
    Some(u64::from_be_bytes(counter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nonces_of_this_process_have_a_counter() {
        let sent = nonce([1; 8], 77);
        assert_eq!(counter_of(&sent, &[1; 8]), Some(77));
        assert_eq!(counter_of(&sent, &[2; 8]), None);
    }
}
