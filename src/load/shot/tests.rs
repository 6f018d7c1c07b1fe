//! The shots: what each kind of sender sends.

use std::sync::Arc;

use super::super::sessions::Credentials;
use super::*;

const NOW_MS: u64 = 1_700_000_000_000;

fn clients() -> OrderWriter {
    let credentials = Arc::new(Credentials::new("shop", "a secret of the shop"));
    let identity = Identity::Client { credentials, users: 0 };
    OrderWriter::new("127.0.0.1:3000", "p-1".parse().unwrap(), identity, 0xab)
}

fn shoppers() -> OrderWriter {
    let shoppers: Vec<Shopper> = (0..3)
        .map(|n| {
            let user = format!("user-{n}").parse().unwrap();
            Shopper::new(user, format!("pass-{n}"), format!("key-{n}"))
        })
        .collect();
    OrderWriter::new("h", "p-1".parse().unwrap(), Identity::Shoppers(shoppers.into()), 0xab)
}

fn shot(trick: Trick) -> Shot {
    Shot { trick, buyer: 1, victim: 2, key: 7, key_sent: 7, time_ms: None }
}

/// The parts of a request that a server would check.
struct Seen {
    headers: Vec<(String, String)>,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name).unwrap();
        value
    }

    fn is_signed_with(&self, secret: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let time = self.header("x-request-time").as_bytes();
        let id = self.header("x-idempotency-key").as_bytes();
        let expected = sign("POST", "/order", self.body.as_bytes(), time, id, &key);
        self.header("x-signature").as_bytes() == expected
    }
}

fn see(writer: &mut OrderWriter, shot: &Shot) -> Seen {
    let mut bytes = Vec::new();
    writer.write(shot, NOW_MS, &mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    assert_eq!(lines.next(), Some("POST /order HTTP/1.1"));
    let header = |line: &str| line.split_once(": ").map(|(k, v)| (k.to_owned(), v.to_owned()));
    let seen = Seen { headers: lines.filter_map(header).collect(), body: body.to_owned() };
    assert_eq!(seen.header("content-length"), body.len().to_string());
    seen
}

#[test]
fn an_honest_request_carries_the_contract_s_headers_and_a_true_signature() {
    let seen = see(&mut clients(), &shot(Trick::Order));
    assert_eq!(seen.header("x-api-key"), "shop");
    assert_eq!(seen.header("x-request-time"), NOW_MS.to_string());
    assert_eq!(seen.body, r#"{"productId":"p-1","userId":"load-ab-1"}"#);
    assert!(seen.is_signed_with("a secret of the shop"));

    let seen = see(&mut shoppers(), &shot(Trick::Order));
    assert_eq!(seen.header("authorization"), "Bearer pass-1");
    assert_eq!(seen.body, r#"{"productId":"p-1","userId":"user-1"}"#);
    assert!(seen.is_signed_with("key-1"));
}

#[test]
fn a_verbatim_replay_is_the_same_bytes_and_a_fresh_key_changes_the_key_alone() {
    let mut writer = shoppers();
    let original = Shot { time_ms: Some(NOW_MS), ..shot(Trick::Order) };
    let (mut one, mut two) = (Vec::new(), Vec::new());
    writer.write(&original, NOW_MS, &mut one);
    let replay = Shot { trick: Trick::ReplayVerbatim, ..original };
    writer.write(&replay, NOW_MS + 500, &mut two);
    assert_eq!(one, two);

    let fresh = Shot { trick: Trick::ReplayFreshKey, key_sent: 8, ..original };
    let (seen, first) = (see(&mut writer, &fresh), see(&mut writer, &original));
    assert_eq!(seen.header("x-signature"), first.header("x-signature"));
    assert_ne!(seen.header("x-idempotency-key"), first.header("x-idempotency-key"));
    assert!(!seen.is_signed_with("key-1"));
}

#[test]
fn every_forgery_is_wrong_in_the_one_way_that_its_name_says() {
    let mut writer = shoppers();
    assert!(!see(&mut writer, &shot(Trick::WrongSignature)).is_signed_with("key-1"));

    let tampered = see(&mut writer, &shot(Trick::TamperedBody));
    assert!(tampered.body.contains("user-2") && !tampered.is_signed_with("key-1"));

    let foreign_pass = see(&mut writer, &shot(Trick::ForeignPass));
    assert_eq!(foreign_pass.header("authorization"), "Bearer pass-2");
    assert!(foreign_pass.is_signed_with("key-1"));

    let foreign_user = see(&mut writer, &shot(Trick::ForeignUser));
    assert_eq!(foreign_user.header("authorization"), "Bearer pass-1");
    assert!(foreign_user.body.contains("user-2") && foreign_user.is_signed_with("key-1"));

    let stale = see(&mut writer, &shot(Trick::StaleTime));
    assert_eq!(stale.header("x-request-time"), (NOW_MS - STALE_MS).to_string());
    assert!(stale.is_signed_with("key-1"));
}
