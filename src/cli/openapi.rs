//! `openapi`: prints the description of the HTTP calls.

use crate::cli::{Exit, Failure, Machine};

/// Print the OpenAPI 3.1 description of the HTTP calls, as JSON.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  flux-gate openapi > openapi.json")]
pub(super) struct Openapi {}

impl Openapi {
    pub(super) fn run(self, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
        writeln!(machine.out, "{}", description()?)?;
        Ok(Exit::Done)
    }
}

fn description() -> Result<String, Failure> {
    Err(Failure::new("this build has no HTTP calls"))
}
