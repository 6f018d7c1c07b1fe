//! Nodes whose clocks are minutes apart, from each other and from the log's.
//!
//! Such a node is the same program in a process of its own, with a clock that is set wrong; the process is this
//! test binary's, since the program cannot be told another time.

use std::process::{Command, ExitCode};
use std::time::Duration;

use flux_gate::cli::{self, Machine};
use flux_gate::clock::Clock;
use flux_gate::keys::stored::RandomnessFailed;
use flux_gate::sale::Record;
use rdkafka::message::Message;

use super::cluster::{Cluster, wait_for};
use super::sale::product;
use super::world::{Fault, World};
use crate::crash::Attempt;
use crate::crash::books::call;
use crate::crash::crowd::{Client, unix_ms};
use crate::support::server::Server;

/// What the process of a node is told: how its clock is set, and the program's arguments, one a line.
const SHIFT_VARIABLE: &str = "IT_WALL_SHIFT_MS";
const ARGUMENTS_VARIABLE: &str = "IT_ARGUMENTS";
const MINUTES_3_MS: i64 = 180_000;
/// How far a proposal's time may be from the log's: the way to the log and back, on a busy machine.
const OUT_MS_MAX: u64 = 30_000;
/// How long the crowd orders before and after.
const SPELL: Duration = Duration::from_millis(1_500);
/// From now to the opening, and from there to the close.
const UNTIL_OPEN_MS: u64 = 10_000;
const OPEN_FOR_MS: u64 = 6_000;

/// Not a test: the process of a node with another clock (see [`with_clock`]). Passes at once when it is run
/// among the tests.
#[test]
fn process_of_a_node_with_another_clock() {
    let (Ok(shift_ms), Ok(arguments)) =
        (std::env::var(SHIFT_VARIABLE), std::env::var(ARGUMENTS_VARIABLE))
    else {
        return;
    };
    let clock = Clock::settable();
    clock.shift_wall_ms(shift_ms.parse().expect("milliseconds"));
    let machine = Machine {
        environment: std::env::vars_os().collect(),
        clock,
        fill: &|bytes| aws_lc_rs::rand::fill(bytes).map_err(|_| RandomnessFailed),
        out: &mut std::io::stdout(),
    };
    let arguments = std::iter::once("flux-gate").chain(arguments.lines()).map(Into::into);
    assert_eq!(cli::run(arguments, machine), ExitCode::SUCCESS);
}

/// The command's program with another clock.
fn with_clock(command: &Command, shift_ms: i64) -> Command {
    let this = std::env::current_exe().expect("a program");
    let mut process = Command::new(this);
    process.args([
        &format!("{}::process_of_a_node_with_another_clock", module()),
        "--exact",
        "--nocapture",
    ]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => process.env(name, value),
            None => process.env_remove(name),
        };
    }
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    process.env(SHIFT_VARIABLE, shift_ms.to_string());
    process.env(ARGUMENTS_VARIABLE, arguments.join("\n"));
    process
}

/// This module, as the names of its tests begin.
fn module() -> &'static str {
    module_path!().split_once("::").expect("a crate and a module").1
}

fn node(cluster: &Cluster, name: &str, shift_ms: i64) -> Server {
    let command = cluster.node_command(name);
    Server::start_by(with_clock(&command, shift_ms))
        .unwrap_or_else(|error| panic!("{name}: {error:#}"))
}

const FAULTS: &[Fault] = &[("clocks: two nodes six minutes apart", |_| {})];

#[test]
fn rules_1_to_6_hold_with_clocks_that_are_minutes_apart() {
    let cluster = Cluster::new();
    let workers = vec![cluster.worker("worker-1"), cluster.worker("worker-2")];
    let servers =
        vec![node(&cluster, "behind", -MINUTES_3_MS), node(&cluster, "ahead", MINUTES_3_MS)];
    let mut world = World::new(cluster, servers, workers);
    world.endure(FAULTS, SPELL);
    opens_and_closes_by_the_logs_time(&world);
    proposals_carry_the_logs_time(&world.cluster);
}

/// Each node sells from the opening to the close, and no longer, whatever its own clock says.
fn opens_and_closes_by_the_logs_time(world: &World) {
    let timed = product("timed");
    let opens_at_ms = unix_ms() + UNTIL_OPEN_MS;
    let closes_at_ms = opens_at_ms + OPEN_FOR_MS;
    let body = format!(
        r#"{{"productId":"{timed}","quantity":100000,"opensAt":{opens_at_ms},"closesAt":{closes_at_ms},"repeatWindowSeconds":0,"perBuyerLimit":1}}"#
    );
    let nodes: Vec<&Server> = world.servers.iter().flatten().collect();
    let answer = call(nodes[1].operator, "POST", "/admin/products", &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let mut clients: Vec<_> =
        nodes.iter().map(|node| Client::new(node.public).expect("a connection")).collect();
    let mut seen = vec![Vec::new(); nodes.len()];
    let mut number = 0;
    let has_closed = |seen: &Vec<(u64, String)>| seen.iter().any(|(_, said)| said == "403 closed");
    let (end_ms, last_ms) = (closes_at_ms + 1_500, closes_at_ms + OUT_MS_MAX);
    while unix_ms() < end_ms || unix_ms() < last_ms && !seen.iter().all(has_closed) {
        for (client, seen) in clients.iter_mut().zip(&mut seen) {
            number += 1;
            let attempt =
                Attempt { product: timed, user: format!("u-{number}"), key: "a".to_owned() };
            let answer = client.send(&attempt).expect("an answer");
            seen.push((unix_ms(), answer.summary()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    for (seen, name) in seen.iter().zip(["behind", "ahead"]) {
        let said = |words: &str| {
            let mut times = seen.iter().filter(|(_, said)| said == words).map(|(at_ms, _)| *at_ms);
            let first = times.next();
            (first, times.next_back().or(first))
        };
        let words: std::collections::BTreeSet<_> = seen.iter().map(|(_, said)| said).collect();
        let (Some(first), Some(last)) = said("200 success") else { panic!("{name}: {words:?}") };
        assert!(first >= opens_at_ms && first < opens_at_ms + OUT_MS_MAX, "{name} opens late");
        assert!(last + OUT_MS_MAX > closes_at_ms && last < closes_at_ms + OUT_MS_MAX, "{name}");
        let (_, not_open) = said("403 not_open");
        assert!(not_open.expect("before") < opens_at_ms + OUT_MS_MAX, "{name}: {words:?}");
        let (closed, _) = said("403 closed");
        assert!(closed.expect("after") + 100 >= closes_at_ms, "{name} closes early: {words:?}");
    }
    // The ledger's times are the log's.
    let sql = format!(
        "SELECT count(*) FROM flux_gate.order_list WHERE product = '{timed}' \
         AND (extract(epoch FROM confirmed_at) * 1000 < {opens_at_ms} \
              OR extract(epoch FROM confirmed_at) * 1000 >= {closes_at_ms})"
    );
    wait_for("the ledger has the orders", || {
        let all = format!("SELECT count(*) FROM flux_gate.order_list WHERE product = '{timed}'");
        world.cluster.stack.sql(&world.cluster.database, &all) != "0"
    });
    assert_eq!(world.cluster.stack.sql(&world.cluster.database, &sql), "0");
}

/// By it the log tells what is too old to count.
fn proposals_carry_the_logs_time(cluster: &Cluster) {
    let (mut proposals, mut out) = (0, Vec::new());
    for message in cluster.read_all(&[&cluster.topic]) {
        let record = message.payload().and_then(|payload| Record::decode(payload).ok());
        let Some(Record::OrderProposed(proposal)) = record else { continue };
        let appended_ms = message.timestamp().to_millis().expect("a time") as u64;
        proposals += 1;
        if proposal.at_ms.abs_diff(appended_ms) > OUT_MS_MAX {
            out.push(proposal.at_ms as i64 - appended_ms as i64);
        }
    }
    assert!(proposals > 100, "{proposals} proposals");
    assert!(out.is_empty(), "{} of {proposals} are out: {:?}", out.len(), out.first());
}
