//! The digest chain: each row carries a digest over the row before and its own content, so that nothing
//! can be changed, inserted or taken out without every later digest changing.
//!
//! An embedded log is one chain; of a log on Kafka each partition is one.
//!
//! digest = SHA-256(digest before ‖ for each of offset, log time, product, record, outcome: its length
//! (32 bits, big endian) ‖ its bytes). Numbers are 64 bits, big endian. Subjects are not in it: they can
//! be erased.

use aws_lc_rs::digest::{SHA256, digest};

/// Bytes of a digest.
pub const DIGEST_BYTES: usize = 32;

/// A row's digest.
pub type Digest = [u8; DIGEST_BYTES];

/// What is digested of a row.
pub struct Link<'a> {
    /// Its place in the log.
    pub offset: u64,
    /// When it was taken: its log time in an embedded log, the broker's time on Kafka. Unix milliseconds.
    pub log_time_ms: u64,
    /// The product that it is about.
    pub product: &'a str,
    /// Its bytes.
    pub record: &'a [u8],
    /// What it came to: [`Outcome::name`](crate::sale::Outcome::name).
    pub outcome: &'a str,
}

/// How far a chain has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogHead {
    /// The partition; 0 of an embedded log.
    pub partition: u32,
    /// The last offset that is applied.
    pub offset: u64,
    /// The digest after it.
    pub digest: Digest,
}

/// The digest before the first row.
pub fn genesis() -> Digest {
    sha256(b"flux-gate order log 1")
}

/// The digest of the row that follows `before`. `buffer` is only there to be used again.
pub fn next(before: &Digest, link: &Link<'_>, buffer: &mut Vec<u8>) -> Digest {
    buffer.clear();
    buffer.extend_from_slice(before);
    let (offset, time) = (link.offset.to_be_bytes(), link.log_time_ms.to_be_bytes());
    let parts: [&[u8]; 5] =
        [&offset, &time, link.product.as_bytes(), link.record, link.outcome.as_bytes()];
    for part in parts {
        buffer.extend_from_slice(&(part.len() as u32).to_be_bytes());
        buffer.extend_from_slice(part);
    }
    sha256(buffer)
}

/// The SHA-256 of these bytes.
pub fn sha256(bytes: &[u8]) -> Digest {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}
