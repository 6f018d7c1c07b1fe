//! Secrets that were made because nobody configured any: one file each in the data directory.
//!
//! Invariants: a directory that others may write to is refused (one that is made is 0700), and so is a file that
//! is not 0600; a file appears whole and synced or not at all, and is never overwritten, since the order key and
//! the buyer key stay for the life of a sale. A backup of the store without these files is not complete.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::SECRET_BYTES;

/// Fills a buffer with random bytes of cryptographic quality, or says why it cannot.
pub type Fill<'a> = &'a dyn Fn(&mut [u8]) -> Result<(), RandomnessFailed>;

/// The machine's source of randomness failed. A retry may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the machine's source of randomness failed")]
pub struct RandomnessFailed;

/// A secret that is kept in the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredSecret {
    /// `secrets.order_key`.
    OrderKey,
    /// `secrets.buyer_key`.
    BuyerKey,
    /// `secrets.pass_keys`.
    PassKeys,
    /// `admin.token`.
    AdminToken,
    /// `secrets.audit_key`.
    AuditKey,
    /// `secrets.receipt_key`.
    ReceiptKey,
}

impl StoredSecret {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::OrderKey,
        Self::BuyerKey,
        Self::PassKeys,
        Self::AdminToken,
        Self::AuditKey,
        Self::ReceiptKey,
    ];

    /// The name of its file.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::OrderKey => "order_key",
            Self::BuyerKey => "buyer_key",
            Self::PassKeys => "pass_keys",
            Self::AdminToken => "admin_token",
            Self::AuditKey => "audit_key",
            Self::ReceiptKey => "receipt_key",
        }
    }

    /// Where it is in a data directory.
    pub fn path(self, data_dir: &Path) -> PathBuf {
        data_dir.join(self.file_name())
    }

    /// A new value: 32 random bytes in hex, for pass keys with the id `1`.
    ///
    /// # Errors
    /// If the randomness fails.
    pub fn generate(self, fill: Fill<'_>) -> Result<SecretString, RandomnessFailed> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        fill(bytes.as_mut_slice())?;
        let text = hex::encode(bytes.as_slice());
        Ok(match self {
            Self::PassKeys => format!("1:{text}"),
            _ => text,
        }
        .into())
    }
}

/// Why a stored secret cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// A file or the directory cannot be read or written; a retry may help once that is mended.
    #[error("{}; {}", self.what(), self.mend())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Others may read the file or enter the directory.
    #[error("{}; {}", self.what(), self.mend())]
    OpenToOthers {
        /// The file or directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode that it should have.
        wanted: u32,
    },
    /// The file holds no secret: it is empty or no text.
    #[error("{}; {}", self.what(), self.mend())]
    Damaged(PathBuf),
    /// No randomness for a new secret.
    #[error(transparent)]
    Randomness(#[from] RandomnessFailed),
}

impl StoredError {
    /// What is wrong, without what to do.
    pub fn what(&self) -> String {
        match self {
            Self::Io { path, source } => format!("{}: {source}", path.display()),
            Self::OpenToOthers { path, mode, .. } => {
                format!("{} is open to others (mode {mode:04o})", path.display())
            }
            Self::Damaged(path) => format!("{} holds no secret", path.display()),
            Self::Randomness(error) => error.to_string(),
        }
    }

    /// What to do.
    pub fn mend(&self) -> String {
        match self {
            Self::Io { path, .. } => {
                format!("let the server's user read and write {}", path.display())
            }
            Self::OpenToOthers { path, wanted, .. } => {
                let path = path.display();
                format!(
                    "`chmod {wanted:o} {path}`, and replace the secret if others may have seen it"
                )
            }
            Self::Damaged(path) => format!("restore {} from a backup", path.display()),
            Self::Randomness(_) => "try again".to_owned(),
        }
    }
}

/// The places of a configuration that are filled where they are empty.
#[derive(Debug)]
pub struct Slots<'a> {
    /// `secrets.order_key`.
    pub order_key: &'a mut Option<SecretString>,
    /// `secrets.buyer_key`.
    pub buyer_key: &'a mut Option<SecretString>,
    /// `secrets.pass_keys`.
    pub pass_keys: &'a mut Option<SecretString>,
    /// `admin.token`.
    pub admin_token: &'a mut Option<SecretString>,
}

/// A secret that was taken from the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Which.
    pub secret: StoredSecret,
    /// Its file.
    pub path: PathBuf,
    /// Whether it was made just now.
    pub made: bool,
}

/// Fills the empty slots from `data_dir`, making what is not there. Says what was taken, so that the
/// operator can be told where it is. Nothing is touched if no slot is empty.
///
/// # Errors
/// As [`StoredError`]. Secrets that were made before the failure stay and are used the next time.
pub fn complete(
    data_dir: &Path,
    slots: Slots<'_>,
    fill: Fill<'_>,
) -> Result<Vec<Taken>, StoredError> {
    let mut taken = Vec::new();
    let slots = [
        (StoredSecret::OrderKey, slots.order_key),
        (StoredSecret::BuyerKey, slots.buyer_key),
        (StoredSecret::PassKeys, slots.pass_keys),
        (StoredSecret::AdminToken, slots.admin_token),
    ];
    for (secret, slot) in slots {
        if slot.is_none() {
            let (value, made) = read_or_make(data_dir, secret, fill)?;
            *slot = Some(value);
            taken.push(Taken { secret, path: secret.path(data_dir), made });
        }
    }
    Ok(taken)
}

/// Reads a stored secret; `None` if it is not there.
///
/// # Errors
/// If it cannot be read, is open to others or is damaged.
pub fn read(data_dir: &Path, secret: StoredSecret) -> Result<Option<SecretString>, StoredError> {
    let path = secret.path(data_dir);
    let mode = match fs::metadata(&path) {
        Ok(metadata) => metadata.permissions().mode() & 0o7777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoredError::Io { path, source }),
    };
    if mode & 0o077 != 0 {
        return Err(StoredError::OpenToOthers { path, mode, wanted: 0o600 });
    }
    let text = match fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(StoredError::Damaged(path));
        }
        Err(source) => return Err(StoredError::Io { path, source }),
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err(StoredError::Damaged(path)) } else { Ok(Some(text.into())) }
}

/// Makes the data directory where it is not there, for its owner alone; refuses one that others may enter
/// and write to.
///
/// # Errors
/// If it cannot be made, or is open to others.
pub fn prepare_directory(data_dir: &Path) -> Result<(), StoredError> {
    let failed = |source| StoredError::Io { path: data_dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(failed)?;
    let mode = fs::metadata(data_dir).map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o022 != 0 {
        // Whoever may write here may swap the secrets.
        return Err(StoredError::OpenToOthers { path: data_dir.to_owned(), mode, wanted: 0o700 });
    }
    Ok(())
}

/// Reads a stored secret, making it if it is not there; says whether it was made.
///
/// # Errors
/// As [`StoredError`].
pub fn read_or_make(
    data_dir: &Path,
    secret: StoredSecret,
    fill: Fill<'_>,
) -> Result<(SecretString, bool), StoredError> {
    prepare_directory(data_dir)?;
    if let Some(value) = read(data_dir, secret)? {
        return Ok((value, false));
    }
    let value = secret.generate(fill)?;
    let path = secret.path(data_dir);
    match write_once(data_dir, &path, &value, fill) {
        Ok(()) => Ok((value, true)),
        Err(StoredError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
            // Another process was faster: its secret is the one.
            let theirs = read(data_dir, secret)?.ok_or(StoredError::Damaged(path))?;
            Ok((theirs, false))
        }
        Err(error) => Err(error),
    }
}

/// Writes a file beside its place, syncs it and links it there. A link, unlike a rename, never replaces a
/// secret that another process has put there meanwhile.
fn write_once(
    data_dir: &Path,
    path: &Path,
    value: &SecretString,
    fill: Fill<'_>,
) -> Result<(), StoredError> {
    use secrecy::ExposeSecret;
    let mut random = [0; 8];
    fill(&mut random)?;
    let draft = path.with_extension(format!("{}.new", hex::encode(random)));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(value.expose_secret().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::hard_link(&draft, path)
    })();
    let removed = fs::remove_file(&draft);
    written
        .and(removed)
        .and_then(|()| File::open(data_dir)?.sync_all())
        .map_err(|source| StoredError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use std::cell::Cell;

    use super::*;

    fn counting(counter: &Cell<u8>) -> impl Fn(&mut [u8]) -> Result<(), RandomnessFailed> {
        |bytes| {
            counter.set(counter.get() + 1);
            bytes.fill(counter.get());
            Ok(())
        }
    }

    fn complete_all(dir: &Path, fill: Fill<'_>) -> Result<([String; 4], Vec<Taken>), StoredError> {
        let mut all = [None, None, None, None];
        let [order_key, buyer_key, pass_keys, admin_token] = &mut all;
        let slots = Slots { order_key, buyer_key, pass_keys, admin_token };
        let taken = complete(dir, slots, fill)?;
        Ok((all.map(|slot| slot.unwrap().expose_secret().to_owned()), taken))
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn secrets_are_made_once_for_the_owner_alone_and_used_again() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("a/data");
        let counter = Cell::new(0);
        let (first, taken) = complete_all(&dir, &counting(&counter)).unwrap();
        assert!(taken.iter().all(|taken| taken.made) && taken.len() == 4);
        assert_eq!(mode(&dir), 0o700);
        assert!(taken.iter().all(|taken| mode(&taken.path) == 0o600));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 4, "no drafts are left");
        assert!(first[0].len() == 64 && first[0] != first[1]);
        assert!(first[2].starts_with("1:") && first[2].len() == 66);

        let (again, taken) = complete_all(&dir, &|_| Err(RandomnessFailed)).unwrap();
        assert_eq!(again, first);
        assert!(taken.iter().all(|taken| !taken.made));
    }

    #[test]
    fn a_configured_secret_is_kept_and_touches_no_file() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("data");
        let mut all = [0; 4].map(|_| Some(SecretString::from("configured")));
        let [order_key, buyer_key, pass_keys, admin_token] = &mut all;
        let slots = Slots { order_key, buyer_key, pass_keys, admin_token };
        assert_eq!(complete(&dir, slots, &|_| Err(RandomnessFailed)).unwrap(), []);
        assert!(!dir.exists());
    }

    #[test]
    fn a_file_or_directory_that_is_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = StoredSecret::AdminToken.path(dir.path());
        fs::write(&path, "secret\n").unwrap();
        for open in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
            let error = read(dir.path(), StoredSecret::AdminToken).unwrap_err().to_string();
            assert!(error.contains("chmod 600") && !error.contains("secret\n"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let value = read(dir.path(), StoredSecret::AdminToken).unwrap().unwrap();
        assert_eq!(value.expose_secret(), "secret");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();
        let error = complete_all(dir.path(), &|_| Err(RandomnessFailed)).unwrap_err();
        assert!(matches!(error, StoredError::OpenToOthers { wanted: 0o700, .. }), "{error}");
    }

    #[test]
    fn a_damaged_file_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = StoredSecret::OrderKey.path(dir.path());
        for damaged in [&b""[..], b"\n", b"\xff\xfe"] {
            fs::write(&path, damaged).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let counter = Cell::new(0);
            let error = complete_all(dir.path(), &counting(&counter)).unwrap_err();
            assert!(matches!(error, StoredError::Damaged(_)), "{error}");
            assert_eq!(fs::read(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn the_faster_process_wins_and_both_use_its_secret() {
        let dir = tempfile::tempdir().unwrap();
        let secret = StoredSecret::OrderKey;
        // The other process puts its secret there while this one makes its own.
        let racing = |bytes: &mut [u8]| {
            let path = secret.path(dir.path());
            fs::write(&path, "theirs\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            bytes.fill(7);
            Ok(())
        };
        let (value, made) = read_or_make(dir.path(), secret, &racing).unwrap();
        assert_eq!((value.expose_secret(), made), ("theirs", false));
    }

    #[test]
    fn no_randomness_makes_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let error = complete_all(dir.path(), &|_| Err(RandomnessFailed)).unwrap_err();
        assert!(matches!(error, StoredError::Randomness(_)));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
