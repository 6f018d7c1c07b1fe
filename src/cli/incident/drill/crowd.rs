//! The crowd of the drill: honest shoppers, and a farm of bots that share a device and a network.
//!
//! Both order without pause, also while the sale is stopped, each on a few connections of its own; every answer
//! is kept with its times, so that the drill can say who was told what before and after each of its steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use crate::cli::{Failure, process};
use crate::clock::Clock;
use crate::load::Target;
use crate::load::api::Api;
use crate::load::sessions::Shopper;
use crate::load::shot::sign;
use crate::sale::ProductId;

/// The fingerprint that all bots send.
pub(super) const FARM: &str = "farm-7";
/// The network that all bots come from.
pub(super) const FARM_NET: &str = "203.0.113.0/24";
/// Connections of each kind.
const CONNECTIONS: usize = 4;
/// Requests a second of each connection.
const PER_SECOND: u64 = 20;

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// Whether it went to a bot.
    pub bot: bool,
    /// When it was asked for (monotonic microseconds).
    pub sent_us: u64,
    /// When it came.
    pub answered_us: u64,
    /// The order, if it was accepted.
    pub order: Option<String>,
    /// `success`, or the code of the refusal.
    pub word: String,
}

/// The running crowd.
pub(super) struct Crowd {
    told: Arc<Mutex<Vec<Told>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

/// Who orders what where.
#[derive(Clone)]
pub(super) struct Plan {
    pub target: Target,
    pub product: ProductId,
    pub honest: Arc<[Shopper]>,
    pub bots: Arc<[Shopper]>,
    pub clock: Clock,
}

impl Crowd {
    /// Begins to order.
    pub(super) fn start(plan: Plan) -> Result<Self, Failure> {
        let (told, stop) = (Arc::<Mutex<Vec<Told>>>::default(), Arc::<AtomicBool>::default());
        let (all, ended) = (told.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("crowd".to_owned()).spawn(move || {
            let runtime = process::runtime()?;
            tokio::task::LocalSet::new().block_on(&runtime, async {
                let mut senders = tokio::task::JoinSet::new();
                for bot in [false, true] {
                    let next = Arc::<AtomicUsize>::default();
                    for _ in 0..CONNECTIONS {
                        let sender = Sender {
                            plan: plan.clone(),
                            bot,
                            next: next.clone(),
                            told: all.clone(),
                            stop: ended.clone(),
                        };
                        senders.spawn_local(sender.run());
                    }
                }
                while senders.join_next().await.is_some() {}
            });
            Ok(())
        })?;
        Ok(Self { told, stop, thread: Some(thread) })
    }

    /// The answers so far that `wanted` wants.
    pub(super) fn told(&self, wanted: impl Fn(&Told) -> bool) -> Vec<Told> {
        self.told.lock().iter().filter(|told| wanted(told)).cloned().collect()
    }

    /// Ends it; safe to repeat.
    pub(super) fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What it failed with shows in what it was not told.
            let _ = thread.join();
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.end();
    }
}

struct Sender {
    plan: Plan,
    bot: bool,
    next: Arc<AtomicUsize>,
    told: Arc<Mutex<Vec<Told>>>,
    stop: Arc<AtomicBool>,
}

impl Sender {
    async fn run(self) {
        let mut api = Api::new(self.plan.target.clone());
        let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / PER_SECOND));
        while !self.stop.load(Ordering::Relaxed) {
            ticks.tick().await;
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let people = if self.bot { &self.plan.bots } else { &self.plan.honest };
            let shopper = &people[number % people.len()];
            let sent_us = self.plan.clock.monotonic_us();
            let Ok(reply) = self.order(&mut api, shopper, number).await else { continue };
            let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            let word = body["code"].as_str().or(body["status"].as_str()).unwrap_or_default();
            let accepted = reply.status == 200 && word == "success";
            let order = accepted.then(|| body["orderId"].as_str().unwrap_or_default().to_owned());
            let answered_us = self.plan.clock.monotonic_us();
            let word = word.to_owned();
            self.told.lock().push(Told { bot: self.bot, sent_us, answered_us, order, word });
        }
    }

    async fn order(
        &self,
        api: &mut Api,
        shopper: &Shopper,
        number: usize,
    ) -> Result<crate::load::api::Reply, crate::load::api::ApiError> {
        let Plan { product, clock, .. } = &self.plan;
        let body = format!(r#"{{"productId":"{product}","userId":"{}"}}"#, shopper.user());
        let time = clock.unix_ms().to_string();
        let key = format!("drill-{number}");
        let signature =
            sign("POST", "/order", body.as_bytes(), time.as_bytes(), key.as_bytes(), shopper.key());
        let signature = std::str::from_utf8(&signature).unwrap_or_default();
        let bearer = format!("Bearer {}", shopper.pass());
        let (address, device) = match self.bot {
            true => (format!("203.0.113.{}", 1 + number % 16), FARM.to_owned()),
            false => (format!("198.51.100.{}", 1 + number % 250), format!("device-{number}")),
        };
        let headers = [
            ("authorization", bearer.as_str()),
            ("x-request-time", time.as_str()),
            ("x-idempotency-key", key.as_str()),
            ("x-signature", signature),
            ("x-forwarded-for", address.as_str()),
            ("x-device-fingerprint", device.as_str()),
        ];
        api.call("POST", "/order", &headers, Some(body.as_bytes())).await
    }
}
