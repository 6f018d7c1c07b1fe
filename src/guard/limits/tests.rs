//! Rates under floods and under threads.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::config;

fn limits(tracked_keys_max: usize) -> Limits {
    let config = config::Limits { node_per_second: 0, ..Default::default() };
    Limits::new(&Effective::configured(&config), tracked_keys_max, KeyedHash::new([9; 16]))
}

fn bytes(limits: &Limits) -> usize {
    let tables = [&limits.addresses, &limits.networks, &limits.fingerprints, &limits.buyers];
    tables.map(Table::bytes).iter().sum()
}

#[test]
fn random_addresses_fingerprints_and_buyers_take_no_more_memory_and_a_heavy_one_stays_limited() {
    let limits = limits(50_000);
    let before = bytes(&limits);
    let heavy = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
    let (mut passed, mut random) = (0u32, 1u128);
    for n in 0..200_000u64 {
        // A linear congruential generator: as random as a table needs, the same in every run.
        random = random.wrapping_mul(0xda94_2042_e4dd_58b5).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let now_us = n * 50;
        let fingerprint = random.to_be_bytes();
        _ = limits.enter(
            Ipv6Addr::from_bits(random.rotate_left(64)).into(),
            Some(&fingerprint),
            now_us,
        );
        let buyer = BuyerRef::from_bytes(random.rotate_left(32).to_be_bytes());
        _ = limits.order(&buyer, &"k".parse().unwrap(), now_us);
        if n % 200 == 0 {
            passed += u32::from(limits.enter(heavy, None, now_us).is_ok());
        }
    }
    // In 10 s: the burst of 20 and 10 a second after it.
    assert!((118..=121).contains(&passed), "{passed}");
    assert_eq!(bytes(&limits), before);
}

#[test]
fn threads_share_a_rate_exactly() {
    let limits = limits(1_000);
    let node = Some(Rate { interval_us: 1_000_000, burst: 150 });
    limits.set(&Effective { node, ..Effective::configured(&config::Limits::default()) });
    let passed = |address: fn(usize) -> u8| -> usize {
        std::thread::scope(|scope| {
            let enter = |thread| {
                let ip = Ipv4Addr::new(203, 0, 113, address(thread)).into();
                (0..200).filter(|_| limits.enter(ip, None, 1_000_000).is_ok()).count()
            };
            let threads: Vec<_> = (0..8).map(|thread| scope.spawn(move || enter(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        })
    };
    // One address: its burst of 20. Eight more: what is left of the node's.
    assert_eq!(passed(|_| 1), 20);
    assert_eq!(passed(|thread| thread as u8 + 2), 130);
}

#[test]
fn a_refund_is_exact() {
    let limits = limits(1_000);
    for ip in ["203.0.113.7", "2001:db8::1"] {
        let ip = ip.parse().unwrap();
        for _ in 0..1_000 {
            let entered = limits.enter(ip, None, 1_000_000).ok().unwrap();
            assert_eq!(entered.status.unwrap().remaining, 19);
            limits.refund(&entered);
        }
        assert_eq!((0..50).filter(|_| limits.enter(ip, None, 1_000_000).is_ok()).count(), 20);
    }
}

#[test]
fn another_rate_fills_no_bucket_and_gives_back_what_was_charged() {
    let limits = limits(1_000);
    let at = |per_second, burst| Effective {
        address: Rate::per_second(per_second, burst),
        node: Rate::per_second(1_000, 1_000),
        ..Effective::configured(&config::Limits::default())
    };
    let ip = "203.0.113.7".parse().unwrap();
    let passed = |now_us| (0..100).filter(|_| limits.enter(ip, None, now_us).is_ok()).count();
    assert_eq!(passed(1_000_000), 20);
    // Tighter, looser, off and on again at the same moment: it is empty all the same. (What is owed is time:
    // where the new burst is worth more time, just the difference is free.)
    for (per_second, burst) in [(2, 2), (100, 5), (1, 1), (10, 20)] {
        limits.set(&at(per_second, burst));
        assert_eq!(passed(1_000_000), 0, "{per_second} a second, {burst} at once");
    }
    limits.set(&at(0, 1));
    assert_eq!(passed(1_000_000), 100);
    limits.set(&at(10, 20));
    assert_eq!(passed(1_000_000), 0);
    assert_eq!(passed(1_100_000), 1);

    // What was charged under one rate is given back under it.
    let other = "203.0.113.8".parse().unwrap();
    let entered = limits.enter(other, None, 1_100_000).ok().unwrap();
    let second = limits.enter(other, None, 1_100_000).ok().unwrap();
    limits.set(&at(1, 20));
    limits.refund(&entered);
    limits.set(&at(10, 20));
    let status = limits.enter(other, None, 1_100_000).ok().unwrap().status.unwrap();
    assert_eq!(status.remaining, 18, "the second one stays charged");
    limits.refund(&second);
}

#[test]
fn an_empty_fingerprint_is_none_and_charged_as_none() {
    let limits = limits(1_000);
    for n in 0..200 {
        let ip = Ipv4Addr::new(203, 0, 113, n).into();
        let entered = limits.enter(ip, Some(b""), 1_000_000);
        let entered = entered.unwrap_or_else(|over| panic!("address {n} is {over:?}"));
        assert_eq!((entered.place.fingerprint, entered.origin.fingerprint), (None, None));
    }
}
