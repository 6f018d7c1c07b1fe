//! Login and logout: a token is exchanged for a cookie that the page cannot read and other sites cannot send.
//!
//! A login that fails is counted against its address ([`FAILURES`]); logins, failed ones and logouts go into
//! the audit trail.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use hashbrown::HashMap;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::origin;
use super::session::{AGE_US_MAX, IDLE_US_MAX, Sha256};
use crate::audit::flood::Source;
use crate::audit::{Noted, RefusalKind};
use crate::chain::sha256;
use crate::gcra::{self, Check, Rate};
use crate::http::code::Code;
use crate::http::operator::Operator;
use crate::http::operator::auth::{self, Caller, Credential};
use crate::http::operator::call::{answer, parse};
use crate::http::operator::trail::Peer;
use crate::http::reply::{self, Coded};
use crate::sale::OperatorRole;

/// The cookie's name. Its prefix makes browsers refuse one that was set without `Secure`, for a domain, or for
/// a part of the paths: nobody can plant one from a neighbouring host.
pub const COOKIE_NAME: &str = "__Host-flux-gate";
/// Bytes of a session's id.
const ID_BYTES: usize = 32;
/// Failed logins of one address (IPv6: one /64): 10 at once, then one in 6 seconds.
const FAILURES: Rate = Rate { interval_us: 6_000_000, burst: 10 };
/// Addresses whose failures are counted.
const ADDRESSES_MAX: usize = 1_024;

/// `POST /admin/login`.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The operator's token.
    #[schema(value_type = String)]
    token: SecretString,
}

/// Who has logged in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoggedIn {
    /// The name of the token; `null` if nobody has.
    name: Option<String>,
    /// What the token may do.
    #[schema(value_type = Option<String>, example = "operator")]
    role: Option<OperatorRole>,
    /// In how many seconds the session ends if it is not used.
    ends_in_seconds: u64,
}

/// Failed logins, by source.
#[derive(Debug, Default)]
pub struct Failures(HashMap<Source, u64>);

impl Failures {
    /// How long this source has to wait, in microseconds; `None` if it may try.
    fn wait_us(&self, source: Source, now_us: u64) -> Option<u64> {
        match gcra::check(&FAILURES, *self.0.get(&source)?, now_us) {
            Check::Exceeds { retry_after_us, .. } => Some(retry_after_us),
            Check::Conforms { .. } => None,
        }
    }

    fn count(&mut self, source: Source, now_us: u64) {
        if self.0.len() >= ADDRESSES_MAX {
            self.0.retain(|_, tat_us| *tat_us > now_us);
        }
        if self.0.len() >= ADDRESSES_MAX {
            // The one with the fewest failures loses its count.
            let least = self.0.iter().min_by_key(|(_, tat_us)| **tat_us).map(|(source, _)| *source);
            least.map(|source| self.0.remove(&source));
        }
        let tat_us = self.0.get(&source).copied().unwrap_or(0);
        if let Check::Conforms { tat_us, .. } = gcra::check(&FAILURES, tat_us, now_us) {
            self.0.insert(source, tat_us);
        }
    }
}

/// Logs somebody in: `POST /admin/login`.
pub async fn login(
    State(operator): State<Arc<Operator>>,
    method: Method,
    uri: Uri,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Coded {
    let peer = peer.map(|Extension(Peer(ip))| ip);
    answer(async {
        origin::check(&method, &uri, &headers, has_tls(&operator)).map_err(|why| {
            note(&operator, RefusalKind::CrossSite, peer, None, "login");
            reply::problem_because(Code::Forbidden, why)
        })?;
        let Login { token } = parse(&body)?;
        let now_us = operator.shared.clock.monotonic_us();
        let source = peer.map(Source::of);
        let wait_us =
            source.and_then(|source| operator.console.failures.lock().wait_us(source, now_us));
        if let Some(wait_us) = wait_us {
            note(&operator, RefusalKind::BadLogin, peer, None, "too many");
            let detail = "too many logins failed from this address";
            let refusal = reply::problem_because(Code::TooManyRequests, detail);
            return Err(refusal.retry_after_us(wait_us));
        }
        let token = sha256(token.expose_secret().as_bytes());
        let Some(caller) = auth::caller(&operator, &Credential::Token(token), true) else {
            if let Some(source) = source {
                operator.console.failures.lock().count(source, now_us);
            }
            note(&operator, RefusalKind::BadLogin, peer, None, "");
            return Err(reply::problem_because(Code::Unauthorized, "this token is not valid"));
        };
        let mut id = [0; ID_BYTES];
        (operator.shared.random)(&mut id);
        let id = hex::encode(id);
        {
            let mut sessions = operator.console.sessions.lock();
            // Never goes on under an id that the browser came with.
            if let Some(before) = session_of(&headers) {
                sessions.end(&before);
            }
            sessions.begin(sha256(id.as_bytes()), token, now_us);
        }
        note(&operator, RefusalKind::Login, peer, Some(&caller), "");
        let ends_in_seconds = IDLE_US_MAX.min(AGE_US_MAX) / 1_000_000;
        let answer = reply::json_value(Code::Ok, &logged_in(&caller, ends_in_seconds));
        Ok(answer.not_stored().with(SET_COOKIE, cookie(&id, "")))
    })
    .await
}

/// Ends a session: `POST /admin/logout`. Whoever has none is logged out already.
pub async fn logout(
    State(operator): State<Arc<Operator>>,
    method: Method,
    uri: Uri,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Coded {
    let peer = peer.map(|Extension(Peer(ip))| ip);
    if let Err(why) = origin::check(&method, &uri, &headers, has_tls(&operator)) {
        note(&operator, RefusalKind::CrossSite, peer, None, "logout");
        return reply::problem_because(Code::Forbidden, why);
    }
    if let Some(id) = session_of(&headers) {
        let caller = auth::caller(&operator, &Credential::Session(id), true);
        if operator.console.sessions.lock().end(&id) {
            note(&operator, RefusalKind::Logout, peer, caller.as_ref(), "");
        }
    }
    let nobody = LoggedIn { name: None, role: None, ends_in_seconds: 0 };
    let answer = reply::json_value(Code::Ok, &nobody);
    answer.not_stored().with(SET_COOKIE, cookie("", "; Max-Age=0"))
}

/// Who has logged in, if anybody: `GET /admin/session`. For a page that is loaded: it refuses nobody, so that
/// looking is no failed call. It counts as use.
pub async fn session(
    State(operator): State<Arc<Operator>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Coded {
    if let Err(why) = origin::check(&method, &uri, &headers, has_tls(&operator)) {
        return reply::problem_because(Code::Forbidden, why);
    }
    let nobody = LoggedIn { name: None, role: None, ends_in_seconds: 0 };
    let known = session_of(&headers).and_then(|id| {
        let caller = auth::caller(&operator, &Credential::Session(id), true)?;
        let now_us = operator.shared.clock.monotonic_us();
        let ends_in_us = operator.console.sessions.lock().ends_in_us(&id, now_us)?;
        Some(logged_in(&caller, ends_in_us / 1_000_000))
    });
    reply::json_value(Code::Ok, &known.unwrap_or(nobody)).not_stored()
}

fn logged_in(caller: &Caller, ends_in_seconds: u64) -> LoggedIn {
    LoggedIn { name: Some(caller.name.to_string()), role: Some(caller.role), ends_in_seconds }
}

fn cookie(id: &str, more: &str) -> HeaderValue {
    let text = format!("{COOKIE_NAME}={id}; Path=/; Secure; HttpOnly; SameSite=Strict{more}");
    HeaderValue::try_from(text).expect("hexadecimal digits and words are visible ASCII")
}

/// Whether the listener itself speaks TLS.
pub fn has_tls(operator: &Operator) -> bool {
    operator.shared.config.admin.tls_cert_file.is_some()
}

/// The hash of the session's id in the cookie; `None` without one, or with two that are not the same.
pub fn session_of(headers: &HeaderMap) -> Option<Sha256> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let cookies = texts.flat_map(|text| text.split(';'));
    let mut ids = cookies.filter_map(|cookie| {
        let (name, id) = cookie.trim().split_once('=')?;
        (name == COOKIE_NAME).then_some(id)
    });
    let id = ids.next()?;
    let well_formed = id.len() == 2 * ID_BYTES && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (well_formed && ids.all(|other| other == id)).then(|| sha256(id.as_bytes()))
}

/// Notes a login, a logout, or one that was refused.
pub fn note(
    operator: &Operator,
    kind: RefusalKind,
    peer: Option<IpAddr>,
    who: Option<&Caller>,
    detail: &'static str,
) {
    operator.recorder.refusal(kind, peer, || Noted {
        at_ms: operator.shared.clock.unix_ms(),
        fingerprint: None,
        call: "console",
        detail,
        who: who.map(|caller| caller.name.as_str().into()),
        score: None,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_logins_are_limited_and_their_table_is_bounded() {
        let mut failures = Failures::default();
        let source = Source::of([192, 0, 2, 1].into());
        for _ in 0..FAILURES.burst {
            assert_eq!(failures.wait_us(source, 0), None);
            failures.count(source, 0);
        }
        assert!(failures.wait_us(source, 0).is_some_and(|us| us <= FAILURES.interval_us));
        assert_eq!(failures.wait_us(Source::of([192, 0, 2, 2].into()), 0), None);
        assert_eq!(failures.wait_us(source, FAILURES.interval_us), None, "one more, later");
        for n in 0..5_000_u32 {
            failures.count(Source::of(std::net::Ipv4Addr::from(n).into()), 1);
        }
        assert!(failures.0.len() <= ADDRESSES_MAX);
        assert!(failures.wait_us(source, 1).is_some(), "a crowd of others changes nothing");
    }

    #[test]
    fn only_one_well_formed_cookie_is_a_session() {
        let id = "0f".repeat(ID_BYTES);
        let of = |values: &[String]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(COOKIE, value.parse().unwrap());
            }
            session_of(&headers)
        };
        let good = format!("{COOKIE_NAME}={id}");
        assert_eq!(of(&[format!("a=b; {good}; c=d")]), Some(sha256(id.as_bytes())));
        assert_eq!(of(&[good.clone(), good.clone()]), Some(sha256(id.as_bytes())));
        let other = format!("{COOKIE_NAME}={}", "1f".repeat(ID_BYTES));
        assert_eq!(of(&[format!("{good}; {other}")]), None);
        for bad in ["", "a=b", "__Host-flux-gate", "__Host-flux-gate=", "__Host-flux-gate=00"] {
            assert_eq!(of(&[bad.to_owned()]), None, "{bad}");
        }
        assert_eq!(of(&[format!("flux-gate={id}")]), None);
    }
}
