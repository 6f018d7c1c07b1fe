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

use super::Operator;
use crate::config::{OperatorRole, OperatorToken};
use crate::http::code::Code;
use crate::http::reply;

/// The tokens that are accepted.
#[derive(Debug)]
pub struct Tokens(Vec<Token>);

#[derive(Debug)]
struct Token {
    name: String,
    role: OperatorRole,
    sha256: [u8; 32],
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The name of the token.
    pub name: String,
}

/// A configured hash is not 64 hex digits.
#[derive(Debug, thiserror::Error)]
#[error("admin.tokens: token_sha256 of {0:?} must be 64 hexadecimal digits")]
pub struct BadTokenHash(String);

impl Tokens {
    /// The admin's token and the further ones of the configuration.
    ///
    /// # Errors
    /// A configured hash is malformed.
    pub fn new(admin: &SecretString, further: &[OperatorToken]) -> Result<Self, BadTokenHash> {
        let mut tokens = vec![Token {
            name: "admin".to_owned(),
            role: OperatorRole::Admin,
            sha256: sha256(admin.expose_secret().as_bytes()),
        }];
        for OperatorToken { name, role, token_sha256 } in further {
            let mut sha256 = [0; 32];
            hex::decode_to_slice(token_sha256, &mut sha256)
                .map_err(|_| BadTokenHash(name.clone()))?;
            tokens.push(Token { name: name.clone(), role: *role, sha256 });
        }
        Ok(Self(tokens))
    }

    /// Looks at every token, whichever matches.
    fn find(&self, presented: &[u8]) -> Option<&Token> {
        let presented = sha256(presented);
        let mut found = None;
        for token in &self.0 {
            if bool::from(token.sha256.ct_eq(&presented)) {
                found = Some(token);
            }
        }
        found
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
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
    let Some(token) = operator.tokens.find(presented) else {
        tracing::warn!(path = request.uri().path(), "operator call without a valid token");
        let detail = "send the operator's token as Authorization: Bearer …";
        return reply::problem_because(Code::Unauthorized, detail)
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            .into_response();
    };
    if token.role < role {
        let detail = format!("this call needs the role {role:?}; the token has {:?}", token.role);
        return reply::problem_because(Code::Forbidden, &detail).into_response();
    }
    request.extensions_mut().insert(Caller { name: token.name.clone() });
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_matches() {
        let secret = SecretString::from("correct-horse-battery-staple");
        let tokens = Tokens::new(&secret, &[]).unwrap();
        assert!(tokens.find(b"correct-horse-battery-staple").is_some());
        for wrong in ["", "correct-horse-battery-stapl", "correct-horse-battery-staple ", "admin"] {
            assert!(tokens.find(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
    }
}
