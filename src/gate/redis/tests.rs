//! The gate against real servers, which each test starts for itself.

#![allow(
    clippy::disallowed_methods,
    reason = "tests measure and wait: the ban on clocks is for what they test"
)]

mod acl;
mod cost;
mod differential;
mod faults;
mod forged;
mod loading;
pub(crate) mod server;
mod storm;
mod tls;

use std::time::{Duration, Instant};

use secrecy::SecretString;

use self::server::Server;
use super::*;
use crate::gate::{Origin, Verdict};

/// Attempts may take longer than 50 ms on a machine that runs all tests at once.
const PATIENT: Duration = Duration::from_millis(500);
/// What must come about within some time comes about within this.
const AT_MOST: Duration = Duration::from_secs(15);

fn buyer(n: u32) -> BuyerRef {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    BuyerRef::from_bytes(bytes)
}

fn phone() -> ProductId {
    "phone".parse().unwrap()
}

fn options(url: &str, timeout: Duration) -> Options {
    Options { url: SecretString::from(url), ca_file: None, timeout, rates: Rates::default() }
}

/// A node's gate with one handle, as one serving thread has it.
struct Node {
    gate: RedisGate,
    handle: RedisHandle,
    clock: Clock,
}

impl Node {
    fn start(options: Options) -> Self {
        let clock = Clock::system();
        let gate = RedisGate::start(options, clock.clone()).unwrap();
        let handle = gate.handle();
        Self { gate, handle, clock }
    }

    /// One that Redis answers.
    async fn up(server: &Server, timeout: Duration) -> Self {
        let node = Self::start(options(&server.url(), timeout));
        node.wait_up().await;
        node
    }

    async fn wait_up(&self) {
        until("the gate asks Redis", || self.gate.is_up() && self.handle.is_connected()).await;
    }

    async fn admit(&self, n: u32) -> Verdict {
        self.handle.admit(&phone(), &buyer(n), Origin::default(), self.clock.monotonic_us()).await
    }

    /// The log decides these buyers' attempts and says what is left.
    fn decide(&self, offset: u64, remaining: u32, buyers: impl IntoIterator<Item = u32>) {
        self.gate.level(&phone(), offset, remaining);
        let decided: Vec<_> = buyers.into_iter().map(|n| (phone(), buyer(n))).collect();
        self.gate.settled(&decided);
    }
}

/// Waits for a condition that must come about.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < AT_MOST, "not within {AT_MOST:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs a test as a serving thread runs.
pub(crate) fn on_a_serving_thread<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async { test().await });
}
