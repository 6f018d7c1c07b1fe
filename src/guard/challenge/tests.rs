//! Challenges as an honest client solves them, and everything that is not one.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const NOW_MS: u64 = 1_800_000_000_000;
const EXPIRES_SECONDS: u64 = 120;

fn key(seed: u8) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &[seed; 32])
}

fn challenges() -> Challenges {
    Challenges::new(key(1), EXPIRES_SECONDS)
}

fn order_id(seed: u8) -> OrderId {
    OrderId::from_random_bytes([seed; 16])
}

fn small() -> Work {
    Work::of_number(500).unwrap()
}

/// As an honest client: tries numbers from 0 on.
pub(in crate::guard) fn solve(challenge: &Challenge) -> Value {
    let found = (0..=u64::from(challenge.maxnumber))
        .find(|number| hex::encode(solved(&challenge.salt, *number)) == challenge.challenge);
    json!({
        "algorithm": challenge.algorithm,
        "challenge": challenge.challenge,
        "number": found.expect("there is one"),
        "salt": challenge.salt,
        "signature": challenge.signature,
        "took": 17,
    })
}

pub(in crate::guard) fn sent(payload: &Value) -> String {
    STANDARD.encode(payload.to_string())
}

fn check(payload: &Value, now_ms: u64) -> Result<Work, Fault> {
    challenges().check(sent(payload).as_bytes(), &order_id(1), now_ms)
}

#[test]
fn a_solved_challenge_passes_until_its_time_is_over() {
    let challenge = challenges().issue(&order_id(1), small(), NOW_MS);
    let solution = solve(&challenge);
    let end_ms = NOW_MS + EXPIRES_SECONDS * 1_000;
    assert_eq!(check(&solution, NOW_MS), Ok(small()));
    assert_eq!(check(&solution, end_ms - 1), Ok(small()));
    assert_eq!(check(&solution, end_ms), Err(Fault::Expired));
    // It fits what is read, whatever the work and the numbers.
    let largest =
        challenges().issue(&order_id(255), Work::of_number(400_000).unwrap(), u64::MAX / 2);
    assert!(largest.salt.len() <= SALT_BYTES_MAX, "{}", largest.salt);
    assert!(sent(&solution).len() <= 768);
}

#[test]
fn the_json_is_that_of_the_widget() {
    let challenge = challenges().issue(&order_id(1), small(), NOW_MS);
    let json = serde_json::to_value(&challenge).unwrap();
    let names: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(names, ["algorithm", "challenge", "maxnumber", "salt", "signature"]);
    assert_eq!((&json["algorithm"], &json["maxnumber"]), (&json!("SHA-256"), &json!(500)));
    let salt = json["salt"].as_str().unwrap();
    assert!(salt.contains("?expires=1800000120&") && salt.ends_with('&'), "{salt}");
}

#[test]
fn a_challenge_is_for_one_attempt_and_tells_no_number() {
    let issue = |id, work, now_ms| challenges().issue(&order_id(id), work, now_ms);
    let first = issue(1, small(), NOW_MS);
    assert_eq!(first, issue(1, small(), NOW_MS), "nothing of it is kept");
    let others = [
        issue(2, small(), NOW_MS),
        issue(1, small(), NOW_MS + 1),
        issue(1, Work::of_number(501).unwrap(), NOW_MS),
        Challenges::new(key(2), EXPIRES_SECONDS).issue(&order_id(1), small(), NOW_MS),
    ];
    for other in others {
        assert!(first.challenge != other.challenge && first.signature != other.signature);
    }
    let other = solve(&issue(2, small(), NOW_MS));
    assert_eq!(check(&other, NOW_MS), Err(Fault::OtherAttempt));
    let foreign = Challenges::new(key(2), EXPIRES_SECONDS).issue(&order_id(1), small(), NOW_MS);
    assert_eq!(check(&solve(&foreign), NOW_MS), Err(Fault::Forged));
}

/// The splicing of the advisory of December 2025: digits of the number moved into the salt's last parameter,
/// which hash to the same.
#[test]
fn no_digit_moves_between_salt_and_number() {
    let challenge = challenges().issue(&order_id(1), Work::of_number(400_000).unwrap(), NOW_MS);
    let solution = solve(&challenge);
    let (salt, number) = (solution["salt"].as_str().unwrap(), solution["number"].to_string());
    for cut in 1..number.len() {
        let mut spliced = solution.clone();
        spliced["salt"] = format!("{salt}{}", &number[..cut]).into();
        spliced["number"] = number[cut..].parse::<u64>().unwrap().into();
        assert_eq!(check(&spliced, NOW_MS), Err(Fault::Forged));
    }
    let inner = salt.strip_suffix('&').unwrap();
    for cut in 1..=4 {
        let mut spliced = solution.clone();
        spliced["salt"] = inner[..inner.len() - cut].into();
        spliced["number"] =
            format!("{}{number}", &inner[inner.len() - cut..]).parse::<u64>().unwrap().into();
        assert_eq!(check(&spliced, NOW_MS), Err(Fault::Forged));
    }
}

#[rstest]
#[case::later("expires=1800000120", "expires=1800009999")]
#[case::longer("expires=1800000120", "expires=18000001209")]
#[case::twice("expires=1800000120", "expires=1800000120&expires=1900000120")]
#[case::easier("max=500", "max=50")]
#[case::other_order("order=01", "order=02")]
#[case::no_end("max=500&", "max=500")]
#[case::no_parameters("?expires", "expires")]
fn no_field_of_the_salt_can_be_changed(#[case] from: &str, #[case] to: &str) {
    let mut solution = solve(&challenges().issue(&order_id(1), small(), NOW_MS));
    let salt = solution["salt"].as_str().unwrap();
    assert!(salt.contains(from), "{salt}");
    solution["salt"] = salt.replace(from, to).into();
    assert_eq!(check(&solution, NOW_MS), Err(Fault::Forged));
}

#[rstest]
#[case::too_large("number", json!(501), Fault::OutOfRange)]
#[case::largest("number", json!(u64::MAX), Fault::OutOfRange)]
#[case::negative("number", json!(-1), Fault::Malformed)]
#[case::fraction("number", json!(1.5), Fault::Malformed)]
#[case::text("number", json!("7"), Fault::Malformed)]
#[case::null("number", Value::Null, Fault::Malformed)]
#[case::algorithm("algorithm", json!("SHA-1"), Fault::Forged)]
#[case::lower("algorithm", json!("sha-256"), Fault::Forged)]
#[case::signature("signature", json!("00".repeat(32)), Fault::Forged)]
#[case::short("signature", json!("00"), Fault::Malformed)]
#[case::no_hex("signature", json!("zz".repeat(32)), Fault::Malformed)]
#[case::challenge("challenge", json!("00".repeat(32)), Fault::Forged)]
#[case::no_challenge("challenge", json!(""), Fault::Malformed)]
#[case::salt("salt", json!("a".repeat(161)), Fault::Malformed)]
#[case::more("extra", json!(1), Fault::Malformed)]
#[case::mock("test", json!(true), Fault::Malformed)]
fn every_other_value_is_refused(#[case] name: &str, #[case] value: Value, #[case] fault: Fault) {
    let mut solution = solve(&challenges().issue(&order_id(1), small(), NOW_MS));
    solution[name] = value;
    assert_eq!(check(&solution, NOW_MS), Err(fault));
}

#[test]
fn every_number_but_one_is_wrong() {
    let mut solution = solve(&challenges().issue(&order_id(1), small(), NOW_MS));
    let right = solution["number"].as_u64().unwrap();
    for number in 0..=500 {
        solution["number"] = number.into();
        let expected = if number == right { Ok(small()) } else { Err(Fault::Unsolved) };
        assert_eq!(check(&solution, NOW_MS), expected);
    }
}

#[test]
fn what_is_no_solution_is_malformed() {
    let good = sent(&solve(&challenges().issue(&order_id(1), small(), NOW_MS)));
    let long = "A".repeat(SOLUTION_BYTES_MAX * 2);
    let cut = &good[..good.len() - 4];
    let url_safe = good.replacen('e', "-", 1);
    let two = format!("{good}{good}");
    for bad in
        ["", "=", "e30=", "bnVsbA==", "W10=", &long, cut, &url_safe, &two, &format!(" {good}")]
    {
        let checked = challenges().check(bad.as_bytes(), &order_id(1), NOW_MS);
        assert_eq!(checked, Err(Fault::Malformed), "{bad}");
    }
}

proptest! {
    #[test]
    fn a_changed_byte_never_passes(at in 0usize..1_000, bit in 0u8..8) {
        let challenge = challenges().issue(&order_id(1), small(), NOW_MS);
        let mut bytes = sent(&solve(&challenge)).into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        // The time that it took is not looked at.
        let told = STANDARD.decode(&bytes).ok().and_then(|b| serde_json::from_slice::<Value>(&b).ok());
        let same = told.is_some_and(|told| {
            let good = solve(&challenge);
            ["algorithm", "challenge", "number", "salt"].iter().all(|name| told[name] == good[name])
                && told["signature"].as_str().unwrap_or("").eq_ignore_ascii_case(good["signature"].as_str().unwrap())
        });
        let passed = challenges().check(&bytes, &order_id(1), NOW_MS).is_ok();
        prop_assert!(!passed || same);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, json in "\\PC*") {
        let _ = challenges().check(&bytes, &order_id(1), NOW_MS);
        let encoded = STANDARD.encode(json);
        let _ = challenges().check(encoded.as_bytes(), &order_id(1), NOW_MS);
    }

    #[test]
    fn a_salt_has_one_form(nonce in "[0-9a-f]{0,24}", expires_s: u64, seed: u8, most in 1u32..=400_000) {
        let work = Work::of_number(most).unwrap();
        let salt = Salt { nonce: &nonce, expires_s, order_id: order_id(seed), work };
        let text = salt.text();
        prop_assert_eq!(Salt::parse(&text), Some(salt));
        let (head, last) = (format!("{}&", text), &text[..text.len() - 1]);
        prop_assert!(Salt::parse(&head).is_none() && Salt::parse(last).is_none());
    }
}
