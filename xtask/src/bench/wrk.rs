//! The program's own load generator beside wrk, on the same server in turn: `flux-gate load --closed` must
//! find what wrk finds.
//!
//! Two servers: the bare echo, where the client is the larger part of a request, and the program with a
//! product that is sold out, where requests are signed. wrk sends one request again and again, signed once;
//! the generator signs each and gives each a key of its own. Both have one thread, the same connections, and
//! the processor time of both is taken from the same place.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use aws_lc_rs::hmac;
use flux_gate::load::shot::sign;
use flux_gate::load::spread::{Spread, in_turn};
use serde::Serialize;

use super::report::Target;
use super::scenarios::{SOLD_OUT_UNITS, sell_out};
use super::servers::{self, CLIENT_ID, CLIENT_SECRET, Echo};
use super::{Bench, pairs::Effort};

const PRODUCT: &str = "sold-out";
const CONNECTIONS: usize = 64;
/// How far the median of the ratios may be from 1.
const APART_MAX: f64 = 0.1;

/// One run of a client.
#[derive(Debug, Serialize)]
struct Run {
    per_second: f64,
    /// The client's processor time for one request, in microseconds.
    cpu_us: f64,
}

/// What both are pointed at.
struct Ground<'a> {
    url: String,
    /// Whether requests are signed.
    signed: bool,
    effort: Effort,
    bench: &'a Bench<'a>,
}

/// Both clients on both servers.
pub fn beside_load(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    if Command::new("wrk").arg("-v").stdout(Stdio::null()).status().is_err() {
        println!("  did not run: wrk is not installed");
        return Ok(());
    }
    let echo = Echo::start()?;
    let server = servers::start(&bench.dir.join("wrk"), 0)?;
    sell_out(bench, &server, PRODUCT)?;
    ensure!(SOLD_OUT_UNITS > 0 && bench.scale.effort.window.as_secs() < 25, "a signature is stale");
    for (name, address, signed) in
        [("the bare echo", echo.address, false), ("sold out, signed", server.public, true)]
    {
        let url = format!("http://{address}");
        let ground = Ground { url, signed, effort: bench.scale.effort, bench };
        let pairs = in_turn(
            ground.effort.pairs,
            &mut (),
            |()| ground.load(),
            |()| ground.wrk(),
            |pair, load, wrk| {
                println!(
                    "    pair {pair}: load {:.0}/s, {:.1} µs; wrk {:.0}/s, {:.1} µs; ratio {:.3}",
                    load.per_second,
                    load.cpu_us,
                    wrk.per_second,
                    wrk.cpu_us,
                    load.per_second / wrk.per_second
                );
            },
        )?;
        tell(bench, name, &pairs)?;
    }
    Ok(())
}

fn tell(bench: &mut Bench<'_>, name: &str, pairs: &[(Run, Run)]) -> anyhow::Result<()> {
    let range = |spread: Spread, digits: usize| {
        let Spread { min, median, max, .. } = spread;
        format!("{median:.digits$} ({min:.digits$} to {max:.digits$})")
    };
    let load = |figure: fn(&Run) -> f64| Spread::of(pairs.iter().map(|(load, _)| figure(load)));
    let wrk = |figure: fn(&Run) -> f64| Spread::of(pairs.iter().map(|(_, wrk)| figure(wrk)));
    let report = &mut bench.report;
    for (who, rate, cpu) in [
        ("load --closed", load(|run| run.per_second), load(|run| run.cpu_us)),
        ("wrk", wrk(|run| run.per_second), wrk(|run| run.cpu_us)),
    ] {
        let what = format!("{name}: {who}, requests a second");
        let shown = format!("{} · own {} µs", range(rate, 0), range(cpu, 1));
        report.line(what, rate.median, shown, Target::Told);
    }
    let ratio = Spread::of_ratios(pairs, |run| run.per_second);
    let what = format!("{name}: load over wrk, how far from 1");
    let apart = (ratio.median - 1.0).abs();
    report.line(
        what,
        apart,
        format!("{apart:.3}, of {}", range(ratio, 3)),
        Target::AtMost(APART_MAX),
    );
    report.figure(&format!("wrk: {name}"), &pairs)
}

impl Ground<'_> {
    /// One run of the program's own.
    fn load(&self) -> anyhow::Result<Run> {
        let mut command = Command::new(servers::program()?);
        command.env_clear().current_dir(self.bench.dir);
        command.args(["load", &self.url, "--product", PRODUCT, "--closed", "--threads", "1"]);
        command.args(["--connections", &CONNECTIONS.to_string(), "--json", "-"]);
        command.args(["--duration", &format!("{}ms", self.effort.window.as_millis())]);
        // One user, as wrk has: the clients are compared, so the server is to do the same for both.
        command.args(["--users", "1"]);
        if self.signed {
            command.args(["--client", &format!("{CLIENT_ID}:{CLIENT_SECRET}")]);
        } else {
            command.arg("--unsigned");
        }
        let (text, cpu_s) = measured(&mut command)?;
        let report: serde_json::Value = serde_json::from_str(&text)?;
        let figure = |name: &str| report[name].as_f64().with_context(|| format!("no {name}"));
        let (status, requests) = (if self.signed { 409 } else { 200 }, figure("requests")?);
        let answers = report["answers"].as_array().context("no answers")?;
        ensure!(answers.iter().all(|answer| answer["status"] == status), "{}", report["answers"]);
        Ok(Run { per_second: figure("requestsPerSecond")?, cpu_us: cpu_s * 1e6 / requests })
    }

    /// One run of wrk.
    fn wrk(&self) -> anyhow::Result<Run> {
        let mut command = Command::new("wrk");
        command.args(["-t", "1", "-c", &CONNECTIONS.to_string()]);
        // It knows whole seconds alone.
        command.args(["-d", &self.effort.window.as_secs().max(1).to_string()]);
        command.arg("-s").arg(self.script()?).arg(format!("{}/order", self.url));
        let (text, cpu_s) = measured(&mut command)?;
        ensure!(!text.contains("Socket errors"), "{text}");
        ensure!(text.contains("Non-2xx") == self.signed, "other answers than expected: {text}");
        let line = |word: &str| text.lines().find_map(|line| line.trim().split_once(word));
        let (_, per_second) = line("Requests/sec:").context("no rate")?;
        let (requests, _) = line(" requests in ").context("no number")?;
        let requests: f64 = requests.trim().parse()?;
        Ok(Run { per_second: per_second.trim().parse()?, cpu_us: cpu_s * 1e6 / requests })
    }

    /// The request that wrk sends, as the script that it takes it from.
    fn script(&self) -> anyhow::Result<PathBuf> {
        let body = format!(r#"{{"productId":"{PRODUCT}","userId":"buyer-of-wrk"}}"#);
        let mut script = format!("wrk.method = 'POST'\nwrk.body = '{body}'\n");
        let mut header = |name: &str, value: &str| {
            script += &format!("wrk.headers['{name}'] = '{value}'\n");
        };
        header("content-type", "application/json");
        header("x-idempotency-key", "wrk-1");
        if self.signed {
            let time = self.bench.clock.unix_ms().to_string();
            let key = hmac::Key::new(hmac::HMAC_SHA256, CLIENT_SECRET.as_bytes());
            let signature =
                sign("POST", "/order", body.as_bytes(), time.as_bytes(), b"wrk-1", &key);
            header("x-api-key", CLIENT_ID);
            header("x-request-time", &time);
            header("x-signature", std::str::from_utf8(&signature)?);
        }
        let path = self.bench.dir.join("wrk.lua");
        std::fs::write(&path, script)?;
        Ok(path)
    }
}

/// Runs a client to its end: what it wrote, and the processor time that it used, in seconds.
fn measured(command: &mut Command) -> anyhow::Result<(String, f64)> {
    let used = || {
        let own = std::process::id();
        let all = servers::cpu_seconds_with_children(own).context("no processor time")?;
        anyhow::Ok(all - servers::cpu_seconds(own).context("no processor time")?)
    };
    let before_s = used()?;
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {text}{errors}");
    Ok((text, used()? - before_s))
}
