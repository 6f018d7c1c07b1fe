//! Asks a service whether a challenge of its own was solved: the one call `siteverify` that Turnstile, hCaptcha
//! and reCAPTCHA share. A form of `secret` and `response` goes there, JSON comes back.
//!
//! The service sees to it that a solution is used once. Nothing of the shopper is sent but the solution: no
//! address. A call has a time-out, calls under way are bounded, an answer is bounded, and what is logged of a
//! failure names neither secret nor solution.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::config::challenge::{Challenge, OnFailure, Provider};
use crate::outgoing::{self, Post, Service, ServiceError, TlsError};

/// Calls under way at once; a further one counts as failed.
pub const CALLS_MAX: usize = 256;
/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1_024;

/// Why the service cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum SiteverifyError {
    /// A setting; `config check` would have said so.
    #[error("{0} cannot be used; see `flux-gate config check`")]
    Setting(&'static str),
    /// TLS, or the certificates of its authority.
    #[error("challenge.ca_file: {0}")]
    Tls(TlsError),
}

impl From<ServiceError> for SiteverifyError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Address => Self::Setting("challenge.siteverify_url"),
            ServiceError::Tls(error) => Self::Tls(error),
        }
    }
}

/// What the service says of a solution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// It is one, for this site and action.
    Solved,
    /// It is none.
    Refused,
    /// It could not be asked, and the configuration lets the order go on.
    Excused,
    /// It could not be asked, and the order may not go on.
    Failed,
}

/// The service.
pub struct Siteverify {
    service: Service,
    secret: SecretString,
    hostname: String,
    action: String,
    on_failure: OnFailure,
    under_way: AtomicUsize,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Call(#[from] outgoing::CallError),
    #[error("the answer is no JSON of such a service")]
    Answer,
    #[error("too many calls are under way")]
    Busy,
    #[error("it refused this server: {0}")]
    Server(&'static str),
}

/// What the three say alike. Other members are passed over.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// Whether it was solved.
    pub success: bool,
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default, rename = "error-codes")]
    error_codes: Vec<String>,
}

impl Answer {
    /// Reads the body of an answer; `None` if it is no JSON of such a service.
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

impl Siteverify {
    /// The service of the configuration; `None` where challenges are our own.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn new(config: &Challenge) -> Result<Option<Self>, SiteverifyError> {
        if config.provider == Provider::Altcha {
            return Ok(None);
        }
        let ca_file = config.ca_file.as_deref();
        let service = Service::new(config.target(), ca_file, config.timeout_ms, ANSWER_BYTES_MAX)?;
        let secret = config.secret.clone();
        let secret = secret.ok_or(SiteverifyError::Setting("challenge.secret"))?;
        Ok(Some(Self {
            service,
            secret,
            hostname: config.hostname.clone(),
            action: config.action.clone(),
            on_failure: config.on_failure,
            under_way: AtomicUsize::new(0),
        }))
    }

    /// Asks whether this is a solution.
    pub async fn verify(&self, solution: &[u8]) -> Verified {
        match self.call(solution).await {
            Ok(answer) if self.takes(&answer) => Verified::Solved,
            Ok(_) => Verified::Refused,
            Err(error) => {
                tracing::warn!(%error, "a challenge could not be verified by its service");
                match self.on_failure {
                    OnFailure::Open => Verified::Excused,
                    OnFailure::Closed => Verified::Failed,
                }
            }
        }
    }

    /// Whether it was solved, on this site and for this action.
    fn takes(&self, answer: &Answer) -> bool {
        let fits = |wanted: &str, said: &Option<String>| {
            wanted.is_empty() || said.as_deref() == Some(wanted)
        };
        answer.success
            && fits(&self.hostname, &answer.hostname)
            && fits(&self.action, &answer.action)
    }

    async fn call(&self, solution: &[u8]) -> Result<Answer, CallError> {
        let _under_way = UnderWay::enter(&self.under_way).ok_or(CallError::Busy)?;
        let answer = self.ask(solution).await?;
        // What speaks against our own setting is no word on the solution.
        const OURS: [&str; 3] = ["missing-input-secret", "invalid-input-secret", "internal-error"];
        match OURS.into_iter().find(|code| answer.error_codes.iter().any(|said| said == code)) {
            Some(code) if !answer.success => Err(CallError::Server(code)),
            _ => Ok(answer),
        }
    }

    async fn ask(&self, solution: &[u8]) -> Result<Answer, CallError> {
        let solution = String::from_utf8_lossy(solution);
        let form = [("secret", self.secret.expose_secret()), ("response", &solution)];
        let body = serde_urlencoded::to_string(form).unwrap_or_default().into();
        let content_type = "application/x-www-form-urlencoded";
        // hCaptcha says 200 of all, Turnstile 400 of some that it does not take.
        let takes = |status: StatusCode| status.is_success() || status == StatusCode::BAD_REQUEST;
        let answer = self.service.post(Post { content_type, headers: &[], body }, takes).await?;
        Answer::read(&answer).ok_or(CallError::Answer)
    }
}

/// A call's place among those under way.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn enter(count: &'a AtomicUsize) -> Option<Self> {
        let entered = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < CALLS_MAX).then_some(entered)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
