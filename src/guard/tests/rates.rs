//! Checks 3 and 10: who is charged, who is refunded, and the least time between two orders.

use super::*;

fn unsigned(world: &World, peer: &str) -> Draft {
    world.shopper("alice", "k").with(|draft| {
        draft.peer = peer.parse().unwrap();
        draft.signature = Some(String::new());
    })
}

/// How many of `n` requests pass the door.
fn entered(world: &mut World, draft: &Draft, n: usize) -> usize {
    let over = |refusal| matches!(refusal, Some(Refusal::TooManyRequests { .. }));
    (0..n).filter(|_| !over(world.refusal(draft))).count()
}

#[test]
fn check_3_a_burst_of_an_address_and_then_one_an_interval() {
    let mut world = World::new(&config());
    let draft = unsigned(&world, PEER);
    assert_eq!(entered(&mut world, &draft, 30), 20);
    let refused = world.order(&draft).unwrap_err();
    assert_eq!(refused.refusal, Refusal::TooManyRequests { retry_after_ms: 100 });
    let rate = refused.rate.unwrap();
    assert_eq!((rate.policy, rate.quota, rate.window_seconds), ("address", 20, 2));
    assert_eq!((rate.remaining, rate.reset_seconds), (0, 1));
    world.now.monotonic_us += 99_999;
    assert_eq!(entered(&mut world, &draft, 1), 0);
    world.now.monotonic_us += 1;
    assert_eq!(entered(&mut world, &draft, 2), 1);
    // Another address has its own rate; an alias of the same one has not.
    let (other, alias) = (unsigned(&world, "203.0.113.8"), unsigned(&world, "::ffff:203.0.113.7"));
    assert_eq!(entered(&mut world, &other, 1), 1);
    assert_eq!(entered(&mut world, &alias, 1), 0);
}

#[test]
fn check_3_a_spoofed_header_of_an_untrusted_peer_buys_nothing() {
    let mut world = World::new(&config());
    let passed = (0..100).filter(|n| {
        let draft = unsigned(&world, PEER).with(|draft| {
            draft.lines.push(("x-forwarded-for", format!("198.51.100.{n}")));
        });
        entered(&mut world, &draft, 1) == 1
    });
    assert_eq!(passed.count(), 20);
}

#[test]
fn check_3_addresses_of_one_ipv6_network_share_its_rate() {
    let mut world = World::new(&config());
    // A /64 is one address; a /56 is 4 times one, a /48 16 times.
    let mut passed = |addresses: Vec<String>| {
        world.now.monotonic_us += 60_000_000;
        let pass = |address: &String| {
            let entered =
                world.guard.limits.enter(address.parse().unwrap(), None, world.now.monotonic_us);
            entered.is_ok()
        };
        addresses.iter().filter(|address| pass(address)).count()
    };
    assert_eq!(passed((0..100).map(|n| format!("2001:db8:1:1::{n:x}")).collect()), 20);
    assert_eq!(passed((0..256).map(|n| format!("2001:db8:2:1{n:02x}::1")).collect()), 80);
    assert_eq!(passed((0..0x1_0000).map(|n| format!("2001:db8:3:{n:x}::1")).collect()), 320);
    let networks = |n: u32| format!("2001:db8:{n:x}::1");
    assert_eq!(passed((0x100..0x200).map(networks).collect()), 256);
}

#[test]
fn check_3_whoever_one_rate_refuses_is_charged_to_none() {
    let mut config = config();
    config.limits.node_per_second = 30;
    config.limits.fingerprint_per_second = 5;
    let mut world = World::new(&config);
    let with_print = unsigned(&world, PEER).with(|draft| {
        draft.lines.push(("x-device-fingerprint", "phone-1".to_owned()));
    });
    assert_eq!(entered(&mut world, &with_print, 100), 5);
    let plain = unsigned(&world, PEER);
    assert_eq!(entered(&mut world, &plain, 100), 15);
    // The node had 20 of 30; 80 refused ones took nothing from it.
    let other = unsigned(&world, "203.0.113.8");
    assert_eq!(entered(&mut world, &other, 100), 10);
    let refused = world.order(&other).unwrap_err();
    assert_eq!(refused.rate.unwrap().policy, "node");
    // Refused by the node, the other address still has its other 10.
    world.now.monotonic_us += 12 * 33_334;
    assert_eq!(entered(&mut world, &other, 100), 12);
}

#[test]
fn a_long_fingerprint_is_a_fingerprint_too() {
    let mut config = config();
    config.limits.fingerprint_per_second = 5;
    let mut world = World::new(&config);
    let with_print = |world: &World, print: String| {
        unsigned(world, PEER).with(|draft| draft.lines.push(("x-device-fingerprint", print)))
    };
    let long = with_print(&world, "f".repeat(5_000));
    assert_eq!(entered(&mut world, &long, 10), 5);
    let longer = with_print(&world, "f".repeat(5_001));
    assert_eq!(entered(&mut world, &longer, 10), 5);
}

#[test]
fn people_behind_one_address_do_not_lock_each_other_out() {
    let mut world = World::new(&config());
    let passed = (0..500).filter(|n| {
        let draft = world.shopper(&format!("user-{n}"), "k");
        world.order(&draft).is_ok()
    });
    assert_eq!(passed.count(), 500);
    // Forged requests from the same address are charged to it, and meanwhile nobody else's pass.
    let forged = unsigned(&world, PEER);
    assert_eq!(entered(&mut world, &forged, 100), 20);
    let honest = world.shopper("late", "k");
    assert!(matches!(world.refusal(&honest), Some(Refusal::TooManyRequests { .. })));
    world.wait_ms(100);
    assert_eq!(world.refusal(&honest), None);
    assert_eq!(world.refusal(&world.shopper("later", "k")), None);
}

#[test]
fn check_10_another_key_within_100_ms_is_too_soon_and_the_same_key_is_not() {
    let mut world = World::new(&config());
    let at = |world: &World, key: &str| world.shopper("alice", key);
    assert_eq!(world.refusal(&at(&world, "a")), None);
    assert_eq!(world.refusal(&at(&world, "a")), None);
    let soon = world.order(&at(&world, "b")).unwrap_err();
    assert_eq!(soon, Refused { refusal: Refusal::SlowDown { retry_after_ms: 100 }, rate: None });
    world.wait_ms(99);
    let soon = Some(Refusal::SlowDown { retry_after_ms: 1 });
    assert_eq!(world.refusal(&at(&world, "b")), soon);
    // A client's request for the same buyer is the same buyer's.
    assert_eq!(world.refusal(&world.client("alice", "c")), soon);
    assert_eq!(world.refusal(&at(&world, "a")), None);
    world.wait_ms(99);
    assert_eq!(world.refusal(&at(&world, "b")), soon);
    world.wait_ms(1);
    assert_eq!(world.refusal(&at(&world, "b")), None);
    assert_eq!(world.refusal(&world.shopper("bob", "b")), None);
}

#[test]
fn check_10_a_buyer_has_a_rate_whatever_the_key_and_address() {
    let mut world = World::new(&config());
    let mut passed = 0;
    for n in 0..50 {
        let draft = world.shopper("alice", "same").with(|draft| {
            draft.peer = format!("203.0.113.{n}").parse().unwrap();
        });
        passed += usize::from(world.order(&draft).is_ok());
    }
    assert_eq!(passed, 5);
    let refused = world.order(&world.shopper("alice", "same")).unwrap_err();
    assert_eq!(refused.refusal, Refusal::SlowDown { retry_after_ms: 200 });
    assert_eq!(refused.rate.unwrap().policy, "buyer");
}

#[test]
fn check_10_an_api_client_has_a_rate_over_all_its_users() {
    let mut config = config();
    config.limits.client_per_second = 10;
    let mut world = World::new(&config);
    let passed = (0..50).filter(|n| {
        let draft = world.client(&format!("user-{n}"), "k");
        world.order(&draft).is_ok()
    });
    assert_eq!(passed.count(), 10);
    let refused = world.order(&world.client("user-60", "k")).unwrap_err();
    assert_eq!(refused.rate.unwrap().policy, "client");
}

#[test]
fn a_signed_request_that_checks_7_to_9_refuse_counts_against_its_signer() {
    let mut world = World::new(&config());
    let bad = world.shopper("alice", "k").with(|draft| draft.body = "{}".to_owned());
    for _ in 0..50 {
        let refused = world.order(&bad).unwrap_err();
        assert!(matches!(refused.refusal, Refusal::InvalidRequest(_)));
        assert_eq!(refused.rate.unwrap().policy, "buyer");
    }
    let good = world.shopper("alice", "k");
    assert!(matches!(world.refusal(&good), Some(Refusal::SlowDown { .. })));
    assert_eq!(world.refusal(&world.shopper("bob", "k")), None);
}

#[test]
fn other_calls_count_against_their_caller_and_open_ones_against_their_address() {
    let mut world = World::new(&config());
    let look_up = |world: &World, user: &str| {
        world.shopper(user, "").with(|draft| {
            (draft.method, draft.target) = (Method::GET, "/orders/x?full=1".to_owned());
            (draft.key, draft.body) = (None, String::new());
        })
    };
    let alice = world.guard.identity.buyer("shop", &"alice".parse().unwrap());
    let mut passed = 0;
    for _ in 0..50 {
        match world.caller(&look_up(&world, "alice")) {
            Ok(Caller::Shopper { buyer, .. }) if buyer == alice => passed += 1,
            other => assert!(matches!(other.unwrap_err().refusal, Refusal::SlowDown { .. })),
        }
    }
    assert_eq!(passed, 5);
    let changed = look_up(&world, "bob").signed().with(|draft| draft.target.push('1'));
    assert_eq!(world.caller(&changed).unwrap_err().refusal, Refusal::InvalidSignature);
    let packer = look_up(&world, "alice").with(|draft| {
        draft.credentials = vec![("x-api-key", "packer".to_owned())];
        draft.secret = CLIENT_SECRET.to_owned();
    });
    let Ok(Caller::Client { id, roles, rate }) = world.caller(&packer) else { panic!() };
    assert_eq!((&*id, rate.unwrap().remaining), ("packer", 4_999));
    assert!(roles.has(ClientRole::Fulfilment) && !roles.has(ClientRole::Order));

    let sent = unsigned(&world, "203.0.113.50").send();
    let open = |world: &World| world.guard.anyone(&sent.request(), world.now);
    assert_eq!((0..30).filter(|_| open(&world).is_ok()).count(), 20);
}

#[test]
fn limits_that_are_off_refuse_nobody_and_have_no_status() {
    let mut config = config();
    let limits = &mut config.limits;
    (limits.ip_per_second, limits.fingerprint_per_second) = (0, 0);
    (limits.buyer_per_second, limits.client_per_second, limits.min_interval_ms) = (0, 0, 0);
    let mut world = World::new(&config);
    for n in 0..200 {
        for draft in [world.shopper("alice", &n.to_string()), world.client("alice", "k")] {
            assert_eq!(world.order(&draft).unwrap().rate, None);
        }
    }
    config.limits.min_interval_ms = 100;
    let mut world = World::new(&config);
    assert_eq!(world.refusal(&world.shopper("alice", "a")), None);
    let soon = Some(Refusal::SlowDown { retry_after_ms: 100 });
    assert_eq!(world.refusal(&world.shopper("alice", "b")), soon);
}
