//! The data directory: there or can be made, writable, closed to others, on a disk that keeps its word,
//! with room.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Finding;
use crate::cli::Machine;

const CHECK: &str = "data directory";
/// Too little room to start a sale with, in bytes.
const FREE_BYTES_FAIL: u64 = 64 << 20;
/// Little room, in bytes: about a million orders.
const FREE_BYTES_WARN: u64 = 1 << 30;
/// A median sync above this bounds the orders a second, in microseconds.
const SYNC_US_WARN: u64 = 10_000;
/// Syncs that are measured.
const SYNCS: usize = 16;

pub(super) fn examine(dir: &Path, machine: &Machine<'_>) -> Vec<Finding> {
    let there = existing_ancestor(dir);
    let mut findings = vec![place(&there)];
    findings.extend(room(&there));
    if there != dir {
        findings.insert(0, can_be_made(dir, &there));
        return findings;
    }
    findings.extend(mode(dir));
    match sync_latency_us(dir, machine) {
        Ok(latencies_us) => findings.push(judge_sync(latencies_us)),
        Err(error) => {
            let mend = format!("let the server's user write to {}", dir.display());
            findings.insert(0, Finding::fail(CHECK, format!("cannot be written: {error}"), mend));
        }
    }
    findings
}

/// The directory, or the nearest one above it that is there.
fn existing_ancestor(dir: &Path) -> PathBuf {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let there = absolute.ancestors().find(|path| path.exists());
    match there {
        Some(path) if path == absolute => dir.to_owned(),
        Some(path) => path.to_owned(),
        None => PathBuf::from("/"),
    }
}

fn can_be_made(dir: &Path, there: &Path) -> Finding {
    let may = rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    let dir = dir.display();
    match may {
        Ok(()) if there.is_dir() => {
            Finding::ok(CHECK, format!("{dir} is not there; `serve` makes it"))
        }
        Ok(()) => {
            let found = format!("{} is in the way of {dir}", there.display());
            Finding::fail(CHECK, found, "choose another directory with --data")
        }
        Err(_) => {
            let mend = format!("make it for the server's user: install -d -m 700 -o USER {dir}");
            Finding::fail(CHECK, format!("{dir} is not there and cannot be made"), mend)
        }
    }
}

fn mode(dir: &Path) -> Option<Finding> {
    let metadata = match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => metadata,
        _ => {
            let found = format!("{} is not a directory", dir.display());
            return Some(Finding::fail(CHECK, found, "choose another one with --data"));
        }
    };
    let mode = metadata.permissions().mode() & 0o777;
    let found = format!("{} has mode {mode:03o}", dir.display());
    let mend = format!("chmod 700 {}", dir.display());
    if mode & 0o022 != 0 {
        Some(Finding::fail(CHECK, found + ": others can write to it", mend))
    } else if mode & 0o055 != 0 {
        Some(Finding::warn(CHECK, found + ": others can look into it", mend))
    } else {
        None
    }
}

/// Whether the file system keeps locks and syncs as the store needs them.
fn place(dir: &Path) -> Finding {
    let Ok(stat) = rustix::fs::statfs(dir) else {
        return Finding::warn(
            CHECK,
            "its file system cannot be told",
            "see that it is a local disk",
        );
    };
    let local = "use a local disk: locks and syncs may not hold here";
    match stat.f_type as u64 & 0xffff_ffff {
        0x6969 => Finding::fail(CHECK, "is on NFS", local),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Finding::fail(CHECK, "is on SMB", local),
        0x0102_1997 => Finding::warn(CHECK, "is on 9p, shared from another machine", local),
        0x6573_5546 => Finding::warn(CHECK, "is on FUSE", local),
        0x0102_1994 | 0x8584_58f6 => {
            let mend = "use a disk, unless this is a trial";
            Finding::warn(CHECK, "is in memory: a power cut loses every order", mend)
        }
        0x794c_7630 => {
            let mend = "mount a volume there, unless this is a trial";
            Finding::warn(CHECK, "is in a container's own layer, which goes with it", mend)
        }
        _ => Finding::ok(CHECK, "is on a local file system"),
    }
}

fn room(dir: &Path) -> Option<Finding> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(judge_room(stat.f_bavail.saturating_mul(stat.f_frsize)))
}

fn judge_room(free_bytes: u64) -> Finding {
    let found = format!("has {} MiB free", free_bytes >> 20);
    let mend = "make room, or move it; the server stops when the disk is full";
    if free_bytes < FREE_BYTES_FAIL {
        Finding::fail(CHECK, found, mend)
    } else if free_bytes < FREE_BYTES_WARN {
        Finding::warn(CHECK, found, mend)
    } else {
        Finding::ok(CHECK, found)
    }
}

/// Times of a small write with its sync, as the store does for each batch of orders.
fn sync_latency_us(dir: &Path, machine: &Machine<'_>) -> io::Result<Vec<u64>> {
    let name = machine.random_hex::<8>().map_err(|failure| io::Error::other(failure.message))?;
    let path = dir.join(format!("doctor-{name}.tmp"));
    let measured = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let mut latencies_us = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            let before_us = machine.clock.monotonic_us();
            file.write_all(&[0; 4_096])?;
            file.sync_data()?;
            latencies_us.push(machine.clock.monotonic_us().saturating_sub(before_us));
        }
        Ok(latencies_us)
    })();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => measured.and(Err(error)),
        _ => measured,
    }
}

fn judge_sync(mut latencies_us: Vec<u64>) -> Finding {
    latencies_us.sort_unstable();
    let median_us = latencies_us.get(latencies_us.len() / 2).copied().unwrap_or(0);
    let worst_us = latencies_us.last().copied().unwrap_or(0);
    let ms = |us: u64| us as f64 / 1_000.0;
    let found =
        format!("writes and syncs in {:.2} ms (worst {:.2} ms)", ms(median_us), ms(worst_us));
    if median_us > SYNC_US_WARN {
        Finding::warn(CHECK, found, "use a faster disk: every accepted order waits for a sync")
    } else {
        Finding::ok(CHECK, found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::*;

    #[test]
    fn room_and_syncs_are_judged_at_their_edges() {
        assert_eq!(judge_room(FREE_BYTES_FAIL - 1).health, Health::Fail);
        assert_eq!(judge_room(FREE_BYTES_FAIL).health, Health::Warn);
        assert_eq!(judge_room(FREE_BYTES_WARN).health, Health::Ok);
        assert_eq!(judge_sync(vec![SYNC_US_WARN; 3]).health, Health::Ok);
        assert_eq!(judge_sync(vec![1, SYNC_US_WARN + 1, SYNC_US_WARN + 1]).health, Health::Warn);
        assert_eq!(judge_sync(vec![1, 1, 999_999]).health, Health::Ok, "the median counts");
    }

    #[test]
    fn a_directory_that_is_not_there_yet_can_be_made_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("a/b");
        let there = existing_ancestor(&data);
        assert_eq!(there, dir.path());
        assert_eq!(can_be_made(&data, &there).health, Health::Ok);
        std::fs::write(dir.path().join("a"), "").unwrap();
        let there = existing_ancestor(&data);
        assert_eq!(can_be_made(&data, &there).health, Health::Fail);
    }

    #[test]
    fn a_directory_that_others_can_write_to_fails() {
        let dir = tempfile::tempdir().unwrap();
        let with = |mode| {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
            super::mode(dir.path()).map(|finding| finding.health)
        };
        assert_eq!(with(0o770), Some(Health::Fail));
        assert_eq!(with(0o755), Some(Health::Warn));
        assert_eq!(with(0o700), None);
    }
}
