//! A clock that is set forward and back while the sale runs, and between two runs.

use std::path::Path;
use std::time::Duration;

use flux_gate::app::{self, Running};
use flux_gate::clock::Clock;
use flux_gate::config::{ApiClient, ClientRole, Config};
use secrecy::SecretString;

use super::Shop;
use crate::support::draft::Draft;
use crate::support::server::ADMIN_TOKEN;

const HOUR_MS: i64 = 3_600_000;

fn start(store: &Path, clock: &Clock) -> (Running, Shop) {
    let mut config = Config::default();
    config.http.listen.set_port(0);
    config.admin.listen.set_port(0);
    config.http.drain_delay_ms = 0;
    config.data.dir = store.to_owned();
    config.limits.ip_per_second = 0;
    config.admin.token = Some(ADMIN_TOKEN.into());
    config.secrets.order_key = Some("order-key-0123456789abcdef0123456789abcdef".into());
    config.secrets.buyer_key = Some("buyer-key-0123456789abcdef0123456789abcdef".into());
    config.secrets.pass_keys = Some("1:pass-key-0123456789abcdef0123456789abcdef".into());
    config.clients = vec![ApiClient {
        id: "shop".to_owned(),
        secrets: vec![SecretString::from("shop-secret-0123456789abcdef")],
        roles: vec![ClientRole::Order, ClientRole::Session, ClientRole::Fulfilment],
        name_space: "shop".to_owned(),
    }];
    let running = app::start(config, clock.clone()).unwrap();
    let shop = Shop::at(running.public_address(), running.operator_address(), clock.clone());
    (running, shop)
}

/// Orders; while the log catches up with a clock that was just set, 503 is an answer.
fn accepted(shop: &Shop, user: &str) -> String {
    const TRIES: usize = 200;
    for _ in 0..TRIES {
        let answer = shop.order(user).unwrap();
        if answer.word() == "success" {
            return answer.member("orderId");
        }
        assert_eq!(answer.status, 503, "{user}: {}", answer.text());
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{user} is not served after the clock was set");
}

#[test]
fn the_clock_set_forward_and_back_breaks_no_rule_and_stops_no_sale() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::settable();
    let (running, shop) = start(directory.path(), &clock);
    shop.open(100);
    let mut ids = vec![accepted(&shop, "a")];

    // A request that was signed before the clock was set is refused, with the time to sign by.
    let before = shop.sign(Draft::order("p", "b", "key-of-b"));
    clock.shift_wall_ms(HOUR_MS);
    let late = shop.send(&before).unwrap().unwrap();
    assert_eq!(late.word(), "request_expired", "{}", late.text());
    let server_time_ms = late.json()["serverTime"].as_u64().unwrap();
    assert!(server_time_ms.abs_diff(clock.unix_ms()) < 10_000);
    ids.push(accepted(&shop, "b"));

    for (user, shift_ms) in [("c", -HOUR_MS), ("d", 0), ("e", 24 * HOUR_MS), ("f", -24 * HOUR_MS)] {
        clock.shift_wall_ms(shift_ms);
        ids.push(accepted(&shop, user));
        // Rule 1: who has an order has it by any clock.
        let second = shop.sign(Draft::order("p", "a", &format!("another-{user}")));
        let answer = shop.send(&second).unwrap().unwrap();
        assert!(
            ["ignored", "limit_reached", "slow_down"].contains(&answer.word().as_str()),
            "rule 1: {user}: {}",
            answer.text()
        );
        // Rule 3: the same attempt is the same order by any clock.
        let again = shop.order("a").unwrap();
        assert_eq!(again.member("orderId"), ids[0], "rule 3: {user}: {}", again.text());
    }
    shop.has_all(&ids);
    in_order(&shop);
    running.stop();

    // The clock was set back between two runs.
    clock.shift_wall_ms(-48 * HOUR_MS);
    let (running, shop) = start(directory.path(), &clock);
    ids.push(accepted(&shop, "g"));
    shop.has_all(&ids);
    in_order(&shop);
    assert_eq!(shop.sold(), ids.len() as u64);
    running.stop();
}

#[test]
fn a_pass_expires_by_the_clock_that_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::settable();
    let (running, shop) = start(directory.path(), &clock);
    shop.open(100);
    let session = Draft::new("POST", "/session", r#"{"userId":"s"}"#);
    let opened = shop.send(&shop.sign(session)).unwrap().unwrap();
    let signer = crate::support::draft::Signer::Shopper {
        pass: opened.member("pass"),
        session_key: opened.member("sessionKey"),
    };
    let order = |key: &str| {
        let draft = Draft::order("p", "s", key).sign(&signer, clock.unix_ms());
        shop.send(&draft).unwrap().unwrap().word()
    };
    clock.shift_wall_ms(HOUR_MS);
    assert_eq!(order("k1"), "unauthorized");
    clock.shift_wall_ms(0);
    assert_eq!(order("k2"), "success");
    running.stop();
}

/// Log time never goes back, whatever the clock does.
fn in_order(shop: &Shop) {
    let times: Vec<u64> = shop.ledger().iter().map(|(_, at_ms)| *at_ms).collect();
    assert!(times.is_sorted(), "{times:?}");
}
