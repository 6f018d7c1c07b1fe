//! What the commands that speak as a shop or a shopper have in common: where the server is, and the names
//! and secrets to speak under.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use crate::cli::client::reach;
use crate::cli::{Failure, Machine, operator};
use crate::config::Config;
use crate::load::Target;
use crate::load::sessions::Credentials;

/// How the public listener is reached.
#[derive(clap::Args)]
pub(super) struct Server {
    /// The public listener (default: that of the configuration).
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Certificates (PEM) to trust, for https.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Server {
    pub(super) fn target(&self, config: &Config) -> Result<Target, Failure> {
        public_target(self.url.as_deref(), self.ca_file.as_ref(), config)
    }
}

/// The public listener: as given, or that of the configuration.
pub(super) fn public_target(
    url: Option<&str>,
    ca_file: Option<&PathBuf>,
    config: &Config,
) -> Result<Target, Failure> {
    let url = match url {
        Some(url) => url.to_owned(),
        None => reach(config.http.listen, config.http.tls_cert_file.is_some()).to_string(),
    };
    let ca_file = ca_file.or(config.http.tls_cert_file.as_ref());
    Ok(Target::parse(&url, ca_file.map(PathBuf::as_path))?)
}

/// The operator's listener, as given or that of the configuration, and the operator's token.
pub(super) fn operator(
    url: Option<&str>,
    ca_file: Option<&PathBuf>,
    token: Option<&SecretString>,
    config: &Config,
) -> Result<(Target, SecretString), Failure> {
    let url = match url {
        Some(url) => url.to_owned(),
        None => reach(config.admin.listen, config.admin.tls_cert_file.is_some()).to_string(),
    };
    let ca_file = ca_file.or(config.admin.tls_cert_file.as_ref());
    let target = Target::parse(&url, ca_file.map(PathBuf::as_path))?;
    let token = token.cloned().map_or_else(|| operator::token(config), Ok)?;
    Ok((target, token))
}

/// An API client: as given (`id:secret`), or the first that is configured.
pub(super) fn credentials(given: Option<&str>, config: &Config) -> Result<Credentials, Failure> {
    if let Some(given) = given {
        return Ok(given.parse()?);
    }
    let client = config.clients.first();
    match client.and_then(|client| Some((client, client.secrets.first()?))) {
        Some((client, secret)) => Ok(Credentials::new(&client.id, secret.expose_secret())),
        None => Err(Failure::new(
            "there is no API client to speak as: give --client id:secret, or set FLUX_GATE__CLIENTS",
        )),
    }
}

/// 64 random bits.
pub(super) fn seed(machine: &Machine<'_>) -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    (machine.fill)(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
