//! `cargo xtask test`: everything that must pass, in the order of what fails quickest.
//!
//! All steps share one target directory and one profile, so that nothing is built twice. A step that did not
//! run is said so and never counted as passed.

use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use crate::attack;
use crate::browser;
use crate::needs;
use crate::packages;
use crate::python;
use crate::schemathesis;
use crate::stack;
use crate::step::{self, Outcome};
use crate::supply::{Metadata, policy::Policy, sbom};
use crate::workspace::{self, cargo};

#[derive(clap::Args)]
pub struct Options {
    /// Go on after a failed step.
    #[arg(long)]
    keep_going: bool,
    /// Only the steps whose names contain this.
    #[arg(long, value_name = "WORD")]
    only: Option<String>,
}

struct Step {
    name: &'static str,
    run: fn(&str) -> anyhow::Result<Outcome>,
    /// Whether it talks to Redis, Kafka and PostgreSQL.
    needs_services: bool,
}

impl Step {
    const fn new(name: &'static str, run: fn(&str) -> anyhow::Result<Outcome>) -> Self {
        Self { name, run, needs_services: false }
    }

    const fn with_services(name: &'static str, run: fn(&str) -> anyhow::Result<Outcome>) -> Self {
        Self { name, run, needs_services: true }
    }
}

/// Everything is tested with the parts of many nodes built in.
pub const FEATURES: [&str; 2] = ["--features", "flux-gate/distributed,xtask/distributed"];

const STEPS: &[Step] = &[
    Step::new("format", format),
    Step::new("lints", lints),
    Step::new("build", build),
    Step::with_services("unit, contract, property, simulation", unit),
    Step::new("integration, bad input", integration),
    Step::new("clients of other languages", clients),
    Step::new("crash", crash),
    Step::with_services("many nodes", many_nodes),
    Step::new("examples in the documentation", doc_tests),
    Step::new("documentation", documentation),
    Step::new("alert rules", alert_rules),
    Step::new("packages", packages::run),
    Step::new("bill of materials", bill),
    Step::new("schemathesis", schemathesis::run),
    Step::with_services("browser", browser::run),
    Step::with_services("attacks", attacks),
    Step::new("crowd", crowd),
    Step::with_services("planted bugs", planted),
    Step::new("licences, advisories", deny),
];

/// Runs the steps and sums them up.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if let Some(missing) = missing_tools() {
        eprintln!("{missing}");
        return Ok(ExitCode::FAILURE);
    }
    let begun = Instant::now();
    let wanted =
        |step: &&Step| options.only.as_ref().is_none_or(|word| step.name.contains(word.as_str()));
    let (mut passed, mut failed, mut left_out) = (0, 0, Vec::new());
    let mut services = None;
    for step in STEPS.iter().filter(wanted) {
        if step.needs_services && services.is_none() {
            services = Some(stack::Services::start()?);
        }
        let outcome = run_step(step)?;
        let stop = outcome.is_failure() && !options.keep_going;
        match outcome {
            Outcome::Ran { passed: more, failed: worse, .. } => {
                passed += more;
                failed += worse;
            }
            Outcome::DidNotRun(_) => left_out.push(step.name),
        }
        if stop {
            println!("stopped at the first failure; --keep-going runs the rest");
            break;
        }
    }
    if !left_out.is_empty() {
        println!("did not run: {}", left_out.join("; "));
    }
    println!("in {} s", begun.elapsed().as_secs());
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_step(step: &Step) -> anyhow::Result<Outcome> {
    print!("{:<38}", step.name);
    std::io::stdout().flush()?;
    let begun = Instant::now();
    let outcome = (step.run)(step.name)?;
    let seconds = begun.elapsed().as_secs_f64();
    match &outcome {
        Outcome::Ran { passed, failed: 0, .. } => println!("ok      {seconds:7.1} s  {passed:>5}"),
        Outcome::Ran { failed, output, .. } => {
            println!("FAILED  {seconds:7.1} s  {failed:>5}");
            println!("{}", step::tail(output));
            println!("all of it: {}", step::log_file(step.name)?.display());
        }
        Outcome::DidNotRun(why) => println!("did not run: {why}"),
    }
    Ok(outcome)
}

/// What has to be installed first; `None` if nothing. On Debian as root OpenSSL's headers are installed.
fn missing_tools() -> Option<String> {
    if !runs("pkg-config", &["--exists", "openssl"]) && stack::can_install() {
        // Whether it worked is seen below.
        let _ = stack::install(&["pkg-config", "libssl-dev"]);
    }
    let needed: [(&str, &[&str], &str); 4] = [
        ("cc", &["--version"], "a C compiler (Debian, Ubuntu: apt-get install build-essential)"),
        ("cargo", &["fmt", "--version"], "rustfmt (rustup component add rustfmt)"),
        ("cargo", &["clippy", "--version"], "clippy (rustup component add clippy)"),
        (
            "pkg-config",
            &["--exists", "openssl"],
            "OpenSSL's headers and pkg-config (Debian, Ubuntu: apt-get install pkg-config libssl-dev)",
        ),
    ];
    let missing: Vec<_> = needed
        .iter()
        .filter(|(program, arguments, _)| !runs(program, arguments))
        .map(|(_, _, what)| format!("missing: {what}"))
        .collect();
    (!missing.is_empty()).then(|| missing.join("\n"))
}

pub fn runs(program: &str, arguments: &[&str]) -> bool {
    let mut command = if program == "cargo" { cargo() } else { Command::new(program) };
    let status = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn format(name: &str) -> anyhow::Result<Outcome> {
    step::check(name, cargo().args(["fmt", "--all", "--check"]))
}

fn lints(name: &str) -> anyhow::Result<Outcome> {
    let lints = ["clippy", "--workspace", "--all-targets"];
    step::check(name, cargo().args(lints).args(FEATURES).args(["--", "-D", "warnings"]))
}

/// Also the programs themselves, so that the attacks come by one that has those on the stores built in.
fn build(name: &str) -> anyhow::Result<Outcome> {
    let all = ["build", "--workspace", "--bins", "--tests"];
    step::check(name, cargo().args(all).args(FEATURES))
}

fn unit(name: &str) -> anyhow::Result<Outcome> {
    let tests = ["test", "--workspace", "--lib", "--bins", "--no-fail-fast"];
    step::tests(name, with_services(cargo().args(tests).args(FEATURES))?)
}

fn integration(name: &str) -> anyhow::Result<Outcome> {
    let tests = ["test", "--workspace", "--test", "it", "--no-fail-fast"];
    let skip = ["--", "--skip", "crash::", "--skip", "distributed::", "--skip", CLIENTS];
    step::tests(name, cargo().args(tests).args(FEATURES).args(skip))
}

/// The tests of `examples/clients`.
const CLIENTS: &str = "contract::clients::";
/// What those run in: program, Debian's package.
const CLIENTS_NEED: [(&str, &str); 3] =
    [("curl", "curl"), ("node", "nodejs"), ("python3", "python3")];

/// The examples that are not Rust.
fn clients(name: &str) -> anyhow::Result<Outcome> {
    if let Some(missing) = needs::missing(&CLIENTS_NEED, &["openssl"])? {
        return Ok(Outcome::DidNotRun(missing));
    }
    step::tests(name, &mut one_by_one(CLIENTS))
}

/// Apart from the other tests, and one after the other: they would take the processor from each other.
fn crash(name: &str) -> anyhow::Result<Outcome> {
    step::tests(name, &mut one_by_one("crash::"))
}

/// Two nodes and two workers on the real services, which are broken under them.
fn many_nodes(name: &str) -> anyhow::Result<Outcome> {
    step::tests(name, with_services(&mut one_by_one("distributed::"))?)
}

/// Tests that would disturb each other, with what they print.
pub fn one_by_one(tests: &str) -> Command {
    let mut command = cargo();
    command.args(["test", "--workspace", "--test", "it"]).args(FEATURES);
    command.args(["--", tests, "--test-threads", "1", "--nocapture"]);
    command
}

/// Tells the tests where the services are, and how to break them.
pub fn with_services(command: &mut Command) -> anyhow::Result<&mut Command> {
    command.env("FLUX_GATE_STACK", stack::environment_file());
    Ok(command.env("FLUX_GATE_XTASK", workspace::this_program()?))
}

fn doc_tests(name: &str) -> anyhow::Result<Outcome> {
    step::tests(name, cargo().args(["test", "--workspace", "--doc"]).args(FEATURES))
}

fn documentation(name: &str) -> anyhow::Result<Outcome> {
    let doc = ["doc", "--workspace", "--no-deps", "--document-private-items"];
    // Who reads this documentation works on the program, so private items may be named and are shown.
    let flags = "-D warnings -A rustdoc::private_intra_doc_links";
    step::check(name, cargo().args(doc).args(FEATURES).env("RUSTDOCFLAGS", flags))
}

/// Each alert fires when it should and at no other time, says Prometheus' own tool.
fn alert_rules(name: &str) -> anyhow::Result<Outcome> {
    let there = || runs("promtool", &["--version"]);
    if !there() && stack::can_install() {
        stack::install(&["prometheus"])?;
    }
    if !there() {
        let why = "promtool is not installed (Debian: apt-get install prometheus)";
        return Ok(Outcome::DidNotRun(why.to_owned()));
    }
    let mut promtool = Command::new("promtool");
    promtool.args(["test", "rules", "deploy/observability/alerts_test.yml"]);
    step::check(name, promtool.current_dir(workspace::root()))
}

/// By this program as a process of its own, so that its table goes into the step's file.
fn attacks(name: &str) -> anyhow::Result<Outcome> {
    // The step may run by itself, and then by a program without the attacks on the stores.
    let built = build(name)?;
    if built.is_failure() {
        return Ok(built);
    }
    let mut attack = this_program()?;
    attack.arg("attack").env(attack::PROGRAM_VARIABLE, workspace::target().join("debug/flux-gate"));
    let output = step::run(name, with_services(&mut attack)?)?;
    let blocked = output.text.lines().filter(|line| line.ends_with("  yes")).count() as u64;
    let succeeded = output.text.lines().filter(|line| line.ends_with("  NO")).count() as u64;
    // A harness that could not run is a failure too.
    let failed = if output.success { succeeded } else { succeeded.max(1) };
    Ok(Outcome::Ran { passed: blocked, failed, output: output.text })
}

/// Small crowds of people and bots: a fast script gains nothing much by a drawn sale, and the sums agree.
fn crowd(name: &str) -> anyhow::Result<Outcome> {
    let built = build(name)?;
    if built.is_failure() {
        return Ok(built);
    }
    step::check(name, this_program()?.args(["crowd", "--quick"]))
}

/// The simulation must catch every one of them.
fn planted(name: &str) -> anyhow::Result<Outcome> {
    let output = step::run(name, this_program()?.arg("planted"))?;
    let counts = output.text.lines().find_map(|line| {
        let (planted, rest) = line.split_once(" bugs planted, ")?;
        let caught = rest.strip_suffix(" caught")?;
        Some((planted.parse::<u64>().ok()?, caught.parse::<u64>().ok()?))
    });
    let (planted, caught) = counts.unwrap_or_default();
    let missed = planted.saturating_sub(caught);
    // One that could not be planted is a failure too.
    let failed = if output.success { missed } else { missed.max(1) };
    Ok(Outcome::Ran { passed: caught, failed, output: output.text })
}

fn this_program() -> anyhow::Result<Command> {
    Ok(Command::new(workspace::this_program()?))
}

/// By cargo-deny where it is installed: to build it takes longer than most of the steps. Else by what cargo knows, which
/// leaves out the advisories.
fn deny(name: &str) -> anyhow::Result<Outcome> {
    if runs("cargo", &["deny", "--version"]) {
        return step::check(name, cargo().args(["deny", "--workspace", "check"]));
    }
    let metadata = Metadata::read(None)?;
    let faults = Policy::read()?.faults(&metadata);
    let (packages, failed) = (metadata.packages.len() as u64, faults.len() as u64);
    let output = format!("{packages} packages, without their advisories\n{}\n", faults.join("\n"));
    std::fs::write(step::log_file(name)?, &output)?;
    Ok(Outcome::Ran { passed: packages.saturating_sub(failed), failed, output })
}

/// What reads CycloneDX.
const BILL_READER: [&str; 1] = ["cyclonedx-python-lib[json-validation]==11.12.0"];

/// The bill of materials is made and held against the schema of CycloneDX.
fn bill(name: &str) -> anyhow::Result<Outcome> {
    if let Some(missing) = needs::missing(&[("python3", "python3")], &["python3-venv"])? {
        return Ok(Outcome::DidNotRun(missing));
    }
    let path = workspace::target().join("flux-gate.cdx.json");
    sbom::write(&path)?;
    let python = python::environment("cyclonedx", &BILL_READER)?.join("python");
    let check = workspace::root().join("tests/sbom/check.py");
    step::check(name, Command::new(python).arg(check).arg(path))
}
