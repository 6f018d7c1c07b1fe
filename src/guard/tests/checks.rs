//! Checks 2, 4 to 9: each one's refusals, and that the earlier one speaks.

use super::*;

#[test]
fn a_right_order_of_a_shopper_and_of_a_client_passes() {
    let mut world = World::new(&config());
    let by_shopper = world.order(&world.shopper("alice", "key-1")).unwrap();
    assert_eq!(by_shopper.caller_kind, CallerKind::Shopper);
    assert_eq!((by_shopper.product.as_str(), by_shopper.user.as_str()), ("phone", "alice"));
    let by_client = world.order(&world.client("alice", "key-1")).unwrap();
    assert_eq!(by_client.caller_kind, CallerKind::Client);
    // Rule 3: the same buyer, product and key is the same order, whoever sends it.
    assert_eq!(by_client.order_id, by_shopper.order_id);
    assert_eq!(by_client.buyer, by_shopper.buyer);
    let rate = by_client.rate.unwrap();
    assert_eq!((rate.policy, rate.quota, rate.window_seconds), ("buyer", 5, 1));
    assert_eq!((rate.remaining, rate.reset_seconds), (3, 1));
}

/// Check 9 of a product with a waiting room: no pass passes but one that admits to this very sale.
#[test]
fn nobody_walks_around_the_waiting_room() {
    let mut config = config();
    config.room.products = vec!["phone".to_owned()];
    let mut world = World::new(&config);
    let phone = "phone".parse().unwrap();
    let with = |admission: Option<&str>, world: &mut World| {
        let mut pass = Pass {
            user: "alice".parse().unwrap(),
            name_space: "shop".into(),
            issued_ms: NOW_MS,
            expires_ms: NOW_MS + 60_000,
            id: PassId([2; 16]),
            admission: None,
        };
        pass.admission = admission.map(|product| product.parse().unwrap());
        let (text, key) = world.guard.pass_keys.issue(&pass);
        let mut draft = world.shopper("alice", "key-1");
        draft.credentials[0].1 = format!("Bearer {text}");
        draft.secret = key.as_str().to_owned();
        world.wait_ms(1_000);
        world.refusal(&draft)
    };
    assert_eq!(with(None, &mut world), Some(Refusal::NotAdmitted(phone)));
    assert_eq!(with(Some("chair"), &mut world), Some(Refusal::NotAdmitted(phone)));
    assert_eq!(with(Some("phone"), &mut world), None);
    // A shop's backend is no shopper.
    assert!(world.order(&world.client("alice", "key-1")).is_ok());
    // Switched off, everybody may.
    world.guard.doors().set(phone, false);
    assert_eq!(with(None, &mut world), None);
}

/// The number of a check, and what makes a draft fail it.
type Fault = (u8, fn(&mut Draft));

/// One fault for each check, the earliest first.
const FAULTS: [Fault; 11] = [
    (2, |draft| draft.lines.push(("x-device-fingerprint", "bad".to_owned()))),
    (3, |draft| draft.peer = "198.51.100.1".parse().unwrap()),
    (4, |draft| draft.credentials[0].1 = "Bearer v1.e30.AAAA".to_owned()),
    (5, |draft| draft.time = Some((NOW_MS - 30_001).to_string())),
    (6, |draft| draft.signature = Some("00".repeat(32))),
    (7, |draft| draft.key = None),
    (8, |draft| draft.lines[0].1 = "text/plain".to_owned()),
    (8, |draft| draft.body = draft.body.replace('}', r#","x":1}"#)),
    (9, |draft| draft.body = draft.body.replace("tired", "bob")),
    (9, |draft| draft.body = draft.body.replace("tired", "mallory")),
    (10, |_| ()),
];

fn check_of(refusal: &Refusal) -> u8 {
    match refusal {
        Refusal::Blocked => 2,
        Refusal::TooManyRequests { .. } => 3,
        Refusal::Unauthenticated(_) => 4,
        Refusal::RequestExpired { .. } => 5,
        Refusal::InvalidSignature => 6,
        Refusal::MissingIdempotencyKey(_) => 7,
        Refusal::UnsupportedMediaType | Refusal::InvalidRequest(_) => 8,
        Refusal::Forbidden(_) | Refusal::NotAdmitted(_) => 9,
        Refusal::SlowDown { .. } => 10,
        Refusal::ChallengeRequired(_) | Refusal::ScoreRefused(_) => 11,
    }
}

/// A world where one address and one buyer are over their rates.
fn tired_world() -> World {
    let mut world = World::new(&config());
    let forged = world.shopper("alice", "k").with(|draft| {
        draft.peer = "198.51.100.1".parse().unwrap();
        draft.signature = Some(String::new());
    });
    assert_eq!((0..25).filter(|_| check_of(&world.refusal(&forged).unwrap()) == 6).count(), 20);
    let tired = world.shopper("tired", "k");
    assert_eq!((0..9).filter(|_| world.order(&tired).is_ok()).count(), 5);
    world
}

#[test]
fn a_request_that_is_wrong_in_two_ways_gets_the_earlier_refusal() {
    let mut world = tired_world();
    for (first, (check, fault)) in FAULTS.iter().enumerate() {
        for (second, (_, later_fault)) in FAULTS.iter().enumerate().skip(first) {
            let mut draft = world.shopper("tired", "k");
            // An address for each pair: check 3 is not what refuses here unless it is the fault.
            draft.peer = std::net::Ipv4Addr::new(203, 0, 113, (first * 11 + second) as u8).into();
            later_fault(&mut draft);
            fault(&mut draft);
            assert_eq!(check_of(&world.refusal(&draft).unwrap()), *check);
        }
    }
}

#[rstest]
#[case::address("192.0.2.200", &[])]
#[case::alias("::ffff:192.0.2.200", &[])]
#[case::fingerprint(PEER, &[("x-device-fingerprint", "bad")])]
fn check_2_blocked(#[case] peer: &str, #[case] lines: &[(&'static str, &str)]) {
    let mut world = World::new(&config());
    let draft = world.shopper("alice", "k").with(|draft| {
        draft.peer = peer.parse().unwrap();
        draft.lines.extend(lines.iter().map(|(name, value)| (*name, (*value).to_owned())));
    });
    let refused = world.order(&draft).unwrap_err();
    assert_eq!(refused, Refused { refusal: Refusal::Blocked, rate: None });
}

#[test]
fn check_2_looks_behind_trusted_proxies_and_an_untrusted_peer_spoofs_nothing() {
    let mut config = config();
    config.http.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    let mut world = World::new(&config);
    let behind = |peer: &str, hops: &str| {
        world.shopper("alice", "k").with(|draft| {
            draft.peer = peer.parse().unwrap();
            draft.lines.push(("x-forwarded-for", hops.to_owned()));
        })
    };
    let blocked = behind("10.0.0.1", "198.51.100.1, 192.0.2.200");
    let spoofing = behind("203.0.113.9", "192.0.2.200");
    let hiding = behind("192.0.2.200", "198.51.100.1");
    assert_eq!(world.refusal(&blocked), Some(Refusal::Blocked));
    assert_eq!(world.refusal(&spoofing), None);
    assert_eq!(world.refusal(&hiding), Some(Refusal::Blocked));
}

#[rstest]
#[case::nothing(&[])]
#[case::both(&[("authorization", "PASS"), ("x-api-key", "shop")])]
#[case::pass_twice(&[("authorization", "PASS"), ("authorization", "PASS")])]
#[case::client_twice(&[("x-api-key", "shop"), ("x-api-key", "shop")])]
#[case::unknown_client(&[("x-api-key", "nobody")])]
#[case::basic(&[("authorization", "Basic YTpi")])]
#[case::garbage(&[("authorization", "Bearer x")])]
#[case::not_ascii(&[("authorization", "Bearer ä")])]
fn check_4_nobody_known(#[case] lines: &[(&'static str, &str)]) {
    let mut world = World::new(&config());
    let good = world.shopper("alice", "k");
    let pass = good.credentials[0].1.clone();
    let draft = good.with(|draft| {
        let line = |(name, value): &(&'static str, &str)| (*name, value.replace("PASS", &pass));
        draft.credentials = lines.iter().map(line).collect();
    });
    assert_eq!(check_of(&world.refusal(&draft).unwrap()), 4);
}

#[test]
fn check_4_an_expired_pass_though_it_is_remembered() {
    let mut world = World::new(&config());
    let draft = world.shopper("alice", "k");
    assert!(world.order(&draft).is_ok());
    world.wait_ms(899_999);
    let fresh = |draft: &Draft, world: &World| {
        draft.clone().with(|draft| draft.time = Some(world.now.unix_ms.to_string()))
    };
    assert!(world.order(&fresh(&draft, &world)).is_ok());
    world.wait_ms(1);
    assert_eq!(check_of(&world.refusal(&fresh(&draft, &world)).unwrap()), 4);
}

#[test]
fn check_5_says_the_time_of_the_server() {
    let mut world = World::new(&config());
    let expired = Some(Refusal::RequestExpired { server_time_ms: NOW_MS });
    let times = [None, Some(""), Some("now"), Some("1799999969999"), Some("1800000030001")];
    for time in times {
        let draft =
            world.client("alice", "k").with(|draft| draft.time = time.map(ToOwned::to_owned));
        assert_eq!(world.refusal(&draft), expired, "{time:?}");
    }
    for time in ["1799999970000", "1800000030000"] {
        let draft = world.client("alice", "k").with(|draft| draft.time = Some(time.to_owned()));
        assert_eq!(world.refusal(&draft), None);
    }
}

#[test]
fn check_6_every_component_of_the_signed_string_changed_singly() {
    let mut world = World::new(&config());
    let changes: [fn(&mut Draft); 8] = [
        |draft| draft.method = Method::PUT,
        |draft| draft.target = "/order?".to_owned(),
        |draft| draft.target = "/order?x=1".to_owned(),
        |draft| draft.body = draft.body.replace("phone", "phone2"),
        |draft| draft.body.push(' '),
        |draft| draft.time = Some((NOW_MS + 1).to_string()),
        |draft| draft.key = Some("k2".to_owned()),
        |draft| draft.key = None,
    ];
    for change in changes {
        for draft in [world.shopper("alice", "k"), world.client("alice", "k")] {
            assert_eq!(world.refusal(&draft.clone().signed()), None);
            let changed = draft.signed().with(change);
            assert_eq!(world.refusal(&changed), Some(Refusal::InvalidSignature));
        }
        world.wait_ms(1_000);
        world.now.unix_ms = NOW_MS;
    }
}

#[test]
fn check_6_missing_repeated_cut_and_foreign_signatures() {
    let mut world = World::new(&config());
    let good = world.shopper("alice", "k");
    let right = good.signature();
    let foreign = good.clone().with(|draft| draft.secret = world.pass("bob").1).signature();
    let by_pass = good.clone().with(|draft| draft.secret = world.pass("alice").0).signature();
    let mut bad = vec![String::new(), right[..62].to_owned(), format!("{right}00"), "g".repeat(64)];
    bad.extend([foreign, by_pass, format!("0x{}", &right[2..])]);
    for signature in bad {
        let draft = good.clone().with(|draft| draft.signature = Some(signature));
        assert_eq!(world.refusal(&draft), Some(Refusal::InvalidSignature));
    }
    let twice = good.clone().with(|draft| draft.lines.push(("x-signature", right.clone())));
    assert_eq!(world.refusal(&twice), Some(Refusal::InvalidSignature));
    let capitals = good.with(|draft| draft.signature = Some(right.to_uppercase()));
    assert_eq!(world.refusal(&capitals), None);
}

#[test]
fn check_6_every_active_secret_of_a_client_signs_and_no_other() {
    let mut world = World::new(&config());
    let by =
        |secret: &str| world.client("alice", "k").with(|draft| draft.secret = secret.to_owned());
    let [first, second, old] = [by(CLIENT_SECRET), by(SECOND_SECRET), by("an-old-secret-00000000")];
    assert_eq!(world.refusal(&first), None);
    assert_eq!(world.refusal(&second), None);
    assert_eq!(world.refusal(&old), Some(Refusal::InvalidSignature));
}

#[test]
fn check_7_a_replay_under_a_fresh_key_is_no_signature_and_a_doubled_key_no_key() {
    let mut world = World::new(&config());
    let good = world.shopper("alice", "k").signed();
    let fresh = good.clone().with(|draft| draft.key = Some("fresh".to_owned()));
    assert_eq!(world.refusal(&fresh), Some(Refusal::InvalidSignature));
    for name in ["idempotency-key", "x-idempotency-key"] {
        for second in ["k", "other"] {
            // The first value is signed: x-idempotency-key comes before the standard name.
            let draft = world.shopper("alice", second).with(|draft| {
                draft.lines.push((name, "k".to_owned()));
                let signed = if name == "x-idempotency-key" { "k" } else { second };
                let as_signed = draft.clone().with(|draft| draft.key = Some(signed.to_owned()));
                draft.signature = Some(as_signed.signature());
            });
            assert_eq!(check_of(&world.refusal(&draft).unwrap()), 7);
        }
    }
    let quoted = world.shopper("alice", "k").with(|draft| {
        draft.signature = Some(draft.signature());
        draft.key = Some("\"k\"".to_owned());
    });
    assert_eq!(world.order(&quoted).unwrap().key.as_str(), "k");
}

#[test]
fn check_8_names_the_members_and_echoes_nothing() {
    let mut world = World::new(&config());
    let draft = world.shopper("alice", "k").with(|draft| {
        draft.body = r#"{"productId":"<script>","userId":7}"#.to_owned();
    });
    let Some(Refusal::InvalidRequest(details)) = world.refusal(&draft) else { panic!() };
    let fields: Vec<_> = details.iter().map(|error| error.field).collect();
    assert_eq!(fields, ["productId", "userId"]);
    assert!(!format!("{details:?}").contains("script"));
}

#[test]
fn check_9_another_user_a_blocked_user_and_a_client_without_the_role() {
    let mut world = World::new(&config());
    let other = world.shopper("alice", "k").with(|draft| {
        draft.body = draft.body.replace("alice", "bob");
    });
    let packer = world.client("alice", "k").with(|draft| {
        draft.credentials[0].1 = "packer".to_owned();
    });
    let cases = [
        (other, Forbidden::OtherUser),
        (world.shopper("mallory", "k"), Forbidden::UserBlocked),
        (world.client("mallory", "k"), Forbidden::UserBlocked),
        (packer, Forbidden::MissingRole(ClientRole::Order)),
    ];
    for (draft, expected) in cases {
        assert_eq!(world.refusal(&draft), Some(Refusal::Forbidden(expected)));
    }
}

#[test]
fn a_configuration_that_cannot_be_is_refused_without_its_secrets() {
    let mut config = config();
    config.clients[0].secrets = vec!["top-secret".into()];
    let identity = Arc::new(IdentityKeys::new(&[1; 32], &[2; 32]));
    let keys = || PassKeys::parse(PASS_KEYS).unwrap();
    let error = Guard::new(&config, identity.clone(), keys(), SEED).err().unwrap();
    assert_eq!(error.to_string(), "clients: a secret of API client shop has fewer than 16 bytes");
    config.clients.clear();
    config.blocks.users = vec!["Not A User".to_owned()];
    assert!(Guard::new(&config, identity, keys(), SEED).is_err());
}
