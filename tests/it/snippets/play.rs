//! Carries out a document's commands in order, by bash, in a directory of their own beside a server of their own.
//!
//! The README starts its server itself, as it tells its reader to; for every other document one runs already, with
//! what the document takes for granted. A command that fails, fails.

use std::fmt::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use rstest::rstest;

use super::{is_not_run, of_the_program, root};
use crate::support::documents::commands;
use crate::support::server::clean;

/// The documents that have something to run.
pub const PLAYED: [&str; 6] = [
    "README.md",
    "CONTRIBUTING.md",
    "deploy/README.md",
    "deploy/kubernetes/README.md",
    "docs/INCIDENTS.md",
    "docs/LOAD.md",
];

/// How long a document may take.
const SECONDS_MAX: &str = "240";

/// What every script begins with.
const TOOLS: &str = r#"
set -euo pipefail
trap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT
serve() {
    flux-gate serve "$@" 2> serve.log &
    for _ in $(seq 300); do
        if flux-gate ready > /dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    cat serve.log
    return 1
}
"#;

/// A server with a sale, for documents about one that runs.
const RUNNING: &str = r#"
export SECRET=$(openssl rand -hex 32)
export FLUX_GATE__CLIENTS=shop:$SECRET FLUX_GATE__CLIENT_ROLES=shop:order+session+fulfilment
serve
for product in phone iphone-15; do flux-gate sale create $product --quantity 100 > /dev/null; done
"#;

/// An order of a suspect, and the key by which reports are checked.
const INCIDENT: &str = r#"
flux-gate order iphone-15 mallory-7 --client shop:$SECRET | sed 's/.*"orderId":"\([^"]*\)".*/\1/' > fraud.txt
AUDIT_KEY=$(curl -sS http://127.0.0.1:3000/.well-known/flux-gate-keys.json \
    | sed 's/.*"hex":"\([0-9a-f]*\)"[^}]*"signs":"audit".*/\1/')
"#;

/// A rate and a length that a test can afford.
const LOAD: &[(&str, &str)] = &[
    ("--rate 20000 --duration 2m", "--rate 200 --duration 2s"),
    ("--rate 200 --peak 5000", "--rate 50 --peak 500 --duration 2s"),
    ("--rate 500 --duration 1h", "--rate 50 --duration 2s"),
    ("--stock 100 --mix", "--stock 100 --requests 500 --mix"),
    ("--product phone --closed --pairs 9", "--product phone --closed --pairs 1 --duration 1s"),
    ("4000 --product phone --closed", "3000 --product phone --closed --pairs 1 --duration 1s"),
    // Two servers of one's own: the same one twice.
    ("http://127.0.0.1:8080", "http://127.0.0.1:3000"),
];

#[rstest]
#[case::readme("README.md", "", &[])]
#[case::contributing("CONTRIBUTING.md", "", &[])]
#[case::deploy("deploy/README.md", "mkdir -p usr/share/bash-completion/completions", &[
    // Not into the machine that tests it.
    (" /usr/", " usr/"),
])]
#[case::kubernetes("deploy/kubernetes/README.md", "", &[])]
#[case::incidents("docs/INCIDENTS.md", INCIDENT, &[
    // Nobody is there to be asked.
    ("--orders-file fraud.txt", "--orders-file fraud.txt --yes"),
])]
#[case::load("docs/LOAD.md", "", LOAD)]
fn commands_in_the_documents_do_what_they_say(
    #[case] document: &str,
    #[case] before: &str,
    #[case] instead: &[(&str, &str)],
) {
    let running = if document == "README.md" { "" } else { RUNNING };
    let text = std::fs::read_to_string(root().join(document)).expect("a document");
    let lines = commands(&text);
    for (from, _) in instead {
        assert!(lines.iter().any(|line| line.contains(from)), "no line says {from}");
    }
    let said = play(&format!("{running}{before}"), &lines, instead).unwrap_or_else(|said| {
        panic!("{document}: a command failed, the last of these:\n{said}");
    });
    match document {
        "README.md" => assert!(said.contains(r#""msg":"Order accepted""#), "by curl:\n{said}"),
        "docs/INCIDENTS.md" => assert!(said.contains("1 taken back"), "{said}"),
        _ => {}
    }
}

/// Runs the lines and gives all that was said, an error if one failed.
fn play(before: &str, lines: &[String], instead: &[(&str, &str)]) -> Result<String, String> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut script = format!("{TOOLS}{before}\n");
    for line in lines.iter().filter(|line| !is_not_run(line)) {
        let mut line = of_the_program(line).unwrap_or_else(|| line.clone());
        if let Some(arguments) = line.strip_prefix("flux-gate serve ") {
            line = format!("serve {arguments}");
        }
        for (from, to) in instead {
            line = line.replace(from, to);
        }
        let shown = line.replace('\'', r"'\''");
        // On lines of their own, so that a comment ends where it does in the document.
        write!(script, "printf '%s\\n' '$ {shown}'\n{line}\n").expect("text");
    }
    // The ports of the documents may be taken on this machine.
    let [public, operator] = free_addresses();
    let script = script.replace("127.0.0.1:3000", &public).replace("127.0.0.1:3001", &operator);
    std::fs::write(dir.path().join("script"), script).expect("it can be written");
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).expect("a directory");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_flux-gate"), bin.join("flux-gate"))
        .expect("a link");
    let path = std::env::var("PATH").expect("a PATH");
    let mut command = Command::new("timeout");
    command.args([SECONDS_MAX, "bash", "script"]).current_dir(dir.path());
    clean(&mut command);
    let output = command
        .env_remove("FLUX_GATE__ADMIN__TOKEN")
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("FLUX_GATE__HTTP__LISTEN", &public)
        .env("FLUX_GATE__ADMIN__LISTEN", &operator)
        .env("TMPDIR", dir.path())
        .stdin(Stdio::null())
        .output()
        .expect("bash");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.status.success() { Ok(said) } else { Err(said) }
}

fn free_addresses() -> [String; 2] {
    // Both at once, so that they differ.
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").to_string())
}

#[test]
fn a_command_that_fails_is_found() {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let bad = lines(&[
        "export A=b  # c",
        "flux-gate sale show phone",
        "flux-gate openapi > openapi.json",
    ]);
    let said = play("", &bad, &[]).unwrap_err();
    assert!(said.contains("$ flux-gate sale show phone") && !said.contains("openapi"), "{said}");
    let twice = lines(&["flux-gate audit head; flux-gate openapi > openapi.json"]);
    assert!(play("", &twice, &[]).is_err());
    assert!(play("", &lines(&["flux-gate openapi > openapi.json"]), &[]).is_ok());
}
