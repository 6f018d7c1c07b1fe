//! What is sealed opens for its order alone, with its private key alone.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn private_keys(text: &str) -> Opener {
    Opener::new(&SecretString::from(text.to_owned())).unwrap()
}

/// A pair for tests elsewhere.
pub(crate) fn test_pair() -> (Sealer, Opener) {
    let opener = private_keys(&format!("s1:{}", "42".repeat(32)));
    (Sealer::new(&opener.public_key()).unwrap(), opener)
}

fn order(byte: u8) -> OrderId {
    OrderId::from_random_bytes([byte; 16])
}

proptest! {
    #[test]
    fn whatever_is_sealed_opens(
        user in "[a-z0-9-]{1,50}",
        product in "[a-z0-9-]{1,50}",
        id in any::<[u8; 16]>(),
        now_us in any::<u64>(),
    ) {
        let (sealer, opener) = test_pair();
        let user: UserId = user.parse().unwrap();
        let product: ProductId = product.parse().unwrap();
        let id = OrderId::from_random_bytes(id);
        let sealed = sealer.seal(&user, &product, &id, (now_us, 0));
        prop_assert!(sealed.len() <= SEALED_CHARACTERS_MAX);
        prop_assert!(!sealed.contains(user.as_str()) || user.as_str().len() < 4);
        prop_assert!(opener.open(&sealed, &product, &id).unwrap() == user);
    }

    #[test]
    fn garbage_does_not_open(text in ".{0,300}") {
        let (_, opener) = test_pair();
        let product = "shoe".parse().unwrap();
        prop_assert!(opener.open(&text, &product, &order(1)).is_err());
    }

    #[test]
    fn a_flipped_bit_does_not_open(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let (sealer, opener) = test_pair();
        let (user, product) = ("alice".parse().unwrap(), "shoe".parse().unwrap());
        let sealed = sealer.seal(&user, &product, &order(1), (0, 0));
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let altered = URL_SAFE_NO_PAD.encode(bytes);
        // The top bit of an X25519 key is ignored by the agreement, yet it is part of what is derived.
        prop_assert!(opener.open(&altered, &product, &order(1)).is_err(), "byte {at}");
    }
}

#[test]
fn it_opens_for_its_order_alone() {
    let (sealer, opener) = test_pair();
    let (user, product, other) =
        ("alice".parse().unwrap(), "shoe".parse().unwrap(), "boot".parse().unwrap());
    let sealed = sealer.seal(&user, &product, &order(1), (0, 0));
    assert_eq!(opener.open(&sealed, &product, &order(2)).err(), Some(OpenError::Wrong));
    assert_eq!(opener.open(&sealed, &other, &order(1)).err(), Some(OpenError::Wrong));
}

#[test]
fn it_opens_with_its_private_key_alone_and_keys_can_change() {
    let (sealer, _) = test_pair();
    let (user, product) = ("alice".parse().unwrap(), "shoe".parse().unwrap());
    let sealed = sealer.seal(&user, &product, &order(1), (0, 0));
    let open = |keys: String| private_keys(&keys).open(&sealed, &product, &order(1));
    let (right, other) = ("42".repeat(32), "43".repeat(32));
    assert!(open(format!("s2:{other},s1:{right}")).unwrap() == user);
    assert_eq!(open(format!("s2:{right}")).err(), Some(OpenError::UnknownKey));
    assert_eq!(open(format!("s1:{other}")).err(), Some(OpenError::Wrong));
}

#[test]
fn the_ephemeral_key_changes_each_minute_and_no_nonce_comes_twice() {
    let (sealer, opener) = test_pair();
    let (user, product) = ("alice".parse().unwrap(), "shoe".parse().unwrap());
    let mut seen = HashSet::new();
    let mut ephemerals = HashSet::new();
    for now_us in [0, 1, EPHEMERAL_AGE_US_MAX, EPHEMERAL_AGE_US_MAX + 1, EPHEMERAL_AGE_US_MAX + 2] {
        let sealed = sealer.seal(&user, &product, &order(1), (now_us, 0));
        assert!(opener.open(&sealed, &product, &order(1)).unwrap() == user);
        let bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        ephemerals.insert(bytes[3..35].to_vec());
        assert!(seen.insert(bytes[3..47].to_vec()));
    }
    assert_eq!(ephemerals.len(), 2);
}

#[test]
fn what_is_wrong_with_a_key_is_said() {
    let key = "42".repeat(32);
    assert_eq!(Sealer::new(&key).err(), Some(SealKeyError::Malformed));
    assert_eq!(Sealer::new("s1:42").err(), Some(SealKeyError::Malformed));
    assert_eq!(Sealer::new(&format!("s 1:{key}")).err(), Some(SealKeyError::Malformed));
    // A point of small order: the shared secret would be known to everybody.
    assert_eq!(Sealer::new(&format!("s1:{}", "00".repeat(32))).err(), Some(SealKeyError::Useless));
    let open = |text: &str| Opener::new(&SecretString::from(text.to_owned())).err();
    assert_eq!(open(" , "), Some(SealKeyError::Empty));
    assert_eq!(open(&format!("a:{key},a:{key}")), Some(SealKeyError::RepeatedId));
    assert_eq!(open("a:zz"), Some(SealKeyError::Malformed));
}

#[test]
fn derived_keys_are_bounded() {
    let (_, opener) = test_pair();
    let (user, product) = ("alice".parse().unwrap(), "shoe".parse().unwrap());
    for _ in 0..DERIVED_KEYS_MAX + 10 {
        let sealer = Sealer::new(&opener.public_key()).unwrap();
        let sealed = sealer.seal(&user, &product, &order(1), (0, 0));
        assert!(opener.open(&sealed, &product, &order(1)).unwrap() == user);
    }
    assert!(opener.derived.lock().len() <= DERIVED_KEYS_MAX);
}

/// Two keys of one second each, from the third second on.
fn scheduled() -> (Sealer, Opener, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    for (id, from_ms, byte) in [("a", 3_000, 1), ("b", 4_000, 2)] {
        kept::write(&keys, id, from_ms, &[byte; 32]).unwrap();
    }
    let opener = Opener::with_kept(None, Some(&keys)).unwrap();
    let publics: Vec<_> = (opener.keys.read().iter().zip([3, 4]))
        .map(|(key, from)| format!("{}@{from}:{}", key.id, hex::encode(key.public)))
        .collect();
    (Sealer::new(&publics.join(", ")).unwrap(), opener, dir)
}

#[test]
fn each_key_seals_in_its_period_alone_whatever_the_nodes_clock_says() {
    let (sealer, opener, _dir) = scheduled();
    let (user, product) = ("alice".parse().unwrap(), "shoe".parse().unwrap());
    for (at_ms, id) in [(0, b'a'), (3_000, b'a'), (3_999, b'a'), (4_000, b'b'), (3_500, b'a')] {
        let sealed = sealer.seal(&user, &product, &order(1), (7, at_ms));
        assert_eq!(URL_SAFE_NO_PAD.decode(&sealed).unwrap()[1], id, "at {at_ms}");
        assert!(opener.open(&sealed, &product, &order(1)).unwrap() == user);
    }
}

#[test]
fn a_key_that_was_destroyed_opens_nothing_here_or_after_a_start() {
    let (sealer, opener, dir) = scheduled();
    let (user, product) = ("alice".parse().unwrap(), "shoe".parse().unwrap());
    let [old, new] = [3_000, 4_000].map(|at| sealer.seal(&user, &product, &order(1), (0, at)));
    let keys = dir.path().join("keys");
    // Derived keys are here as well.
    assert!(opener.open(&old, &product, &order(1)).is_ok());
    let key = kept::list(&keys).unwrap().remove(0);
    key.destroy().unwrap();
    opener.forget("a");
    assert_eq!(opener.open(&old, &product, &order(1)).err(), Some(OpenError::UnknownKey));
    assert!(opener.open(&new, &product, &order(1)).unwrap() == user);
    assert!(opener.derived.lock().keys().all(|(number, _)| *number == 1));
    let again = Opener::with_kept(None, Some(&keys)).unwrap();
    assert_eq!(again.open(&old, &product, &order(1)).err(), Some(OpenError::UnknownKey));
    assert_eq!(again.len(), 1);
    assert!(!key.path.exists());
}

#[test]
fn keys_that_come_later_are_taken_in() {
    let (_, opener, dir) = scheduled();
    let keys = dir.path().join("keys");
    kept::write(&keys, "c", 5_000, &[3; 32]).unwrap();
    opener.take_kept(&keys).unwrap();
    opener.take_kept(&keys).unwrap();
    assert_eq!(opener.len(), 3);
    assert!(kept::write(&keys, "c", 5_000, &[4; 32]).is_err(), "it is never overwritten");
    std::fs::write(keys.join("x y@1.key"), "").unwrap();
    assert!(matches!(opener.take_kept(&keys), Err(KeptError::NotAKey(_))));
}

#[test]
fn kept_keys_that_are_open_to_others_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (_, _, dir) = scheduled();
    let keys = dir.path().join("keys");
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        Opener::with_kept(None, Some(&keys)).err()
    };
    assert!(matches!(open(&keys.join("a@3.key"), 0o640), Some(KeptError::OpenToOthers(_))));
    assert!(open(&keys.join("a@3.key"), 0o600).is_none());
    assert!(matches!(open(&keys, 0o770), Some(KeptError::OpenToOthers(_))));
}

#[test]
fn a_key_is_due_some_days_after_its_period_and_after_thirty_in_any_case() {
    const DAY: u64 = 24 * 3_600 * 1_000;
    let key = "42".repeat(32);
    let list = format!("b@{}:{key},a:{key}", 10 * DAY / 1_000);
    let [first, last] = periods::periods(&list).unwrap().try_into().unwrap();
    assert_eq!((&*first.id, first.from_ms, first.until_ms), ("a", 0, Some(10 * DAY)));
    assert_eq!(last.until_ms, None);
    let settled = 10 * DAY + periods::SETTLED_MS;
    assert_eq!(first.due_ms(7, 30), Some(settled + 7 * DAY));
    assert_eq!(first.due_ms(0, 30), Some(settled));
    assert_eq!(first.due_ms(25, 30), Some(30 * DAY), "records are at most 30 days old");
    assert_eq!(first.due_ms(25, 5), Some(settled), "never before its records have settled");
    assert_eq!(last.due_ms(0, 30), None);
    let wrong = |text: String| periods::periods(&text).err();
    assert_eq!(wrong(format!("a:{key},b:{key}")), Some(SealKeyError::RepeatedPeriod));
    assert_eq!(wrong(format!("a@1:{key},a@2:{key}")), Some(SealKeyError::RepeatedId));
    for name in ["a@", "a@-1", "a@1.5", "a@99999999999999999999", "@1", "a@1@2"] {
        assert_eq!(wrong(format!("{name}:{key}")), Some(SealKeyError::Malformed), "{name}");
    }
}
