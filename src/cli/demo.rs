//! `demo`: a whole flash sale in a quarter of a minute, and the proof that it kept the rules.
//!
//! The server is the real one with its default limits, on a store of its own that goes with the demo; the
//! crowd speaks to it over HTTP and knows nothing but the contract.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::app;
use crate::cli::load::{style, watch};
use crate::cli::{Common, Exit, Failure, Machine, limits, process, shop};
use crate::config::{ApiClient, ClientRole, Config};
use crate::load::api::Api;
use crate::load::live::Live;
use crate::load::plan::open_files_max;
use crate::load::report::{Style, latency_table, rules_table, senders_table, thousands};
use crate::load::sessions::{Credentials, open_crowd};
use crate::load::verify::{self, Books, Check, Told};
use crate::load::{Identity, Mix, Pace, Plan, Report, Target};
use crate::sale::ProductId;
use crate::telemetry;

pub(super) const CLIENT: &str = "demo-shop";
const PRODUCT: &str = "last-hundred";
/// The crowd: most are honest. Weights in the order of `Kind::ALL`.
const MIX: [u32; 4] = [85, 6, 5, 4];
/// Connections of the crowd, where as many files may be open.
const CONNECTIONS: usize = 1_000;
/// Addresses of the crowd.
const ADDRESSES: u32 = 500;
/// The crowd comes this much before the sale opens, in milliseconds.
const EARLY_MS: u64 = 1_000;
/// Lowest number of open files with which the demo begins.
const OPEN_FILES_MIN: usize = 300;

/// Watch a flash sale: 100 units, thousands of shoppers, bots among them.
///
/// Starts the server on a temporary store, sends tens of thousands of signed HTTP requests from shoppers of
/// whom some replay, some forge and some flood, and ends with a table of what was sold, who was refused and
/// why, and the rules checked. The exit code is 1 if any rule was broken.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate demo
  flux-gate demo --keep
  flux-gate demo --units 1000 --buyers 20000 --requests 100000 --rate 6000")]
pub(super) struct Demo {
    /// Units for sale.
    #[arg(long, default_value_t = 100, value_name = "N")]
    units: u32,
    /// Shoppers with session passes.
    #[arg(long, default_value_t = 5_000, value_name = "N")]
    buyers: usize,
    /// Requests, without retries.
    #[arg(long, default_value_t = 36_000, value_name = "N")]
    requests: u64,
    /// Requests a second.
    #[arg(long, default_value_t = 3_000, value_name = "N")]
    rate: u32,
    /// Leave the server running afterwards, and print commands to try.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub(super) fn run(self, machine: &mut Machine<'_>, _: &Common) -> Result<Exit, Failure> {
        let filter = machine.variable("RUST_LOG").unwrap_or("error");
        telemetry::start(telemetry::Format::of_terminal(), Some(filter))?;
        self.perform(machine)
    }

    fn perform(self, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
        let started_us = machine.clock.monotonic_us();
        limits::raise_open_files();
        let store = Store::make(machine)?;
        let secrets = Secrets::make(machine)?;
        let server = app::start(secrets.config(&store.0)?, machine.clock.clone())?;
        let stage = Stage {
            public: Target::plain(server.public_address()),
            operator: Target::plain(server.operator_address()),
            product: PRODUCT.parse()?,
            secrets,
        };
        tell_progress(&format!(
            "The server runs at {} on a store of its own. {} shoppers get in line.",
            stage.public.url(),
            thousands(self.buyers as u64)
        ));
        let outcome = self.play(&stage, machine);
        if let Ok(outcome) = &outcome {
            let style = style(machine, std::io::stdout().is_terminal());
            let took_us = machine.clock.monotonic_us().saturating_sub(started_us);
            let page = self.page(outcome, took_us, style);
            machine.out.write_all(page.as_bytes())?;
            if self.keep {
                machine.out.write_all(stage.commands(style).as_bytes())?;
                machine.out.flush()?;
                process::runtime()?.block_on(process::interrupted())?;
            }
        }
        server.stop();
        let broken = outcome?.checks.iter().any(|check| !check.passed);
        Ok(if broken { Exit::Failed } else { Exit::Done })
    }

    /// The sale from its announcement to the last answer, and the look into the books.
    fn play(&self, stage: &Stage, machine: &Machine<'_>) -> Result<Outcome, Failure> {
        let credentials = Credentials::new(CLIENT, stage.secrets.client.expose_secret());
        let live = Live::new("passes", self.buyers as u64);
        let progress = |done| live.count(done as u64);
        let clock = &machine.clock;
        let crowd =
            open_crowd(&stage.public, &credentials, "shopper", self.buyers, clock, progress)?;
        live.clear();
        let runtime = process::runtime()?;
        let mut operator = Api::operator(stage.operator.clone(), stage.secrets.token.clone());
        let opens_at_ms = clock.unix_ms() + EARLY_MS;
        runtime.block_on(self.announce(&mut operator, &stage.product, opens_at_ms))?;
        let plan = self.plan(stage, Identity::Shoppers(crowd.shoppers), shop::seed(machine)?)?;
        let report = watch(&plan, machine)?;
        let books = runtime.block_on(verify::read_books(&mut operator, &stage.product))?;
        let checks = verify::check(&books, &Told::of(&report.tally, 0));
        Ok(Outcome { report, books, checks })
    }

    async fn announce(
        &self,
        operator: &mut Api,
        product: &ProductId,
        opens_at_ms: u64,
    ) -> Result<(), Failure> {
        let body = json!({"productId": product, "quantity": self.units, "opensAt": opens_at_ms});
        let (body, key) = (body.to_string(), [("idempotency-key", "demo-opening")]);
        let reply = operator.call("POST", "/admin/products", &key, Some(body.as_bytes())).await?;
        reply.expect_json::<serde_json::Value>(201)?;
        Ok(())
    }

    fn plan(&self, stage: &Stage, identity: Identity, seed: u64) -> Result<Plan, Failure> {
        let mut plan = Plan::new(stage.public.clone(), stage.product, identity, seed);
        plan.pace = Pace::Open { per_second: self.rate };
        plan.mix = Mix::new(MIX).expect("not all weights are 0");
        plan.attempts_max = self.requests;
        // A little more than the schedule needs: the number ends the run.
        plan.duration_ms_max = self.requests * 1_000 / u64::from(self.rate.max(1)) + 5_000;
        plan.connections = connections()?.min(self.buyers);
        plan.source_addresses = if HAS_LOOPBACK_NET { ADDRESSES } else { 0 };
        Ok(plan)
    }

    fn page(&self, outcome: &Outcome, took_us: u64, style: Style) -> String {
        let Outcome { report, books, checks } = outcome;
        let tally = &report.tally;
        let (sold, units) = (books.product.sold, books.product.capacity);
        let mut page = format!(
            "\n  {}\n\n  {} shoppers, bots among them, sent {} signed requests over HTTP in {:.1} s.\n\n",
            style.bold(&format!("Flux-Gate: a flash sale of {} units", thousands(units))),
            thousands(self.buyers as u64),
            thousands(tally.counts.ended()),
            report.seconds(),
        );
        let headline = format!("SOLD {} OF {}", thousands(sold), thousands(units));
        page += &format!(
            "  {} · {} orders in the ledger · {} were answered \"accepted\"\n\n",
            if sold == units { style.good(&headline) } else { style.bad(&headline) },
            thousands(books.orders.len() as u64),
            thousands(tally.counts.accepted),
        );
        page += &senders_table(tally, style);
        page.push('\n');
        page += &latency_table(tally, report.pace, style);
        page.push('\n');
        page += &rules_table(checks, style);
        let broken = checks.iter().filter(|check| !check.passed).count();
        let verdict = match broken {
            0 => style.good("every rule held"),
            1 => style.bad("1 RULE WAS BROKEN"),
            more => style.bad(&format!("{more} RULES WERE BROKEN")),
        };
        page += &format!("\n  {verdict}, {:.1} s in all\n", took_us as f64 / 1e6);
        page
    }
}

/// Says on standard error what is going on; if that is closed, nobody wants to know.
fn tell_progress(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "\n  {text}");
}

/// What the demo came to.
struct Outcome {
    report: Report,
    books: Books,
    checks: Vec<Check>,
}

/// The running server, as the crowd and the operator see it.
struct Stage {
    public: Target,
    operator: Target,
    product: ProductId,
    secrets: Secrets,
}

impl Stage {
    fn commands(&self, style: Style) -> String {
        let (public, operator, product) = (self.public.url(), self.operator.url(), &self.product);
        let token = self.secrets.token.expose_secret();
        let client = format!("{CLIENT}:{}", self.secrets.client.expose_secret());
        let program = std::env::args().next().unwrap_or_else(|| "flux-gate".to_owned());
        format!(
            "\n  {}\n
    curl {public}/products/{product}
    curl -H 'authorization: Bearer {token}' {operator}/admin/products/{product}
    FLUX_GATE__ADMIN__TOKEN={token} \\
      {program} sale restock {product} --quantity 10 --url {operator}
    {program} order {product} alice --url {public} \\
      --client {client}\n",
            style.bold("It keeps running until Ctrl-C. To try, in another terminal:"),
        )
    }
}

/// The secrets of one demo.
pub(super) struct Secrets {
    order_key: SecretString,
    buyer_key: SecretString,
    pass_keys: SecretString,
    pub(super) token: SecretString,
    pub(super) client: SecretString,
}

impl Secrets {
    pub(super) fn make(machine: &Machine<'_>) -> Result<Self, Failure> {
        Ok(Self {
            order_key: machine.random_hex::<32>()?.into(),
            buyer_key: machine.random_hex::<32>()?.into(),
            pass_keys: format!("demo:{}", machine.random_hex::<32>()?).into(),
            token: machine.random_hex::<16>()?.into(),
            client: machine.random_hex::<16>()?.into(),
        })
    }

    /// The default configuration, but for ports, store and secrets.
    pub(super) fn config(&self, store: &Path) -> Result<Config, Failure> {
        let mut config = Config::default();
        config.http.listen = ([127, 0, 0, 1], 0).into();
        config.http.drain_delay_ms = 0;
        config.admin.listen = ([127, 0, 0, 1], 0).into();
        config.admin.token = Some(self.token.clone());
        config.data.dir = store.to_owned();
        config.secrets.order_key = Some(self.order_key.clone());
        config.secrets.buyer_key = Some(self.buyer_key.clone());
        config.secrets.pass_keys = Some(self.pass_keys.clone());
        config.clients = vec![ApiClient {
            id: CLIENT.to_owned(),
            secrets: vec![self.client.clone()],
            roles: vec![ClientRole::Order, ClientRole::Session, ClientRole::Fulfilment],
            name_space: "shop".to_owned(),
        }];
        if !HAS_LOOPBACK_NET {
            // All come from one address there, which says nothing of any of them.
            config.limits.ip_per_second = 0;
        }
        Ok(config)
    }
}

/// Whether all of 127.0.0.0/8 is this machine, as it is on Linux alone.
const HAS_LOOPBACK_NET: bool = cfg!(target_os = "linux");

/// A store that goes with the demo.
pub(super) struct Store(pub(super) PathBuf);

impl Store {
    pub(super) fn make(machine: &Machine<'_>) -> Result<Self, Failure> {
        let name = format!("flux-gate-demo-{}", machine.random_hex::<8>()?);
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // What cannot be removed stays in the directory for temporary files, which is what that is for.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Connections for which there are files enough: each has two ends in this process.
fn connections() -> Result<usize, Failure> {
    match open_files_max() {
        Some(allowed) if allowed < OPEN_FILES_MIN => Err(Failure::new(format!(
            "this shell allows {allowed} open files; the demo needs {OPEN_FILES_MIN}: ulimit -n 4096"
        ))),
        Some(allowed) => Ok(CONNECTIONS.min((allowed - 200) / 2)),
        None => Ok(CONNECTIONS.min(400)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_small_demo_sells_all_keeps_the_rules_and_fits_on_a_plain_screen() {
        let mut out = Vec::new();
        let mut machine = Machine {
            environment: Vec::new(),
            clock: Clock::system(),
            fill: &|bytes| {
                app::random(bytes);
                Ok(())
            },
            out: &mut out,
        };
        let demo = Demo { units: 20, buyers: 80, requests: 1_500, rate: 750, keep: false };
        assert_eq!(demo.perform(&mut machine).unwrap(), Exit::Done);
        let page = String::from_utf8(out).unwrap();
        assert!(page.contains("SOLD 20 OF 20"), "{page}");
        assert!(page.contains("every rule held"), "{page}");
        assert!(page.lines().count() <= 40, "{page}");
        assert!(page.lines().all(|line| line.chars().count() <= 100), "{page}");
        assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page:?}");
    }
}
