//! The guard as a whole: a world with a shopper, a client and their keys, and requests that are right or
//! wrong in one named way.

use http::{HeaderMap, HeaderValue, Method};
use rstest::rstest;

use super::*;
use crate::config;
use crate::guard::pass::Pass;

mod bots;
mod checks;
mod rates;
mod session;

const NOW_MS: u64 = 1_800_000_000_000;
const SEED: [u8; 16] = [3; 16];
const PASS_KEYS: &str = "k1:0123456789abcdef0123456789abcdef";
const CLIENT_SECRET: &str = "client-secret-0123456789";
const SECOND_SECRET: &str = "client-secret-9876543210";
const PEER: &str = "203.0.113.7";

fn config() -> Config {
    let client = |id: &str, roles: &[ClientRole]| config::ApiClient {
        id: id.to_owned(),
        secrets: vec![CLIENT_SECRET.into(), SECOND_SECRET.into()],
        roles: roles.to_vec(),
        name_space: "shop".to_owned(),
    };
    let mut config = Config {
        clients: vec![
            client("shop", &[ClientRole::Order, ClientRole::Session]),
            client("packer", &[ClientRole::Fulfilment]),
        ],
        blocks: config::Blocks {
            addresses: vec!["192.0.2.0/24".parse().unwrap()],
            fingerprints: vec!["bad".to_owned()],
            users: vec!["mallory".to_owned()],
        },
        ..Config::default()
    };
    config.limits.tracked_keys_max = 4_096;
    config
}

/// A guard at a moment, with one thread's cache.
struct World {
    guard: Guard,
    cache: PassCache,
    now: Now,
}

impl World {
    fn new(config: &Config) -> Self {
        let identity = Arc::new(IdentityKeys::new(&[1; 32], &[2; 32]));
        let keys = PassKeys::parse(PASS_KEYS).unwrap();
        let guard = Guard::new(config, identity, keys, SEED).unwrap();
        let cache = guard.cache();
        Self { guard, cache, now: Now { unix_ms: NOW_MS, monotonic_us: 5_000_000 } }
    }

    fn wait_ms(&mut self, ms: u64) {
        self.now.unix_ms += ms;
        self.now.monotonic_us += ms * 1_000;
    }

    fn order(&mut self, draft: &Draft) -> Result<OrderRequest, Refused> {
        let sent = draft.send();
        self.guard.order(&mut self.cache, &sent.request(), self.now)
    }

    fn refusal(&mut self, draft: &Draft) -> Option<Refusal> {
        self.order(draft).err().map(|refused| refused.refusal)
    }

    fn caller(&mut self, draft: &Draft) -> Result<Caller, Refused> {
        let sent = draft.send();
        self.guard.caller(&mut self.cache, &sent.request(), self.now)
    }

    fn session(&self, draft: &Draft) -> Result<OpenedSession, Refused> {
        self.guard.session(&draft.send().request(), self.now, [7; 16])
    }

    /// The pass of a user, good for 15 minutes, and its session key.
    fn pass(&self, user: &str) -> (String, String) {
        let pass = Pass {
            user: user.parse().unwrap(),
            name_space: "shop".into(),
            issued_ms: self.now.unix_ms,
            expires_ms: self.now.unix_ms + 900_000,
            id: PassId([1; 16]),
            admission: None,
        };
        let (text, key) = self.guard.pass_keys.issue(&pass);
        (text, key.as_str().to_owned())
    }

    /// A right order of a shopper.
    fn shopper(&self, user: &str, key: &str) -> Draft {
        let (pass, session_key) = self.pass(user);
        let lines = vec![("authorization", format!("Bearer {pass}"))];
        Draft { secret: session_key, ..self.draft(user, key, lines) }
    }

    /// A right order of the API client.
    fn client(&self, user: &str, key: &str) -> Draft {
        self.draft(user, key, vec![("x-api-key", "shop".to_owned())])
    }

    fn draft(&self, user: &str, key: &str, credentials: Vec<(&'static str, String)>) -> Draft {
        Draft {
            method: Method::POST,
            target: "/order".to_owned(),
            peer: PEER.parse().unwrap(),
            credentials,
            time: Some(self.now.unix_ms.to_string()),
            key: Some(key.to_owned()),
            body: format!(r#"{{"productId":"phone","userId":"{user}"}}"#),
            lines: vec![("content-type", "application/json".to_owned())],
            secret: CLIENT_SECRET.to_owned(),
            signature: None,
        }
    }
}

/// A request before it is signed and sent.
#[derive(Clone)]
struct Draft {
    method: Method,
    target: String,
    peer: std::net::IpAddr,
    credentials: Vec<(&'static str, String)>,
    time: Option<String>,
    key: Option<String>,
    body: String,
    lines: Vec<(&'static str, String)>,
    secret: String,
    /// In place of the right one; empty leaves it out.
    signature: Option<String>,
}

impl Draft {
    fn signature(&self) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let parts = SignedParts {
            method: self.method.as_str().as_bytes(),
            path: self.target.as_bytes(),
            body: self.body.as_bytes(),
            request_time: self.time.as_deref().unwrap_or_default().as_bytes(),
            idempotency_key: self.key.as_deref().unwrap_or_default().as_bytes(),
        };
        hex::encode(parts.sign(&key))
    }

    /// The same with the signature that it has now, whatever changes after.
    fn signed(mut self) -> Self {
        self.signature = Some(self.signature());
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn send(&self) -> Sent {
        let mut headers = HeaderMap::new();
        let mut append = |name: &'static str, value: &str| {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        };
        let signature = self.signature.clone().unwrap_or_else(|| self.signature());
        for (name, value) in self.credentials.iter().chain(&self.lines) {
            append(name, value);
        }
        for (name, value) in
            [("x-request-time", self.time.as_deref()), ("x-idempotency-key", self.key.as_deref())]
        {
            value.into_iter().for_each(|value| append(name, value));
        }
        if !signature.is_empty() {
            append("x-signature", &signature);
        }
        Sent { draft: self.clone(), headers }
    }
}

/// A request on the wire.
struct Sent {
    draft: Draft,
    headers: HeaderMap,
}

impl Sent {
    fn request(&self) -> Request<'_> {
        Request {
            method: &self.draft.method,
            target: &self.draft.target,
            headers: &self.headers,
            body: self.draft.body.as_bytes(),
            peer: self.draft.peer,
        }
    }
}
