//! What the three services share while they are brought up side by side.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;

use super::process;
use super::state::{Service, State};
use super::tls::Authority;
use super::tools::Tools;
use super::{files, ports};

/// Bytes of randomness in a password. As hex it needs no quoting, whatever it is written into.
const PASSWORD_BYTES: usize = 24;

/// One `up`.
pub struct Run<'a> {
    pub tools: &'a Tools,
    pub authority: &'a Authority,
    dir: PathBuf,
    ports: Mutex<Vec<u16>>,
    state: Mutex<State>,
}

impl<'a> Run<'a> {
    /// A run in the directory of `state`, whose services may take that many ports.
    pub fn new(
        tools: &'a Tools,
        authority: &'a Authority,
        state: State,
        ports: usize,
    ) -> anyhow::Result<Self> {
        let dir = state.dir.clone();
        // All at once, so that no two services are given the same one.
        let ports = Mutex::new(ports::free(ports)?);
        Ok(Self { tools, authority, dir, ports, state: Mutex::new(state) })
    }

    /// Makes the service's directory.
    pub fn data(&self, service: &str) -> anyhow::Result<PathBuf> {
        let dir = self.dir.join(service);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }

    /// Where the service's log goes.
    pub fn log(&self, service: &str) -> PathBuf {
        self.dir.join(service).with_extension("log")
    }

    /// A port that nobody else has.
    pub fn port(&self) -> anyhow::Result<u16> {
        held(&self.ports).pop().context("more ports are used than were taken")
    }

    /// As many new passwords as are asked for.
    pub fn passwords<const N: usize>(&self) -> anyhow::Result<[String; N]> {
        let mut passwords = [const { String::new() }; N];
        for password in &mut passwords {
            *password = files::random_hex(PASSWORD_BYTES)?;
        }
        Ok(passwords)
    }

    /// Starts the service and writes down that it runs.
    pub fn launch(&self, mut service: Service) -> anyhow::Result<Service> {
        let mut state = held(&self.state);
        service.process = Some(process::start(&service)?);
        state.services.push(service.clone());
        state.save()?;
        Ok(service)
    }

    /// Adds to what programs must know.
    pub fn variables(&self, variables: &[(&str, String)]) {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), value.clone()));
        held(&self.state).environment.extend(variables);
    }

    /// The state when all services are up.
    pub fn into_state(self) -> State {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What it guards is whole between any two statements, also after a panic of another thread.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
