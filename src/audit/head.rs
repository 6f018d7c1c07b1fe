//! Signed heads: one line that vouches for everything before it, in the trail and in the order log.
//!
//! Kept anywhere that the node cannot write to, a head is the witness for all that came before: a trail that
//! lacks its line, or has another in its place, was cut or written anew; an order log whose digest at the
//! stated offset is another was, too.

use serde::{Deserialize, Serialize};

use super::LogHead;
use super::line::{self, Line};
use crate::chain::Digest;
use crate::keys::signer::{PublicKey, Signature, Signer};

const HEAD_PURPOSE: &str = "flux-gate audit head 1";
const REMOVED_PURPOSE: &str = "flux-gate audit segment removed 1";

/// The fields of a head's line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadFields {
    /// Which node's trail.
    pub node: String,
    /// The id of the key that signs.
    pub key: String,
    /// How far the order log was applied.
    pub log: Vec<LogHeadFields>,
    /// Hex.
    pub signature: String,
}

/// A [`LogHead`] as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogHeadFields {
    /// The partition; 0 of an embedded log.
    pub partition: u32,
    /// The last offset that was applied.
    pub offset: u64,
    /// The digest after it, hex.
    pub digest: String,
}

/// The fields of the line that says that a segment was removed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemovedFields {
    /// Which node's trail.
    pub node: String,
    /// The file.
    pub file: String,
    /// The number of its first line.
    pub first_seq: u64,
    /// The number of its last line.
    pub last_seq: u64,
    /// The digest of its last line, hex.
    pub last_digest: String,
    /// `age` or `size`.
    pub why: String,
    /// The id of the key that signs.
    pub key: String,
    /// Hex.
    pub signature: String,
}

impl From<LogHead> for LogHeadFields {
    fn from(head: LogHead) -> Self {
        let LogHead { partition, offset, digest } = head;
        Self { partition, offset, digest: hex::encode(digest) }
    }
}

/// Signs a head: line `seq`, written at `at_ms`, after a line with the digest `prev`.
pub fn sign(
    signer: &Signer,
    node: &str,
    seq: u64,
    at_ms: u64,
    prev: &Digest,
    log: &[LogHead],
) -> HeadFields {
    let log: Vec<LogHeadFields> = log.iter().copied().map(Into::into).collect();
    let signature =
        with_parts(node, seq, at_ms, prev, &log, |parts| signer.sign(HEAD_PURPOSE, parts));
    let key = signer.public().id_text();
    HeadFields { node: node.to_owned(), key, log, signature: hex::encode(signature) }
}

/// Whether a head's line is signed by `key`.
pub fn is_signed(line: &Line, fields: &HeadFields, key: &PublicKey) -> bool {
    let Some(signature) = signature_of(&fields.signature) else { return false };
    fields.key == key.id_text()
        && with_parts(&fields.node, line.seq, line.at_ms, &line.prev, &fields.log, |parts| {
            key.verifies(HEAD_PURPOSE, parts, &signature)
        })
}

/// Signs that the segment that ended with this line was removed.
pub fn sign_removed(signer: &Signer, node: &str, last_seq: u64, last_digest: &Digest) -> Signature {
    signer.sign(REMOVED_PURPOSE, &[node.as_bytes(), &last_seq.to_be_bytes(), last_digest])
}

/// Whether that is signed by `key`.
pub fn is_removal_signed(fields: &RemovedFields, key: &PublicKey) -> bool {
    let (Some(signature), Some(digest)) =
        (signature_of(&fields.signature), line::digest_of(&fields.last_digest))
    else {
        return false;
    };
    let seq = fields.last_seq.to_be_bytes();
    key.verifies(REMOVED_PURPOSE, &[fields.node.as_bytes(), &seq, &digest], &signature)
}

fn signature_of(text: &str) -> Option<Signature> {
    let mut signature = [0; 64];
    hex::decode_to_slice(text, &mut signature).ok()?;
    Some(signature)
}

fn with_parts<R>(
    node: &str,
    seq: u64,
    at_ms: u64,
    prev: &Digest,
    log: &[LogHeadFields],
    then: impl FnOnce(&[&[u8]]) -> R,
) -> R {
    let (seq, at) = (seq.to_be_bytes(), at_ms.to_be_bytes());
    let heads: Vec<([u8; 12], &str)> = log
        .iter()
        .map(|head| {
            let mut place = [0; 12];
            place[..4].copy_from_slice(&head.partition.to_be_bytes());
            place[4..].copy_from_slice(&head.offset.to_be_bytes());
            (place, head.digest.as_str())
        })
        .collect();
    let mut parts: Vec<&[u8]> = vec![node.as_bytes(), &seq, &at, prev];
    for (place, digest) in &heads {
        parts.extend([&place[..], digest.as_bytes()]);
    }
    then(&parts)
}
