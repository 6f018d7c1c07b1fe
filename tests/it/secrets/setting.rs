//! What is configured where the scene plays: secrets, callers, and who is blocked, each marked.

use super::marks::{Marks, Place};
use crate::support::draft::Signer;
use crate::support::server::ADMIN_TOKEN;

pub const SHOP_SECRET: &str = "Mark-Shop-Secret-7f3a91c04be2";
pub const WAREHOUSE_SECRET: &str = "Mark-Warehouse-Secret-58d2ce7106";
pub const JWT_KEY: &str = "Mark-Jwt-Key-0123456789abcdef0123456789abcdef";
pub const OPERATOR_TOKEN: &str = "Mark-Operator-Token-c1d95e02aa77";
pub const ORDER_KEY: &str = "Mark-Order-Key-0123456789abcdef0123456789abcdef";
pub const BUYER_KEY: &str = "Mark-Buyer-Key-0123456789abcdef0123456789abcdef";
pub const PASS_KEY: &str = "Mark-Pass-Key-0123456789abcdef0123456789abcdef";
pub const AUDIT_KEY: &str = "a0d17c0de5ec2e7a0d17c0de5ec2e7a0d17c0de5ec2e7a0d17c0de5ec2e75a5a";
pub const RECEIPT_KEY: &str = "2ece1b75ec2e72ece1b75ec2e72ece1b75ec2e72ece1b75ec2e72ece1b75a5a5";
pub const BLOCKED_USER: &str = "mark-blocked-user-66b0";
pub const BLOCKED_FINGERPRINT: &str = "mark-blocked-fingerprint-91ce";
pub const BLOCKED_ADDRESS: &str = "203.0.113.66";

/// `config print` shows its operator whom the operator's own file blocks.
const OPERATORS_OWN: &[Place] = &[Place::Command];

/// The line of `[admin]` with an operator's token.
pub fn operators() -> String {
    let token = OPERATOR_TOKEN.as_bytes();
    let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token);
    let sha256 = hex::encode(sha256);
    format!(r#"tokens = [{{ name = "duty", role = "operator", token_sha256 = "{sha256}" }}]"#)
}

/// The lines of `[limits]` that the refusals need.
pub const LIMITS: &str = "ip_burst = 5\nip_per_second = 1\nmin_interval_ms = 100\n";

/// The lines of the configuration that make refusals, and a merchant with JWTs.
pub fn config() -> String {
    format!(
        r#"
[http]
trusted_proxies = ["127.0.0.1/32"]
cors_origins = ["https://shop.example"]

[blocks]
users = ["{BLOCKED_USER}"]
fingerprints = ["{BLOCKED_FINGERPRINT}"]
addresses = ["{BLOCKED_ADDRESS}/32"]

[[jwt]]
issuer = "https://shop.example/"
audience = "flux-gate"
algorithm = "HS256"
key = "{JWT_KEY}"
user_claim = "email"
hash_user = true
"#
    )
}

/// The shop.
pub fn shop_client() -> String {
    format!(
        r#"
[[clients]]
id = "shop"
secrets = ["{SHOP_SECRET}"]
roles = ["order", "session"]
"#
    )
}

/// The warehouse.
pub fn warehouse_client() -> String {
    format!(
        r#"
[[clients]]
id = "warehouse"
secrets = ["{WAREHOUSE_SECRET}"]
roles = ["fulfilment"]
"#
    )
}

/// Secrets of the embedded profile's own.
pub fn keys() -> String {
    format!(
        "[secrets]\norder_key = \"{ORDER_KEY}\"\nbuyer_key = \"{BUYER_KEY}\"\n\
         pass_keys = \"k1:{PASS_KEY}\"\naudit_key = \"{AUDIT_KEY}\"\n\
         receipt_key = \"{RECEIPT_KEY}\"\n"
    )
}

/// What is secret before anything is sent.
pub fn marks() -> Marks {
    let mut marks = Marks::default();
    for (what, text) in [
        ("an API client's secret", SHOP_SECRET),
        ("an API client's secret", WAREHOUSE_SECRET),
        ("the key of an issuer of JWTs", JWT_KEY),
        ("an operator's token", OPERATOR_TOKEN),
        ("the admin's token", ADMIN_TOKEN),
        ("the order key", ORDER_KEY),
        ("the buyer key", BUYER_KEY),
        ("a pass key", PASS_KEY),
        ("the key of the audit trail", AUDIT_KEY),
        ("the key of receipts", RECEIPT_KEY),
    ] {
        marks.secret(what, text);
    }
    for (what, text) in [
        ("a blocked user", BLOCKED_USER),
        ("a blocked fingerprint", BLOCKED_FINGERPRINT),
        ("a blocked address", BLOCKED_ADDRESS),
    ] {
        marks.secret_but(what, text, OPERATORS_OWN);
    }
    marks
}

/// As the shop signs.
pub fn shop() -> Signer {
    Signer::Client { id: "shop".to_owned(), secret: SHOP_SECRET.to_owned() }
}

/// As the warehouse signs.
pub fn warehouse() -> Signer {
    Signer::Client { id: "warehouse".to_owned(), secret: WAREHOUSE_SECRET.to_owned() }
}
