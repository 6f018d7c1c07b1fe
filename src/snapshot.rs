//! What a node or a worker starts from when the log is too long to be read from its beginning: the states
//! of all products as of one place in the log, and the digests that tie them to it.

use crate::chain::Digest;
use crate::sale::{ControlState, ProductId, SaleSnapshot};

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
    pub last_outcome: String,
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
    /// A partition of which nothing has been applied.
    pub fn beginning(partition: i32) -> Self {
        let genesis = crate::chain::genesis();
        Self {
            partition,
            next_offset: 0,
            digest: genesis,
            previous: genesis,
            last_outcome: String::new(),
        }
    }
}
