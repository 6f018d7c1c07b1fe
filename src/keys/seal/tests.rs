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
        let sealed = sealer.seal(&user, &product, &id, now_us);
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
        let sealed = sealer.seal(&user, &product, &order(1), 0);
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
    let sealed = sealer.seal(&user, &product, &order(1), 0);
    assert_eq!(opener.open(&sealed, &product, &order(2)).err(), Some(OpenError::Wrong));
    assert_eq!(opener.open(&sealed, &other, &order(1)).err(), Some(OpenError::Wrong));
}

#[test]
fn it_opens_with_its_private_key_alone_and_keys_can_change() {
    let (sealer, _) = test_pair();
    let (user, product) = ("alice".parse().unwrap(), "shoe".parse().unwrap());
    let sealed = sealer.seal(&user, &product, &order(1), 0);
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
        let sealed = sealer.seal(&user, &product, &order(1), now_us);
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
        let sealed = sealer.seal(&user, &product, &order(1), 0);
        assert!(opener.open(&sealed, &product, &order(1)).unwrap() == user);
    }
    assert!(opener.derived.lock().len() <= DERIVED_KEYS_MAX);
}
