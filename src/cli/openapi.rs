//! `openapi`: prints the description of the HTTP calls.

use crate::cli::{Exit, Failure, Machine};

/// Print the OpenAPI 3.1 description of the HTTP calls, as JSON.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  flux-gate openapi > openapi.json")]
pub(super) struct Openapi {}

impl Openapi {
    pub(super) fn run(self, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
        machine.out.write_all(&crate::http::openapi::json())?;
        writeln!(machine.out)?;
        Ok(Exit::Done)
    }
}
