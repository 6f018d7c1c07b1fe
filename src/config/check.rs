//! The checks of a whole configuration: every fault in one go, each with its remedy.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::problem::Problem;
use super::schema::{KEYS, Read};
use super::{ApiClient, Config, JwtAlgorithm, JwtIssuer, challenge, room, score, stores, traces};

/// Least bytes of an order key, a buyer key, a pass key and a shared JWT key.
pub const KEY_BYTES_MIN: usize = 32;
/// Least bytes of an API client's secret.
pub const CLIENT_SECRET_BYTES_MIN: usize = 16;
/// Least bytes of the admin's token.
pub const TOKEN_BYTES_MIN: usize = 16;
/// Most active secrets of one API client, and most pass keys.
pub const ACTIVE_SECRETS_MAX: usize = 8;
/// Most bytes of any secret.
pub const SECRET_BYTES_MAX: usize = 1_024;

/// What the checks found. Origins are filled in by the caller.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub errors: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl Found {
    pub(super) fn error(
        &mut self,
        key: impl Into<String>,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.errors.push(Problem::new(key, what, mend));
    }

    pub(super) fn warn(&mut self, key: &str, what: impl Into<String>, mend: &str) {
        self.warnings.push(Problem::new(key, what, mend));
    }
}

/// The address of a service of others: http or https, a host, neither credentials nor a query.
pub(super) fn service_uri(text: &str) -> Option<http::Uri> {
    let uri: http::Uri = text.parse().ok()?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    let plain = !uri.authority()?.as_str().contains('@') && uri.query().is_none();
    (known && plain && uri.host().is_some_and(|host| !host.is_empty())).then_some(uri)
}

/// Whether what is sent there leaves this machine without TLS.
pub(super) fn crosses_in_clear(uri: &http::Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let local = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    uri.scheme_str() == Some("http") && !local
}

/// Checks everything that can be told without touching the machine.
pub(super) fn check(config: &Config) -> Found {
    let mut found = Found::default();
    ranges(&mut found, config);
    listeners(&mut found, config);
    cors_origins(&mut found, &config.http.cors_origins);
    peers(&mut found, &config.admin.peers);
    secrets(&mut found, config);
    operator_tokens(&mut found, config);
    clients(&mut found, &config.clients);
    for (index, issuer) in config.jwt.iter().enumerate() {
        jwt_issuer(&mut found, &format!("jwt[{index}]"), issuer);
    }
    issuers_differ(&mut found, &config.jwt);
    blocks(&mut found, config);
    stores::check(&mut found, config);
    traces::check(&mut found, &config.traces);
    score::check(&mut found, &config.score);
    challenge::check(&mut found, &config.challenge);
    room::check(&mut found, config);
    if config.data.dir.as_os_str().is_empty() {
        found.error("data.dir", "is empty", "name a directory");
    }
    found
}

/// The same for `migrate`. Of many nodes it needs the ledger alone: whoever migrates holds no other secret.
pub(super) fn check_for_migration(config: &Config) -> Found {
    if !config.is_distributed() {
        return check(config);
    }
    let mut found = Found::default();
    ranges(&mut found, config);
    stores::ledger(&mut found, config);
    found
}

fn ranges(found: &mut Found, config: &Config) {
    for key in KEYS {
        let Read::Number { get, min, max } = key.read else { continue };
        let value = get(config);
        if !(min..=max).contains(&value) {
            let what = format!("is {value}, outside {min} to {max}");
            found.error(key.name, what, format!("choose a number from {min} to {max}"));
        }
    }
}

fn listeners(found: &mut Found, config: &Config) {
    let (http, admin) = (&config.http, &config.admin);
    tls_pair(found, "http", &http.tls_cert_file, &http.tls_key_file);
    tls_pair(found, "admin", &admin.tls_cert_file, &admin.tls_key_file);
    if admin.listen.port() != 0 && admin.listen.port() == http.listen.port() {
        let what = format!("has the port of http.listen, {}", http.listen.port());
        found.error("admin.listen", what, "choose another port");
    }
    if admin.tls_client_ca_file.is_some() && admin.tls_cert_file.is_none() {
        let mend = "set admin.tls_cert_file and admin.tls_key_file too";
        found.error("admin.tls_client_ca_file", "is set, while the listener has no TLS", mend);
    }
    if !is_loopback(&admin.listen) && admin.tls_cert_file.is_none() {
        let what = format!("{} can be reached from outside, without TLS", admin.listen);
        let mend = "set admin.tls_cert_file and admin.tls_key_file, or listen on 127.0.0.1";
        found.warn("admin.listen", what, mend);
    }
}

fn tls_pair(found: &mut Found, section: &str, cert: &Option<PathBuf>, key: &Option<PathBuf>) {
    let (set, missing) = match (cert, key) {
        (Some(_), None) => ("tls_cert_file", "tls_key_file"),
        (None, Some(_)) => ("tls_key_file", "tls_cert_file"),
        _ => return,
    };
    let what = format!("is missing, while {section}.{set} is set");
    found.error(format!("{section}.{missing}"), what, "set both for TLS, or neither");
}

fn cors_origins(found: &mut Found, origins: &[String]) {
    for origin in origins.iter().filter(|origin| !is_origin(origin)) {
        let what = format!("`{origin}` is not an origin");
        let mend = "write scheme://host[:port] in lower case without a path, or *";
        found.error("http.cors_origins", what, mend);
    }
}

/// Most nodes that a console asks.
const PEERS_MAX: usize = 64;

fn peers(found: &mut Found, peers: &[String]) {
    for peer in peers.iter().filter(|peer| *peer == "*" || !is_origin(peer)) {
        let what = format!("`{peer}` is not the URL of a listener");
        found.error("admin.peers", what, "write such as http://10.0.0.2:3000, without a path");
    }
    if peers.len() > PEERS_MAX {
        let what = format!("has {} entries, more than {PEERS_MAX}", peers.len());
        found.error("admin.peers", what, "name those that matter");
    }
}

/// An origin as a browser sends it (RFC 6454): compared as text, so it must be in that form.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return text == "*" };
    let host_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-:[]".contains(&b);
    ["http", "https"].contains(&scheme) && !host.is_empty() && host.bytes().all(host_byte)
}

fn secrets(found: &mut Found, config: &Config) {
    let keys = [
        ("secrets.order_key", &config.secrets.order_key),
        ("secrets.buyer_key", &config.secrets.buyer_key),
    ];
    for (name, secret) in keys {
        if let Some(secret) = secret {
            secret_length(found, name, secret.expose_secret(), KEY_BYTES_MIN);
        }
    }
    let seeds = [
        ("secrets.audit_key", &config.secrets.audit_key),
        ("secrets.receipt_key", &config.secrets.receipt_key),
    ];
    for (name, seed) in seeds {
        let is_seed =
            |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if seed.as_ref().is_some_and(|seed| !is_seed(seed.expose_secret())) {
            let mend = "write 64 hex digits; `openssl rand -hex 32` makes them";
            found.error(name, "is not the seed of an Ed25519 key", mend);
        }
    }
    if let Some(token) = &config.admin.token {
        let text = token.expose_secret();
        secret_length(found, "admin.token", text, TOKEN_BYTES_MIN);
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let mend = "use printable ASCII without spaces; `flux-gate keygen` makes one";
            found.error("admin.token", "cannot be sent as a bearer token", mend);
        }
    }
    if let Some(text) = &config.secrets.pass_keys {
        pass_keys(found, text.expose_secret());
    }
}

fn pass_keys(found: &mut Found, text: &str) {
    const NAME: &str = "secrets.pass_keys";
    let mut ids = BTreeSet::new();
    let parts: Vec<_> = text.split(',').map(str::trim).collect();
    if parts.len() > ACTIVE_SECRETS_MAX {
        let what = format!("has {} keys, more than {ACTIVE_SECRETS_MAX}", parts.len());
        found.error(NAME, what, "drop those whose passes have expired");
    }
    for (index, part) in parts.into_iter().enumerate() {
        // By number: a part without an id may be a secret.
        let number = index + 1;
        match part.split_once(':') {
            Some((id, secret)) if is_id(id) => {
                if !ids.insert(id) {
                    let what = format!("has the id `{id}` twice");
                    found.error(NAME, what, "give each key its own id");
                }
                secret_length(found, NAME, secret, KEY_BYTES_MIN);
            }
            _ => {
                let mend = "write id:secret[,id:secret], ids of letters, digits, - and _";
                found.error(NAME, format!("part {number} has no valid id"), mend);
            }
        }
    }
}

fn secret_length(found: &mut Found, name: &str, secret: &str, min: usize) {
    let bytes = secret.len();
    if bytes < min {
        let what = format!("has {bytes} bytes, fewer than {min}");
        found.error(name, what, "use a longer one; `flux-gate keygen` makes them");
    } else if bytes > SECRET_BYTES_MAX {
        let what = format!("has {bytes} bytes, more than {SECRET_BYTES_MAX}");
        found.error(name, what, "use a shorter one; `flux-gate keygen` makes them");
    }
}

fn operator_tokens(found: &mut Found, config: &Config) {
    // The name of `admin.token`: approvals tell operators apart by their names.
    let mut names = BTreeSet::from(["admin"]);
    for (index, token) in config.admin.tokens.iter().enumerate() {
        let name = format!("admin.tokens[{index}]");
        if !is_id(&token.name) {
            found.error(format!("{name}.name"), "is not a name", NAME_MEND);
        } else if !names.insert(token.name.as_str()) {
            let what = format!("`{}` is there already", token.name);
            found.error(format!("{name}.name"), what, "give each token its own name");
        }
        let hash = &token.token_sha256;
        if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let mend = "write 64 hex digits: printf %s TOKEN | sha256sum";
            found.error(format!("{name}.token_sha256"), "is not a SHA-256 in hex", mend);
        }
    }
}

const NAME_MEND: &str = "use 1 to 64 letters, digits, - and _";

fn clients(found: &mut Found, clients: &[ApiClient]) {
    let mut ids = BTreeSet::new();
    for (index, client) in clients.iter().enumerate() {
        let name = format!("clients[{index}]");
        if !is_id(&client.id) {
            found.error(format!("{name}.id"), "is not an id", NAME_MEND);
        } else if !ids.insert(&client.id) {
            let what = format!("`{}` is there already", client.id);
            found.error(format!("{name}.id"), what, "put all its secrets into one entry");
        }
        let count = client.secrets.len();
        if !(1..=ACTIVE_SECRETS_MAX).contains(&count) {
            let what = format!("has {count} secrets, outside 1 to {ACTIVE_SECRETS_MAX}");
            found.error(format!("{name}.secrets"), what, "list those that are in use");
        }
        for secret in client.secrets.iter().map(SecretString::expose_secret) {
            secret_length(found, &format!("{name}.secrets"), secret, CLIENT_SECRET_BYTES_MIN);
        }
        if client.roles.is_empty() {
            let mend = "give at least one of order, session and fulfilment";
            found.error(format!("{name}.roles"), "is empty", mend);
        }
        name_space(found, &name, &client.name_space);
    }
}

fn jwt_issuer(found: &mut Found, name: &str, issuer: &JwtIssuer) {
    let texts = [
        ("issuer", &issuer.issuer),
        ("audience", &issuer.audience),
        ("user_claim", &issuer.user_claim),
    ];
    for (field, _) in texts.iter().filter(|(_, text)| text.is_empty()) {
        found.error(format!("{name}.{field}"), "is empty", "say what a token must carry");
    }
    let given = [issuer.key.is_some(), issuer.key_file.is_some(), issuer.jwks_file.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        let mend = "set exactly one of key, key_file and jwks_file";
        found.error(name, "does not have exactly one source of keys", mend);
    }
    let shared = issuer.algorithm == JwtAlgorithm::HS256;
    if issuer.key.is_some() && !shared {
        let what = "has a shared key with an algorithm of key pairs";
        found.error(format!("{name}.key"), what, "use key_file or jwks_file, or HS256");
    }
    if issuer.key_file.is_some() && shared {
        let what = "has a public key with HS256";
        found.error(format!("{name}.key_file"), what, "use key, or another algorithm");
    }
    if let Some(key) = &issuer.key {
        secret_length(found, &format!("{name}.key"), key.expose_secret(), KEY_BYTES_MIN);
    }
    name_space(found, name, &issuer.name_space);
}

/// The issuer of a token is found by its `iss` and `aud`, so no two may have both the same.
fn issuers_differ(found: &mut Found, issuers: &[JwtIssuer]) {
    let mut seen = BTreeSet::new();
    for (index, issuer) in issuers.iter().enumerate() {
        if !seen.insert((&issuer.issuer, &issuer.audience)) {
            let mend = "give the two another issuer or audience";
            found.error(format!("jwt[{index}]"), "repeats an issuer and audience", mend);
        }
    }
}

fn name_space(found: &mut Found, name: &str, text: &str) {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=50).contains(&text.len()) || !text.bytes().all(valid) {
        let mend = "use 1 to 50 lower-case letters, digits and -";
        found.error(format!("{name}.name_space"), "is not a name space", mend);
    }
}

fn blocks(found: &mut Found, config: &Config) {
    let users = &config.blocks.users;
    for (index, user) in users.iter().enumerate() {
        // By number: a user id is personal data, and messages end up in logs.
        if user.parse::<crate::sale::UserId>().is_err() {
            let what = format!("entry {} is not a user id", index + 1);
            found.error("blocks.users", what, "use 1 to 50 lower-case letters, digits and -");
        }
    }
    if config.blocks.fingerprints.iter().any(|fingerprint| fingerprint.trim().is_empty()) {
        found.error("blocks.fingerprints", "has an empty entry", "remove it");
    }
    let everybody = |ip: IpAddr| config.blocks.addresses.iter().any(|net| net.contains(&ip));
    if everybody(IpAddr::from([127, 0, 0, 1])) {
        let mend = "remove the prefix that holds 127.0.0.1, unless it is meant";
        found.warn("blocks.addresses", "blocks this machine itself", mend);
    }
}

fn is_id(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(valid)
}

/// Whether an address is one that a client on this machine alone can reach.
pub fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests;
