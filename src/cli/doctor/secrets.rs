//! The secrets: configured, stored or still to be made; long enough; closed to others.

use std::os::unix::fs::PermissionsExt;

use secrecy::ExposeSecret;

use super::Finding;
use crate::config::load::Loaded;
use crate::config::problem::Origin;
use crate::config::{Config, JwtIssuer, schema};
use crate::keys::stored::{self, StoredSecret};

const CHECK: &str = "secrets";
/// An admin's token below this can be configured, but 32 bytes is what `keygen` makes.
const TOKEN_BYTES_WARN: usize = 32;

pub(super) fn examine(loaded: &Loaded) -> Vec<Finding> {
    let config = &loaded.config;
    let mut findings = stored_ones(config);
    findings.extend(file_of_configuration(loaded));
    findings.extend(config.jwt.iter().filter_map(file_of_issuer));
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

/// The secrets of the data directory: those that are in order get no line.
fn stored_ones(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut absent = Vec::new();
    for secret in StoredSecret::ALL.into_iter().filter(|secret| !is_configured(config, *secret)) {
        match stored::read(&config.data.dir, secret) {
            Ok(Some(_)) => {}
            Ok(None) => absent.push(secret.file_name()),
            Err(error) => findings.push(Finding::fail(CHECK, error.what(), error.mend())),
        }
    }
    if !absent.is_empty() {
        let found = format!("`serve` makes {} in the data directory", absent.join(", "));
        findings.push(Finding::ok(CHECK, found));
    }
    findings
}

/// A configuration file that holds secrets is for its owner and group alone.
fn file_of_configuration(loaded: &Loaded) -> Option<Finding> {
    let holds_secret = |key: &str| {
        ["clients", "jwt"].contains(&key) || schema::key(key).is_some_and(|key| key.is_secret())
    };
    let path = loaded.origins.iter().find_map(|(key, origin)| match origin {
        Origin::File { path, .. } if holds_secret(key) => Some(path),
        _ => None,
    })?;
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let path = path.display();
    (mode & 0o007 != 0).then(|| {
        let found = format!("{path} holds secrets and has mode {mode:03o}: others can read it");
        Finding::warn(CHECK, found, format!("chmod 640 {path}, its group being that of the server"))
    })
}

/// The keys of an issuer are read at the start; a file that cannot be read would stop it.
fn file_of_issuer(issuer: &JwtIssuer) -> Option<Finding> {
    let path = issuer.key_file.as_ref().or(issuer.jwks_file.as_ref())?;
    let fault = match std::fs::read_to_string(path) {
        Err(error) => error.to_string(),
        Ok(text) if issuer.key_file.is_some() => {
            if text.contains("PUBLIC KEY-----") {
                return None;
            }
            "holds no public key in PEM".to_owned()
        }
        Ok(text) => match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(set) if set["keys"].as_array().is_some_and(|keys| !keys.is_empty()) => return None,
            _ => "is no JWK set with keys".to_owned(),
        },
    };
    let found = format!("{}: {fault}", path.display());
    Some(Finding::fail(CHECK, found, "see key_file or jwks_file of that [[jwt]]"))
}

fn is_configured(config: &Config, secret: StoredSecret) -> bool {
    match secret {
        StoredSecret::OrderKey => config.secrets.order_key.is_some(),
        StoredSecret::BuyerKey => config.secrets.buyer_key.is_some(),
        StoredSecret::PassKeys => config.secrets.pass_keys.is_some(),
        StoredSecret::AdminToken => config.admin.token.is_some(),
        StoredSecret::AuditKey => config.secrets.audit_key.is_some(),
        StoredSecret::ReceiptKey => {
            !config.receipts.enabled || config.secrets.receipt_key.is_some()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::*;
    use crate::config::load::load_file;

    const SHOP: &str = "[[clients]]\nid = \"shop\"\nsecrets = [\"sixteen-bytes-long\"]\n";

    /// What is said of a configuration file with this text and mode, beside the secrets to be made.
    fn said_of(text: &str, mode: u32) -> Vec<Finding> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let findings = examine(&load_file(&path).unwrap());
        findings.into_iter().filter(|finding| finding.health != Health::Ok).collect()
    }

    #[test]
    fn a_configuration_file_with_secrets_that_all_can_read_is_doubtful() {
        assert_eq!(said_of(SHOP, 0o644).len(), 1);
        assert_eq!(said_of(SHOP, 0o640), []);
        assert_eq!(said_of("[http]\nthreads = 1\n", 0o644).len(), 1, "nobody can order");
    }

    #[test]
    fn a_short_token_is_doubtful() {
        let with = |token: &str| said_of(&format!("[admin]\ntoken = \"{token}\"\n{SHOP}"), 0o600);
        assert_eq!(with(&"t".repeat(32)), []);
        assert_eq!(with(&"t".repeat(31)).len(), 1);
    }

    #[test]
    fn the_file_of_an_issuer_must_hold_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let with = |field: &str, keys: &str| {
            std::fs::write(&path, keys).unwrap();
            let issuer = "[[jwt]]\nissuer=\"i\"\naudience=\"a\"\nalgorithm=\"ES256\"";
            said_of(&format!("{issuer}\n{field} = {path:?}\n"), 0o600).len()
        };
        assert_eq!(with("key_file", "-----BEGIN PUBLIC KEY-----\n"), 0);
        assert_eq!(with("key_file", "-----BEGIN PRIVATE KEY-----\n"), 1);
        assert_eq!(with("jwks_file", r#"{"keys":[{}]}"#), 0);
        assert_eq!(with("jwks_file", r#"{"keys":[]}"#), 1);
    }
}
