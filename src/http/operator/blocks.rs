//! `/admin/blocks`: who is refused at the door, on all nodes, from the moment the record is applied.
//!
//! The raw address, fingerprint or user comes over the operator's own connection and goes nowhere from
//! here: what is written is its pseudonym.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Operator;
use super::auth::Caller;
use super::call::{answer, invalid, parse};
use super::control::{check_reason, check_until, log_time_ms, required_operation, say, word};
use crate::http::code::Code;
use crate::http::reply::{self, Coded};
use crate::sale::control::{Block, BlockTarget, ControlChange};
use crate::sale::{Ignored, UserId};

/// Broadest prefixes that can be blocked live: a slip of the pen should not shut out a continent.
pub const V4_BITS_MIN: u8 = 8;
/// The same for IPv6.
pub const V6_BITS_MIN: u8 = 19;
/// Longest fingerprint, in bytes.
pub const FINGERPRINT_BYTES_MAX: usize = 512;

/// Whom: exactly one of these.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// An address, or a prefix such as 203.0.113.0/24.
    #[schema(example = "203.0.113.0/24")]
    address: Option<String>,
    /// A device fingerprint.
    fingerprint: Option<String>,
    /// A user id, of whatever shop.
    user: Option<String>,
    /// The `id` of a block, as listed.
    id: Option<String>,
}

/// `POST /admin/blocks`.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetBlock {
    /// An address, or a prefix such as 203.0.113.0/24.
    #[schema(example = "203.0.113.0/24")]
    address: Option<String>,
    /// A device fingerprint.
    fingerprint: Option<String>,
    /// A user id, of whatever shop.
    user: Option<String>,
    /// The `id` of a block, as listed.
    id: Option<String>,
    /// Until when, Unix milliseconds.
    until: u64,
    /// Why. Kept in clear: without personal data.
    reason: String,
}

/// A block, as it is kept.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BlockView {
    /// Its pseudonym, by which it can be lifted.
    #[schema(example = "v4-24-0f1e2d3c4b5a6978")]
    id: String,
    /// `ipv4`, `ipv6`, `fingerprint` or `user`.
    kind: &'static str,
    /// Bits of the prefix, of an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    bits: Option<u8>,
    /// Until when, Unix milliseconds; `null` is until it is lifted.
    until: Option<u64>,
    reason: String,
    /// Who blocked.
    by: String,
    /// When, Unix milliseconds.
    at: u64,
}

/// All blocks.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Blocks {
    blocks: Vec<BlockView>,
}

/// What a change came to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BlockChanged {
    /// `applied` or `ignored`.
    status: &'static str,
    /// Why it was ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "already_applied")]
    reason: Option<Ignored>,
    /// The pseudonym.
    id: String,
    /// As it stands; `null` if it does not.
    block: Option<BlockView>,
}

/// The blocks that stand.
pub async fn list(State(operator): State<Arc<Operator>>) -> Coded {
    let control = operator.shared.applied().control();
    let blocks = control.blocks(log_time_ms(&operator)).map(BlockView::of).collect();
    reply::json_value(Code::Ok, &Blocks { blocks })
}

/// Blocks somebody.
pub async fn set(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Coded {
    answer(async {
        let operation = required_operation(&headers)?;
        let (target, until_ms, reason) = read_set(&operator, &body)?;
        let change = ControlChange::BlockSet { target, until_ms: Some(until_ms), reason };
        let ignored = say(&operator, &caller, operation, change).await?;
        Ok(changed(&operator, target, ignored))
    })
    .await
}

/// Whom, until when and why, of a body that sets one.
pub(super) fn read_set(
    operator: &Operator,
    body: &[u8],
) -> Result<(BlockTarget, u64, String), Coded> {
    let SetBlock { address, fingerprint, user, id, until, reason } = parse(body)?;
    let target = Target { address, fingerprint, user, id };
    check_until(operator, until)?;
    check_reason(&reason, &target.texts())?;
    Ok((target.read(operator)?, until, reason))
}

/// Lifts a block, by whom it is of.
pub async fn lift(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Coded {
    answer(async {
        let target = parse::<Target>(&body)?.read(&operator)?;
        lift_target(&operator, &caller, &headers, target).await
    })
    .await
}

/// Lifts a block, by its pseudonym.
pub async fn lift_id(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Coded {
    answer(async {
        let target = parse_id(&id)?;
        lift_target(&operator, &caller, &headers, target).await
    })
    .await
}

async fn lift_target(
    operator: &Operator,
    caller: &Caller,
    headers: &HeaderMap,
    target: BlockTarget,
) -> Result<Coded, Coded> {
    let operation = required_operation(headers)?;
    let change = ControlChange::BlockLifted { target };
    let ignored = say(operator, caller, operation, change).await?;
    Ok(changed(operator, target, ignored))
}

fn changed(operator: &Operator, target: BlockTarget, ignored: Option<Ignored>) -> Coded {
    let control = operator.shared.applied().control();
    let block = control.block(&target, log_time_ms(operator)).map(BlockView::of);
    let (status, id) = (word(ignored), target.to_string());
    reply::json_value(Code::Ok, &BlockChanged { status, reason: ignored, id, block })
}

impl BlockView {
    pub(super) fn of(block: &Block) -> Self {
        let (kind, bits) = match block.target {
            BlockTarget::V4 { bits, .. } => ("ipv4", Some(bits)),
            BlockTarget::V6 { bits, .. } => ("ipv6", Some(bits)),
            BlockTarget::Fingerprint(_) => ("fingerprint", None),
            BlockTarget::User(_) => ("user", None),
        };
        Self {
            id: block.target.to_string(),
            kind,
            bits,
            until: block.until_ms,
            reason: block.reason.clone(),
            by: block.by.to_string(),
            at: block.at_ms,
        }
    }
}

impl Target {
    /// What must not be said in clear.
    fn texts(&self) -> Vec<&str> {
        let texts = [&self.address, &self.fingerprint, &self.user];
        // Short ones are in many words.
        texts.into_iter().flatten().map(String::as_str).filter(|text| text.len() > 3).collect()
    }

    /// The pseudonym.
    pub(super) fn read(&self, operator: &Operator) -> Result<BlockTarget, Coded> {
        let key = operator.shared.guard.block_key();
        match (&self.address, &self.fingerprint, &self.user, &self.id) {
            (Some(address), None, None, None) => Ok(key.network(parse_network(address)?)),
            (None, Some(fingerprint), None, None) => {
                if fingerprint.is_empty() || fingerprint.len() > FINGERPRINT_BYTES_MAX {
                    let most = FINGERPRINT_BYTES_MAX;
                    return Err(invalid(&format!("fingerprint must have 1 to {most} bytes")));
                }
                Ok(key.fingerprint(fingerprint.as_bytes()))
            }
            (None, None, Some(user), None) => {
                let user: UserId = user.parse().map_err(|why| invalid(&format!("user {why}")))?;
                Ok(key.user(&user))
            }
            (None, None, None, Some(id)) => parse_id(id),
            _ => Err(invalid("give exactly one of address, fingerprint, user and id")),
        }
    }
}

pub(super) fn parse_id(id: &str) -> Result<BlockTarget, Coded> {
    id.parse().map_err(|why| invalid(&format!("the id of a block {why}")))
}

/// A network as operators write it, in its one form, and not too wide.
pub fn parse_network(text: &str) -> Result<IpNet, Coded> {
    let network = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| invalid("address must be an IP address or a prefix such as 203.0.113.0/24"))?;
    let network = crate::guard::client_ip::canonical_net(network);
    let (bits_min, family) = match network {
        IpNet::V4(_) => (V4_BITS_MIN, "IPv4"),
        IpNet::V6(_) => (V6_BITS_MIN, "IPv6"),
    };
    if network.prefix_len() < bits_min {
        return Err(invalid(&format!("a prefix of {family} must have at least {bits_min} bits")));
    }
    Ok(network)
}
