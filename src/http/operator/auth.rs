//! Operators' bearer tokens and roles.
//!
//! Only the SHA-256 of a token is kept; the comparison takes the same time whatever the token is. A token
//! is long and random, so that a plain hash of it gives nothing away.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::{Operator, trail};
use crate::audit::RefusalKind;
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

    /// Who presents a token that is configured, or that `control` holds when log time is `now_ms`. Looks at
    /// every token, whichever matches.
    fn find(&self, presented: &[u8], control: &ControlState, now_ms: u64) -> Option<Caller> {
        let presented = sha256(presented);
        let configured = self.0.iter().map(|token| (token.name, token.role, &token.sha256));
        let live = control.tokens(now_ms).map(|token| (token.name, token.role, &token.sha256.0));
        let mut found = None;
        for (name, role, sha256) in live.chain(configured) {
            if bool::from(sha256.ct_eq(&presented)) {
                found = Some(Caller { name, role });
            }
        }
        found
    }
}

/// The SHA-256 of a token.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
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

async fn require(
    role: OperatorRole,
    operator: &Operator,
    mut request: Request,
    next: Next,
) -> Response {
    let presented = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
        .unwrap_or_default();
    let control = operator.shared.applied().control();
    let now_ms = control.log_time_at(operator.shared.log_time().likely_ms);
    let Some(caller) = operator.tokens.find(presented, &control, now_ms) else {
        trail::denied(operator, &request, RefusalKind::BadToken, None);
        tracing::warn!(path = request.uri().path(), "operator call without a valid token");
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
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_matches() {
        let secret = SecretString::from("correct-horse-battery-staple");
        let tokens = Tokens::new(&secret, &[]).unwrap();
        let control = ControlState::default();
        assert!(tokens.find(b"correct-horse-battery-staple", &control, 0).is_some());
        for wrong in ["", "correct-horse-battery-stapl", "correct-horse-battery-staple ", "admin"] {
            assert!(tokens.find(wrong.as_bytes(), &control, 0).is_none(), "{wrong:?}");
        }
    }
}
