//! Runs a command with its output in a file, and counts what its tests said.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::workspace;

/// Lines of a failed step's output that are shown.
const SHOWN_LINES: usize = 60;

/// How a step ended.
pub enum Outcome {
    /// It ran to its end; without a failed check, it passed.
    Ran {
        /// Checks that passed.
        passed: u64,
        /// Checks that failed.
        failed: u64,
        /// The end of its output, to be shown if something failed.
        output: String,
    },
    /// It did not run, and so says nothing.
    DidNotRun(String),
}

impl Outcome {
    /// Whether it says that something is wrong.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Ran { failed: 1.., .. })
    }
}

/// The file that holds a step's output.
pub fn log_file(name: &str) -> anyhow::Result<PathBuf> {
    let dir = workspace::target().join("xtask");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    Ok(dir.join(format!("{}.log", name.chars().map(word).collect::<String>())))
}

/// Runs a command that is one check.
pub fn check(name: &str, command: &mut Command) -> anyhow::Result<Outcome> {
    let output = run(name, command)?;
    Ok(Outcome::Ran {
        passed: output.success.into(),
        failed: (!output.success).into(),
        output: output.text,
    })
}

/// Runs a command whose tests are counted. Tests that did not build are one failure.
pub fn tests(name: &str, command: &mut Command) -> anyhow::Result<Outcome> {
    let output = run(name, command)?;
    let (passed, failed) = count(&output.text);
    let failed = if output.success { failed } else { failed.max(1) };
    Ok(Outcome::Ran { passed, failed, output: output.text })
}

/// What a command left behind.
pub struct Output {
    /// Whether its exit code was 0.
    pub success: bool,
    /// What it wrote, to both streams.
    pub text: String,
}

/// Runs a command to its end with its output in the step's file.
pub fn run(name: &str, command: &mut Command) -> anyhow::Result<Output> {
    let path = log_file(name)?;
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    Ok(Output { success: status.success(), text: read(&path)? })
}

fn read(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Sums the lines `test result: ok. 12 passed; 0 failed; …`.
pub fn count(output: &str) -> (u64, u64) {
    let results = output.lines().filter_map(|line| line.split_once("test result: "));
    results.fold((0, 0), |(passed, failed), (_, result)| {
        (passed + before(result, " passed"), failed + before(result, " failed"))
    })
}

fn before(text: &str, word: &str) -> u64 {
    let number = text.split(word).next().and_then(|head| head.split_whitespace().last());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The end of an output, for people.
pub fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn results_of_several_test_binaries_are_summed() {
        let output = "running 2 tests\n\
            test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
            test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(count(output), (15, 2));
        assert_eq!(count("error: could not compile"), (0, 0));
    }
}
