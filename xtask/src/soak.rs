//! `cargo xtask soak`: the crash test of `tests/it/crash.rs`, for hours if need be, each time with another
//! seed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::workspace::cargo;

/// Kills of one store: then a new one begins, so that a fault early in a store's life is met often too.
const KILLS_OF_A_STORE: u32 = 250;

#[derive(clap::Args)]
pub struct Options {
    /// Kills in all.
    #[arg(long, default_value_t = 500)]
    kills: u32,
    /// Go on for this long instead, whatever the number of kills.
    #[arg(long)]
    minutes: Option<u64>,
    /// The first seed; each store has the next one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the crash test until it has killed often or long enough, or has found something.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    ensure!(options.kills > 0, "--kills must be at least 1");
    let begun = Instant::now();
    let time = options.minutes.map(|minutes| Duration::from_secs(60 * minutes));
    let (mut killed, mut seed) = (0, options.seed);
    let goes_on = |killed| match time {
        Some(time) => begun.elapsed() < time,
        None => killed < options.kills,
    };
    while goes_on(killed) {
        let kills = match time {
            Some(_) => KILLS_OF_A_STORE,
            None => KILLS_OF_A_STORE.min(options.kills - killed),
        };
        println!("store with seed {seed}: {kills} kills");
        let test =
            ["test", "--quiet", "--workspace", "--test", "it", "--", "crash::kill", "--nocapture"];
        let status = cargo()
            .args(test)
            .env("CRASH_KILLS", kills.to_string())
            .env("CRASH_SEED", seed.to_string())
            .status()?;
        if !status.success() {
            println!("failed after {killed} to {} kills; seed {seed}", killed + kills);
            return Ok(ExitCode::FAILURE);
        }
        killed += kills;
        seed += 1;
    }
    println!("{killed} kills in {} s, nothing lost", begun.elapsed().as_secs());
    Ok(ExitCode::SUCCESS)
}
