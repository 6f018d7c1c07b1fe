//! Challenges: who makes them, and for the services of others how they are asked.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

use super::check::{Found, SECRET_BYTES_MAX, crosses_in_clear, service_uri};

/// Who makes challenges and says whether they are solved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// This node: a proof of work in the open protocol of ALTCHA.
    #[default]
    Altcha,
    /// Cloudflare Turnstile.
    Turnstile,
    /// hCaptcha.
    Hcaptcha,
    /// Google reCAPTCHA.
    Recaptcha,
}

impl Provider {
    /// The word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Altcha => "altcha",
            Self::Turnstile => "turnstile",
            Self::Hcaptcha => "hcaptcha",
            Self::Recaptcha => "recaptcha",
        }
    }

    /// Where it is asked, unless the configuration says otherwise; nothing for our own.
    pub fn siteverify_url(self) -> &'static str {
        match self {
            Self::Altcha => "",
            Self::Turnstile => "https://challenges.cloudflare.com/turnstile/v0/siteverify",
            Self::Hcaptcha => "https://api.hcaptcha.com/siteverify",
            Self::Recaptcha => "https://www.google.com/recaptcha/api/siteverify",
        }
    }
}

/// What becomes of an order whose solution the service cannot be asked about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It is refused as if nothing had been solved.
    #[default]
    Closed,
    /// It goes on.
    Open,
}

impl OnFailure {
    /// The word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }
}

/// Challenges.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Challenge {
    /// Who makes them.
    pub provider: Provider,
    /// How long one of ours is good, in seconds.
    pub expires_seconds: u64,
    /// The service's key for the page: sent with the refusal.
    pub site_key: String,
    /// The service's secret for this server.
    pub secret: Option<SecretString>,
    /// Where the service is asked; its own address unless set.
    pub siteverify_url: String,
    /// The name of the site that a solution must be from; empty is any.
    pub hostname: String,
    /// The action that a solution must be for; empty is any.
    pub action: String,
    /// Certificates (PEM) that the service's must descend from; the system's unless set.
    pub ca_file: Option<PathBuf>,
    /// How long the service may take, in milliseconds.
    pub timeout_ms: u64,
    /// What holds if it does not answer in that time, or not as it should.
    pub on_failure: OnFailure,
}

impl Default for Challenge {
    fn default() -> Self {
        Self {
            provider: Provider::Altcha,
            expires_seconds: 120,
            site_key: String::new(),
            secret: None,
            siteverify_url: String::new(),
            hostname: String::new(),
            action: String::new(),
            ca_file: None,
            timeout_ms: 2_000,
            on_failure: OnFailure::Closed,
        }
    }
}

impl Challenge {
    /// Where the service is asked; `None` for our own, and if it is no address.
    pub fn target(&self) -> Option<http::Uri> {
        let text = match self.siteverify_url.as_str() {
            "" => self.provider.siteverify_url(),
            text => text,
        };
        service_uri(text)
    }
}

pub(super) fn check(found: &mut Found, challenge: &Challenge) {
    use secrecy::ExposeSecret;
    if challenge.provider == Provider::Altcha {
        if challenge.secret.is_some() {
            let mend = "name the service in challenge.provider, or leave its secret away";
            found.error("challenge.secret", "is set, but the provider is altcha", mend);
        }
        return;
    }
    match &challenge.secret {
        None => {
            let mend = "set the secret that the service gave for this site";
            found.error("challenge.secret", "is missing", mend);
        }
        Some(secret) => {
            let bytes = secret.expose_secret().len();
            if bytes == 0 || bytes > SECRET_BYTES_MAX {
                let mend = "set the secret that the service gave for this site";
                let what = format!("has {bytes} bytes, outside 1 to {SECRET_BYTES_MAX}");
                found.error("challenge.secret", what, mend);
            }
        }
    }
    match challenge.target() {
        None => {
            let mend = "write such as https://service.example/siteverify";
            found.error("challenge.siteverify_url", "is not the address of a call", mend);
        }
        Some(uri) if crosses_in_clear(&uri) => {
            let mend = "write https://";
            found.error("challenge.siteverify_url", "would send the secret in clear", mend);
        }
        Some(_) => {}
    }
    if challenge.site_key.is_empty() {
        let mend = "set the key that the service gave for the page";
        found.error("challenge.site_key", "is missing", mend);
    }
}
