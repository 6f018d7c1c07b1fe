//! `keygen`: prints new secrets. Nothing is stored, but private sealing keys where they are asked for.

use std::path::{Path, PathBuf};

use aws_lc_rs::agreement::{PrivateKey, X25519};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use secrecy::ExposeSecret;

use crate::cli::{Exit, Failure, Machine};
use crate::config::env;
use crate::config::schema::variable;
use crate::keys::SECRET_BYTES;
use crate::keys::stored::StoredSecret;

/// Print new secrets, ready for the environment or the configuration file.
///
/// Without --client and --operator: the four secrets of a deployment, and with --many-nodes those that nodes
/// and workers share. The order key and the buyer key stay for the life of a sale; keep them with the backup.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate keygen > secrets.env
  flux-gate keygen --toml
  flux-gate keygen --many-nodes > secrets.env
  flux-gate keygen --client shop
  flux-gate keygen --operator ann --role viewer
  flux-gate keygen --seal-keys /var/lib/flux-gate-worker/seal-keys --count 60")]
pub(super) struct Keygen {
    /// Print TOML for the configuration file.
    #[arg(long)]
    toml: bool,
    /// Print a secret for the API client of this id.
    #[arg(long, value_name = "ID", value_parser = id)]
    client: Option<String>,
    /// Print a token for the operator of this name, and the row for the configuration file.
    #[arg(long, value_name = "NAME", value_parser = id, conflicts_with = "client")]
    operator: Option<String>,
    /// Print the secrets of many nodes too: those of the records on Kafka and of the sealed user ids.
    #[arg(long, conflicts_with_all = ["client", "operator"])]
    many_nodes: bool,
    /// Make keys that user ids are sealed to on Kafka, each for a period, ahead of time: writes the private halves
    /// into this directory of a worker (privacy.seal_keys_dir), a file each, and prints the list of the public ones
    /// for all nodes and workers. Made again, it goes on after the last one.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["client", "operator", "many_nodes", "toml"])]
    seal_keys: Option<PathBuf>,
    /// How many of them.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1_000), requires = "seal_keys")]
    count: u64,
    /// How long each one seals, in hours.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=696), requires = "seal_keys")]
    period_hours: u64,
    /// What the operator may do.
    #[arg(long, default_value = "viewer", value_parser = ["viewer", "operator", "admin"])]
    role: String,
}

impl Keygen {
    pub(super) fn run(self, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
        if let Some(dir) = &self.seal_keys {
            return self.make_seal_keys(dir, machine);
        }
        let text = match (&self.client, &self.operator) {
            (Some(id), _) => self.client_secret(id, machine)?,
            (None, Some(name)) => self.operator_token(name, machine)?,
            (None, None) => self.deployment(machine)?,
        };
        machine.out.write_all(text.as_bytes())?;
        Ok(Exit::Done)
    }

    #[cfg(not(feature = "distributed"))]
    fn make_seal_keys(&self, _: &Path, _: &mut Machine<'_>) -> Result<Exit, Failure> {
        Err(Failure::new(
            "this build has the embedded store alone, which seals nothing; build with \
             `cargo build --release --features distributed`",
        ))
    }

    #[cfg(feature = "distributed")]
    fn make_seal_keys(&self, dir: &Path, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
        use crate::keys::seal::kept;

        const HOUR_MS: u64 = 3_600_000;
        let known = if dir.exists() { kept::list(dir)? } else { Vec::new() };
        let period_ms = self.period_hours * HOUR_MS;
        let now_ms = machine.clock.unix_ms() / 1_000 * 1_000;
        let next_ms = known.last().map_or(now_ms, |last| last.from_ms.saturating_add(period_ms));
        let mut from_ms = next_ms.max(now_ms);
        for _ in 0..self.count {
            let mut private = zeroize::Zeroizing::new([0; SECRET_BYTES]);
            (machine.fill)(private.as_mut_slice())?;
            kept::write(dir, &format!("s{}", from_ms / 1_000), from_ms, &private)?;
            from_ms += period_ms;
        }
        let list = kept::public_list(dir)?;
        writeln!(machine.out, "{}={list}", variable("secrets.seal_public_key"))?;
        Ok(Exit::Done)
    }

    fn deployment(&self, machine: &Machine<'_>) -> Result<String, Failure> {
        let mut values = Vec::new();
        for (key, secret) in [
            ("admin.token", StoredSecret::AdminToken),
            ("secrets.order_key", StoredSecret::OrderKey),
            ("secrets.buyer_key", StoredSecret::BuyerKey),
            ("secrets.pass_keys", StoredSecret::PassKeys),
        ] {
            values.push((key, secret.generate(machine.fill)?.expose_secret().to_owned()));
        }
        if self.many_nodes {
            values.extend(many_nodes(machine)?);
        }
        let mut text = String::new();
        let mut section = "";
        for (key, value) in values {
            let (of, field) = key.split_once('.').unwrap_or(("", key));
            if !self.toml {
                text += &format!("{}={value}\n", variable(key));
                continue;
            }
            if of != section {
                text += &format!("[{of}]\n");
                section = of;
            }
            text += &format!("{field} = \"{value}\"\n");
        }
        Ok(text)
    }

    fn client_secret(&self, id: &str, machine: &Machine<'_>) -> Result<String, Failure> {
        let secret = machine.random_hex::<SECRET_BYTES>()?;
        Ok(if self.toml {
            format!("[[clients]]\nid = \"{id}\"\nsecrets = [\"{secret}\"]\n")
        } else {
            format!("{}={id}:{secret}\n", env::CLIENTS)
        })
    }

    fn operator_token(&self, name: &str, machine: &Machine<'_>) -> Result<String, Failure> {
        let token = machine.random_hex::<SECRET_BYTES>()?;
        let hash = hex::encode(digest(&SHA256, token.as_bytes()));
        let role = &self.role;
        Ok(format!(
            "# The token, for {name} alone: {token}\n\
             [[admin.tokens]]\nname = \"{name}\"\nrole = \"{role}\"\ntoken_sha256 = \"{hash}\"\n"
        ))
    }
}

/// The secrets that nodes and workers share. `operator_key` belongs on the nodes that serve operators alone,
/// `seal_private_keys` on the workers alone.
fn many_nodes(machine: &Machine<'_>) -> Result<Vec<(&'static str, String)>, Failure> {
    let (mut seed, mut private) = ([0; 32], [0; 32]);
    (machine.fill)(&mut seed)?;
    (machine.fill)(&mut private)?;
    let operator = Ed25519KeyPair::from_seed_unchecked(&seed)?;
    let seal = PrivateKey::from_private_key(&X25519, &private)?.compute_public_key()?;
    Ok(vec![
        ("secrets.record_keys", format!("1:{}", machine.random_hex::<SECRET_BYTES>()?)),
        ("secrets.operator_key", hex::encode(seed)),
        ("secrets.operator_public_key", hex::encode(operator.public_key().as_ref())),
        ("secrets.seal_public_key", format!("1:{}", hex::encode(seal.as_ref()))),
        ("secrets.seal_private_keys", format!("1:{}", hex::encode(private))),
        ("secrets.receipt_key", machine.random_hex::<SECRET_BYTES>()?),
    ])
}

fn id(text: &str) -> Result<String, String> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=64).contains(&text.len()) && text.bytes().all(valid) {
        Ok(text.to_owned())
    } else {
        Err("use 1 to 64 letters, digits, - and _".to_owned())
    }
}
