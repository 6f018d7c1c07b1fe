//! The signature of a request: what is signed and how. Both sides use it.

use aws_lc_rs::hmac;

/// The signed parts of a request, each as its raw bytes; an absent one is empty.
#[derive(Clone, Copy, Debug)]
pub struct SignedParts<'a> {
    /// The method, in capitals.
    pub method: &'a [u8],
    /// The path with its query, as sent.
    pub path: &'a [u8],
    /// The body.
    pub body: &'a [u8],
    /// The value of `x-request-time`.
    pub request_time: &'a [u8],
    /// The value of the idempotency key without quotes.
    pub idempotency_key: &'a [u8],
}

impl SignedParts<'_> {
    /// HMAC-SHA256 over `METHOD:PATH:BODY:REQUEST_TIME:IDEMPOTENCY_KEY`.
    ///
    /// The parts need no length prefix: the last two cannot hold a colon where they are accepted, the
    /// first cannot hold one at all, and a body that is accepted begins with `{` or is empty.
    pub fn sign(&self, key: &hmac::Key) -> hmac::Tag {
        let mut context = hmac::Context::with_key(key);
        let parts = [self.path, self.body, self.request_time, self.idempotency_key];
        context.update(self.method);
        for part in parts {
            context.update(b":");
            context.update(part);
        }
        context.sign()
    }
}
