//! `cargo xtask fuzz`: every parser of outside bytes under libFuzzer, guided by coverage.
//!
//! The programs of `fuzz/` are built with the compiler that is there: what libFuzzer needs of it, counters on every
//! edge and traced comparisons, is a pass of LLVM's that needs no nightly. (AddressSanitizer does, so it is left out: our
//! own code has no `unsafe` to speak of.) What is found is kept below `target/fuzz`; `--keep` takes into the corpora of
//! `fuzz/corpus` what adds coverage, and `--write-docs` writes the figures into `docs/FUZZING.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::ensure;

use crate::bench::report;
use crate::step;
use crate::supply::sbom;
use crate::workspace::{self, cargo};

/// Instrumentation for libFuzzer, as cargo-fuzz asks for it.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";
/// Longest input, in bytes.
const INPUT_BYTES_MAX: usize = 4_096;
/// Longest that one input may take, in seconds.
const INPUT_SECONDS_MAX: u64 = 10;
/// Most memory of one target, in MiB.
const MEMORY_MIB_MAX: u64 = 1_024;
/// Files that `--keep` takes into one corpus at most: each is played in every run of the tests.
const KEPT_FILES_MAX: usize = 16;
/// Largest file that it takes, in bytes.
const KEPT_BYTES_MAX: u64 = 1_024;
/// What says that figures of the document are made here.
const MARKER: &str = "fuzz";

#[derive(clap::Args)]
pub struct Options {
    /// Time in all, shared out among the targets.
    #[arg(long, default_value_t = 20)]
    minutes: u64,
    /// Only the targets whose names contain this.
    #[arg(long, value_name = "WORD")]
    target: Option<String>,
    /// Take what adds coverage into the corpora that are kept.
    #[arg(long)]
    keep: bool,
    /// Write the figures into docs/FUZZING.md.
    #[arg(long)]
    write_docs: bool,
}

/// What came of one target.
struct Figures {
    name: String,
    seconds: u64,
    executions: u64,
    per_second: u64,
    /// Edges that were reached, of those that are there.
    edges: u64,
    corpus: u64,
    kept: usize,
    crashes: usize,
}

/// Builds the program, runs it for each target, and says what came of it.
///
/// # Errors
/// It cannot be built or run. A crash is no error but the exit code.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let program = build()?;
    let targets = targets(options.target.as_deref())?;
    let seconds = (options.minutes * 60 / targets.len() as u64).max(1);
    let dir = workspace::target().join("fuzz");
    let mut all = Vec::new();
    for target in &targets {
        let figures = one(&program, &dir, target, seconds, options.keep)?;
        println!("{}", figures.line());
        all.push(figures);
    }
    let crashes: usize = all.iter().map(|figures| figures.crashes).sum();
    let table = table(&all);
    fs::write(dir.join("figures.md"), &table)?;
    if options.write_docs {
        ensure!(options.target.is_none(), "--write-docs needs all targets");
        let path = workspace::root().join("docs/FUZZING.md");
        report::write_between(&path, MARKER, &table)?;
        println!("written: {}", path.display());
    }
    println!("{} targets, {crashes} crashes", all.len());
    Ok(if crashes == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds it in a directory of its own: everything is instrumented, the libraries too.
fn build() -> anyhow::Result<PathBuf> {
    let host = sbom::host()?;
    let dir = workspace::target().join("fuzz/build");
    let manifest = workspace::root().join("fuzz/Cargo.toml");
    let mut build = cargo();
    build
        .args(["build", "--release", "--locked", "--bin", "any", "--manifest-path"])
        .arg(manifest)
        // Named, so that build scripts and macros are not instrumented.
        .args(["--target", &host])
        .env("CARGO_TARGET_DIR", &dir)
        .env("RUSTFLAGS", FLAGS);
    ensure!(build.status()?.success(), "the fuzz targets do not build");
    Ok(dir.join(host).join("release/any"))
}

/// Each has a corpus of its name.
fn targets(word: Option<&str>) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace::root().join("fuzz/corpus"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| word.is_none_or(|word| name.contains(word)));
    names.sort();
    ensure!(!names.is_empty(), "there is no such target");
    Ok(names)
}

fn one(
    program: &Path,
    dir: &Path,
    target: &str,
    seconds: u64,
    keep: bool,
) -> anyhow::Result<Figures> {
    let seeds = workspace::root().join("fuzz/corpus").join(target);
    let (found, crashes) = (dir.join("corpus").join(target), dir.join("crashes").join(target));
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&crashes)?;
    let begun = Instant::now();
    let mut command = Command::new(program);
    command
        .env("FLUX_GATE_FUZZ", target)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
        .arg(format!("-artifact_prefix={}/", crashes.display()))
        .args(["-print_final_stats=1", "-use_value_profile=1"])
        .args([&found, &seeds]);
    let output = step::run(&format!("fuzz {target}"), &mut command)?;
    let seconds = begun.elapsed().as_secs().max(1);
    let executions = stat(&output.text, "stat::number_of_executed_units:").unwrap_or(0);
    ensure!(
        executions > 0 || !output.success,
        "{target} executed nothing:\n{}",
        step::tail(&output.text)
    );
    let kept =
        if keep && output.success { self::keep(program, target, &found, &seeds)? } else { 0 };
    let failed = usize::from(!output.success);
    Ok(Figures {
        name: target.to_owned(),
        seconds,
        executions,
        per_second: executions / seconds,
        edges: last(&output.text, " cov: "),
        corpus: last(&output.text, " corp: "),
        kept,
        crashes: failed.max(count(&crashes)?),
    })
}

/// Lets libFuzzer choose what of `found` reaches edges that the kept corpus does not, and copies the small ones.
fn keep(program: &Path, target: &str, found: &Path, seeds: &Path) -> anyhow::Result<usize> {
    let chosen = found.with_extension("chosen");
    if chosen.exists() {
        fs::remove_dir_all(&chosen)?;
    }
    fs::create_dir_all(&chosen)?;
    for seed in fs::read_dir(seeds)? {
        let seed = seed?;
        fs::copy(seed.path(), chosen.join(seed.file_name()))?;
    }
    let mut merge = Command::new(program);
    merge.env("FLUX_GATE_FUZZ", target).args(["-merge=1", "-use_value_profile=0"]);
    let output = step::run(&format!("fuzz merge {target}"), merge.args([&chosen, found]))?;
    ensure!(output.success, "cannot merge {target}:\n{}", step::tail(&output.text));
    let (mut kept, mut there) = (0, count(seeds)?);
    let mut files = fs::read_dir(&chosen)?.collect::<Result<Vec<_>, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    for file in files {
        let to = seeds.join(file.file_name());
        let small = file.metadata()?.len() <= KEPT_BYTES_MAX;
        if small && there < KEPT_FILES_MAX && !to.exists() {
            fs::copy(file.path(), to)?;
            kept += 1;
            there += 1;
        }
    }
    fs::remove_dir_all(chosen)?;
    Ok(kept)
}

fn count(dir: &Path) -> anyhow::Result<usize> {
    Ok(fs::read_dir(dir)?.count())
}

/// `stat::number_of_executed_units: 1234`
fn stat(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// The last number behind a word, as in `#123 NEW cov: 456 ft: 789 corp: 12/345b`.
fn last(text: &str, word: &str) -> u64 {
    let numbers = text.split(word).skip(1).filter_map(|rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    });
    numbers.last().unwrap_or(0)
}

impl Figures {
    fn line(&self) -> String {
        let Self { name, seconds, executions, per_second, edges, corpus, crashes, .. } = self;
        format!(
            "{name:<18} {seconds:>5} s {executions:>12} executions {per_second:>8}/s {edges:>6} edges \
             {corpus:>6} inputs {crashes:>3} crashes"
        )
    }
}

fn table(all: &[Figures]) -> String {
    let mut text = format!(
        "{}\n\n| target | seconds | executions | a second | edges reached | inputs found | kept anew | crashes |\n\
         |---|---|---|---|---|---|---|---|\n",
        report::machine_with("one target at a time on one of them")
    );
    for figures in all {
        let Figures { name, seconds, executions, per_second, edges, corpus, kept, crashes } =
            figures;
        writeln!(
            text,
            "| `{name}` | {seconds} | {executions} | {per_second} | {edges} | {corpus} | {kept} | {crashes} |"
        )
        .expect("a string takes every character");
    }
    let sum = |of: fn(&Figures) -> u64| all.iter().map(of).sum::<u64>();
    let (seconds, executions) = (sum(|figures| figures.seconds), sum(|figures| figures.executions));
    let crashes: usize = all.iter().map(|figures| figures.crashes).sum();
    writeln!(text, "| all {} | {seconds} | {executions} | | | | | {crashes} |", all.len())
        .expect("a string takes every character");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_libfuzzers_last_line() {
        let text = "#2\tINITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 30Mb\n\
            #900\tNEW    cov: 120 ft: 300 corp: 12/345b lim: 4 exec/s: 450 rss: 31Mb\n\
            stat::number_of_executed_units: 901\nstat::average_exec_per_sec:     450\n";
        assert_eq!((last(text, " cov: "), last(text, " corp: ")), (120, 12));
        assert_eq!(stat(text, "stat::number_of_executed_units:"), Some(901));
        assert_eq!(last("nothing", " cov: "), 0);
    }
}
