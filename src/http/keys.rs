//! `GET /.well-known/flux-gate-keys.json`: the public keys, for whoever checks a receipt or a head.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::code::Code;
use super::public::{PublicThread, Received};
use super::refused;
use super::reply::{self, Coded};
use super::shared::Shared;
use crate::keys::signer::PublicKey;

/// Shows the keys to anybody.
pub fn show(thread: &PublicThread, received: &Received<'_>) -> Coded {
    match refused::anyone(thread, received) {
        Ok(()) => reply::json_value(Code::Ok, &document(&thread.shared)),
        Err(refusal) => refusal,
    }
}

/// A JWK set (RFC 7517, RFC 8037) with a word for what each key signs, and its hex beside.
fn document(shared: &Shared) -> Value {
    let audit = jwk("audit", shared.audit.signer().public());
    let receipts = shared.receipts.as_ref().map(|issuer| jwk("receipt", issuer.public_key()));
    let keys: Vec<Value> = receipts.into_iter().chain([audit]).collect();
    json!({ "keys": keys })
}

fn jwk(signs: &str, key: &PublicKey) -> Value {
    json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "use": "sig",
        "kid": key.id_text(),
        "x": URL_SAFE_NO_PAD.encode(key.bytes()),
        "signs": signs,
        "hex": key.to_string(),
    })
}
