//! The drill, as the program plays it.

use std::process::{Command, Stdio};

use crate::crash::program;
use crate::support::server::clean;

#[test]
fn the_drill_walks_through_an_incident_and_every_step_holds() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new(program());
    clean(&mut command);
    command.current_dir(dir.path()).args(["incident", "drill", "--out", "kept"]);
    let output = command.stdin(Stdio::null()).output().expect("the program can be run");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    println!("{text}");
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches("  ok\n").count(), 11, "{text}");
    assert!(dir.path().join("kept/report.md").is_file());
}
