//! The contract seen from outside, call by call: what each says when all is well, and its documented
//! refusals. Over the real program, by HTTP alone.

use flux_gate::clock::Clock;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::draft::{Draft, Signer};
use crate::support::server::{ADMIN_TOKEN, Server};
use crate::support::wait::settled;
use crate::support::wire::{Answer, exchange};

mod clients;
mod console;
mod control;
mod operator;
mod orders;
mod room;
mod shopper;
mod tls;

const CLIENTS: &str = r#"
[[clients]]
id = "shop"
secrets = ["shop-secret-0123456789abcdef"]
roles = ["order", "session"]
[[clients]]
id = "warehouse"
secrets = ["warehouse-secret-0123456789", "warehouse-secret-of-tomorrow"]
roles = ["fulfilment"]
"#;

/// A server with a shop, a warehouse and an operator.
struct Gate {
    server: Server,
    _dir: TempDir,
    clock: Clock,
}

impl Gate {
    fn start(config: &str) -> Self {
        Self::limited(config, "")
    }

    /// With further lines of `[limits]`.
    fn limited(config: &str, limits: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let program = crate::crash::program();
        let config = format!("{config}\n[limits]\nip_per_second = 0\n{limits}\n{CLIENTS}");
        let server = Server::start(program, &dir.path().join("store"), &config);
        Self { server: server.expect("it starts"), _dir: dir, clock: Clock::system() }
    }

    fn send(&self, draft: &Draft) -> Answer {
        let answer = exchange(self.server.public, None, &draft.bytes());
        answer.expect("an answer").expect("not closed without an answer")
    }

    fn signed(&self, signer: &Signer, draft: Draft) -> Answer {
        self.send(&draft.sign(signer, self.clock.unix_ms()))
    }

    fn order(&self, product: &str, user: &str, key: &str) -> Answer {
        settled(|| self.signed(&shop(), Draft::order(product, user, key)))
    }

    fn operator(&self, method: &str, path: &str, body: &str, key: Option<&str>) -> Answer {
        let mut draft = Draft::new(method, path, body)
            .set("authorization", format!("Bearer {ADMIN_TOKEN}"))
            .set("content-type", "application/json");
        if let Some(key) = key {
            draft = draft.set("idempotency-key", key);
        }
        let answer = exchange(self.server.operator, None, &draft.bytes());
        answer.expect("an answer").expect("not closed without an answer")
    }

    fn init(&self, product: &str, quantity: u32) {
        let body = format!(r#"{{"productId":"{product}","quantity":{quantity}}}"#);
        let answer = self.operator("POST", "/init", &body, None);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    fn product(&self, id: &str) -> Value {
        self.operator("GET", &format!("/admin/products/{id}"), "", None).json()
    }
}

fn shop() -> Signer {
    client("shop", "shop-secret-0123456789abcdef")
}

fn warehouse() -> Signer {
    client("warehouse", "warehouse-secret-of-tomorrow")
}

fn client(id: &str, secret: &str) -> Signer {
    Signer::Client { id: id.to_owned(), secret: secret.to_owned() }
}
