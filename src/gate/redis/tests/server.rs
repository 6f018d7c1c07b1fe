//! A redis-server of a test's own: a plain process on a free port of the loopback.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::library::SOURCE;

pub(crate) struct Server {
    process: Option<Child>,
    pub(crate) port: u16,
    directory: TempDir,
    more: Vec<String>,
}

impl Server {
    /// With our functions.
    pub(crate) fn start() -> Self {
        let server = Self::bare();
        server.load(SOURCE);
        server
    }

    /// Without functions.
    pub(crate) fn bare() -> Self {
        Self::with(tempfile::tempdir().unwrap(), Vec::new())
    }

    /// With settings of its own, and the files in this directory.
    pub(crate) fn with(directory: TempDir, more: Vec<String>) -> Self {
        let mut server = Self { process: None, port: free_port(), directory, more };
        server.run();
        server
    }

    /// Starts the process, with the dump that is in its directory, if any.
    pub(crate) fn run(&mut self) {
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &self.port.to_string(), "--loglevel", "warning"])
            .args(&self.more)
            .arg("--dir")
            .arg(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("these tests need redis-server 7: `apt-get install redis-server` has it");
        self.process = Some(process);
        let started = Instant::now();
        while self.try_connection().is_err() {
            assert!(started.elapsed() < Duration::from_secs(10), "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn connection(&self) -> redis::Connection {
        self.try_connection().unwrap()
    }

    pub(crate) fn try_connection(&self) -> redis::RedisResult<redis::Connection> {
        let mut connection = redis::Client::open(self.url())?.get_connection()?;
        redis::cmd("PING").exec(&mut connection)?;
        Ok(connection)
    }

    pub(crate) fn load(&self, source: &str) {
        let mut load = redis::cmd("FUNCTION");
        load.arg("LOAD").arg("REPLACE").arg(source).exec(&mut self.connection()).unwrap();
    }

    /// One command, as whoever is allowed everything.
    pub(crate) fn run_command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut self.connection()).unwrap()
    }

    /// The hint of the product "phone".
    pub(crate) fn hint(&self) -> Option<i64> {
        self.run_command(&["GET", "product:{phone}:stock"])
    }

    /// Undecided attempts of the product "phone".
    pub(crate) fn pending(&self) -> usize {
        let count =
            redis::cmd("ZCARD").arg("product:{phone}:pending").query(&mut self.connection());
        // Of another type: not put right yet.
        count.unwrap_or(usize::MAX)
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            kill_process(Pid::from_child(process), signal).unwrap();
        }
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
