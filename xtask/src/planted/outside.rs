//! Bugs that show from outside alone: tests over HTTP must fail with them.
//!
//! The copy is the whole workspace, of which the program alone is built with the bug, under another name. The tests
//! are the real ones, built without it: they start the program that `FLUX_GATE_PROGRAM` names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::outside_bugs::OUTSIDE_BUGS;
use super::stores::{copy_workspace, failed};
use super::{change, offline};
use crate::attack::PROGRAM_VARIABLE;
use crate::test::FEATURES;
use crate::workspace;

/// What the program is named in the copy.
const PROGRAM: &str = "flux-gate-planted";

/// Plants each bug whose name contains `only` and prints whether its test failed. Returns how many were planted, and
/// the names of those that nobody noticed.
#[allow(clippy::disallowed_methods, reason = "the real time that it takes is shown")]
pub fn run(root: &Path, only: Option<&str>) -> Result<(usize, Vec<&'static str>)> {
    let chosen: Vec<_> = OUTSIDE_BUGS
        .iter()
        .filter(|(bug, _)| only.is_none_or(|only| bug.name.contains(only)))
        .collect();
    if chosen.is_empty() {
        return Ok((0, Vec::new()));
    }
    let tree = root.join("target/planted-program");
    copy_workspace(root, &tree)?;
    let begun = Instant::now();
    all_pass(&build(root, &tree)?, &chosen.iter().map(|(_, test)| *test).collect())?;
    println!("{:<60} {:>6} {:>5.0}  -", "(none)", "-", begun.elapsed().as_secs_f64());
    let mut survivors = Vec::new();
    for (bug, test) in &chosen {
        let begun = Instant::now();
        let said = change(&tree, bug, || {
            let tested = tested(&build(root, &tree)?, &[*test].into())?;
            Ok(String::from_utf8_lossy(&tested.stdout).into_owned())
        });
        let caught = failed(&said.with_context(|| bug.name)?);
        let seconds = begun.elapsed().as_secs_f64();
        let what = if caught.is_empty() { "NOT CAUGHT".to_owned() } else { caught.join(", ") };
        println!("{:<60} {:>6} {seconds:>5.0}  {what}", bug.name, "-");
        if caught.is_empty() {
            survivors.push(bug.name);
        }
    }
    Ok((chosen.len(), survivors))
}

/// Without a bug every one of these tests must be there, and pass.
fn all_pass(program: &Path, tests: &BTreeSet<&str>) -> Result<()> {
    let ran = tested(program, tests)?;
    let said = String::from_utf8_lossy(&ran.stdout);
    for test in tests {
        let passed = said.lines().any(|line| line == format!("test {test} ... ok"));
        let told = String::from_utf8_lossy(&ran.stderr);
        ensure!(passed, "without any bug planted {test} does not pass:\n{said}\n{told}");
    }
    Ok(())
}

/// Builds the copy's program.
fn build(root: &Path, tree: &Path) -> Result<PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    offline(&mut command, root, tree);
    // The features of all packages, so that their dependencies are those that are built already.
    command.args(["build", "--quiet", "--workspace", "--bin", PROGRAM]);
    command.args(FEATURES.map(|word| word.replace("flux-gate/", "flux-gate-planted/")));
    let built = command.output()?;
    let said = String::from_utf8_lossy(&built.stderr);
    ensure!(built.status.success(), "it does not build:\n{said}");
    Ok(workspace::target().join("debug").join(PROGRAM))
}

/// Runs these tests against this program.
fn tested(program: &Path, tests: &BTreeSet<&str>) -> Result<Output> {
    let mut command = workspace::cargo();
    command.args(["test", "--workspace", "--test", "it"]).args(FEATURES);
    command.args(["--", "--exact"]).args(tests);
    command.env(PROGRAM_VARIABLE, program).env("RUST_BACKTRACE", "0");
    Ok(command.output()?)
}
