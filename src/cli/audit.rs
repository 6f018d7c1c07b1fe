//! `audit`: checks of the log at rest.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{Common, Exit, Failure, Machine};
use crate::log::sqlite::verify::{Verify, verify};

/// Check the digest chain of the log.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  flux-gate audit verify --data /var/lib/flux-gate")]
pub(super) struct Audit {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(clap::Subcommand)]
enum AuditCommand {
    /// Read the whole log and check digests, outcomes and subjects; works beside a running server.
    Verify {
        /// An offset and digest that an earlier run printed, kept elsewhere; may be given several times.
        #[arg(long, value_name = "OFFSET:DIGEST", value_parser = parse_known)]
        known: Vec<(u64, String)>,
    },
}

fn parse_known(text: &str) -> Result<(u64, String), String> {
    let (offset, digest) = text.split_once(':').ok_or("write it as OFFSET:DIGEST")?;
    let offset = offset.parse().map_err(|_| "the offset must be a number")?;
    Ok((offset, digest.to_owned()))
}

impl Audit {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        let AuditCommand::Verify { known } = self.command;
        let loaded = common.load(machine, Vec::new())?;
        run_verify(&loaded.config.data.dir, Verify { known }, machine)
    }
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
