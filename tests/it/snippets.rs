//! Everything that the documents show to be typed works: the fenced `sh`, `toml` and `json` blocks.
//!
//! Each command of the program is read by its own command line, and carried out as it stands, in the order of
//! its document, against a server of its own ([`play`]). What is not carried out is in [`NOT_RUN`] with the
//! reason; xtask's own commands are read by xtask's command line, in a test of xtask's. A document cannot show
//! a flag that was renamed, nor a command that fails.

use std::path::Path;

use crate::support::documents::{all, blocks, commands, words};

mod play;

/// How lines begin that are not carried out, and why. Those of the program are read all the same.
const NOT_RUN: &[(&[&str], &str)] = &[
    (&["cargo xtask ", "eval \"$(cargo xtask "], "the project's own: read in a test of xtask's"),
    (&["cargo build "], "a build"),
    (
        &["docker ", "kubectl ", "cd deploy/compose", "sudo ./prepare.sh"],
        "an engine of containers or a cluster; `prepare.sh` is run by tests/it/deploy.rs",
    ),
    (
        &["psql ", "sed -e ", "kafka-", "KAFKA_", "REDIS_URL=", "OTEL_EXPORTER_OTLP_ENDPOINT="],
        "the stores of many nodes or a collector, with addresses left out",
    ),
    (
        &["curl 'https://gate.example/", "flux-gate draw verify draw.json"],
        "a draw takes its time: run by tests/it/contract/room.rs",
    ),
];

/// A key of the right form, for the variable that stands for one in the documents.
const SOME_KEY: &str = "5866666666666666666666666666666666666666666666666666666666666666";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Name and text of each document.
fn documents() -> Vec<(String, String)> {
    let named = all(root()).into_iter().map(|path| {
        let name = path.strip_prefix(root()).expect("below the root").display().to_string();
        (name, std::fs::read_to_string(&path).expect("a document"))
    });
    named.collect()
}

/// Whether the line is one that is not carried out.
fn is_not_run(line: &str) -> bool {
    NOT_RUN.iter().any(|(begins, _)| begins.iter().any(|begin| line.starts_with(begin)))
}

/// The line with the program's own name in it.
fn of_the_program(line: &str) -> Option<String> {
    let rest = line.strip_prefix("cargo run --release -- ");
    let rest = rest.or_else(|| line.strip_prefix("flux-gate "))?;
    Some(format!("flux-gate {rest}"))
}

/// What is wrong with a line, and how many commands of the program it has.
fn read(line: &str) -> (usize, Vec<String>) {
    let Some(line) = of_the_program(line) else { return (0, Vec::new()) };
    let commands = words(&line.replace("$AUDIT_KEY", SOME_KEY));
    let wrong = commands.iter().filter_map(|command| {
        let error = flux_gate::cli::read_line(command).err()?;
        Some(format!("{}\n  {error}", command.join(" ")))
    });
    (commands.len(), wrong.collect())
}

#[test]
fn every_command_in_the_documents_is_one_of_the_programs() {
    let (mut count, mut wrong) = (0, Vec::new());
    for (name, text) in documents() {
        for line in commands(&text) {
            let (more, faults) = read(&line);
            count += more;
            wrong.extend(faults.into_iter().map(|fault| format!("{name}: {fault}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 50, "only {count} commands were read");
}

#[test]
fn every_document_with_something_to_run_is_run() {
    for (name, text) in documents() {
        let runs = commands(&text).iter().any(|line| !is_not_run(line));
        assert_eq!(runs, play::PLAYED.contains(&name.as_str()), "{name}");
    }
    let all: Vec<_> = documents().iter().flat_map(|(_, text)| commands(text)).collect();
    for begin in NOT_RUN.iter().flat_map(|(begins, _)| *begins) {
        assert!(all.iter().any(|line| line.starts_with(begin)), "nothing begins with {begin}");
    }
}

#[test]
fn the_readme_leads_to_every_document() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("a document");
    let mut names: Vec<_> = documents().into_iter().map(|(name, _)| name).collect();
    names.retain(|name| name != "README.md" && !readme.contains(&format!("]({name})")));
    assert!(names.is_empty(), "README.md has no link to {names:?}");
}

#[test]
fn what_is_shown_as_configuration_is_accepted_and_what_is_shown_as_json_is_json() {
    let (mut configurations, mut answers) = (0, 0);
    for (name, text) in documents() {
        for block in blocks(&text, "toml") {
            let dir = tempfile::tempdir().expect("a directory");
            let file = dir.path().join("flux-gate.toml");
            std::fs::write(&file, &block).expect("it can be written");
            let loaded = flux_gate::config::load::load_file(&file);
            let error = loaded.err().map(|problems| problems.to_string());
            assert_eq!(error, None, "{name}:\n{block}");
            configurations += 1;
        }
        for block in blocks(&text, "json") {
            let json: Result<serde_json::Value, _> = serde_json::from_str(&block);
            assert!(json.is_ok(), "{name}:\n{block}\n{json:?}");
            answers += 1;
        }
    }
    assert!(configurations >= 3 && answers >= 1, "{configurations} of TOML, {answers} of JSON");
}

#[test]
fn a_flag_that_there_is_not_is_found_and_blocks_are_told_apart() {
    for bad in [
        "flux-gate load --product phone --ratio 5",
        "flux-gate load --product phone; flux-gate sail show phone",
        "flux-gate sale create --quantity 5",
        "cargo run --release -- dmeo",
    ] {
        assert_eq!(read(bad).1.len(), 1, "{bad}");
    }
    assert!(!is_not_run("rm -r ./flux-gate-data"));
    let text = "x\n```sh\na b \\\n  c\n\n```\ny\n```\nd\n```\n```toml\ne\n```\n";
    assert_eq!(commands(text), ["a b    c"]);
    assert_eq!(blocks(text, "toml"), ["e\n"]);
    let split = words("a 'b c' \"d;e\"; f > g  # h");
    assert_eq!(split, [vec!["a", "b c", "d;e"], vec!["f"]]);
}
