//! SIGKILL at random moments: while it serves, while it starts, while it stops.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::books::{self, Books};
use super::crowd::{self, Client, FEW, MANY, Told};
use super::{Attempt, config, keys, number_from_environment, program};
use crate::support::server::{self, Server};

const KILLS: u64 = 50;
const CLIENTS: u64 = 6;
/// Longest load before a kill, in milliseconds.
const LOAD_MS_MAX: u64 = 700;
/// Longest start before a kill, in milliseconds.
const START_MS_MAX: u64 = 60;
/// Longest drain before a kill, in milliseconds.
const DRAIN_MS_MAX: u64 = 400;
/// Accepted attempts that are repeated after each start.
const REPEATED: usize = 40;

const MANY_UNITS: u32 = 10_000_000;
const MANY_LIMIT: u32 = 2;
const FEW_UNITS: u32 = 600;
const FEW_LIMIT: u32 = 1;

#[test]
fn rules_1_to_5_hold_however_often_the_process_is_killed() {
    let kills = number_from_environment("CRASH_KILLS", KILLS);
    let seed = number_from_environment("CRASH_SEED", 7);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = dir.path().join("store");
    let mut random = StdRng::seed_from_u64(seed);
    let mut told = Told::default();
    let mut books = [
        Books::new(MANY, MANY_UNITS.into(), MANY_LIMIT.into()),
        Books::new(FEW, FEW_UNITS.into(), FEW_LIMIT.into()),
    ];
    let begun = Instant::now();
    let mut server = start(&store);
    books::create(server.operator, MANY, MANY_UNITS, MANY_LIMIT, 0);
    books::create(server.operator, FEW, FEW_UNITS, FEW_LIMIT, 60);

    for kill in 1..=kills {
        load_and_kill(server, &mut random, kill, &mut told);
        if random.random_ratio(1, 5) {
            kill_while_starting(
                &store,
                Duration::from_millis(random.random_range(0..START_MS_MAX)),
            );
        }
        server = start(&store);
        settle_and_repeat(&server, &mut random, &mut told);
        for books in &mut books {
            books.check(server.operator, &told);
        }
        if kill % 10 == 0 {
            let (orders, seconds) = (books[0].sold() + books[1].sold(), begun.elapsed().as_secs());
            println!("{kill} kills, {} answers, {orders} orders, {seconds} s", told.answers);
        }
    }

    sell_out(&server, &mut told);
    for books in &mut books {
        books.check_from_the_start(server.operator, &told);
        books.check_nothing_unasked(&told);
    }
    assert_eq!(books[1].sold(), u64::from(FEW_UNITS), "rule 5: more wanted one than there are");
    assert!(told.accepted.len() as u64 > kills, "the load was no load: {}", told.accepted.len());
    let (status, log) = server.stop().expect("it stops");
    assert!(status.success(), "{status}\n{log}");
    verify_chain(&store);
}

fn start(store: &Path) -> Server {
    Server::start(program(), store, &config()).expect("the server starts again")
}

/// Lets the crowd order, kills the server under it, and gathers what the crowd was told.
fn load_and_kill(server: Server, random: &mut StdRng, kill: u64, told: &mut Told) {
    let dying = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (to, dying, seed) = (server.public, dying.clone(), random.random::<u32>().into());
            std::thread::spawn(move || crowd::order_until_gone(to, &dying, seed, kill as u32))
        })
        .collect();
    std::thread::sleep(Duration::from_millis(random.random_range(0..LOAD_MS_MAX)));
    dying.store(true, Ordering::SeqCst);
    if random.random_ratio(1, 10) {
        terminate(server.pid());
        std::thread::sleep(Duration::from_millis(random.random_range(0..DRAIN_MS_MAX)));
    }
    server.kill();
    for client in clients {
        told.add(client.join().expect("a client found a rule broken; see above"));
    }
}

/// Sends SIGTERM.
pub fn terminate(pid: u32) {
    let status = Command::new("kill").arg(pid.to_string()).status().expect("`kill` can be run");
    assert!(status.success());
}

fn kill_while_starting(store: &Path, after: Duration) {
    let mut command = server::command(program(), store, &config()).expect("a command");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the program can be started");
    std::thread::sleep(after);
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}

/// What is unknown is settled by a retry under the same key; what was accepted has the same id still.
fn settle_and_repeat(server: &Server, random: &mut StdRng, told: &mut Told) {
    let mut client = Client::new(server.public).expect("the server takes connections");
    client.told = std::mem::take(told);
    for attempt in std::mem::take(&mut client.told.unknown) {
        client.settle(attempt);
    }
    let accepted: Vec<_> = client.told.accepted.values().cloned().collect();
    for _ in 0..REPEATED.min(accepted.len()) {
        let attempt = accepted[random.random_range(0..accepted.len())].clone();
        let answer = client.send(&attempt).expect("the server lives");
        assert_eq!(answer.word(), "ignored", "rule 3: {attempt:?}: {}", answer.text());
        assert_eq!(answer.member("reason"), "same_key", "rule 3: {attempt:?}");
        assert_eq!(client.told.accepted.get(&answer.member("orderId")), Some(&attempt), "rule 3");
    }
    *told = client.told;
}

/// The small product is wanted by as many as it takes, however few the crowd was.
fn sell_out(server: &Server, told: &mut Told) {
    let mut client = Client::new(server.public).expect("the server takes connections");
    client.told = std::mem::take(told);
    for number in 0..=FEW_UNITS {
        let attempt = Attempt { product: FEW, user: format!("last-{number}"), key: "k".to_owned() };
        let id = attempt.order_id(&keys());
        client.settle(attempt);
        if client.told.refused.contains(&id) {
            break;
        }
    }
    *told = client.told;
}

/// The digest chain of the log holds from its first record to its last.
fn verify_chain(store: &Path) {
    let mut command = Command::new(program());
    command.args(["audit", "verify", "--data"]).arg(store);
    let output = command.output().expect("the program can be run");
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}
