//! The worker, and commands of the program that come to an end.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};

use crate::attack::support::server::clean;

/// Lines of the worker's log that an error shows.
const SHOWN_LINES: usize = 5;

/// The worker; it ends when this is dropped.
pub struct Worker {
    child: Child,
    log: PathBuf,
}

impl Worker {
    /// Starts it; its log goes to a file beside its configuration.
    pub fn start(program: &Path, config: &Path) -> anyhow::Result<Self> {
        let log = config.with_extension("log");
        let mut command = command(program, &["worker"], config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log)?);
        Ok(Self { child: command.spawn().context("cannot start the worker")?, log })
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of that.
    pub fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command says, and whether it succeeds.
pub fn says(program: &Path, arguments: &[&str], config: &Path) -> anyhow::Result<(bool, String)> {
    let output = command(program, arguments, config).stdin(Stdio::null()).output();
    let output = output.context("cannot run the program")?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

/// A command that must succeed.
pub fn run(program: &Path, arguments: &[&str], config: &Path) -> anyhow::Result<()> {
    let (done, said) = says(program, arguments, config)?;
    ensure!(done, "{arguments:?} failed: {said}");
    Ok(())
}

fn command(program: &Path, arguments: &[&str], config: &Path) -> Command {
    let mut command = Command::new(program);
    clean(&mut command);
    command.args(arguments).arg("--config").arg(config);
    command
}
