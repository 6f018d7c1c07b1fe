//! `audit`: checks of the log and of the audit trail at rest, the trail itself, receipts and proofs.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{Common, Exit, Failure, Machine};
use crate::config::Config;
use crate::keys::signer::{PublicKey, Signer};
use crate::keys::stored::{self, StoredSecret};
use crate::log::sqlite::verify::{Verify, verify};
use crate::receipt::Receipt;

mod proof;
mod trail;

/// Check the log and the audit trail, read the trail, check receipts, prove a sale.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate audit verify --data /var/lib/flux-gate
  flux-gate audit head --data /var/lib/flux-gate > head.json     # keep it on another machine
  flux-gate audit verify --head head.json
  flux-gate audit export --since 2026-12-01T09:00:00Z --kind operator_action
  flux-gate audit receipt ATR1D5i9… --key 8a88e3dd…
  flux-gate audit proof --product iphone-15 > proof.json
  flux-gate audit proof --check proof.json --key 8a88e3dd… --receipt ATR1D5i9…")]
pub(super) struct Audit {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(clap::Subcommand)]
enum AuditCommand {
    /// Read the whole log and the whole audit trail, and check digests, signatures, outcomes and subjects;
    /// works beside a running server.
    Verify {
        /// An offset and digest of the log that an earlier run printed, kept elsewhere; may be given several
        /// times.
        #[arg(long, value_name = "OFFSET:DIGEST", value_parser = parse_known)]
        known: Vec<(u64, String)>,
        /// A head of the trail that was kept elsewhere: a file, or its text; may be given several times.
        #[arg(long, value_name = "FILE|TEXT")]
        head: Vec<String>,
        /// The public key that signs the trail (64 hex digits), kept elsewhere; may be given several times.
        #[arg(long, value_name = "HEX")]
        key: Vec<PublicKey>,
    },
    /// Print the last signed head of the trail. A running server signs one every minute, and at
    /// `GET /admin/audit/head` at once.
    Head,
    /// Print the trail as JSON lines in printable ASCII.
    Export(trail::Export),
    /// Check a receipt against the key that the shop publishes at /.well-known/flux-gate-keys.json.
    Receipt {
        /// The receipt.
        receipt: Receipt,
        /// The public key, 64 hex digits.
        #[arg(long, value_name = "HEX")]
        key: PublicKey,
    },
    /// State, signed, how many were sold of how many, without naming anyone; or check such a statement.
    Proof(Box<proof::Proof>),
}

fn parse_known(text: &str) -> Result<(u64, String), String> {
    let (offset, digest) = text.split_once(':').ok_or("write it as OFFSET:DIGEST")?;
    let offset = offset.parse().map_err(|_| "the offset must be a number")?;
    Ok((offset, digest.to_owned()))
}

impl Audit {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        match self.command {
            AuditCommand::Receipt { receipt, key } => check_receipt(&receipt, &key, machine),
            AuditCommand::Proof(proof) => proof.run(machine, common),
            AuditCommand::Verify { mut known, head, key } => {
                let config = common.load(machine, Vec::new())?.config;
                let trail = trail::verify(&config, key, &head, machine)?;
                if config.is_distributed() {
                    // The log is Kafka's; nodes and workers compare its digests while they run.
                    return Ok(trail.exit);
                }
                known.extend(trail.log);
                let log = run_verify(&config.data.dir, Verify { known }, machine)?;
                Ok(if log == Exit::Done { trail.exit } else { log })
            }
            AuditCommand::Head => {
                let config = common.load(machine, Vec::new())?.config;
                trail::head(&config, machine)
            }
            AuditCommand::Export(export) => {
                let config = common.load(machine, Vec::new())?.config;
                export.run(&config, machine)
            }
        }
    }
}

fn check_receipt(
    receipt: &Receipt,
    key: &PublicKey,
    machine: &mut Machine<'_>,
) -> Result<Exit, Failure> {
    if !receipt.is_signed_by(key) {
        writeln!(machine.out, "NOT VALID: this key did not sign this receipt")?;
        return Ok(Exit::Failed);
    }
    let claim = &receipt.claim;
    writeln!(
        machine.out,
        "valid: order {} of {}, offset {}, at {}, digest of the log {}",
        claim.order_id,
        claim.product,
        claim.offset,
        crate::cli::when::rfc3339(claim.log_time_ms),
        hex::encode(claim.digest),
    )?;
    Ok(Exit::Done)
}

/// The key that signs the trail and proofs: the configured one, or the one of the data directory.
fn audit_signer(config: &Config) -> Result<Option<Signer>, Failure> {
    let seed = match &config.secrets.audit_key {
        Some(seed) => Some(seed.clone()),
        None => stored::read(&config.data.dir, StoredSecret::AuditKey)?,
    };
    let signer = seed.map(|seed| Signer::from_seed(&seed)).transpose();
    signer.map_err(|error| Failure::new(format!("secrets.audit_key {error}")))
}

fn run_verify(
    data_dir: &Path,
    against: Verify,
    machine: &mut Machine<'_>,
) -> Result<Exit, Failure> {
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "{wide_bar} {human_pos} of {human_len} records, {eta} left",
    )?);
    let report = verify(data_dir, &against, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    for finding in &report.findings {
        writeln!(machine.out, "{finding}")?;
    }
    let unlisted = report.findings_count - report.findings.len() as u64;
    if unlisted > 0 {
        writeln!(machine.out, "… and {unlisted} more")?;
    }
    writeln!(
        machine.out,
        "{}: {} records, the last at offset {}, digest {}",
        if report.is_sound() { "sound" } else { "NOT SOUND" },
        report.rows,
        report.last_offset,
        report.last_digest,
    )?;
    Ok(if report.is_sound() { Exit::Done } else { Exit::Failed })
}
