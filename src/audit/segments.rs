//! The segments of a trail as they lie on the disk: which there are, and what a start reads of each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::line::{self, Line};
use crate::chain::Digest;

/// A segment on the disk.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Its number.
    pub number: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// What is known of a segment that is not appended to any more.
#[derive(Debug, Clone)]
pub(super) struct Closed {
    pub segment: Segment,
    pub bytes: u64,
    pub first_seq: u64,
    pub last_seq: u64,
    pub last_digest: Digest,
    pub last_at_ms: u64,
}

/// The segments in `dir`, in their order.
///
/// # Errors
/// The directory cannot be read.
pub fn segments(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix("audit-").and_then(|rest| rest.strip_suffix(".jsonl"));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            found.push(Segment { number, path });
        }
    }
    found.sort_by_key(|segment| segment.number);
    Ok(found)
}

/// The segment of this number in `dir`.
pub(super) fn segment(dir: &Path, number: u64) -> Segment {
    Segment { number, path: dir.join(format!("audit-{number:08}.jsonl")) }
}

/// What a start reads of a segment.
pub(super) struct Scanned {
    pub segment: Segment,
    /// Up to the last line feed.
    pub bytes: u64,
    pub torn_bytes: u64,
    pub node: Option<String>,
    pub first_seq: u64,
    pub first_at_ms: u64,
    /// The last line that can be read.
    pub last: Option<Line>,
    /// Lines after it.
    pub bad_lines: u64,
}

impl Scanned {
    /// Reads it.
    pub fn of(segment: Segment) -> io::Result<Self> {
        let content = fs::read(&segment.path)?;
        let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines = content[..whole].split(|byte| *byte == b'\n');
        let first = lines.clone().find_map(|line| line::parse(line).ok());
        let node = first.as_ref().and_then(|line| Some(line.fields["node"].as_str()?.to_owned()));
        let mut bad_lines = 0;
        let mut last = None;
        for line in lines.rev().filter(|line| !line.is_empty()) {
            match line::parse(line) {
                Ok(line) => {
                    last = Some(line);
                    break;
                }
                Err(_) => bad_lines += 1,
            }
        }
        Ok(Self {
            segment,
            bytes: whole as u64,
            torn_bytes: (content.len() - whole) as u64,
            node,
            first_seq: first.as_ref().map_or(0, |line| line.seq),
            first_at_ms: first.as_ref().map_or(0, |line| line.at_ms),
            last,
            bad_lines,
        })
    }

    /// Whether the end of the trail, with this number, does not lie after it.
    pub fn is_after(&self, end_seq: u64) -> bool {
        self.last.as_ref().is_none_or(|last| last.seq >= end_seq)
    }

    /// `before` is the number, digest and time that the segments before it ended with.
    pub fn closed(self, before: (u64, Digest, u64)) -> Closed {
        let last = self.last.as_ref();
        Closed {
            bytes: self.bytes + self.torn_bytes,
            first_seq: self.first_seq,
            last_seq: last.map_or(before.0, |line| line.seq),
            last_digest: last.map_or(before.1, |line| line.digest),
            last_at_ms: last.map_or(before.2, |line| line.at_ms),
            segment: self.segment,
        }
    }
}
