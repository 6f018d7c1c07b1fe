//! `cargo xtask stack`: real Redis, PostgreSQL and Kafka for tests and for trying things out, hardened by the
//! very files that `deploy/` ships.
//!
//! Plain processes on free ports of 127.0.0.1, with data, certificates and passwords made for the run under
//! `target/stack`. Everything is written down before it is needed for cleaning up.

mod faults;
mod files;
mod kafka;
mod ports;
mod postgres;
mod probe;
mod process;
mod redis;
mod run;
mod secrets;
mod services;
mod state;
mod tls;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use rustix::process::Signal;

use faults::{cont, kill, start, stop};
pub use services::Services;
pub use state::{State, environment_file};
pub use tools::{can_install, install};

use run::Run;
use tls::Authority;
use tools::Tools;

/// How long a service may take to end by itself.
const END_LIMIT: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Start all services; then print the environment to use.
    Up(UpOptions),
    /// Stop all services and remove their data.
    Down {
        /// Let them end in order, and keep the data.
        #[arg(long)]
        keep: bool,
    },
    /// Show each service: port, process, whether it answers.
    Status,
    /// Print the environment of the running stack, as a shell reads it.
    Env,
    /// Kill services at once: redis, postgres, kafka, kafka-2, kafka-3.
    Kill(Names),
    /// Freeze services.
    Stop(Names),
    /// Let frozen services go on.
    Cont(Names),
    /// Start killed services on the same ports with the same data.
    Start {
        #[command(flatten)]
        names: Names,
        /// Redis: load this dump, else it comes back empty. PostgreSQL: a copy of its data directory.
        #[arg(long, value_name = "PATH")]
        from: Option<PathBuf>,
    },
}

#[derive(clap::Args)]
struct Names {
    #[arg(required = true)]
    services: Vec<String>,
}

/// What `up` starts.
#[derive(clap::Args, Clone)]
pub struct UpOptions {
    /// Kafka brokers: 1, or 3 with each record on three of them.
    #[arg(long, default_value_t = 1, value_parser = one_or_three)]
    pub brokers: u32,
    /// Let Kafka optimise in full: slower to start, faster afterwards. For measurements.
    #[arg(long)]
    pub full_jit: bool,
    /// Print the environment as a shell reads it: `eval "$(cargo xtask stack up --print)"`.
    #[arg(long)]
    pub print: bool,
}

impl Default for UpOptions {
    fn default() -> Self {
        Self { brokers: 1, full_jit: false, print: false }
    }
}

fn one_or_three(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|brokers| [1, 3].contains(brokers)).ok_or("1 or 3".into())
}

/// Runs one of the commands.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    match &options.action {
        Action::Up(options) => {
            let state = up(options)?;
            print(&state, options.print);
        }
        Action::Down { keep } => down(*keep)?,
        Action::Status => return status(),
        Action::Env => print(&State::load()?.context("no stack runs")?, true),
        Action::Kill(names) => kill(&names.services)?,
        Action::Stop(names) => stop(&names.services)?,
        Action::Cont(names) => cont(&names.services)?,
        Action::Start { names, from } => start(&names.services, from.as_deref())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts all services, unless they run already. What it has started it stops again if the rest fails.
pub fn up(options: &UpOptions) -> anyhow::Result<State> {
    let _lock = state::lock()?;
    if let Some(state) = State::load()? {
        if is_up(&state) {
            eprintln!("it runs already: {}", state.dir.display());
            return Ok(state);
        }
        eprintln!("removing what is left of {}", state.dir.display());
        remove(&state)?;
    }
    let tools = tools::find()?;
    let begun = Instant::now();
    match start_all(&tools, options) {
        Ok(state) => {
            eprintln!("up after {:.1} s", begun.elapsed().as_secs_f64());
            Ok(state)
        }
        Err(error) => {
            if let Some(state) = State::load()? {
                remove(&state)?;
            }
            Err(error)
        }
    }
}

/// Whether all that was started still runs. Who asks before `up` knows whether `down` is his to call.
pub fn is_up(state: &State) -> bool {
    state.complete && state.services.iter().all(|service| service.running().is_some())
}

fn start_all(tools: &Tools, options: &UpOptions) -> anyhow::Result<State> {
    let dir = state::root().join(format!("run-{}", files::random_hex(4)?));
    let authority = Authority::new(&dir.join("tls"))?;
    let environment = secrets::make()?;
    let state = State {
        ca_file: authority.ca_file.clone(),
        dir,
        complete: false,
        services: Vec::new(),
        environment,
    };
    state.save()?;
    let ports = 2 + kafka::PORTS_PER_NODE * options.brokers as usize;
    let run = Run::new(tools, &authority, state, ports)?;
    let begun = Instant::now();
    let named = |name: &str, done: anyhow::Result<()>| {
        if done.is_ok() {
            eprintln!("{name} serves after {:.1} s", begun.elapsed().as_secs_f64());
        }
        done.with_context(|| format!("{name} could not be started"))
    };
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let redis = scope.spawn(|| named("Redis", redis::up(&run)));
        let postgres = scope.spawn(|| named("PostgreSQL", postgres::up(&run)));
        let kafka = named("Kafka", kafka::up(&run, options.brokers, options.full_jit));
        for thread in [redis, postgres] {
            thread.join().map_err(|_| anyhow!("a thread panicked"))??;
        }
        kafka
    })?;
    let mut state = run.into_state();
    state.environment.sort();
    state.complete = true;
    state.save()?;
    Ok(state)
}

/// Stops all services. With `keep` they end in order and their data stay.
pub fn down(keep: bool) -> anyhow::Result<()> {
    let _lock = state::lock()?;
    let Some(state) = State::load()? else {
        eprintln!("no stack runs");
        return Ok(());
    };
    if keep {
        let running = || state.services.iter().filter_map(|s| Some((s, s.running()?)));
        for (service, process) in running() {
            process.signal_all(Signal::CONT);
            process.signal(service.kind.polite_signal());
        }
        for (_, process) in running() {
            process.ended_within(END_LIMIT);
        }
        end(&state);
        eprintln!("the data stay in {}", state.dir.display());
        return State::remove();
    }
    remove(&state)?;
    eprintln!("down");
    Ok(())
}

fn end(state: &State) {
    for process in state.services.iter().filter_map(|service| service.running()) {
        process.kill();
    }
}

fn remove(state: &State) -> anyhow::Result<()> {
    end(state);
    if state.dir.exists() {
        std::fs::remove_dir_all(&state.dir)
            .with_context(|| format!("cannot remove {}", state.dir.display()))?;
    }
    State::remove()
}

/// Shows each service; a failure unless all answer.
fn status() -> anyhow::Result<ExitCode> {
    let Some(state) = State::load()? else {
        println!("no stack runs");
        return Ok(ExitCode::FAILURE);
    };
    let mut all = state.complete;
    println!(
        "{}{}",
        state.dir.display(),
        if all { "" } else { " (its `up` did not come to its end)" }
    );
    for service in &state.services {
        let (id, says) = match service.running() {
            None => ("-".to_owned(), "is dead".to_owned()),
            Some(process) if process.is_stopped() => {
                (process.id.to_string(), "is frozen".to_owned())
            }
            Some(process) => (
                process.id.to_string(),
                match probe::answers(service, &state.ca_file) {
                    Ok(()) => "answers".to_owned(),
                    Err(error) => format!("does not answer: {error:#}"),
                },
            ),
        };
        all &= says == "answers";
        println!("{:<10} 127.0.0.1:{:<6} pid {:<8} {says}", service.name, service.port, id);
    }
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(state: &State, for_shell: bool) {
    for (name, value) in state.all_variables() {
        if for_shell {
            println!("export {name}='{value}'");
        } else {
            println!("{name}={value}");
        }
    }
    if for_shell {
        println!("export FLUX_GATE_STACK='{}'", environment_file().display());
    }
}
