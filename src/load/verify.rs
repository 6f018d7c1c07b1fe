//! Holds the server's books against what its clients were told. The rules are those of the design.
//!
//! Reading and judging are apart: [`check`] is pure, so each way of breaking a rule has its test.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::api::{Api, ApiError};
use super::report::thousands;
use super::tally::Tally;
use crate::sale::{BuyerRef, OrderId, ProductId};

/// Time for undecided attempts to be decided, in milliseconds.
pub const REST_MS_MAX: u64 = 5_000;
/// Time between two looks at them, in milliseconds.
const LOOK_MS: u64 = 50;
/// Orders of one page.
const PAGE_ORDERS: usize = 1_000;

/// A product as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductBooks {
    /// Units for sale, sold ones included.
    pub capacity: u64,
    /// Orders confirmed and not reversed.
    pub sold: u64,
    /// Attempts that are not decided.
    pub pending: u64,
    /// Orders that one buyer may have.
    #[serde(default)]
    pub per_buyer_limit: Option<u64>,
}

/// An order of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerOrder {
    /// Its id.
    pub order_id: OrderId,
    /// The buyer's pseudonym.
    pub buyer: BuyerRef,
    /// `confirmed` or `reversed`.
    pub status: String,
}

impl LedgerOrder {
    fn counts(&self) -> bool {
        self.status == "confirmed"
    }
}

#[derive(Deserialize)]
struct Page {
    orders: Vec<LedgerOrder>,
    next: Option<serde_json::Value>,
}

/// The server's books of one product.
#[derive(Debug, Clone)]
pub struct Books {
    /// Its counts.
    pub product: ProductBooks,
    /// All its orders.
    pub orders: Vec<LedgerOrder>,
}

/// A product's counts.
///
/// # Errors
/// When the operator's listener does not answer, or knows no such product.
pub async fn read_product(api: &mut Api, product: &ProductId) -> Result<ProductBooks, ApiError> {
    api.get(&format!("/admin/products/{product}")).await
}

/// The books at rest: waits up to [`REST_MS_MAX`] until nothing is pending, then reads all orders.
///
/// # Errors
/// When the operator's listener does not answer.
pub async fn read_books(api: &mut Api, product: &ProductId) -> Result<Books, ApiError> {
    let mut counts = read_product(api, product).await?;
    for _ in 0..REST_MS_MAX / LOOK_MS {
        if counts.pending == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        counts = read_product(api, product).await?;
    }
    let mut orders = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/admin/orders?product={product}&limit={PAGE_ORDERS}{after}");
        let page: Page = api.get(&path).await?;
        let empty = page.orders.is_empty();
        orders.extend(page.orders);
        match page.next {
            Some(serde_json::Value::Number(next)) if !empty => after = format!("&after={next}"),
            Some(serde_json::Value::String(next)) if !empty => after = format!("&after={next}"),
            _ => break,
        }
    }
    Ok(Books { product: counts, orders })
}

/// What the clients of a run were told.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Orders that were answered 200 "success".
    pub accepted: &'a [OrderId],
    /// Orders that other answers named.
    pub mentioned: &'a HashSet<OrderId>,
    /// Requests without an answer: each may have become an order.
    pub unanswered: u64,
    /// Requests that must fail and were accepted.
    pub wrongly_accepted: u64,
    /// Attempts that were answered "sold out".
    pub sold_out: u64,
    /// Distinct honest buyers that were given a decision.
    pub demand: u64,
    /// Units sold before the run.
    pub sold_before: u64,
}

impl<'a> Told<'a> {
    /// What the clients of a finished run were told.
    pub fn of(tally: &'a Tally, sold_before: u64) -> Self {
        // With attempts given up nobody knows how many different buyers were decided.
        let demand = if tally.given_up + tally.unsent == 0 { tally.honest_buyers } else { 0 };
        Self {
            accepted: &tally.accepted_orders,
            mentioned: &tally.mentioned_orders,
            unanswered: tally.counts.unanswered,
            wrongly_accepted: tally.wrongly_accepted(),
            sold_out: tally.count_of_word("sold_out"),
            demand,
            sold_before,
        }
    }
}

/// A rule that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Number of the design's rule; 0 is the contract itself.
    pub rule: u8,
    /// What must hold.
    pub name: &'static str,
    /// Whether it holds.
    pub passed: bool,
    /// The numbers that were compared.
    pub found: String,
}

/// Checks the rules that can be seen from outside.
pub fn check(books: &Books, told: &Told<'_>) -> Vec<Check> {
    let product = &books.product;
    let counting: Vec<&LedgerOrder> = books.orders.iter().filter(|order| order.counts()).collect();
    let mut checks = Vec::new();
    let mut add = |rule, name, passed, found| checks.push(Check { rule, name, passed, found });

    let (sold, capacity) = (product.sold, product.capacity);
    let sold_of = format!("{} of {}", thousands(sold), thousands(capacity));
    add(1, "never more sold than there is", sold <= capacity, sold_of.clone());

    let most = most_of_one_buyer(&counting);
    let limit = product.per_buyer_limit.unwrap_or(u64::MAX);
    let found = match product.per_buyer_limit {
        Some(limit) => format!("at most {most}, limit {limit}"),
        None => format!("at most {most}, no limit known"),
    };
    add(1, "no buyer above the limit", most <= limit, found);

    let (lost, twice) = lost_and_twice(&books.orders, told.accepted);
    let accepted = thousands(told.accepted.len() as u64);
    let found = format!("{accepted} accepted, {lost} lost, {twice} twice");
    add(2, "every accepted order is in the ledger, once", lost + twice == 0, found);

    let distinct = told.accepted.iter().collect::<HashSet<_>>().len();
    let again = told.accepted.len() - distinct;
    let found = format!("{again} accepted a second time");
    add(3, "one order for each attempt, for ever", again == 0, found);

    let untold = untold(&counting, told);
    let found = format!("{untold} untold, {} without an answer", thousands(told.unanswered));
    add(4, "no order that its buyer was not told of", untold <= told.unanswered, found);

    let rows = counting.len() as u64;
    let found = format!("{} = {}", thousands(rows), thousands(sold));
    add(5, "orders in the ledger = units sold", rows == sold, found);
    let pending = product.pending;
    add(5, "nothing pending at rest", pending == 0, format!("{pending} pending"));

    let demanded = told.sold_out > 0 || told.sold_before + told.demand >= capacity;
    let found = if demanded { sold_of } else { format!("{sold_of}, demand was lower") };
    add(5, "no unit lost: demand for all sells all", !demanded || sold == capacity, found);

    let wrong = told.wrongly_accepted;
    add(0, "no forged or re-keyed request accepted", wrong == 0, format!("{wrong} accepted"));
    checks
}

fn most_of_one_buyer(orders: &[&LedgerOrder]) -> u64 {
    let mut orders_of: HashMap<BuyerRef, u64> = HashMap::new();
    for order in orders {
        *orders_of.entry(order.buyer).or_default() += 1;
    }
    orders_of.into_values().max().unwrap_or(0)
}

/// How many accepted orders the ledger has not, and how many orders it has more than once.
fn lost_and_twice(ledger: &[LedgerOrder], accepted: &[OrderId]) -> (usize, usize) {
    let mut rows: HashSet<OrderId> = HashSet::with_capacity(ledger.len());
    let twice = ledger.iter().filter(|order| !rows.insert(order.order_id)).count();
    let lost = accepted.iter().filter(|order| !rows.contains(order)).count();
    (lost, twice)
}

fn untold(orders: &[&LedgerOrder], told: &Told<'_>) -> u64 {
    let accepted: HashSet<&OrderId> = told.accepted.iter().collect();
    let known = |order: &&&LedgerOrder| {
        accepted.contains(&order.order_id) || told.mentioned.contains(&order.order_id)
    };
    let unknown = orders.iter().filter(|order| !known(order)).count() as u64;
    unknown.saturating_sub(told.sold_before)
}

#[cfg(test)]
mod tests;
