//! The real services: what `cargo xtask stack up` has started, and how they are broken and mended.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Names the file with the stack's environment.
const STACK_VARIABLE: &str = "FLUX_GATE_STACK";
/// Names the program of the project's commands.
const XTASK_VARIABLE: &str = "FLUX_GATE_XTASK";

/// The running services.
pub struct Stack {
    values: HashMap<String, String>,
}

impl Stack {
    /// Reads where they are.
    pub fn load() -> Self {
        let path = std::env::var_os(STACK_VARIABLE).map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/stack/env"),
            PathBuf::from,
        );
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!(
                "{}: {error}; `cargo xtask test` starts the services, or run `cargo xtask stack up`",
                path.display()
            )
        });
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Self { values: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect() }
    }

    /// A value of the stack's environment.
    pub fn get(&self, name: &str) -> &str {
        let value = self.values.get(name);
        value.unwrap_or_else(|| panic!("the stack's environment has no {name}"))
    }

    /// Does something to a service: `kill`, `stop` (SIGSTOP), `cont`, `start`.
    pub fn does(&self, verb: &str, service: &str) {
        succeed(Command::new(Self::xtask()).args(["stack", verb, service]));
    }

    /// The same with data from elsewhere.
    pub fn does_from(&self, verb: &str, service: &str, data: &Path) {
        let mut command = Command::new(Self::xtask());
        succeed(command.args(["stack", verb, service, "--from"]).arg(data));
    }

    fn xtask() -> PathBuf {
        std::env::var_os(XTASK_VARIABLE).map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/debug/xtask"),
            PathBuf::from,
        )
    }

    /// One command to Redis, as the user of this URL.
    pub fn redis(&self, url: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-u", self.get(url), "--cacert", self.get("FLUX_GATE__REDIS__CA_FILE")]);
        let output = command.arg("--no-auth-warning").args(arguments).output();
        let output = output.expect("redis-cli can be run");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// SQL as the owner; one value a line.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.sql_as("STACK_DATABASE_OWNER_URL", database, sql)
    }

    /// SQL as the user of this URL.
    pub fn sql_as(&self, url: &str, database: &str, sql: &str) -> String {
        let url = with_database(self.get(url), database);
        let mut command = Command::new("psql");
        command.args(["-v", "ON_ERROR_STOP=1", "-AtXqc", sql, &url]);
        command.env("PGSSLROOTCERT", self.get("FLUX_GATE__POSTGRES__CA_FILE"));
        let output = succeed(&mut command);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// The same URL with another database.
pub fn with_database(url: &str, database: &str) -> String {
    let (before, query) = url.split_once('?').map_or((url, ""), |(before, query)| (before, query));
    let (server, _) = before.rsplit_once('/').expect("a URL with a database");
    format!("{server}/{database}?{query}")
}

/// Host and port in a URL.
pub fn server_of(url: &str) -> &str {
    let (_, after) = url.rsplit_once('@').expect("a URL with a user");
    after.split(['/', '?']).next().expect("text has a first part")
}

/// The same URL with another port of the same host.
pub fn with_port(url: &str, port: u16) -> String {
    let server = server_of(url);
    let (host, _) = server.rsplit_once(':').expect("a URL with a port");
    url.replacen(&format!("@{server}"), &format!("@{host}:{port}"), 1)
}

/// Runs a command that must succeed.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&text));
    output
}
