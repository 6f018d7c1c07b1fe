//! The project's own commands: `cargo xtask test` and what else is too long or too special for it.

#![allow(
    clippy::disallowed_methods,
    reason = "these commands measure and wait: the ban on clocks is for what they test"
)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod attempt;
mod soak;
mod test;
mod workspace;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything that must pass: format, lints, all tests, documentation, attacks, planted bugs.
    Test(test::Options),
    /// Kill the server again and again under load, and check that no accepted order is lost.
    Soak(soak::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Test(options) => test::run(&options),
        Command::Soak(options) => soak::run(&options),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
