//! One line of the trail: JSON in printable ASCII, with the digest of the line before and its own.
//!
//! `{"seq":…,"at_ms":…,"kind":"…","fields":{…},"prev":"…","digest":"…"}` and a line feed. The digest is
//! SHA-256 over all bytes up to `,"digest"`, so whatever byte is changed, it no longer fits; `prev` ties the
//! line to the one before. Whatever is not printable ASCII is escaped: no line can pretend to be two, and
//! none can steer a terminal.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::ser::Formatter;

use crate::chain::{DIGEST_BYTES, Digest, sha256};

/// Longest line, in bytes with its line feed. Longer fields are cut before they get here.
pub const LINE_BYTES_MAX: usize = 16 * 1_024;

const DIGEST_FIELD: &str = ",\"digest\":\"";
/// `,"digest":"`, 64 digits, `"}`.
const TAIL_BYTES: usize = DIGEST_FIELD.len() + 2 * DIGEST_BYTES + 2;

/// The digest before the first line.
pub fn genesis() -> Digest {
    sha256(b"flux-gate audit trail 1")
}

/// A line, as it was read.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its number, from 1 on without gaps.
    pub seq: u64,
    /// When, Unix milliseconds by the node's clock.
    pub at_ms: u64,
    /// What happened.
    pub kind: String,
    /// Its particulars.
    pub fields: Value,
    /// The digest of the line before.
    pub prev: Digest,
    /// Its own.
    pub digest: Digest,
}

/// Why a line cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// It is no JSON object of the fields of a line.
    #[error("it is no line of a trail")]
    NotALine,
    /// It is not what was written.
    #[error("its digest does not fit it")]
    Digest,
}

#[derive(Serialize)]
struct Written<'a, F> {
    seq: u64,
    at_ms: u64,
    kind: &'a str,
    fields: &'a F,
    prev: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    seq: u64,
    at_ms: u64,
    kind: String,
    fields: Value,
    prev: String,
    digest: String,
}

/// Appends a line with its line feed to `out`, and returns its digest.
pub fn encode(
    out: &mut Vec<u8>,
    seq: u64,
    at_ms: u64,
    kind: &str,
    fields: &impl Serialize,
    prev: &Digest,
) -> Digest {
    let start = out.len();
    let prev = hex::encode(prev);
    let line = Written { seq, at_ms, kind, fields, prev: &prev };
    let mut json = serde_json::Serializer::with_formatter(&mut *out, PrintableAscii);
    // Writing to memory does not fail, and no key of ours is anything but text.
    let _ = line.serialize(&mut json);
    // Its closing brace comes after the digest.
    out.pop();
    let digest = sha256(&out[start..]);
    out.extend_from_slice(DIGEST_FIELD.as_bytes());
    out.extend_from_slice(hex::encode(digest).as_bytes());
    out.extend_from_slice(b"\"}\n");
    digest
}

/// Reads a line, without its line feed, and checks its own digest.
///
/// # Errors
/// See [`BadLine`].
pub fn parse(line: &[u8]) -> Result<Line, BadLine> {
    let covered = line.len().checked_sub(TAIL_BYTES).ok_or(BadLine::NotALine)?;
    let (covered, tail) = line.split_at(covered);
    let stored = tail.strip_prefix(DIGEST_FIELD.as_bytes()).and_then(|t| t.strip_suffix(b"\"}"));
    let stored = stored.and_then(|text| digest_of(std::str::from_utf8(text).ok()?));
    let stored = stored.ok_or(BadLine::NotALine)?;
    if sha256(covered) != stored {
        return Err(BadLine::Digest);
    }
    let read: Read = serde_json::from_slice(line).map_err(|_| BadLine::NotALine)?;
    let prev = digest_of(&read.prev).ok_or(BadLine::NotALine)?;
    if digest_of(&read.digest) != Some(stored) {
        return Err(BadLine::NotALine);
    }
    let Read { seq, at_ms, kind, fields, .. } = read;
    Ok(Line { seq, at_ms, kind, fields, prev, digest: stored })
}

/// A digest in lower-case hex: another spelling is another byte than was written.
pub fn digest_of(text: &str) -> Option<Digest> {
    let mut digest = [0; DIGEST_BYTES];
    hex::decode_to_slice(text, &mut digest).ok()?;
    (text == hex::encode(digest)).then_some(digest)
}

/// Compact JSON in printable ASCII: the library escapes control characters below space itself; here go DEL
/// and everything beyond ASCII (C1 controls, line separators, marks that turn text around).
struct PrintableAscii;

impl Formatter for PrintableAscii {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut units = [0; 2];
        for c in fragment.chars() {
            if matches!(c, ' '..='~') {
                writer.write_all(&[c as u8])?;
                continue;
            }
            for unit in c.encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &Value) -> (Vec<u8>, Digest) {
        let mut out = Vec::new();
        let digest = encode(&mut out, 7, 8, "start", fields, &genesis());
        (out, digest)
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let fields = serde_json::json!({"a": "b", "n": 1});
        let (bytes, digest) = line(&fields);
        let read = parse(bytes.strip_suffix(b"\n").unwrap()).unwrap();
        assert_eq!((read.seq, read.at_ms, read.kind.as_str()), (7, 8, "start"));
        assert_eq!((read.fields, read.prev, read.digest), (fields, genesis(), digest));
    }

    #[test]
    fn whatever_is_not_printable_ascii_is_escaped_and_comes_back() {
        let text = "a\n\r\u{1b}[2J\"\\\u{7f}\u{85}\u{2028}\u{202e}é😀=cmd|' /C calc'!A0";
        let fields = serde_json::json!({ "reason": text });
        let (bytes, _) = line(&fields);
        let (last, rest) = bytes.split_last().unwrap();
        assert_eq!(*last, b'\n');
        assert!(rest.iter().all(|byte| matches!(byte, b' '..=b'~')));
        assert_eq!(parse(rest).unwrap().fields["reason"], text);
    }

    #[test]
    fn every_flipped_bit_is_found_in_the_line_alone() {
        let (mut bytes, _) = line(&serde_json::json!({"who": "ann"}));
        bytes.pop();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                assert!(parse(&bytes).is_err(), "byte {at}, bit {bit}");
                bytes[at] ^= 1 << bit;
            }
        }
        assert!(parse(&bytes).is_ok());
        assert!(parse(b"").is_err());
    }
}
