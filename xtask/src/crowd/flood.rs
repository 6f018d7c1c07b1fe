//! A flood from one IPv6 network beside honest load, and how the honest ones fare.
//!
//! Honest shoppers order in an open loop, each from an address of their own, at a fifth of the measured peak. In every
//! second run a flood of nine times as many requests comes from one /48, each from another /64 of it. It is sent in
//! bursts over each of its connections: a client that waited for every answer would cost more than the server that
//! it is to press, and both share the machine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use flux_gate::clock::Clock;
use flux_gate::load::sessions::{Credentials, Shopper, open_crowd};
use flux_gate::load::target::Target;

use crate::bench::client::{self, Shape};
use crate::bench::pairs::{Effort, Side, Source};
use crate::bench::requests::{Crowd, Recipe, Requests};
use crate::bench::servers::{self, CLIENT_ID, CLIENT_SECRET};
use crate::support::server::Server;
use flux_gate::load::spread::Spread;

/// Of the measured peak, the honest load.
const HONEST_OF_PEAK: f64 = 0.2;
/// Requests of the flood for each honest one: nine of ten.
const FLOOD_FACTOR: f64 = 9.0;
/// Honest shoppers.
const SHOPPERS: usize = 20_000;
/// Accounts of the flood that has some.
const ACCOUNTS: usize = 1_000;
/// Requests of a flood, sent again and again.
const FLOOD_REQUESTS: usize = 65_536;
/// Requests that go out at once over one connection of the flood.
const BURST: usize = 32;
/// Connections of the flood.
const CONNECTIONS: usize = 8;
/// The longest time without an answer.
const SILENCE: Duration = Duration::from_secs(10);
/// Statuses of an honest order that does not succeed.
const EXCUSED: &[u16] = &[202, 403, 409, 429, 503];
const PRODUCT: &str = "flooded";
/// Units: more than are ordered.
const UNITS: u32 = 1_000_000_000;

/// Every limit is as it is by default but those of the whole product and of the shop's backend, which opens the sessions.
/// Each shopper orders often, since nothing else would give so many orders.
fn config() -> String {
    super::config("product_per_second = 0\n")
}

/// What the requests of a flood are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Kind {
    /// Passes that nobody gave: what a script without accounts can send.
    Forged,
    /// Well signed orders of some accounts, over and over: they pass the signature, and so cost the server more.
    Accounts,
}

/// What was found with one kind of flood.
#[derive(Debug, serde::Serialize)]
pub struct Found {
    /// What the flood was.
    pub kind: Kind,
    /// Accepted orders a second at full speed, without a flood.
    pub peak_per_second: f64,
    /// Honest orders a second.
    pub honest_per_second: f64,
    /// What the flood had answered, a second.
    pub flood_per_second: Spread,
    /// The flood's part of all requests.
    pub flood_share: Spread,
    /// Honest orders that were accepted in time, of those that were due: with the flood over without it, pair by pair.
    pub success_ratio: Spread,
    /// The 99th percentile of honest orders: with the flood over without it, pair by pair.
    pub p99_ratio: Spread,
    /// The same without a flood, in milliseconds.
    pub p99_ms_without: Spread,
    /// The same with it.
    pub p99_ms_with: Spread,
    /// How the flood was answered, over all runs: status, answers.
    pub answers: Vec<(u16, u64)>,
}

/// One run of the honest.
#[derive(Debug, Clone, Copy)]
struct Honest {
    /// Accepted in the window, of those that were due in it.
    success: f64,
    p99_us: u64,
}

/// Measures with both kinds of flood, in so many pairs of runs each.
///
/// # Errors
/// The server fails, or answers otherwise than expected.
pub fn measure(
    program: &Path,
    dir: &Path,
    effort: Effort,
    clock: &Clock,
) -> anyhow::Result<Vec<Found>> {
    let server = Server::start(program, &dir.join("flood"), &config())?;
    let body = format!(
        r#"{{"productId":"{PRODUCT}","quantity":{UNITS},"perBuyerLimit":1000000,"repeatWindowSeconds":0}}"#
    );
    servers::operate(&server, "POST", "/admin/products", &body)?;
    let sessions = |prefix, count| {
        let target = Target::plain(server.public);
        let credentials = Credentials::new(CLIENT_ID, CLIENT_SECRET);
        open_crowd(&target, &credentials, prefix, count, clock, |_| ())
    };
    let people = sessions("person", SHOPPERS)?.shoppers;
    let accounts = sessions("bot", ACCOUNTS)?.shoppers;
    let forged: Vec<Shopper> = accounts
        .iter()
        .map(|bot| {
            let pass = bot.pass().chars().rev().collect();
            Shopper::new(*bot.user(), pass, bot.session_key().to_owned())
        })
        .collect();
    let recipe = |run| Recipe {
        product: PRODUCT,
        crowd: Crowd::Proxied { shoppers: &people, address: address_of_person },
        run,
        now_ms: 0,
    };
    let mut source = Source::new(&recipe, clock, 0);
    let effort = Effort { excused: EXCUSED, ..effort };
    let side = Side { address: server.public, pid: server.pid(), status: 200 };
    // Once to warm up: the tables and the store begin empty.
    source.measure(side, effort)?;
    let peak_per_second = Spread::of(
        [source.measure(side, effort)?, source.measure(side, effort)?].map(|m| m.per_second),
    )
    .median;
    println!("  peak: {peak_per_second:.0} accepted orders a second");
    let mut all = Vec::new();
    for (kind, shoppers) in [(Kind::Forged, &forged[..]), (Kind::Accounts, &accounts[..])] {
        let press = Press { server: &server, clock, shoppers, kind, effort, peak_per_second };
        all.push(press.pairs(&mut source)?);
    }
    Ok(all)
}

fn address_of_person(number: u64) -> String {
    super::people::address(0, (number % SHOPPERS as u64) as u32)
}

/// Another /64 of the one /48 for each.
fn address_of_bot(number: u64) -> String {
    format!("2001:db8:f100:{:x}::1", number % FLOOD_REQUESTS as u64)
}

/// One kind of flood on one server.
struct Press<'a> {
    server: &'a Server,
    clock: &'a Clock,
    shoppers: &'a [Shopper],
    kind: Kind,
    effort: Effort,
    peak_per_second: f64,
}

impl Press<'_> {
    fn pairs(&self, source: &mut Source<'_>) -> anyhow::Result<Found> {
        let (mut without, mut with, mut floods) = (Vec::new(), Vec::new(), Vec::new());
        for pair in 0..self.effort.pairs {
            for turn in 0..2 {
                if (pair + turn) % 2 == 0 {
                    without.push(self.honest(source)?);
                } else {
                    let (honest, flood) = self.flooded(source)?;
                    with.push(honest);
                    floods.push(flood);
                }
            }
            if let (Some(without), Some(with), Some(flood)) =
                (without.last(), with.last(), floods.last())
            {
                println!(
                    "    {:?}, pair {}: success {:.4} and {:.4}, p99 {} and {} µs, flood {:.0}/s",
                    self.kind,
                    pair + 1,
                    without.success,
                    with.success,
                    without.p99_us,
                    with.p99_us,
                    flood.per_second()
                );
            }
        }
        let ratio = |figure: fn(&Honest) -> f64| {
            Spread::of(
                with.iter().zip(&without).map(|(with, without)| figure(with) / figure(without)),
            )
        };
        let p99_ms = |runs: &[Honest]| Spread::of(runs.iter().map(|run| run.p99_us as f64 / 1e3));
        let honest_per_second = self.honest_per_second();
        let share = |flood: &Flooded| flood.per_second() / (flood.per_second() + honest_per_second);
        Ok(Found {
            kind: self.kind,
            peak_per_second: self.peak_per_second,
            honest_per_second,
            flood_per_second: Spread::of(floods.iter().map(Flooded::per_second)),
            flood_share: Spread::of(floods.iter().map(share)),
            success_ratio: ratio(|run| run.success),
            p99_ratio: ratio(|run| run.p99_us as f64),
            p99_ms_without: p99_ms(&without),
            p99_ms_with: p99_ms(&with),
            answers: summed(&floods),
        })
    }

    fn honest_per_second(&self) -> f64 {
        self.peak_per_second * HONEST_OF_PEAK
    }

    /// A run of the honest by themselves.
    fn honest(&self, source: &mut Source<'_>) -> anyhow::Result<Honest> {
        let per_second = self.honest_per_second();
        let Effort { window, warm_up, connections, excused, .. } = self.effort;
        let shape = Shape { connections, warm_up, window, status: 200, excused };
        let requests = source.next(warm_up + window, Some(per_second));
        let run = client::open(self.server.public, &requests, shape, per_second)?;
        let success = run.per_second() / per_second;
        Ok(Honest { success, p99_us: run.latency_us.value_at_quantile(0.99) })
    }

    /// The same under the flood.
    fn flooded(&self, source: &mut Source<'_>) -> anyhow::Result<(Honest, Flooded)> {
        let recipe = Recipe {
            product: PRODUCT,
            crowd: Crowd::Proxied { shoppers: self.shoppers, address: address_of_bot },
            run: 1_000_000,
            now_ms: self.clock.unix_ms(),
        };
        let requests = Requests::sign(&recipe, FLOOD_REQUESTS);
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let (server, told) = (self.server.public, stop.clone());
        let per_second = self.honest_per_second() * FLOOD_FACTOR;
        let flood: JoinHandle<anyhow::Result<Flooded>> =
            std::thread::spawn(move || flood(server, &requests, per_second, &told));
        let honest = self.honest(source);
        stop.store(true, Ordering::Relaxed);
        let Ok(flooded) = flood.join() else { bail!("the flood has panicked") };
        Ok((honest?, flooded?))
    }
}

/// What a flood has sent and heard.
#[derive(Debug, Default)]
struct Flooded {
    /// Status, answers.
    answers: Vec<(u16, u64)>,
    seconds: f64,
}

impl Flooded {
    fn per_second(&self) -> f64 {
        self.answers.iter().map(|(_, count)| *count).sum::<u64>() as f64 / self.seconds
    }

    fn count(&mut self, status: u16, more: u64) {
        match self.answers.iter_mut().find(|(known, _)| *known == status) {
            Some((_, count)) => *count += more,
            None => self.answers.push((status, more)),
        }
    }
}

fn summed(floods: &[Flooded]) -> Vec<(u16, u64)> {
    let mut all = Flooded::default();
    for (status, count) in floods.iter().flat_map(|flood| &flood.answers) {
        all.count(*status, *count);
    }
    all.answers.sort_unstable();
    all.answers
}

/// Sends these requests over and over, so many a second, until it is told to stop.
fn flood(
    server: SocketAddr,
    requests: &Requests,
    per_second: f64,
    stop: &AtomicBool,
) -> anyhow::Result<Flooded> {
    let mut lines = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        lines.push((stream, Heard::default()));
    }
    let begun = Instant::now();
    let (mut sent, mut flooded) = (0_usize, Flooded::default());
    let mut bytes = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let due = (begun.elapsed().as_secs_f64() * per_second) as usize;
        if sent + CONNECTIONS * BURST > due {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        for (stream, _) in &mut lines {
            bytes.clear();
            for number in sent..sent + BURST {
                bytes.extend_from_slice(requests.get(number % requests.len()));
            }
            stream.write_all(&bytes).context("the flood cannot send")?;
            sent += BURST;
        }
        for (stream, heard) in &mut lines {
            heard.answers(stream, BURST, |status| flooded.count(status, 1))?;
        }
    }
    flooded.seconds = begun.elapsed().as_secs_f64();
    Ok(flooded)
}

/// What a connection has received and was not read yet.
#[derive(Default)]
struct Heard(Vec<u8>);

impl Heard {
    /// Reads so many answers.
    fn answers(
        &mut self,
        stream: &mut impl Read,
        count: usize,
        mut told: impl FnMut(u16),
    ) -> anyhow::Result<()> {
        let mut left = count;
        let mut chunk = [0; 32 * 1024];
        while left > 0 {
            let length = stream.read(&mut chunk).context("the flood hears nothing")?;
            ensure!(length > 0, "the server has closed a connection of the flood");
            self.0.extend_from_slice(&chunk[..length]);
            let mut at = 0;
            while let Some((status, bytes)) = client::whole(&self.0[at..])? {
                told(status);
                at += bytes;
                left = left.checked_sub(1).context("more answers than requests")?;
            }
            self.0.drain(..at);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        let answer = |status: u16| {
            format!("HTTP/1.1 {status} X\r\ncontent-length: 9\r\n\r\nHTTP/1.1 ").into_bytes()
        };
        let all: Vec<u8> = [429, 401, 429].into_iter().flat_map(answer).collect();
        for size in 1..all.len() {
            struct Slow<'a>(&'a [u8], usize);
            impl Read for Slow<'_> {
                fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
                    let take = self.1.min(self.0.len());
                    into[..take].copy_from_slice(&self.0[..take]);
                    self.0 = &self.0[take..];
                    Ok(take)
                }
            }
            let mut flooded = Flooded::default();
            let mut heard = Heard::default();
            heard.answers(&mut Slow(&all, size), 3, |status| flooded.count(status, 1)).unwrap();
            assert_eq!(flooded.answers, [(429, 2), (401, 1)]);
        }
    }
}
