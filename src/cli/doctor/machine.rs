//! The machine: its clock and its limits.

use std::path::Path;
use std::process::{Command, Stdio};

use super::Finding;
use crate::cli::Machine;
use crate::cli::limits::{OpenFiles, open_files};
use crate::cli::when::rfc3339;
use crate::config::Config;

/// 2026-01-01T00:00:00Z: this program is younger than that.
const EARLIEST_MS: u64 = 1_767_225_600_000;
/// 2100-01-01T00:00:00Z.
const LATEST_MS: u64 = 4_102_444_800_000;
/// Files beside connections: the store, the log, listeners, runtimes.
const OTHER_FILES: u64 = 256;
/// A backlog below this refuses a crowd that arrives at once.
const BACKLOG_WARN: u64 = 1_024;

pub(super) fn examine(config: &Config, machine: &Machine<'_>) -> Vec<Finding> {
    let backlog = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
    let mut findings = vec![
        clock(machine.clock.unix_ms()),
        judge_synchronised(synchronised()),
        judge_open_files(open_files(), config.http.connections_max as u64),
    ];
    findings.extend(backlog.and_then(|text| text.trim().parse().ok()).map(judge_backlog));
    findings
}

fn clock(now_ms: u64) -> Finding {
    let found = format!("says {}", rfc3339(now_ms));
    if (EARLIEST_MS..LATEST_MS).contains(&now_ms) {
        Finding::ok("clock", found)
    } else {
        Finding::fail("clock", found + ", which cannot be", "set it: timedatectl set-ntp true")
    }
}

/// Whether systemd says that the clock follows a time server; `None` where it cannot be asked.
fn synchronised() -> Option<bool> {
    if !Path::new("/run/systemd/system").exists() {
        return None;
    }
    let output = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    match output.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

fn judge_synchronised(synchronised: Option<bool>) -> Finding {
    match synchronised {
        Some(true) => Finding::ok("clock", "follows a time server"),
        Some(false) => {
            let mend = "timedatectl set-ntp true; requests more than 30 s off are refused";
            Finding::warn("clock", "does not follow a time server", mend)
        }
        None => Finding::ok("clock", "cannot be asked here whether it follows a time server"),
    }
}

/// `serve` raises the limit as far as it may, so what it may raise it to counts.
fn judge_open_files(limit: OpenFiles, connections_max: u64) -> Finding {
    let needed = connections_max + OTHER_FILES;
    let Some(most) = limit.most else { return Finding::ok("limits", "open files: no limit") };
    let found = format!("open files: at most {most}, for http.connections_max = {connections_max}");
    if most >= needed {
        return Finding::ok("limits", found);
    }
    let mend = format!(
        "raise the hard limit to {needed} (LimitNOFILE= in the unit of systemd, or \
         /etc/security/limits.conf), or lower http.connections_max"
    );
    Finding::warn("limits", found, mend)
}

fn judge_backlog(backlog: u64) -> Finding {
    let found = format!("backlog of new connections: {backlog}");
    if backlog >= BACKLOG_WARN {
        Finding::ok("limits", found)
    } else {
        Finding::warn("limits", found, format!("sysctl -w net.core.somaxconn={}", BACKLOG_WARN * 4))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::*;

    #[test]
    fn a_clock_outside_its_years_fails() {
        assert_eq!(clock(0).health, Health::Fail);
        assert_eq!(clock(EARLIEST_MS - 1).health, Health::Fail);
        assert_eq!(clock(EARLIEST_MS).health, Health::Ok);
        assert_eq!(clock(LATEST_MS).health, Health::Fail);
        assert_eq!(judge_synchronised(Some(false)).health, Health::Warn);
        assert_eq!(judge_synchronised(None).health, Health::Ok);
    }

    #[test]
    fn limits_are_judged_at_their_edges() {
        let needed = 1_000 + OTHER_FILES;
        let files = |most| judge_open_files(OpenFiles { now: Some(64), most }, 1_000);
        assert_eq!(files(Some(needed)).health, Health::Ok);
        assert_eq!(files(None).health, Health::Ok);
        assert_eq!(files(Some(needed - 1)).health, Health::Warn);
        assert_eq!(judge_backlog(BACKLOG_WARN).health, Health::Ok);
        assert_eq!(judge_backlog(BACKLOG_WARN - 1).health, Health::Warn);
    }
}
