//! `POST /session`: a pass and its session key, for a merchant's JWT or for an API client that vouches for
//! its user.

use std::fmt;

use crate::config::ClientRole;
use crate::guard::headers::Credentials;
use crate::guard::limits::RateStatus;
use crate::guard::pass::{Pass, PassId};
use crate::guard::{
    Entered, Guard, Now, Refusal, Refused, Request, body, check_signature, headers, require,
    slow_down,
};
use crate::sale::UserId;

/// A session that was opened.
pub struct OpenedSession {
    /// The pass, for `Authorization: Bearer`.
    pub pass: String,
    /// The session key: 64 hexadecimal digits, whose ASCII bytes sign.
    pub session_key: String,
    /// Whose session it is.
    pub user: UserId,
    /// When the pass ends, in Unix milliseconds.
    pub expires_at_ms: u64,
    /// The rate that the call counted against; absent where that is off.
    pub rate: Option<RateStatus>,
}

impl fmt::Debug for OpenedSession {
    /// Shows neither pass nor key nor user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedSession")
            .field("expires_at_ms", &self.expires_at_ms)
            .finish_non_exhaustive()
    }
}

/// Whom a session is for, and what the call counted against.
struct Vouched<'a> {
    user: UserId,
    name_space: &'a str,
    rate: Option<RateStatus>,
}

impl Guard {
    /// Opens a session: for a merchant's JWT (`Authorization: Bearer`, no body or `{}`), or for a signed
    /// call of an API client with the role `session` and the body `{"userId"}`. `random` is 128 random
    /// bits.
    ///
    /// # Errors
    /// The refusal of the first check that the request does not pass.
    pub fn session(
        &self,
        request: &Request<'_>,
        now: Now,
        random: [u8; 16],
    ) -> Result<OpenedSession, Refused> {
        let entered = self.enter(request, now)?;
        let at_door = |refusal| Refused { refusal, rate: entered.status };
        let vouched = match headers::credentials(request.headers).map_err(at_door)? {
            Credentials::Bearer(token) => self.by_token(token, request, &entered, now)?,
            Credentials::ApiKey(id) => self.by_client(id, request, &entered, now)?,
        };
        let pass = Pass {
            user: vouched.user,
            name_space: vouched.name_space.into(),
            issued_ms: now.unix_ms,
            expires_ms: now.unix_ms.saturating_add(self.pass_lifetime_ms),
            id: PassId(random),
            admission: None,
        };
        let (text, session_key) = self.pass_keys.issue(&pass);
        Ok(OpenedSession {
            pass: text,
            session_key: session_key.as_str().to_owned(),
            user: pass.user,
            expires_at_ms: pass.expires_ms,
            rate: vouched.rate,
        })
    }

    fn by_token(
        &self,
        token: &str,
        request: &Request<'_>,
        entered: &Entered,
        now: Now,
    ) -> Result<Vouched<'_>, Refused> {
        let at_door = |refusal| Refused { refusal, rate: entered.status };
        let verified = self.issuers.verify(token, now);
        let known = verified.map_err(|why| at_door(Refusal::Unauthenticated(why)))?;
        self.limits.refund(entered);
        let buyer = self.identity.buyer(known.name_space, &known.user);
        let rate = self.limits.buyer(&buyer, now.monotonic_us).map_err(slow_down)?;
        let counted = |refusal| Refused { refusal, rate };
        headers::json_content(request.headers).map_err(counted)?;
        body::parse_empty(request.body).map_err(counted)?;
        self.check_user(&known.user).map_err(counted)?;
        Ok(Vouched { user: known.user, name_space: known.name_space, rate })
    }

    fn by_client(
        &self,
        id: &str,
        request: &Request<'_>,
        entered: &Entered,
        now: Now,
    ) -> Result<Vouched<'_>, Refused> {
        let at_door = |refusal| Refused { refusal, rate: entered.status };
        let client = self.client(id, request).map_err(at_door)?;
        let time = headers::request_time(request.headers, now.unix_ms).map_err(at_door)?;
        check_signature(&client.keys, request, time).map_err(at_door)?;
        self.limits.refund(entered);
        let rate = self.limits.client(&client.tat, now.monotonic_us).map_err(slow_down)?;
        let counted = |refusal| Refused { refusal, rate };
        headers::json_content(request.headers).map_err(counted)?;
        let user = body::parse_session(request.body).map_err(counted)?;
        require(client, ClientRole::Session).map_err(counted)?;
        self.check_user(&user).map_err(counted)?;
        Ok(Vouched { user, name_space: &client.name_space, rate })
    }
}
