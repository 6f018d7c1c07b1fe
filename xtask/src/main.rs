//! The project's own commands: `cargo xtask <command>`.

use std::process::ExitCode;

mod attack;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, rest)) if command == "attack" => {
            Ok(if attack::run(rest)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        _ => anyhow::bail!("usage: cargo xtask attack"),
    }
}
