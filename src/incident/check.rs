//! The check of a bundle, offline, with nothing but the public key.
//!
//! The signature is of this key; every file is what the manifest says, none is missing, none is there beside
//! them; the lines of the audit trail chain, the head that came with them is signed; the rows of the log chain.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::bundle::{self, Entry, Manifest};
use crate::audit::head::{self, HeadFields};
use crate::audit::line;
use crate::chain::{self, Link};
use crate::keys::signer::{PublicKey, SIGNATURE_BYTES};
use crate::log::sqlite::excerpt;

/// Longest manifest that is read, in bytes.
const MANIFEST_BYTES_MAX: u64 = 64 * 1_024;
/// Longest file that is read, in bytes: more than any that is made.
const FILE_BYTES_MAX: u64 = 64 * 1_024 * 1_024;
/// Findings that are held.
const FINDINGS_MAX: usize = 100;

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// The manifest, if this key signed it.
    pub manifest: Option<Manifest>,
    /// Lines of the audit trail in it.
    pub audit_lines: u64,
    /// Rows of the log in it.
    pub log_rows: u64,
    /// Whether the signed head follows the trail's last line in it directly.
    pub head_follows: bool,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn found(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

/// Something that is wrong with a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// The signature.
    #[error("the manifest is not signed by this key")]
    NotSigned,
    /// The manifest.
    #[error("the manifest is none that this program knows")]
    NoManifest,
    /// A name in the manifest.
    #[error("the manifest names a file that no report has")]
    Name,
    /// A file of the manifest is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// A file is not what was signed.
    #[error("{0} is not what was signed")]
    Changed(String),
    /// A file that nobody signed.
    #[error("there is a file that is not of the report: {0:?}")]
    Beside(String),
    /// A line of the trail.
    #[error("line {0} of audit.jsonl is not of one unbroken trail")]
    Audit(u64),
    /// The head.
    #[error("the head of the trail is not signed by this key")]
    Head,
    /// A row of the log.
    #[error("line {0} of records.jsonl is not of one unbroken log")]
    Record(u64),
}

/// Checks the bundle in `dir` against the key that must have signed it.
///
/// # Errors
/// The directory or a file cannot be read. What is wrong with the content is in the answer.
pub fn check(dir: &Path, key: &PublicKey) -> io::Result<Checked> {
    let mut checked = Checked::default();
    let Some(manifest) = signed_manifest(dir, key)? else {
        checked.found(Finding::NotSigned);
        return Ok(checked);
    };
    let Some(manifest) = read_manifest(&manifest, key) else {
        checked.found(Finding::NoManifest);
        return Ok(checked);
    };
    for (at, entry) in manifest.files.iter().enumerate() {
        let twice = manifest.files[..at].iter().any(|other| other.name == entry.name);
        if twice || !bundle::NAMES.contains(&entry.name.as_str()) {
            checked.found(Finding::Name);
            continue;
        }
        let Some(content) = read(&dir.join(&entry.name), FILE_BYTES_MAX)? else {
            checked.found(Finding::Missing(entry.name.clone()));
            continue;
        };
        if !is_signed(entry, &content) {
            checked.found(Finding::Changed(entry.name.clone()));
        }
    }
    look_around(dir, &manifest, &mut checked)?;
    if checked.is_sound() {
        look_inside(dir, key, &mut checked)?;
    }
    checked.manifest = Some(manifest);
    Ok(checked)
}

fn signed_manifest(dir: &Path, key: &PublicKey) -> io::Result<Option<Vec<u8>>> {
    let manifest = read(&dir.join(bundle::MANIFEST), MANIFEST_BYTES_MAX)?;
    let signature = read(&dir.join(bundle::SIGNATURE), MANIFEST_BYTES_MAX)?;
    let (Some(manifest), Some(signature)) = (manifest, signature) else { return Ok(None) };
    let mut bytes = [0; SIGNATURE_BYTES];
    // The one form that is written, so that no byte of the file can be another.
    let written = signature.strip_suffix(b"\n");
    let is_hex = written.is_some_and(|text| {
        hex::decode_to_slice(text, &mut bytes).is_ok() && text == hex::encode(bytes).as_bytes()
    });
    let signed = is_hex && key.verifies(bundle::PURPOSE, &[&manifest], &bytes);
    Ok(signed.then_some(manifest))
}

fn read_manifest(bytes: &[u8], key: &PublicKey) -> Option<Manifest> {
    let manifest: Manifest = serde_json::from_slice(bytes).ok()?;
    (manifest.version == bundle::VERSION && manifest.key == key.to_string()).then_some(manifest)
}

fn is_signed(entry: &Entry, content: &[u8]) -> bool {
    entry.bytes == content.len() as u64 && entry.sha256 == bundle::sha256(content)
}

/// A file's content; `None` if it is not there or longer than it can be.
fn read(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut content)?;
    Ok((content.len() as u64 <= bytes_max).then_some(content))
}

/// What lies beside the signed files could be taken for one of them.
fn look_around(dir: &Path, manifest: &Manifest, checked: &mut Checked) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let own = [bundle::MANIFEST, bundle::SIGNATURE].contains(&&*name);
        if !own && !manifest.files.iter().any(|entry| entry.name == name) {
            checked.found(Finding::Beside(name.into_owned()));
        }
    }
    Ok(())
}

/// Holds the records together by their own digests: so they prove more than that the report was signed.
fn look_inside(dir: &Path, key: &PublicKey, checked: &mut Checked) -> io::Result<()> {
    let lines = |name| -> io::Result<Vec<u8>> {
        Ok(read(&dir.join(name), FILE_BYTES_MAX)?.unwrap_or_default())
    };
    let audit = lines(bundle::AUDIT)?;
    let mut end = None;
    for (index, text) in (1..).zip(audit.split(|byte| *byte == b'\n')) {
        if text.is_empty() {
            continue;
        }
        checked.audit_lines += 1;
        let line = line::parse(text).ok().filter(|line| {
            end.is_none_or(|(seq, digest)| line.seq == seq + 1 && line.prev == digest)
        });
        let Some(line) = line else {
            checked.found(Finding::Audit(index));
            return Ok(());
        };
        end = Some((line.seq, line.digest));
    }
    let text = lines(bundle::HEAD)?;
    match line::parse(text.trim_ascii_end()) {
        Ok(head) => {
            let fields = serde_json::from_value::<HeadFields>(head.fields.clone());
            if !fields.is_ok_and(|fields| head::is_signed(&head, &fields, key)) {
                checked.found(Finding::Head);
            }
            checked.head_follows = end == Some((head.seq.wrapping_sub(1), head.prev))
                || end == Some((head.seq, head.digest));
        }
        Err(_) => checked.found(Finding::Head),
    }
    check_rows(&lines(bundle::RECORDS)?, checked);
    Ok(())
}

fn check_rows(text: &[u8], checked: &mut Checked) {
    let mut before = None;
    let mut buffer = Vec::new();
    for (index, text) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        if text.is_empty() {
            continue;
        }
        checked.log_rows += 1;
        match follows(text, before, &mut buffer) {
            Some(end) => before = Some(end),
            None => return checked.found(Finding::Record(index)),
        }
    }
}

/// Offset and digest of a row that follows from the one before; the first one is taken as it is.
fn follows(
    text: &[u8],
    before: Option<(u64, chain::Digest)>,
    buffer: &mut Vec<u8>,
) -> Option<(u64, chain::Digest)> {
    let row: excerpt::Row = serde_json::from_slice(text).ok()?;
    let digest = line::digest_of(&row.digest)?;
    if let Some((offset, before)) = before {
        let link = Link {
            offset: row.offset,
            log_time_ms: row.log_time_ms,
            product: &row.product,
            record: row.record.as_bytes(),
            outcome: &row.outcome,
        };
        let fits = row.offset == offset + 1 && chain::next(&before, &link, buffer) == digest;
        fits.then_some(())?;
    }
    Some((row.offset, digest))
}

#[cfg(test)]
mod tests;
