//! `load`: the load generator at the command line.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;

use crate::cli::when::duration_ms;
use crate::cli::{Common, Exit, Failure, Machine, limits, process, shop, tell};
use crate::config::Config;
use crate::load::api::Api;
use crate::load::live::Live;
use crate::load::page;
use crate::load::plan::ATTEMPTS_MAX;
use crate::load::report::{Style, latency_table, millis, rules_table, senders_table, thousands};
use crate::load::verify::{self, Check, Told};
use crate::load::{self, Mix, Pace, Plan, Report, Target};
use crate::sale::ProductId;

mod compare;
mod plan;

use plan::{Shape, Unsigned};

/// Send load to a server of yours, and check that it keeps the rules.
///
/// Open loop unless --closed: attempts arrive by a schedule, and latency counts from the time at which an
/// attempt was due. With --buyers, shoppers with session passes send, else the API client itself. With
/// --admin, the rules are checked against the operator's books at the end. --html writes a page with plots.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate load --product iphone-15 --rate 2000 --buyers 5000 --duration 30s --html report.html
  flux-gate load --product iphone-15 --profile ramp --rate 20000 --duration 2m --html report.html
  flux-gate load --product iphone-15 --profile spike --rate 200 --peak 5000
  flux-gate load --product iphone-15 --profile soak --rate 500 --duration 1h --json soak.json
  flux-gate load --stock 100 --admin http://127.0.0.1:3001 --mix honest=90,replay=4,forge=3,flood=3 \\
      --buyers 2000 --source-addresses 200
  flux-gate load http://127.0.0.1:3000 --product bench-1 --closed --connections 256 --requests 500000 \\
      --json -
  flux-gate load --compare http://127.0.0.1:3000 http://127.0.0.1:4000 --product bench-1 --closed
  flux-gate load --compare http://127.0.0.1:3000 http://127.0.0.1:8080 --unsigned=b --product bench-1 \\
      --closed --pairs 9 --duration 10s

Profiles: steady keeps the rate for 10 s; ramp goes from a tenth of it (--from) up to it in 30 s; spike
keeps it and takes ten times as much (--peak) in the middle fifth of 30 s; soak is steady for 10 min.

The server's limits apply: an API client may make 5,000 requests a second unless limits.client_per_second
says otherwise, an address 10 a second before it has proved who it is.")]
pub(super) struct Load {
    /// The public listener (default: that of the configuration).
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// What is bought.
    #[arg(long, value_name = "ID", required_unless_present = "stock")]
    product: Option<ProductId>,
    /// Open a sale of so many units first (through the operator's listener).
    #[arg(long, value_name = "UNITS")]
    stock: Option<u32>,
    /// How the rate goes over the time.
    #[arg(long, value_enum, default_value_t = Shape::Steady)]
    profile: Shape,
    /// Attempts a second, by schedule [default: 500].
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "closed")]
    rate: Option<u32>,
    /// Attempts a second at the beginning of a ramp [default: a tenth of the rate].
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "closed")]
    from: Option<u32>,
    /// Attempts a second in the middle of a spike [default: ten times the rate].
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "closed")]
    peak: Option<u32>,
    /// Each connection sends the next request when the answer has come.
    #[arg(long)]
    closed: bool,
    /// Two servers under the same load in turn, and the ratios of their figures; both have the product.
    #[arg(long, num_args = 2, value_names = ["URL_A", "URL_B"],
        conflicts_with_all = ["url", "stock", "admin", "html"])]
    compare: Option<Vec<String>>,
    /// Pairs of runs of a comparison [default: 5].
    #[arg(long, value_name = "N", requires = "compare")]
    pairs: Option<u32>,
    /// Send the plain `POST /order`, for a server that asks for no signature; =a or =b is one side of a
    /// comparison.
    #[arg(long, value_enum, value_name = "WHICH", num_args = 0..=1, require_equals = true,
        default_missing_value = "both")]
    unsigned: Option<Unsigned>,
    /// Keep-alive connections.
    #[arg(long, value_name = "N", default_value_t = 64)]
    connections: usize,
    /// Length of the run, such as 30s or 2m [default: by the profile; 5s for each run of a comparison].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Attempts of the run; without --duration it ends with them.
    #[arg(long, value_name = "N")]
    requests: Option<u64>,
    /// Who sends, by weight.
    #[arg(long, value_name = "MIX", default_value = "honest=1")]
    mix: Mix,
    /// The API client to speak as, or to obtain passes as.
    #[arg(long, value_name = "ID:SECRET")]
    client: Option<String>,
    /// Shoppers with session passes, obtained before the start.
    #[arg(long, value_name = "N", conflicts_with_all = ["users", "unsigned"])]
    buyers: Option<usize>,
    /// Users of the API client; 0 is a new one for each attempt.
    #[arg(long, value_name = "N", default_value_t = 0)]
    users: u64,
    /// Addresses of 127.0.0.0/8 to send from, so that limits by address are real; 0 leaves it to the system.
    #[arg(long, value_name = "N", default_value_t = 0)]
    source_addresses: u32,
    /// Retries of an honest attempt that was answered 429 or 503, with the same key.
    #[arg(long, value_name = "N", default_value_t = 5)]
    retries: u32,
    /// Threads [default: half the cores].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Seed of all choices, and name of the run's keys. Random unless given.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// The operator's listener: check the rules at the end.
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// The operator's token (default: as for `flux-gate sale`).
    #[arg(long, value_name = "TOKEN")]
    admin_token: Option<SecretString>,
    /// Certificates (PEM) to trust, for https.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Write the report as JSON to a file, or - for standard output (the table then goes to standard error).
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as a page with plots, which stands by itself.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The server is not on this machine, and is yours.
    #[arg(long)]
    i_own_this_server: bool,
}

impl Load {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        self.check_profile()?;
        let config = common.load(machine, Vec::new())?.config;
        if let Some(urls) = &self.compare {
            return compare::run(&self, urls, machine, &config);
        }
        let target = self.target(self.url.as_deref(), &config)?;
        limits::raise_open_files();
        let seed = self.seed.map_or_else(|| shop::seed(machine), Ok)?;
        let product = match self.product {
            Some(product) => product,
            None => format!("load-{seed:x}").parse()?,
        };
        let runtime = process::runtime()?;
        let mut operator = self.operator(&config)?;
        let mut sold_before = 0;
        if let Some(operator) = &mut operator {
            if let Some(units) = self.stock {
                runtime.block_on(open_sale(operator, &product, units, seed))?;
            }
            sold_before = runtime.block_on(verify::read_product(operator, &product))?.sold;
        }
        let unsigned = self.unsigned.is_some();
        let mut plan = self.plan(target, product, seed, unsigned, &machine.clock, &config)?;
        plan.forgets_orders = operator.is_none();
        let report = watch(&plan, machine)?;
        let mut checks = None;
        if let Some(operator) = &mut operator {
            let books = runtime.block_on(verify::read_books(operator, &product))?;
            checks = Some(verify::check(&books, &Told::of(&report.tally, sold_before)));
        }
        self.write(&report, checks.as_deref(), machine)?;
        let broken = checks.iter().flatten().any(|check| !check.passed);
        let answered = report.tally.counts.accepted + report.tally.counts.refused > 0;
        let failed = broken || !answered || report.tally.server_lost;
        Ok(if failed { Exit::Failed } else { Exit::Done })
    }

    /// A server that may be sent load.
    fn target(&self, url: Option<&str>, config: &Config) -> Result<Target, Failure> {
        let target = shop::public_target(url, self.ca_file.as_ref(), config)?;
        Ok(target.only_loopback_unless(self.i_own_this_server)?)
    }

    fn operator(&self, config: &Config) -> Result<Option<Api>, Failure> {
        if self.admin.is_none() && self.stock.is_none() {
            return Ok(None);
        }
        let (url, token) = (self.admin.as_deref(), self.admin_token.as_ref());
        let (target, token) = shop::operator(url, self.ca_file.as_ref(), token, config)?;
        let target = target.only_loopback_unless(self.i_own_this_server)?;
        Ok(Some(Api::operator(target, token)))
    }

    fn write(
        &self,
        report: &Report,
        checks: Option<&[Check]>,
        machine: &mut Machine<'_>,
    ) -> Result<(), Failure> {
        if let Some(path) = &self.html {
            write_file(path, &page::page(report, checks))?;
        }
        let table = |style| self::table(report, checks, style);
        self.write_results(&report.summary(checks), table, machine)
    }

    /// Writes the results as JSON, where that was asked for, and as a table.
    fn write_results(
        &self,
        summary: &impl Serialize,
        table: impl Fn(Style) -> String,
        machine: &mut Machine<'_>,
    ) -> Result<(), Failure> {
        let to_stdout = self.json.as_ref().is_some_and(|path| path.as_os_str() == "-");
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(summary)? + "\n";
            if to_stdout {
                machine.out.write_all(text.as_bytes())?;
            } else {
                write_file(path, &text)?;
            }
        }
        if to_stdout {
            let table = table(style(machine, std::io::stderr().is_terminal()));
            std::io::Write::write_all(&mut std::io::stderr(), table.as_bytes())?;
        } else {
            let table = table(style(machine, std::io::stdout().is_terminal()));
            machine.out.write_all(table.as_bytes())?;
        }
        Ok(())
    }
}

fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

/// Colours on a terminal, unless the user wants none (<https://no-color.org>).
pub(super) fn style(machine: &Machine<'_>, terminal: bool) -> Style {
    let unwanted = machine.variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    if terminal && !unwanted { Style::Terminal } else { Style::Plain }
}

/// Runs a plan with the live view; Ctrl-C ends it early, with its report.
pub(super) fn watch(plan: &Plan, machine: &Machine<'_>) -> Result<Report, Failure> {
    let by_count = plan.attempts_max < ATTEMPTS_MAX;
    let total = if by_count { plan.attempts_max } else { plan.duration_ms_max };
    let mut live = Live::new("load", total);
    let run = |stop: &load::Stop| {
        load::run(plan, &machine.clock, stop, |snapshot| {
            let position = if by_count { snapshot.ended } else { snapshot.elapsed_ms };
            live.show(snapshot, position);
        })
    };
    let report = process::until_interrupted(run)??;
    live.clear();
    if report.tally.server_lost {
        tell("the server went away in the middle of the run");
    }
    Ok(report)
}

/// Opens a sale of a new product, through the operator's listener.
async fn open_sale(
    operator: &mut Api,
    product: &ProductId,
    units: u32,
    seed: u64,
) -> Result<(), Failure> {
    let body = json!({"productId": product, "quantity": units}).to_string();
    let key = format!("load-{seed:x}");
    let headers = [("idempotency-key", key.as_str())];
    let reply = operator.call("POST", "/admin/products", &headers, Some(body.as_bytes())).await?;
    reply.expect_json::<serde_json::Value>(201)?;
    Ok(())
}

fn table(report: &Report, checks: Option<&[Check]>, style: Style) -> String {
    let tally = &report.tally;
    let pace = report.pace_in_words();
    let ended = tally.counts.ended();
    let mut table = format!(
        "\n  {} · {pace} · {} connections · {:.1} s · {}\n\n",
        style.bold(&report.product),
        thousands(report.connections as u64),
        report.seconds(),
        style.bold(&format!("{} requests a second", thousands(report.per_second(ended) as u64))),
    );
    table += &senders_table(tally, style);
    table.push('\n');
    table += &latency_table(tally, report.pace, style);
    let late = |quantile| millis(tally.lateness.value_at_quantile(quantile));
    if tally.given_up + tally.unsent + tally.retries > 0 || report.pace != Pace::Closed {
        table += &style.dim(&format!(
            "  retries {} · given up {} · never sent {} · own lateness p50 {} p99 {} ms\n",
            thousands(tally.retries),
            thousands(tally.given_up),
            thousands(tally.unsent),
            late(0.50),
            late(0.99),
        ));
    }
    table += &style.dim(&format!(
        "  own processor time {:.1} µs a request, {:.0} % of one core\n",
        report.own_cpu_us_per_request(),
        report.own_cores() * 100.0,
    ));
    if let Some(checks) = checks {
        table.push('\n');
        table += &rules_table(checks, style);
    }
    table
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; write such as 500ms, 30s or 1h30m");
    duration_ms(text).map(Duration::from_millis).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::call;

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "10", "s", "1y", "-1s", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_server_elsewhere_is_refused_before_anything_is_sent() {
        let called = call(&["load", "http://192.0.2.1", "--product", "p-1"], &[]);
        assert_eq!(called.exit, Exit::Failed);
        assert!(called.message.contains("--i-own-this-server"), "{called:?}");
        let compare = ["load", "--compare", "http://127.0.0.1:1", "http://192.0.2.1", "--unsigned"];
        let called = call(&[&compare[..], &["--product", "p-1"]].concat(), &[]);
        assert!(called.message.contains("--i-own-this-server"), "{called:?}");
    }

    #[test]
    fn what_contradicts_itself_is_a_wrong_command_line() {
        let both = ["load", "--product", "p-1", "--closed", "--rate", "5"];
        let compare = ["load", "--product", "p", "--compare", "http://127.0.0.1:1"];
        let two = [&compare[..], &["http://127.0.0.1:2"]].concat();
        for arguments in [
            &["load"][..],
            &both,
            &["load", "--product", "p", "--mix", "bots=1"],
            &["load", "--product", "p", "--profile", "wave"],
            &["load", "--product", "p", "--peak", "5"],
            &["load", "--product", "p", "--profile", "spike", "--from", "5"],
            &["load", "--product", "p", "--profile", "ramp", "--closed"],
            &["load", "--product", "p", "--pairs", "3"],
            &["load", "--product", "p", "--unsigned=a"],
            &compare,
            &[&two[..], &["--html", "f"]].concat(),
            &[&two[..], &["--stock", "5"]].concat(),
        ] {
            let called = call(arguments, &[]);
            assert_eq!(called.exit, Exit::Usage, "{arguments:?}: {}", called.message);
        }
    }
}
