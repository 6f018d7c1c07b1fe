//! Redis is away, hangs, is wiped, comes back with what it had long ago. Rule 1, and no attempt waits.

use std::rc::Rc;

use super::*;

/// One attempt without Redis, on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(250);

#[test]
fn without_redis_attempts_are_screened_in_memory_at_once() {
    on_a_serving_thread(|| async {
        let mut server = Server::start();
        server.kill();
        let node = Node::start(Options {
            rates: Rates { product: Rate::per_second(1, 2), ..Rates::default() },
            ..options(&server.url(), Duration::from_millis(50))
        });
        node.decide(1, 3, []);
        let started = Instant::now();
        assert_eq!(node.admit(1).await, Verdict::Go);
        assert_eq!(node.admit(1).await, Verdict::Busy, "one undecided attempt a buyer");
        assert_eq!(node.admit(2).await, Verdict::Go);
        let verdict = node.admit(3).await;
        assert!(matches!(verdict, Verdict::OverRate { .. }), "the product's rate: {verdict:?}");
        assert_eq!(node.gate.pending(&phone()), 2, "a refused attempt holds no unit");
        node.decide(2, 2, [1]);
        assert_eq!(node.gate.pending(&phone()), 1);
        assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
        let counts = node.gate.counts();
        assert_eq!((counts.calls, counts.screened_here), (0, 3));
        assert!(counts.outages_us > 0);
    });
}

#[test]
fn killed_and_back_empty_it_is_levelled_before_it_is_asked() {
    on_a_serving_thread(|| async {
        let mut server = Server::start();
        let node = Node::up(&server, PATIENT).await;
        node.decide(5, 10, []);
        assert_eq!(node.admit(1).await, Verdict::Go);
        server.kill();
        for n in 2..=10 {
            assert_eq!(node.admit(n).await, Verdict::Go);
        }
        assert_eq!(node.admit(11).await, Verdict::Busy, "rule 1: no more than are left");
        node.decide(15, 0, 1..=10);
        node.decide(16, 4, []);
        server.run();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!node.gate.is_up(), "it has no functions yet");
        server.load(library::SOURCE);
        node.wait_up().await;
        assert_eq!(server.hint(), Some(4));
        assert_eq!(node.admit(12).await, Verdict::Go);
        assert_eq!(server.hint(), Some(3), "{:?}", node.gate.counts());
    });
}

#[test]
fn a_hang_costs_the_attempts_under_way_one_timeout_and_the_others_nothing() {
    on_a_serving_thread(|| async {
        let server = Server::start();
        let timeout = Duration::from_millis(50);
        let node = Node::up(&server, timeout).await;
        node.decide(1, 100, []);
        until("the first level", || server.hint() == Some(100)).await;
        server.pause();
        let started = Instant::now();
        assert_eq!(node.admit(1).await, Verdict::Go);
        assert!(started.elapsed() >= timeout);
        let started = Instant::now();
        for n in 2..50 {
            assert_eq!(node.admit(n).await, Verdict::Go);
        }
        assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
        assert_eq!(node.gate.counts().timeouts, 1);
        node.decide(50, 60, 1..41);
        server.resume();
        node.wait_up().await;
        // The late answer held a unit for a buyer whose attempt was decided meanwhile: given back.
        until("rule 5: hint = left, nothing pending of what is decided", || {
            server.hint() == Some(60) && server.pending() == 0
        })
        .await;
        assert_eq!(node.gate.pending(&phone()), 9);
    });
}

#[test]
fn late_answers_to_a_crowd_leave_nothing_held_however_they_come_in() {
    on_a_serving_thread(|| async {
        const CROWD: u32 = 600;
        let server = Server::start();
        let node = Rc::new(Node::up(&server, Duration::from_millis(50)).await);
        node.decide(1, CROWD, []);
        until("the first level", || server.hint() == Some(i64::from(CROWD))).await;
        server.pause();
        let attempts: Vec<_> = (0..CROWD)
            .map(|n| {
                let node = node.clone();
                tokio::task::spawn_local(async move { node.admit(n).await })
            })
            .collect();
        for attempt in attempts {
            assert_eq!(attempt.await.unwrap(), Verdict::Go);
        }
        // Longer than a connection is given to answer, so that it is given up.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        node.decide(2, 10, 0..CROWD);
        server.resume();
        node.wait_up().await;
        until("nothing is held", || server.hint() == Some(10) && server.pending() == 0).await;
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        assert_eq!((server.hint(), server.pending()), (Some(10), 0), "and it stays so");
    });
}

#[test]
fn a_refused_attempt_whose_answer_came_late_holds_no_unit() {
    on_a_serving_thread(|| async {
        let server = Server::start();
        let node = Node::start(Options {
            rates: Rates { product: Rate::per_second(1, 1), ..Rates::default() },
            ..options(&server.url(), Duration::from_millis(50))
        });
        node.decide(1, 100, []);
        node.wait_up().await;
        server.pause();
        let (one, two) = tokio::join!(node.admit(1), node.admit(2));
        let refused = [one, two].iter().filter(|verdict| **verdict != Verdict::Go).count();
        assert_eq!(refused, 1, "in memory the product's rate lets one pass");
        server.resume();
        node.wait_up().await;
        node.decide(2, 99, [1, 2]);
        until("nothing is held", || server.hint() == Some(99) && server.pending() == 0).await;
    });
}

#[test]
fn wiped_in_mid_sale_the_attempt_that_notices_levels_it() {
    on_a_serving_thread(|| async {
        let server = Server::start();
        let node = Node::up(&server, PATIENT).await;
        node.decide(1, 5, []);
        until("the first level", || server.hint() == Some(5)).await;
        server.run_command::<()>(&["FLUSHALL"]);
        assert_eq!(node.admit(1).await, Verdict::Go);
        let counts = node.gate.counts();
        assert!(counts.went == 1 && counts.unlevelled <= 1 && node.gate.is_up(), "{counts:?}");
        server.run_command::<()>(&["FLUSHALL"]);
        let mut went = 1;
        for n in 2..20 {
            went += u32::from(node.admit(n).await == Verdict::Go);
        }
        assert_eq!(went, 5, "rule 1: no more undecided proposals than units, whatever Redis says");
    });
}

#[test]
fn an_old_dump_is_overwritten_before_it_is_asked() {
    on_a_serving_thread(|| async {
        let mut server = Server::start();
        let node = Node::up(&server, PATIENT).await;
        node.decide(1, 1_000, []);
        until("the first level", || server.hint() == Some(1_000)).await;
        server.run_command::<()>(&["SAVE"]);
        node.decide(900, 7, []);
        until("a later level", || server.hint() == Some(7)).await;
        server.kill();
        server.run();
        assert_eq!(server.hint(), Some(1_000), "the dump was read");
        node.admit(1).await;
        node.wait_up().await;
        until("rule 5: hint = left", || server.hint() == Some(7 - node.gate.counts().went as i64))
            .await;
    });
}

#[test]
fn two_nodes_share_units_and_rates_and_one_attempt_a_buyer() {
    on_a_serving_thread(|| async {
        let server = Server::start();
        let one = Node::up(&server, PATIENT).await;
        let two = Node::up(&server, PATIENT).await;
        one.decide(1, 2, []);
        two.decide(1, 2, []);
        until("the first level", || server.hint() == Some(2)).await;
        assert_eq!(one.admit(1).await, Verdict::Go);
        assert_eq!(two.admit(1).await, Verdict::Busy, "undecided on the other node");
        assert_eq!(two.gate.pending(&phone()), 0);
        assert_eq!(two.admit(2).await, Verdict::Go);
        assert_eq!(one.admit(3).await, Verdict::Busy, "both units are held");
        // The log refuses buyer 1's proposal: the unit is free again, for both.
        one.decide(2, 2, [1]);
        two.decide(2, 2, [1]);
        until("a free unit", || server.hint() == Some(1)).await;
        assert_eq!(one.admit(3).await, Verdict::Go);
        one.handle.release(&phone(), &buyer(3));
        until("the unit of what was not sent", || server.hint() == Some(1)).await;
        one.gate.stop();
        assert_eq!(one.admit(4).await, Verdict::Go, "a stopped gate screens in memory");
    });
}

#[test]
fn a_client_that_hangs_up_while_redis_is_asked_leaves_nothing_held() {
    on_a_serving_thread(|| async {
        let server = Server::start();
        let node = Node::up(&server, PATIENT).await;
        node.decide(1, 5, []);
        until("the first level", || server.hint() == Some(5)).await;
        server.pause();
        let given_up = tokio::time::timeout(Duration::from_millis(20), node.admit(1)).await;
        assert!(given_up.is_err());
        assert_eq!(node.gate.pending(&phone()), 0);
        server.resume();
        until("nothing is held", || server.hint() == Some(5) && server.pending() == 0).await;
        assert!(node.gate.counts().settled >= 1);
    });
}

#[test]
fn with_its_memory_full_it_is_tried_less_and_less_often_and_makes_room_when_told() {
    on_a_serving_thread(|| async {
        let server = Server::start();
        let node = Node::up(&server, PATIENT).await;
        node.decide(1, 10_000, []);
        until("the first level", || server.hint() == Some(10_000)).await;
        server.run_command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
        let started = Instant::now();
        let mut n = 0;
        while started.elapsed() < Duration::from_secs(2) {
            n += 1;
            assert_eq!(node.admit(n).await, Verdict::Go, "screened in memory");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let counts = node.gate.counts();
        assert!((2..8).contains(&counts.outages) && counts.errors < 10, "{counts:?}");
        server.run_command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
        let went = counts.went;
        until("it is asked again", || node.gate.is_up()).await;
        node.wait_up().await;
        assert_eq!(node.admit(n + 1).await, Verdict::Go);
        assert_eq!(node.gate.counts().went, went + 1);
    });
}
