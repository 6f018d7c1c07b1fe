//! What an attempt costs Redis: commands, and memory that does not grow.

use std::collections::BTreeMap;

use super::super::calls::{Answer, Keys};
use super::differential::{Lua, source_with_given_time};
use super::*;

/// Calls of each command so far.
fn commands(server: &Server) -> BTreeMap<String, u64> {
    let stats: String = server.run_command(&["INFO", "commandstats"]);
    stats
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        })
        .collect()
}

fn all_rates() -> Rates {
    Rates {
        product: Rate::per_second(10_000, 10_000),
        address: Rate::per_second(10, 20),
        fingerprint: Rate::per_second(20, 20),
        buyer: Rate::per_second(5, 5),
    }
}

#[test]
fn an_attempt_is_one_call_with_at_most_six_commands_and_a_refusal_writes_nothing() {
    on_a_serving_thread(|| async {
        let server = Server::start();
        let rates = all_rates();
        let node = Node::start(Options { rates, ..options(&server.url(), PATIENT) });
        node.decide(1, 1_000, []);
        node.wait_up().await;
        // The keeper's own calls are counted too; it is ended.
        let handle = node.gate.handle();
        let origin = Origin { address: Some(1), fingerprint: Some(2) };
        let before = commands(&server);
        let mut attempts = 0;
        let now_us = node.clock.monotonic_us();
        until("an attempt through this handle", || handle.is_connected()).await;
        for n in 0..20 {
            attempts += 1;
            assert_eq!(handle.admit(&phone(), &buyer(n), origin, now_us).await, Verdict::Go);
        }
        let of_admit = ["time", "get", "zmscore", "zadd", "decr"];
        let after = commands(&server);
        let made = |name: &str| {
            after.get(name).copied().unwrap_or(0) - before.get(name).copied().unwrap_or(0)
        };
        // TIME and GET are also the keeper's, who levels once or twice meanwhile.
        assert_eq!(made("zmscore"), attempts);
        assert_eq!(made("zadd"), 2 * attempts);
        assert_eq!(made("decr"), attempts);
        let all: u64 = of_admit.iter().map(|name| made(name)).sum();
        let levels = made("zcard");
        assert!(all <= 6 * attempts + 3 * levels, "{all} for {attempts}, with {levels} levels");
        // 21 in a burst of 20: the address is over its rate.
        let verdict = handle.admit(&phone(), &buyer(20), origin, now_us).await;
        assert!(matches!(verdict, Verdict::OverRate { .. }), "{verdict:?}");
        assert_eq!(commands(&server)["zadd"], after["zadd"]);
        assert_eq!(node.gate.counts().over_address_rate, 1);
        assert_eq!(node.gate.pending(&phone()), 20);
    });
}

#[test]
fn a_hundred_thousand_strangers_leave_nothing_behind() {
    const STRANGERS: u32 = 100_000;
    let server = Server::bare();
    server.load(&source_with_given_time());
    let mut lua = Lua {
        connection: server.connection(),
        keys: Keys::new(&phone()),
        rates: Rates { product: None, ..all_rates() },
    };
    let start_us = 1_790_000_000_000_000;
    lua.level((1, STRANGERS + 1), &[], start_us);
    for n in 0..STRANGERS {
        let origin = Origin { address: Some(u64::from(n)), fingerprint: Some(u64::from(n)) };
        assert_eq!(lua.admit(n, origin, start_us), Answer::Go);
    }
    let used = || {
        let memory: String = server.run_command(&["INFO", "memory"]);
        let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:"));
        used.unwrap().trim().parse::<u64>().unwrap()
    };
    let full = used();
    let started = Instant::now();
    let levelled = lua.level((1, STRANGERS + 1), &[], start_us + 30_000_000);
    let took = started.elapsed();
    assert_eq!(levelled.hint, STRANGERS + 1);
    let keys: Vec<String> = server.run_command(&["KEYS", "*"]);
    assert_eq!(keys.len(), 2, "only hint and level are left: {keys:?}");
    println!("{full} bytes before, {} after; clearing 400,000 entries took {took:?}", used());
}
