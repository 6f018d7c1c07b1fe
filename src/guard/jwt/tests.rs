//! Tokens that are good, and every way in which one is not.

use std::path::PathBuf;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header};
use rstest::rstest;
use serde_json::json;

use super::*;

const NOW: Now = Now { unix_ms: 1_800_000_000_000, monotonic_us: 5_000_000 };
const NOW_S: u64 = 1_800_000_000;
const SECRET: &str = "shared-secret-0123456789-0123456789";
const ISSUER: &str = "https://shop.example";

fn config(algorithm: JwtAlgorithm) -> JwtIssuer {
    JwtIssuer {
        issuer: ISSUER.to_owned(),
        audience: "flux-gate".to_owned(),
        algorithm,
        key: None,
        key_file: None,
        jwks_file: None,
        user_claim: "sub".to_owned(),
        hash_user: false,
        name_space: "shop".to_owned(),
    }
}

fn shared() -> JwtIssuer {
    JwtIssuer { key: Some(SECRET.into()), ..config(JwtAlgorithm::HS256) }
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "flux-gate", "sub": "alice", "exp": NOW_S + 60})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn encode(header: &Header, claims: &Value, secret: &[u8]) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(secret)).unwrap()
}

fn verify(config: JwtIssuer, token: &str) -> Result<String, WhyNot> {
    let issuers = JwtIssuers::new(&[config]).map_err(|(_, error)| error).unwrap();
    issuers.verify(token, NOW).map(|known| known.user.to_string())
}

fn by_claims(claims: &Value) -> Result<String, WhyNot> {
    verify(shared(), &encode(&Header::default(), claims, SECRET.as_bytes()))
}

const ALICE: Result<&str, &str> = Ok("alice");

#[rstest]
#[case::good(claims(), ALICE)]
#[case::nbf_past(with("nbf", json!(NOW_S)), ALICE)]
#[case::fractional_exp(with("exp", json!(NOW_S as f64 + 0.5)), ALICE)]
#[case::aud_list(with("aud", json!(["other", "flux-gate"])), ALICE)]
#[case::exp_within_leeway(with("exp", json!(NOW_S - 29)), ALICE)]
#[case::nbf_within_leeway(with("nbf", json!(NOW_S + 30)), ALICE)]
#[case::number_as_user(with("sub", json!(42)), Ok("42"))]
#[case::no_exp(without("exp"), Err("The token lacks a numeric exp."))]
#[case::text_exp(with("exp", json!("1800000060")), Err("The token lacks a numeric exp."))]
#[case::null_exp(with("exp", json!(null)), Err("The token lacks a numeric exp."))]
#[case::negative_exp(with("exp", json!(-1)), Err("The token lacks a numeric exp."))]
#[case::expired(with("exp", json!(NOW_S - 30)), Err("The token has expired."))]
#[case::text_nbf(with("nbf", json!("0")), Err("The token's nbf is not a number."))]
#[case::null_nbf(with("nbf", json!(null)), Err("The token's nbf is not a number."))]
#[case::early(with("nbf", json!(NOW_S + 31)), Err("The token is not good yet."))]
#[case::other_iss(with("iss", json!("https://evil.example")), Err("The token's issuer is not known."))]
#[case::iss_list(with("iss", json!([ISSUER])), Err("The bearer token is not a JWT that is taken here."))]
#[case::no_iss(without("iss"), Err("The bearer token is not a JWT that is taken here."))]
#[case::other_aud(with("aud", json!("other")), Err("The token is for another audience."))]
#[case::aud_in_part(with("aud", json!("flux-gate-2")), Err("The token is for another audience."))]
#[case::no_aud(without("aud"), Err("The token is for another audience."))]
#[case::no_user(without("sub"), Err("The token lacks the claim that holds the user id."))]
#[case::empty_user(with("sub", json!("")), Err("The token lacks the claim that holds the user id."))]
#[case::list_user(with("sub", json!(["alice"])), Err("The token's claims cannot be read."))]
#[case::mail(with("sub", json!("a@b.example")), Err("The token's user id does not match ^[a-z0-9-]{1,50}$."))]
fn claims_are_checked_one_by_one(#[case] claims: Value, #[case] expected: Result<&str, &str>) {
    assert_eq!(by_claims(&claims), expected.map(ToOwned::to_owned));
}

fn raw(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn tokens_that_are_none_unsigned_or_signed_by_another() {
    let good = encode(&Header::default(), &claims(), SECRET.as_bytes());
    let mut bad = vec![String::new(), "a.b.c".to_owned(), "v1.e30.AAAA".to_owned()];
    for alg in ["none", "None", "NONE", "", "HS512"] {
        bad.push(raw(&json!({"alg": alg, "typ": "JWT"}), &claims(), b""));
    }
    bad.push(raw(&json!({"alg": "HS256"}), &claims(), b""));
    bad.push(encode(&Header::new(Algorithm::HS512), &claims(), SECRET.as_bytes()));
    bad.push(encode(&Header::default(), &claims(), b"another secret, as long as the right one"));
    bad.push(good[..good.len() - 1].to_owned());
    bad.push(good.rsplit_once('.').unwrap().0.to_owned());
    bad.push(format!("{good}."));
    bad.push("a".repeat(TOKEN_BYTES_MAX + 1));
    let extended = Header { crit: Some(vec!["b64".to_owned()]), ..Header::default() };
    bad.push(encode(&extended, &claims(), SECRET.as_bytes()));
    for token in bad {
        assert!(verify(shared(), &token).is_err(), "{token}");
    }
    assert!(verify(shared(), &good).is_ok());
}

#[test]
fn where_a_token_points_to_is_never_looked_at() {
    let jwk = json!({"kty": "oct", "k": "ZXZpbA", "alg": "HS256"});
    let header = Header {
        jku: Some("https://evil.example/keys".to_owned()),
        x5u: Some("https://evil.example/cert".to_owned()),
        jwk: serde_json::from_value(jwk).ok(),
        ..Header::default()
    };
    assert!(header.jwk.is_some());
    // Signed by the key that it brings along: no; by the configured one: its pointers change nothing.
    assert!(verify(shared(), &encode(&header, &claims(), b"evil")).is_err());
    assert!(verify(shared(), &encode(&header, &claims(), SECRET.as_bytes())).is_ok());
}

#[test]
fn a_user_id_can_come_from_another_claim_and_be_hashed() {
    let config = JwtIssuer { user_claim: "email".to_owned(), hash_user: true, ..shared() };
    let token = encode(&Header::default(), &with("email", json!("A@b.example")), SECRET.as_bytes());
    let user = verify(config, &token).unwrap();
    assert_eq!(user, hashed_user("A@b.example"));
    assert_eq!(hashed_user("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb4");
}

/// A key pair: the private half for the shop, the public one as PEM and as JWK for us.
struct Pair {
    algorithm: JwtAlgorithm,
    signing: EncodingKey,
    public_pem: String,
    jwk: Value,
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn pair(algorithm: JwtAlgorithm) -> Pair {
    let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match algorithm {
        JwtAlgorithm::HS256 => unreachable!("no pair"),
        JwtAlgorithm::RS256 => {
            let size = aws_lc_rs::rsa::KeySize::Rsa2048;
            let pair = aws_lc_rs::rsa::KeyPair::generate(size).unwrap();
            let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
            let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
            let modulus = pair.public_key().modulus().big_endian_without_leading_zero().to_vec();
            let exponent = pair.public_key().exponent().big_endian_without_leading_zero().to_vec();
            let private = pem("PRIVATE KEY", private.as_ref());
            Pair {
                algorithm,
                signing: EncodingKey::from_rsa_pem(private.as_bytes()).unwrap(),
                public_pem: pem("PUBLIC KEY", public.as_ref()),
                jwk: json!({"kty": "RSA", "n": base64(&modulus), "e": base64(&exponent)}),
            }
        }
        JwtAlgorithm::ES256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            let private = pair.to_pkcs8v1().unwrap();
            let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
            let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
            let private = pem("PRIVATE KEY", private.as_ref());
            Pair {
                algorithm,
                signing: EncodingKey::from_ec_pem(private.as_bytes()).unwrap(),
                public_pem: pem("PUBLIC KEY", public.as_ref()),
                jwk: json!({"kty": "EC", "crv": "P-256", "x": base64(x), "y": base64(y)}),
            }
        }
        JwtAlgorithm::EdDSA => {
            let private = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(private.as_ref()).unwrap();
            let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
            let x = base64(pair.public_key().as_ref());
            let private = pem("PRIVATE KEY", private.as_ref());
            Pair {
                algorithm,
                signing: EncodingKey::from_ed_pem(private.as_bytes()).unwrap(),
                public_pem: pem("PUBLIC KEY", public.as_ref()),
                jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": x}),
            }
        }
    }
}

impl Pair {
    fn token(&self, kid: Option<&str>) -> String {
        let mut header = Header::new(algorithm(self.algorithm));
        header.kid = kid.map(ToOwned::to_owned);
        jsonwebtoken::encode(&header, &claims(), &self.signing).unwrap()
    }

    fn jwk(&self, kid: &str) -> Value {
        let mut jwk = self.jwk.clone();
        jwk["kid"] = json!(kid);
        jwk
    }
}

fn write(directory: &tempfile::TempDir, name: &str, content: &str) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

#[rstest]
#[case(JwtAlgorithm::RS256)]
#[case(JwtAlgorithm::ES256)]
#[case(JwtAlgorithm::EdDSA)]
fn public_keys_from_a_file_or_a_set_and_no_confusion_of_kinds(#[case] algorithm: JwtAlgorithm) {
    let directory = tempfile::tempdir().unwrap();
    let (right, other) = (pair(algorithm), pair(algorithm));
    let key_file = write(&directory, "key.pem", &right.public_pem);
    let by_file = || JwtIssuer { key_file: Some(key_file.clone()), ..config(algorithm) };
    let set = json!({"keys": [other.jwk("b"), right.jwk("a")]}).to_string();
    let jwks_file = write(&directory, "keys.json", &set);
    let by_set = || JwtIssuer { jwks_file: Some(jwks_file.clone()), ..config(algorithm) };

    assert_eq!(verify(by_file(), &right.token(None)).as_deref(), Ok("alice"));
    assert!(verify(by_file(), &other.token(None)).is_err());
    assert_eq!(verify(by_set(), &right.token(Some("a"))).as_deref(), Ok("alice"));
    assert!(verify(by_set(), &right.token(Some("b"))).is_err());
    assert!(verify(by_set(), &right.token(Some("../a"))).is_err());
    assert!(verify(by_set(), &right.token(None)).is_err());
    // Key confusion: the public key, which everybody has, as the secret of an HMAC.
    let header = Header { kid: Some("a".to_owned()), ..Header::default() };
    let public = right.public_pem.as_bytes();
    for secret in [public, public.trim_ascii(), right.jwk.to_string().as_bytes()] {
        let confused = encode(&header, &claims(), secret);
        assert!(verify(by_file(), &confused).is_err());
        assert!(verify(by_set(), &confused).is_err());
    }
}

#[test]
fn an_unknown_kid_reads_the_set_anew_at_most_once_in_30_s() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (pair(JwtAlgorithm::EdDSA), pair(JwtAlgorithm::EdDSA));
    let set = |pairs: &[Value]| json!({ "keys": pairs }).to_string();
    let path = write(&directory, "keys.json", &set(&[old.jwk("old")]));
    let config = JwtIssuer { jwks_file: Some(path), ..config(JwtAlgorithm::EdDSA) };
    let issuers = JwtIssuers::new(&[config]).map_err(|(_, error)| error).unwrap();
    let at = |seconds: u64, pair: &Pair, kid: &str| {
        let now = Now { monotonic_us: seconds * 1_000_000, ..NOW };
        issuers.verify(&pair.token(Some(kid)), now).is_ok()
    };
    assert!(at(0, &old, "old"));
    assert!(!at(1, &new, "new"));
    write(&directory, "keys.json", &set(&[new.jwk("new")]));
    assert!(!at(30, &new, "new"));
    assert!(at(30, &old, "old"));
    assert!(at(31, &new, "new"));
    assert!(!at(31, &old, "old"));
    // A file that is cut off in the middle of being written leaves the keys as they were.
    write(&directory, "keys.json", "{\"keys\":[");
    assert!(!at(61, &old, "old"));
    assert!(at(61, &new, "new"));
}

#[test]
fn sets_hold_only_signature_keys_of_the_algorithm() {
    let directory = tempfile::tempdir().unwrap();
    let pair = pair(JwtAlgorithm::ES256);
    let read = |jwk: Value| {
        let path = write(&directory, "keys.json", &json!({"keys": [jwk]}).to_string());
        KeySet::read(&path, JwtAlgorithm::ES256).is_ok()
    };
    let changed = |name: &str, value: &str| {
        let mut jwk = pair.jwk("a");
        jwk[name] = json!(value);
        jwk
    };
    assert!(read(pair.jwk("a")) && read(changed("use", "sig")) && read(changed("alg", "ES256")));
    assert!(!read(changed("use", "enc")) && !read(changed("alg", "ES384")));
    assert!(!read(changed("crv", "P-384")) && !read(json!({"kty": "oct", "k": "c2VjcmV0"})));
}

#[test]
fn issuers_that_cannot_be_are_refused() {
    let none = config(JwtAlgorithm::HS256);
    let two = JwtIssuer { key_file: Some("key.pem".into()), ..shared() };
    let wrong_kind = JwtIssuer { algorithm: JwtAlgorithm::RS256, ..shared() };
    let short = JwtIssuer { key: Some("short".into()), ..shared() };
    let bad_space = JwtIssuer { name_space: "a b".to_owned(), ..shared() };
    let no_file = JwtIssuer { jwks_file: Some("/nonexistent".into()), ..none.clone() };
    for config in [none, two, wrong_kind, short, bad_space, no_file] {
        assert!(JwtIssuers::new(&[config]).is_err());
    }
}

#[test]
fn issuers_of_one_name_are_told_apart_by_audience() {
    let second = JwtIssuer { audience: "outlet".to_owned(), ..shared() };
    let second = JwtIssuer { name_space: "outlet".to_owned(), ..second };
    let issuers = JwtIssuers::new(&[shared(), second]).map_err(|(_, error)| error).unwrap();
    let space = |aud: &str| {
        let token = encode(&Header::default(), &with("aud", json!(aud)), SECRET.as_bytes());
        issuers.verify(&token, NOW).map(|known| known.name_space.to_owned())
    };
    assert_eq!(space("flux-gate").as_deref(), Ok("shop"));
    assert_eq!(space("outlet").as_deref(), Ok("outlet"));
    assert!(space("other").is_err());
}
