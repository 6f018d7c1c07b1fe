//! What the machine does to a server: no file descriptors, no room, no right to write, another process in
//! the way, a clock that is set. Each time: a clear error, the rules kept, and it goes on when the cause
//! goes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use flux_gate::clock::Clock;

use crate::support::draft::{Draft, Signer};
use crate::support::server::{ADMIN_TOKEN, Server};
use crate::support::wait::try_settled;
use crate::support::wire::{Answer, exchange};

mod clock;
mod descriptors;
mod storage;

const CONFIG: &str = r#"
[limits]
ip_per_second = 0
[[clients]]
id = "shop"
secrets = ["shop-secret-0123456789abcdef"]
roles = ["order", "session", "fulfilment"]
"#;

fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_flux-gate").into()
}

/// A shop that orders for its users, and its operator.
struct Shop {
    public: SocketAddr,
    operator: SocketAddr,
    signer: Signer,
    clock: Clock,
}

impl Shop {
    fn of(server: &Server) -> Self {
        Self::at(server.public, server.operator, Clock::system())
    }

    fn at(public: SocketAddr, operator: SocketAddr, clock: Clock) -> Self {
        let signer = Signer::Client {
            id: "shop".to_owned(),
            secret: "shop-secret-0123456789abcdef".to_owned(),
        };
        Self { public, operator, signer, clock }
    }

    fn sign(&self, draft: Draft) -> Draft {
        draft.sign(&self.signer, self.clock.unix_ms())
    }

    /// Sends it; `None` if the server closes without an answer.
    fn send(&self, draft: &Draft) -> anyhow::Result<Option<Answer>> {
        Ok(exchange(self.public, None, &draft.bytes())?)
    }

    /// An order, until its outcome is known.
    fn order(&self, user: &str) -> anyhow::Result<Answer> {
        try_settled(|| self.order_once(user))
    }

    fn order_once(&self, user: &str) -> anyhow::Result<Answer> {
        let draft = Draft::order("p", user, &format!("key-of-{user}"));
        self.send(&self.sign(draft))?.context("closed without an answer")
    }

    fn admin(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Answer> {
        let draft = Draft::new(method, path, body)
            .set("authorization", format!("Bearer {ADMIN_TOKEN}"))
            .set("content-type", "application/json");
        exchange(self.operator, None, &draft.bytes())?.context("closed without an answer")
    }

    /// Opens the sale of `p`.
    fn open(&self, quantity: u32) {
        let body = format!(r#"{{"productId":"p","quantity":{quantity}}}"#);
        let answer = self.admin("POST", "/init", &body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    fn sold(&self) -> u64 {
        self.admin("GET", "/admin/products/p", "").unwrap().json()["sold"].as_u64().unwrap()
    }

    /// Every order of the ledger: id and log time, in log order.
    fn ledger(&self) -> Vec<(String, u64)> {
        let page = self.admin("GET", "/admin/orders?product=p&limit=10000", "").unwrap().json();
        let orders = page["orders"].as_array().unwrap();
        let row = |order: &serde_json::Value| {
            (order["orderId"].as_str().unwrap().to_owned(), order["createdAt"].as_u64().unwrap())
        };
        orders.iter().map(row).collect()
    }

    /// Rule 2: each of these was answered 200, so each is in the ledger, once.
    fn has_all(&self, accepted: &[String]) {
        let ledger = self.ledger();
        for id in accepted {
            let times = ledger.iter().filter(|(known, _)| known == id).count();
            assert_eq!(times, 1, "rule 2: order {id} was answered 200");
        }
        assert_eq!(ledger.len() as u64, self.sold(), "rule 5: ledger = log");
    }
}

fn start(store: &Path) -> Server {
    Server::start(&program(), store, CONFIG).unwrap()
}
