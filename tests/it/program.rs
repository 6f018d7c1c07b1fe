//! The program as a process: its exit codes, its streams, and that it keeps quiet into a closed pipe.

use std::process::{Command, Output, Stdio};

/// The program with an environment that is empty but for what a test sets.
fn flux_gate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flux-gate"));
    command.env_clear();
    command
}

fn run(arguments: &[&str]) -> Output {
    flux_gate().args(arguments).output().unwrap()
}

#[test]
fn exit_codes_are_those_of_the_help() {
    assert_eq!(run(&["--help"]).status.code(), Some(0));
    assert_eq!(run(&["--version"]).status.code(), Some(0));
    assert_eq!(run(&["config", "check"]).status.code(), Some(0));
    assert_eq!(run(&["config", "check", "--config", "/nowhere.toml"]).status.code(), Some(1));
    assert_eq!(run(&["no-such-command"]).status.code(), Some(2));
    assert_eq!(run(&[]).status.code(), Some(2));
}

#[test]
fn results_go_to_standard_output_and_errors_to_standard_error() {
    let fine = run(&["config", "print"]);
    assert!(fine.stderr.is_empty() && fine.stdout.starts_with(b"http.listen"));
    let wrong = flux_gate().args(["config", "print"]).env("FLUX_GATE__NOPE", "1").output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(wrong.stdout.is_empty() && wrong.stderr.starts_with(b"flux-gate: the configuration"));
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let mut child = flux_gate()
        .args(["config", "print"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
