//! Merchants' JWTs, well made and badly.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use aws_lc_rs::{hmac, rsa};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The audience of all issuers.
pub const AUDIENCE: &str = "flux-gate";
/// The issuer with a shared secret.
pub const HS_ISSUER: &str = "https://hs.shop.test";
/// Its secret.
pub const HS_SECRET: &str = "jwt-shared-secret-0123456789abcdef0123456789abcdef";
/// The issuer with an elliptic curve.
pub const ES_ISSUER: &str = "https://es.shop.test";
/// The issuer with RSA.
pub const RS_ISSUER: &str = "https://rs.shop.test";

/// The keys of the three issuers.
pub struct Issuers {
    es: EcdsaKeyPair,
    rs: rsa::KeyPair,
}

impl Issuers {
    /// Makes new keys.
    ///
    /// # Errors
    /// The library makes none.
    pub fn make() -> anyhow::Result<Self> {
        Ok(Self {
            es: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
            rs: rsa::KeyPair::generate(KeySize::Rsa2048)?,
        })
    }

    /// The public key of the issuer with an elliptic curve, as PEM.
    ///
    /// # Errors
    /// The library cannot write it.
    pub fn es_pem(&self) -> anyhow::Result<String> {
        let der: PublicKeyX509Der<'_> = self.es.public_key().as_der()?;
        Ok(pem(der.as_ref()))
    }

    /// The public key of the issuer with RSA, as PEM.
    ///
    /// # Errors
    /// The library cannot write it.
    pub fn rs_pem(&self) -> anyhow::Result<String> {
        let der: PublicKeyX509Der<'_> = self.rs.public_key().as_der()?;
        Ok(pem(der.as_ref()))
    }

    /// A token that the issuer with an elliptic curve signed.
    ///
    /// # Errors
    /// The library does not sign.
    pub fn es(&self, header: &Value, claims: &Value) -> anyhow::Result<String> {
        let signed = unsigned(header, claims);
        let signature = self.es.sign(&SystemRandom::new(), signed.as_bytes())?;
        Ok(join(&signed, signature.as_ref()))
    }

    /// A token that the issuer with RSA signed.
    ///
    /// # Errors
    /// The library does not sign.
    pub fn rs(&self, header: &Value, claims: &Value) -> anyhow::Result<String> {
        let signed = unsigned(header, claims);
        let mut signature = vec![0; self.rs.public_modulus_len()];
        let random = SystemRandom::new();
        self.rs.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature)?;
        Ok(join(&signed, &signature))
    }
}

/// A token with an HMAC under this secret.
pub fn hs(secret: &[u8], header: &Value, claims: &Value) -> String {
    let signed = unsigned(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    join(&signed, tag.as_ref())
}

/// A token without a signature.
pub fn bare(header: &Value, claims: &Value) -> String {
    join(&unsigned(header, claims), b"")
}

/// The customary header.
pub fn header(algorithm: &str) -> Value {
    json!({ "alg": algorithm, "typ": "JWT" })
}

/// Good claims of this user.
pub fn claims(issuer: &str, user: &str, now_ms: u64) -> Value {
    let now = now_ms / 1_000;
    json!({ "iss": issuer, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + 300 })
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("{header}.{claims}")
}

fn join(signed: &str, signature: &[u8]) -> String {
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("base64 is ASCII"))
        .collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}
