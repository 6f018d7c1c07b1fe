//! The real program as a process of its own, on a temporary store and on ports that the system chose.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use flux_gate::clock::Clock;

/// How long it may take to serve, or to end.
const START_SECONDS_MAX: u64 = 120;
const POLL: Duration = Duration::from_millis(10);

/// The admin's token of every server started here.
pub const ADMIN_TOKEN: &str = "test-admin-token-0123456789abcdef0123456789abcdef";

/// A server that runs until it is dropped.
pub struct Server {
    child: Child,
    log: Arc<Mutex<String>>,
    /// Who writes it down, until all is.
    reader: Option<JoinHandle<()>>,
    /// Where shoppers call.
    pub public: SocketAddr,
    /// Where operators call.
    pub operator: SocketAddr,
}

impl Server {
    /// Starts `program serve` on the store in `dir`, with `config` (TOML) written beside it.
    ///
    /// # Errors
    /// It did not start to serve; the message holds what it logged.
    pub fn start(program: &Path, dir: &Path, config: &str) -> anyhow::Result<Self> {
        Self::start_by(command(program, dir, config)?)
    }

    /// Starts it by a command of one's own, such as one that sets limits first.
    ///
    /// # Errors
    /// See [`Server::start`].
    pub fn start_by(command: Command) -> anyhow::Result<Self> {
        let (mut child, log, reader) = spawn(command)?;
        let clock = Clock::system();
        loop {
            let text = log.lock().expect("no reader panics").clone();
            if let Some((public, operator)) = addresses(&text) {
                return Ok(Self { child, log, reader: Some(reader), public, operator });
            }
            if let Some(status) = child.try_wait()? {
                let text = whole(&log, Some(reader));
                bail!("the server ended with {status}:\n{text}");
            }
            if clock.monotonic_us() > START_SECONDS_MAX * 1_000_000 {
                let _ = child.kill();
                let _ = child.wait();
                bail!("the server does not serve after {START_SECONDS_MAX} s:\n{text}");
            }
            std::thread::sleep(POLL);
        }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no reader panics").clone()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends SIGTERM and waits for its end.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(mut self) -> anyhow::Result<(ExitStatus, String)> {
        let kill = Command::new("kill").arg(self.pid().to_string()).status()?;
        ensure!(kill.success(), "cannot send SIGTERM");
        let status = self.ended()?;
        Ok((status, self.log()))
    }

    /// Sends SIGKILL and waits for its end.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It does not.
    pub fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let clock = Clock::system();
        loop {
            if let Some(status) = self.child.try_wait()? {
                whole(&self.log, self.reader.take());
                return Ok(status);
            }
            if clock.monotonic_us() > START_SECONDS_MAX * 1_000_000 {
                bail!("the server does not end:\n{}", self.log());
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program to its end and gives its exit status and what it logged.
///
/// # Errors
/// It cannot be run, or it does not end.
pub fn run_to_end(command: Command) -> anyhow::Result<(ExitStatus, String)> {
    let (mut child, log, reader) = spawn(command)?;
    let clock = Clock::system();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, whole(&log, Some(reader))));
        }
        if clock.monotonic_us() > START_SECONDS_MAX * 1_000_000 {
            let _ = child.kill();
            let _ = child.wait();
            bail!("the program does not end");
        }
        std::thread::sleep(POLL);
    }
}

/// The command that serves the store in `dir`.
///
/// # Errors
/// The configuration cannot be written.
pub fn command(program: &Path, dir: &Path, config: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(program);
    command.args(arguments(dir, config)?);
    clean(&mut command);
    Ok(command)
}

/// The same, by a shell that first does `setup` (such as `ulimit -n 64`).
///
/// # Errors
/// The configuration cannot be written.
pub fn command_after(
    setup: &str,
    program: &Path,
    dir: &Path,
    config: &str,
) -> anyhow::Result<Command> {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!(r#"{setup}; exec "$0" "$@""#)).arg(program);
    command.args(arguments(dir, config)?);
    clean(&mut command);
    Ok(command)
}

fn arguments(dir: &Path, config: &str) -> anyhow::Result<Vec<PathBuf>> {
    // Beside the store, not in it: a test may make the store read-only.
    let file = dir.with_extension("toml");
    let whole = format!("{config}\n[log]\nformat = \"json\"\n");
    std::fs::write(&file, whole).with_context(|| format!("cannot write {}", file.display()))?;
    let words = ["serve", "--config"].map(PathBuf::from);
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"].map(PathBuf::from);
    Ok(words.into_iter().chain([file, "--data".into(), dir.to_owned()]).chain(listen).collect())
}

/// Takes the developer's own settings out of a command's environment, and gives it the operator's token.
pub fn clean(command: &mut Command) {
    // Nothing of the developer's own environment may change what is tested.
    for (name, _) in std::env::vars_os() {
        if ["FLUX_GATE", "OTEL_"].iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
            command.env_remove(name);
        }
    }
    for service in ["REDIS_URL", "KAFKA_BROKERS", "DATABASE_URL"] {
        command.env_remove(service);
    }
    command.env_remove("RUST_LOG").env("FLUX_GATE__ADMIN__TOKEN", ADMIN_TOKEN);
}

/// The log of a process that has ended, when its last line is in.
fn whole(log: &Mutex<String>, reader: Option<JoinHandle<()>>) -> String {
    if let Some(reader) = reader {
        reader.join().expect("no reader panics");
    }
    log.lock().expect("no reader panics").clone()
}

fn spawn(mut command: Command) -> anyhow::Result<(Child, Arc<Mutex<String>>, JoinHandle<()>)> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start the server")?;
    let stderr = child.stderr.take().context("stderr is piped")?;
    let log = Arc::new(Mutex::new(String::new()));
    let lines = log.clone();
    let reader = std::thread::spawn(move || {
        let mut reader = BufReader::new(stderr);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            lines.lock().expect("no reader panics").push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    Ok((child, log, reader))
}

/// The addresses in the line that says that it serves.
fn addresses(log: &str) -> Option<(SocketAddr, SocketAddr)> {
    log.lines().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let address = |name: &str| line[name].as_str()?.parse().ok();
        Some((address("public_address")?, address("operator_address")?))
    })
}
