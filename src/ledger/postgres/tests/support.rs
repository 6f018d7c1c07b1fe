//! A real PostgreSQL for tests, and a fresh database in it for each.
//!
//! The cluster of `cargo xtask stack up`, if its environment file is there (`FLUX_GATE_STACK`, or
//! `target/stack/env`); else a private server on a free port of the loopback, with plaintext connections and
//! no passwords, which ends with the test process. A server that cannot be had fails the test.

use std::collections::HashMap;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::Config;
use crate::config::stores::Plaintext;
use crate::ledger::postgres::migrations;

/// Who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    Owner,
    Node,
    Worker,
    Auditor,
    Fulfilment,
}

/// A database of its own, with the ledger's schema.
pub(crate) struct Database {
    cluster: Arc<Cluster>,
    name: String,
}

/// The partitions of the log that fills it.
pub(crate) const PARTITIONS: u32 = 3;

impl Database {
    /// Migrated, and empty.
    pub(crate) fn migrated() -> Self {
        let database = Self::empty();
        let config = database.config(User::Owner);
        // On a thread of its own: tests call from within runtimes, too.
        let migrating = std::thread::spawn(move || migrations::migrate(&config).unwrap());
        let done = migrating.join().unwrap();
        assert_eq!(done.from, 0);
        database
    }

    /// Without any schema.
    pub(crate) fn empty() -> Self {
        let cluster = Cluster::get();
        let name = Self::fresh_name();
        let server = Self { cluster: Arc::clone(&cluster), name: "postgres".to_owned() };
        server.execute(User::Owner, &format!("CREATE DATABASE {name}"));
        Self { cluster, name }
    }

    /// A copy of it as it is now, as a restored backup is. Nobody may be connected.
    pub(crate) fn copy(&self) -> Self {
        let (cluster, name) = (Arc::clone(&self.cluster), Self::fresh_name());
        let server = Self { cluster: Arc::clone(&cluster), name: "postgres".to_owned() };
        server.execute(User::Owner, &format!("CREATE DATABASE {name} TEMPLATE {}", self.name));
        Self { cluster, name }
    }

    fn fresh_name() -> String {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        format!("it_{}", hex::encode(random))
    }

    /// Waits until nobody is connected any more.
    pub(crate) async fn quiet(&self) {
        let others = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
            self.name
        );
        for _ in 0..200 {
            if self.number(User::Owner, &others) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("somebody is still connected to {}", self.name);
    }

    /// The configuration of a program that connects as this user.
    pub(crate) fn config(&self, user: User) -> Config {
        let mut config = Config::default();
        config.kafka.brokers = "127.0.0.1:1".to_owned();
        config.kafka.partitions = PARTITIONS;
        config.postgres.url = Some(self.url(user).into());
        self.cluster.allow(&mut config);
        if user == User::Node {
            config.postgres.fulfilment_url = Some(self.url(User::Fulfilment).into());
        }
        config
    }

    /// Runs statements as this user.
    pub(crate) fn execute(&self, user: User, sql: &str) {
        self.try_execute(user, sql).unwrap();
    }

    /// Runs statements as this user; the error is the server's message.
    pub(crate) fn try_execute(&self, user: User, sql: &str) -> Result<(), String> {
        self.on_connection(user, async |client| client.batch_execute(sql).await)
            .map_err(|error| crate::ledger::postgres::ServerError::from(error).to_string())
    }

    /// The first column of the first row, a number.
    pub(crate) fn number(&self, user: User, sql: &str) -> i64 {
        self.on_connection(user, async |client| client.query_one(sql, &[]).await).unwrap().get(0)
    }

    fn on_connection<T: Send>(
        &self,
        user: User,
        work: impl AsyncFnOnce(&tokio_postgres::Client) -> T + Send,
    ) -> T {
        self.on_url(self.url(user), work)
    }

    fn on_url<T: Send>(
        &self,
        url: String,
        work: impl AsyncFnOnce(&tokio_postgres::Client) -> T + Send,
    ) -> T {
        let mut config = Config::default();
        config.postgres.url = Some(url.into());
        self.cluster.allow(&mut config);
        let connector = super::super::connect::Connector::main(&config).unwrap();
        std::thread::scope(|scope| {
            let working = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let work = async { work(&connector.connect().await.unwrap()).await };
                runtime.unwrap().block_on(work)
            });
            working.join().unwrap()
        })
    }

    fn url(&self, user: User) -> String {
        self.cluster.url(user, &self.name)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Ends all connections to it, as a failing server or network does.
    pub(crate) fn cut_connections(&self) {
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = '{}' AND pid <> pg_backend_pid()",
            self.name
        );
        self.on_url(self.cluster.superuser_url(), async |client| client.batch_execute(&sql).await)
            .unwrap();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.name != "postgres" {
            let server = Self { cluster: Arc::clone(&self.cluster), name: "postgres".to_owned() };
            // What is left over on a shared cluster is of no harm.
            let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
            let _ = server.try_execute(User::Owner, &drop);
        }
    }
}

/// What `xtask stack` wrote down: the way to real services.
pub(crate) struct Stack(HashMap<String, String>);

impl Stack {
    /// The stack, without which the test fails.
    pub(crate) fn needed() -> Self {
        stack().expect("start the services with `cargo xtask stack up`, or set FLUX_GATE_STACK")
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> String {
        self.0.get(key).unwrap_or_else(|| panic!("the stack has no {key}")).clone()
    }

    /// Connects to its Kafka as this user, whose password has this key.
    pub(crate) fn kafka(&self, config: &mut Config, username: &str, password: &str) {
        config.kafka.brokers = self.get("KAFKA_BROKERS");
        config.kafka.username = username.to_owned();
        config.kafka.password = Some(self.get(password).into());
        config.kafka.ca_file = Some(self.get("FLUX_GATE__KAFKA__CA_FILE").into());
    }
}

enum Cluster {
    Stack(Stack),
    Private(Private),
}

static CLUSTER: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

impl Cluster {
    /// The one of this process; the last test that uses it ends a private one.
    fn get() -> Arc<Self> {
        let mut shared = CLUSTER.lock();
        if let Some(cluster) = shared.upgrade() {
            return cluster;
        }
        let cluster = Arc::new(match stack() {
            Some(stack) => Self::Stack(stack),
            None => Self::Private(Private::start()),
        });
        *shared = Arc::downgrade(&cluster);
        cluster
    }

    fn allow(&self, config: &mut Config) {
        match self {
            Self::Stack(stack) => {
                let ca_file = stack.get("FLUX_GATE__POSTGRES__CA_FILE");
                config.postgres.ca_file = Some(PathBuf::from(ca_file));
            }
            Self::Private(_) => config.stores.plaintext = Plaintext::Allow,
        }
    }

    fn superuser_url(&self) -> String {
        match self {
            Self::Stack(stack) => stack.get("STACK_DATABASE_SUPERUSER_URL"),
            Self::Private(server) => {
                format!("postgresql://postgres@127.0.0.1:{}/postgres", server.port)
            }
        }
    }

    fn url(&self, user: User, database: &str) -> String {
        match self {
            Self::Stack(stack) => {
                let url = stack.get(match user {
                    User::Owner => "STACK_DATABASE_OWNER_URL",
                    User::Node => "DATABASE_URL",
                    User::Worker => "STACK_DATABASE_WORKER_URL",
                    User::Auditor => "STACK_DATABASE_AUDITOR_URL",
                    User::Fulfilment => "STACK_DATABASE_FULFILMENT_URL",
                });
                let (address, query) = url.split_once('?').unwrap_or((&url, ""));
                let (server, _) = address.rsplit_once('/').unwrap();
                format!("{server}/{database}?{query}")
            }
            Self::Private(private) => {
                let name = match user {
                    User::Owner => "owner",
                    User::Node => "ingestion",
                    User::Worker => "worker",
                    User::Auditor => "auditor",
                    User::Fulfilment => "fulfilment",
                };
                format!("postgresql://{name}@127.0.0.1:{}/{database}", private.port)
            }
        }
    }
}

fn stack() -> Option<Stack> {
    let named = std::env::var_os("FLUX_GATE_STACK").map(PathBuf::from);
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/stack/env");
    let file = named.unwrap_or(usual);
    let text = std::fs::read_to_string(file).ok()?;
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Some(Stack(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()))
}

struct Private {
    port: u16,
    server: Child,
    _dir: tempfile::TempDir,
}

/// Who the server runs as where the tests are root's: it refuses to be.
const NOBODY: u32 = 65_534;

impl Private {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        if rustix::process::geteuid().is_root() {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let made = command("initdb")
            .args(["--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8"])
            .args(["--locale=C", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        // The shell ends the server when this process ends, however it does.
        let server = command("sh")
            .args(["-c", "postgres \"$@\" <&- & cat; kill -INT $!; wait", "postgres", "-D"])
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off"])
            .args(["-c", "shared_buffers=64MB", "-c", "jit=off", "-c", "max_connections=200"])
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let private = Self { port, server, _dir: dir };
        private.prepare();
        private
    }

    /// Waits for the server and makes the roles, as `deploy/postgres/roles.sql` does.
    fn prepare(&self) {
        let url = format!("postgresql://postgres@127.0.0.1:{}/postgres", self.port);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut tries = 0;
            let (client, connection) = loop {
                match tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
                    Ok(connected) => break connected,
                    Err(error) => assert!(tries < 200, "PostgreSQL does not start: {error}"),
                }
                tries += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            tokio::spawn(connection);
            for role in ["owner", "ingestion", "worker", "auditor", "fulfilment"] {
                let make = format!(
                    "CREATE ROLE flux_gate_{role} NOLOGIN;
                     CREATE ROLE {role} LOGIN IN ROLE flux_gate_{role};"
                );
                client.batch_execute(&make).await.unwrap();
            }
            client
                .batch_execute(
                    "ALTER ROLE flux_gate_owner CREATEDB; ALTER ROLE owner SET role = flux_gate_owner;
                     REVOKE ALL ON SCHEMA public FROM PUBLIC",
                )
                .await
                .unwrap();
        });
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // The shell sees the end of its input and ends the server.
        drop(self.server.stdin.take());
        let _ = self.server.wait();
    }
}

/// A program of PostgreSQL, run as somebody who is not root.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    for version in ["17", "16", "15"] {
        path.push(format!(":/usr/lib/postgresql/{version}/bin"));
    }
    command.env("PATH", path).env("LC_ALL", "C").current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
