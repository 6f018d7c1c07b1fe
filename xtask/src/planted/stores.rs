//! Bugs that only show on the real services: unit tests of many nodes must fail with them.
//!
//! The copy is the whole workspace, so that its dependencies are built already, for the tests of the real one.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::bugs::{Bug, STORE_BUGS};
use super::{change, copy, offline, renamed};
use crate::stack::Services;
use crate::test::{FEATURES, with_services};

/// What the copy is made of.
const PARTS: &[&str] =
    &["Cargo.toml", "Cargo.lock", ".cargo", "deploy", "src", "tests", "xtask", "examples"];

/// Plants each bug whose name contains `only` and prints which tests failed. Returns how many were planted, and
/// the names of those that nobody noticed.
pub fn run(root: &Path, only: Option<&str>) -> Result<(usize, Vec<&'static str>)> {
    let chosen: Vec<_> = STORE_BUGS
        .iter()
        .filter(|(bug, _)| only.is_none_or(|only| bug.name.contains(only)))
        .collect();
    if chosen.is_empty() {
        return Ok((0, Vec::new()));
    }
    let _services = Services::start()?;
    let tree = root.join("target/planted-stores");
    copy_workspace(root, &tree)?;
    let mut survivors = Vec::new();
    for (bug, tests) in &chosen {
        let begun = Instant::now();
        let failed = plant(root, &tree, bug, tests).with_context(|| bug.name)?;
        let seconds = begun.elapsed().as_secs_f64();
        let what = if failed.is_empty() { "NOT CAUGHT".to_owned() } else { failed.join(", ") };
        println!("{:<60} {:>6} {seconds:>5.0}  {what}", bug.name, "-");
        if failed.is_empty() {
            survivors.push(bug.name);
        }
    }
    Ok((chosen.len(), survivors))
}

/// The tests that fail with the bug.
fn plant(root: &Path, tree: &Path, bug: &Bug, tests: &str) -> Result<Vec<String>> {
    let ran = change(tree, bug, || {
        let built = cargo(root, tree, tests, &["--no-run"])?;
        let said = String::from_utf8_lossy(&built.stderr);
        ensure!(built.status.success(), "it does not build:\n{said}");
        cargo(root, tree, tests, &[])
    })?;
    let said = String::from_utf8_lossy(&ran.stdout);
    let ran_some = said.lines().any(|line| line.starts_with("test ") && line.contains(" ... "));
    ensure!(ran_some, "no test ran:\n{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    Ok(failed(&said))
}

/// The tests that failed, by what `cargo test` says.
pub(super) fn failed(said: &str) -> Vec<String> {
    let failed =
        said.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    failed.map(str::to_owned).collect()
}

fn cargo(root: &Path, tree: &Path, tests: &str, more: &[&str]) -> Result<Output> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    offline(&mut command, root, tree);
    // As the tests of the real one are built.
    command.args(["test", "--workspace", "--lib"]);
    command.args(FEATURES.map(|word| word.replace("flux-gate/", "flux-gate-planted/")));
    command.args(more).args(["--", tests]);
    with_services(&mut command)?;
    Ok(command.output()?)
}

pub(super) fn copy_workspace(root: &Path, tree: &Path) -> Result<()> {
    if tree.exists() {
        fs::remove_dir_all(tree)?;
    }
    for part in PARTS {
        copy(&root.join(part), &tree.join(part))?;
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        let path = tree.join(file);
        let text = fs::read_to_string(&path)?;
        // Of the lock also what others say that they need.
        let text = renamed(&text).replace("\"flux-gate\"", "\"flux-gate-planted\"");
        let library = if file == "Cargo.toml" { "\n[lib]\nname = \"flux_gate\"\n" } else { "" };
        fs::write(&path, text + library)?;
    }
    let path = tree.join("xtask/Cargo.toml");
    let text = fs::read_to_string(&path)?;
    let own = "flux-gate = { path = \"..\" }";
    ensure!(text.contains(own), "xtask does not name the package as it did");
    let text = text.replace(own, "flux-gate = { path = \"..\", package = \"flux-gate-planted\" }");
    fs::write(&path, text)?;
    Ok(())
}
