//! The program as a process: its exit codes, its streams, and that it keeps quiet into a closed pipe.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

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

/// A server on free ports, and where its operator's listener is. Nobody reads its log from then on, as
/// when a collector of logs has died: it must go on.
fn serve(data: &Path) -> (Child, String) {
    let any = "127.0.0.1:0";
    let mut child = flux_gate()
        .args(["serve", "--listen", any, "--admin-listen", any, "--data"])
        .arg(data)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).expect("JSON away from a terminal");
        if line["message"] == "serving" {
            return (child, format!("http://{}", line["operator_address"].as_str().unwrap()));
        }
    }
    panic!("it ended before it served: {:?}", child.wait());
}

#[test]
fn a_sale_is_kept_over_a_stop_by_signal() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let sale = |url: &str, arguments: &[&str]| -> Value {
        let common = ["--json", "--url", url, "--data", data.to_str().unwrap()];
        let output = flux_gate().arg("sale").args(arguments).args(common).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    for arguments in [&["create", "p", "--quantity", "5"][..], &["show", "p"]] {
        let (mut child, url) = serve(&data);
        assert_eq!(sale(&url, arguments)["remaining"], 5);
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}
