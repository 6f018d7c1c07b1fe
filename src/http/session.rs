//! `POST /session`: a pass and its session key, for a merchant's JWT or an API client.

use super::code::Code;
use super::public::{PublicThread, Received};
use super::refused;
use super::reply::{self, Coded};

/// Opens a session.
pub fn open(thread: &PublicThread, received: &Received<'_>) -> Coded {
    let now = thread.now();
    let opened = thread.shared.guard.session(&received.view(), now, thread.shared.random_16());
    match opened {
        Ok(session) => {
            let body = serde_json::json!({
                "pass": session.pass,
                "sessionKey": session.session_key,
                "userId": session.user,
                "serverTime": now.unix_ms,
                "expiresAt": session.expires_at_ms,
            });
            let opened = reply::json_value(Code::Ok, &body);
            thread.prepared.with_rate(opened, session.rate.as_ref())
        }
        Err(refused) => refused::answer(thread, received, &refused),
    }
}
