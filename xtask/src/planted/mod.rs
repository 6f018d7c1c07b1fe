//! `cargo xtask planted`: is the simulation worth anything? Bugs are planted in a copy of the real sources,
//! one at a time, and the simulation must find each. Tests have no part in it, but for the few bugs of
//! [`stores`] that only the real services can show, and for those of waiting rooms and challenges in [`outside`],
//! which the simulation does not run.
//!
//! The copy, `target/planted/`, is a package of its own with the modules that the simulation uses and
//! nothing else. It has another name and no program, so it can share the target directory, and so the built
//! dependencies, without ever leaving a planted bug there for somebody else.

mod bugs;
mod outside;
mod outside_bugs;
mod stores;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use bugs::{BUGS, Bug};

/// Seeds in which the sound code must hold, and most bugs are found.
const SEEDS: u64 = 3_000;
/// Seeds in which a bug must be found: some need several things to happen within milliseconds.
const SEEDS_MAX: u64 = 30_000;
/// The modules that the simulation runs; what is above them is left out of the copy.
const MODULES: &[&str] = &[
    "chain",
    "clock",
    "config",
    "gate",
    "gcra",
    "keys",
    "log",
    "merkle",
    "outgoing",
    "place_order",
    "receipt",
    "sale",
    "signing",
    "snapshot",
    "telemetry",
    "trace",
];
/// How many more seeds are run after the first that finds something, to see which rules fall.
const SURVEY: u64 = 100;

/// What the simulation said.
struct Verdict {
    found: Option<Found>,
    seconds: f64,
}

struct Found {
    seed: String,
    /// What fell, and in how many seeds.
    fallen: String,
}

/// Plants every bug, or those whose name contains `only`, and prints which seed found it.
///
/// # Errors
/// A bug that was not found, or that could not be planted: its text is not in its file exactly once, or
/// what it makes does not compile.
pub fn run(only: Option<&str>) -> Result<()> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask is in the workspace")?;
    let mut survivors = Vec::new();
    let mut planted = 0;
    let chosen: Vec<_> =
        BUGS.iter().filter(|bug| only.is_none_or(|only| bug.name.contains(only))).collect();
    println!("{:<60} {:>6} {:>5}  what fell, in how many seeds", "bug", "seed", "s");
    if !chosen.is_empty() {
        planted += chosen.len();
        survivors.extend(simulated(root, &chosen)?);
    }
    for run in [outside::run, stores::run] {
        let (more, missed) = run(root, only)?;
        planted += more;
        survivors.extend(missed);
    }
    println!("{planted} bugs planted, {} caught", planted - survivors.len());
    ensure!(survivors.is_empty(), "nothing catches: {}", survivors.join("; "));
    Ok(())
}

/// Those that the simulation does not find.
fn simulated(root: &Path, chosen: &[&Bug]) -> Result<Vec<&'static str>> {
    let tree = root.join("target/planted");
    copy_sources(root, &tree)?;
    let sound = simulate(root, &tree, 0..SEEDS).context("the copy without a bug")?;
    if let Some(Found { seed, fallen }) = sound.found {
        bail!("without any bug planted, seed {seed} breaks {fallen}");
    }
    println!("{:<60} {:>6} {:>5.0}  -", "(none)", "-", sound.seconds);
    let mut survivors = Vec::new();
    for bug in chosen {
        let verdict = plant(root, &tree, bug).with_context(|| bug.name)?;
        let found = verdict.found.unwrap_or_else(|| {
            survivors.push(bug.name);
            Found { seed: "-".into(), fallen: "NOT CAUGHT".into() }
        });
        let (seed, fallen) = (found.seed, found.fallen);
        println!("{:<60} {seed:>6} {:>5.0}  {fallen}", bug.name, verdict.seconds);
    }
    Ok(survivors)
}

/// Plants one bug and simulates.
fn plant(root: &Path, tree: &Path, bug: &Bug) -> Result<Verdict> {
    change(tree, bug, || {
        let verdict = simulate(root, tree, 0..SEEDS)?;
        if verdict.found.is_some() {
            return Ok(verdict);
        }
        let later = simulate(root, tree, SEEDS..SEEDS_MAX)?;
        Ok(Verdict { seconds: verdict.seconds + later.seconds, ..later })
    })
}

/// Plants one bug, does something, and takes it out again.
fn change<T>(tree: &Path, bug: &Bug, then: impl FnOnce() -> Result<T>) -> Result<T> {
    let path = tree.join("src").join(bug.file);
    let sound = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let places = sound.matches(bug.find).count();
    ensure!(places == 1, "its text is {places} times in {}, not once:\n{}", bug.file, bug.find);
    fs::write(&path, sound.replacen(bug.find, bug.replace, 1))?;
    let done = then();
    fs::write(&path, sound)?;
    done
}

/// Builds the copy and runs its simulation on these seeds.
#[allow(clippy::disallowed_methods, reason = "the real time that it takes is shown")]
fn simulate(root: &Path, tree: &Path, seeds: Range<u64>) -> Result<Verdict> {
    let begun = Instant::now();
    let built = cargo(root, tree).arg("--no-run").output()?;
    ensure!(
        built.status.success(),
        "it does not build:\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let ran = cargo(root, tree)
        .args(["simulation::rules", "--", "--nocapture"])
        .env("SIM_FIRST", seeds.start.to_string())
        .env("SIM_SEEDS", (seeds.end - seeds.start).to_string())
        .env("SIM_SURVEY", SURVEY.to_string())
        .output()?;
    let seconds = begun.elapsed().as_secs_f64();
    if ran.status.success() {
        return Ok(Verdict { found: None, seconds });
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    let found = find(&said).with_context(|| format!("it failed without a finding:\n{said}"))?;
    Ok(Verdict { found: Some(found), seconds })
}

/// Reads the simulation's last words: `seed 7 breaks rule 1 (…): …`, and `fallen: {"rule 1 (…)": 3}`.
fn find(said: &str) -> Option<Found> {
    let (seed, _) =
        said.lines().find_map(|line| line.strip_prefix("seed ")?.split_once(" breaks "))?;
    let fallen = said.lines().find_map(|line| line.strip_prefix("fallen: "))?;
    let fallen = fallen.trim_matches(['{', '}']).replace('"', "");
    Some(Found { seed: seed.to_owned(), fallen })
}

fn cargo(root: &Path, tree: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    offline(&mut command, root, tree);
    command.args(["test", "--quiet", "--test", "it"]);
    command.env_remove("SEED");
    command
}

/// Lets cargo work in a copy, on what has been built for the real one.
fn offline(command: &mut Command, root: &Path, tree: &Path) {
    command.current_dir(tree).env("CARGO_NET_OFFLINE", "true").env("RUST_BACKTRACE", "0");
    // The caller's package is not the copy's.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    if std::env::var_os("CARGO_TARGET_DIR").is_none() {
        command.env("CARGO_TARGET_DIR", root.join("target"));
    }
}

/// Makes the copy anew.
fn copy_sources(root: &Path, tree: &Path) -> Result<()> {
    if tree.exists() {
        fs::remove_dir_all(tree)?;
    }
    let lib = fs::read_to_string(root.join("src/lib.rs"))?;
    for module in MODULES {
        for path in [format!("src/{module}.rs"), format!("src/{module}")] {
            copy(&root.join(&path), &tree.join(&path))?;
        }
    }
    fs::write(tree.join("src/lib.rs"), keep_modules(&lib))?;
    copy(&root.join("tests/it/simulation"), &tree.join("tests/it/simulation"))?;
    fs::write(tree.join("tests/it/main.rs"), "mod simulation;\n")?;
    let lock = fs::read_to_string(root.join("Cargo.lock"))?;
    fs::write(tree.join("Cargo.lock"), renamed(&lock))?;
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    fs::write(tree.join("Cargo.toml"), own_manifest(&manifest))?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let name: PathBuf = entry?.file_name().into();
            copy(&from.join(&name), &to.join(&name))?;
        }
    } else if from.exists() {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(from, to).with_context(|| from.display().to_string())?;
    }
    Ok(())
}

/// The library's root without the modules that are left out.
fn keep_modules(lib: &str) -> String {
    let left_out = |line: &&str| match line.strip_prefix("pub mod ") {
        Some(name) => !MODULES.contains(&name.trim_end_matches(';')),
        // Said of a module of many nodes, none of which is in the copy.
        None => line.starts_with("#[cfg(feature"),
    };
    lib.lines().filter(|line| !left_out(line)).map(|line| format!("{line}\n")).collect()
}

/// The manifest of a package with another name, but a library of the same: without the name, cargo takes
/// the copy's artifacts for those of the real package. It has no program and no other members.
fn own_manifest(manifest: &str) -> String {
    let unwanted = |line: &&str| line.starts_with("members") || line.starts_with("default-run");
    let lines = manifest.lines().filter(|line| !unwanted(line));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    format!("{}\n[lib]\nname = \"flux_gate\"\n", renamed(&text))
}

fn renamed(text: &str) -> String {
    text.replacen("name = \"flux-gate\"", "name = \"flux-gate-planted\"", 1)
}
