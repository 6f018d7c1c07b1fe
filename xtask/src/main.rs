//! The project's own commands: `cargo xtask test` and what is too long or too special for it.

#![allow(
    clippy::disallowed_methods,
    reason = "these commands measure and wait: the ban on clocks is for what they test"
)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod attack;
mod bench;
mod browser;
mod chaos;
mod crowd;
mod fuzz;
mod needs;
mod packages;
mod planted;
mod python;
mod schemathesis;
mod soak;
mod stack;
mod step;
mod supply;
#[path = "../../tests/it/support/mod.rs"]
mod support;
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
    /// Break services, processes, connections and clocks of many nodes again and again, and check the rules.
    Chaos(chaos::Options),
    /// Measure: beside a bare server, and against the targets of docs/BENCHMARKS.md.
    Bench(bench::Options),
    /// Let people and bots buy from the same sales, and tell who got the stock, with the defence on and off.
    Crowd(crowd::Options),
    /// Feed every parser of outside bytes with made-up ones, guided by coverage.
    Fuzz(fuzz::Options),
    /// Write the program's bill of materials (CycloneDX), for a release.
    Sbom(supply::sbom::Options),
    /// Start, stop and hurt real Redis, PostgreSQL and Kafka for the distributed profile.
    Stack(stack::Options),
    /// The bare server that the bench compares with.
    #[command(hide = true)]
    Echo(bench::echo::Options),
    /// The ordinary design that the bench compares many nodes with.
    #[cfg(feature = "distributed")]
    #[command(hide = true)]
    Ordinary(bench::ordinary::Options),
    /// Refuse orders in this process, for callgrind to count.
    #[command(hide = true)]
    Refusal(bench::refusal::Options),
    /// Make receipts or note refusals in this process, for callgrind to count.
    #[command(hide = true)]
    Beside(bench::beside::Options),
    /// Carry out attacks that must fail, against servers of its own or a running one.
    #[command(disable_help_flag = true)]
    Attack {
        /// What follows is the harness's own.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Plant bugs in a copy of the sources, one at a time: the simulation must catch each.
    Planted {
        /// Only those whose names contain this.
        only: Option<String>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Test(options) => test::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Chaos(options) => chaos::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Crowd(options) => crowd::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Sbom(options) => supply::sbom::run(&options),
        Command::Stack(options) => stack::run(&options),
        Command::Echo(options) => bench::echo::run(&options).map(|()| ExitCode::SUCCESS),
        #[cfg(feature = "distributed")]
        Command::Ordinary(options) => bench::ordinary::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Refusal(options) => bench::refusal::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Beside(options) => bench::beside::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Attack { arguments } => attack::run(&arguments).map(exit_code),
        Command::Planted { only } => planted::run(only.as_deref()).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn exit_code(success: bool) -> ExitCode {
    if success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Arguments, workspace};
    use crate::support::documents::{all, commands, words};

    /// What is wrong with a line of a document; nothing of one that is not ours.
    fn fault(line: &str) -> Option<String> {
        let (_, rest) = line.split_once("cargo xtask ")?;
        // As in eval "$(cargo xtask stack env)".
        let rest = rest.split(')').next()?;
        let words = words(rest).concat();
        let arguments = ["cargo xtask".to_owned()].into_iter().chain(words);
        Some(Arguments::try_parse_from(arguments).err()?.to_string())
    }

    #[test]
    fn every_command_of_ours_in_the_documents_is_one_that_there_is() {
        let (mut count, mut wrong) = (0, Vec::new());
        for path in all(workspace::root()) {
            let text = std::fs::read_to_string(&path).unwrap();
            for line in commands(&text) {
                count += usize::from(line.contains("cargo xtask "));
                let fault = fault(&line);
                wrong.extend(fault.map(|fault| format!("{}: {line}\n{fault}", path.display())));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(count > 15, "only {count} commands were read");
        assert!(fault("cargo xtask bench --onyl accepted   # one part").is_some());
        assert!(fault("eval \"$(cargo xtask stack evn)\"").is_some());
    }
}
