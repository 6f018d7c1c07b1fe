//! What tests do to the services: kill, freeze, thaw, start again in the same place.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;

use super::state::{self, Kind, Service, State};
use super::{files, probe, process};

impl Kind {
    /// How long a start may take, recovery included.
    pub fn start_limit(self) -> Duration {
        Duration::from_secs(match self {
            Self::Redis => 10,
            Self::Postgres => 30,
            Self::Kafka => 90,
        })
    }

    /// The signal on which it puts its data in order and ends.
    pub fn polite_signal(self) -> Signal {
        match self {
            Self::Redis | Self::Kafka => Signal::TERM,
            Self::Postgres => Signal::INT,
        }
    }
}

/// Kills the service with all its processes, as a power cut does. (What the kernel has not yet written to the
/// disk is not lost by this.)
pub fn kill(name: &str) -> anyhow::Result<()> {
    change(name, |service, _| {
        running(service)?.kill();
        service.process = None;
        Ok(())
    })
}

/// Freezes the service with all its processes: connections stay, nobody answers.
pub fn stop(name: &str) -> anyhow::Result<()> {
    change(name, |service, _| {
        running(service)?.signal_all(Signal::STOP);
        Ok(())
    })
}

/// Lets a frozen service go on.
pub fn cont(name: &str) -> anyhow::Result<()> {
    change(name, |service, _| {
        running(service)?.signal_all(Signal::CONT);
        Ok(())
    })
}

/// Starts a killed service on its port, with its data, and waits until it serves. Redis keeps none: it comes
/// back empty, or with those of the dump `from`. PostgreSQL comes back with the data directory `from` (a copy
/// made while it was down).
pub fn start(name: &str, from: Option<&Path>) -> anyhow::Result<()> {
    change(name, |service, ca_file| {
        if let Some(process) = service.running() {
            ensure!(!process.is_stopped(), "{name} is frozen: `cont` lets it go on");
            bail!("{name} runs already");
        }
        match (service.kind, from) {
            (Kind::Redis, from) => put_dump(&service.data, from)?,
            (Kind::Postgres, Some(from)) => put_data(service, from)?,
            (Kind::Kafka, Some(_)) => bail!("Kafka can't be started from a copy"),
            (Kind::Postgres | Kind::Kafka, None) => {}
        }
        service.process = Some(process::start(service)?);
        probe::wait(service, ca_file, service.kind.start_limit())
    })
}

/// Does something to one service and writes down what became of it, also when that failed.
fn change(
    name: &str,
    act: impl FnOnce(&mut Service, &Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let _lock = state::lock()?;
    let mut state = State::load()?.context("no stack runs: `cargo xtask stack up`")?;
    let ca_file = state.ca_file.clone();
    let done = act(state.service(name)?, &ca_file);
    state.save()?;
    done
}

fn running(service: &Service) -> anyhow::Result<process::Process> {
    service.running().with_context(|| format!("{} does not run", service.name))
}

fn put_dump(data: &Path, from: Option<&Path>) -> anyhow::Result<()> {
    let dump = data.join("dump.rdb");
    match from {
        Some(from) if from == dump => {}
        Some(from) => {
            std::fs::copy(from, &dump)
                .with_context(|| format!("cannot copy {}", from.display()))?;
        }
        None if dump.exists() => std::fs::remove_file(&dump)?,
        None => {}
    }
    Ok(())
}

fn put_data(service: &Service, from: &Path) -> anyhow::Result<()> {
    ensure!(from.join("PG_VERSION").is_file(), "{} is no data directory", from.display());
    std::fs::remove_dir_all(&service.data)?;
    files::copy_dir(from, &service.data)?;
    let lock = service.data.join("postmaster.pid");
    if lock.exists() {
        std::fs::remove_file(lock)?;
    }
    service.run_as.map_or(Ok(()), |user| files::give(&service.data, user))
}
