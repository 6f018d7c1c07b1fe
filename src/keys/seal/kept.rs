//! Private sealing keys as files: one each, so that one can be destroyed.
//!
//! A file is named `id@seconds.key` and holds 64 hexadecimal digits; of a key that was destroyed an empty
//! `id@seconds.destroyed` is left, for as long as it is not noted elsewhere. Invariants: the directory is nobody else's
//! to write to and a file is 0600, else they are refused; a key is overwritten before it is removed. What a
//! file system or a disk keeps beyond that (snapshots, a journal of data, worn-out flash cells) is not reached:
//! keep the directory on an encrypted disk, and out of backups.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::agreement::{PrivateKey, X25519};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::SealKeyError;
use super::periods::{Entry, Period, chained, parse_name};
use crate::keys::hex_32;

/// What a key's file is called after its name.
const EXTENSION: &str = "key";
/// What is left of one that was destroyed.
const DESTROYED: &str = "destroyed";

/// Why the kept keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// A configured key.
    #[error("secrets.seal_private_keys {0}")]
    Configured(#[from] SealKeyError),
    /// A file or the directory cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read the file or write to the directory.
    #[error("{} is open to others: chmod 700 the directory of the sealing keys and 600 its files", .0.display())]
    OpenToOthers(PathBuf),
    /// A file is no key.
    #[error("{} is not a sealing key: id@seconds.key with 64 hexadecimal digits", .0.display())]
    NotAKey(PathBuf),
}

/// A key that is kept in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its id.
    pub id: String,
    /// The beginning of its period, Unix milliseconds.
    pub from_ms: u64,
    /// Its file.
    pub path: PathBuf,
}

/// The keys of a directory, by the beginning of their periods.
///
/// # Errors
/// [`KeptError`]
pub fn list(dir: &Path) -> Result<Vec<Kept>, KeptError> {
    named(dir, EXTENSION)
}

/// What is left of keys that were destroyed here.
///
/// # Errors
/// [`KeptError`]
pub fn destroyed(dir: &Path) -> Result<Vec<Kept>, KeptError> {
    named(dir, DESTROYED)
}

fn named(dir: &Path, wanted: &str) -> Result<Vec<Kept>, KeptError> {
    let failed = |source| KeptError::Io { path: dir.to_owned(), source };
    let mode = fs::metadata(dir).map_err(failed)?.permissions().mode();
    if mode & 0o022 != 0 {
        return Err(KeptError::OpenToOthers(dir.to_owned()));
    }
    let mut keys = Vec::new();
    for file in fs::read_dir(dir).map_err(failed)? {
        let path = file.map_err(failed)?.path();
        if path.extension().is_none_or(|extension| extension != wanted) {
            continue;
        }
        let name = path.file_stem().and_then(|name| name.to_str()).and_then(parse_name);
        let (id, from_ms) = name.ok_or_else(|| KeptError::NotAKey(path.clone()))?;
        keys.push(Kept { id: id.to_owned(), from_ms, path: path.clone() });
    }
    keys.sort_by(|one, other| (one.from_ms, &one.id).cmp(&(other.from_ms, &other.id)));
    Ok(keys)
}

/// When each of these keys seals, as far as the keys tell: the last one has no end.
pub fn periods(keys: &[Kept]) -> Vec<Period> {
    chained(keys.iter().map(|key| (key.id.clone(), key.from_ms)).collect())
}

impl Kept {
    /// Reads it.
    pub(super) fn read(&self) -> Result<Entry, KeptError> {
        let failed = |source| KeptError::Io { path: self.path.clone(), source };
        let mode = fs::metadata(&self.path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeptError::OpenToOthers(self.path.clone()));
        }
        let text = Zeroizing::new(fs::read(&self.path).map_err(failed)?);
        let text = std::str::from_utf8(&text).ok();
        let key = text.and_then(hex_32).ok_or_else(|| KeptError::NotAKey(self.path.clone()))?;
        Ok(Entry { id: self.id.clone(), from_ms: self.from_ms, key })
    }

    /// Overwrites it; only its name is left. A retry is safe.
    ///
    /// # Errors
    /// It may still be there, or be no key any more.
    pub fn destroy(&self) -> Result<(), KeptError> {
        let destroy = || {
            let mut file = OpenOptions::new().write(true).open(&self.path)?;
            let length = file.metadata()?.len();
            file.rewind()?;
            file.write_all(&vec![b'0'; usize::try_from(length).unwrap_or_default().max(64)])?;
            file.sync_all()?;
            file.set_len(0)?;
            file.sync_all()?;
            fs::rename(&self.path, self.path.with_extension(DESTROYED))?;
            sync_dir(&self.path)
        };
        destroy().map_err(|source| KeptError::Io { path: self.path.clone(), source })
    }
}

/// Writes a new key; a file that is there is never overwritten.
///
/// # Errors
/// [`KeptError::Io`]
pub fn write(dir: &Path, id: &str, from_ms: u64, private: &[u8; 32]) -> Result<Kept, KeptError> {
    let path = dir.join(format!("{id}@{}.{EXTENSION}", from_ms / 1_000));
    let write = || {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let text = Zeroizing::new(hex::encode(private));
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        sync_dir(&path)
    };
    write().map_err(|source| KeptError::Io { path: path.clone(), source })?;
    Ok(Kept { id: id.to_owned(), from_ms, path })
}

fn sync_dir(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

/// The ids in a list of private keys, as of `secrets.seal_private_keys`.
///
/// # Errors
/// [`SealKeyError`] says what is wrong with it.
pub fn ids_of(private_keys: &SecretString) -> Result<Vec<String>, SealKeyError> {
    let given = private_keys.expose_secret().split(',').map(str::trim);
    let given = given.filter(|entry| !entry.is_empty());
    given.map(|entry| Ok(super::periods::parse_entry(entry)?.id)).collect()
}

/// The public halves of the keys in a directory, as for `secrets.seal_public_key`.
///
/// # Errors
/// [`KeptError`]
pub fn public_list(dir: &Path) -> Result<String, KeptError> {
    let mut publics = Vec::new();
    for kept in self::list(dir)? {
        let private = PrivateKey::from_private_key(&X25519, &*kept.read()?.key);
        let public = private.and_then(|private| Ok(private.compute_public_key()?));
        let public = public.map_err(|_| KeptError::NotAKey(kept.path.clone()))?;
        publics.push(format!("{}@{}:{}", kept.id, kept.from_ms / 1_000, hex::encode(public)));
    }
    Ok(publics.join(","))
}
