//! What shoppers, shops, operators and browsers send, and what a service of challenges answers.

use std::net::IpAddr;
use std::sync::OnceLock;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flux_gate::config::{JwtAlgorithm, JwtIssuer};
use flux_gate::evidence::analysis::patterns::Thresholds;
use flux_gate::guard::challenge::work::Work;
use flux_gate::guard::challenge::{Challenges, Fault, reads};
use flux_gate::guard::client_ip::{TrustedProxies, canonical_net, parse_forwarded, parse_hop};
use flux_gate::guard::jwt::JwtIssuers;
use flux_gate::guard::score::heads;
use flux_gate::guard::{Now, PassKeys, body, headers};
use flux_gate::http::operator::console::{login, origin};
use flux_gate::http::operator::incident::look::parameters::Parameters;
use flux_gate::http::operator::incident::look::{self, Look, matched};
use flux_gate::http::operator::incident::{reverse, stop};
use flux_gate::http::operator::{
    allows, blocks, changes, handlers, limits, privacy, products, rooms, tokens,
};
use flux_gate::http::room::form;
use flux_gate::room::{Ticket, TicketKey};
use flux_gate::sale::control::BlockTarget;
use flux_gate::sale::{
    BuyerRef, IdempotencyKey, OperationId, OperatorName, OrderId, ProductId, UserId,
};
use flux_gate::siteverify;
use flux_gate::telemetry::request::{REQUEST_ID_CHARS_MAX, RequestId};
use flux_gate::trace::context::{TRACEPARENT_BYTES, TraceContext};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde::de::DeserializeOwned;

use super::NOW_MS;

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
    let (map, _) = message(bytes);
    let _ = headers::signature(&map);
    let _ = headers::json_content(&map);
    assert_eq!(heads::Heads::of(&map), heads::Heads::of(&map));
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

/// `traceparent` and `x-request-id`: what is read is written as it was.
pub fn trace_context(bytes: &[u8]) -> bool {
    if let Some(id) = RequestId::parse(bytes) {
        assert_eq!(id.as_bytes(), bytes);
        assert!((1..=REQUEST_ID_CHARS_MAX).contains(&bytes.len()) && bytes.is_ascii());
    }
    let Some(context) = TraceContext::parse(bytes) else { return false };
    let again = TraceContext::parse(&context.write()).expect("what was written is read");
    assert_eq!(again, context);
    // But for the version and the other flags.
    assert_eq!(context.write()[2..53], bytes[2..53]);
    assert!(bytes.len() == TRACEPARENT_BYTES || !bytes.starts_with(b"00"));
    true
}

/// Header lines, and after an empty line the body: a form of the waiting room and its cookie.
pub fn form(bytes: &[u8]) -> bool {
    let (map, body) = message(bytes);
    let cookie = form::cookie(&map);
    if let Some(pass) = cookie {
        assert!(!pass.is_empty() && !pass.contains(';'));
    }
    let read = form::is_form(&map, body);
    if read {
        let fields: Vec<(String, String)> =
            serde_urlencoded::from_bytes(body).expect("it is a form");
        let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), fields.len(), "a field that was given twice was read");
    }
    read
}

/// A method on the first line, then header lines: whether a session of the console may carry the call.
pub fn console_call(bytes: &[u8]) -> bool {
    let (first, rest) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0));
    let method = Method::from_bytes(first).unwrap_or(Method::POST);
    let (map, _) = message(rest.strip_prefix(b"\n").unwrap_or(rest));
    let _ = login::session_of(&map);
    let uri = Uri::from_static("/admin/limits");
    if origin::check(&method, &uri, &map, true).is_err() {
        return false;
    }
    // Whoever passes with TLS passes without; and a change has named this very host as its origin.
    assert!(origin::check(&method, &uri, &map, false).is_ok());
    if method != Method::GET && method != Method::HEAD {
        let text = |name: &str| map.get(name).and_then(|value| value.to_str().ok());
        let origin = text("origin").expect("a change with an origin");
        let host = text("host").expect("a change with a host");
        assert!(origin.eq_ignore_ascii_case(&format!("https://{host}")));
    }
    true
}

/// Bodies of the operator's calls: what is read is JSON, and an object.
pub fn operator_body(bytes: &[u8]) -> bool {
    fn one<T: DeserializeOwned>(bytes: &[u8]) -> bool {
        serde_json::from_slice::<T>(bytes).is_ok()
    }
    let readers = [
        one::<products::Init>,
        one::<products::Create>,
        one::<changes::Restock>,
        one::<handlers::Reverse>,
        one::<blocks::Target>,
        one::<blocks::SetBlock>,
        one::<allows::TurnOff>,
        one::<limits::SetLimit>,
        one::<tokens::NewToken>,
        one::<rooms::SwitchRoom>,
        one::<rooms::PublicValue>,
        one::<stop::Which>,
        one::<reverse::ReverseMany>,
        one::<privacy::Person>,
        one::<privacy::erase::Erase>,
        one::<login::Login>,
    ];
    let read = readers.iter().filter(|reader| reader(bytes)).count();
    if read > 0 {
        let value: serde_json::Value = serde_json::from_slice(bytes).expect("it is JSON");
        assert!(value.is_object() || value.is_array(), "{value}");
    }
    read > 0
}

/// Queries of the operator's calls: each parameter once, a number as its digits say.
pub fn operator_query(bytes: &[u8]) -> bool {
    let Ok(query) = std::str::from_utf8(bytes) else { return false };
    let Ok(mut parameters) = Parameters::read(Some(query)) else { return false };
    let _ = parameters.text("product");
    if let Ok(Some(limit)) = parameters.number("limit", 1, 10_000) {
        assert!((1..=10_000).contains(&limit));
    }
    if let Ok(Some(since)) = parameters.number("since", 0, u64::MAX) {
        assert!(query.bytes().filter(u8::is_ascii_digit).count() > 0 || since == 0);
    }
    // What a dry run gives back for the call that acts: the same question, and with its span.
    let look = Look { since_ms: 5, until_ms: 9, product: None, thresholds: Thresholds::default() };
    let fixed = matched::fixed(query, &look).expect("it was read");
    assert_eq!(matched::fixed(&fixed, &look).ok(), Some(fixed.clone()), "not the same twice");
    let mut again = Parameters::read(Some(&fixed)).expect("what was written is read");
    assert_eq!(again.number("since", 0, u64::MAX).ok(), Some(Some(5)));
    assert_eq!(again.number("until", 0, u64::MAX).ok(), Some(Some(9)));
    let mut asked = Parameters::read(Some(query)).expect("it was read");
    for name in ["product", "pattern", "user", "address", "limit"] {
        assert_eq!(again.text(name), asked.text(name), "another question");
    }
    parameters.end().is_ok()
}

/// Networks and names as operators write them: a network has one form and is not too wide, a name is written as it was.
pub fn operator_names(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    if let Some(ip) = look::network(text) {
        assert!(text.parse::<IpAddr>().is_ok() || text.contains('/'), "{ip}");
    }
    if let Ok(name) = text.parse::<OperatorName>() {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(operation) = text.parse::<OperationId>() {
        assert_eq!(operation.to_string(), text);
    }
    if let Ok(target) = text.parse::<BlockTarget>() {
        assert_eq!(target.to_string(), text);
        return true;
    }
    let Ok(network) = blocks::parse_network(text) else { return false };
    let least = if network.addr().is_ipv4() { blocks::V4_BITS_MIN } else { blocks::V6_BITS_MIN };
    assert!(network.prefix_len() >= least, "{network}");
    assert_eq!(canonical_net(network), network);
    assert_eq!(blocks::parse_network(&network.to_string()).ok(), Some(network));
    true
}

/// Answers of a service of challenges: solved is only what says so.
pub fn siteverify(bytes: &[u8]) -> bool {
    let Some(answer) = siteverify::Answer::read(bytes) else { return false };
    // What is passed over may be no text that can be shown, such as half a pair of surrogates.
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) {
        let said = value.get("success").or_else(|| value.get(0));
        assert_eq!(said.and_then(serde_json::Value::as_bool), Some(answer.success));
    }
    answer.success
}

/// Lines of headers, and what stands after the first empty line.
fn message(bytes: &[u8]) -> (HeaderMap, &[u8]) {
    let at = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = match at {
        Some(at) => (&bytes[..at], &bytes[at + 2..]),
        None => (bytes, &bytes[bytes.len()..]),
    };
    let mut map = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&line[colon + 1..])) {
            map.append(name, value);
        }
    }
    (map, body)
}
