//! An incident, from the attack to the report: over the real program, by its commands and its contract alone.
//!
//! What is here runs on one node; `distributed/incident.rs` does the same over two, with the same code.

mod drill;
pub mod load;
mod look;
mod reverse;
mod stop;
pub mod whole;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::crash::books::create;
use crate::crash::crowd::unix_ms;
use crate::crash::{BUYER_KEY, CLIENT_ID, CLIENT_SECRET, ORDER_KEY, program, signer};
use crate::support::draft::Draft;
use crate::support::server::{ADMIN_TOKEN, Server, clean};
use crate::support::wait::settled;
use crate::support::wire::{Answer, exchange};

/// No limits of rate, and a proxy that tells of addresses.
const CONFIG: &str = r#"
[http]
trusted_proxies = ["127.0.0.1/32"]
drain_delay_ms = 0
[limits]
node_per_second = 0
product_per_second = 0
ip_per_second = 0
fingerprint_per_second = 0
buyer_per_second = 0
client_per_second = 0
min_interval_ms = 0
"#;

/// One node.
struct Rig {
    server: Server,
    dir: TempDir,
    more: String,
}

impl Rig {
    fn start(more: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let server = Self::serve(&dir, more);
        Self { server, dir, more: more.to_owned() }
    }

    fn serve(dir: &TempDir, more: &str) -> Server {
        let config = format!(
            "{CONFIG}[secrets]\norder_key = \"{ORDER_KEY}\"\nbuyer_key = \"{BUYER_KEY}\"\n{more}\n\
             [[clients]]\nid = \"{CLIENT_ID}\"\nsecrets = [\"{CLIENT_SECRET}\"]\n\
             roles = [\"order\", \"session\"]\n"
        );
        Server::start(program(), &dir.path().join("store"), &config).expect("it starts")
    }

    /// Kills it without a word, and starts it on the same store.
    fn crash(self) -> Self {
        let Self { server, dir, more } = self;
        server.kill();
        let server = Self::serve(&dir, &more);
        Self { server, dir, more }
    }

    fn sale(&self, product: &str, units: u32) {
        create(self.server.operator, product, units, 1, 0);
    }

    /// Accepted orders of so many users.
    fn orders(&self, product: &str, users: std::ops::Range<u32>) -> Vec<String> {
        let one = |user| order(self.server.public, product, &format!("u-{user}"), "k");
        users.map(|user| one(user).member("orderId")).collect()
    }

    fn product(&self, product: &str) -> Value {
        let path = format!("/admin/products/{product}");
        operator(self.server.operator, ADMIN_TOKEN, "GET", &path, "", None).json()
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        operator(self.server.operator, ADMIN_TOKEN, "POST", path, &body.to_string(), None)
    }
}

/// An operator's call.
pub fn operator(
    to: SocketAddr,
    token: &str,
    method: &str,
    path: &str,
    body: &str,
    key: Option<&str>,
) -> Answer {
    let draft = Draft::new(method, path, body)
        .set("authorization", format!("Bearer {token}"))
        .set("content-type", "application/json");
    let draft = match key {
        Some(key) => draft.set("idempotency-key", key),
        None => draft,
    };
    exchange(to, None, &draft.bytes()).expect("an answer").expect("not closed without an answer")
}

/// A shop's order for one of its users.
pub fn order(to: SocketAddr, product: &str, user: &str, key: &str) -> Answer {
    order_from(to, product, user, key, "198.51.100.1", "device-1")
}

/// The same from this address and device.
pub fn order_from(
    to: SocketAddr,
    product: &str,
    user: &str,
    key: &str,
    address: &str,
    device: &str,
) -> Answer {
    let draft = Draft::order(product, user, key)
        .set("content-type", "application/json")
        .set("x-forwarded-for", address)
        .set("x-device-fingerprint", device);
    settled(|| {
        let draft = draft.clone().sign(&signer(), unix_ms());
        let answer = exchange(to, None, &draft.bytes()).expect("an answer");
        answer.expect("not closed without an answer")
    })
}

/// What a command says, and whether it succeeds. `dir` is where it runs.
pub fn says(to: SocketAddr, dir: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(program());
    clean(&mut command);
    command.current_dir(dir).arg("incident").args(arguments);
    command.args(["--url", &format!("http://{to}")]).stdin(std::process::Stdio::null());
    let output = command.output().expect("the program can be run");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}
