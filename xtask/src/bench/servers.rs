//! The two servers as processes, and what the system says of them.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};

use super::client::Marks;
use crate::support::draft::Draft;
use crate::support::server::{ADMIN_TOKEN, Server};
use crate::support::wire::exchange;

/// Units of time in `/proc/PID/stat` a second: `USER_HZ` is 100 on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// The API client that the bench sends as.
pub const CLIENT_ID: &str = "bench";
/// Its secret.
pub const CLIENT_SECRET: &str = "client-secret-of-the-bench-0123456789abcdef";
/// The secret behind order ids.
pub const ORDER_KEY: &str = "order-key-of-the-bench-0123456789abcdef0123";
/// The secret behind buyer references.
pub const BUYER_KEY: &str = "buyer-key-of-the-bench-0123456789abcdef0123";

/// The least time between two attempts of a buyer, as configured by default, in milliseconds.
#[cfg(feature = "distributed")]
pub const MIN_INTERVAL_MS: u64 = 100;

/// Every limit is on and charged; none is reached, since the limits of one machine's address and of one
/// client are not what is measured.
pub fn config(min_interval_ms: u64) -> String {
    config_with(min_interval_ms, "")
}

/// The same with more lines in its section of secrets, and more sections after them.
pub fn config_with(min_interval_ms: u64, more_secrets: &str) -> String {
    format!(
        r#"
[limits]
node_per_second = 1000000
product_per_second = 1000000
ip_per_second = 1000000
ip_burst = 1000000
fingerprint_per_second = 1000000
buyer_per_second = 1000000
client_per_second = 1000000
min_interval_ms = {min_interval_ms}

[secrets]
order_key = "{ORDER_KEY}"
buyer_key = "{BUYER_KEY}"
pass_keys = "1:pass-key-of-the-bench-0123456789abcdef01234"
{more_secrets}

[[clients]]
id = "{CLIENT_ID}"
secrets = ["{CLIENT_SECRET}"]
"#
    )
}

/// A server to compare with, such as the bare one.
pub struct Echo {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Echo {
    /// Starts it.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_as(&["echo"])
    }

    /// Starts this program as one of the servers to compare with, which says on its first line where.
    pub fn start_as(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the server to compare with")?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().parse().context("the server to compare with did not start")?;
        Ok(Self { child, address })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program under test, of the same profile as this one.
pub fn program() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    Ok(here.parent().context("a program is in a directory")?.join("flux-gate"))
}

/// Starts the program on the store in `dir`.
pub fn start(dir: &Path, min_interval_ms: u64) -> anyhow::Result<Server> {
    Server::start(&program()?, dir, &config(min_interval_ms))
}

/// One call of the operator's, hoping for a 2xx.
pub fn operate(server: &Server, method: &str, target: &str, body: &str) -> anyhow::Result<String> {
    let draft = Draft::new(method, target, body)
        .set("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .set("content-type", "application/json")
        .set("connection", "close");
    let answer = exchange(server.operator, None, &draft.bytes())?.context("no answer")?;
    ensure!(answer.status / 100 == 2, "{method} {target}: {}", answer.text());
    Ok(answer.text())
}

/// Opens a sale without a repeat window.
pub fn create(server: &Server, product: &str, quantity: u32) -> anyhow::Result<()> {
    let body = format!(
        r#"{{"productId":"{product}","quantity":{quantity},"perBuyerLimit":1,"repeatWindowSeconds":0}}"#
    );
    operate(server, "POST", "/admin/products", &body).map(drop)
}

/// Processor time of a process within a window, in seconds.
pub struct CpuTime {
    pid: u32,
    begin_s: f64,
    /// What it has used.
    pub used_s: f64,
}

impl CpuTime {
    /// Of this process.
    pub fn of(pid: u32) -> Self {
        Self { pid, begin_s: 0.0, used_s: 0.0 }
    }
}

impl Marks for CpuTime {
    fn begin(&mut self) {
        self.begin_s = cpu_seconds(self.pid).unwrap_or(f64::NAN);
    }

    fn end(&mut self) {
        self.used_s = cpu_seconds(self.pid).unwrap_or(f64::NAN) - self.begin_s;
    }
}

/// User and system time of a process so far; all its threads.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    stat_seconds(pid, 2)
}

/// The same with that of its children who have ended.
pub fn cpu_seconds_with_children(pid: u32) -> Option<f64> {
    stat_seconds(pid, 4)
}

/// The sum of the first fields of user, system, children's user and children's system time.
fn stat_seconds(pid: u32, fields: usize) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold blanks; after its bracket the fields are counted from the third.
    let times = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(fields);
    let ticks: Vec<f64> = times.map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// Resident memory of a process, in bytes.
pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib * 1_024)
}
