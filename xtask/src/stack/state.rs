//! What runs: written to `target/stack/state.json` before and after each step, so that a stack whose `up` was
//! killed half-way can be found and removed.
//!
//! A process is known by its number and its start time: a number that has been given to somebody else since is
//! never signalled.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::files;
use super::process::Process;
use crate::workspace;

/// One stack: its services and what programs must know to use them.
#[derive(Serialize, Deserialize, Clone)]
pub struct State {
    /// Directory of this run: data, certificates, logs.
    pub dir: PathBuf,
    /// Whether `up` came to its end.
    pub complete: bool,
    /// Certificate of the authority that signed all of them.
    pub ca_file: PathBuf,
    /// In the order of their start.
    pub services: Vec<Service>,
    /// What does not change while it runs, in the order in which it is printed.
    pub environment: Vec<(String, String)>,
}

/// Which program a service is, and so how it is asked and stopped.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Redis,
    Postgres,
    Kafka,
}

/// One process, and all that is needed to start it again in the same place.
#[derive(Serialize, Deserialize, Clone)]
pub struct Service {
    /// `redis`, `postgres`, `kafka`, `kafka-2`, …
    pub name: String,
    pub kind: Kind,
    /// Where clients connect, on 127.0.0.1.
    pub port: u16,
    /// Its data.
    pub data: PathBuf,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// User and group to run as, if not ours.
    pub run_as: Option<(u32, u32)>,
    /// Where it writes what it has to say.
    pub log: PathBuf,
    /// The process that was started last, if it was not killed since.
    pub process: Option<Process>,
}

impl Service {
    /// The process, if it lives.
    pub fn running(&self) -> Option<Process> {
        self.process.filter(Process::is_alive)
    }
}

impl State {
    /// The state of the last `up`, if it was not taken down.
    pub fn load() -> anyhow::Result<Option<Self>> {
        let path = path();
        if !path.exists() {
            return Ok(None);
        }
        let text =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let state = serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged: remove it", path.display()))?;
        Ok(Some(state))
    }

    /// Writes the state, and the environment beside it once the stack is complete.
    pub fn save(&self) -> anyhow::Result<()> {
        files::write_private(&path(), &serde_json::to_string_pretty(self)?)?;
        if self.complete {
            let line = |(name, value): (String, String)| format!("{name}={value}\n");
            let text: String = self.all_variables().into_iter().map(line).collect();
            files::write_private(&environment_file(), &text)?;
        }
        Ok(())
    }

    /// Forgets the stack.
    pub fn remove() -> anyhow::Result<()> {
        for path in [environment_file(), path()] {
            if path.exists() {
                std::fs::remove_file(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// The service of that name; `kafka-1` is also called `kafka`.
    pub fn service(&self, name: &str) -> anyhow::Result<&Service> {
        Ok(&self.services[self.index(name)?])
    }

    /// The same, to change it.
    pub fn service_mut(&mut self, name: &str) -> anyhow::Result<&mut Service> {
        let index = self.index(name)?;
        Ok(&mut self.services[index])
    }

    fn index(&self, name: &str) -> anyhow::Result<usize> {
        let name = if name == "kafka-1" { "kafka" } else { name };
        let found = self.services.iter().position(|service| service.name == name);
        found.with_context(|| {
            let known: Vec<_> = self.services.iter().map(|service| service.name.as_str()).collect();
            format!("no service `{name}`; there are {}", known.join(", "))
        })
    }

    /// The environment with the numbers of the processes, which change. A killed one's is empty.
    pub fn all_variables(&self) -> Vec<(String, String)> {
        let numbers = |kind: Kind| {
            let of_kind = self.services.iter().filter(|service| service.kind == kind);
            let number =
                |service: &Service| service.running().map(|process| process.id.to_string());
            of_kind.map(|service| number(service).unwrap_or_default()).collect::<Vec<_>>().join(",")
        };
        let mut variables = self.environment.clone();
        variables.push(("STACK_REDIS_PID".into(), numbers(Kind::Redis)));
        variables.push(("STACK_POSTGRES_PID".into(), numbers(Kind::Postgres)));
        variables.push(("STACK_KAFKA_PIDS".into(), numbers(Kind::Kafka)));
        variables
    }
}

/// Where everything of the stack lies.
pub fn root() -> PathBuf {
    workspace::target().join("stack")
}

/// The file that tests read.
pub fn environment_file() -> PathBuf {
    root().join("env")
}

fn path() -> PathBuf {
    root().join("state.json")
}

/// Held by each command while it runs: two of them at once would undo each other's work.
pub fn lock() -> anyhow::Result<std::fs::File> {
    let path = root().join("lock");
    std::fs::create_dir_all(root()).with_context(|| format!("cannot make {}", root().display()))?;
    let file = open_lock(&path).with_context(|| format!("cannot open {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

fn open_lock(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().create(true).append(true).open(path)
}
