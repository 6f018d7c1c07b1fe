//! The journal of erasures: who was forgotten, as a pseudonym, kept apart from the store.
//!
//! An embedded store that is restored from a backup holds again what was erased since. So each erasure is
//! written here first, in a file that is not restored with the store, and whatever of it the store does not
//! know is done again before it serves.
//!
//! A line is one JSON object: `{"seq":1,"at_ms":…,"buyer":"…","operation":"…","mac":"…"}`. Invariants:
//! - `mac` is an HMAC-SHA256 over the `mac` of the line before and all of the line, under a key that is derived
//!   from `secrets.buyer_key`: nobody else can add, change, move or take out a line. (A cut at the end is not
//!   seen here; the store itself completes the journal of what it knows.)
//! - a line is on the disk before the record is written into the log;
//! - the file is 0600; no user id is in it.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::keys::{IdentityKeys, tag};
use crate::sale::{BuyerRef, OperationId};

/// Largest journal, in bytes: some hundred thousand erasures.
const BYTES_MAX: u64 = 64 << 20;
/// Bytes of a MAC.
const MAC_BYTES: usize = 32;

/// One erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    /// Who was forgotten.
    pub buyer: BuyerRef,
    /// Under which name the log applies it once.
    pub operation: OperationId,
    /// When it was asked for, Unix milliseconds.
    pub at_ms: u64,
}

/// Why the journal cannot be used. The store must not be served then: it might hold somebody who was erased.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be read or written.
    #[error(
        "the journal of erasures {path}: {source}; let the server's user read and write it, or name another \
         place in privacy.erasures_file"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read or write it.
    #[error("the journal of erasures {path} is open to others: `chmod 600 {path}`", path = .0.display())]
    OpenToOthers(PathBuf),
    /// A line is not what the owner of the buyer key has written there.
    #[error(
        "the journal of erasures {path}: line {line} is not one that this server's secrets.buyer_key has \
         written: it was altered, or belongs to another server. Restore it from where it is kept"
    )]
    Forged {
        /// The file.
        path: PathBuf,
        /// Which line.
        line: u64,
    },
    /// It is larger than any that this program reads, or would become so.
    #[error(
        "the journal of erasures {} is full ({BYTES_MAX} bytes): begin a new store, which knows nobody of the old one",
        .0.display()
    )]
    TooLarge(PathBuf),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    seq: u64,
    at_ms: u64,
    buyer: BuyerRef,
    operation: OperationId,
    mac: String,
}

/// The journal.
pub struct Erasures {
    path: PathBuf,
    key: hmac::Key,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: Vec<Erasure>,
    known: HashSet<OperationId>,
    mac: [u8; MAC_BYTES],
    /// Bytes of the file that are whole lines.
    bytes: u64,
}

impl Erasures {
    /// Reads the journal and checks each line. One that is not there is empty, and made with its first line.
    ///
    /// # Errors
    /// [`JournalError`] says what is in the way.
    pub fn open(path: &Path, keys: &IdentityKeys) -> Result<Self, JournalError> {
        let key = keys.erasures_key();
        let state = read(path, &key)?;
        Ok(Self { path: path.to_owned(), key, state: Mutex::new(state) })
    }

    /// All erasures, the oldest first.
    pub fn entries(&self) -> Vec<Erasure> {
        self.state.lock().entries.clone()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes an erasure and returns when it is on the disk. One that is there already is not written again.
    ///
    /// # Errors
    /// It cannot be written: nothing may be erased then.
    pub fn append(&self, erasure: &Erasure) -> Result<(), JournalError> {
        let mut state = self.state.lock();
        if state.known.contains(&erasure.operation) {
            return Ok(());
        }
        let seq = state.entries.len() as u64 + 1;
        let mac = mac(&self.key, &state.mac, seq, erasure);
        let Erasure { buyer, operation, at_ms } = *erasure;
        let line = Line { seq, at_ms, buyer, operation, mac: hex::encode(mac) };
        let mut text = serde_json::to_vec(&line).expect("a line has only string keys");
        text.push(b'\n');
        if state.bytes + text.len() as u64 > BYTES_MAX {
            return Err(JournalError::TooLarge(self.path.clone()));
        }
        write(&self.path, state.bytes, &text)
            .map_err(|source| JournalError::Io { path: self.path.clone(), source })?;
        state.bytes += text.len() as u64;
        state.take(*erasure, mac);
        Ok(())
    }
}

impl State {
    fn take(&mut self, erasure: Erasure, mac: [u8; MAC_BYTES]) {
        self.known.insert(erasure.operation);
        self.entries.push(erasure);
        self.mac = mac;
    }
}

/// Puts `text` after the whole lines: what a crash has left of a half one goes.
fn write(path: &Path, after: u64, text: &[u8]) -> io::Result<()> {
    use std::io::Seek;
    let is_new = !path.exists();
    let mut file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    file.set_len(after)?;
    file.seek(io::SeekFrom::Start(after))?;
    file.write_all(text)?;
    file.sync_all()?;
    if is_new {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

fn read(path: &Path, key: &hmac::Key) -> Result<State, JournalError> {
    let failed = |source| JournalError::Io { path: path.to_owned(), source };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
        Err(error) => return Err(failed(error)),
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(JournalError::OpenToOthers(path.to_owned()));
    }
    if metadata.len() > BYTES_MAX {
        return Err(JournalError::TooLarge(path.to_owned()));
    }
    let text = std::fs::read(path).map_err(failed)?;
    let mut state = State::default();
    // What follows the last line break is half a line, of an erasure that was not begun.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    for line in text[..whole].split_inclusive(|byte| *byte == b'\n') {
        let number = state.entries.len() as u64 + 1;
        let forged = || JournalError::Forged { path: path.to_owned(), line: number };
        let line: Line = serde_json::from_slice(line).map_err(|_| forged())?;
        let Line { seq, at_ms, buyer, operation, mac: said } = line;
        let erasure = Erasure { buyer, operation, at_ms };
        let right = mac(key, &state.mac, number, &erasure);
        let mut said_bytes = [0; MAC_BYTES];
        let is_hex = hex::decode_to_slice(said, &mut said_bytes).is_ok();
        if seq != number || !is_hex || !bool::from(said_bytes.ct_eq(&right)) {
            return Err(forged());
        }
        state.take(erasure, right);
    }
    state.bytes = whole as u64;
    Ok(state)
}

fn mac(key: &hmac::Key, before: &[u8; MAC_BYTES], seq: u64, erasure: &Erasure) -> [u8; MAC_BYTES] {
    let Erasure { buyer, operation, at_ms } = erasure;
    let (seq, at_ms, operation) = (seq.to_be_bytes(), at_ms.to_be_bytes(), operation.to_string());
    let parts: [&[u8]; 5] = [before, &seq, &at_ms, buyer.as_bytes(), operation.as_bytes()];
    tag(key, "erasure", &parts).as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(byte: u8) -> IdentityKeys {
        IdentityKeys::new(b"order", &[byte; 32])
    }

    fn erasure(number: u8) -> Erasure {
        let operation = format!("op-{number}").parse().unwrap();
        Erasure { buyer: BuyerRef::from_bytes([number; 16]), operation, at_ms: number.into() }
    }

    fn filled(count: u8) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.jsonl");
        let journal = Erasures::open(&path, &keys(1)).unwrap();
        for number in 1..=count {
            journal.append(&erasure(number)).unwrap();
        }
        (dir, path)
    }

    #[test]
    fn what_is_written_is_read_again_once_each() {
        let (_dir, path) = filled(3);
        let journal = Erasures::open(&path, &keys(1)).unwrap();
        journal.append(&erasure(2)).unwrap();
        journal.append(&erasure(4)).unwrap();
        let journal = Erasures::open(&path, &keys(1)).unwrap();
        assert_eq!(journal.entries(), [1, 2, 3, 4].map(erasure));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    /// Every byte counts: whatever is changed, the journal is refused or (in a half last line) shorter.
    #[test]
    fn any_byte_that_is_changed_is_found() {
        let (_dir, path) = filled(2);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            std::fs::write(&path, &altered).unwrap();
            match Erasures::open(&path, &keys(1)) {
                Err(JournalError::Forged { .. }) => {}
                Ok(journal) => {
                    assert_eq!(at, whole.len() - 1, "only the last line break may go unnoticed");
                    assert_eq!(journal.entries(), [erasure(1)]);
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn lines_that_are_moved_taken_out_or_of_another_key_are_refused() {
        let (_dir, path) = filled(3);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        for forged in [
            [lines[1], lines[0], lines[2]].concat(),
            [lines[0], lines[2]].concat(),
            lines[1..].concat(),
            [lines[0], lines[0]].concat(),
        ] {
            std::fs::write(&path, forged).unwrap();
            let refused = Erasures::open(&path, &keys(1));
            assert!(matches!(refused, Err(JournalError::Forged { .. })));
        }
        std::fs::write(&path, &text).unwrap();
        let refused = Erasures::open(&path, &keys(2));
        assert!(matches!(refused, Err(JournalError::Forged { line: 1, .. })));
    }

    #[test]
    fn half_a_line_of_a_crash_is_written_over() {
        let (_dir, path) = filled(2);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let journal = Erasures::open(&path, &keys(1)).unwrap();
        assert_eq!(journal.entries(), [erasure(1)]);
        journal.append(&erasure(2)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn a_journal_that_is_open_to_others_is_refused() {
        let (_dir, path) = filled(1);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Erasures::open(&path, &keys(1)), Err(JournalError::OpenToOthers(_))));
    }
}
