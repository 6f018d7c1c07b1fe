//! The audit trail at rest: its check, its last head, its export.

use std::io;
use std::path::Path;

use super::audit_signer;
use crate::audit::read::{self, Wanted};
use crate::audit::{DIRECTORY, Kind, verify as trail};
use crate::cli::when::When;
use crate::cli::{Exit, Failure, Machine, tell};
use crate::config::Config;
use crate::keys::signer::PublicKey;

/// What a check came to.
pub(super) struct Checked {
    pub exit: Exit,
    /// What the trail's heads say of the embedded log: offsets and digests.
    pub log: Vec<(u64, String)>,
}

/// Checks the trail of the data directory.
pub(super) fn verify(
    config: &Config,
    mut keys: Vec<PublicKey>,
    heads: &[String],
    machine: &mut Machine<'_>,
) -> Result<Checked, Failure> {
    let dir = config.data.dir.join(DIRECTORY);
    if !dir.is_dir() && heads.is_empty() && keys.is_empty() {
        writeln!(machine.out, "audit trail: there is none")?;
        return Ok(Checked { exit: Exit::Done, log: Vec::new() });
    }
    if keys.is_empty() {
        let signer = audit_signer(config)?.ok_or_else(|| {
            Failure::new("no key to check the trail's signatures with: give --key HEX")
        })?;
        keys.push(signer.public().clone());
    }
    let heads = heads.iter().map(|head| text_of(head)).collect::<Result<Vec<_>, _>>()?;
    let report = trail::verify(&dir, &keys, &heads)?;
    for finding in &report.findings {
        writeln!(machine.out, "{finding}")?;
    }
    let unlisted = report.findings_count - report.findings.len() as u64;
    if unlisted > 0 {
        writeln!(machine.out, "… and {unlisted} more")?;
    }
    if report.older_heads > 0 {
        let count = report.older_heads;
        writeln!(machine.out, "{count} of the heads are older than what is kept of the trail")?;
    }
    writeln!(
        machine.out,
        "audit trail {}: lines {} to {}, digest {}, {} signed heads, {} lines after the last",
        if report.is_sound() { "sound" } else { "NOT SOUND" },
        report.first_seq,
        report.last_seq,
        report.last_digest,
        report.heads,
        report.unsigned_lines,
    )?;
    let exit = if report.is_sound() { Exit::Done } else { Exit::Failed };
    let log = report.log.into_iter().map(|head| (head.offset, head.digest)).collect();
    Ok(Checked { exit, log })
}

/// A head as it was given: its text, or the file that holds it.
fn text_of(head: &str) -> Result<String, Failure> {
    if head.trim_start().starts_with('{') {
        return Ok(head.to_owned());
    }
    let text = std::fs::read_to_string(Path::new(head));
    text.map_err(|error| Failure::new(format!("{head}: {error}")))
}

/// Prints the last head.
pub(super) fn head(config: &Config, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
    let wanted = Wanted { kind: Some(Kind::Head.word().to_owned()), ..Wanted::default() };
    let mut last = None;
    read::all(&config.data.dir.join(DIRECTORY), &wanted, &mut |line| {
        last = Some(line.to_owned());
        Ok(())
    })?;
    match last {
        Some(line) => {
            writeln!(machine.out, "{line}")?;
            Ok(Exit::Done)
        }
        None => Err(Failure::new("the trail has no signed head yet")),
    }
}

/// Print the trail as JSON lines.
#[derive(clap::Args)]
pub(super) struct Export {
    /// Not before this time.
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// Events of this kind alone, such as operator_action.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<String>,
}

fn kind(text: &str) -> Result<String, String> {
    match Kind::of(text) {
        Some(kind) => Ok(kind.word().to_owned()),
        None => {
            let words: Vec<_> = Kind::words().collect();
            Err(format!("use one of {}", words.join(", ")))
        }
    }
}

impl Export {
    pub(super) fn run(self, config: &Config, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
        let now_ms = machine.clock.unix_ms();
        let wanted = Wanted {
            after: 0,
            kind: self.kind,
            since_ms: self.since.map(|when| when.unix_ms(now_ms)),
            until_ms: self.until.map(|when| when.unix_ms(now_ms)),
        };
        let dir = config.data.dir.join(DIRECTORY);
        let out = &mut machine.out;
        let bad_lines =
            read::all(&dir, &wanted, &mut |line| -> io::Result<()> { writeln!(out, "{line}") })?;
        if bad_lines > 0 {
            tell(&format!("{bad_lines} lines are not what was written; see `audit verify`"));
            return Ok(Exit::Failed);
        }
        Ok(Exit::Done)
    }
}
