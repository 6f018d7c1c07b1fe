//! `incident drill`: an attack against a server of its own, and everything that is done against it, step by step.
//!
//! The server is the real one on a store that goes with the drill. Each step says what it expects, is measured,
//! and ends the drill if that does not come. So a team can see what the commands do before it needs them, and
//! whether they hold on its own machine.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::json;

use self::crowd::{Crowd, Plan, Told};
use crate::app;
use crate::cli::demo::{CLIENT, Secrets, Store};
use crate::cli::{Exit, Failure, Machine, limits, process};
use crate::load::Target;
use crate::load::api::Api;
use crate::load::sessions::{Credentials, Shopper, open_crowd};
use crate::sale::ProductId;
use crate::telemetry;

mod crowd;
mod steps;

const PRODUCT: &str = "drill-phone";
/// Units for sale: more than can be sold while it lasts.
const UNITS: u32 = 100_000;
/// Shoppers, and bots.
const PEOPLE: usize = 2_000;

/// Play an attack and walk through all that is done against it, in half a minute.
///
/// Starts a server of its own on a temporary store, lets honest shoppers and a farm of bots order, and then: sees
/// it, stops the sale, investigates, shows what a reversal would do, reverses with restock, tightens a limit, blocks
/// the farm, resumes, writes the report and checks it. The exit code is 0 only if every step did what it must.
#[derive(clap::Args)]
pub(super) struct Drill {
    /// Keep the report in this directory, which is made.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The running drill.
struct Stage<'a> {
    machine: &'a mut Machine<'a>,
    runtime: tokio::runtime::Runtime,
    operator: Api,
    public: Api,
    product: ProductId,
    crowd: Crowd,
    report: PathBuf,
    number: u32,
    operations: u32,
}

/// What a step came to.
struct Seen {
    held: bool,
    what: String,
}

impl Seen {
    fn of(held: bool, what: impl Into<String>) -> Self {
        Self { held, what: what.into() }
    }
}

/// A step did not hold.
struct NotHeld;

impl Drill {
    pub(super) fn run(self, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
        let filter = machine.variable("RUST_LOG").unwrap_or("off");
        telemetry::start(telemetry::Format::of_terminal(), Some(filter))?;
        self.perform(machine)
    }

    fn perform(self, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
        let began_us = machine.clock.monotonic_us();
        limits::raise_open_files();
        let store = Store::make(machine)?;
        let secrets = Secrets::make(machine)?;
        let mut config = secrets.config(&store.0.join("data"))?;
        // The drill is of an attack that gets past it.
        config.score.enabled = false;
        // So that each of the crowd has an address of its own.
        config.http.trusted_proxies =
            vec![ipnet::Ipv4Net::from(std::net::Ipv4Addr::LOCALHOST).into()];
        let server = app::start(config, machine.clock.clone())?;
        let public = Target::plain(server.public_address());
        let mut operator =
            Api::operator(Target::plain(server.operator_address()), secrets.token.clone());
        let held = (|| {
            let runtime = process::runtime()?;
            let product: ProductId = PRODUCT.parse()?;
            writeln!(
                machine.out,
                "A server of its own at {}; {PEOPLE} shoppers and {PEOPLE} bots get their sessions.",
                public.url()
            )?;
            let credentials = Credentials::new(CLIENT, secrets.client.expose_secret());
            let people = |prefix| -> Result<std::sync::Arc<[Shopper]>, Failure> {
                let clock = &machine.clock;
                Ok(open_crowd(&public, &credentials, prefix, PEOPLE, clock, |_| {})?.shoppers)
            };
            let (honest, bots) = (people("shopper")?, people("bot")?);
            let body = json!({"productId": product, "quantity": UNITS}).to_string();
            let headers = [("idempotency-key", "drill-opening")];
            let opened = operator.call("POST", "/admin/products", &headers, Some(body.as_bytes()));
            runtime.block_on(opened)?.expect_json::<serde_json::Value>(201)?;
            let clock = machine.clock.clone();
            let plan = Plan { target: public.clone(), product, honest, bots, clock };
            let mut machine = Machine {
                environment: Vec::new(),
                clock: machine.clock.clone(),
                fill: machine.fill,
                out: &mut *machine.out,
            };
            let mut stage = Stage {
                machine: &mut machine,
                runtime,
                operator,
                public: Api::new(public),
                product,
                crowd: Crowd::start(plan)?,
                report: self.out.unwrap_or_else(|| store.0.join("report")),
                number: 0,
                operations: 0,
            };
            let held = stage.walk();
            stage.crowd.end();
            held
        })();
        server.stop();
        let took_us = machine.clock.monotonic_us().saturating_sub(began_us);
        let held = held?;
        let verdict = if held.is_ok() { "every step held" } else { "A STEP DID NOT HOLD" };
        writeln!(machine.out, "{verdict}, {:.1} s in all", took_us as f64 / 1e6)?;
        Ok(if held.is_ok() { Exit::Done } else { Exit::Failed })
    }
}

impl Stage<'_> {
    /// Does one step and tells of it. A step that cannot be done does not hold.
    fn step(
        &mut self,
        name: &str,
        expected: &str,
        run: impl FnOnce(&mut Self) -> Result<Seen, Failure>,
    ) -> Result<Result<(), NotHeld>, Failure> {
        self.number += 1;
        let began_us = self.now_us();
        let seen = run(self).unwrap_or_else(|failure| Seen::of(false, failure.message));
        let took_ms = self.now_us().saturating_sub(began_us) as f64 / 1e3;
        let word = if seen.held { "ok" } else { "NOT HELD" };
        writeln!(
            self.machine.out,
            "{:2}  {name:<12} {took_ms:8.1} ms  {word}\n      expected: {expected}\n      came:     {}",
            self.number, seen.what
        )?;
        self.machine.out.flush()?;
        Ok(if seen.held { Ok(()) } else { Err(NotHeld) })
    }

    fn now_us(&self) -> u64 {
        self.machine.clock.monotonic_us()
    }

    fn get(&mut self, path: &str) -> Result<serde_json::Value, Failure> {
        Ok(self.runtime.block_on(self.operator.get(path))?)
    }

    /// A change through the operator's listener.
    fn post(&mut self, path: &str, body: &serde_json::Value) -> Result<serde_json::Value, Failure> {
        self.operations += 1;
        let key = format!("drill-{}", self.operations);
        let headers = [("idempotency-key", key.as_str())];
        let body = body.to_string();
        let call = self.operator.call("POST", path, &headers, Some(body.as_bytes()));
        Ok(self.runtime.block_on(call)?.expect_json(200)?)
    }

    fn product(&mut self) -> Result<serde_json::Value, Failure> {
        let path = format!("/admin/products/{}", self.product);
        self.get(&path)
    }

    /// Waits until something holds, for so many milliseconds at most.
    fn wait_for(
        &mut self,
        ms_max: u64,
        mut holds: impl FnMut(&mut Self) -> Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        let until_us = self.now_us() + ms_max * 1_000;
        loop {
            if holds(self)? {
                return Ok(true);
            }
            if self.now_us() >= until_us {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Answers that were asked for after a moment, of bots or of shoppers.
    fn answers(&self, after_us: u64, bot: bool) -> Vec<Told> {
        self.crowd.told(|told| told.bot == bot && told.sent_us > after_us)
    }
}
