//! The command line: what can be asked of the program, and its exit codes.
//!
//! Arguments, environment, clock, randomness and output are handed in as a [`Machine`], so that every
//! command can be tested. A command that changes a running sale goes through the operator's listener,
//! never into the store.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app;
use crate::clock::Clock;
use crate::config::load::{Flag, Loaded, Sources};
use crate::config::problem::Problems;
use crate::keys::stored::Fill;

mod audit;
pub mod client;
mod config;
mod demo;
mod doctor;
mod draw;
mod incident;
mod keygen;
mod limits;
mod load;
mod manual;
mod migrate;
mod openapi;
mod operator;
mod order;
mod privacy;
mod process;
mod ready;
mod sale;
mod serve;
mod session;
mod shop;
mod token;
pub mod when;
mod worker;

/// What a command may use of the machine.
pub struct Machine<'a> {
    /// The environment variables of the process.
    pub environment: Vec<(OsString, OsString)>,
    /// The time.
    pub clock: Clock,
    /// The randomness.
    pub fill: Fill<'a>,
    /// Standard output.
    pub out: &'a mut dyn Write,
}

impl Machine<'_> {
    /// The value of an environment variable, if it is set to UTF-8 text.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.to_str())
    }

    /// `N` random bytes in hex.
    ///
    /// # Errors
    /// If the randomness fails.
    pub fn random_hex<const N: usize>(&self) -> Result<String, Failure> {
        let mut bytes = [0; N];
        (self.fill)(&mut bytes)?;
        Ok(hex::encode(bytes))
    }
}

/// How the program ends. The numbers are part of the contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: failed, or a check found a fault.
    Failed,
    /// 2: the command line was wrong.
    Usage,
    /// 70: the store failed while serving; nothing that was answered is lost. Mend it and start again.
    Store,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Store => app::STORE_FAILED_EXIT_CODE as u8,
        })
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// What to tell; empty if it is told already.
    pub message: String,
}

impl Failure {
    /// Ends with [`Exit::Failed`].
    pub fn new(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into() }
    }
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let dynamic: &(dyn std::error::Error + 'static) = &error;
        if dynamic.downcast_ref::<io::Error>().is_some_and(is_closed_pipe) {
            // `flux-gate … | head` is no failure.
            return Self { exit: Exit::Done, message: String::new() };
        }
        Self::new(error.to_string())
    }
}

fn is_closed_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

const EXIT_CODES: &str = "\
Configuration: a flag beats the environment (FLUX_GATE__SECTION__KEY), which beats the file.
`flux-gate config print` shows every key, its value and where that came from.

Exit codes:
  0   done
  1   failed, or a check found a fault
  2   the command line was wrong
  70  the store failed while serving (disk full, read-only, …): mend it and start again";

/// A flash-sale gate: sells exactly its stock, to honest buyers, whatever crashes or is forged.
#[derive(Parser)]
#[command(name = "flux-gate", version, after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Whether this is a command line of the program, its own name first; nothing is carried out. For those who
/// show command lines to people.
///
/// # Errors
/// What the program would answer.
pub fn read_line(words: &[String]) -> Result<(), String> {
    Cli::try_parse_from(words).map(|_| ()).map_err(|error| error.to_string())
}

/// Flags of every command.
#[derive(clap::Args)]
struct Common {
    /// Configuration file (TOML); unknown keys are refused.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the embedded store and of the secrets that were made (key data.dir).
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Watch a flash sale: 100 units, thousands of shoppers, bots among them.
    Demo(demo::Demo),
    /// Run the server until SIGTERM or Ctrl-C.
    Serve(serve::Serve),
    /// Fill the ledger from the log, beside many nodes.
    Worker(worker::Worker),
    /// Send load to a server of yours, and check that it keeps the rules.
    Load(Box<load::Load>),
    /// Sign and send one order, and print the answer.
    Order(order::Order),
    /// Obtain a session pass for a user, as a shop's backend does.
    Session(session::Session),
    /// Create, show and change sales, through the operator's listener of a running server.
    Sale(sale::Sale),
    /// Answer an attack: block, tighten limits, approve, through the operator's listener.
    Incident(incident::Incident),
    /// List, make and revoke operators' tokens.
    Token(token::Token),
    /// Check the log and the audit trail, read the trail, check receipts, prove a sale.
    Audit(Box<audit::Audit>),
    /// Tell what is kept of a person, and forget a person.
    Privacy(privacy::Privacy),
    /// Check a waiting room's draw, offline.
    Draw(draw::DrawCommand),
    /// Print new secrets, ready for the environment or the configuration file.
    Keygen(keygen::Keygen),
    /// Check or print the configuration.
    Config(config::ConfigCommand),
    /// Bring the store to the format of this program.
    Migrate(migrate::Migrate),
    /// Print the OpenAPI description of the HTTP calls.
    Openapi(openapi::Openapi),
    /// Print completions for a shell.
    Completions(manual::Completions),
    /// Write the manual pages into a directory.
    Man(manual::Man),
    /// Ask the running server of this configuration whether it is ready.
    Ready(ready::Ready),
    /// Check configuration, data directory, clock, limits, ports and secrets, and say how to mend each.
    Doctor(doctor::Doctor),
}

/// Runs the command that the arguments name, the first being the program's own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>, mut machine: Machine<'_>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to clap, too, and go to standard output.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    let exit = dispatch(cli, &mut machine).unwrap_or_else(|failure| {
        if !failure.message.is_empty() {
            tell(&failure.message);
        }
        failure.exit
    });
    exit.into()
}

/// Tells people something on standard error. If that is closed, there is nobody to tell.
fn tell(message: &str) {
    let _ = writeln!(io::stderr(), "flux-gate: {message}");
}

fn dispatch(cli: Cli, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
    let Cli { common, command } = cli;
    match command {
        Command::Demo(demo) => demo.run(machine, &common),
        Command::Serve(serve) => serve.run(machine, &common),
        Command::Worker(worker) => worker.run(machine, &common),
        Command::Load(load) => load.run(machine, &common),
        Command::Order(order) => order.run(machine, &common),
        Command::Session(session) => session.run(machine, &common),
        Command::Sale(sale) => sale.run(machine, &common),
        Command::Incident(incident) => incident.run(machine, &common),
        Command::Token(token) => token.run(machine, &common),
        Command::Audit(audit) => audit.run(machine, &common),
        Command::Privacy(privacy) => privacy.run(machine, &common),
        Command::Draw(draw) => draw.run(machine),
        Command::Keygen(keygen) => keygen.run(machine),
        Command::Config(config) => config.run(machine, &common),
        Command::Migrate(migrate) => migrate.run(machine, &common),
        Command::Openapi(openapi) => openapi.run(machine),
        Command::Completions(completions) => completions.run(machine),
        Command::Man(man) => man.run(machine),
        Command::Ready(ready) => ready.run(machine, &common),
        Command::Doctor(doctor) => doctor.run(machine, &common),
    }
}

impl Common {
    /// Loads the configuration, `flags` being those of the command itself.
    fn load(&self, machine: &Machine<'_>, flags: Vec<Flag>) -> Result<Loaded, Problems> {
        crate::config::load::load(self.sources(machine, flags))
    }

    fn sources(&self, machine: &Machine<'_>, mut flags: Vec<Flag>) -> Sources {
        if let Some(dir) = &self.data {
            flags.push(Flag { key: "data.dir", flag: "--data", value: dir.clone() });
        }
        let environment = machine.environment.clone();
        Sources { file: self.config.clone(), environment, flags }
    }
}

#[cfg(test)]
mod tests;
