//! The drill, as the program plays it.

use std::process::{Command, Stdio};

use crate::crash::program;
use crate::support::server::clean;

/// The drill holds what it sees against a second's promise, which a busy machine may break: so often it is played
/// until every step holds.
const PLAYS: usize = 3;

#[test]
fn the_drill_walks_through_an_incident_and_every_step_holds() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut told = String::new();
    for play in 1..=PLAYS {
        let kept = format!("kept-{play}");
        let mut command = Command::new(program());
        clean(&mut command);
        command.current_dir(dir.path()).args(["incident", "drill", "--out", &kept]);
        let output = command.stdin(Stdio::null()).output().expect("the program can be run");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        println!("{text}");
        if output.status.success() {
            assert_eq!(text.matches("  ok\n").count(), 11, "{text}");
            assert!(dir.path().join(kept).join("report.md").is_file());
            return;
        }
        told.push_str(&text);
    }
    panic!("it held in none of {PLAYS} plays:\n{told}");
}
