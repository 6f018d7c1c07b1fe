//! `doctor`: looks at what the server needs and says of each whether it is well, and how to mend it.
//!
//! It changes nothing but for a file of its own in the data directory, which it removes.

use std::io::{self, Write};

use serde::Serialize;

use crate::cli::{Common, Exit, Failure, Machine};
use crate::config::load::Loaded;
use crate::config::problem::{Origin, Problem};

mod encryption;
mod machine;
mod ports;
mod secrets;
mod store;
#[cfg(feature = "distributed")]
mod stores;
mod tls;

/// Check configuration, data directory, clock, limits, ports and secrets, and say how to mend each.
///
/// Exit code 1 if anything fails. Warnings do not count.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate doctor
  flux-gate doctor --worker --config /etc/flux-gate-worker.toml
  flux-gate doctor --config /etc/flux-gate.toml --data /var/lib/flux-gate --json")]
pub(super) struct Doctor {
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
    /// Look at the stores of many nodes with the needs of a worker, not of a node.
    #[arg(long)]
    worker: bool,
}

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Ok,
    Warn,
    Fail,
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at.
    check: &'static str,
    /// How well it is.
    health: Health,
    /// What was found.
    found: String,
    /// What to do, unless it is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, health: Health::Ok, found: found.into(), mend: None }
    }

    fn warn(check: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, health: Health::Warn, found: found.into(), mend: Some(mend.into()) }
    }

    fn fail(check: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, health: Health::Fail, found: found.into(), mend: Some(mend.into()) }
    }
}

impl Doctor {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        let findings = examine(machine, common, self.worker);
        if self.json {
            writeln!(machine.out, "{}", serde_json::to_string_pretty(&findings)?)?;
        } else {
            print(machine.out, &findings)?;
        }
        let failed = findings.iter().any(|finding| finding.health == Health::Fail);
        Ok(if failed { Exit::Failed } else { Exit::Done })
    }
}

fn examine(machine: &Machine<'_>, common: &Common, worker: bool) -> Vec<Finding> {
    let loaded = match common.load(machine, Vec::new()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let mut findings: Vec<_> = problems.0.iter().map(of_problem).collect();
            let mend = "mend the configuration first";
            findings.push(Finding::warn("others", "were not looked at", mend));
            return findings;
        }
    };
    let config = &loaded.config;
    let mut findings = configuration(&loaded);
    findings.extend(store::examine(&config.data.dir, machine));
    findings.extend(encryption::examine(&config.data.dir));
    findings.extend(secrets::examine(&loaded));
    findings.extend(tls::examine(config, machine.clock.unix_ms()));
    findings.extend(machine::examine(config, machine));
    findings.extend(ports::examine(config));
    #[cfg(feature = "distributed")]
    findings.extend(stores::examine(config, worker));
    // The embedded store has no workers.
    #[cfg(not(feature = "distributed"))]
    let _ = worker;
    findings
}

fn configuration(loaded: &Loaded) -> Vec<Finding> {
    const CHECK: &str = "configuration";
    let refused =
        loaded.refuse_missing_parts().err().map(|problems| problems.0).unwrap_or_default();
    let mut findings: Vec<_> = refused.iter().map(of_problem).collect();
    findings.extend(
        loaded
            .warnings
            .iter()
            .map(|p| Finding::warn(CHECK, format!("{}: {}", p.key, p.what), &p.mend)),
    );
    if findings.is_empty() {
        let set = match loaded.origins.len() {
            0 => "all defaults".to_owned(),
            1 => "1 key is set".to_owned(),
            many => format!("{many} keys are set"),
        };
        findings.push(Finding::ok(CHECK, format!("valid; {set}")));
    }
    findings
}

fn of_problem(problem: &Problem) -> Finding {
    let found = match &problem.origin {
        Origin::Default => format!("{}: {}", problem.key, problem.what),
        origin => format!("{origin}: {}: {}", problem.key, problem.what),
    };
    Finding::fail("configuration", found, &problem.mend)
}

fn print(out: &mut dyn Write, findings: &[Finding]) -> io::Result<()> {
    for Finding { check, health, found, mend } in findings {
        let health = match health {
            Health::Ok => "ok  ",
            Health::Warn => "warn",
            Health::Fail => "FAIL",
        };
        writeln!(out, "{health}  {check:14} {found}")?;
        if let Some(mend) = mend {
            writeln!(out, "{:20} → {mend}", "")?;
        }
    }
    let count = |wanted| findings.iter().filter(|finding| finding.health == wanted).count();
    let (failed, warned) = (count(Health::Fail), count(Health::Warn));
    writeln!(out, "{} checks: {failed} failed, {warned} to look at", findings.len())
}

#[cfg(test)]
mod tests;
