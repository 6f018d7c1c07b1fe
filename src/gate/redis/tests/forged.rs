//! Somebody with a node's password writes to Redis. What he can do is what the design says: proposals that
//! the log refuses, or a second of "busy".

use rstest::rstest;

use super::*;

/// The promise is a second; the rest is for a busy machine.
const HEALED_WITHIN: Duration = Duration::from_secs(3);

#[rstest]
#[case::a_million_units(&["SET product:{phone}:stock 1000000"])]
#[case::no_unit(&["SET product:{phone}:stock 0"])]
#[case::no_number(&["SET product:{phone}:stock many"])]
#[case::a_number_of_another_kind(&["SET product:{phone}:stock 1e3"])]
#[case::a_number_too_long(&["SET product:{phone}:stock 99999999999999999999"])]
#[case::a_level_that_stays(&["SET product:{phone}:level 999999999999:77", "DEL product:{phone}:stock"])]
#[case::a_level_that_stays_long(&["SET product:{phone}:level 999999999999:77 EX 3600", "DEL product:{phone}:stock"])]
#[case::a_level_that_goes(&["SET product:{phone}:level 999999999999:77 PX 500", "DEL product:{phone}:stock"])]
#[case::a_level_that_is_none(&["SET product:{phone}:level x:y PX 1500", "DEL product:{phone}:stock"])]
#[case::all_keys_deleted(&["DEL product:{phone}:stock product:{phone}:pending product:{phone}:level rate:{phone}:tat"])]
#[case::a_stock_of_another_type(&["DEL product:{phone}:stock", "LPUSH product:{phone}:stock 1"])]
#[case::a_level_of_another_type(&["DEL product:{phone}:level", "LPUSH product:{phone}:level 1"])]
#[case::undecided_attempts_of_another_type(&["DEL product:{phone}:pending", "SET product:{phone}:pending 1"])]
#[case::rates_of_another_type(&["DEL rate:{phone}:tat", "LPUSH rate:{phone}:tat 1"])]
#[case::undecided_for_ever(&["ZADD product:{phone}:pending 9e15 a inf b"])]
#[case::over_the_rate_for_ever(&["ZADD rate:{phone}:tat 9e15 p"])]
fn is_put_right_within_a_second(#[case] forgery: &[&str]) {
    on_a_serving_thread(|| async {
        let server = Server::start();
        let node = Node::start(Options {
            rates: Rates { product: Rate::per_second(10_000, 10_000), ..Rates::default() },
            ..options(&server.url(), PATIENT)
        });
        node.decide(1_000, 5, []);
        node.wait_up().await;
        assert_eq!(node.admit(1).await, Verdict::Go);
        until("the first level", || server.hint() == Some(4)).await;

        for command in forgery {
            server.run_command::<redis::Value>(&command.split(' ').collect::<Vec<_>>());
        }
        // Whoever comes now is at worst asked to try again, and Redis is not taken to be down.
        for n in 2..5 {
            node.admit(n).await;
        }
        assert!(node.gate.pending(&phone()) <= 5, "rule 1");
        let forged = Instant::now();
        node.decide(1_010, 3, 1..5);
        let right = || server.hint() == Some(3) && server.pending() == 0;
        until("hint = left", right).await;
        assert!(forged.elapsed() < HEALED_WITHIN, "{:?}", forged.elapsed());
        assert_eq!(node.admit(9).await, Verdict::Go);
        let counts = node.gate.counts();
        assert_eq!((counts.outages, counts.errors), (0, 0), "{counts:?}");
    });
}

#[test]
fn an_attempt_that_finds_no_unit_has_the_hint_put_right_at_once() {
    on_a_serving_thread(|| async {
        let server = Server::start();
        let node = Node::up(&server, PATIENT).await;
        node.decide(1, 5, []);
        until("the first level", || server.hint() == Some(5)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.run_command::<()>(&["SET", "product:{phone}:stock", "0"]);
        let forged = Instant::now();
        assert_eq!(node.admit(1).await, Verdict::Busy);
        until("the hint", || server.hint() == Some(5)).await;
        assert!(forged.elapsed() < Duration::from_millis(400), "{:?}", forged.elapsed());
    });
}

#[test]
fn a_node_behind_does_not_put_the_hint_back() {
    on_a_serving_thread(|| async {
        let server = Server::start();
        let ahead = Node::up(&server, PATIENT).await;
        let behind = Node::up(&server, PATIENT).await;
        ahead.decide(100, 3, []);
        behind.decide(90, 50, []);
        until("the first level", || server.hint() == Some(3)).await;
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(2_500) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(server.hint(), Some(3));
        }
    });
}
