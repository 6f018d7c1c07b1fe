//! A request that can be signed and then tampered with.

use aws_lc_rs::hmac;
use flux_gate::signing::SignedParts;

/// Who signs.
#[derive(Debug, Clone)]
pub enum Signer {
    /// A shop's backend.
    Client {
        /// `x-api-key`.
        id: String,
        /// Its secret.
        secret: String,
    },
    /// A shopper with a session.
    Shopper {
        /// The bearer token.
        pass: String,
        /// The key that came with it.
        session_key: String,
    },
}

impl Signer {
    /// The key of its signatures.
    pub fn secret(&self) -> &str {
        match self {
            Self::Client { secret, .. } => secret,
            Self::Shopper { session_key, .. } => session_key,
        }
    }
}

/// A request before it is sent. Headers go out in this order and spelling.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The method.
    pub method: String,
    /// The request target.
    pub target: String,
    /// The headers without `host` and the framing.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Draft {
    /// A request without headers.
    pub fn new(method: &str, target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// `POST /order` with its key, unsigned.
    pub fn order(product: &str, user: &str, key: &str) -> Self {
        let body = format!(r#"{{"productId":"{product}","userId":"{user}"}}"#);
        Self::new("POST", "/order", body).set("x-idempotency-key", key)
    }

    /// Sets a header, in place of those of the same name.
    #[must_use]
    pub fn set(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).add(name, value)
    }

    /// Adds a header beside those of the same name.
    #[must_use]
    pub fn add(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Removes a header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// Changes the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Changes the target.
    #[must_use]
    pub fn target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// Changes the method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// The first header of this name, or nothing.
    pub fn header(&self, name: &str) -> &[u8] {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or(&[], |(_, value)| value)
    }

    /// Adds who it is from, the time (unless there is one) and the signature.
    #[must_use]
    pub fn sign(self, signer: &Signer, now_ms: u64) -> Self {
        let identified = match signer {
            Signer::Client { id, .. } => self.set("x-api-key", id),
            Signer::Shopper { pass, .. } => self.set("authorization", format!("Bearer {pass}")),
        };
        let timed = if identified.header("x-request-time").is_empty() {
            identified.set("x-request-time", now_ms.to_string())
        } else {
            identified
        };
        let signature = timed.signature(signer.secret());
        timed.set("x-signature", signature)
    }

    /// The signature that `secret` gives it as it stands.
    pub fn signature(&self, secret: &str) -> String {
        let key = match self.header("x-idempotency-key") {
            [] => self.header("idempotency-key"),
            key => key,
        };
        // White space around a value is no part of it (RFC 9110, section 5.5).
        let key = key.trim_ascii();
        let unquoted = key.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        let parts = SignedParts {
            method: self.method.as_bytes(),
            path: self.target.as_bytes(),
            body: &self.body,
            request_time: self.header("x-request-time"),
            idempotency_key: unquoted.unwrap_or(key),
        };
        hex::encode(parts.sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())))
    }

    /// The bytes of the request, with its length unless it brings a framing of its own.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head(" HTTP/1.1");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The bytes up to the body; `version` is what follows the target in the first line.
    pub fn head(&self, version: &str) -> Vec<u8> {
        let mut bytes = format!("{} {}{version}\r\n", self.method, self.target).into_bytes();
        let framed = |(name, _): &(String, Vec<u8>)| {
            ["content-length", "transfer-encoding"].iter().any(|f| name.eq_ignore_ascii_case(f))
        };
        let mut line = |name: &str, value: &[u8]| {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        };
        if self.header("host").is_empty() {
            line("host", b"gate.test");
        }
        for (name, value) in &self.headers {
            line(name, value);
        }
        if !self.headers.iter().any(framed) && (!self.body.is_empty() || self.method == "POST") {
            line("content-length", self.body.len().to_string().as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}
