//! A store that cannot be written, is full, or is somebody else's.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use flux_gate::app::STORE_FAILED_EXIT_CODE;

use super::{CONFIG, Shop, program, start};
use crate::support::server::{Server, command, command_after, run_to_end};

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

#[test]
fn a_full_disk_ends_the_process_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    {
        let server = start(&store);
        Shop::of(&server).open(100_000);
        server.stop().unwrap();
    }
    // No file may grow beyond this; a write that would is an error, as on a full disk.
    let blocks = (largest(&store) + 300 * 1024) / 512;
    let setup = format!("trap '' XFSZ; ulimit -f {blocks}");
    let mut server =
        Server::start_by(command_after(&setup, &program(), &store, CONFIG).unwrap()).unwrap();
    let shop = Shop::of(&server);
    let mut accepted = Vec::new();
    let mut unknown = 0;
    for number in 0..20_000 {
        match shop.order_once(&format!("u-{number}")) {
            Ok(answer) if answer.word() == "success" => accepted.push(answer.member("orderId")),
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{}", answer.text());
                unknown += 1;
            }
            // The process has ended.
            Err(_) => break,
        }
    }
    assert!(
        !accepted.is_empty() && unknown < 100,
        "{} accepted, {unknown} unknown",
        accepted.len()
    );
    let status = server.ended().unwrap();
    let log = server.log();
    assert_eq!(status.code(), Some(STORE_FAILED_EXIT_CODE), "{log}");
    assert!(log.contains("the store failed") && !log.contains("panic"), "{log}");

    let server = start(&store);
    let shop = Shop::of(&server);
    shop.has_all(&accepted);
    // An attempt whose outcome was not told is settled by its repetition.
    let again = shop.order(&format!("u-{}", accepted.len())).unwrap();
    assert!(["success", "ignored"].contains(&again.word().as_str()), "{}", again.text());
}

#[test]
fn a_directory_without_the_right_to_write_is_a_clear_error() {
    let directory = open_tempdir();
    let store = directory.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let program = program_for_nobody(directory.path());
    set(&store, 0o500);
    let (status, log) = run_to_end(by_nobody(&program, &store)).unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains(&*store.to_string_lossy()) && !log.contains("panic"), "{log}");

    set(&store, 0o700);
    let server = Server::start_by(by_nobody(&program, &store)).unwrap();
    let shop = Shop::of(&server);
    shop.open(5);
    let accepted = [shop.order("a").unwrap().member("orderId")];
    server.stop().unwrap();

    for file in files(&store) {
        set(&file, 0o400);
    }
    set(&store, 0o500);
    let (status, log) = run_to_end(by_nobody(&program, &store)).unwrap();
    assert!(matches!(status.code(), Some(1 | STORE_FAILED_EXIT_CODE)), "{status}: {log}");
    assert!(log.contains(&*store.to_string_lossy()) && !log.contains("panic"), "{log}");

    set(&store, 0o700);
    for file in files(&store) {
        set(&file, 0o600);
    }
    let server = Server::start_by(by_nobody(&program, &store)).unwrap();
    Shop::of(&server).has_all(&accepted);
}

#[test]
fn a_second_process_on_the_same_store_is_refused_and_the_first_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let server = start(&store);
    let shop = Shop::of(&server);
    shop.open(5);
    let first = shop.order("a").unwrap().member("orderId");
    let (status, log) = run_to_end(command(&program(), &store, CONFIG).unwrap()).unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    let told = log.contains("in use by another");
    assert!(told && log.contains(&*store.to_string_lossy()) && !log.contains("panic"), "{log}");
    let second = shop.order("b").unwrap().member("orderId");
    shop.has_all(&[first.clone(), second.clone()]);
    // However the first ends, its lock ends with it.
    server.kill();
    Shop::of(&start(&store)).has_all(&[first, second]);
}

#[test]
fn a_store_that_is_a_file_or_has_no_parent_is_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store");
    std::fs::write(&file, "not a directory").unwrap();
    let (status, log) = run_to_end(command(&program(), &file, CONFIG).unwrap()).unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains(&*file.to_string_lossy()) && !log.contains("panic"), "{log}");
}

fn largest(store: &Path) -> u64 {
    files(store).iter().map(|file| std::fs::metadata(file).unwrap().len()).max().unwrap()
}

fn files(store: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(store).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).collect()
}

fn set(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// Root may write everywhere, so root's tests run the server as somebody else.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn open_tempdir() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    directory
}

/// The program where nobody may reach it.
fn program_for_nobody(directory: &Path) -> PathBuf {
    let copy = directory.join("flux-gate");
    std::fs::copy(program(), &copy).unwrap();
    std::fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
    copy
}

fn by_nobody(program: &Path, store: &Path) -> std::process::Command {
    let mut command = command(program, store, CONFIG).unwrap();
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
