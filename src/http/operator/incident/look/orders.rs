//! `GET /admin/incident/orders`: the orders that are suspicious, or of somebody, with why.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use serde::Serialize;

use super::{Look, apart, evidence, filter, not_read};
use crate::evidence::Found;
use crate::evidence::analysis::Kind;
use crate::evidence::analysis::filter::Filter;
use crate::evidence::analysis::patterns::{self, Finding};
use crate::http::code::Code;
use crate::http::operator::Operator;
use crate::http::operator::call::{answer, invalid};
use crate::http::operator::incident::look::parameters::Parameters;
use crate::http::reply::{self, Coded};
use crate::http::shared::Shared;
use crate::sale::OrderId;

/// Orders of a page that says nothing else.
const LIMIT: u64 = 100;
/// Most orders of a page.
pub const LIMIT_MAX: u64 = 10_000;

/// A page.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuspiciousOrders {
    /// The oldest first.
    orders: Vec<SuspiciousOrder>,
    /// How many there are in all.
    matched: usize,
    /// Accepted orders that were looked at.
    looked_at: usize,
    /// Whether that was all of the span. If not, its oldest part is missing: ask for a shorter one.
    complete: bool,
    /// The `after` of the next page; `null` at the end.
    next: Option<String>,
}

/// An order, and what makes it suspicious.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuspiciousOrder {
    order_id: String,
    product_id: Option<String>,
    /// When it was accepted, by the clock of the node, Unix milliseconds.
    at: u64,
    /// `confirmed` or `reversed`; `null` if this node does not have it in memory.
    status: Option<&'static str>,
    /// The buyer's pseudonym, as in the ledger.
    buyer: Option<String>,
    /// Pseudonym of the IPv4 address or IPv6 /64, of this day; `null` if a shop ordered for its user.
    #[schema(example = "address-0f1e2d3c4b5a6978")]
    address: Option<String>,
    /// Pseudonym of the IPv4 /24 or IPv6 /48; `null` as above.
    network: Option<String>,
    fingerprint: Option<String>,
    /// The patterns that it shows.
    shows: Vec<Shows>,
}

/// A pattern, and what it rests on.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shows {
    /// `bursts`, `shared_fingerprint`, `one_network`, `sequential_users` or `shared_address`.
    pattern: &'static str,
    /// What its orders have in common.
    mark: String,
    /// How many there are: orders of a burst, buyers of what is shared, ids in a row.
    count: u32,
}

/// Looks.
pub async fn orders(State(operator): State<Arc<Operator>>, RawQuery(query): RawQuery) -> Coded {
    answer(async {
        let mut parameters = Parameters::read(query.as_deref())?;
        let look = Look::read(&operator, &mut parameters)?;
        let filter = filter(&operator, &look, &mut parameters)?;
        let limit = parameters.number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT) as usize;
        let after = parameters.text("after").map(|text| place(&text)).transpose()?;
        parameters.end()?;
        let evidence = evidence(&operator)?;
        let turn = operator.turns.next().await?;
        let shared = operator.shared.clone();
        let found = look.sightings(evidence, &shared, true).await;
        let found = found.map_err(|error| not_read(&error))?;
        let page = Page { look, filter, limit, after };
        apart(turn, move || {
            let made = page.make(&found, |order| status(&shared, order));
            reply::json_value(Code::Ok, &made)
        })
        .await
    })
    .await
}

/// Where a page begins: after this place of the orders.
type Place = (u64, OrderId);

/// As `next` is written.
fn place(text: &str) -> Result<Place, Coded> {
    let parts = text.split_once('.');
    let parsed = parts.and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
    parsed.ok_or_else(|| invalid("after must be the `next` of the page before"))
}

struct Page {
    look: Look,
    filter: Filter,
    limit: usize,
    after: Option<Place>,
}

impl Page {
    fn make(
        &self,
        found: &Found,
        status: impl Fn(&patterns::Order<'_>) -> Option<&'static str>,
    ) -> SuspiciousOrders {
        let all = patterns::orders(&found.sightings, &self.look.thresholds);
        let looked_at = all.len();
        let wanted: Vec<_> = all.into_iter().filter(|order| self.filter.wants(order)).collect();
        let begin = self.after.map_or(0, |after| wanted.partition_point(|o| o.place() <= after));
        let page = &wanted[begin..];
        let more = page.len() > self.limit;
        let page = &page[..page.len().min(self.limit)];
        let next = page.last().filter(|_| more).map(|last| {
            let (at_ms, id) = last.place();
            format!("{at_ms}.{id}")
        });
        SuspiciousOrders {
            orders: page.iter().map(|order| view(order, status(order))).collect(),
            matched: wanted.len(),
            looked_at,
            complete: !found.cut,
            next,
        }
    }
}

/// How an order stands, if this node has it in memory.
fn status(shared: &Shared, order: &patterns::Order<'_>) -> Option<&'static str> {
    let product = order.sighting.product.as_ref()?;
    let known = shared.applied().with_state(product, |state| state.order(&order.id)).flatten();
    known.map(|known| known.status.word())
}

fn view(order: &patterns::Order<'_>, status: Option<&'static str>) -> SuspiciousOrder {
    let sighting = order.sighting;
    let shows = |finding: &Finding| Shows {
        pattern: finding.pattern.word(),
        mark: finding.source.to_string(),
        count: finding.count,
    };
    let text = |kind: Kind| kind.of(sighting).map(|source| source.to_string());
    SuspiciousOrder {
        order_id: order.id.to_string(),
        product_id: sighting.product.map(|product| product.to_string()),
        at: sighting.at_ms,
        status,
        buyer: text(Kind::Buyer),
        address: text(Kind::Address),
        network: text(Kind::Network),
        fingerprint: text(Kind::Fingerprint),
        shows: order.findings.iter().map(shows).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::analysis::patterns::{Pattern, Thresholds};
    use crate::evidence::analysis::tests::crowd::{BOTS, Dice, bots, honest};

    #[test]
    fn pages_follow_each_other_and_tell_what_was_not_looked_at() {
        let mut dice = Dice(1);
        let mut sightings = honest(&mut dice);
        let looked_at = sightings.len() + BOTS;
        sightings.extend(bots(&mut dice, Pattern::SharedAddress));
        // As when many come in one millisecond.
        sightings.iter_mut().for_each(|one| one.at_ms -= one.at_ms % 60_000);
        sightings.sort_by_key(|one| one.at_ms);
        let found = Found { sightings, cut: true };
        let look = Look {
            since_ms: 0,
            until_ms: u64::MAX,
            product: None,
            thresholds: Thresholds { burst_orders: u32::MAX, ..Thresholds::default() },
        };
        let filter = Filter::showing(Some(Pattern::SharedAddress));
        let mut page = Page { look, filter, limit: 7, after: None };
        let mut ids = Vec::new();
        loop {
            let made = page.make(&found, |_| Some("confirmed"));
            assert_eq!((made.matched, made.looked_at, made.complete), (BOTS, looked_at, false));
            assert!(made.orders.len() <= 7);
            ids.extend(made.orders.into_iter().map(|order| order.order_id));
            let Some(next) = made.next else { break };
            page.after = Some(place(&next).unwrap());
        }
        let number = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!((number, ids.len()), (BOTS, BOTS));
        for wrong in ["", "5", "5.", ".x", "x.3f2b8a90-1c4d-8e5f-a6b7-c8d9e0f1a2b3", "5.5.5"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }
}
