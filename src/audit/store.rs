//! The trail's files: segments of lines, appended to, rotated by size and day, the oldest removed.
//!
//! `<data.dir>/audit/audit-00000001.jsonl` and so on, each for its owner alone. A segment begins with a line
//! that names the node; numbers and digests go on over all of them.
//!
//! Invariants:
//! - a file is only ever appended to; what is taken back is a line that could not be written whole;
//! - one process writes: it holds `lock`;
//! - all segments together have at most `bytes_max`; a segment is removed only after a signed line that says
//!   so is on the disk, so what is left can still be verified.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::event::Kind;
use super::line::{self, LINE_BYTES_MAX};
use super::segments::{Closed, Scanned, Segment, segment, segments};
use crate::chain::Digest;

/// The trail's directory beneath the data directory.
pub const DIRECTORY: &str = "audit";
/// Largest segment, in bytes; smaller if all together may have little.
const SEGMENT_BYTES_MAX: u64 = 8 * 1_024 * 1_024;
/// Least number of segments that the limit is divided into.
const SEGMENTS_MIN: u64 = 8;
/// Oldest first line of a segment that is still appended to, in milliseconds: so that each day can go when
/// its time has come.
const SEGMENT_AGE_MS_MAX: u64 = 24 * 3_600 * 1_000;

/// How much is kept, for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of all segments.
    pub bytes_max: u64,
    /// From a segment's last line on.
    pub retention_ms: u64,
}

impl Limits {
    fn segment_bytes_max(&self) -> u64 {
        SEGMENT_BYTES_MAX.min(self.bytes_max / SEGMENTS_MIN)
    }
}

/// Why the trail cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or the directory cannot be read or written; a retry may help once that is mended.
    #[error("{path}: {source}; let the server's user read and write it", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process writes.
    #[error(
        "another process writes the audit trail in {path}; give each node its own data.dir",
        path = .0.display()
    )]
    InUse(PathBuf),
    /// The operating system gave no thread.
    #[error("the writer of the audit trail cannot be started: {0}")]
    Thread(#[source] io::Error),
}

/// What a start found to be mended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Recovered {
    /// Bytes of a last line that was not written whole, cut off.
    pub cut_bytes: u64,
    /// Lines at the end that cannot be read, left where they are.
    pub bad_lines: u64,
}

/// The open trail.
pub(super) struct Store {
    dir: PathBuf,
    limits: Limits,
    node: String,
    _lock: File,
    closed: Vec<Closed>,
    active: Active,
    seq: u64,
    digest: Digest,
    last_at_ms: u64,
    /// Lines that are not in the file yet.
    pending: Vec<u8>,
    pending_from: (u64, Digest),
    /// Whether something is in the file that is not synced.
    dirty: bool,
    /// Whether the file may end in half a line.
    torn: bool,
}

struct Active {
    segment: Segment,
    file: File,
    bytes: u64,
    first_seq: u64,
    first_at_ms: u64,
}

impl Store {
    /// Opens what is there and goes on at its end, or begins. `node` is the name of a node that begins.
    pub(super) fn open(
        dir: &Path,
        limits: Limits,
        node: &str,
        now_ms: u64,
    ) -> Result<(Self, Recovered), StoreError> {
        let io = |source| StoreError::Io { path: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        let lock = take_lock(dir)?;
        let mut recovered = Recovered::default();
        let mut scanned = Vec::new();
        for segment in segments(dir).map_err(io)? {
            scanned.push(Scanned::of(segment).map_err(io)?);
        }
        let next_number = scanned.last().map_or(1, |last| last.segment.number + 1);
        let node = scanned.iter().find_map(|s| s.node.clone()).unwrap_or_else(|| node.to_owned());
        // The end is the last line that can be read; what stands after it is left for `verify` to find.
        let end = scanned.iter().rev().find_map(|scanned| scanned.last.clone());
        let (seq, digest, last_at_ms) =
            end.map_or((0, line::genesis(), 0), |line| (line.seq, line.digest, line.at_ms));
        let goes_on =
            scanned.pop_if(|last| last.bad_lines == 0 && (last.last.is_some() || last.bytes == 0));
        let mut before = (0, line::genesis(), 0);
        let closed: Vec<Closed> = scanned
            .into_iter()
            .map(|scanned| {
                recovered.bad_lines += if scanned.is_after(seq) { scanned.bad_lines } else { 0 };
                let closed = scanned.closed(before);
                before = (closed.last_seq, closed.last_digest, closed.last_at_ms);
                closed
            })
            .collect();
        let active = match goes_on {
            Some(last) => {
                recovered.cut_bytes = last.torn_bytes;
                Active::go_on(last, seq + 1, now_ms).map_err(io)?
            }
            None => Active::begin(dir, segment(dir, next_number), seq + 1, now_ms).map_err(io)?,
        };
        let begins = active.bytes == 0;
        let mut store = Self {
            dir: dir.to_owned(),
            limits,
            node,
            _lock: lock,
            closed,
            active,
            seq,
            digest,
            last_at_ms,
            pending: Vec::new(),
            pending_from: (seq, digest),
            dirty: false,
            torn: false,
        };
        if begins {
            store.begin_segment(now_ms);
        }
        Ok((store, recovered))
    }

    /// The name of the node.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// The number and digest of the last line.
    pub(super) fn end(&self) -> (u64, Digest) {
        (self.seq, self.digest)
    }

    /// When the next line is: lines never go back in time, whatever the clock does.
    pub(super) fn at_ms(&self, now_ms: u64) -> u64 {
        self.last_at_ms.max(now_ms)
    }

    /// Adds a line to those that the next flush writes. Returns it without its line feed.
    pub(super) fn append(
        &mut self,
        now_ms: u64,
        kind: Kind,
        fields: &impl Serialize,
    ) -> io::Result<&[u8]> {
        let start = self.pending.len();
        if start == 0 {
            self.pending_from = (self.seq, self.digest);
        }
        let at_ms = self.at_ms(now_ms);
        let digest =
            line::encode(&mut self.pending, self.seq + 1, at_ms, kind.word(), fields, &self.digest);
        if self.pending.len() - start > LINE_BYTES_MAX {
            self.pending.truncate(start);
            return Err(io::Error::other("the line is too long"));
        }
        self.seq += 1;
        self.digest = digest;
        self.last_at_ms = at_ms;
        Ok(&self.pending[start..self.pending.len() - 1])
    }

    /// Hands all lines to the operating system. After an error none of them is in the trail, and what comes
    /// next takes their numbers.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let bytes = self.pending.len() as u64;
        // Half a line of an earlier failure must not stand before these.
        let whole = if self.torn { self.active.file.set_len(self.active.bytes) } else { Ok(()) };
        let written = whole.and_then(|()| self.active.file.write_all(&self.pending));
        self.pending.clear();
        self.torn = written.is_err();
        if written.is_ok() {
            self.active.bytes += bytes;
            self.dirty = true;
        } else {
            (self.seq, self.digest) = self.pending_from;
            // If this fails as well, the next flush tries again.
            self.torn = self.active.file.set_len(self.active.bytes).is_err();
        }
        written
    }

    /// [`Store::flush`], and waits until all is on the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        if self.dirty {
            self.active.file.sync_data()?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Whether the next line belongs into a new segment.
    pub(super) fn is_segment_full(&self, now_ms: u64) -> bool {
        self.active.bytes >= self.limits.segment_bytes_max()
            || now_ms.saturating_sub(self.active.first_at_ms) >= SEGMENT_AGE_MS_MAX
    }

    /// Goes on in a new segment.
    pub(super) fn rotate(&mut self, now_ms: u64) -> io::Result<()> {
        self.sync()?;
        let next = segment(&self.dir, self.active.segment.number + 1);
        let next = Active::begin(&self.dir, next, self.seq + 1, now_ms)?;
        let last = std::mem::replace(&mut self.active, next);
        self.closed.push(Closed {
            segment: last.segment,
            bytes: last.bytes,
            first_seq: last.first_seq,
            last_seq: self.seq,
            last_digest: self.digest,
            last_at_ms: self.last_at_ms,
        });
        self.begin_segment(now_ms);
        self.flush()
    }

    fn begin_segment(&mut self, now_ms: u64) {
        let number = self.active.segment.number;
        let fields = serde_json::json!({ "node": self.node, "number": number });
        // Far too short to be refused.
        let _ = self.append(now_ms, Kind::Segment, &fields);
    }

    /// The oldest segment, if it must go, and why.
    pub(super) fn expired(&self, now_ms: u64) -> Option<(Closed, &'static str)> {
        let oldest = self.closed.first()?;
        let bytes: u64 = self.closed.iter().map(|closed| closed.bytes).sum();
        if bytes + self.limits.segment_bytes_max() + LINE_BYTES_MAX as u64 > self.limits.bytes_max {
            return Some((oldest.clone(), "size"));
        }
        let age_ms = now_ms.saturating_sub(oldest.last_at_ms);
        (age_ms > self.limits.retention_ms).then(|| (oldest.clone(), "age"))
    }

    /// Removes the oldest segment. The line that says so must be on the disk.
    pub(super) fn remove_oldest(&mut self) -> io::Result<()> {
        let Some(oldest) = self.closed.first() else { return Ok(()) };
        match fs::remove_file(&oldest.segment.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.closed.remove(0);
        File::open(&self.dir)?.sync_all()
    }
}

fn take_lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let io = |source| StoreError::Io { path: path.clone(), source };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

impl Active {
    fn begin(dir: &Path, segment: Segment, first_seq: u64, now_ms: u64) -> io::Result<Self> {
        let file =
            OpenOptions::new().append(true).create_new(true).mode(0o600).open(&segment.path)?;
        // The name must survive a power cut as the content does.
        File::open(dir)?.sync_all()?;
        Ok(Self { segment, file, bytes: 0, first_seq, first_at_ms: now_ms })
    }

    fn go_on(last: Scanned, next_seq: u64, now_ms: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).open(&last.segment.path)?;
        if last.torn_bytes > 0 {
            file.set_len(last.bytes)?;
        }
        Ok(Self {
            file,
            bytes: last.bytes,
            first_seq: if last.first_seq == 0 { next_seq } else { last.first_seq },
            first_at_ms: if last.first_seq == 0 { now_ms } else { last.first_at_ms },
            segment: last.segment,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Line;
    use super::*;

    #[test]
    fn what_the_disk_does_not_take_is_in_the_trail_in_no_part_and_the_chain_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { bytes_max: 1 << 20, retention_ms: 1_000 };
        let (mut store, _) = Store::open(dir.path(), limits, "node", 1).unwrap();
        let fields = serde_json::json!({});
        store.append(2, Kind::Start, &fields).unwrap();
        store.sync().unwrap();
        let before = store.end();
        let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let file = std::mem::replace(&mut store.active.file, full);
        for _ in 0..2 {
            store.append(3, Kind::Stop, &fields).unwrap();
            assert!(store.sync().is_err());
            assert_eq!(store.end(), before);
        }
        // The disk took half a line before it was full.
        store.active.file = file;
        store.active.file.write_all(b"{\"seq\":").unwrap();
        store.append(4, Kind::Stop, &fields).unwrap();
        store.sync().unwrap();
        let content = fs::read(&store.active.segment.path).unwrap();
        let lines: Vec<Line> = content
            .split(|byte| *byte == b'\n')
            .filter(|text| !text.is_empty())
            .map(|text| line::parse(text).unwrap())
            .collect();
        assert_eq!(lines.iter().map(|line| line.seq).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(lines[2].prev, before.1);
    }
}
