//! Every command that README and docs show to be typed (the fenced `sh` blocks) is one that there is.
//!
//! A line that calls the program is read by the program's own command line; nothing is carried out. Every
//! other line must be in [`NOT_READ`] with the reason. A line that is neither fails: a document cannot show a
//! flag that was renamed.

use std::path::{Path, PathBuf};

/// How a line begins that is not read here, and why.
const NOT_READ: &[(&str, &str)] = &[
    ("cargo xtask ", "the project's own commands; `cargo xtask test` runs most of them"),
    ("cargo build ", "a build"),
    ("cargo run --release -- ", "read as the program's"),
    ("eval \"$(cargo xtask stack env)\"", "sets the shell up for the stores"),
    ("export ", "sets the shell up"),
    ("open http", "a browser"),
    ("BODY=", "the order by curl: the clients in examples/clients are run by a test"),
    ("SIGNATURE=", "the order by curl: the clients in examples/clients are run by a test"),
    ("curl ", "the order by curl is run as examples/clients; a room's calls have their own tests"),
    ("psql ", "needs the ledger; the queries are run by the tests of many nodes"),
    ("docker run ", "needs an engine of containers"),
    ("REDIS_URL=", "addresses that are left out"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT=", "the rest of the command is left out"),
];

/// A key of the right form, for the variable that stands for one in the documents.
const SOME_KEY: &str = "5866666666666666666666666666666666666666666666666666666666666666";

/// The documents that are read.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    let entries = std::fs::read_dir(root.join("docs")).expect("the documents");
    let pages = entries.map(|entry| entry.expect("an entry").path());
    documents.extend(pages.filter(|path| path.extension().is_some_and(|end| end == "md")));
    documents
}

/// The commands of the fenced `sh` blocks, one a line; a line that goes on after a `\` is one.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut inside = false;
    for line in text.replace("\\\n", " ").lines() {
        match line.trim_end() {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside && !line.trim().is_empty() => commands.push(line.trim().to_owned()),
            _ => {}
        }
    }
    commands
}

/// The words of each command of a line, as a shell splits it: quotes, `;`, comments.
fn words(line: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let (mut word, mut begun, mut quote) = (String::new(), false, None);
    for c in line.chars().chain([' ']) {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            (None, '#') if !begun => break,
            (None, ' ' | ';') => {
                if begun {
                    all.last_mut().expect("one at least").push(std::mem::take(&mut word));
                }
                begun = false;
                if c == ';' {
                    all.push(Vec::new());
                }
            }
            (None, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    all.retain(|words| !words.is_empty());
    all
}

/// What is wrong with a line, and how many commands of the program it has.
fn read(line: &str) -> (usize, Vec<String>) {
    let line = match line.strip_prefix("cargo run --release -- ") {
        Some(rest) => format!("flux-gate {rest}"),
        None => line.to_owned(),
    };
    if !line.starts_with("flux-gate ") {
        let known = NOT_READ.iter().any(|(begin, _)| line.starts_with(begin));
        let wrong = format!("{line}\n  is neither the program's nor in NOT_READ with its reason");
        return (0, if known { Vec::new() } else { vec![wrong] });
    }
    let commands = words(&line.replace("$AUDIT_KEY", SOME_KEY));
    let wrong = commands.iter().filter_map(|command| {
        let error = flux_gate::cli::read_line(command).err()?;
        Some(format!("{}\n  {error}", command.join(" ")))
    });
    (commands.len(), wrong.collect())
}

#[test]
fn every_command_in_the_documents_is_one_of_the_programs_or_has_its_reason() {
    let (mut count, mut wrong) = (0, Vec::new());
    for path in documents() {
        let text = std::fs::read_to_string(&path).expect("a document");
        for line in commands(&text) {
            let (more, faults) = read(&line);
            count += more;
            let name = path.file_name().expect("a file").to_string_lossy();
            wrong.extend(faults.into_iter().map(|fault| format!("{name}: {fault}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 50, "only {count} commands were read");
}

#[test]
fn a_flag_that_there_is_not_and_a_line_without_a_reason_are_found() {
    for bad in [
        "flux-gate load --product phone --ratio 5",
        "flux-gate load --product phone; flux-gate sail show phone",
        "flux-gate sale create --quantity 5",
        "cargo run --release -- dmeo",
        "rm -r ./flux-gate-data",
    ] {
        assert_eq!(read(bad).1.len(), 1, "{bad}");
    }
    let text = "x\n```sh\na b \\\n  c\n\n```\ny\n```\nd\n```\n";
    assert_eq!(commands(text), ["a b    c"]);
    let split = words("a 'b c' \"d;e\"; f  # g");
    assert_eq!(split, [vec!["a", "b c", "d;e"], vec!["f"]]);
}
