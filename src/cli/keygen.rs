//! `keygen`: prints new secrets. Nothing is stored.

use aws_lc_rs::digest::{SHA256, digest};
use secrecy::ExposeSecret;

use crate::cli::{Exit, Failure, Machine};
use crate::config::env;
use crate::config::schema::variable;
use crate::keys::SECRET_BYTES;
use crate::keys::stored::StoredSecret;

/// Print new secrets, ready for the environment or the configuration file.
///
/// Without --client and --operator: the four secrets of a deployment. The order key and the buyer key stay
/// for the life of a sale; keep them with the backup.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate keygen > secrets.env
  flux-gate keygen --toml
  flux-gate keygen --client shop
  flux-gate keygen --operator ann --role viewer")]
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
    /// What the operator may do.
    #[arg(long, default_value = "viewer", value_parser = ["viewer", "operator", "admin"])]
    role: String,
}

impl Keygen {
    pub(super) fn run(self, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
        let text = match (&self.client, &self.operator) {
            (Some(id), _) => self.client_secret(id, machine)?,
            (None, Some(name)) => self.operator_token(name, machine)?,
            (None, None) => self.deployment(machine)?,
        };
        machine.out.write_all(text.as_bytes())?;
        Ok(Exit::Done)
    }

    fn deployment(&self, machine: &Machine<'_>) -> Result<String, Failure> {
        let mut text = String::new();
        let mut section = "";
        for (key, secret) in [
            ("admin.token", StoredSecret::AdminToken),
            ("secrets.order_key", StoredSecret::OrderKey),
            ("secrets.buyer_key", StoredSecret::BuyerKey),
            ("secrets.pass_keys", StoredSecret::PassKeys),
        ] {
            let value = secret.generate(machine.fill)?;
            let value = value.expose_secret();
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

fn id(text: &str) -> Result<String, String> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=64).contains(&text.len()) && text.bytes().all(valid) {
        Ok(text.to_owned())
    } else {
        Err("use 1 to 64 letters, digits, - and _".to_owned())
    }
}
