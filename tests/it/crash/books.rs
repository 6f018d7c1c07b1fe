//! The server's books, read as an operator, held against what the clients were told.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::crowd::Told;
use crate::support::draft::Draft;
use crate::support::server::ADMIN_TOKEN;
use crate::support::wire::{Answer, exchange};

/// Orders of one page.
const PAGE_ORDERS: usize = 1_000;

/// One call of the operator's.
pub fn call(operator: SocketAddr, method: &str, target: &str, body: &str) -> Answer {
    let draft = Draft::new(method, target, body)
        .set("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .set("content-type", "application/json")
        .set("connection", "close");
    let answer = exchange(operator, None, &draft.bytes()).expect("an answer of the operator's");
    answer.unwrap_or_else(|| panic!("{method} {target} was not answered"))
}

/// Opens a sale.
pub fn create(operator: SocketAddr, product: &str, quantity: u32, limit: u32, window_seconds: u64) {
    let body = format!(
        r#"{{"productId":"{product}","quantity":{quantity},"perBuyerLimit":{limit},"repeatWindowSeconds":{window_seconds}}}"#
    );
    let answer = call(operator, "POST", "/admin/products", &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// The orders of one product as the ledger has shown them so far, by id.
pub struct Books {
    product: &'static str,
    capacity: u64,
    per_buyer_limit: u64,
    /// Buyer of each order.
    orders: HashMap<String, String>,
    cursor: Option<u64>,
}

impl Books {
    /// Books that were not read yet.
    pub fn new(product: &'static str, capacity: u64, per_buyer_limit: u64) -> Self {
        Self { product, capacity, per_buyer_limit, orders: HashMap::new(), cursor: None }
    }

    /// Reads what is new, and checks rules 1, 2, 4 and 5 for the product.
    pub fn check(&mut self, operator: SocketAddr, told: &Told) {
        self.read(operator);
        let shown = call(operator, "GET", &format!("/admin/products/{}", self.product), "").json();
        let product = self.product;
        let sold = shown["sold"].as_u64().expect("a number of sold units");
        assert_eq!(shown["pending"], 0, "rule 5: {product}: nothing is pending at rest");
        assert_eq!(sold, self.orders.len() as u64, "rule 5: {product}: ledger = log");
        assert_eq!(shown["remaining"].as_u64(), Some(self.capacity - sold), "rule 5: {product}");
        assert!(sold <= self.capacity, "rule 1: {product}: {sold} of {}", self.capacity);
        let mut orders_of: HashMap<&str, u64> = HashMap::new();
        for buyer in self.orders.values() {
            *orders_of.entry(buyer).or_default() += 1;
        }
        let most = orders_of.values().max().copied().unwrap_or(0);
        assert!(most <= self.per_buyer_limit, "rule 1: {product}: a buyer has {most} orders");
        for (id, attempt) in &told.accepted {
            let known = attempt.product != product || self.orders.contains_key(id);
            assert!(
                known,
                "rule 2: {attempt:?} was answered 200, and the ledger has no order {id}"
            );
        }
        for id in self.orders.keys() {
            assert!(!told.refused.contains(id), "rule 4: {id} was refused and is an order");
        }
    }

    /// Reads all again: what was read before must not have changed since.
    pub fn check_from_the_start(&mut self, operator: SocketAddr, told: &Told) {
        let before = std::mem::take(&mut self.orders);
        self.cursor = None;
        self.check(operator, told);
        assert!(before.iter().all(|(id, buyer)| self.orders.get(id) == Some(buyer)));
    }

    /// At the end all attempts are settled: an order that no client was told of is one too many.
    pub fn check_nothing_unasked(&self, told: &Told) {
        for id in self.orders.keys() {
            assert!(told.accepted.contains_key(id), "rule 3: nobody has asked for {id}");
        }
    }

    /// How many orders there are.
    pub fn sold(&self) -> u64 {
        self.orders.len() as u64
    }

    fn read(&mut self, operator: SocketAddr) {
        loop {
            let after = self.cursor.map_or(String::new(), |after| format!("&after={after}"));
            let target =
                format!("/admin/orders?product={}&limit={PAGE_ORDERS}{after}", self.product);
            let answer = call(operator, "GET", &target, "");
            assert_eq!(answer.status, 200, "{}", answer.text());
            let page = answer.json();
            for order in page["orders"].as_array().expect("a list of orders") {
                let text = |name: &str| order[name].as_str().expect("text").to_owned();
                assert_eq!(text("status"), "confirmed");
                let again = self.orders.insert(text("orderId"), text("buyer"));
                assert!(again.is_none(), "rule 2: {} is in the ledger twice", text("orderId"));
                self.cursor = order["offset"].as_u64();
            }
            // A page may be empty and yet not the last: it looks at a bounded stretch of the log.
            match page["next"].as_u64() {
                Some(next) => self.cursor = Some(next),
                None => return,
            }
        }
    }
}
