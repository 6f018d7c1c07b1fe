//! Looking: suspicious orders, whom they come from, what each rule would have caught. Nothing is changed by it.
//!
//! Each call looks at one span of the evidence, at most [`SIGHTINGS_MAX`] sightings of it, and says if that was not
//! all. At most [`LOOKS_AT_ONCE`] are under way at a time; the work is done on threads of their own, since the
//! operator's listener has one for everybody. An address, a fingerprint or a user that is asked for is turned into
//! its pseudonym here, and goes nowhere.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::parameters::Parameters;
use crate::config::Config;
use crate::evidence::analysis::filter::Filter;
use crate::evidence::analysis::patterns::{Pattern, Thresholds};
use crate::evidence::analysis::rules::Signed;
use crate::evidence::analysis::{Kind, Source};
use crate::evidence::mark::Marks;
use crate::evidence::{Evidence, EvidenceError, Found, Query, SIGHTINGS_MAX, Sighting, What};
use crate::http::code::Code;
use crate::http::operator::Operator;
use crate::http::operator::blocks::FINGERPRINT_BYTES_MAX;
use crate::http::operator::call::{TIME_MS_MAX, invalid, parse_product, unknown_product};
use crate::http::operator::privacy;
use crate::http::reply::{self, Coded};
use crate::http::shared::Shared;
use crate::incident::bundle::Span;
use crate::keys::IdentityKeys;
use crate::sale::{ProductId, UserId};

pub mod analysis;
pub mod matched;
pub mod offenders;
pub mod orders;
pub mod parameters;

/// The span of a look or a report that names none, in milliseconds: an hour.
const SPAN_MS: u64 = 3_600_000;
/// Looks that are under way at once.
pub const LOOKS_AT_ONCE: usize = 2;
/// How long a look waits for its turn.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);
/// The key of marks changes each day of the calendar (UTC).
const DAY_MS: u64 = 86_400_000;
/// Networks of IPv4 and IPv6 addresses that have a mark, by their bits.
const NETWORK_BITS: [u8; 2] = [24, 48];

/// Whose turn it is to look.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOKS_AT_ONCE)))
    }
}

impl Turns {
    pub(super) async fn next(&self) -> Result<OwnedSemaphorePermit, Coded> {
        let turn = tokio::time::timeout(TURN_WAIT_MAX, self.0.clone().acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| {
            let detail = "others look into the evidence just now";
            reply::problem_because(Code::Busy, detail).retry_after_us(1_000_000)
        })
    }
}

/// The span that is asked for, and the product, which there is.
pub(super) fn span(operator: &Operator, parameters: &mut Parameters) -> Result<Span, Coded> {
    // Up to and with the present millisecond.
    let until_ms = parameters.number("until", 0, TIME_MS_MAX)?;
    let until_ms = until_ms.unwrap_or_else(|| operator.shared.clock.unix_ms() + 1);
    let since_ms = parameters.number("since", 0, TIME_MS_MAX)?;
    let since_ms = since_ms.unwrap_or_else(|| until_ms.saturating_sub(SPAN_MS));
    if since_ms >= until_ms {
        return Err(invalid("since must be before until (Unix milliseconds)"));
    }
    let product = parameters.text("product");
    let product = product.as_deref().map(parse_product).transpose()?;
    let is_there = |product| operator.shared.applied().with_state(product, |_| ()).is_some();
    if product.as_ref().is_some_and(|product| !is_there(product)) {
        return Err(unknown_product());
    }
    Ok(Span { since_ms, until_ms, product })
}

/// What is looked at, and what counts as suspicious.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// From then on, Unix milliseconds.
    pub since_ms: u64,
    /// Before then.
    pub until_ms: u64,
    /// Of this product alone.
    pub product: Option<ProductId>,
    /// From where on a pattern counts.
    pub thresholds: Thresholds,
}

impl Look {
    /// The parameters that all looks have.
    fn read(operator: &Operator, parameters: &mut Parameters) -> Result<Self, Coded> {
        let Span { since_ms, until_ms, product } = span(operator, parameters)?;
        Ok(Self { since_ms, until_ms, product, thresholds: thresholds(parameters)? })
    }

    /// The sightings, in the order of time.
    async fn sightings(
        &self,
        evidence: &Evidence,
        shared: &Shared,
        accepted_only: bool,
    ) -> Result<Found, EvidenceError> {
        let Self { since_ms, until_ms, product, .. } = *self;
        let query = Query { since_ms, until_ms, product, accepted_only, limit: SIGHTINGS_MAX };
        let mut found = evidence.sightings(&query).await?;
        found.sightings.iter_mut().for_each(|sighting| settle(shared, sighting));
        Ok(found)
    }

    /// All sightings; where they are too many, the newest of all and the accepted orders before them.
    async fn attempts(&self, evidence: &Evidence, shared: &Shared) -> Result<Found, EvidenceError> {
        let mut all = self.sightings(evidence, shared, false).await?;
        let from_ms = all.sightings.first().map_or(0, |oldest| oldest.at_ms);
        if all.cut && from_ms > self.since_ms {
            let before = Self { until_ms: from_ms, ..*self };
            let mut accepted = before.sightings(evidence, shared, true).await?.sightings;
            accepted.append(&mut all.sightings);
            all.sightings = accepted;
        }
        Ok(all)
    }
}

/// An attempt whose client was told that its outcome was not known yet: the log has decided it since.
fn settle(shared: &Shared, sighting: &mut Sighting) {
    if sighting.what == What::Busy
        && let (Some(product), Some(order)) = (&sighting.product, &sighting.order_id)
        && shared.applied().with_state(product, |state| state.order(order)).flatten().is_some()
    {
        sighting.what = What::Accepted;
    }
}

fn thresholds(parameters: &mut Parameters) -> Result<Thresholds, Coded> {
    let mut thresholds = Thresholds::default();
    for (name, least, threshold) in [
        ("burst_orders", 2, &mut thresholds.burst_orders),
        ("fingerprint_buyers", 2, &mut thresholds.fingerprint_buyers),
        ("network_buyers", 2, &mut thresholds.network_buyers),
        ("address_buyers", 2, &mut thresholds.address_buyers),
        ("series_ids", 2, &mut thresholds.series_ids),
        ("series_gap", 1, &mut thresholds.series_gap),
    ] {
        if let Some(given) = parameters.number(name, least, SIGHTINGS_MAX as u64)? {
            *threshold = given as u32;
        }
    }
    Ok(thresholds)
}

fn pattern(parameters: &mut Parameters) -> Result<Option<Pattern>, Coded> {
    let Some(word) = parameters.text("pattern") else { return Ok(None) };
    let words = || Pattern::ALL.map(Pattern::word).join(", ");
    let pattern = Pattern::of(&word);
    pattern.map(Some).ok_or_else(|| invalid(&format!("pattern must be one of {}", words())))
}

/// Whom the orders are to come from: named in clear, or by the pseudonym that an answer showed.
fn filter(operator: &Operator, look: &Look, parameters: &mut Parameters) -> Result<Filter, Coded> {
    let mut filter = Filter::showing(pattern(parameters)?);
    if let Some(text) = parameters.text("user") {
        let shared = &operator.shared;
        filter.only(Kind::Buyer, buyers(&shared.config, &shared.identity, &text)?);
    }
    if let Some(text) = parameters.text("buyer") {
        let buyer = Source::parse(Kind::Buyer, &text);
        let buyer = buyer.ok_or_else(|| invalid("buyer must be 32 hexadecimal digits"))?;
        filter.only(Kind::Buyer, vec![buyer]);
    }
    let marks = || days(&operator.shared, look);
    if let Some(text) = parameters.text("address") {
        let address = named(Kind::Address, &text, || {
            let ip: IpAddr = text.parse().ok()?;
            Some(marks().map(|marks| Source::Address(marks.address(ip))).collect())
        });
        filter.only(Kind::Address, address?);
    }
    if let Some(text) = parameters.text("network") {
        let network = named(Kind::Network, &text, || {
            let ip = network(&text)?;
            Some(marks().map(|marks| Source::Network(marks.network(ip))).collect())
        });
        filter.only(Kind::Network, network?);
    }
    if let Some(text) = parameters.text("fingerprint") {
        let bytes = text.as_bytes();
        let fingerprint = named(Kind::Fingerprint, &text, || {
            let is_one = !bytes.is_empty() && bytes.len() <= FINGERPRINT_BYTES_MAX;
            let of_day = |marks: Marks| Source::Fingerprint(marks.fingerprint(bytes));
            is_one.then(|| marks().map(of_day).collect())
        });
        filter.only(Kind::Fingerprint, fingerprint?);
    }
    Ok(filter)
}

/// A source by its pseudonym, else by its name in clear.
fn named(
    kind: Kind,
    text: &str,
    in_clear: impl FnOnce() -> Option<Vec<Source>>,
) -> Result<Vec<Source>, Coded> {
    if let Some(source) = Source::parse(kind, text) {
        return Ok(vec![source]);
    }
    in_clear().ok_or_else(|| {
        let what = match kind {
            Kind::Address => "an IP address",
            Kind::Network => "an IPv4 /24, an IPv6 /48, or an address in it",
            Kind::Fingerprint => "a fingerprint of at most 512 bytes",
            Kind::Buyer => "a buyer",
        };
        let kind = kind.word();
        invalid(&format!("{kind} must be {what}, or a pseudonym such as {kind}-0f1e2d3c4b5a6978"))
    })
}

/// An address of the network, if it is of one that has a mark.
pub fn network(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip);
    }
    let network = crate::guard::client_ip::canonical_net(text.parse::<IpNet>().ok()?);
    let bits = NETWORK_BITS[usize::from(matches!(network, IpNet::V6(_)))];
    (network.prefix_len() == bits).then(|| network.addr())
}

/// The marks of each day that the span and the evidence have in common.
fn days(shared: &Shared, look: &Look) -> impl Iterator<Item = Marks> {
    let now_ms = shared.clock.unix_ms();
    let kept_ms = shared.config.evidence.retention_ms().saturating_add(DAY_MS);
    let first = look.since_ms.max(now_ms.saturating_sub(kept_ms)) / DAY_MS;
    let last = look.until_ms.min(now_ms.saturating_add(DAY_MS)) / DAY_MS;
    let identity = shared.identity.clone();
    (first..=last).map(move |day| Marks::of(&identity, day * DAY_MS))
}

/// The pseudonyms that a user has, one under each name.
fn buyers(config: &Config, identity: &IdentityKeys, user: &str) -> Result<Vec<Source>, Coded> {
    let names = privacy::names(config, user, None);
    if names.is_empty() {
        return Err(invalid("user is not one that an order can have: ^[a-z0-9-]{1,50}$"));
    }
    let buyer = |(space, user): &(String, UserId)| Source::Buyer(identity.buyer(space, user));
    Ok(names.iter().map(buyer).collect())
}

/// Whether what has signed counts against its address here.
pub fn signed(shared: &Shared) -> Signed {
    if shared.config.is_distributed() { Signed::Counts } else { Signed::IsRefunded }
}

fn evidence(operator: &Operator) -> Result<&Evidence, Coded> {
    operator.shared.evidence.as_ref().ok_or_else(|| {
        let detail = "no evidence of orders is kept here: evidence.enabled is false";
        reply::problem_because(Code::Conflict, detail)
    })
}

/// The refusal of a look that the store did not answer.
fn not_read(error: &EvidenceError) -> Coded {
    let code = match error {
        EvidenceError::Busy => Code::Busy,
        error => {
            tracing::error!(%error, "the evidence cannot be read");
            Code::EvidenceUnavailable
        }
    };
    reply::problem_because(code, "the evidence cannot be read just now").retry_after_us(1_000_000)
}

/// Does the work of a look on a thread of its own, and lets the next one look afterwards.
async fn apart<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    make: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Coded> {
    let made = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        make()
    });
    let cut_off = |_| reply::problem_because(Code::Internal, "the look was cut off");
    made.await.map_err(cut_off)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::jwt::hashed_user;

    #[test]
    fn a_user_is_looked_for_under_every_name_that_the_shop_may_use() {
        let mut config = Config::default();
        let identity = IdentityKeys::new(&[1; 32], &[2; 32]);
        let found = |config: &Config, user: &str| buyers(config, &identity, user);
        let of = |space: &str, user: &str| {
            Source::Buyer(identity.buyer(space, &user.parse::<UserId>().unwrap()))
        };
        assert_eq!(found(&config, "alice").unwrap(), [of("shop", "alice")]);
        let mail = "alice@example.com";
        assert!(found(&config, mail).is_err());
        let issuer = serde_json::json!({
            "issuer": "i", "audience": "a", "algorithm": "HS256", "key": "k", "name_space": "mail",
            "hash_user": true,
        });
        config.jwt = vec![serde_json::from_value(issuer).unwrap()];
        assert_eq!(found(&config, mail).unwrap(), [of("mail", &hashed_user(mail))]);
        assert_eq!(found(&config, "alice").unwrap().len(), 3);
    }

    #[test]
    fn a_network_is_one_that_has_a_mark() {
        for text in ["203.0.113.0/24", "203.0.113.7", "2001:db8::/48", "2001:db8::1"] {
            assert!(network(text).is_some(), "{text}");
        }
        assert!(network("::ffff:203.0.113.0/120").is_some_and(|ip| ip.is_ipv4()));
        for text in ["203.0.0.0/16", "203.0.113.0/25", "2001:db8::/64", "::/0", "", "x"] {
            assert!(network(text).is_none(), "{text}");
        }
    }
}
