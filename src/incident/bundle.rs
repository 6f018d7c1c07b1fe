//! The signed bundle: its files, the manifest that has the digest of each, and the signature over that.
//!
//! The manifest is signed byte for byte as it stands, so it needs no canonical form. The names of files are a
//! closed list: a bundle that comes over a network can never name a path.

use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::chain;
use crate::keys::signer::Signer;

/// What the signature is for.
pub const PURPOSE: &str = "flux-gate incident report 1";
/// The version of the manifest.
pub const VERSION: u32 = 1;
/// The manifest's file.
pub const MANIFEST: &str = "manifest.json";
/// The signature's file: hex and a line feed.
pub const SIGNATURE: &str = "manifest.sig";

/// For people.
pub const MARKDOWN: &str = "report.md";
/// For machines.
pub const JSON: &str = "report.json";
/// The operators' actions, for spreadsheets.
pub const ACTIONS: &str = "actions.csv";
/// The orders of the span, a line of JSON each.
pub const ORDERS: &str = "orders.jsonl";
/// The lines of the audit trail of the span, as they stand.
pub const AUDIT: &str = "audit.jsonl";
/// A signed head of the audit trail, made with the report.
pub const HEAD: &str = "head.json";
/// The rows of an embedded log of the span.
pub const RECORDS: &str = "records.jsonl";
/// Every file that a bundle may have.
pub const NAMES: [&str; 7] = [MARKDOWN, JSON, ACTIONS, ORDERS, AUDIT, HEAD, RECORDS];

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Manifest {
    /// [`VERSION`].
    pub version: u32,
    /// When the report was made, Unix milliseconds.
    pub made_at: u64,
    /// The span's begin, Unix milliseconds.
    pub since: u64,
    /// Its end.
    pub until: u64,
    /// Of which product; of all if absent.
    pub product: Option<String>,
    /// The public key, hex.
    pub key: String,
    /// The files.
    pub files: Vec<Entry>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name, of [`NAMES`].
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Of its content, hex.
    pub sha256: String,
}

/// What the report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// From then on, Unix milliseconds.
    pub since_ms: u64,
    /// Before then.
    pub until_ms: u64,
    /// Of this product alone.
    pub product: Option<crate::sale::ProductId>,
}

/// A bundle, as it goes over the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// [`MARKDOWN`].
    pub markdown: String,
    /// [`JSON`].
    pub json: String,
    /// [`ACTIONS`].
    pub actions: String,
    /// [`ORDERS`].
    pub orders: String,
    /// [`AUDIT`].
    pub audit: String,
    /// [`HEAD`].
    pub head: String,
    /// [`RECORDS`]; only of an embedded log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<String>,
    /// [`MANIFEST`].
    pub manifest: String,
    /// Hex.
    pub signature: String,
}

impl Bundle {
    /// The files and their texts.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self { markdown, json, actions, orders, audit, head, records, .. } = self;
        let all = [
            (MARKDOWN, Some(markdown)),
            (JSON, Some(json)),
            (ACTIONS, Some(actions)),
            (ORDERS, Some(orders)),
            (AUDIT, Some(audit)),
            (HEAD, Some(head)),
            (RECORDS, records.as_ref()),
        ];
        all.into_iter().filter_map(|(name, text)| Some((name, text?.as_str())))
    }

    /// Writes the manifest of what the bundle holds, and signs it.
    pub fn sign(&mut self, span: &Span, made_at_ms: u64, signer: &Signer) {
        let files = self.files().map(|(name, text)| Entry {
            name: name.to_owned(),
            bytes: text.len() as u64,
            sha256: sha256(text.as_bytes()),
        });
        let manifest = Manifest {
            version: VERSION,
            made_at: made_at_ms,
            since: span.since_ms,
            until: span.until_ms,
            product: span.product.map(|product| product.to_string()),
            key: signer.public().to_string(),
            files: files.collect(),
        };
        let text = serde_json::to_string_pretty(&manifest).unwrap_or_default() + "\n";
        self.signature = hex::encode(signer.sign(PURPOSE, &[text.as_bytes()]));
        self.manifest = text;
    }

    /// Writes the files into a directory that is made now, readable by its owner alone.
    ///
    /// # Errors
    /// It is there already, or cannot be written.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir)?;
        let signature = format!("{}\n", self.signature);
        let own = [(MANIFEST, self.manifest.as_str()), (SIGNATURE, signature.as_str())];
        for (name, text) in self.files().chain(own) {
            let mut file = std::fs::File::create_new(dir.join(name))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
        }
        Ok(())
    }
}

/// The digest of a file, hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(chain::sha256(bytes))
}
