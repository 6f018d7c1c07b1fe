//! The guard: who asks, with which intact request, how often.
//!
//! [`Guard::order`] is checks 2 to 11 of the table "What a request to `POST /order` passes" in
//! `docs/ARCHITECTURE.md`, in its order: a request that is wrong in two ways gets the earlier refusal. Check
//! 1 is the connection's (`http/`), and from 12 on it is `place_order`'s.
//!
//! A passing order costs two HMACs (its signature, its id), one parse of its body and no allocation, once
//! its pass or user is in the thread's [`PassCache`]. Expected refusals are values ([`Refusal`]); nothing
//! that the client sent is in one.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use http::HeaderMap;

use crate::config::{ClientRole, Config};
use crate::gate::Origin;
use crate::keys::IdentityKeys;
use crate::room::Doors;
use crate::sale::{InvalidId, UserId};
use crate::signing::SignedParts;

mod blocks;
pub mod body;
mod bots;
mod cache;
pub mod challenge;
pub mod client_ip;
pub mod clients;
pub mod headers;
pub mod jwt;
mod limits;
pub mod live;
mod mac;
pub mod pass;
mod refusal;
mod request;
pub mod room;
pub mod score;
mod session;
mod table;

pub use bots::{Proof, Scored};
pub use cache::PassCache;
pub use clients::{ClientError, Roles};
pub use limits::RateStatus;
pub use mac::Mac;
pub use pass::{PassId, PassKeys, PassKeysError};
pub use refusal::{Asked, FieldError, Forbidden, Refusal, Refused};
pub use request::{Caller, CallerKind, Now, OrderRequest, Request};
pub use session::OpenedSession;

use blocks::Blocks;
use bots::Bots;
use cache::KnownPass;
use client_ip::TrustedProxies;
use clients::{ApiClient, Clients};
use headers::Credentials;
use jwt::{JwtError, JwtIssuers};
use limits::{Entered, Limits, Over};
use live::{BlockKey, Effective, LiveAllows, LiveBlocks};
use table::KeyedHash;

/// Why the guard cannot be built from the configuration. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// An API client cannot be.
    #[error("clients: {0}")]
    Client(#[from] ClientError),
    /// An issuer of JWTs cannot be.
    #[error("jwt issuer {issuer}: {error}")]
    Jwt {
        /// Which.
        issuer: String,
        /// Why.
        #[source]
        error: JwtError,
    },
    /// A blocked user id is none.
    #[error("blocks.users: a user id {0}")]
    BlockedUser(#[source] InvalidId),
}

/// The guard of a node. Its threads share it; each has a [`PassCache`] of its own.
pub struct Guard {
    proxies: TrustedProxies,
    blocks: Blocks,
    live_blocks: ArcSwap<LiveBlocks>,
    live_allows: ArcSwap<LiveAllows>,
    block_key: BlockKey,
    limits: Limits,
    clients: Clients,
    issuers: JwtIssuers,
    pass_keys: PassKeys,
    pass_lifetime_ms: u64,
    identity: Arc<IdentityKeys>,
    doors: Arc<Doors>,
    hash: KeyedHash,
    bots: Bots,
}

/// Who a request is from, before its signature is checked.
enum Who<'a> {
    Shopper(&'a KnownPass),
    Client(&'a ApiClient),
}

impl Who<'_> {
    /// The keys of which one must have signed.
    fn keys(&self) -> &[hmac::Key] {
        match self {
            Self::Shopper(known) => std::slice::from_ref(&known.key),
            Self::Client(client) => &client.keys,
        }
    }
}

impl Guard {
    /// A guard for this configuration. `hash_seed` is 128 random bits, drawn once a process, under which
    /// its tables hash.
    ///
    /// # Errors
    /// What of the configuration cannot be.
    pub fn new(
        config: &Config,
        identity: Arc<IdentityKeys>,
        pass_keys: PassKeys,
        hash_seed: [u8; 16],
    ) -> Result<Self, GuardError> {
        let hash = KeyedHash::new(hash_seed);
        Ok(Self {
            proxies: TrustedProxies::new(&config.http.trusted_proxies),
            blocks: Blocks::new(&config.blocks).map_err(GuardError::BlockedUser)?,
            live_blocks: ArcSwap::default(),
            live_allows: ArcSwap::default(),
            bots: Bots::new(config, &identity),
            block_key: BlockKey::new(identity.block_seed()),
            limits: Limits::new(
                &Effective::configured(&config.limits),
                config.limits.tracked_keys_max,
                hash,
            ),
            clients: Clients::new(&config.clients)?,
            issuers: JwtIssuers::new(&config.jwt)
                .map_err(|(issuer, error)| GuardError::Jwt { issuer, error })?,
            pass_keys,
            pass_lifetime_ms: config.session.pass_lifetime_seconds.saturating_mul(1_000),
            identity,
            doors: Arc::new(Doors::new(&config.room.products)),
            hash,
        })
    }

    /// Other limits, other blocks beside the configured ones, and others who are not scored, from now on.
    pub fn set_live(&self, effective: &Effective, blocks: LiveBlocks, allows: LiveAllows) {
        self.limits.set(effective);
        self.live_blocks.store(Arc::new(blocks));
        self.live_allows.store(Arc::new(allows));
    }

    /// Makes pseudonyms of those who are blocked.
    pub fn block_key(&self) -> &BlockKey {
        &self.block_key
    }

    /// An empty cache for a thread.
    pub fn cache(&self) -> PassCache {
        PassCache::new(self.hash)
    }

    /// Checks 2 to 11 of `POST /order`.
    ///
    /// # Errors
    /// The refusal of the first check that the request does not pass.
    pub fn order(
        &self,
        cache: &mut PassCache,
        request: &Request<'_>,
        now: Now,
    ) -> Result<OrderRequest, Refused> {
        let PassCache { passes, users } = cache;
        // 2 and 3: blocked address or fingerprint; rate of address, fingerprint and node.
        let entered = self.enter(request, now)?;
        let at_door = |refusal| Refused { refusal, rate: entered.status };
        let stranger = |refusal| {
            self.failed_at(entered.place, now);
            at_door(refusal)
        };
        // 4: who.
        let who = self.who(passes, request, now).map_err(stranger)?;
        // 5: the request's time.
        let time = headers::request_time(request.headers, now.unix_ms).map_err(at_door)?;
        // 6: the signature. From here on the request counts against somebody known, not its address.
        check_signature(who.keys(), request, time).map_err(stranger)?;
        self.limits.refund(&entered);
        let count = |refusal| self.count_refused(&who, refusal, now);
        // 7: the idempotency key.
        let key = headers::idempotency_key(request.headers).map_err(count)?;
        // 8: the body.
        headers::json_content(request.headers).map_err(count)?;
        let (product, user) = body::parse_order(request.body).map_err(count)?;
        // 9: may they; is it their own; is the user blocked; were they let in, if the product has a waiting room.
        may_order(&who, &user).map_err(count)?;
        self.check_user(&user).map_err(count)?;
        if let Who::Shopper(known) = &who {
            self.check_admission(known.pass.admission, &product).map_err(count)?;
        }
        // 10: the rate of the API client and of the buyer, and the time since the buyer's last order.
        let (buyer, caller_kind) = match who {
            Who::Shopper(known) => (known.buyer, CallerKind::Shopper),
            Who::Client(client) => {
                self.limits.client(&client.tat, now.monotonic_us).map_err(slow_down)?;
                (users.buyer(client, &user, &self.identity), CallerKind::Client)
            }
        };
        let rate = self.limits.order(&buyer, &key, now.monotonic_us).map_err(slow_down)?;
        let order_id = self.identity.order_id(&product, &buyer, &key);
        // A shop's backend orders for many from one address: it counts as the client that it is.
        let (origin, scored) = match caller_kind {
            CallerKind::Shopper => {
                // 11: the bot score, and the challenge that it may cost.
                let order = (&buyer, &user, &order_id);
                let scored = self.check_bot(request, entered.place, order, now);
                (entered.origin, scored.map_err(|refusal| Refused { refusal, rate })?)
            }
            CallerKind::Client => (Origin::default(), Scored::default()),
        };
        Ok(OrderRequest { product, user, buyer, key, order_id, caller_kind, origin, scored, rate })
    }

    /// Checks 2 to 6 for the other calls of somebody known, which then count against their buyer or API
    /// client.
    ///
    /// # Errors
    /// The refusal of the first check that the request does not pass.
    pub fn caller(
        &self,
        cache: &mut PassCache,
        request: &Request<'_>,
        now: Now,
    ) -> Result<Caller, Refused> {
        let entered = self.enter(request, now)?;
        let at_door = |refusal| Refused { refusal, rate: entered.status };
        let who = self.who(&mut cache.passes, request, now).map_err(at_door)?;
        let time = headers::request_time(request.headers, now.unix_ms).map_err(at_door)?;
        check_signature(who.keys(), request, time).map_err(at_door)?;
        self.limits.refund(&entered);
        let rate = self.count(&who, now).map_err(slow_down)?;
        Ok(match who {
            Who::Shopper(known) => Caller::Shopper { buyer: known.buyer, rate },
            Who::Client(client) => {
                Caller::Client { id: client.id.clone(), roles: client.roles, rate }
            }
        })
    }

    /// Whose address a request counts against.
    pub fn client_ip(&self, request: &Request<'_>) -> std::net::IpAddr {
        self.proxies.client_ip(request.peer, request.headers)
    }

    /// Checks 2 and 3, for calls that are open to everybody.
    ///
    /// # Errors
    /// The refusal of the first check that the request does not pass.
    pub fn anyone(&self, request: &Request<'_>, now: Now) -> Result<Option<RateStatus>, Refused> {
        self.enter(request, now).map(|entered| entered.status)
    }

    /// Checks 2 and 3.
    fn enter(&self, request: &Request<'_>, now: Now) -> Result<Entered, Refused> {
        let ip = self.proxies.client_ip(request.peer, request.headers);
        // A signal, no proof: of several the first counts.
        let fingerprint = request.headers.get(&headers::X_DEVICE_FINGERPRINT);
        let fingerprint = fingerprint.map(http::HeaderValue::as_bytes);
        if self.is_blocked(ip, fingerprint) {
            return Err(Refusal::Blocked.into());
        }
        self.limits.enter(ip, fingerprint, now.monotonic_us).map_err(|over| Refused {
            refusal: Refusal::TooManyRequests { retry_after_ms: over.retry_after_ms },
            rate: over.status,
        })
    }

    /// Check 2: by the configuration, or by an operator.
    fn is_blocked(&self, ip: IpAddr, fingerprint: Option<&[u8]>) -> bool {
        let (live, key) = (self.live_blocks.load(), &self.block_key);
        let by_fingerprint = |fingerprint| {
            self.blocks.fingerprint(fingerprint) || live.fingerprint(key, fingerprint)
        };
        self.blocks.address(ip) || live.address(key, ip) || fingerprint.is_some_and(by_fingerprint)
    }

    /// Check 4.
    fn who<'a>(
        &'a self,
        passes: &'a mut cache::Passes,
        request: &Request<'_>,
        now: Now,
    ) -> Result<Who<'a>, Refusal> {
        match headers::credentials(request.headers)? {
            Credentials::Bearer(text) => self.pass(passes, text, now, 0).map(Who::Shopper),
            Credentials::ApiKey(id) => self.client(id, request).map(Who::Client),
        }
    }

    /// Check 4 of a shopper, whose pass may be over its time by less than `grace_ms`.
    fn pass<'a>(
        &self,
        passes: &'a mut cache::Passes,
        text: &str,
        now: Now,
        grace_ms: u64,
    ) -> Result<&'a KnownPass, Refusal> {
        let known = passes.get(text, &self.pass_keys, &self.identity);
        let known = known.ok_or(Refusal::Unauthenticated("The session pass is not valid."))?;
        if now.unix_ms >= known.pass.expires_ms.saturating_add(grace_ms) {
            return Err(Refusal::Unauthenticated("The session pass has expired."));
        }
        Ok(known)
    }

    fn client(&self, id: &str, request: &Request<'_>) -> Result<&ApiClient, Refusal> {
        self.clients.get(id).ok_or_else(|| {
            // The answer is the same whatever comes of it; it takes the time of a wrong signature.
            let time = request.headers.get(&headers::X_REQUEST_TIME);
            let time = time.map_or(&[][..], http::HeaderValue::as_bytes);
            _ = check_signature(self.clients.decoy(), request, time);
            Refusal::Unauthenticated("The API client is not known.")
        })
    }

    /// The part of check 9 that concerns the user alone.
    fn check_user(&self, user: &UserId) -> Result<(), Refusal> {
        let blocked = self.blocks.user(user) || self.live_blocks.load().user(&self.block_key, user);
        if blocked { Err(Refusal::Forbidden(Forbidden::UserBlocked)) } else { Ok(()) }
    }

    /// Counts a request against whoever signed it.
    fn count(&self, who: &Who<'_>, now: Now) -> Result<Option<RateStatus>, Over> {
        match who {
            Who::Shopper(known) => self.limits.buyer(&known.buyer, now.monotonic_us),
            Who::Client(client) => self.limits.client(&client.tat, now.monotonic_us),
        }
    }

    /// A refusal by checks 7 to 9: its address was refunded, so it counts against whoever signed it. That
    /// one may be over the rate by it does not change the answer.
    fn count_refused(&self, who: &Who<'_>, refusal: Refusal, now: Now) -> Refused {
        let rate = self.count(who, now).unwrap_or_else(|over| over.status);
        if let (Who::Shopper(known), Refusal::Forbidden(Forbidden::OtherUser)) = (who, &refusal) {
            self.failed(&known.buyer, now);
        }
        Refused { refusal, rate }
    }
}

/// The pass of a call that is for shoppers alone; `why` is what an API client is told.
fn shopper_pass<'a>(headers: &'a HeaderMap, why: &'static str) -> Result<&'a str, Refusal> {
    match headers::credentials(headers)? {
        Credentials::Bearer(pass) => Ok(pass),
        Credentials::ApiKey(_) => Err(Refusal::Unauthenticated(why)),
    }
}

/// Check 6.
fn check_signature(
    keys: &[hmac::Key],
    request: &Request<'_>,
    request_time: &[u8],
) -> Result<(), Refusal> {
    let mac = headers::signature(request.headers).and_then(Mac::from_hex);
    let mac = mac.ok_or(Refusal::InvalidSignature)?;
    let parts = SignedParts {
        method: request.method.as_str().as_bytes(),
        path: request.target.as_bytes(),
        body: request.body,
        request_time,
        idempotency_key: headers::signed_key(request.headers),
    };
    let signed = keys.iter().any(|key| mac.is(&parts.sign(key)));
    if signed { Ok(()) } else { Err(Refusal::InvalidSignature) }
}

/// The part of check 9 that depends on who asks.
fn may_order(who: &Who<'_>, user: &UserId) -> Result<(), Refusal> {
    match who {
        Who::Shopper(known) if known.pass.user != *user => {
            Err(Refusal::Forbidden(Forbidden::OtherUser))
        }
        Who::Shopper(_) => Ok(()),
        Who::Client(client) => require(client, ClientRole::Order),
    }
}

fn require(client: &ApiClient, role: ClientRole) -> Result<(), Refusal> {
    if client.roles.has(role) {
        Ok(())
    } else {
        Err(Refusal::Forbidden(Forbidden::MissingRole(role)))
    }
}

fn slow_down(over: Over) -> Refused {
    let refusal = Refusal::SlowDown { retry_after_ms: over.retry_after_ms };
    Refused { refusal, rate: over.status }
}

#[cfg(test)]
mod tests;
