//! What comes to the guard, and what it makes of it.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Method};

use crate::gate::Origin;
use crate::guard::bots::Scored;
use crate::guard::clients::Roles;
use crate::guard::limits::RateStatus;
use crate::sale::{BuyerRef, IdempotencyKey, OrderId, ProductId, UserId};

/// A request, as it was received.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path with its query, as sent.
    pub target: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
    /// The address at the other end of the connection.
    pub peer: IpAddr,
}

/// The time of a request, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Wall-clock time in Unix milliseconds.
    pub unix_ms: u64,
    /// Time for rates, in microseconds; never backwards.
    pub monotonic_us: u64,
}

/// An order that passed checks 2 to 11.
#[derive(Debug, Clone, Copy)]
pub struct OrderRequest {
    /// What is bought.
    pub product: ProductId,
    /// Who buys.
    pub user: UserId,
    /// Who buys, as a pseudonym.
    pub buyer: BuyerRef,
    /// The client's name for the attempt.
    pub key: IdempotencyKey,
    /// The id of the order that this attempt is or becomes.
    pub order_id: OrderId,
    /// Who sent it.
    pub caller_kind: CallerKind,
    /// From where it was sent, as pseudonyms.
    pub origin: Origin,
    /// Its bot score.
    pub scored: Scored,
    /// The rate that it counted against; absent where that is off.
    pub rate: Option<RateStatus>,
}

/// Who sends an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerKind {
    /// A shopper, with a pass.
    Shopper,
    /// An API client, for its user.
    Client,
}

/// Who makes a call other than an order.
#[derive(Debug, Clone)]
pub enum Caller {
    /// A shopper, with a pass.
    Shopper {
        /// Who, as a pseudonym.
        buyer: BuyerRef,
        /// The rate that the call counted against; absent where that is off.
        rate: Option<RateStatus>,
    },
    /// An API client.
    Client {
        /// Which.
        id: Arc<str>,
        /// What it may do.
        roles: Roles,
        /// The rate that the call counted against; absent where that is off.
        rate: Option<RateStatus>,
    },
}

impl Caller {
    /// The rate that the call counted against; absent where that is off.
    pub fn rate(&self) -> Option<&RateStatus> {
        match self {
            Self::Shopper { rate, .. } | Self::Client { rate, .. } => rate.as_ref(),
        }
    }
}
