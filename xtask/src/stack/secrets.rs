//! The program's own secrets for one run: those that all nodes share, and those of worker and operator.

use anyhow::anyhow;
use aws_lc_rs::agreement::{PrivateKey, X25519};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use super::files::random_hex;

/// Makes new ones, as `FLUX_GATE__…` variables.
pub fn make() -> anyhow::Result<Vec<(String, String)>> {
    let operator_seed = random_hex(32)?;
    let operator = Ed25519KeyPair::from_seed_unchecked(&hex::decode(&operator_seed)?)
        .map_err(|error| anyhow!("no operator key: {error}"))?;
    let seal_private = random_hex(32)?;
    let seal = PrivateKey::from_private_key(&X25519, &hex::decode(&seal_private)?)
        .map_err(|error| anyhow!("no sealing key: {error}"))?;
    let seal_public = seal.compute_public_key()?;
    let variables = [
        ("ADMIN__TOKEN", random_hex(32)?),
        ("SECRETS__ORDER_KEY", random_hex(32)?),
        ("SECRETS__BUYER_KEY", random_hex(32)?),
        ("SECRETS__PASS_KEYS", format!("p1:{}", random_hex(32)?)),
        ("SECRETS__RECORD_KEYS", format!("r1:{}", random_hex(32)?)),
        ("SECRETS__OPERATOR_KEY", operator_seed),
        ("SECRETS__OPERATOR_PUBLIC_KEY", hex::encode(operator.public_key())),
        ("SECRETS__SEAL_PUBLIC_KEY", format!("s1:{}", hex::encode(seal_public))),
        ("SECRETS__SEAL_PRIVATE_KEYS", format!("s1:{seal_private}")),
    ];
    Ok(variables.map(|(name, value)| (format!("FLUX_GATE__{name}"), value)).into())
}
