//! The program: hands the machine's arguments, environment, clock and randomness to the command line.

use std::process::ExitCode;

use flux_gate::cli::{self, Machine};
use flux_gate::clock::Clock;
use flux_gate::keys::stored::RandomnessFailed;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let machine = Machine {
        environment: std::env::vars_os().collect(),
        clock: Clock::system(),
        fill: &|bytes| aws_lc_rs::rand::fill(bytes).map_err(|_| RandomnessFailed),
        out: &mut std::io::stdout(),
    };
    cli::run(std::env::args_os(), machine)
}
