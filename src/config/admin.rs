//! The operator's listener: where it is, who may call it, and what needs two of them.

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

use crate::sale::OperatorRole;

/// The operator's listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Where it listens; loopback unless set.
    pub listen: SocketAddr,
    /// The admin's bearer token; made in the data directory where absent.
    pub token: Option<SecretString>,
    /// Further tokens, each with a role.
    pub tokens: Vec<OperatorToken>,
    /// Certificate chain (PEM).
    pub tls_cert_file: Option<PathBuf>,
    /// Private key (PEM).
    pub tls_key_file: Option<PathBuf>,
    /// Certificates (PEM) of the authority that operators' own certificates descend from. Where set, a
    /// client without one gets no connection.
    pub tls_client_ca_file: Option<PathBuf>,
    /// Which changes need a second operator.
    pub approvals: Approvals,
    /// Listeners of the other nodes and workers, asked for `/readyz` for the console.
    pub peers: Vec<String>,
}

/// Which changes need a second operator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approvals {
    /// None.
    #[default]
    Off,
    /// Those that raise what a running sale can still sell.
    Units,
}

impl Approvals {
    /// The word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Units => "units",
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 3001).into(),
            token: None,
            tokens: Vec::new(),
            tls_cert_file: None,
            tls_key_file: None,
            tls_client_ca_file: None,
            approvals: Approvals::Off,
            peers: Vec::new(),
        }
    }
}

/// An operator's bearer token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorToken {
    /// Who: shown in the logs.
    pub name: String,
    /// What they may do.
    pub role: OperatorRole,
    /// SHA-256 of the token, in hex.
    pub token_sha256: String,
}
