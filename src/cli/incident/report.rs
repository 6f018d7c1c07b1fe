//! `incident report`: writes a signed report, or checks one offline.

use std::path::{Path, PathBuf};

use http::Method;

use super::orders::past_or_future;
use crate::cli::operator::{Call, Listener, clean};
use crate::cli::when::rfc3339;
use crate::cli::{Common, Exit, Failure, Machine};
use crate::incident::bundle::{Bundle, Manifest};
use crate::incident::check::{Checked, check};
use crate::keys::signer::PublicKey;
use crate::sale::ProductId;

/// Write a signed report of a span of time, or check one.
///
/// The report is made by the node that is asked, from its own audit trail. People are in it as pseudonyms alone.
/// The check needs no server: the key is the one that `/.well-known/flux-gate-keys.json` shows as `audit`; note it
/// while all is well.
#[derive(clap::Args)]
pub(super) struct Report {
    /// The directory to make and write into.
    #[arg(long, value_name = "DIR", required_unless_present = "check", conflicts_with = "check")]
    out: Option<PathBuf>,
    /// From when on: so long ago (-1h), RFC 3339 or Unix milliseconds [default: an hour before the end].
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true, conflicts_with = "check")]
    since: Option<String>,
    /// Before when [default: now].
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true, conflicts_with = "check")]
    until: Option<String>,
    /// Of this product alone.
    #[arg(long, value_name = "PRODUCT", conflicts_with = "check")]
    product: Option<ProductId>,
    /// A report to check.
    #[arg(long, value_name = "DIR", requires = "key")]
    check: Option<PathBuf>,
    /// The public key that it must be signed by, 64 hex digits.
    #[arg(long, value_name = "HEX")]
    key: Option<PublicKey>,
}

impl Report {
    pub(super) fn run(
        self,
        listener: &Listener,
        machine: &mut Machine<'_>,
        common: &Common,
    ) -> Result<Exit, Failure> {
        match (&self.out, &self.check, &self.key) {
            (_, Some(dir), Some(key)) => told(dir, key, machine),
            (Some(dir), ..) => self.write(dir, listener, machine, common),
            _ => Err(Failure::new("give --out, or --check with --key")),
        }
    }

    fn write(
        &self,
        dir: &Path,
        listener: &Listener,
        machine: &mut Machine<'_>,
        common: &Common,
    ) -> Result<Exit, Failure> {
        let now_ms = machine.clock.unix_ms();
        let mut pairs = Vec::new();
        for (name, given) in [("since", &self.since), ("until", &self.until)] {
            if let Some(text) = given {
                pairs.push((name, past_or_future(text, now_ms)?.to_string()));
            }
        }
        pairs.extend(self.product.map(|product| ("product", product.to_string())));
        let query = serde_urlencoded::to_string(&pairs)?;
        let path = format!("/admin/incident/report?{query}");
        let call = Call { method: Method::GET, path, body: None };
        let reply = listener.send(machine, common, &call)?;
        let bundle: Bundle = serde_json::from_slice(&reply.body)
            .map_err(|error| Failure::new(format!("the reply is no report: {error}")))?;
        let manifest: Manifest = serde_json::from_str(&bundle.manifest)
            .map_err(|error| Failure::new(format!("the reply is no report: {error}")))?;
        let key: PublicKey = match &self.key {
            Some(key) => key.clone(),
            None => manifest.key.parse()?,
        };
        bundle.write(dir).map_err(|error| Failure::new(format!("{}: {error}", dir.display())))?;
        let exit = told(dir, &key, machine)?;
        if self.key.is_none() {
            writeln!(machine.out, "compare the key with the one that you noted")?;
        }
        Ok(exit)
    }
}

/// Checks a report and tells what was found.
fn told(dir: &Path, key: &PublicKey, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
    let checked =
        check(dir, key).map_err(|error| Failure::new(format!("{}: {error}", dir.display())))?;
    for finding in &checked.findings {
        writeln!(machine.out, "{}", clean(&finding.to_string()))?;
    }
    let sound = checked.is_sound();
    let word = if sound { "sound" } else { "NOT SOUND" };
    let Checked { manifest, audit_lines, log_rows, head_follows, .. } = &checked;
    writeln!(machine.out, "report {word}: {}", clean(&dir.display().to_string()))?;
    if let Some(manifest) = manifest {
        let product = manifest.product.as_deref().unwrap_or("all products");
        let [since, until, made_at] =
            [manifest.since, manifest.until, manifest.made_at].map(rfc3339);
        writeln!(
            machine.out,
            "  of {}, from {since} to {until}, made at {made_at}\n  \
             {} files, {audit_lines} lines of the audit trail{}, {log_rows} rows of the log\n  \
             signed by {key}",
            clean(product),
            manifest.files.len(),
            if *head_follows { " up to the signed head" } else { "" },
        )?;
    }
    Ok(if sound { Exit::Done } else { Exit::Failed })
}
