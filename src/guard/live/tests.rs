//! Live blocks and limits: looked up in all their forms, in force until their time, on guard and gate.

use proptest::prelude::*;

use super::*;
use crate::gate::MemoryGate;
use crate::guard::{PassKeys, blocks::Blocks};
use crate::keys::IdentityKeys;
use crate::sale::Record;
use crate::sale::control::{ControlChange, ControlRecord, REASON_BYTES_MAX};

const T0: u64 = 1_800_000_000_000;
const KEY: [u8; 16] = [5; 16];

/// The state that these changes come to.
fn state(changes: Vec<ControlChange>) -> Arc<ControlState> {
    let mut state = ControlState::default();
    for (offset, change) in (1..).zip(changes) {
        let operation = format!("op-{offset}").parse().unwrap();
        let record = ControlRecord { operation, by: "alice".parse().unwrap(), change };
        let outcome = state.apply(offset, T0, &Record::Control(Box::new(record)));
        assert_eq!(outcome.name(), "applied");
    }
    Arc::new(state)
}

fn blocked(target: BlockTarget, until_ms: Option<u64>) -> ControlChange {
    ControlChange::BlockSet { target, until_ms, reason: "r".repeat(REASON_BYTES_MAX) }
}

fn limited(limit: Limit, value: u32, burst: Option<u32>, until_ms: u64) -> ControlChange {
    ControlChange::LimitSet { limit, value, burst, until_ms, reason: "flood".to_owned() }
}

#[test]
fn addresses_fingerprints_and_users_are_found_and_nobody_else() {
    let key = BlockKey::new(KEY);
    let networks = ["192.0.2.0/24", "203.0.113.7/32", "2001:db8::/32", "::ffff:198.51.100.0/120"];
    let networks = networks.map(|network| key.network(network.parse().unwrap()));
    let mut targets = networks.to_vec();
    targets.extend([key.fingerprint(b"bad"), key.user(&"mallory".parse().unwrap())]);
    let control = state(targets.into_iter().map(|target| blocked(target, None)).collect());
    let blocks = LiveBlocks::new(&control, T0);
    let address = |ip: &str| blocks.address(&key, ip.parse::<IpAddr>().unwrap().to_canonical());
    for ip in ["192.0.2.0", "192.0.2.255", "203.0.113.7", "2001:db8:ffff::1", "::ffff:198.51.100.9"]
    {
        assert!(address(ip), "{ip}");
    }
    for ip in ["192.0.3.0", "203.0.113.8", "2001:db9::1", "198.51.101.9", "::1", "::c000:201"] {
        assert!(!address(ip), "{ip}");
    }
    assert!(blocks.fingerprint(&key, b"bad") && !blocks.fingerprint(&key, b"good"));
    assert!(blocks.user(&key, &"mallory".parse().unwrap()));
    assert!(!blocks.user(&key, &"bad".parse().unwrap()), "a fingerprint is no user");
    let text = serde_json::to_string(&*control).unwrap();
    for clear in ["192.0.2", "203.0.113", "2001:db8", "mallory", "\"bad\""] {
        assert!(!text.contains(clear), "rule 7: {clear} is in {text}");
    }
    let other_key = BlockKey::new([6; 16]);
    assert!(!blocks.address(&other_key, "192.0.2.1".parse().unwrap()));
}

proptest! {
    /// The oracle: a configured block of the same networks says the same of any address.
    #[test]
    fn live_blocks_agree_with_configured_ones(
        networks in prop::collection::vec((any::<bool>(), any::<u128>(), 0u8..=128), 0..6),
        flips in prop::collection::vec(0u8..128, 0..3),
        pick in any::<prop::sample::Index>(),
    ) {
        let net = |(v4, bits, length): &(bool, u128, u8)| -> IpNet {
            if *v4 {
                let ip = std::net::Ipv4Addr::from_bits((bits >> 96) as u32);
                ipnet::Ipv4Net::new(ip, length % 33).unwrap().into()
            } else {
                ipnet::Ipv6Net::new(std::net::Ipv6Addr::from_bits(*bits), *length).unwrap().into()
            }
        };
        let networks: Vec<IpNet> = networks.iter().map(net).collect();
        let key = BlockKey::new(KEY);
        let mut targets: Vec<_> = networks.iter().map(|network| key.network(*network)).collect();
        targets.sort();
        targets.dedup();
        let live = LiveBlocks::new(&state(targets.into_iter().map(|t| blocked(t, None)).collect()), T0);
        let addresses = networks.clone();
        let configured = Blocks::new(&config::Blocks { addresses, ..Default::default() }).unwrap();
        let near = if networks.is_empty() { "192.0.2.1".parse().unwrap() } else { pick.get(&networks).addr() };
        let near = match near.to_canonical() {
            IpAddr::V4(ip) => flips.iter().fold(ip.to_bits(), |bits, flip| bits ^ (1 << (flip % 32))).into_v4(),
            IpAddr::V6(ip) => IpAddr::from(std::net::Ipv6Addr::from_bits(
                flips.iter().fold(ip.to_bits(), |bits, flip| bits ^ (1 << flip)),
            )),
        };
        let near = near.to_canonical();
        prop_assert_eq!(live.address(&key, near), configured.address(near));
    }
}

trait IntoV4 {
    fn into_v4(self) -> IpAddr;
}

impl IntoV4 for u32 {
    fn into_v4(self) -> IpAddr {
        std::net::Ipv4Addr::from_bits(self).into()
    }
}

#[test]
fn a_live_limit_stands_in_the_place_of_the_configured_one_until_its_time() {
    let limits = config::Limits::default();
    let control = state(vec![
        limited(Limit::IpPerSecond, 2, Some(4), T0 + 1_000),
        limited(Limit::ProductPerSecond, 50, None, T0 + 2_000),
        limited(Limit::MinIntervalMs, 700, None, T0 + 2_000),
        limited(Limit::NodePerSecond, 9, None, T0 + 2_000),
    ]);
    let configured = Effective::configured(&limits);
    let at = |now_ms| Effective::new(&limits, &control, now_ms);
    let live = Effective {
        address: Rate::per_second(2, 4),
        product: Rate::per_second(50, 50),
        min_interval_ms: 700,
        node: Rate::per_second(9, 9),
        ..configured
    };
    assert_eq!(at(T0 + 999), live);
    assert_eq!(at(T0 + 1_000), Effective { address: configured.address, ..live });
    assert_eq!(at(T0 + 2_000), configured);
    assert_eq!(live.gate_rates().address, Rate::per_second(32, 64));
}

#[test]
fn guard_and_gate_follow_at_once_and_let_go_at_the_end() {
    let config = config::Config::default();
    let identity = Arc::new(IdentityKeys::new(&[1; 32], &[2; 32]));
    let pass_keys = PassKeys::parse("k1:0123456789abcdef0123456789abcdef").unwrap();
    let guard = Arc::new(Guard::new(&config, identity, pass_keys, KEY).unwrap());
    let gate = Gate::Memory(Arc::new(MemoryGate::new(None)));
    let live = LiveControls::new(guard.clone(), gate, config.limits.clone());
    // A second order of the same buyer at once is one too many only while the live limit holds.
    let user = std::cell::Cell::new(0u8);
    let limited = || {
        user.set(user.get() + 1);
        let buyer = crate::sale::BuyerRef::from_bytes([user.get(); 16]);
        (0..2).any(|_| guard.limits.buyer(&buyer, 1_000_000).is_err())
    };
    let ip: IpAddr = "203.0.113.7".parse().unwrap();
    let target = guard.block_key().network("203.0.113.0/24".parse().unwrap());
    assert!(!guard.is_blocked(ip, None));
    live.take(
        &state(vec![
            blocked(target, Some(T0 + 500)),
            blocked(guard.block_key().fingerprint(b"bot"), None),
            super::tests::limited(Limit::BuyerPerSecond, 1, None, T0 + 900),
        ]),
        T0,
    );
    assert!(guard.is_blocked(ip, None));
    assert!(guard.is_blocked("192.0.2.1".parse().unwrap(), Some(b"bot")));
    assert!(limited());
    live.tick(T0 + 499);
    assert!(guard.is_blocked(ip, None));
    live.tick(T0 + 500);
    assert!(!guard.is_blocked(ip, None), "it has ended");
    assert!(guard.is_blocked(ip, Some(b"bot")), "without an end it stays");
    assert!(limited());
    live.tick(T0 + 900);
    assert!(!limited(), "the configured five hold again");
    // A new state in which a block was lifted.
    live.take(&state(vec![blocked(target, None)]), T0);
    assert!(
        guard.is_blocked(ip, None) && !guard.is_blocked("192.0.2.1".parse().unwrap(), Some(b"bot"))
    );
    live.take(&state(Vec::new()), T0);
    assert!(!guard.is_blocked(ip, None));
}
