//! The order log on Kafka: a topic whose partitions nodes follow and apply.

use std::sync::Arc;

use super::delivery::Ports;
use super::{Applied, NotAppended, Observer, Queued};
use crate::clock::Clock;
use crate::config::Config;
use crate::keys::records::RecordKeys;
use crate::keys::seal::Sealer;
use crate::sale::record::KeyFingerprints;
use crate::snapshot::Snapshot;

/// What the log needs beside the configuration's sections `kafka` and `stores`.
pub struct Parts {
    /// MACs and signatures of records.
    pub keys: RecordKeys,
    /// Seals user ids; without it they go nowhere.
    pub sealer: Option<Sealer>,
    /// From where the node starts.
    pub snapshot: Snapshot,
    /// The keys that open sales must have been opened under.
    pub key_fingerprints: KeyFingerprints,
}

/// Why the log did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {}

/// Why the log ends in mid-run.
#[derive(Debug, thiserror::Error)]
pub enum FatalError {}

/// The running log. Cheap to clone.
#[derive(Clone)]
pub struct KafkaLog;

/// One thread's way to send.
pub(super) struct Sender;

impl KafkaLog {
    /// Returns when the log's end, as it was at the call, has been applied.
    pub fn start(
        _config: &Config,
        _parts: Parts,
        _clock: Clock,
        _observer: Observer,
        _fatal: Box<dyn FnOnce(FatalError) + Send>,
    ) -> Result<Self, StartError> {
        unimplemented!()
    }
    pub fn applied(&self) -> &Arc<Applied> {
        unimplemented!()
    }
    pub fn stop(&self) {}
    pub(super) fn ports(&self) -> &Ports {
        unimplemented!()
    }
    pub(super) fn sender(&self) -> Sender {
        Sender
    }
}

impl Sender {
    pub(super) fn try_send(&self, _queued: Queued) -> Result<(), NotAppended> {
        unimplemented!()
    }
}
