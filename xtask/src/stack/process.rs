//! Processes that outlive the command that started them, and the signals they get.
//!
//! A fault hits a service with all its processes: PostgreSQL's back ends go on serving when only their parent
//! is stopped.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::state::Service;

const POLL: Duration = Duration::from_millis(20);

/// A process of ours.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Process {
    /// Its number.
    pub id: u32,
    /// When it started, in the kernel's ticks since its boot; unknown where there is no `/proc`.
    pub started: Option<u64>,
}

/// What `/proc/…/stat` says.
struct Stat {
    state: char,
    parent: u32,
    started: u64,
}

impl Process {
    fn of(id: u32) -> Self {
        Self { id, started: stat(id).map(|stat| stat.started) }
    }

    /// Whether it runs or is stopped. One that has ended and was not waited for is dead.
    pub fn is_alive(&self) -> bool {
        match (stat(self.id), self.started) {
            (Some(stat), Some(started)) => stat.started == started && !"ZX".contains(stat.state),
            (None, None) => {
                self.pid().is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
            }
            _ => false,
        }
    }

    /// Whether it was stopped by a signal.
    pub fn is_stopped(&self) -> bool {
        self.is_alive() && stat(self.id).is_some_and(|stat| stat.state == 'T')
    }

    /// Sends the signal, if it lives.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid().filter(|_| self.is_alive()) {
            // It may have ended just now: then there is nothing left to do.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Sends the signal to it and to its children. Children are looked for again after the parent has got it,
    /// for those that it made in the meantime.
    pub fn signal_all(&self, signal: Signal) {
        let children = self.children();
        self.signal(signal);
        for child in children.iter().chain(&self.children()) {
            child.signal(signal);
        }
    }

    /// Waits until it has ended; whether it did in time.
    pub fn ended_within(&self, limit: Duration) -> bool {
        let begun = Instant::now();
        while self.is_alive() {
            if begun.elapsed() > limit {
                return false;
            }
            std::thread::sleep(POLL);
        }
        true
    }

    /// Kills it with its children, and waits until they are gone.
    pub fn kill(&self) {
        let children = self.children();
        self.signal_all(Signal::KILL);
        for process in children.iter().chain([self]) {
            process.ended_within(Duration::from_secs(10));
        }
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.id).ok().and_then(Pid::from_raw)
    }

    /// Where there is no `/proc`, none are found, and faults hit the parent only.
    fn children(&self) -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let child = |id: u32| {
            let stat = stat(id).filter(|stat| stat.parent == self.id)?;
            Some(Self { id, started: Some(stat.started) })
        };
        ids.filter_map(child).collect()
    }
}

fn stat(id: u32) -> Option<Stat> {
    let text =
        std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("stat")).ok()?;
    // The name, in brackets, may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<_> = rest.split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Starts the service's process in a process group of its own: Ctrl-C at the terminal is not for it.
pub fn start(service: &Service) -> anyhow::Result<Process> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&service.log)
        .with_context(|| format!("cannot write {}", service.log.display()))?;
    let mut command = Command::new(&service.program);
    command
        .args(&service.arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C.UTF-8")
        .current_dir(&service.data)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0);
    if let Some((user, group)) = service.run_as {
        command.uid(user).gid(group);
    }
    let child =
        command.spawn().with_context(|| format!("cannot start {}", service.program.display()))?;
    Ok(Process::of(child.id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_too() {
        let own = Process::of(std::process::id());
        assert!(own.is_alive() && !own.is_stopped());
        let other = Process { started: own.started.map(|ticks| ticks + 1), ..own };
        assert!(!other.is_alive());
    }

    #[test]
    fn a_killed_process_is_dead_before_it_is_waited_for() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::of(child.id());
        process.signal_all(Signal::STOP);
        while !process.is_stopped() {
            std::thread::sleep(POLL);
        }
        process.kill();
        assert!(!process.is_alive());
        child.wait().unwrap();
    }
}
