//! `load --compare`: two servers in turn.

use std::time::Duration;

use super::plan::Unsigned;
use super::{Load, limits, process, shop};
use crate::cli::{Exit, Failure, Machine};
use crate::clock::Clock;
use crate::config::Config;
use crate::load::compare::{Answers, Comparison, Measured, PAIRS_MAX, WARM_UP_MS_MAX};
use crate::load::live::Live;
use crate::load::spread::in_turn;
use crate::load::{self, Plan, Report};

/// Pairs of runs, unless said otherwise.
const PAIRS: u32 = 5;
/// Length of a run, unless said otherwise.
const RUN: Duration = Duration::from_secs(5);

/// One of the two servers, and what it answered.
struct Side {
    name: char,
    plan: Plan,
    answers: Answers,
}

/// What the runs of both share.
struct Turns<'a> {
    clock: &'a Clock,
    stop: &'a load::Stop,
    live: Live,
    /// Runs so far: each has keys of its own.
    runs: u64,
}

pub(super) fn run(
    load: &Load,
    urls: &[String],
    machine: &mut Machine<'_>,
    config: &Config,
) -> Result<Exit, Failure> {
    let pairs = load.pairs.unwrap_or(PAIRS);
    if !(1..=PAIRS_MAX).contains(&pairs) {
        return Err(Failure::new(format!("the number of pairs must be from 1 to {PAIRS_MAX}")));
    }
    let [url_a, url_b] = urls else {
        return Err(Failure::new("--compare takes two servers"));
    };
    let targets =
        [load.target(Some(url_a.as_str()), config)?, load.target(Some(url_b.as_str()), config)?];
    limits::raise_open_files();
    let seed = load.seed.map_or_else(|| shop::seed(machine), Ok)?;
    let product = load.product.ok_or_else(|| Failure::new("--compare needs a product"))?;
    let side = |name, other: Unsigned, target| {
        let unsigned = load.unsigned.is_some_and(|which| which != other);
        let mut plan = load.plan(target, product, seed, unsigned, &machine.clock, config)?;
        if load.duration.is_none() && load.requests.is_none() {
            plan.duration_ms_max = RUN.as_millis() as u64;
        }
        plan.forgets_orders = true;
        Ok::<_, Failure>(Side { name, plan, answers: Answers::default() })
    };
    let [target_a, target_b] = targets;
    let mut a = side('A', Unsigned::B, target_a)?;
    let mut b = side('B', Unsigned::A, target_b)?;
    let run_ms = a.plan.duration_ms_max;
    let (first, pairs) = process::until_interrupted(|stop| {
        take_turns(&mut a, &mut b, pairs, &machine.clock, stop)
    })??;
    let comparison = Comparison {
        urls: [a.plan.target.url(), b.plan.target.url()],
        product: product.to_string(),
        pace: first.pace_in_words(),
        connections: load.connections,
        run_ms,
        pairs,
        answers: [a.answers, b.answers],
    };
    load.write_results(&comparison.summary(), |style| comparison.table(style), machine)?;
    Ok(Exit::Done)
}

fn take_turns(
    a: &mut Side,
    b: &mut Side,
    pairs: u32,
    clock: &Clock,
    stop: &load::Stop,
) -> Result<(Report, Vec<(Measured, Measured)>), Failure> {
    let live = Live::new("pairs", u64::from(pairs));
    let mut turns = Turns { clock, stop, live, runs: 0 };
    let first = turns.warm_up(a)?;
    turns.warm_up(b)?;
    let progress = |pair: u32, a: &Measured, b: &Measured| {
        let of = |measured: &Measured| measured.requests_per_second();
        crate::cli::tell(&format!(
            "pair {pair} of {pairs}: A {:.0}/s, B {:.0}/s, ratio {:.3}",
            of(a),
            of(b),
            of(a) / of(b)
        ));
    };
    let measured =
        in_turn(pairs, &mut turns, |turns| turns.run(a), |turns| turns.run(b), progress)?;
    turns.live.clear();
    Ok((first, measured))
}

impl Turns<'_> {
    fn warm_up(&mut self, side: &mut Side) -> Result<Report, Failure> {
        let duration_ms_max = side.plan.duration_ms_max.min(WARM_UP_MS_MAX);
        self.go(side, Plan { duration_ms_max, ..side.plan.clone() })
    }

    fn run(&mut self, side: &mut Side) -> Result<Measured, Failure> {
        let report = self.go(side, side.plan.clone())?;
        side.answers.add(&report.tally);
        Ok(Measured::of(&report))
    }

    fn go(&mut self, side: &Side, plan: Plan) -> Result<Report, Failure> {
        self.runs += 1;
        let plan = Plan { seed: plan.seed.wrapping_add(self.runs), ..plan };
        let live = &mut self.live;
        let report = load::run(&plan, self.clock, self.stop, |snapshot| {
            live.show(snapshot, self.runs.saturating_sub(3) / 2);
        })?;
        if self.stop.is_set() {
            return Err(Failure::new("interrupted: a comparison is whole or nothing"));
        }
        let answered = report.tally.counts.accepted + report.tally.counts.refused;
        if report.tally.server_lost || answered == 0 {
            let url = plan.target.url();
            return Err(Failure::new(format!("{} ({url}) does not answer", side.name)));
        }
        Ok(report)
    }
}
