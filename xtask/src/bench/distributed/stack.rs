//! The stores: what `cargo xtask stack up` started, and how the bench reaches them as their administrator.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};
use rdkafka::config::ClientConfig;

use crate::workspace;

/// Names the file with the environment of stores that run already.
const STACK_VARIABLE: &str = "FLUX_GATE_STACK";

/// The running stores.
pub struct Stack {
    file: PathBuf,
    values: HashMap<String, String>,
}

impl Stack {
    /// The one that `FLUX_GATE_STACK` names, the one that runs, or one that is started now.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn up() -> anyhow::Result<Self> {
        let file = match std::env::var_os(STACK_VARIABLE) {
            Some(file) => file.into(),
            None => {
                let status = Command::new(std::env::current_exe()?)
                    .args(["stack", "up", "--full-jit"])
                    .stdout(Stdio::null())
                    .status()?;
                ensure!(status.success(), "the stores could not be started");
                workspace::target().join("stack/env")
            }
        };
        let stack = Self::read(&file)?;
        if stack.kafka_arguments()?.iter().any(|argument| argument.contains("TieredStopAtLevel=1"))
        {
            println!(
                "Kafka runs without the optimising compiler: `cargo xtask stack down` first, to measure"
            );
        }
        Ok(stack)
    }

    /// Reads the file with the environment of a stack.
    ///
    /// # Errors
    /// The file.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let values = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self { file: file.to_owned(), values })
    }

    /// Where its environment is written.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A value of its environment.
    ///
    /// # Errors
    /// There is no such value.
    pub fn get(&self, name: &str) -> anyhow::Result<&str> {
        let value = self.values.get(name).with_context(|| format!("the stack has no {name}"))?;
        Ok(value)
    }

    /// The process of a service: the first one where there are several.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self, name: &str) -> anyhow::Result<u32> {
        let first = self.get(name)?.split(',').next().unwrap_or_default();
        first.parse().with_context(|| format!("{name} is not running"))
    }

    /// A client of Kafka's as the user in these variables.
    ///
    /// # Errors
    /// There are no such variables.
    pub fn kafka(&self, username: &str, password: &str) -> anyhow::Result<ClientConfig> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.get("KAFKA_BROKERS")?)
            .set("security.protocol", "SASL_SSL")
            .set("sasl.mechanism", "SCRAM-SHA-512")
            .set("sasl.username", self.get(username)?)
            .set("sasl.password", self.get(password)?)
            .set("ssl.ca.location", self.get("FLUX_GATE__KAFKA__CA_FILE")?);
        Ok(config)
    }

    /// A client of Kafka's as the administrator.
    ///
    /// # Errors
    /// See [`Stack::kafka`].
    pub fn kafka_admin(&self) -> anyhow::Result<ClientConfig> {
        self.kafka("STACK_KAFKA_ADMIN_USERNAME", "STACK_KAFKA_ADMIN_PASSWORD")
    }

    /// A client of Redis as a user who may do everything: the ordinary design needs commands that none of our
    /// users has.
    ///
    /// # Errors
    /// The certificates cannot be read.
    pub fn redis(&self) -> anyhow::Result<redis::Client> {
        let ca_file = self.get("FLUX_GATE__REDIS__CA_FILE")?;
        let root_cert = std::fs::read(ca_file).with_context(|| format!("cannot read {ca_file}"))?;
        let certificates = redis::TlsCertificates { client_tls: None, root_cert: Some(root_cert) };
        Ok(redis::Client::build_with_tls(self.get("STACK_REDIS_ADMIN_URL")?, certificates)?)
    }

    /// The directory with the logs of Kafka's partitions.
    ///
    /// # Errors
    /// Kafka does not run, or is not started by its configuration.
    pub fn kafka_dir(&self) -> anyhow::Result<PathBuf> {
        let arguments = self.kafka_arguments()?;
        let config = arguments.last().context("Kafka has no arguments")?;
        let text = std::fs::read_to_string(config)
            .with_context(|| format!("cannot read {config}, Kafka's configuration"))?;
        let dir = text.lines().find_map(|line| line.strip_prefix("log.dirs="));
        Ok(dir.context("Kafka's configuration has no log.dirs")?.trim().into())
    }

    fn kafka_arguments(&self) -> anyhow::Result<Vec<String>> {
        let path = format!("/proc/{}/cmdline", self.pid("STACK_KAFKA_PIDS")?);
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {path}"))?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.split_terminator('\0').map(str::to_owned).collect())
    }

    /// A session of `psql` as the owner of the database.
    ///
    /// # Errors
    /// `psql` cannot be run.
    pub fn psql(&self, database: &str) -> anyhow::Result<Psql> {
        let url = with_database(self.get("STACK_DATABASE_OWNER_URL")?, database)?;
        let mut child = Command::new("psql")
            .args(["-v", "ON_ERROR_STOP=1", "-AtXq", &url])
            .env("PGSSLROOTCERT", self.get("FLUX_GATE__POSTGRES__CA_FILE")?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run psql")?;
        let input = child.stdin.take().context("stdin is piped")?;
        let output = BufReader::new(child.stdout.take().context("stdout is piped")?);
        Ok(Psql { child, input, output })
    }
}

/// A session of `psql`: one process for many questions, since its start would cost more than they do.
pub struct Psql {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Psql {
    /// Runs a command that returns nothing.
    ///
    /// # Errors
    /// The command failed; `psql` has said why.
    pub fn execute(&mut self, sql: &str) -> anyhow::Result<()> {
        let done = self.ask(&format!("{sql};\nSELECT 'done'"))?;
        ensure!(done == "done", "{sql}: {done}");
        Ok(())
    }

    /// The one value that a query returns.
    ///
    /// # Errors
    /// The query failed; `psql` has said why.
    pub fn ask(&mut self, sql: &str) -> anyhow::Result<String> {
        writeln!(self.input, "{sql};").with_context(|| format!("psql has ended before {sql}"))?;
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "psql has ended at {sql}");
        Ok(line.trim().to_owned())
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same URL with another database.
///
/// # Errors
/// The URL names no database.
pub fn with_database(url: &str, database: &str) -> anyhow::Result<String> {
    let (before, query) = url.split_once('?').unwrap_or((url, ""));
    let (server, _) = before.rsplit_once('/').context("a URL without a database")?;
    Ok(format!("{server}/{database}?{query}"))
}
