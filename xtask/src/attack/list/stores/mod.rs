//! By way of the stores: by whoever has a node's, a worker's or a person's credentials, or is on their network.
//!
//! Nothing may be sold that was not for sale, nothing resumed that was stopped, nobody told a false order id;
//! and what an account does not need it cannot do. Each attack begins with something honest that succeeds.

use super::{Attack, Got, Target};
use crate::attack::stores::Stores;

mod aftermath;
mod kafka_malformed;
mod kafka_records;
mod kafka_replays;
mod kafka_rights;
mod postgres;
mod redis_hints;
mod redis_rights;
mod transport;

pub use aftermath::aftermath;

/// Those of all stores.
pub const ATTACKS: [&[Attack]; 8] = [
    redis_hints::ATTACKS,
    redis_rights::ATTACKS,
    kafka_records::ATTACKS,
    kafka_replays::ATTACKS,
    kafka_malformed::ATTACKS,
    kafka_rights::ATTACKS,
    postgres::ATTACKS,
    transport::ATTACKS,
];

/// Honest calls on both nodes, and the ledger that learns of them.
///
/// # Errors
/// One does not succeed.
pub fn controls(stores: &Stores) -> anyhow::Result<()> {
    super::controls(&stores.one)?;
    super::controls(&stores.two)?;
    stores.settled()
}
