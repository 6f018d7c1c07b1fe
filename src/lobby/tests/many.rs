//! The rooms of two nodes on a real server: what is lost, forged and counted over both.

#![allow(
    clippy::disallowed_methods,
    reason = "tests measure and wait: the ban on clocks is for what they test"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use secrecy::SecretString;

use super::*;
use crate::clock::Clock;
use crate::gate::redis::library::SOURCE;
use crate::gate::redis::tests::server::Server;
use crate::gate::redis::tests::{on_a_serving_thread, until};
use crate::gate::redis::{Options, RedisGate};
use crate::gate::{Gate, Rates};
use crate::room::draw::{Evidence, verify};

/// A server whose rooms go by a clock of the test's.
pub(super) struct Clocked {
    server: Server,
    connection: std::cell::RefCell<::redis::Connection>,
    gates: Vec<Gate>,
}

impl Clocked {
    pub(super) fn set(&self, now_ms: u64) {
        let mut set = ::redis::cmd("SET");
        set.arg("clock").arg(now_ms * 1_000).exec(&mut self.connection.borrow_mut()).unwrap();
    }
}

/// The library, but its time is in a key.
fn source_with_a_clock() -> String {
    let (line, by) =
        ("local time = redis.call('TIME')", "local time = { 0, redis.call('GET', 'clock') }");
    assert_eq!(SOURCE.matches(line).count(), 1);
    SOURCE.replace(line, by)
}

fn node(url: &str, change: impl FnOnce(&mut config::room::Room)) -> (Gate, (Lobby, GateHandle)) {
    let options = Options {
        url: SecretString::from(url),
        ca_file: None,
        timeout: Duration::from_millis(500),
        rates: Rates::default(),
    };
    let gate = Gate::Redis(RedisGate::start(options, Clock::system()).unwrap());
    let handle = gate.handle();
    let rooms = RedisRooms::new(&config(change).room, identity(), doors());
    (gate, (Lobby::Redis(rooms), handle))
}

async fn is_up(gate: &Gate, handle: &GateHandle) {
    let Gate::Redis(gate) = gate else { return };
    let connected = || handle.redis().is_some_and(|handle| handle.is_connected());
    until("the node asks Redis", || gate.is_up() && connected()).await;
}

pub(super) async fn rig(change: impl FnOnce(&mut config::room::Room)) -> Rig {
    let server = Server::bare();
    server.load(&source_with_a_clock());
    let mut room = config::room::Room::default();
    room.clone_from(&config(change).room);
    let (mut gates, mut nodes) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let (gate, node) = node(&server.url(), |to| to.clone_from(&room));
        is_up(&gate, &node.1).await;
        gates.push(gate);
        nodes.push(node);
    }
    let connection = server.connection().into();
    let clocked = Clocked { server, connection, gates };
    clocked.set(T0);
    Rig {
        nodes,
        turn: Default::default(),
        now_ms: T0.into(),
        offset: Default::default(),
        server: Some(clocked),
    }
}

impl Rig {
    fn redis<T: ::redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.server.as_ref().unwrap().server.run_command(words)
    }

    /// Redis loses everything but the clock.
    fn flush(&self) {
        self.redis::<()>(&["FLUSHALL"]);
        self.pass(0);
    }

    fn rooms(&self, node: usize) -> &RedisRooms {
        match &self.nodes[node].0 {
            Lobby::Redis(rooms) => rooms,
            Lobby::Memory(_) => panic!("of many nodes"),
        }
    }
}

#[test]
fn an_emptied_redis_goes_on_where_the_nodes_are() {
    on_a_serving_thread(|| async {
        let rig = rig(|_| {}).await;
        let tickets = rig.early(30).await;
        rig.tick(CLOSED).await;
        rig.flush();
        // Before the draw: those who wait are there again, and the next number is a new one.
        assert_eq!(rig.enter(99, CLOSED).await.unwrap().number, 30);
        for ticket in &tickets[..25] {
            assert_eq!(rig.poll(ticket).await, Standing::Early);
        }
        rig.tick(supply(100)).await;
        let draw = rig.draw();
        assert_eq!(draw.entrants, Some(31), "five numbers are nobody's");
        for (lobby, _) in &rig.nodes {
            let evidence = Evidence {
                entrants: Some(lobby.entrants(&lamp()).unwrap()),
                ticket: Some(tickets[3]),
                proof: lobby.proof(&lamp(), 3).unwrap(),
                ..Evidence::default()
            };
            verify(&draw, &evidence).unwrap();
        }
        let left_out = rig.poll(&tickets[27]).await;
        assert_eq!(left_out, Standing::Unknown, "who did not come back before the draw");
        // The sale runs, and Redis is emptied again.
        rig.run(1_000, supply(100), &tickets[..25]).await;
        let (head, admitted) = (rig.view().head, rig.admitted(&tickets).await);
        assert!(head >= 10 && admitted.len() >= 8, "{head}");
        let buys = admitted[0];
        rig.spend(buys.number, 99).await;
        rig.flush();
        rig.tick(supply(99)).await;
        assert_eq!(rig.draw(), draw);
        assert_eq!(rig.view().head, head, "no place is served again");
        assert_eq!(rig.poll(&buys).await, Standing::Unknown, "nor a ticket used again");
        let mut waiting = Vec::new();
        for ticket in &tickets[..25] {
            if let Standing::Waiting { place, .. } = rig.poll(ticket).await {
                assert!(place >= head);
                waiting.push(*ticket);
            }
        }
        // Who does not come back is waited for, as long as one who was heard of then.
        for _ in 0..8 {
            rig.run(5_000, supply(99), &waiting).await;
        }
        assert_eq!(rig.view().head, 31);
    });
}

#[test]
fn whoever_could_not_be_heard_is_not_passed_over() {
    on_a_serving_thread(|| async {
        let rig = rig(|_| {}).await;
        let tickets = rig.early(5).await;
        rig.tick(supply(0)).await;
        // No node reaches Redis for long, or none runs.
        rig.pass(10 * ABSENT_MS);
        rig.tick(supply(100)).await;
        rig.run(2_000, supply(100), &[]).await;
        assert_eq!(rig.admitted(&tickets).await.len(), 5);
    });
}

#[test]
fn a_node_that_starts_knows_the_room_and_what_was_drawn() {
    on_a_serving_thread(|| async {
        let mut rig = rig(|_| {}).await;
        let tickets = rig.early(12).await;
        rig.tick(supply(100)).await;
        rig.run(500, supply(100), &tickets).await;
        let (draw, head) = (rig.draw(), rig.view().head);
        // Both nodes are new.
        let url = rig.server.as_ref().unwrap().server.url();
        let (mut gates, mut nodes) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let (gate, node) = node(&url, |_| {});
            is_up(&gate, &node.1).await;
            gates.push(gate);
            nodes.push(node);
        }
        rig.nodes = nodes;
        for ticket in &tickets {
            let standing = rig.poll(ticket).await;
            assert!(matches!(standing, Standing::Waiting { .. } | Standing::Admitted { .. }));
        }
        rig.tick(supply(0)).await;
        assert_eq!((rig.draw(), rig.view().head), (draw, head));
        assert_eq!(rig.nodes[0].0.entrants(&lamp()).unwrap().len(), 12);
        assert_eq!(rig.rooms(0).faults(), (0, 0));
    });
}

#[test]
fn a_list_that_was_changed_is_shown_by_no_node_that_has_not_seen_it_before() {
    on_a_serving_thread(|| async {
        let rig = rig(|_| {}).await;
        rig.early(12).await;
        rig.tick(supply(0)).await;
        let card = "0123456789012345678901234567890123456789";
        rig.redis::<i64>(&["HSET", "room:{lamp}:cards", "3", card]);
        let url = rig.server.as_ref().unwrap().server.url();
        let (gate, (lobby, handle)) = node(&url, |_| {});
        is_up(&gate, &handle).await;
        let stock = Stock { supply: supply(0), offset: 1 };
        lobby.tick(&handle, T0, std::iter::once(lamp()), |_| Some(stock)).await;
        assert_eq!(lobby.draw(&lamp()), rig.draw(), "the draw is the published one");
        assert_eq!(lobby.entrants(&lamp()), Err(Unavailable));
        assert_eq!(lobby.proof(&lamp(), 2), Err(Unavailable));
        let Lobby::Redis(rooms) = &lobby else { unreachable!() };
        assert_eq!(rooms.faults(), (0, 1));
        assert_eq!(rig.nodes[0].0.entrants(&lamp()).unwrap().len(), 12);
    });
}

#[test]
fn what_is_forged_moves_nobody() {
    on_a_serving_thread(|| async {
        let rig = rig(|_| {}).await;
        let mut tickets = rig.early(40).await;
        // Somebody makes room for a second entry of theirs, and gives another's number to themselves.
        rig.redis::<i64>(&[
            "HDEL",
            "room:{lamp}:buyers",
            "\0\0\0\x05\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07",
        ]);
        let second = rig.enter(5, CLOSED).await.unwrap();
        assert_eq!(second.number, 40);
        let mut card = vec![0, 0, 0, 0, 0, 0, 0, 1];
        card.extend_from_slice(buyer(77).as_bytes());
        let mut connection = rig.server.as_ref().unwrap().server.connection();
        let mut hset = |key: &str, field: &[u8], value: &[u8]| {
            ::redis::cmd("HSET").arg(key).arg(field).arg(value).exec(&mut connection).unwrap();
        };
        hset("room:{lamp}:cards", b"0", &card);
        hset("room:{lamp}:buyers", buyer(77).as_bytes(), b"0");
        rig.pass(5_000);
        let own = rig.enter(77, CLOSED).await.unwrap();
        assert_eq!(own.number, 41, "no ticket is given for a card that no node has made");
        hset("room:{lamp}:book", b"next", b"3");
        assert_eq!(rig.enter(78, CLOSED).await.unwrap().number, 42, "numbers do not fall");
        rig.tick(supply(100)).await;
        let draw = rig.draw();
        assert_eq!(draw.entrants, Some(43));
        // The second entry and the one that was overwritten do not count; the list has nobody twice.
        let list = rig.nodes[1].0.entrants(&lamp()).unwrap();
        verify(&draw, &Evidence { entrants: Some(list), ..Evidence::default() }).unwrap();
        assert!(matches!(rig.poll(&second).await, Standing::Passed | Standing::Unknown));
        assert_eq!(rig.poll(&tickets[0]).await, Standing::Unknown);
        tickets.remove(0);
        // Heads, draws and values that no node has written; credit without end.
        hset("room:{lamp}:book", b"head", b"43:00000000000000000000000000000000");
        hset("room:{lamp}:book", b"draw", b"1:00:00");
        hset("room:{lamp}:book", b"value", b"x:00");
        hset("room:{lamp}:book", b"credit", b"999999999");
        hset("room:{lamp}:book", b"level", b"999999999:999999:1");
        let total = rig.view().admitted_total;
        rig.tick(supply(100)).await;
        assert_eq!(rig.view().head, 0);
        rig.run(1_000, supply(100), &tickets).await;
        let admitted = rig.view().admitted_total - total;
        assert!(admitted <= 2 * 11, "{admitted}: at most the rate of each node by itself");
        assert_eq!(rig.draw(), draw);
        let (forged, differs) = rig.rooms(0).faults();
        assert!(forged >= 2 && differs == 0, "{forged} {differs}");
        // Keys of another kind.
        let head = rig.view().head;
        for key in ["book", "cards", "states", "buyers", "admitted"] {
            rig.redis::<()>(&["SET", &format!("room:{{lamp}}:{key}"), "x"]);
        }
        for _ in 0..3 {
            rig.tick(supply(0)).await;
        }
        assert_eq!(rig.view().head, head);
        rig.poll(&tickets[1]).await;
    });
}

#[test]
fn one_buyer_who_asks_everywhere_at_once_has_one_place() {
    on_a_serving_thread(|| async {
        let rig = rig(|_| {}).await;
        let ask = |node: usize| {
            let (lobby, gate) = &rig.nodes[node];
            lobby.enter(gate, (lamp(), buyer(1), [0; 16]), T0, CLOSED)
        };
        let asked = tokio::join!(ask(0), ask(1), ask(0), ask(1), ask(0), ask(1));
        let all = [asked.0, asked.1, asked.2, asked.3, asked.4, asked.5];
        let first = all[0].unwrap();
        assert!(all.iter().all(|ticket| *ticket == Ok(first)), "{all:?}");
        rig.tick(supply(0)).await;
        assert_eq!(rig.draw().entrants, Some(1));
    });
}

#[test]
fn without_redis_nobody_comes_in_and_what_was_used_is_told_later() {
    on_a_serving_thread(|| async {
        let rig = rig(|_| {}).await;
        let tickets = rig.early(4).await;
        rig.tick(supply(4)).await;
        rig.run(1_000, supply(4), &tickets).await;
        assert_eq!(rig.view().admitted, 4);
        let server = &rig.server.as_ref().unwrap().server;
        server.pause();
        let (lobby, gate) = &rig.nodes[0];
        let poll = lobby.poll(gate, &tickets[0], rig.now_ms.get()).await;
        assert_eq!(poll, Err(Unavailable));
        rig.turn.set(1);
        rig.spend(0, 3).await;
        server.resume();
        for (gate, (_, handle)) in rig.server.as_ref().unwrap().gates.iter().zip(&rig.nodes) {
            is_up(gate, handle).await;
        }
        rig.tick(supply(3)).await;
        assert_eq!(rig.poll(&tickets[0]).await, Standing::Spent);
        assert_eq!(rig.poll(&tickets[0]).await, Standing::Spent);
        assert_eq!(rig.view().admitted, 3);
    });
}

fn commands(rig: &Rig) -> BTreeMap<String, u64> {
    let stats: String = rig.redis(&["INFO", "commandstats"]);
    let of_line = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    };
    stats.lines().filter_map(of_line).collect()
}

#[test]
fn a_poll_is_one_call_whose_cost_does_not_grow_and_late_places_are_given_back() {
    on_a_serving_thread(|| async {
        let rig = rig(|room| {
            room.waiting_max = 10_000;
            room.admit_per_second = 1_000;
        })
        .await;
        rig.tick(supply(0)).await;
        let cost = async |ticket: &Ticket| {
            let before = commands(&rig);
            for _ in 0..50 {
                rig.poll(ticket).await;
            }
            let after = commands(&rig);
            let made = |name: &str| after[name] - before.get(name).copied().unwrap_or(0);
            (made("fcall"), made("hget") + made("hmget") + made("hset"))
        };
        let first = rig.enter(0, supply(0)).await.unwrap();
        let few = cost(&first).await;
        let mut tickets = vec![first];
        for number in 1..3_000 {
            tickets.push(rig.enter(number, supply(0)).await.unwrap());
        }
        let many = cost(&tickets[2_999]).await;
        // The gate's keeper levels now and then.
        assert!((50..60).contains(&many.0) && many.0.abs_diff(few.0) < 10, "{few:?} {many:?}");
        assert!((200..=230).contains(&many.1), "four commands and the clock: {few:?} {many:?}");
        rig.run(500, supply(10_000), &[]).await;
        rig.run(67_000, supply(10_000), &[]).await;
        let kept: i64 = rig.redis(&["HLEN", "room:{lamp}:cards"]);
        assert!(rig.view().head >= 500, "{:?}", rig.view());
        assert!(kept < 1_000, "{kept}");
        assert!(rig.redis::<i64>(&["PTTL", "room:{lamp}:book"]) > 600_000_000);
    });
}

/// Long: `cargo test --release -- --ignored a_hundred_thousand`, or as it is.
#[test]
#[ignore = "a hundred thousand entrants take a minute"]
fn a_hundred_thousand_are_drawn() {
    const EARLY: u32 = 100_000;
    on_a_serving_thread(|| async {
        let rig = rig(|room| room.waiting_max = 200_000).await;
        let used = || {
            let memory: String = rig.redis(&["INFO", "memory"]);
            let line = memory.lines().find_map(|line| line.strip_prefix("used_memory:"));
            line.unwrap().trim().parse::<u64>().unwrap()
        };
        let empty = used();
        rig.early(EARLY).await;
        let bytes = (used() - empty) / u64::from(EARLY);
        let begun = Instant::now();
        rig.tick(supply(0)).await;
        let took = begun.elapsed();
        assert_eq!(rig.draw().entrants, Some(EARLY));
        assert!(rig.nodes.iter().all(|(lobby, _)| lobby.entrants(&lamp()).is_ok()));
        println!(
            "{bytes} bytes a place in Redis; read, drawn and checked by two nodes in {took:?}"
        );
    });
}
