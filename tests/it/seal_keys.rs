//! Sealing keys by the program: `keygen --seal-keys` makes them ahead of time, `privacy keys` says how each stands.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use flux_gate::keys::seal::kept;
use flux_gate::keys::seal::periods::periods;

use crate::support::server::clean;

const VARIABLE: &str = "FLUX_GATE__SECRETS__SEAL_PUBLIC_KEY";
const HOUR_MS: u64 = 3_600_000;

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flux-gate"));
    command.args(arguments);
    clean(&mut command);
    command.envs(environment.iter().copied()).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into()
}

/// Makes keys; the list of the public ones.
fn make(dir: &Path, more: &[&str]) -> String {
    let arguments = [&["keygen", "--seal-keys", dir.to_str().unwrap()], more].concat();
    let output = run(&arguments, &[]);
    assert!(output.status.success(), "{}", told(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let list = text.strip_prefix(VARIABLE).and_then(|rest| rest.strip_prefix('='));
    list.expect("one line, ready for the environment").trim_end().to_owned()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn keys_are_made_ahead_and_each_call_goes_on_after_the_last_one() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("keys");
    let first = make(&dir, &["--count", "3", "--period-hours", "2"]);
    assert_eq!(mode(&dir), 0o700);
    let files = kept::list(&dir).unwrap();
    assert_eq!(files.len(), 3);
    for file in &files {
        assert_eq!(mode(&file.path), 0o600);
        let secret = std::fs::read_to_string(&file.path).unwrap();
        assert!(!first.contains(secret.trim()), "a private key is printed");
    }
    let second = make(&dir, &["--count", "2", "--period-hours", "2"]);
    assert!(second.starts_with(&first), "those that nodes know already stay: {first}, {second}");
    assert_eq!(second, kept::public_list(&dir).unwrap());
    let periods = periods(&second).unwrap();
    assert_eq!(periods.len(), 5);
    for pair in periods.windows(2) {
        assert_eq!(pair[1].from_ms - pair[0].from_ms, 2 * HOUR_MS);
        assert_eq!(pair[0].until_ms, Some(pair[1].from_ms), "no time without a key");
    }
    assert_eq!(periods[4].until_ms, None);
    let mut secrets: Vec<_> = kept::list(&dir).unwrap();
    secrets.dedup_by_key(|file| std::fs::read(&file.path).unwrap());
    assert_eq!(secrets.len(), 5, "each is another one");
}

#[test]
fn counts_and_periods_have_bounds_and_a_directory_is_nobody_elses() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("keys");
    let text = dir.to_str().unwrap();
    for more in [
        ["--count", "0"],
        ["--count", "1001"],
        ["--count", "x"],
        ["--period-hours", "0"],
        ["--period-hours", "697"],
        ["--client", "shop"],
    ] {
        let output = run(&[&["keygen", "--seal-keys", text], &more[..]].concat(), &[]);
        assert_eq!(output.status.code(), Some(2), "{more:?}: {}", told(&output));
    }
    assert!(!dir.exists(), "nothing is made by a call that is refused");
    assert_eq!(run(&["keygen", "--count", "3"], &[]).status.code(), Some(2));
    make(&dir, &["--count", "1"]);
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    let open = run(&["keygen", "--seal-keys", text], &[]);
    assert_eq!(open.status.code(), Some(1));
    assert!(told(&open).contains("is open to others"), "{}", told(&open));
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    let other = dir.join("zq.key");
    std::fs::write(&other, "zq").unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
    let no_key = run(&["keygen", "--seal-keys", text], &[]);
    assert_eq!(no_key.status.code(), Some(1));
    assert!(told(&no_key).contains("is not a sealing key"), "{}", told(&no_key));
}

/// The lines of `privacy keys`, by id: all columns.
fn standing(dir: &Path, public: &str, more: &[&str]) -> (Option<i32>, String) {
    let environment = [
        (VARIABLE, public),
        ("FLUX_GATE__PRIVACY__SEAL_KEYS_DIR", dir.to_str().unwrap()),
        ("FLUX_GATE__PRIVACY__SEAL_KEY_DAYS", "7"),
    ];
    let output = run(&[&["privacy", "keys"], more].concat(), &environment);
    (output.status.code(), told(&output))
}

fn line<'a>(text: &'a str, id: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("no {id} in {text}"))
}

#[test]
fn it_is_said_how_each_key_stands() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("keys");
    let now_ms = flux_gate::clock::Clock::system().unix_ms();
    let ago = |days: u64| now_ms - days * 24 * HOUR_MS;
    // One whose time is over, one that is kept for a restored ledger, and those that keygen goes on with.
    for (id, days, byte) in [("old", 20, 1), ("kept", 9, 2), ("used", 1, 3)] {
        kept::write(&dir, id, ago(days), &[byte; 32]).unwrap();
    }
    let public = make(&dir, &["--count", "2", "--period-hours", "48"]);
    let (code, text) = standing(&dir, &public, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.lines().count(), 6, "a head, and a line for each: {text}");
    assert!(line(&text, "old ").ends_with("its time is over: the worker destroys it"), "{text}");
    assert!(line(&text, "kept ").ends_with("kept for a ledger that is restored"), "{text}");
    assert!(line(&text, "used ").ends_with("in use"), "{text}");
    let ahead: Vec<_> = text.lines().filter(|line| line.ends_with("not begun")).collect();
    assert_eq!(ahead.len(), 2, "{text}");
    for file in kept::list(&dir).unwrap() {
        let secret = std::fs::read_to_string(&file.path).unwrap();
        assert!(!text.contains(secret.trim()), "a private key is printed");
    }
    // What cannot be done to a key is said, and leaves it as it is.
    let files = || kept::list(&dir).unwrap().len();
    let (code, text) = standing(&dir, &public, &["--destroy", "none"]);
    assert!(code == Some(1) && text.contains("no key of this id"), "{text}");
    let (code, text) = standing(&dir, &public, &["--destroy", "kept"]);
    assert_eq!(code, Some(1), "without a ledger nobody knows whether it is needed: {text}");
    assert_eq!(files(), 5);
    let (code, text) = standing(&dir, "zqmarkqz", &[]);
    assert!(code == Some(1) && !text.contains("zqmarkqz"), "{text}");
    let (code, text) = standing(&temporary.path().join("none"), &public, &[]);
    assert_eq!(code, Some(1), "{text}");
}
