//! Check 11 within the guard: when it speaks, what lifts it, and that it comes last.

use super::*;
use crate::guard::challenge::tests::{sent, solve};
use crate::guard::challenge::{Fault, SOLUTION_BYTES_MAX};
use crate::guard::score::Reason;
use crate::sale::ControlState;
use crate::sale::control::{ControlChange, ControlRecord};
use crate::sale::record::Record;

const BROWSER: [(&str, &str); 3] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept-language", "de,en;q=0.7"),
    ("accept", "*/*"),
];

/// With thresholds that a plain script is between.
fn strict() -> Config {
    let mut config = config();
    config.score.challenge_above = 20;
    config.score.refuse_above = 60;
    config.limits.buyer_per_second = 0;
    config.limits.min_interval_ms = 0;
    config
}

impl World {
    /// A script's order: no header that a browser sends. 30 points.
    fn script(&self, user: &str, key: &str) -> Draft {
        self.shopper(user, key)
    }

    fn browser(&self, user: &str, key: &str) -> Draft {
        let lines = BROWSER.map(|(name, value)| (name, value.to_owned()));
        self.shopper(user, key).with(|draft| {
            draft.lines.extend(lines);
            draft.lines.push(("x-device-fingerprint", format!("device-of-{user}")));
        })
    }

    /// The challenge that an order is asked.
    fn asked(&mut self, draft: &Draft) -> Asked {
        match self.refusal(draft) {
            Some(Refusal::ChallengeRequired(asked)) => *asked,
            other => panic!("{other:?}"),
        }
    }

    fn solved(&mut self, draft: &Draft) -> Draft {
        let asked = self.asked(draft);
        with_solution(draft, &sent(&solve(&asked.challenge.unwrap())))
    }

    fn control(&mut self, changes: Vec<ControlChange>) {
        let mut control = ControlState::default();
        for (n, change) in changes.into_iter().enumerate() {
            let (operation, by) = (format!("op-{n}").parse().unwrap(), "ann".parse().unwrap());
            let record = Record::Control(Box::new(ControlRecord { operation, by, change }));
            control.apply(n as u64 + 1, self.now.unix_ms, &record);
        }
        let effective = Effective::configured(&strict().limits);
        let allows = LiveAllows::new(&control, self.now.unix_ms);
        self.guard.set_live(&effective, LiveBlocks::default(), allows);
    }
}

fn with_solution(draft: &Draft, solution: &str) -> Draft {
    draft.clone().with(|draft| {
        draft.lines.retain(|(name, _)| *name != "x-challenge");
        draft.lines.push(("x-challenge", solution.to_owned()));
    })
}

#[test]
fn a_browser_passes_a_script_is_challenged_and_passes_when_it_has_solved() {
    let mut world = World::new(&strict());
    let passed = world.order(&world.browser("alice", "k-1")).unwrap();
    assert_eq!((passed.scored.score.points, passed.scored.proof), (0, Proof::NotAsked));
    let script = world.script("bob", "k-1");
    let asked = world.asked(&script);
    assert_eq!((asked.score.points, asked.fault), (30, Fault::Absent));
    assert!(asked.score.reasons.has(Reason::NoUserAgent));
    let solved = world.solved(&script);
    let passed = world.order(&solved).unwrap();
    assert_eq!((passed.scored.score.points, passed.scored.proof), (30, Proof::Solved));
    // A retry is the same attempt, of which there is one order at most.
    assert_eq!(world.order(&solved).unwrap().order_id, passed.order_id);
    // An API client is a script by trade.
    let client = world.order(&world.client("bob", "k-1")).unwrap();
    assert_eq!(client.scored, Scored::default());
}

#[test]
fn by_default_a_plain_script_passes() {
    let mut world = World::new(&config());
    // Whether its page was used is not looked at where it cannot matter.
    assert_eq!(world.order(&world.script("bob", "k")).unwrap().scored.score.points, 25);
}

#[test]
fn a_solution_is_good_for_its_own_attempt_until_its_time() {
    let mut world = World::new(&strict());
    let script = world.script("bob", "k-1");
    let solved = world.solved(&script);
    let solution = solved.lines.last().unwrap().1.clone();
    let fault =
        |world: &mut World, draft: Draft| world.asked(&with_solution(&draft, &solution)).fault;
    let other_key = world.script("bob", "k-2");
    let other_user = world.script("eve", "k-1");
    let other_product =
        world.script("bob", "k-1").with(|draft| draft.body = draft.body.replace("phone", "shoe"));
    for draft in [other_key, other_user, other_product] {
        assert_eq!(fault(&mut world, draft), Fault::OtherAttempt);
    }
    let twice = solved.clone().with(|draft| draft.lines.push(("x-challenge", solution.clone())));
    assert_eq!(world.asked(&twice).fault, Fault::Malformed);
    world.wait_ms(119_000);
    let in_time = world.script("bob", "k-1");
    assert!(world.order(&with_solution(&in_time, &solution)).is_ok());
    world.wait_ms(1_000);
    let late = world.script("bob", "k-1");
    assert_eq!(fault(&mut world, late), Fault::Expired);
}

#[test]
fn a_solution_of_another_guards_key_is_forged() {
    let mut world = World::new(&strict());
    let script = world.script("bob", "k-1");
    let solution = world.solved(&script).lines.last().unwrap().1.clone();
    let identity = Arc::new(IdentityKeys::new(&[9; 32], &[2; 32]));
    let keys = PassKeys::parse(PASS_KEYS).unwrap();
    world.guard = Guard::new(&strict(), identity, keys, SEED).unwrap();
    world.cache = world.guard.cache();
    assert_eq!(world.asked(&with_solution(&script, &solution)).fault, Fault::Forged);
}

#[test]
fn bad_solutions_count_against_their_user_until_they_are_refused() {
    let mut world = World::new(&strict());
    let bad = with_solution(&world.script("bob", "k-1"), "e30=");
    for n in 0..3 {
        let asked = world.asked(&bad);
        assert_eq!((asked.fault, asked.score.points), (Fault::Malformed, 30), "{n}");
    }
    assert_eq!(world.asked(&bad).score.points, 45);
    let absent = world.asked(&world.script("eve", "k-1"));
    assert_eq!(absent.score.points, 30, "and against nobody else");
}

#[test]
fn a_solution_that_is_too_long_is_not_looked_at() {
    let mut world = World::new(&strict());
    for (bytes, fault) in
        [(SOLUTION_BYTES_MAX, Fault::Malformed), (SOLUTION_BYTES_MAX + 1, Fault::Malformed)]
    {
        let draft = with_solution(&world.script("bob", "k-1"), &"A".repeat(bytes));
        assert_eq!(world.asked(&draft).fault, fault);
    }
}

#[test]
fn above_the_upper_threshold_no_solution_helps() {
    let mut config = strict();
    config.score.refuse_above = 25;
    let mut world = World::new(&config);
    let refused = world.refusal(&world.script("bob", "k-1"));
    let Some(Refusal::ScoreRefused(score)) = refused else { panic!("{refused:?}") };
    assert_eq!(score.points, 30);
}

#[test]
fn it_comes_last_and_costs_no_earlier_refusal_its_word() {
    let mut world = World::new(&strict());
    let slow = Config { score: strict().score, ..config() };
    let mut tired = World::new(&slow);
    for _ in 0..5 {
        let _ = tired.order(&tired.script("bob", "k-1"));
    }
    let sixth = tired.refusal(&tired.script("bob", "k-1"));
    assert!(matches!(sixth, Some(Refusal::SlowDown { .. })), "{sixth:?}");
    let forged = world.script("bob", "k").with(|draft| draft.signature = Some("00".repeat(32)));
    assert_eq!(world.refusal(&forged), Some(Refusal::InvalidSignature));
}

/// A farm of users behind one address; each with its own fingerprint, with one for all, with none.
#[test]
fn a_farm_on_one_address_is_found_whatever_its_fingerprints() {
    for fingerprint in
        [|n: usize| Some(format!("device-{n}")), |_| Some("one".to_owned()), |_| None]
    {
        let mut config = config();
        (config.score.challenge_above, config.score.refuse_above) = (50, 100);
        let mut world = World::new(&config);
        let mut asked = 0;
        for n in 0..200 {
            let draft = world.browser(&format!("bot-{n}"), "k").with(|draft| {
                draft.lines.retain(|(name, _)| *name != "x-device-fingerprint");
                let fingerprint = fingerprint(n).map(|text| ("x-device-fingerprint", text));
                draft.lines.extend(fingerprint);
            });
            world.wait_ms(200);
            asked += usize::from(world.order(&draft).is_err());
        }
        assert!(asked >= 10, "{:?}: {asked}", fingerprint(1));
        // Those elsewhere notice nothing of it.
        let elsewhere =
            world.browser("alice", "k").with(|d| d.peer = "198.51.100.9".parse().unwrap());
        assert!(world.order(&elsewhere).is_ok());
        // By way of this machine itself, an address says nothing.
        let here = world.browser("carol", "k").with(|d| d.peer = "127.0.0.1".parse().unwrap());
        assert!(world.order(&here).is_ok());
    }
}

/// Whoever comes by way of something on this machine has its address: it says nothing of who they are.
#[test]
fn a_crowd_by_way_of_this_machine_is_no_farm() {
    for peer in ["127.0.0.1", "::1", "127.1.2.3"] {
        let mut config = config();
        (config.score.challenge_above, config.score.refuse_above) = (50, 100);
        let mut world = World::new(&config);
        for n in 0..200 {
            let draft = world.browser(&format!("user-{n}"), "k");
            let draft = draft.with(|draft| draft.peer = peer.parse().unwrap());
            world.wait_ms(200);
            assert!(world.order(&draft).is_ok(), "{peer} {n}");
        }
    }
}

#[test]
fn an_operator_excuses_a_user_an_address_and_what_a_fingerprint_is_blamed_for() {
    let mut config = strict();
    config.score.refuse_above = 1_000;
    let mut world = World::new(&config);
    let until_ms = world.now.unix_ms + 3_600_000;
    let allow = |target| ControlChange::AllowSet { target, until_ms, reason: "false".to_owned() };
    let script = world.script("bob", "k-1");
    assert_eq!(world.asked(&script).score.points, 30);
    let user = world.guard.block_key().user(&"bob".parse().unwrap());
    world.control(vec![allow(user)]);
    assert_eq!(world.order(&script).unwrap().scored, Scored::default());
    assert_eq!(world.asked(&world.script("eve", "k-1")).score.points, 30);
    let network = world.guard.block_key().network("203.0.113.0/24".parse().unwrap());
    world.control(vec![allow(network)]);
    assert!(world.order(&world.script("eve", "k-1")).is_ok());
    world.control(vec![]);
    assert_eq!(world.asked(&script).score.points, 30);

    // A fingerprint is what anybody can send: it excuses what it is blamed for itself and no more.
    let of = |user: &str| {
        world.browser(user, "k").with(|draft| draft.lines.last_mut().unwrap().1 = "farm".to_owned())
    };
    let drafts: Vec<Draft> = (0..20).map(|n| of(&format!("u-{n}"))).collect();
    let last = of("u-last");
    let last_script = last
        .clone()
        .with(|draft| draft.lines.retain(|line| !BROWSER.iter().any(|b| b.0 == line.0)));
    for draft in &drafts {
        world.wait_ms(200);
        let _ = world.order(draft);
    }
    world.wait_ms(1_000);
    let asked = world.asked(&last);
    assert!(asked.score.reasons.has(Reason::UsersOnFingerprint), "{asked:?}");
    let fingerprint = world.guard.block_key().fingerprint(b"farm");
    world.control(vec![allow(fingerprint)]);
    let asked = world.asked(&last);
    assert!(!asked.score.reasons.has(Reason::UsersOnFingerprint), "{asked:?}");
    assert!(
        asked.score.reasons.has(Reason::AlikeOnAddress),
        "that of its address stays: {asked:?}"
    );
    assert!(world.refusal(&last_script).is_some(), "a script stays one");
}

#[test]
fn the_score_can_be_turned_off_live_and_by_the_configuration() {
    let mut world = World::new(&strict());
    let until_ms = world.now.unix_ms + 1_000;
    world.control(vec![ControlChange::ScoreOff { until_ms, reason: "test".to_owned() }]);
    assert!(world.order(&world.script("bob", "k-1")).is_ok());
    world.control(vec![]);
    assert!(world.order(&world.script("bob", "k-1")).is_err());
    let mut off = strict();
    off.score.enabled = false;
    let mut world = World::new(&off);
    assert_eq!(world.order(&world.script("bob", "k-1")).unwrap().scored, Scored::default());
}

#[test]
fn a_challenge_can_be_had_beforehand_with_a_pass_alone() {
    let mut world = World::new(&strict());
    let (pass, _) = world.pass("bob");
    let ask = |world: &mut World, credentials: Vec<(&'static str, String)>, named: bool| {
        let draft = Draft {
            method: Method::GET,
            target: "/challenge?product=phone&key=k-1".to_owned(),
            body: String::new(),
            time: None,
            key: None,
            signature: Some(String::new()),
            ..world.draft("bob", "k-1", credentials)
        };
        let asked = named.then(|| ("phone".parse().unwrap(), "k-1".parse().unwrap()));
        let sent = draft.send();
        world.guard.challenge(&mut world.cache, &sent.request(), asked, world.now)
    };
    let bearer = || vec![("authorization", format!("Bearer {pass}"))];
    let challenge = ask(&mut world, bearer(), true).unwrap();
    let solution = sent(&solve(&challenge));
    let order = with_solution(&world.script("bob", "k-1"), &solution);
    assert_eq!(world.order(&order).unwrap().scored.proof, Proof::Solved);
    let refused = ask(&mut world, bearer(), false).unwrap_err().refusal;
    assert!(matches!(refused, Refusal::InvalidRequest(_)), "{refused:?}");
    let client = vec![("x-api-key", "shop".to_owned())];
    for credentials in [client, vec![], vec![("authorization", "Bearer x".to_owned())]] {
        let refused = ask(&mut world, credentials, true).unwrap_err().refusal;
        assert!(matches!(refused, Refusal::Unauthenticated(_)), "{refused:?}");
    }
}

#[test]
fn orders_before_the_opening_and_another_users_name_speak_against_their_buyer() {
    let mut world = World::new(&strict());
    let points = |world: &mut World| world.asked(&world.script("bob", "k")).score.points;
    assert_eq!(points(&mut world), 30);
    let (_, buyer) = (0, world.guard.identity.buyer("shop", &"bob".parse().unwrap()));
    for _ in 0..3 {
        world.guard.was_early(&buyer, world.now);
    }
    assert_eq!(points(&mut world), 40);
    let other =
        world.script("bob", "k").with(|draft| draft.body = draft.body.replace("bob", "eve"));
    for _ in 0..3 {
        assert_eq!(world.refusal(&other), Some(Refusal::Forbidden(Forbidden::OtherUser)));
    }
    assert_eq!(points(&mut world), 55);
}

#[test]
fn forged_signatures_speak_against_their_place() {
    let mut world = World::new(&strict());
    let forged = world.script("bob", "k").with(|draft| draft.signature = Some("00".repeat(32)));
    for _ in 0..16 {
        assert_eq!(world.refusal(&forged), Some(Refusal::InvalidSignature));
    }
    assert_eq!(world.asked(&world.script("bob", "k")).score.points, 45);
    let elsewhere = world.script("bob", "k").with(|d| d.peer = "198.51.100.9".parse().unwrap());
    assert_eq!(world.asked(&elsewhere).score.points, 30);
}
