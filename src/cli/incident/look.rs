//! `incident investigate`, `offenders` and `analyse`: who did it, how it went, what would have helped.

use http::Method;
use serde_json::Value;

use super::orders::past_or_future;
use crate::cli::Failure;
use crate::cli::operator::{Call, table, word};
use crate::cli::when::rfc3339;
use crate::evidence::analysis::patterns::Pattern;
use crate::sale::{BuyerRef, ProductId, UserId};

/// Characters of a bar.
const BAR_CHARS: u64 = 30;
/// Rows of a table for people; --json has all.
const ROWS_MAX: usize = 120;

/// What is looked at.
#[derive(clap::Args)]
pub(super) struct Span {
    /// From when on: so long ago (-10m), RFC 3339 or Unix milliseconds [default: an hour before the end].
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    since: Option<String>,
    /// Before when [default: now].
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    until: Option<String>,
    /// Of this product alone.
    #[arg(long, value_name = "PRODUCT")]
    product: Option<ProductId>,
}

/// From where on a pattern counts.
#[derive(clap::Args)]
pub(super) struct Thresholds {
    /// bursts: orders within a second from one network or fingerprint [default: 10].
    #[arg(long, value_name = "N")]
    burst_orders: Option<u32>,
    /// shared_fingerprint: different buyers [default: 5].
    #[arg(long, value_name = "N")]
    fingerprint_buyers: Option<u32>,
    /// one_network: different buyers in an IPv4 /24 or IPv6 /48 [default: 10].
    #[arg(long, value_name = "N")]
    network_buyers: Option<u32>,
    /// shared_address: different buyers at an IPv4 address or in an IPv6 /64 [default: 5].
    #[arg(long, value_name = "N")]
    address_buyers: Option<u32>,
    /// sequential_users: user ids in a row [default: 5].
    #[arg(long, value_name = "N")]
    series_ids: Option<u32>,
    /// sequential_users: how far one id may be from the next [default: 3].
    #[arg(long, value_name = "N")]
    series_gap: Option<u32>,
}

/// Show suspicious orders, with why they are.
///
/// Without --pattern those that show any; with a person, an address, a network or a fingerprint all that came from
/// there. What is named goes to the server and no further: people are shown as pseudonyms, which can be given here
/// in the place of what they stand for. Give the same as one text to `incident reverse --query`:
/// 'pattern=shared_fingerprint&since=-10m'.
#[derive(clap::Args)]
pub(super) struct Investigate {
    #[command(flatten)]
    span: Span,
    /// bursts, shared_fingerprint, one_network, sequential_users or shared_address.
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pattern: Option<Pattern>,
    /// Orders of this user, of whatever shop.
    #[arg(long, value_name = "USER")]
    user: Option<UserId>,
    /// Orders of this buyer, by the pseudonym.
    #[arg(long, value_name = "PSEUDONYM")]
    buyer: Option<BuyerRef>,
    /// Orders from this address, or IPv6 /64.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Orders from this IPv4 /24 or IPv6 /48.
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// Orders with this fingerprint.
    #[arg(long, value_name = "TEXT")]
    fingerprint: Option<String>,
    /// Orders of a page, at most 10,000 [default: 100].
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// The page after this one: what the one before shows as its end.
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
    #[command(flatten)]
    thresholds: Thresholds,
}

/// Show whom orders and refusals come from, the most first.
#[derive(clap::Args)]
pub(super) struct Offenders {
    #[command(flatten)]
    span: Span,
    /// Of each kind, at most 1,000 [default: 20].
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    #[command(flatten)]
    thresholds: Thresholds,
}

/// Show how an attack went, and what each rule would have caught: suspicious orders, and others.
///
/// Rules are played over the attempts that were kept, each rule alone. Of a flood that is a sample, and nobody knows
/// what a bot would have done instead: the figures compare rules, and do not foretell a sale.
#[derive(clap::Args)]
pub(super) struct Analyse {
    #[command(flatten)]
    span: Span,
    /// Count as suspicious what shows this pattern [default: any].
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pattern: Option<Pattern>,
    #[command(flatten)]
    thresholds: Thresholds,
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let words = || Pattern::ALL.map(Pattern::word).join(", ");
    Pattern::of(text).ok_or_else(|| format!("write one of {}", words()))
}

/// The parameters of a call.
struct Pairs(Vec<(&'static str, String)>);

impl Pairs {
    fn of(span: &Span, now_ms: u64) -> Result<Self, Failure> {
        let mut pairs = Self(Vec::new());
        pairs.add("product", span.product.as_ref());
        for (name, given) in [("since", &span.since), ("until", &span.until)] {
            let at_ms = given.as_deref().map(|text| past_or_future(text, now_ms)).transpose()?;
            pairs.add(name, at_ms.as_ref());
        }
        Ok(pairs)
    }

    fn add(&mut self, name: &'static str, given: Option<&impl ToString>) {
        self.0.extend(given.map(|value| (name, value.to_string())));
    }

    fn thresholds(&mut self, thresholds: &Thresholds) {
        self.add("burst_orders", thresholds.burst_orders.as_ref());
        self.add("fingerprint_buyers", thresholds.fingerprint_buyers.as_ref());
        self.add("network_buyers", thresholds.network_buyers.as_ref());
        self.add("address_buyers", thresholds.address_buyers.as_ref());
        self.add("series_ids", thresholds.series_ids.as_ref());
        self.add("series_gap", thresholds.series_gap.as_ref());
    }

    fn call(&self, path: &str) -> Result<Call, Failure> {
        let query = serde_urlencoded::to_string(&self.0)?;
        Ok(Call { method: Method::GET, path: format!("{path}?{query}"), body: None })
    }
}

impl Investigate {
    pub(super) fn call(&self, now_ms: u64) -> Result<Call, Failure> {
        let mut pairs = Pairs::of(&self.span, now_ms)?;
        pairs.add("pattern", self.pattern.map(Pattern::word).as_ref());
        pairs.add("user", self.user.as_ref());
        pairs.add("buyer", self.buyer.as_ref());
        pairs.add("address", self.address.as_ref());
        pairs.add("network", self.network.as_ref());
        pairs.add("fingerprint", self.fingerprint.as_ref());
        pairs.add("limit", self.limit.as_ref());
        pairs.add("after", self.after.as_ref());
        pairs.thresholds(&self.thresholds);
        pairs.call("/admin/incident/orders")
    }
}

impl Offenders {
    pub(super) fn call(&self, now_ms: u64) -> Result<Call, Failure> {
        let mut pairs = Pairs::of(&self.span, now_ms)?;
        pairs.add("limit", self.limit.as_ref());
        pairs.thresholds(&self.thresholds);
        pairs.call("/admin/incident/offenders")
    }
}

impl Analyse {
    pub(super) fn call(&self, now_ms: u64) -> Result<Call, Failure> {
        let mut pairs = Pairs::of(&self.span, now_ms)?;
        pairs.add("pattern", self.pattern.map(Pattern::word).as_ref());
        pairs.thresholds(&self.thresholds);
        pairs.call("/admin/incident/analysis")
    }
}

/// Orders, a line each.
pub(super) fn orders(reply: &Value) -> String {
    let list = list(&reply["orders"]);
    let matched = word(&reply["matched"]);
    let mut text =
        format!("{matched} of {} accepted orders of the span\n", word(&reply["lookedAt"]));
    if !list.is_empty() {
        let rows = list.iter().map(|order| {
            let shows = self::list(&order["shows"]).iter();
            let why =
                shows.map(|shows| format!("{} {}", word(&shows["pattern"]), word(&shows["count"])));
            let [order_id, status, buyer, network, fingerprint] =
                ["orderId", "status", "buyer", "network", "fingerprint"]
                    .map(|name| word(&order[name]));
            let why = why.collect::<Vec<_>>().join(", ");
            [time(&order["at"]), order_id, status, buyer, network, fingerprint, why]
        });
        let head = ["AT", "ORDER", "STATUS", "BUYER", "NETWORK", "FINGERPRINT", "SHOWS"];
        text += &table(head, rows.collect());
    }
    if let Some(next) = reply["next"].as_str() {
        text += &format!(
            "{} of them are shown; the next: --after {}\n",
            list.len(),
            word(&next.into())
        );
    }
    text + incomplete(reply)
}

/// A table for each kind of source.
pub(super) fn offenders(reply: &Value) -> String {
    let mut text = String::new();
    for kind in ["fingerprint", "network", "address", "buyer"] {
        let rows: Vec<_> = list(&reply["offenders"][kind])
            .iter()
            .map(|one| {
                let [key, orders, buyers, refusals] =
                    ["key", "orders", "buyers", "refusals"].map(|name| word(&one[name]));
                let stands_out = if one["standsOut"] == true { "!" } else { "" };
                let [first, last] = ["firstAt", "lastAt"].map(|name| time(&one[name]));
                [key, orders, buyers, refusals, first, last, stands_out.to_owned()]
            })
            .collect();
        if !rows.is_empty() {
            let head = ["", "ORDERS", "BUYERS", "REFUSALS", "FIRST", "LAST", ""];
            text += &format!("by {kind}\n{}\n", table(head, rows));
        }
    }
    if text.is_empty() {
        text += "nobody was seen in the span\n";
    } else {
        text += "! is more than a household would be\n";
    }
    text + incomplete(reply)
}

/// The shape of the attack, and what the rules would have caught.
pub(super) fn analysis(reply: &Value) -> String {
    let [suspicious, orders] = ["suspicious", "orders"].map(|name| word(&reply[name]));
    let mut text = format!("{suspicious} of {orders} accepted orders are suspicious\n");
    for (pattern, orders) in reply["patterns"].as_object().into_iter().flatten() {
        text += &format!("  {:18} {}\n", word(&pattern.as_str().into()), word(orders));
    }
    text += &steps(list(&reply["steps"]));
    let rules = list(&reply["rules"]).iter().map(|rule| {
        let value = if rule["source"].is_null() { &rule["value"] } else { &rule["source"] };
        [word(&rule["rule"]), word(value), word(&rule["caught"]), word(&rule["collateral"])]
    });
    let rules: Vec<_> = rules.collect();
    if !rules.is_empty() {
        text += "\nwhat each rule alone would have refused, of what was kept\n";
        text += &table(["RULE", "VALUE", "SUSPICIOUS", "OTHERS"], rules);
    }
    text + incomplete(reply)
}

/// Attempts over time, with a bar of the suspicious ones.
fn steps(steps: &[Value]) -> String {
    let suspicious = |step: &Value| step["suspicious"].as_u64().unwrap_or_default();
    let Some(most) = steps.iter().map(suspicious).max() else { return String::new() };
    let rows = steps.iter().take(ROWS_MAX).map(|step| {
        let came_to = step["cameTo"].as_object().into_iter().flatten();
        let all: u64 = came_to.filter_map(|(_, count)| count.as_u64()).sum();
        let accepted = step["cameTo"]["accepted"].as_u64().unwrap_or_default();
        let bar = (suspicious(step) * BAR_CHARS).div_ceil(most.max(1));
        [
            time(&step["at"]),
            accepted.to_string(),
            suspicious(step).to_string(),
            all.saturating_sub(accepted).to_string(),
            "#".repeat(bar as usize),
        ]
    });
    let rows = table(["FROM", "ORDERS", "SUSPICIOUS", "REFUSED", ""], rows.collect());
    let more = match steps.len().saturating_sub(ROWS_MAX) {
        0 => String::new(),
        more => format!("and {more} more: --json has all\n"),
    };
    format!("\n{rows}{more}")
}

fn incomplete(reply: &Value) -> &'static str {
    match reply["complete"] == false {
        true => {
            "not all of the span was looked at: its oldest part is missing; ask for a shorter one\n"
        }
        false => "",
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn time(value: &Value) -> String {
    value.as_u64().map_or_else(|| word(value), rfc3339)
}
