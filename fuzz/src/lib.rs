//! Every parser of bytes from outside, as a function of bytes that must not panic and that holds what is
//! read against a second opinion where there is one.
//!
//! Two things run them: the fuzz targets beside this file, under libFuzzer, and `tests/it/fuzz_replay.rs`,
//! which plays the corpus and seeded mutations of it on stable.

use std::net::IpAddr;
use std::sync::OnceLock;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flux_gate::config::load::{Sources, load};
use flux_gate::config::{JwtAlgorithm, JwtIssuer};
use flux_gate::guard::challenge::work::Work;
use flux_gate::guard::challenge::{Challenges, Fault, reads};
use flux_gate::guard::client_ip::{TrustedProxies, parse_forwarded, parse_hop};
use flux_gate::guard::jwt::JwtIssuers;
use flux_gate::guard::score::heads;
use flux_gate::guard::{Now, PassKeys, body, headers};
use flux_gate::load::answer::Answer;
use flux_gate::load::wire::Response;
use flux_gate::room::{Ticket, TicketKey};
use flux_gate::sale::record::Record;
use flux_gate::sale::{Book, BuyerRef, IdempotencyKey, LogEntry, OrderId, ProductId, UserId};
use http::{HeaderMap, HeaderName, HeaderValue};

/// A target: its name, which is that of its corpus, and what it does with bytes; `true` if it could read
/// them.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All targets.
pub const TARGETS: &[Target] = &[
    ("order_body", order_body),
    ("pass_token", pass_token),
    ("jwt", jwt),
    ("client_ip", client_ip),
    ("request_headers", request_headers),
    ("record", record),
    ("apply", apply),
    ("ids", ids),
    ("config_toml", config_toml),
    ("config_env", config_env),
    ("load_response", load_response),
    ("challenge", challenge),
    ("room_ticket", room_ticket),
];

/// The clock of all targets, in Unix milliseconds.
const NOW_MS: u64 = 1_800_000_000_000;
/// The key of the passes in the corpus.
const PASS_KEYS: &str = "1:fuzz-pass-key-0123456789abcdef0123456789abcdef";
/// The key of the tickets in the corpus.
const TICKET_KEY: &[u8] = b"fuzz-ticket-key-0123456789abcdef";
/// The key of the JWTs in the corpus.
const JWT_KEY: &str = "fuzz-jwt-key-0123456789abcdef0123456789abcdef";

/// Bodies of `POST /order` and `POST /session`: what is read is what serde_json reads, and nothing more.
pub fn order_body(bytes: &[u8]) -> bool {
    let order = body::parse_order(bytes);
    if let Ok((product, user)) = &order {
        let value: serde_json::Value = serde_json::from_slice(bytes).expect("it is JSON");
        let members = value.as_object().expect("it is an object");
        assert_eq!(members.len(), 2);
        assert_eq!(members["productId"], product.as_str());
        assert_eq!(members["userId"], user.as_str());
    }
    if let Ok(user) = body::parse_session(bytes) {
        let value: serde_json::Value = serde_json::from_slice(bytes).expect("it is JSON");
        assert_eq!(value, serde_json::json!({ "userId": user.as_str() }));
    }
    let _ = body::parse_empty(bytes);
    order.is_ok()
}

/// Session passes: none verifies but those that the key has issued.
pub fn pass_token(bytes: &[u8]) -> bool {
    static KEYS: OnceLock<PassKeys> = OnceLock::new();
    let keys = KEYS.get_or_init(|| PassKeys::parse(PASS_KEYS).expect("a good key"));
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let _ = PassKeys::parse(text);
    let Some((pass, _)) = keys.verify(text) else { return false };
    assert_eq!(keys.issue(&pass).0, text, "a pass that was not issued");
    true
}

/// Solutions of challenges, as JSON and as it is sent, and what a page says of its use: none passes but the
/// one of the corpus, and what is read is what serde_json reads.
pub fn challenge(bytes: &[u8]) -> bool {
    static CHALLENGES: OnceLock<(Challenges, OrderId, serde_json::Value)> = OnceLock::new();
    let (challenges, order_id, issued) = CHALLENGES.get_or_init(|| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        let challenges = Challenges::new(key, 120);
        let order_id = OrderId::from_random_bytes([7; 16]);
        let work = Work::of_number(100).expect("a possible work");
        let issued = challenges.issue(&order_id, work, NOW_MS);
        let issued = serde_json::to_value(issued).expect("it is JSON");
        (challenges, order_id, issued)
    });
    let _ = heads::page(bytes);
    let sent = base64::engine::general_purpose::STANDARD.encode(bytes);
    for solution in [bytes, sent.as_bytes()] {
        let Ok(work) = challenges.check(solution, order_id, NOW_MS) else { continue };
        assert!(reads(solution));
        assert_eq!(work.number_max(), 100);
        let said: serde_json::Value = serde_json::from_slice(bytes).expect("only JSON passes");
        for name in ["algorithm", "challenge", "salt"] {
            assert_eq!(said[name], issued[name], "a challenge that was not issued");
        }
    }
    let checked = challenges.check(sent.as_bytes(), order_id, NOW_MS);
    assert!(reads(sent.as_bytes()) || matches!(checked, Err(Fault::Malformed)));
    checked.is_ok()
}

/// Tickets of waiting rooms: none verifies but those that the key has issued, and whatever is read without a key is
/// written the same.
pub fn room_ticket(bytes: &[u8]) -> bool {
    static KEY: OnceLock<TicketKey> = OnceLock::new();
    let key = KEY.get_or_init(|| TicketKey::new(hmac::Key::new(hmac::HMAC_SHA256, TICKET_KEY)));
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let read = Ticket::read_unverified(text);
    if let Some(ticket) = &read {
        let (payload, _) = text.rsplit_once('.').expect("a MAC");
        assert!(key.issue(ticket).starts_with(payload), "a ticket with two spellings");
    }
    let Some(ticket) = key.verify(text) else { return false };
    assert_eq!(key.issue(&ticket), text, "a ticket that was not issued");
    assert_eq!(read, Some(ticket));
    true
}

/// JWTs: none verifies without a good signature, and what its user id may be stays what it may be.
pub fn jwt(bytes: &[u8]) -> bool {
    static ISSUERS: OnceLock<JwtIssuers> = OnceLock::new();
    let issuers = ISSUERS.get_or_init(|| {
        let issuer = JwtIssuer {
            issuer: "https://shop.test".to_owned(),
            audience: "flux-gate".to_owned(),
            algorithm: JwtAlgorithm::HS256,
            key: Some(JWT_KEY.into()),
            key_file: None,
            jwks_file: None,
            user_claim: "sub".to_owned(),
            hash_user: false,
            name_space: "shop".to_owned(),
        };
        JwtIssuers::new(&[issuer]).map_err(|(_, error)| error).expect("a good issuer")
    });
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    if issuers.verify(text, Now { unix_ms: NOW_MS, monotonic_us: 0 }).is_err() {
        return false;
    }
    let (signed, signature) = text.rsplit_once('.').expect("it has a signature");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("it is base64url");
    let key = hmac::Key::new(hmac::HMAC_SHA256, JWT_KEY.as_bytes());
    hmac::verify(&key, signed.as_bytes(), &signature).expect("a JWT that was not signed");
    true
}

/// Forwarding headers: an untrusted peer is itself, whatever it writes; no answer is an IPv4 address in
/// IPv6's clothes. The first byte chooses the peer; each line is a header.
pub fn client_ip(bytes: &[u8]) -> bool {
    let Some((first, rest)) = bytes.split_first() else { return false };
    let networks = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network"));
    let proxies = TrustedProxies::new(&networks);
    // Each with whether it is a trusted proxy.
    let peers = [
        ("10.1.2.3", true),
        ("192.0.2.1", false),
        ("::ffff:10.1.2.3", true),
        ("fd00::1", true),
        ("2001:db8::1", false),
        ("::ffff:192.0.2.1", false),
    ];
    let (peer, trusted) = peers[usize::from(*first) % peers.len()];
    let peer: IpAddr = peer.parse().expect("an address");
    let mut headers = HeaderMap::new();
    for line in rest.split(|byte| *byte == b'\n').take(64) {
        let (name, value) = match line.split_first() {
            Some((b'f', value)) => ("forwarded", value),
            Some((_, value)) => ("x-forwarded-for", value),
            None => continue,
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    let client = proxies.client_ip(peer, &headers);
    assert_eq!(client, client.to_canonical());
    if !trusted {
        assert_eq!(client, peer.to_canonical(), "an untrusted peer chose its address");
    }
    if let Ok(text) = std::str::from_utf8(rest) {
        for ip in [parse_hop(text), parse_forwarded(text)].into_iter().flatten() {
            assert_eq!(ip, ip.to_canonical());
        }
    }
    client != peer.to_canonical()
}

/// The headers of check 4 to 8: each line is `name: value`.
pub fn request_headers(bytes: &[u8]) -> bool {
    let mut map = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&line[colon + 1..])) {
            map.append(name, value);
        }
    }
    let _ = headers::signature(&map);
    let _ = headers::json_content(&map);
    if let Ok(time) = headers::request_time(&map, NOW_MS) {
        let text = std::str::from_utf8(time).expect("digits");
        let time_ms: u64 = text.parse().expect("a number");
        assert!(time_ms.abs_diff(NOW_MS) <= headers::REQUEST_TIME_WINDOW_MS);
    }
    if let Ok(key) = headers::idempotency_key(&map) {
        assert_eq!(headers::signed_key(&map), key.as_str().as_bytes(), "another key was signed");
    }
    if let Some(time_ms) = headers::parse_time_ms(bytes) {
        let text = std::str::from_utf8(bytes).expect("digits");
        assert_eq!(text.parse(), Ok(time_ms));
    }
    headers::credentials(&map).is_ok() && headers::idempotency_key(&map).is_ok()
}

/// Records of the log: what is read is written again as what is read.
pub fn record(bytes: &[u8]) -> bool {
    let Ok(record) = Record::decode(bytes) else { return false };
    // A reason may grow when its escapes are written out, and then it is too large to be read.
    if let Ok(again) = Record::decode(&record.encode()) {
        assert_eq!(record, again);
    }
    true
}

/// Logs: lines of records, applied. Rule 1: no more is sold than there is.
pub fn apply(bytes: &[u8]) -> bool {
    let mut book = Book::default();
    let product: ProductId = "p".parse().expect("a product");
    for (line, offset) in bytes.split(|byte| *byte == b'\n').take(256).zip(1..) {
        let Ok(record) = Record::decode(line) else { continue };
        // The first byte of a line is its brace; its length stands in for the clock.
        let appended_at_ms = NOW_MS + (line.len() as u64 % 97) * 1_000;
        let generation = book.get(&product).map_or(0, |state| state.generation());
        book.apply(&LogEntry { offset, appended_at_ms, product, record });
        if let Some(state) = book.get(&product) {
            assert!(state.sold() <= state.terms().capacity, "rule 1");
            assert_eq!(state.remaining(), state.terms().capacity - state.sold());
            assert!(state.generation() >= generation, "a generation went back");
        }
    }
    book.get(&product).is_some_and(|state| state.sold() > 0)
}

/// Identifiers: what is read is written as it was.
pub fn ids(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    if let Ok(id) = text.parse::<OrderId>() {
        assert!(id.to_string().eq_ignore_ascii_case(text));
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    if let Ok(buyer) = text.parse::<BuyerRef>() {
        assert!(buyer.to_string().eq_ignore_ascii_case(text));
    }
    if let Ok(product) = text.parse::<ProductId>() {
        assert_eq!(product.as_str(), text);
    }
    if let Ok(user) = text.parse::<UserId>() {
        assert_eq!(user.as_str(), text);
    }
    if let Ok(key) = text.parse::<IdempotencyKey>() {
        assert_eq!(key.as_str(), text);
        return true;
    }
    false
}

/// Configuration files: refused with faults that can be shown, or loaded.
pub fn config_toml(bytes: &[u8]) -> bool {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("config.toml");
    std::fs::write(&file, bytes).expect("it can be written");
    shown(load(Sources { file: Some(file), ..Sources::default() }).err())
}

/// The environment: lines of `NAME=value`.
pub fn config_env(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let environment = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, value)| !name.contains('\0') && !value.contains('\0'))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    shown(load(Sources { environment, ..Sources::default() }).err())
}

fn shown(problems: Option<impl std::fmt::Display>) -> bool {
    if let Some(problems) = &problems {
        assert!(!problems.to_string().is_empty());
    }
    problems.is_none()
}

/// Answers of a server, as the load generator reads them.
pub fn load_response(bytes: &[u8]) -> bool {
    let Ok(Some(response)) = Response::parse(bytes) else { return false };
    assert!(response.status >= 200);
    assert!(bytes.ends_with(response.body));
    let answer = Answer::read(&response);
    answer.is_accepted() || answer.is_open()
}
