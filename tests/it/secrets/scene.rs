//! Requests through every path, each with secrets and ids of its own.

use std::net::SocketAddr;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::marks::{Marks, Place};
use super::setting::*;
use crate::crash::crowd::unix_ms;
use crate::support::draft::{Draft, Signer};
use crate::support::server::ADMIN_TOKEN;
use crate::support::wire::{Answer, exchange};
use crate::traces::parent;

/// Whoever bought is kept by name: in the table `subjects`, which erasure and retention empty.
const BUYERS: &[Place] = &[Place::Store, Place::Ledger];

/// Who sends, and what has been sent.
pub struct Scene<'m> {
    public: SocketAddr,
    operator: SocketAddr,
    pub(super) marks: &'m mut Marks,
    number: u32,
    /// The product that is for sale.
    pub(super) phone: String,
    /// What operators were told.
    pub told_operators: Vec<u8>,
}

impl<'m> Scene<'m> {
    /// On a server; `name` makes the products its own.
    pub fn new(public: SocketAddr, operator: SocketAddr, marks: &'m mut Marks, name: &str) -> Self {
        let (phone, told_operators) = (format!("phone-{name}"), Vec::new());
        Self { public, operator, marks, number: 0, phone, told_operators }
    }

    pub(super) fn next(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    /// A user who will not become a buyer.
    pub(super) fn nobody(&mut self) -> String {
        let number = self.next();
        self.marks.secret("a user who bought nothing", format!("mark-nobody-{number:04x}"))
    }

    fn buyer(&mut self) -> String {
        let number = self.next();
        self.marks.secret_but("a buyer", format!("mark-buyer-{number:04x}"), BUYERS)
    }

    pub(super) fn key(&mut self) -> String {
        let number = self.next();
        self.marks.secret("an idempotency key", format!("Mark_Key_{number:04x}"))
    }

    /// Gives a request a fingerprint, an address behind the proxy and a trace, and sends it.
    pub(super) fn send(&mut self, draft: Draft) -> Answer {
        let number = self.next();
        let address = format!("203.0.113.{}", 100 + number % 100);
        let six = format!("2001:db8:{number:x}:beef:feed::{number:x}");
        let from = if number.is_multiple_of(2) { address } else { six };
        self.send_from(draft, &from)
    }

    pub(super) fn send_from(&mut self, draft: Draft, from: &str) -> Answer {
        let number = self.next();
        if from != BLOCKED_ADDRESS {
            self.marks.secret("an address", from);
        }
        let fingerprint =
            self.marks.secret("a fingerprint", format!("mark-fingerprint-{number:04x}"));
        let draft = if draft.header("x-device-fingerprint").is_empty() {
            draft.set("x-device-fingerprint", fingerprint)
        } else {
            draft
        };
        self.bare(draft.set("x-forwarded-for", from))
    }

    fn bare(&mut self, draft: Draft) -> Answer {
        let signature = draft.header("x-signature").to_vec();
        if signature.len() >= 32 {
            let signature = String::from_utf8(signature).expect("hex");
            self.marks.secret("a signature", signature);
        }
        let draft = draft.set("traceparent", parent()).set("connection", "close");
        let answer = exchange(self.public, None, &draft.bytes()).expect("an answer");
        answer.expect("an answer")
    }

    fn signed(&mut self, signer: &Signer, draft: Draft) -> Answer {
        let draft = draft.sign(signer, unix_ms());
        self.send(draft)
    }

    fn order(&mut self, product: &str, user: &str, key: &str) -> Answer {
        self.signed(&shop(), Draft::order(product, user, key))
    }

    fn refused(&mut self, product: &str, expected: &str) {
        let (user, key) = (self.nobody(), self.key());
        assert_eq!(self.order(product, &user, &key).summary(), expected);
    }

    /// An operator's call with a token.
    pub(super) fn call(&mut self, token: &str, method: &str, target: &str, body: &str) -> Answer {
        let number = self.next();
        let draft = Draft::new(method, target, body)
            .set("authorization", format!("Bearer {token}"))
            .set("content-type", "application/json")
            .set("idempotency-key", format!("operators-{number}-{}", self.phone))
            .set("traceparent", parent());
        let answer = exchange(self.operator, None, &draft.bytes()).unwrap().expect("an answer");
        self.told_operators.extend_from_slice(&answer.body);
        answer
    }

    fn product(&mut self, name: &str, quantity: u32, more: &str) -> String {
        let id = format!("{name}-{}", self.phone);
        let body = format!(r#"{{"productId":"{id}","quantity":{quantity}{more}}}"#);
        let made = self.call(ADMIN_TOKEN, "POST", "/admin/products", &body);
        assert_eq!(made.status, 201, "{}", made.text());
        id
    }

    /// All of it.
    pub fn play(&mut self) {
        let phone = self.phone.clone();
        let body = format!(r#"{{"productId":"{phone}","quantity":20}}"#);
        assert_eq!(self.call(ADMIN_TOKEN, "POST", "/init", &body).status, 200);
        self.buy();
        self.be_refused_by_the_outcome();
        self.be_refused_by_the_guard();
        self.be_malformed();
        self.open_sessions();
        self.fulfil();
        self.operate();
        self.block();
        self.forget();
        let trail = self.call(ADMIN_TOKEN, "GET", "/admin/audit", "");
        assert_eq!(trail.status, 200, "{}", trail.text());
        assert_eq!(self.call(ADMIN_TOKEN, "GET", "/admin/audit/head", "").status, 200);
        let told = std::mem::take(&mut self.told_operators);
        self.marks.check(Place::Command, "answers to operators", &told);
    }

    fn buy(&mut self) {
        let phone = self.phone.clone();
        let (user, key) = (self.buyer(), self.key());
        assert_eq!(self.order(&phone, &user, &key).summary(), "200 success");
        assert_eq!(self.order(&phone, &user, &key).member("reason"), "same_key");
        std::thread::sleep(std::time::Duration::from_millis(300));
        let other = self.key();
        assert_eq!(self.order(&phone, &user, &other).member("reason"), "repeat_window");
    }

    fn be_refused_by_the_outcome(&mut self) {
        let later = format!(r#","opensAt":{}"#, unix_ms() + 3_600_000);
        let gone = self.product("gone", 1, "");
        let early = self.product("early", 1, &later);
        let paused = self.product("paused", 1, "");
        let limited = self.product("limited", 5, r#","repeatWindowSeconds":0"#);
        let closed = self.product("closed", 1, "");
        for (product, verb) in [(&paused, "pause"), (&closed, "close")] {
            let target = format!("/admin/products/{product}/{verb}");
            assert_eq!(self.call(OPERATOR_TOKEN, "POST", &target, "{}").summary(), "200 applied");
        }
        let (user, key) = (self.buyer(), self.key());
        assert_eq!(self.order(&gone, &user, &key).summary(), "200 success");
        let (user, key) = (self.buyer(), self.key());
        assert_eq!(self.order(&limited, &user, &key).summary(), "200 success");
        std::thread::sleep(std::time::Duration::from_millis(300));
        let key = self.key();
        assert_eq!(self.order(&limited, &user, &key).summary(), "409 limit_reached");
        self.refused(&gone, "409 sold_out");
        self.refused(&early, "403 not_open");
        self.refused(&paused, "403 paused");
        self.refused(&closed, "403 closed");
        // Whatever a caller takes for a product.
        let unknown = self.marks.secret("an unknown product", "mark-no-such-product");
        self.refused(&unknown, "404 unknown_product");
    }

    fn be_refused_by_the_guard(&mut self) {
        let phone = self.phone.clone();
        let draft = |scene: &mut Self| {
            let (user, key) = (scene.nobody(), scene.key());
            Draft::order(&phone, &user, &key)
        };
        let signed = |draft: Draft| draft.sign(&shop(), unix_ms());
        let tampered = signed(draft(self));
        let wrong = tampered.signature("another-secret-0123456789");
        let expired = draft(self).sign(&shop(), unix_ms() - 60_000);
        let keyless = draft(self).without("x-idempotency-key").sign(&shop(), unix_ms());
        let bad_key = self.marks.secret("a bad idempotency key", "Mark.Bad.Key:0a1b");
        let marked = self.marks.secret("an unknown client", "Mark-Unknown-Client-3c4d");
        let pass = self.marks.secret("a pass that is none", "Mark-No-Pass-5e6f.abc.def");
        let blocked = Draft::order(&phone, BLOCKED_USER, &self.key());
        for (draft, expected) in [
            (tampered.set("x-signature", wrong), "401 invalid_signature"),
            (expired, "400 request_expired"),
            (keyless, "400 missing_idempotency_key"),
            (signed(draft(self).set("x-idempotency-key", bad_key)), "400 missing_idempotency_key"),
            (signed(draft(self)).set("x-api-key", marked), "401 unauthorized"),
            (draft(self), "401 unauthorized"),
            (draft(self).set("authorization", format!("Bearer {pass}")), "401 unauthorized"),
            (signed(blocked), "403 user_blocked"),
        ] {
            assert_eq!(self.send(draft).summary(), expected);
        }
        let marked = signed(draft(self)).set("x-device-fingerprint", BLOCKED_FINGERPRINT);
        assert_eq!(self.send(marked).summary(), "403 blocked");
        let from_there = signed(draft(self));
        assert_eq!(self.send_from(from_there, BLOCKED_ADDRESS).summary(), "403 blocked");
        // One after the other at once, and one address too often; as often as it takes to be quick enough.
        let user = self.nobody();
        let sold_out = format!("gone-{phone}");
        let too_soon = (0..100).any(|_| {
            let key = self.key();
            let answer = self.order(&sold_out, &user, &key).summary();
            assert!(["409 sold_out", "429 slow_down"].contains(&answer.as_str()), "{answer}");
            answer == "429 slow_down"
        });
        assert!(too_soon, "one buyer may order at once again");
        let too_often = (0..100).any(|_| {
            let unsigned = draft(self);
            self.send_from(unsigned, "203.0.113.77").summary() == "429 too_many_requests"
        });
        assert!(too_often, "one address may ask without end");
    }

    fn be_malformed(&mut self) {
        let phone = self.phone.clone();
        let number = self.next();
        let mail = self.marks.secret("a mail address", format!("mark{number}@personal.example"));
        let text = self.marks.secret("a card's number", "Mark4111111111111111");
        let bodies = [
            format!(r#"{{"productId":"{phone}","userId":"{mail}"}}"#),
            format!(r#"{{"productId":"{text}","userId":"a"}}"#),
            format!(r#"{{"productId":"{phone}","userId":"a","{text}":"{mail}"}}"#),
            format!(r#"{{"productId":"{phone}","userId":"a","userId":"{mail}"}}"#),
            format!(r#"{{"productId":"{phone}","userId":"{mail}"#),
            mail.clone(),
        ];
        for body in bodies {
            let key = self.key();
            let draft = Draft::new("POST", "/order", body).set("x-idempotency-key", key);
            assert_eq!(self.signed(&shop(), draft).summary(), "400 invalid_request");
        }
        let long = Draft::new("POST", "/order", text.repeat(500));
        assert_eq!(self.send(long).status, 413);
        let other = Draft::order(&phone, "a", "k").set("content-type", format!("text/{text}"));
        assert_eq!(self.signed(&shop(), other).status, 415);
        for target in ["/", "/orders/", "/products/", "/admin/", "/order?user="] {
            let draft = Draft::new("GET", &format!("{target}{text}"), "");
            assert!(self.send(draft).status >= 400, "{target}");
        }
        let many = (0..80)
            .fold(Draft::new("GET", "/livez", ""), |draft, n| draft.set(&format!("x-{n}"), &text));
        assert_eq!(self.send(many).status, 431);
        for header in
            ["x-request-id", "traceparent", "tracestate", "user-agent", "referer", "cookie"]
        {
            let value = format!("{mail} {text}");
            let draft = Draft::new("GET", "/livez", "").set(header, value);
            let bytes = draft.set("connection", "close").bytes();
            let answer = exchange(self.public, None, &bytes).unwrap().expect("an answer");
            assert_eq!(answer.status, 200, "{header}");
        }
        // What is no HTTP at all.
        for raw in [format!("{text} {mail}\r\n\r\n"), format!("GET /{text} HTTP/9.9\r\n\r\n")] {
            let _ = exchange(self.public, None, raw.as_bytes());
            let _ = exchange(self.operator, None, raw.as_bytes());
        }
    }

    fn open_sessions(&mut self) {
        let phone = self.phone.clone();
        let user = self.buyer();
        let body = format!(r#"{{"userId":"{user}"}}"#);
        let opened = self.signed(&shop(), Draft::new("POST", "/session", body));
        let shopper = self.shopper(&opened);
        let key = self.key();
        let bought = self.signed(&shopper, Draft::order(&phone, &user, &key));
        assert_eq!(bought.summary(), "200 success", "{}", bought.text());
        let (other, key) = (self.nobody(), self.key());
        let others = self.signed(&shopper, Draft::order(&phone, &other, &key));
        assert_eq!(others.summary(), "403 user_mismatch");
        let target = format!("/orders/{}", bought.member("orderId"));
        assert_eq!(
            self.signed(&shopper, Draft::new("GET", &target, "")).summary(),
            "200 confirmed"
        );

        // A merchant's JWT: a mail address, hashed to a user id that is the buyer's.
        let number = self.next();
        let mail = self.marks.secret("a mail address", format!("mark{number}@buyer.example"));
        let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, mail.as_bytes());
        let hashed = hex::encode(sha256)[..50].to_owned();
        self.marks.secret_but("a buyer", hashed.clone(), BUYERS);
        let seconds = unix_ms() / 1_000;
        let good = self.jwt(&mail, seconds + 60, JWT_KEY);
        let opened = self.bearer_session(&good);
        assert_eq!(opened.status, 200, "{}", opened.text());
        let shopper = self.shopper(&opened);
        let key = self.key();
        let bought = self.signed(&shopper, Draft::order(&phone, &hashed, &key));
        assert_eq!(bought.summary(), "200 success", "{}", bought.text());
        let expired = self.jwt(&mail, seconds - 600, JWT_KEY);
        let forged = self.jwt(&mail, seconds + 60, "another key of another issuer 0123456789");
        for token in [expired, forged] {
            assert_eq!(self.bearer_session(&token).summary(), "401 unauthorized");
        }
    }

    fn shopper(&mut self, opened: &Answer) -> Signer {
        let (pass, session_key) = (opened.member("pass"), opened.member("sessionKey"));
        self.marks.secret("a session pass", pass.clone());
        self.marks.secret("a session key", session_key.clone());
        Signer::Shopper { pass, session_key }
    }

    fn bearer_session(&mut self, token: &str) -> Answer {
        let draft = Draft::new("POST", "/session", "{}")
            .set("content-type", "application/json")
            .set("authorization", format!("Bearer {token}"));
        self.send(draft)
    }

    fn jwt(&mut self, mail: &str, expires: u64, key: &str) -> String {
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(serde_json::json!({ "alg": "HS256", "typ": "JWT" }));
        let claims = part(serde_json::json!({
            "iss": "https://shop.example/", "aud": "flux-gate", "exp": expires, "email": mail,
        }));
        let signed = format!("{header}.{claims}");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), signed.as_bytes());
        let tag = URL_SAFE_NO_PAD.encode(tag);
        self.marks.secret("a JWT's claims", claims);
        self.marks.secret("a JWT's signature", tag.clone());
        format!("{signed}.{tag}")
    }

    fn fulfil(&mut self) {
        let feed = self.signed(&warehouse(), Draft::new("GET", "/orders?after=0&limit=2", ""));
        assert_eq!(feed.status, 200, "{}", feed.text());
        assert_eq!(
            self.signed(&shop(), Draft::new("GET", "/orders", "")).summary(),
            "403 forbidden"
        );
        let phone = self.phone.clone();
        let (user, key) = (self.buyer(), self.key());
        let bought = self.order(&phone, &user, &key);
        let target = format!("/orders/{}/cancel", bought.member("orderId"));
        let cancel = Draft::new("POST", &target, r#"{"restock":true}"#);
        assert_eq!(self.signed(&warehouse(), cancel).summary(), "200 reversed");
    }

    fn operate(&mut self) {
        let phone = self.phone.clone();
        let token = self.marks.secret("a token that is none", "Mark-No-Token-77e1d0");
        let text = self.marks.secret("something in a path", "mark-in-a-path-28fd");
        for target in
            ["/metrics", "/admin/orders", "/admin/products/", "/admin/orders/", "/admin/nothing/"]
        {
            let target =
                if target.ends_with('/') { format!("{target}{text}") } else { target.into() };
            assert!(self.call(&token, "GET", &target, "").status >= 400);
            self.call(OPERATOR_TOKEN, "GET", &target, "");
            self.call(OPERATOR_TOKEN, "POST", &target, &format!(r#"{{"quantity":"{text}"}}"#));
            self.call(OPERATOR_TOKEN, "POST", &format!("{target}/reverse?{text}"), &text);
        }
        let archive = format!("/admin/products/{phone}/archive");
        assert_eq!(self.call(OPERATOR_TOKEN, "POST", &archive, "{}").status, 403);
        self.look_for();
    }

    /// Looks for somebody by each of the names in clear, well and badly written.
    fn look_for(&mut self) {
        let number = self.next();
        let user = self.nobody();
        let device = format!("mark-looked-for-device-{number:04x}");
        let device = self.marks.secret("a fingerprint that is looked for", device);
        let address = format!("198.51.101.{}", 100 + number % 100);
        let address = self.marks.secret("an address that is looked for", address);
        for named in [
            format!("user={user}&fingerprint={device}"),
            format!("address={address}"),
            format!("network={address}"),
        ] {
            let path = format!("/admin/incident/orders?{named}");
            let found = self.call(OPERATOR_TOKEN, "GET", &path, "");
            assert_eq!((found.status, &found.json()["matched"]), (200, &0.into()), "{named}");
        }
        for bad in [
            format!("pattern={device}"),
            format!("address={device}"),
            format!("buyer={user}"),
            format!("{device}={address}"),
            format!("user={user}&user={user}"),
        ] {
            let path = format!("/admin/incident/orders?{bad}");
            assert_eq!(self.call(OPERATOR_TOKEN, "GET", &path, "").status, 400);
        }
    }
}
