//! `cargo xtask chaos`: the faults of many nodes, over and over, for hours if need be.
//!
//! The same tests as the step "many nodes" of `cargo xtask test` (`tests/it/distributed/`): real processes under
//! load, one fault after the other, and all the rules checked after each. Every round begins with other topics
//! and databases and the crowd with other users.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::stack::Services;
use crate::test::{one_by_one, with_services};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask chaos --minutes 60\n  \
                        cargo xtask chaos --fault Redis --minutes 10")]
pub struct Options {
    /// How long; the round that is under way then is ended.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Only the faults whose names contain this.
    #[arg(long, value_name = "WORD")]
    fault: Option<String>,
    /// Only the tests whose names contain this: faults, connections, moments, batches, clocks, rolling.
    #[arg(long, value_name = "WORD", default_value = "")]
    only: String,
}

/// Goes on until the time is up or a rule falls.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    ensure!(options.minutes > 0, "--minutes must be at least 1");
    let _services = Services::start()?;
    let (begun, time) = (Instant::now(), Duration::from_secs(60 * options.minutes));
    let mut rounds = 0;
    while begun.elapsed() < time {
        rounds += 1;
        println!("round {rounds}, {} s", begun.elapsed().as_secs());
        let mut tests = one_by_one(&format!("distributed::{}", options.only));
        if let Some(fault) = &options.fault {
            tests.env("FAULT", fault);
        }
        if !with_services(&mut tests)?.status()?.success() {
            println!("a rule fell, or a test could not be run, in round {rounds}");
            return Ok(ExitCode::FAILURE);
        }
    }
    println!("{rounds} rounds in {} s, every rule held", begun.elapsed().as_secs());
    Ok(ExitCode::SUCCESS)
}
