//! The secrets: configured, stored or still to be made; long enough; closed to others.

use secrecy::ExposeSecret;

use super::Finding;
use crate::config::Config;
use crate::keys::stored::{self, StoredSecret};

const CHECK: &str = "secrets";
/// An admin's token below this can be configured, but 32 bytes is what `keygen` makes.
const TOKEN_BYTES_WARN: usize = 32;

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<_> = StoredSecret::ALL
        .into_iter()
        .filter(|secret| !is_configured(config, *secret))
        .filter_map(|secret| stored_one(config, secret))
        .collect();
    if let Some(token) = &config.admin.token {
        let bytes = token.expose_secret().len();
        if bytes < TOKEN_BYTES_WARN {
            let found = format!("admin.token has {bytes} bytes");
            let mend = format!("use {TOKEN_BYTES_WARN} or more; `flux-gate keygen` makes one");
            findings.push(Finding::warn(CHECK, found, mend));
        }
    }
    if config.clients.is_empty() && config.jwt.is_empty() {
        let mend =
            "set FLUX_GATE__CLIENTS=id:secret (`flux-gate keygen --client shop`), or [[jwt]]";
        findings.push(Finding::warn(CHECK, "no API client and no issuer: nobody can order", mend));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "are all there"));
    }
    findings
}

fn is_configured(config: &Config, secret: StoredSecret) -> bool {
    match secret {
        StoredSecret::OrderKey => config.secrets.order_key.is_some(),
        StoredSecret::BuyerKey => config.secrets.buyer_key.is_some(),
        StoredSecret::PassKeys => config.secrets.pass_keys.is_some(),
        StoredSecret::AdminToken => config.admin.token.is_some(),
    }
}

/// What is to be said of a secret in the data directory; nothing if it is there.
fn stored_one(config: &Config, secret: StoredSecret) -> Option<Finding> {
    let path = secret.path(&config.data.dir);
    match stored::read(&config.data.dir, secret) {
        Ok(Some(_)) => None,
        Ok(None) => {
            Some(Finding::ok(CHECK, format!("{} is not there; `serve` makes it", path.display())))
        }
        Err(error) => Some(Finding::fail(CHECK, error.to_string(), "see the message")),
    }
}
