//! What the tables remember, for how long, and how little of it.

use proptest::prelude::*;

use super::*;

const T0_US: u64 = 50_000_000;

fn buyer(n: u64) -> BuyerRef {
    let hash = mixed(n + 1);
    BuyerRef::from_bytes(
        [hash.to_le_bytes(), mixed(hash).to_le_bytes()].concat().try_into().unwrap(),
    )
}

fn sender(address: u64, fingerprint: u64, user: u64) -> Sender {
    let tag = |n| (n > 0).then(|| mixed(n));
    let place = Place { address: tag(address), fingerprint: tag(fingerprint) };
    Sender { place, buyer: buyer(user) }
}

#[test]
fn users_kinds_and_fingerprints_are_counted_until_their_time_is_over() {
    let seen = Seen::new(10_000);
    let mut last = Counts::default();
    for user in 0..20 {
        last = seen.order(&sender(1, 1, user), mixed(user % 3), 1, T0_US + user);
    }
    assert!((16..=25).contains(&last.users_on_address), "{last:?}");
    assert!((16..=25).contains(&last.users_on_fingerprint), "{last:?}");
    assert_eq!((last.kinds_on_address, last.kinds_on_fingerprint), (3, 3));
    assert_eq!(last.fingerprints_of_user, 1);
    let looked = seen.look(&sender(1, 1, 19), T0_US + 100);
    assert_eq!(looked, last, "a look changes nothing");
    let other = seen.order(&sender(2, 2, 77), 0, 1, T0_US);
    assert_eq!((other.users_on_address, other.users_on_fingerprint), (1, 1));
    // From the first sight on, ten minutes.
    let before = seen.look(&sender(1, 1, 19), T0_US + WINDOW_US - 1);
    assert_eq!(before.users_on_address, last.users_on_address);
    assert_eq!(seen.look(&sender(1, 1, 99), T0_US + WINDOW_US), Counts::default());
    let after = seen.order(&sender(1, 1, 99), 0, 1, T0_US + WINDOW_US);
    assert_eq!((after.users_on_address, after.users_on_fingerprint), (1, 1));
}

#[test]
fn who_has_neither_address_nor_fingerprint_is_counted_by_their_user_alone() {
    let seen = Seen::new(1_000);
    for user in 0..200 {
        let counts = seen.order(&sender(0, 0, user), 0, 1, T0_US);
        assert_eq!(counts, Counts::default());
    }
}

#[test]
fn many_fingerprints_of_a_user_show() {
    let seen = Seen::new(1_000);
    let told: Vec<u16> = (1..=12)
        .map(|n| seen.order(&sender(0, n, 7), 0, n as u8, T0_US + n * 337_000).fingerprints_of_user)
        .collect();
    assert_eq!(told[0], 1);
    assert!(told[11] >= 6, "{told:?}");
    assert!(told.is_sorted());
}

/// The streak after orders at these intervals, in milliseconds.
fn streak(intervals_ms: impl IntoIterator<Item = u64>) -> u8 {
    let seen = Seen::new(1_000);
    let (mut now_us, mut key) = (T0_US, 1);
    let mut last = seen.order(&sender(0, 0, 1), 0, key, now_us);
    for interval_ms in intervals_ms {
        now_us += interval_ms * 1_000;
        key = key % 200 + 1;
        last = seen.order(&sender(0, 0, 1), 0, key, now_us);
    }
    last.regular_intervals
}

#[test]
fn intervals_that_are_the_same_show_and_those_of_a_hand_do_not() {
    assert_eq!(streak([250; 5]), 4);
    assert_eq!(streak([250; 6]), 5);
    assert_eq!(streak([250; 60]), 7, "as far as it fits");
    assert_eq!(streak([250, 252, 249, 251, 250, 252]), 5);
    assert_eq!(streak([250, 258, 250, 259, 250, 258, 251]), 0, "7 ms and more of 250");
    assert_eq!(streak([250, 250, 250, 250, 250, 250, 400]), 0, "one other begins anew");
    assert_eq!(streak([1_300, 900, 1_100, 1_450, 1_000, 1_200, 980]), 0);
    // Longer than what is measured says nothing.
    assert_eq!(streak([20_000; 20]), 0);
}

#[test]
fn a_retry_with_the_same_key_says_nothing_of_the_rhythm() {
    let seen = Seen::new(1_000);
    for n in 0..50 {
        let counts = seen.order(&sender(0, 0, 1), 0, 9, T0_US + n * 250_000);
        assert_eq!(counts.regular_intervals, 0);
    }
}

#[test]
fn failures_and_early_orders_are_counted_up_to_what_fits() {
    let seen = Seen::new(1_000);
    let (sender, who) = (sender(1, 1, 1), buyer(1));
    for _ in 0..100 {
        seen.failure_of_place(sender.place, T0_US);
        seen.failure_of_user(&who, T0_US);
        seen.early(&who, T0_US);
    }
    let counts = seen.look(&sender, T0_US);
    assert_eq!((counts.failures_from_address, counts.failures_on_fingerprint), (63, 63));
    assert_eq!(counts.failures_of_user, 15);
    assert_eq!(counts.early_orders, 7);
    assert_eq!((counts.users_on_address, counts.fingerprints_of_user), (0, 0));
    // Failures of a place alone are forgotten sooner; a user's go with the user.
    let later = seen.look(&sender, T0_US + FAILED_WINDOW_US);
    assert_eq!((later.failures_from_address, later.failures_of_user), (0, 15));
    assert_eq!(seen.look(&sender, T0_US + WINDOW_US), Counts::default());
}

#[test]
fn failures_stay_with_those_who_go_on_to_order() {
    let seen = Seen::new(1_000);
    let sender = sender(1, 0, 1);
    seen.failure_of_place(sender.place, T0_US);
    let counts = seen.order(&sender, 0, 1, T0_US + 1);
    assert_eq!((counts.failures_from_address, counts.users_on_address), (1, 1));
    let later = seen.look(&sender, T0_US + WINDOW_US / 2);
    assert_eq!((later.failures_from_address, later.users_on_address), (1, 1));
}

#[test]
fn a_flood_of_failures_pushes_out_its_own_like() {
    let seen = Seen::new(800);
    for user in 0..20 {
        seen.order(&sender(1, 1, user), 0, 1, T0_US);
    }
    let before = seen.look(&sender(1, 1, 0), T0_US);
    for n in 0..100_000 {
        let tag = Some(mixed(n + 1_000));
        seen.failure_of_place(Place { address: tag, fingerprint: tag }, T0_US + n);
    }
    assert_eq!(seen.look(&sender(1, 1, 0), T0_US), before);
}

proptest! {
    #[test]
    fn a_clock_that_jumps_and_any_tags_break_nothing(
        steps in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u8>(), any::<u64>()), 1..60),
    ) {
        let seen = Seen::new(64);
        for (tag, kind, key, now_us) in steps {
            let place = Place { address: Some(tag), fingerprint: Some(kind) };
            let sender = Sender { place, buyer: buyer(tag % 3) };
            let counts = seen.order(&sender, kind, key, now_us);
            prop_assert!(counts.users_on_address >= 1 && counts.kinds_on_fingerprint >= 1);
            seen.failure_of_place(Place { fingerprint: None, ..place }, now_us / 2);
            let _ = seen.look(&sender, now_us);
        }
    }
}
