//! Whole runs against a fake server that speaks the contract, and breaks it where a test wants that.

use std::time::Duration;

use super::api::Api;
use super::fake::{Fake, Faults};
use super::plan::Identity;
use super::verify::{Told, check, read_books};
use super::*;

fn by_client(fake: &Fake) -> Plan {
    let identity = Identity::Client { credentials: Fake::credentials(), users: 0 };
    let mut plan = Plan::new(Target::plain(fake.address), "p-1".parse().unwrap(), identity, 1);
    plan.connections = 8;
    plan.attempts_max = 400;
    plan
}

fn by_shoppers(fake: &Fake, buyers: usize) -> Plan {
    let target = Target::plain(fake.address);
    let (credentials, clock) = (Fake::credentials(), Clock::system());
    let crowd =
        sessions::open_crowd(&target, &credentials, "user", buyers, &clock, |_| {}).unwrap();
    let identity = Identity::Shoppers(crowd.shoppers);
    Plan { skew_ms: crowd.skew_ms, identity, ..by_client(fake) }
}

fn go(plan: &Plan) -> Report {
    run(plan, &Clock::system(), &Stop::default(), |_| {}).unwrap()
}

/// The names of the broken rules.
fn broken(fake: &Fake, report: &Report) -> Vec<&'static str> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut api = Api::operator(Target::plain(fake.address), "token".to_owned().into());
    let books = runtime.block_on(read_books(&mut api, &"p-1".parse().unwrap())).unwrap();
    let checks = check(&books, &Told::of(&report.tally, 0));
    checks.iter().filter(|check| !check.passed).map(|check| check.name).collect()
}

const ATTACKED: &str = "honest=60,replay=20,forge=15,flood=5";

#[test]
fn a_closed_loop_sends_every_attempt_once_and_all_rules_hold() {
    let fake = Fake::start(50, Faults::default());
    let report = go(&Plan { threads: 2, ..by_client(&fake) });
    assert_eq!(report.tally.counts.accepted, 50);
    assert_eq!(report.tally.counts.ended(), 400);
    assert_eq!(report.tally.settled, 400);
    assert_eq!(report.tally.honest_buyers, 400);
    assert_eq!(broken(&fake, &report), Vec::<&str>::new());
}

#[test]
fn an_open_loop_keeps_its_rate_and_the_attackers_get_nothing() {
    let fake = Fake::start(50, Faults::default());
    let plan = Plan {
        pace: Pace::Open { per_second: 1_000 },
        mix: ATTACKED.parse().unwrap(),
        source_addresses: 20,
        connections: 40,
        threads: 2,
        ..by_shoppers(&fake, 200)
    };
    let report = go(&plan);
    let tally = &report.tally;
    assert_eq!(tally.attempts.iter().sum::<u64>(), 400);
    assert_eq!(tally.counts.ended(), 400);
    assert!((0.3..1.5).contains(&report.seconds()), "{}", report.seconds());
    assert_eq!(tally.counts_of(Kind::Forge).accepted, 0);
    assert!(tally.counts_of(Kind::Forge).refused > 20);
    assert!(tally.count_of_word("invalid_signature") > 20);
    assert_eq!(broken(&fake, &report), Vec::<&str>::new());

    let peers = fake.peers();
    assert!(peers.len() > 20, "{peers:?}");
    assert!(peers.contains(&std::net::Ipv4Addr::new(127, 103, 0, 1).into()), "the flood's own");
}

#[test]
fn an_honest_attempt_is_retried_with_its_key_until_it_is_decided() {
    let fake = Fake::start(1_000, Faults { busy_every: 5, ..Faults::default() });
    for pace in [Pace::Closed, Pace::Open { per_second: 1_000 }] {
        let report = go(&Plan { pace, seed: pace_seed(pace), ..by_client(&fake) });
        assert_eq!(report.tally.counts.accepted, 400, "{pace:?}");
        assert!(report.tally.retries >= 80, "{pace:?}");
        assert_eq!((report.tally.settled, report.tally.given_up), (400, 0), "{pace:?}");
    }
}

fn pace_seed(pace: Pace) -> u64 {
    if pace == Pace::Closed { 1 } else { 2 }
}

#[test]
fn the_server_s_clock_is_followed() {
    let fake = Fake::start(1_000, Faults { clock_ahead_ms: 3_600_000, ..Faults::default() });
    let report = go(&by_client(&fake));
    assert_eq!(report.tally.counts.accepted, 400);
    assert!(report.tally.count_of_word("request_expired") <= 8, "once a connection at most");
    let report = go(&Plan { seed: 2, ..by_shoppers(&fake, 100) });
    assert_eq!(report.tally.count_of_word("request_expired"), 0, "the session said the time");
}

#[test]
fn rules_that_the_server_breaks_are_named() {
    let cases = [
        (Faults { oversells: true, ..Faults::default() }, "never more sold than there is"),
        (
            Faults { loses_one: true, ..Faults::default() },
            "every accepted order is in the ledger, once",
        ),
        (Faults { believes: true, ..Faults::default() }, "no forged or re-keyed request accepted"),
    ];
    for (faults, name) in cases {
        let fake = Fake::start(100, faults);
        let report = go(&Plan { mix: ATTACKED.parse().unwrap(), ..by_client(&fake) });
        let broken = broken(&fake, &report);
        assert!(broken.contains(&name), "{faults:?}: {broken:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_said_clearly() {
    // Bound and kept, and nobody listens.
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    bound.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = bound.local_addr().unwrap().as_socket().unwrap();
    let fake = Fake::start(1, Faults::default());
    let plan = Plan { target: Target::plain(address), threads: 2, ..by_client(&fake) };
    let error = run(&plan, &Clock::system(), &Stop::default(), |_| {}).unwrap_err();
    assert!(error.to_string().contains("is the server running there?"), "{error}");
}

#[test]
fn a_server_that_goes_away_ends_the_run() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let connections: Vec<_> = (0..8).map(|_| listener.accept().unwrap()).collect();
        std::thread::sleep(Duration::from_millis(100));
        drop(connections);
    });
    let fake = Fake::start(1, Faults::default());
    let plan = Plan {
        target: Target::plain(address),
        lost_after_ms: 300,
        attempts_max: 1_000_000,
        ..by_client(&fake)
    };
    let report = go(&plan);
    assert!(report.tally.server_lost);
    assert_eq!(report.tally.counts.accepted, 0);
    assert!(report.tally.counts.unanswered > 0);
}

#[test]
fn a_run_is_stopped_from_outside() {
    let fake = Fake::start(1, Faults::default());
    let plan = Plan { attempts_max: 10_000_000, duration_ms_max: 60_000, ..by_client(&fake) };
    let stop = Stop::default();
    let report = run(&plan, &Clock::system(), &stop, |_| stop.stop()).unwrap();
    assert!(report.seconds() < 10.0);
}
