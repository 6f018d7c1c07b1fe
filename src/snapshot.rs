//! What a node or a worker starts from when the log is too long to be read from its beginning: the states
//! of all products as of one place in the log, and the digests that tie them to it.

use std::borrow::Cow;

use crate::chain::{self, Digest, Link};
use crate::sale::{ControlState, ProductId, SaleSnapshot};

/// Offsets between two digests of a partition that nodes and the ledger keep, so that two who follow the same
/// log can compare what they have applied without having stopped at the same place.
pub const CHECKPOINT_OFFSETS: u64 = 1_024;
/// Digests of a partition that are kept: the last ones.
pub const CHECKPOINTS_KEPT: u64 = 64;

/// How far one partition of the log has been applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionHead {
    /// The partition.
    pub partition: i32,
    /// The first offset that has not been applied; 0 at the beginning.
    pub next_offset: u64,
    /// The digest after the record before that one; [`genesis`](crate::chain::genesis) at the beginning.
    pub digest: Digest,
    /// The digest before that record: with the record itself it gives `digest`, so a log that does not
    /// hold the very record that the snapshot ends with is found out.
    pub previous: Digest,
    /// What that record came to, in the words of [`Outcome::name`](crate::sale::Outcome::name).
    pub last_outcome: Cow<'static, str>,
}

/// Everything as of one moment of the ledger.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// One for each partition, in their order.
    pub heads: Vec<PartitionHead>,
    /// The sales whose records lie in these partitions.
    pub sales: Vec<(ProductId, SaleSnapshot)>,
    /// What operators have said about the whole gate, if its records lie in these partitions and there are
    /// any.
    pub control: Option<ControlState>,
}

impl PartitionHead {
    /// Goes on by one record, which came to this outcome: `link`'s own does not count.
    pub fn advance(&mut self, link: &Link<'_>, outcome: &'static str, buffer: &mut Vec<u8>) {
        let digest = chain::next(&self.digest, &Link { outcome, ..*link }, buffer);
        self.previous = std::mem::replace(&mut self.digest, digest);
        self.last_outcome = Cow::Borrowed(outcome);
        self.next_offset = link.offset + 1;
    }

    /// Whether the record before `next_offset` is this one, whatever outcome `link` has.
    pub fn ends_with(&self, link: &Link<'_>, buffer: &mut Vec<u8>) -> bool {
        let link = Link { outcome: &self.last_outcome, ..*link };
        chain::next(&self.previous, &link, buffer) == self.digest
    }

    /// A partition of which nothing has been applied.
    pub fn beginning(partition: i32) -> Self {
        let genesis = chain::genesis();
        Self {
            partition,
            next_offset: 0,
            digest: genesis,
            previous: genesis,
            last_outcome: Cow::Borrowed(""),
        }
    }
}
