//! The pure function: each reason at its edge, and what must hold of all.

use proptest::prelude::*;

use super::heads::Heads;
use super::seen::Counts;
use super::*;

fn weights() -> Weights {
    Weights::new(&config::score::Score::default())
}

/// Those that a shop sets whose page sends fingerprints and solves challenges.
fn strict() -> Weights {
    Weights { challenge_above: 50, refuse_above: 100, ..weights() }
}

/// A browser of somebody who uses the page, alone on their address.
fn honest() -> Signals {
    let heads = Heads { page: Page::Used, ..Heads::default() };
    Signals { heads, ..Signals::default() }
}

fn words(score: Score) -> Vec<&'static str> {
    score.reasons.iter().map(Reason::word).collect()
}

/// What the one reason of these signals gives.
fn of(change: impl Fn(&mut Signals)) -> (u16, Vec<&'static str>) {
    let mut signals = honest();
    change(&mut signals);
    let score = score(&signals, &weights());
    (score.points, words(score))
}

#[test]
fn an_honest_browser_has_no_points() {
    assert_eq!(score(&honest(), &weights()), Score::default());
}

type Change = fn(&mut Signals);

/// A change of the signals, the points that it gives and their one reason.
const EDGES: [(Change, u16, &str); 24] = [
    (|s| s.heads.no_user_agent = true, 10, "no_user_agent"),
    (|s| s.heads.no_accept_language = true, 10, "no_accept_language"),
    (|s| s.heads.odd = true, 15, "odd_headers"),
    (|s| s.heads.page = Page::Unused, 5, "page_unused"),
    (|s| s.no_fingerprint = true, 5, "no_fingerprint"),
    (|s| s.seen.kinds_on_fingerprint = 2, 0, ""),
    (|s| s.seen.kinds_on_fingerprint = 3, 15, "fingerprint_contradicted"),
    (|s| s.seen.users_on_fingerprint = 3, 0, ""),
    (|s| s.seen.users_on_fingerprint = 4, 25, "users_on_fingerprint"),
    (|s| s.seen.users_on_fingerprint = 15, 25, "users_on_fingerprint"),
    (|s| s.seen.users_on_fingerprint = 16, 50, "users_on_fingerprint"),
    (|s| s.seen.fingerprints_of_user = 2, 0, ""),
    (|s| s.seen.fingerprints_of_user = 3, 20, "fingerprints_of_user"),
    (|s| s.seen.fingerprints_of_user = 6, 40, "fingerprints_of_user"),
    (|s| s.seen.regular_intervals = 4, 0, ""),
    (|s| s.seen.regular_intervals = 5, 25, "too_regular"),
    (|s| s.seen.early_orders = 2, 0, ""),
    (|s| s.seen.early_orders = 3, 10, "before_opening"),
    (|s| s.seen.failures_of_user = 2, 0, ""),
    (|s| s.seen.failures_of_user = 3, 15, "failed_before"),
    (|s| s.seen.failures_from_address = 15, 0, ""),
    (|s| s.seen.failures_from_address = 16, 15, "failed_before"),
    (|s| s.seen.failures_on_fingerprint = 15, 0, ""),
    (|s| s.seen.failures_on_fingerprint = 16, 15, "failed_before"),
];

#[test]
fn each_reason_at_its_edge() {
    for (change, points, word) in EDGES {
        let words = if word.is_empty() { vec![] } else { vec![word] };
        assert_eq!(of(change), (points, words));
    }
}

#[test]
fn a_carriers_address_is_no_farm() {
    let at =
        |users, kinds| of(|s| (s.seen.users_on_address, s.seen.kinds_on_address) = (users, kinds));
    let (crowd, alike) = ("users_on_address", "alike_on_address");
    assert_eq!(at(15, 1), (0, vec![]));
    assert_eq!(at(16, 1), (20, vec![alike]));
    assert_eq!(at(16, 4), (20, vec![alike]));
    assert_eq!(at(16, 5), (0, vec![]));
    assert_eq!(at(31, 20), (0, vec![]));
    assert_eq!(at(32, 20), (10, vec![crowd]));
    assert_eq!(at(64, 8), (50, vec![crowd, alike]));
    assert_eq!(at(64, 9), (30, vec![crowd, alike]));
    assert_eq!(at(100, 44), (20, vec![crowd]));
    assert_eq!(at(175, 1), (60, vec![crowd, alike]));
}

/// What the defaults promise, see `config/score.rs`.
#[test]
fn nobody_is_challenged_for_one_reason_or_for_being_a_plain_script() {
    let weights = weights();
    for points in weights.points {
        assert!(2 * points <= weights.challenge_above, "{points}");
    }
    let script = |signals: &mut Signals| {
        signals.heads = Heads { no_user_agent: true, no_accept_language: true, ..Heads::default() };
        signals.no_fingerprint = true;
        signals.seen.regular_intervals = 7;
    };
    let mut signals = Signals::default();
    script(&mut signals);
    let plain = score(&signals, &weights);
    assert_eq!((plain.points, weights.verdict(plain)), (55, Verdict::Pass));
    assert_eq!(strict().verdict(plain), Verdict::Challenge);
    // A carrier's address, of a shop whose page sends neither fingerprint nor signals.
    let carrier = Signals {
        no_fingerprint: true,
        seen: Counts { users_on_address: 175, kinds_on_address: 30, ..Counts::default() },
        ..Signals::default()
    };
    assert_eq!(strict().verdict(score(&carrier, &weights)), Verdict::Pass);
    // The same of an app whose requests are all alike and say nothing.
    let app = Signals {
        heads: signals.heads,
        seen: Counts { kinds_on_address: 1, ..carrier.seen },
        ..carrier
    };
    let app = score(&app, &weights);
    assert_eq!((app.points, weights.verdict(app)), (90, Verdict::Pass));
    // A phone model whose devices all have one fingerprint.
    let model = Signals {
        seen: Counts { users_on_fingerprint: 133, kinds_on_fingerprint: 2, ..Counts::default() },
        ..Signals::default()
    };
    assert_eq!(weights.verdict(score(&model, &weights)), Verdict::Pass);
    let used = Signals { heads: honest().heads, ..model };
    assert_eq!(strict().verdict(score(&used, &weights)), Verdict::Pass);
}

/// A farm on one address gains nothing by dropping or changing its fingerprint: it is challenged all the same.
#[test]
fn a_farm_is_challenged_with_its_fingerprint_without_it_and_with_many() {
    let weights = strict();
    let seen = Counts { users_on_address: 100, kinds_on_address: 1, ..Counts::default() };
    // It forges how its page was used, too.
    let mut farm = Signals { seen, ..honest() };
    assert_eq!(weights.verdict(score(&farm, &weights)), Verdict::Challenge, "one for each user");
    farm.no_fingerprint = true;
    assert_eq!(weights.verdict(score(&farm, &weights)), Verdict::Challenge, "none");
    farm.no_fingerprint = false;
    farm.seen.users_on_fingerprint = 100;
    assert_eq!(weights.verdict(score(&farm, &weights)), Verdict::Refuse, "one for all");
    assert_eq!(super::tests::weights().verdict(score(&farm, &weights)), Verdict::Challenge);
}

#[test]
fn one_who_fails_among_many_speaks_against_nobody_else() {
    let at = |users, failures| {
        of(|s| {
            s.seen.kinds_on_address = users;
            (s.seen.users_on_address, s.seen.failures_from_address) = (users, failures);
        })
    };
    assert_eq!(at(16, 17), (15, vec!["failed_before"]));
    assert_eq!(at(17, 17), (0, vec![]));
}

#[test]
fn a_page_takes_away_its_own_points_and_no_more() {
    let mut farm = Signals {
        seen: Counts { users_on_fingerprint: 50, kinds_on_fingerprint: 9, ..Counts::default() },
        ..Signals::default()
    };
    let unused = score(&farm, &weights()).points;
    farm.heads.page = Page::Used;
    assert_eq!(score(&farm, &weights()).points, unused - 5);
}

#[test]
fn thresholds_are_points_that_still_pass() {
    let weights = weights();
    let verdict = |points| weights.verdict(Score { points, ..Score::default() });
    assert_eq!([verdict(90), verdict(91)], [Verdict::Pass, Verdict::Challenge]);
    assert_eq!([verdict(150), verdict(151)], [Verdict::Challenge, Verdict::Refuse]);
    assert_eq!(verdict(u16::MAX), Verdict::Refuse);
}

#[test]
fn every_reason_has_a_word_a_bit_and_a_key_of_its_own() {
    for (index, reason) in Reason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, index);
        let mut reasons = Reasons::default();
        reasons.add(reason);
        assert_eq!(reasons.iter().collect::<Vec<_>>(), [reason]);
        let key = config::schema::key(&format!("score.{}", reason.word()));
        let config::schema::Read::Number { get, .. } = key.expect("a key").read else {
            panic!("a number")
        };
        assert_eq!(get(&config::Config::default()), u64::from(weights().points[index]));
    }
}

fn counts() -> impl Strategy<Value = Counts> {
    let many = (0u16..200, 0u16..60, 0u16..140, 0u16..60, 0u16..23);
    let few = (0u8..8, 0u8..8, 0u8..16, 0u8..64, 0u8..64);
    (many, few).prop_map(|(many, few)| Counts {
        users_on_address: many.0,
        kinds_on_address: many.1,
        users_on_fingerprint: many.2,
        kinds_on_fingerprint: many.3,
        fingerprints_of_user: many.4,
        regular_intervals: few.0,
        early_orders: few.1,
        failures_of_user: few.2,
        failures_from_address: few.3,
        failures_on_fingerprint: few.4,
    })
}

prop_compose! {
    fn signals()(seen in counts(), no_fingerprint: bool, heads: [bool; 4]) -> Signals {
        let [no_user_agent, no_accept_language, odd, used] = heads;
        let page = if used { Page::Used } else { Page::Unused };
        let heads = Heads { no_user_agent, no_accept_language, odd, page, kind: 0 };
        Signals { heads, no_fingerprint, seen }
    }
}

proptest! {
    #[test]
    fn points_are_the_sum_of_the_reasons(signals in signals(), points: [u16; Reason::COUNT]) {
        let weights = Weights { points, challenge_above: 0, refuse_above: 0 };
        let score = score(&signals, &weights);
        let once: u64 = score.reasons.iter().map(|r| u64::from(points[r as usize])).sum();
        let told = u64::from(score.points);
        prop_assert!(told == u64::from(u16::MAX) || (once..=2 * once).contains(&told));
        let none = Weights { points: [0; Reason::COUNT], ..weights };
        prop_assert_eq!(super::score(&signals, &none).points, 0);
    }

    #[test]
    fn more_of_anything_is_never_fewer_points(signals in signals(), more in counts()) {
        // More users excuse failures from their place: those are left out.
        let seen = Counts { failures_from_address: 0, failures_on_fingerprint: 0, ..signals.seen };
        let signals = Signals { seen, ..signals };
        let mut worse = signals;
        let seen = &mut worse.seen;
        seen.users_on_fingerprint += more.users_on_fingerprint;
        seen.kinds_on_fingerprint += more.kinds_on_fingerprint;
        seen.users_on_address += more.users_on_address;
        seen.fingerprints_of_user += more.fingerprints_of_user;
        seen.regular_intervals += more.regular_intervals;
        seen.early_orders += more.early_orders;
        seen.failures_of_user += more.failures_of_user;
        worse.heads.page = Page::Unused;
        prop_assert!(score(&worse, &weights()).points >= score(&signals, &weights()).points);
    }

    #[test]
    fn a_page_is_worth_its_own_points_whatever_else_there_is(signals in signals()) {
        let with = |page| {
            let heads = Heads { page, ..signals.heads };
            score(&Signals { heads, ..signals }, &weights()).points
        };
        prop_assert_eq!(with(Page::Unused) - with(Page::Used), 5);
    }
}
