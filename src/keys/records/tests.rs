//! What vouches for a record vouches for every part of it, and for nothing else.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use secrecy::SecretString;

use super::*;

const NONCE: Nonce = [7; NONCE_BYTES];
const SEED: &str = "1111111111111111111111111111111111111111111111111111111111111111";

fn secret(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

fn public_of(seed: &str) -> String {
    let pair = Ed25519KeyPair::from_seed_unchecked(&hex::decode(seed).unwrap()).unwrap();
    hex::encode(pair.public_key().as_ref())
}

fn keys(record_keys: &str, operator: bool) -> RecordKeys {
    let seed = secret(SEED);
    RecordKeys::new(&secret(record_keys), operator.then_some(&seed), &public_of(SEED)).unwrap()
}

/// Keys for tests elsewhere: with `operator` they also sign operators' records.
pub(crate) fn test_keys(operator: bool) -> RecordKeys {
    keys("k1:a-secret-of-at-least-thirty-two-bytes", operator)
}

fn voucher(keys: &RecordKeys, author: Author) -> Vec<u8> {
    let mut voucher = Vec::new();
    keys.vouch(author, "shoe", &NONCE, b"{}", &mut voucher).unwrap();
    voucher
}

#[test]
fn each_author_is_known_by_the_voucher() {
    let (signer, verifier) = (test_keys(true), test_keys(false));
    for author in [Author::Node, Author::Operator] {
        let voucher = voucher(&signer, author);
        assert!(voucher.len() <= VOUCHER_BYTES_MAX);
        assert_eq!(verifier.verify(&voucher, "shoe", &NONCE, b"{}"), Ok(author));
    }
}

#[test]
fn a_change_of_any_part_is_found() {
    let keys = test_keys(true);
    for author in [Author::Node, Author::Operator] {
        let good = voucher(&keys, author);
        let mut other_nonce = NONCE;
        other_nonce[15] ^= 1;
        assert_eq!(keys.verify(&good, "shoes", &NONCE, b"{}"), Err(BadVoucher::Wrong));
        assert_eq!(keys.verify(&good, "shoe", &other_nonce, b"{}"), Err(BadVoucher::Wrong));
        assert_eq!(keys.verify(&good, "shoe", &NONCE, b"{ }"), Err(BadVoucher::Wrong));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(keys.verify(&bad, "shoe", &NONCE, b"{}").is_err(), "{author:?} byte {at}");
            assert!(keys.verify(&good[..at], "shoe", &NONCE, b"{}").is_err(), "cut at {at}");
        }
        let longer = [good, vec![0]].concat();
        assert!(keys.verify(&longer, "shoe", &NONCE, b"{}").is_err());
    }
}

#[test]
fn bytes_do_not_move_between_the_parts() {
    let keys = test_keys(true);
    for author in [Author::Node, Author::Operator] {
        let mut voucher = Vec::new();
        keys.vouch(author, "a", &NONCE, b"bc", &mut voucher).unwrap();
        assert_eq!(keys.verify(&voucher, "ab", &NONCE, b"c"), Err(BadVoucher::Wrong));
    }
}

#[test]
fn a_node_without_the_private_key_signs_no_operators_record() {
    let mut voucher = Vec::new();
    let signed = test_keys(false).vouch(Author::Operator, "shoe", &NONCE, b"{}", &mut voucher);
    assert_eq!(signed, Err(NoOperatorKey));
    assert!(voucher.is_empty());
}

#[test]
fn an_older_key_verifies_until_it_is_taken_away() {
    let old = "old:a-secret-of-at-least-thirty-two-bytes";
    let new = "new:another-secret-of-at-least-thirty-two-bytes";
    let by_old = voucher(&keys(old, false), Author::Node);
    let both = keys(&format!("{new},{old}"), false);
    assert_eq!(both.verify(&by_old, "shoe", &NONCE, b"{}"), Ok(Author::Node));
    assert!(voucher(&both, Author::Node).starts_with(b"mnew:"));
    let without = keys(new, false).verify(&by_old, "shoe", &NONCE, b"{}");
    assert_eq!(without, Err(BadVoucher::UnknownKey));
}

#[test]
fn what_is_wrong_with_a_key_is_said() {
    let long = "a-secret-of-at-least-thirty-two-bytes";
    let public = public_of(SEED);
    let new = |text: &str| RecordKeys::new(&secret(text), None, &public).err();
    assert_eq!(new(""), Some(RecordKeysError::Empty));
    assert_eq!(new("k1"), Some(RecordKeysError::NoSecret(1)));
    assert_eq!(new(&format!(":{long}")), Some(RecordKeysError::BadId(1)));
    assert_eq!(new(&format!("k:{long},k2:short")), Some(RecordKeysError::ShortSecret(2)));
    assert_eq!(new(&format!("k:{long},k:{long}")), Some(RecordKeysError::RepeatedId(2)));
    let good = secret(&format!("k:{long}"));
    let bad_public = RecordKeys::new(&good, None, "00").err();
    assert_eq!(bad_public, Some(RecordKeysError::BadPublicKey));
    let other = secret(&"22".repeat(32));
    let mixed = RecordKeys::new(&good, Some(&other), &public).err();
    assert_eq!(mixed, Some(RecordKeysError::OtherPublicKey));
    let short = RecordKeys::new(&good, Some(&secret("22")), &public).err();
    assert_eq!(short, Some(RecordKeysError::BadOperatorKey));
}
