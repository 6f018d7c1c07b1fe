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
            Self::Postgres => 90,
            Self::Kafka => 180,
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

/// Kills services with all their processes, as a power cut does. (What the kernel has not yet written to the
/// disk is not lost by this.)
pub fn kill(names: &[String]) -> anyhow::Result<()> {
    change(names, |service| {
        running(service)?.kill();
        service.process = None;
        Ok(())
    })?;
    Ok(())
}

/// Freezes services with all their processes: connections stay, nobody answers.
pub fn stop(names: &[String]) -> anyhow::Result<()> {
    change(names, |service| {
        running(service)?.signal_all(Signal::STOP);
        Ok(())
    })?;
    Ok(())
}

/// Lets frozen services go on.
pub fn cont(names: &[String]) -> anyhow::Result<()> {
    change(names, |service| {
        running(service)?.signal_all(Signal::CONT);
        Ok(())
    })?;
    Ok(())
}

/// Starts killed services on their ports, with their data, and waits until they serve. Brokers that need each
/// other must be started by one call, or side by side. Redis keeps no data: it comes back empty, or with those
/// of the dump `from`. PostgreSQL comes back with the data directory `from` (a copy made while it was down).
pub fn start(names: &[String], from: Option<&Path>) -> anyhow::Result<()> {
    let state = change(names, |service| {
        let name = &service.name;
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
        if service.kind == Kind::Postgres {
            unlock(&service.data)?;
        }
        service.process = Some(process::start(service)?);
        Ok(())
    })?;
    for name in names {
        let service = state.service(name)?;
        probe::wait(service, &state.ca_file, service.kind.start_limit())?;
    }
    Ok(())
}

/// Does something to each of the services and writes down what became of them, also when that failed.
fn change(
    names: &[String],
    act: impl Fn(&mut Service) -> anyhow::Result<()>,
) -> anyhow::Result<State> {
    let _lock = state::lock()?;
    let mut state = State::load()?.context("no stack runs: `cargo xtask stack up`")?;
    // All must be known before anything is done to one.
    names.iter().try_for_each(|name| state.service(name).map(|_| ()))?;
    let done = names.iter().try_for_each(|name| act(state.service_mut(name)?));
    state.save()?;
    done.map(|()| state)
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
    service.run_as.map_or(Ok(()), |user| files::give(&service.data, user))
}

/// Its processes are dead, which PostgreSQL can't tell as long as nobody has waited for them.
fn unlock(data: &Path) -> anyhow::Result<()> {
    let lock = data.join("postmaster.pid");
    if lock.exists() {
        std::fs::remove_file(lock)?;
    }
    Ok(())
}
