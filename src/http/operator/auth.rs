//! Operators' bearer tokens and roles.
//!
//! A call carries a token, or the cookie of a session of the console, which stands for one; a call with a
//! cookie is answered only if it comes from the console's own page (see [`origin`]).
//!
//! Only the SHA-256 of a token is kept; the comparison takes the same time whatever the token is. A token
//! is long and random, so that a plain hash of it gives nothing away.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::console::{login, origin};
use super::{Operator, trail};
use crate::audit::RefusalKind;
use crate::chain::sha256;
use crate::config::OperatorToken;
use crate::http::code::Code;
use crate::http::reply;
use crate::sale::{ControlState, InvalidId, OperatorName, OperatorRole};

/// The tokens of the configuration. Those that are made while the gate runs are in the control state.
#[derive(Debug)]
pub struct Tokens(Vec<Token>);

#[derive(Debug)]
struct Token {
    name: OperatorName,
    role: OperatorRole,
    sha256: [u8; 32],
}

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// The name of the token.
    pub name: OperatorName,
    /// What the token may do.
    pub role: OperatorRole,
}

/// A configured token cannot be.
#[derive(Debug, thiserror::Error)]
pub enum BadToken {
    /// The hash.
    #[error("admin.tokens: token_sha256 of {0:?} must be 64 hexadecimal digits")]
    Hash(String),
    /// The name.
    #[error("admin.tokens: the name {0:?} {1}")]
    Name(String, InvalidId),
}

impl Tokens {
    /// The admin's token and the further ones of the configuration.
    ///
    /// # Errors
    /// A configured hash or name is malformed.
    pub fn new(admin: &SecretString, further: &[OperatorToken]) -> Result<Self, BadToken> {
        let mut tokens = vec![Token {
            name: "admin".parse().map_err(|why| BadToken::Name("admin".to_owned(), why))?,
            role: OperatorRole::Admin,
            sha256: sha256(admin.expose_secret().as_bytes()),
        }];
        for OperatorToken { name, role, token_sha256 } in further {
            let mut sha256 = [0; 32];
            hex::decode_to_slice(token_sha256, &mut sha256)
                .map_err(|_| BadToken::Hash(name.clone()))?;
            let name = name.parse().map_err(|why| BadToken::Name(name.clone(), why))?;
            tokens.push(Token { name, role: *role, sha256 });
        }
        Ok(Self(tokens))
    }

    /// The names and roles.
    pub fn iter(&self) -> impl Iterator<Item = Caller> {
        self.0.iter().map(|token| Caller { name: token.name, role: token.role })
    }

    /// Whose token has this hash: one that is configured, or that `control` holds when log time is `now_ms`. Looks at
    /// every token, whichever matches.
    fn find(&self, presented: &[u8; 32], control: &ControlState, now_ms: u64) -> Option<Caller> {
        let configured = self.0.iter().map(|token| (token.name, token.role, &token.sha256));
        let live = control.tokens(now_ms).map(|token| (token.name, token.role, &token.sha256.0));
        let mut found = None;
        for (name, role, sha256) in live.chain(configured) {
            if bool::from(sha256.ct_eq(presented)) {
                found = Some(Caller { name, role });
            }
        }
        found
    }
}

/// Lets viewers and above pass.
pub async fn viewer(state: State<Arc<Operator>>, request: Request, next: Next) -> Response {
    require(OperatorRole::Viewer, &state, request, next).await
}

/// Lets operators and admins pass.
pub async fn operator(state: State<Arc<Operator>>, request: Request, next: Next) -> Response {
    require(OperatorRole::Operator, &state, request, next).await
}

/// Lets admins pass.
pub async fn admin(state: State<Arc<Operator>>, request: Request, next: Next) -> Response {
    require(OperatorRole::Admin, &state, request, next).await
}

/// By what somebody calls. Hashes alone: neither tokens nor ids of sessions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// A bearer token.
    Token([u8; 32]),
    /// The cookie of a session of the console.
    Session([u8; 32]),
}

/// Who calls by this now: a token that was revoked, and a session that has ended or whose token was revoked, is
/// nobody's. `is_use`: whether a session lives on by it.
pub fn caller(operator: &Operator, credential: &Credential, is_use: bool) -> Option<Caller> {
    let token = match credential {
        Credential::Token(token) => *token,
        Credential::Session(id) => {
            let now_us = operator.shared.clock.monotonic_us();
            operator.console.sessions.lock().token(id, now_us, is_use)?
        }
    };
    let control = operator.shared.applied().control();
    let now_ms = control.log_time_at(operator.shared.log_time().likely_ms);
    operator.tokens.find(&token, &control, now_ms)
}

/// What a call presents. A header counts before a cookie, and then alone.
fn presented(request: &Request) -> Credential {
    let header = request.headers().get(AUTHORIZATION);
    if header.is_none()
        && let Some(id) = login::session_of(request.headers())
    {
        return Credential::Session(id);
    }
    let token = header.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    Credential::Token(sha256(token.unwrap_or_default()))
}

async fn require(
    role: OperatorRole,
    operator: &Operator,
    mut request: Request,
    next: Next,
) -> Response {
    let credential = presented(&request);
    if matches!(credential, Credential::Session(_)) {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        if let Err(why) = origin::check(method, uri, headers, login::has_tls(operator)) {
            trail::denied(operator, &request, RefusalKind::CrossSite, None);
            return reply::problem_because(Code::Forbidden, why).into_response();
        }
    }
    // What the page asks by itself does not keep a session alive.
    let is_use = !["/admin/events", "/admin/overview"].contains(&request.uri().path());
    let Some(caller) = caller(operator, &credential, is_use) else {
        trail::denied(operator, &request, RefusalKind::BadToken, None);
        tracing::warn!(path = route(&request), "operator call without a valid token");
        let detail = "send the operator's token as Authorization: Bearer …";
        return reply::problem_because(Code::Unauthorized, detail)
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            .into_response();
    };
    if caller.role < role {
        trail::denied(operator, &request, RefusalKind::RoleRefused, Some(caller.name.as_str()));
        let detail = format!("this call needs the role {role:?}; the token has {:?}", caller.role);
        return reply::problem_because(Code::Forbidden, &detail).into_response();
    }
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(credential);
    next.run(request).await
}

/// The route that a call is for. Not its path: whoever has no token can put anything there (rule 7).
fn route(request: &Request) -> &str {
    request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_matches() {
        let secret = SecretString::from("correct-horse-battery-staple");
        let tokens = Tokens::new(&secret, &[]).unwrap();
        let control = ControlState::default();
        assert!(tokens.find(&sha256(b"correct-horse-battery-staple"), &control, 0).is_some());
        for wrong in ["", "correct-horse-battery-stapl", "correct-horse-battery-staple ", "admin"] {
            assert!(tokens.find(&sha256(wrong.as_bytes()), &control, 0).is_none(), "{wrong:?}");
        }
    }
}
