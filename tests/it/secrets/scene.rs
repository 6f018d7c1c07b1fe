//! Requests through every path, each with secrets and ids of its own.

use std::net::SocketAddr;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::marks::{Marks, Place};
use crate::crash::crowd::unix_ms;
use crate::support::draft::{Draft, Signer};
use crate::support::server::ADMIN_TOKEN;
use crate::support::wire::{Answer, exchange};
use crate::traces::parent;

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

/// Whoever bought is kept by name: in the table `subjects`, which erasure and retention empty.
const BUYERS: &[Place] = &[Place::Store, Place::Ledger];

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

/// Who sends, and what has been sent.
pub struct Scene<'m> {
    public: SocketAddr,
    operator: SocketAddr,
    marks: &'m mut Marks,
    number: u32,
    /// The product that is for sale.
    phone: String,
    /// What operators were told.
    pub told_operators: Vec<u8>,
}

impl<'m> Scene<'m> {
    /// On a server; `name` makes the products its own.
    pub fn new(public: SocketAddr, operator: SocketAddr, marks: &'m mut Marks, name: &str) -> Self {
        let (phone, told_operators) = (format!("phone-{name}"), Vec::new());
        Self { public, operator, marks, number: 0, phone, told_operators }
    }

    fn next(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    /// A user who will not become a buyer.
    fn nobody(&mut self) -> String {
        let number = self.next();
        self.marks.secret("a user who bought nothing", format!("mark-nobody-{number:04x}"))
    }

    fn buyer(&mut self) -> String {
        let number = self.next();
        self.marks.secret_but("a buyer", format!("mark-buyer-{number:04x}"), BUYERS)
    }

    fn key(&mut self) -> String {
        let number = self.next();
        self.marks.secret("an idempotency key", format!("Mark_Key_{number:04x}"))
    }

    /// Gives a request a fingerprint, an address behind the proxy and a trace, and sends it.
    fn send(&mut self, draft: Draft) -> Answer {
        let number = self.next();
        let address = format!("203.0.113.{}", 100 + number % 100);
        let six = format!("2001:db8:{number:x}:beef:feed::{number:x}");
        let from = if number.is_multiple_of(2) { address } else { six };
        self.send_from(draft, &from)
    }

    fn send_from(&mut self, draft: Draft, from: &str) -> Answer {
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
    fn call(&mut self, token: &str, method: &str, target: &str, body: &str) -> Answer {
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
        // One after the other at once, and one address too often.
        let (user, one, two) = (self.nobody(), self.key(), self.key());
        let sold_out = format!("gone-{phone}");
        let both = [one, two].map(|key| self.order(&sold_out, &user, &key).summary());
        assert_eq!(both, ["409 sold_out", "429 slow_down"]);
        let codes: Vec<_> = (0..8)
            .map(|_| {
                let unsigned = draft(self);
                self.send_from(unsigned, "203.0.113.77").summary()
            })
            .collect();
        assert!(codes.contains(&"429 too_many_requests".to_owned()), "{codes:?}");
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

impl Scene<'_> {
    /// A person asks what is kept, and to be forgotten: afterwards the id is nowhere, the store included.
    fn forget(&mut self) {
        let phone = self.phone.clone();
        let (person, key) = (self.nobody(), self.key());
        let order = Draft::order(&phone, &person, &key).sign(&shop(), unix_ms());
        assert_eq!(self.send(order).summary(), "200 success");
        let who = format!(r#"{{"userId":"{person}"}}"#);
        let mail = self.marks.secret("a mail address", format!("{person}@mark.example"));
        // An admin who asks is told: that answer alone is not searched.
        let before = self.told_operators.len();
        for path in ["export", "status"] {
            let path = format!("/admin/privacy/{path}");
            // The ledger of many nodes comes later.
            let told = self.call(ADMIN_TOKEN, "POST", &path, &who);
            assert_eq!(told.status, 200, "{}", told.text());
            assert_eq!(self.call(OPERATOR_TOKEN, "POST", &path, &who).status, 403);
            let told = self.call(ADMIN_TOKEN, "POST", &path, &format!(r#"{{"userId":"{mail}"}}"#));
            assert_eq!(told.status, 200, "{}", told.text());
        }
        self.told_operators.truncate(before);
        let erase = |reason: &str| format!(r#"{{"userId":"{person}","reason":"{reason}"}}"#);
        let naming = erase(&format!("{person} asked"));
        let refused = self.call(ADMIN_TOKEN, "POST", "/admin/privacy/erase", &naming);
        assert_eq!(refused.summary(), "400 invalid_request");
        let erased = self.call(ADMIN_TOKEN, "POST", "/admin/privacy/erase", &erase("asked for it"));
        assert_eq!(erased.summary(), "200 erased", "{}", erased.text());
        for bad in [format!(r#"{{"userId":["{person}"]}}"#), format!(r#"{{"{person}":1}}"#), person]
        {
            assert_eq!(self.call(ADMIN_TOKEN, "POST", "/admin/privacy/erase", &bad).status, 400);
        }
    }

    /// Blocks somebody by each of the three, and lifts it again; makes a token and takes it back.
    fn block(&mut self) {
        let until = unix_ms() + 3_600_000;
        let (user, number) = (self.nobody(), self.next());
        let fingerprint = format!("mark-live-fingerprint-{number:04x}");
        let fingerprint = self.marks.secret("a fingerprint that is blocked", fingerprint);
        let address = format!("198.51.100.{}", number % 250);
        let address = self.marks.secret("an address that is blocked", address);
        for target in [
            format!(r#""user":"{user}""#),
            format!(r#""fingerprint":"{fingerprint}""#),
            format!(r#""address":"{address}""#),
        ] {
            let body = format!(r#"{{{target},"until":{until},"reason":"a test"}}"#);
            let set = self.call(ADMIN_TOKEN, "POST", "/admin/blocks", &body);
            assert_eq!(set.summary(), "200 applied", "{}", set.text());
        }
        let phone = self.phone.clone();
        let (other, keys) = (self.nobody(), [self.key(), self.key(), self.key()]);
        let signed =
            |user: &str, key: &str| Draft::order(&phone, user, key).sign(&shop(), unix_ms());
        assert_eq!(self.send(signed(&user, &keys[0])).summary(), "403 user_blocked");
        let by_it = signed(&other, &keys[1]).set("x-device-fingerprint", &fingerprint);
        assert_eq!(self.send(by_it).summary(), "403 blocked");
        assert_eq!(self.send_from(signed(&other, &keys[2]), &address).summary(), "403 blocked");
        assert_eq!(self.call(ADMIN_TOKEN, "GET", "/admin/blocks", "").status, 200);
        for bad in [format!(r#"{{"user":"{user}"}}"#), format!(r#"{{"address":"{user}"}}"#), user] {
            assert!(self.call(ADMIN_TOKEN, "POST", "/admin/blocks", &bad).status >= 400);
        }
        for target in [
            format!(r#"{{"fingerprint":"{fingerprint}"}}"#),
            format!(r#"{{"address":"{address}"}}"#),
        ] {
            let lifted = self.call(ADMIN_TOKEN, "DELETE", "/admin/blocks", &target);
            assert_eq!(lifted.summary(), "200 applied", "{}", lifted.text());
        }

        // Who makes a token is told it once, so that answer alone is not searched.
        let before = self.told_operators.len();
        let body = format!(r#"{{"name":"night-{number}-{phone}","role":"viewer"}}"#);
        let made = self.call(ADMIN_TOKEN, "POST", "/admin/tokens", &body);
        assert_eq!(made.status, 201, "{}", made.text());
        self.told_operators.truncate(before);
        let token = self.marks.secret("a token that was made", made.member("token"));
        assert_eq!(self.call(&token, "GET", "/admin/tokens", "").status, 403);
        assert_eq!(self.call(&token, "GET", "/admin/products", "").status, 200);
        let revoke = format!("/admin/tokens/night-{number}-{phone}");
        assert_eq!(self.call(ADMIN_TOKEN, "DELETE", &revoke, "").status, 200);
        assert_eq!(self.call(&token, "GET", "/admin/products", "").status, 401);
    }
}

fn shop() -> Signer {
    Signer::Client { id: "shop".to_owned(), secret: SHOP_SECRET.to_owned() }
}

fn warehouse() -> Signer {
    Signer::Client { id: "warehouse".to_owned(), secret: WAREHOUSE_SECRET.to_owned() }
}
