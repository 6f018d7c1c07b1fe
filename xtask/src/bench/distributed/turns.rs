//! Several servers in turn under the same client.
//!
//! Before each run the worker has caught up: what one server leaves behind must not cost the next.

use flux_gate::load::spread::Spread;
use serde::Serialize;

use crate::bench::pairs::{Effort, Measured, Side, Source};

/// After its warm-up a server is given requests for so many times the rate it showed.
const EXPECTED: f64 = 1.5;

/// One server.
pub struct Turn<'a> {
    /// As it is told.
    pub name: String,
    /// Where it is.
    pub side: Side,
    /// Its requests.
    pub source: Source<'a>,
}

/// The runs of one server.
#[derive(Debug, Serialize)]
pub struct Runs {
    /// Which.
    pub name: String,
    /// One by one.
    pub runs: Vec<Measured>,
}

impl Runs {
    /// Answers a second.
    pub fn per_second(&self) -> Spread {
        Spread::of(self.runs.iter().map(|run| run.per_second))
    }

    /// Answers a second over those of another server, round by round.
    pub fn over(&self, other: &Self) -> Spread {
        let pairs = self.runs.iter().zip(&other.runs);
        Spread::of(pairs.map(|(our, their)| our.per_second / their.per_second))
    }

    /// Answers that were excused.
    pub fn excused(&self) -> u64 {
        self.runs.iter().map(|run| run.excused).sum()
    }
}

/// Runs rounds of all; each has a warm-up run first that counts nowhere, and who begins changes from round to
/// round. `settle` comes before each run.
///
/// # Errors
/// See [`Source::measure`].
pub fn in_turn(
    turns: &mut [Turn<'_>],
    rounds: u32,
    effort: Effort,
    mut settle: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Runs>> {
    for turn in &mut *turns {
        settle()?;
        let warm = turn.source.measure(turn.side, effort)?;
        turn.source.expect(EXPECTED * warm.per_second);
        println!("    warm-up: {} {:.0}/s", turn.name, warm.per_second);
    }
    let runs = |turn: &Turn<'_>| Runs { name: turn.name.clone(), runs: Vec::new() };
    let mut all: Vec<_> = turns.iter().map(runs).collect();
    for round in 0..rounds as usize {
        let mut told = Vec::new();
        for place in 0..turns.len() {
            let place = (place + round) % turns.len();
            settle()?;
            let turn = &mut turns[place];
            let run = turn.source.measure(turn.side, effort)?;
            told.push(format!("{} {:.0}/s, {:.1} µs", turn.name, run.per_second, run.cpu_us));
            all[place].runs.push(run);
        }
        println!("    round {}: {}", round + 1, told.join("; "));
    }
    Ok(all)
}
