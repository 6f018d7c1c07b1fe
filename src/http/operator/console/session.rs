//! Sessions of the console: a cookie in the place of a bearer token.
//!
//! Invariants:
//! - an id has 256 random bits, is made anew at each login and is kept only as its SHA-256;
//! - a session is worth what its token is worth: the token is looked up at each call, so revoking it ends its
//!   sessions;
//! - a session ends after [`IDLE_US_MAX`] without use and [`AGE_US_MAX`] after its login, whatever comes first;
//! - there are at most [`SESSIONS_MAX`], and at most [`SESSIONS_PER_TOKEN_MAX`] of one token: a further login
//!   ends the one that was used least lately.
//!
//! They are in memory: a restart ends all.

use hashbrown::HashMap;

/// Open sessions.
pub const SESSIONS_MAX: usize = 256;
/// Open sessions of one token.
pub const SESSIONS_PER_TOKEN_MAX: usize = 16;
/// How long a session lives without use, in microseconds: an hour. What a page asks by itself is no use.
pub const IDLE_US_MAX: u64 = 3_600_000_000;
/// How long it lives at all, in microseconds: 12 hours.
pub const AGE_US_MAX: u64 = 12 * 3_600_000_000;

/// SHA-256 of a session's id, or of a token.
pub type Sha256 = [u8; 32];

/// The open sessions, by the hashes of their ids.
#[derive(Debug, Default)]
pub struct Sessions(HashMap<Sha256, Session>);

#[derive(Debug, Clone, Copy)]
struct Session {
    /// The hash of the token that it stands for.
    token: Sha256,
    begun_us: u64,
    used_us: u64,
}

impl Session {
    fn ends_us(&self) -> u64 {
        (self.begun_us + AGE_US_MAX).min(self.used_us + IDLE_US_MAX)
    }
}

impl Sessions {
    /// Begins a session of this token.
    pub fn begin(&mut self, id: Sha256, token: Sha256, now_us: u64) {
        self.0.retain(|_, session| session.ends_us() > now_us);
        let of_token = self.0.values().filter(|session| session.token == token).count();
        if of_token >= SESSIONS_PER_TOKEN_MAX {
            self.end_least_used(|session| session.token == token);
        } else if self.0.len() >= SESSIONS_MAX {
            self.end_least_used(|_| true);
        }
        self.0.insert(id, Session { token, begun_us: now_us, used_us: now_us });
    }

    fn end_least_used(&mut self, among: impl Fn(&Session) -> bool) {
        let candidates = self.0.iter().filter(|(_, session)| among(session));
        let least = candidates.min_by_key(|(_, session)| session.used_us).map(|(id, _)| *id);
        if let Some(id) = least {
            self.0.remove(&id);
        }
    }

    /// The hash of the token of an open session. `is_use`: somebody uses it, so that it lives on.
    pub fn token(&mut self, id: &Sha256, now_us: u64, is_use: bool) -> Option<Sha256> {
        let session = self.0.get_mut(id)?;
        if session.ends_us() <= now_us {
            self.0.remove(id);
            return None;
        }
        if is_use {
            session.used_us = now_us;
        }
        Some(session.token)
    }

    /// In how many microseconds an open session ends if it is not used.
    pub fn ends_in_us(&self, id: &Sha256, now_us: u64) -> Option<u64> {
        self.0.get(id).map(|session| session.ends_us().saturating_sub(now_us))
    }

    /// Ends a session; `false` if there was none.
    pub fn end(&mut self, id: &Sha256) -> bool {
        self.0.remove(id).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Sha256 = [1; 32];
    const TOKEN: Sha256 = [2; 32];

    fn id(number: u64) -> Sha256 {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        id
    }

    #[test]
    fn a_session_lives_while_it_is_used_but_not_for_ever() {
        let mut sessions = Sessions::default();
        sessions.begin(ID, TOKEN, 0);
        assert_eq!(sessions.token(&ID, IDLE_US_MAX - 1, false), Some(TOKEN), "no use");
        assert_eq!(sessions.token(&ID, IDLE_US_MAX, true), None);
        assert_eq!(sessions.token(&ID, 0, true), None, "it is gone");
        sessions.begin(ID, TOKEN, 0);
        let step = IDLE_US_MAX / 2;
        for now_us in (step..AGE_US_MAX).step_by(step as usize) {
            assert_eq!(sessions.token(&ID, now_us, true), Some(TOKEN), "{now_us}");
        }
        assert_eq!(sessions.token(&ID, AGE_US_MAX, true), None);
    }

    #[test]
    fn an_ended_session_is_none() {
        let mut sessions = Sessions::default();
        sessions.begin(ID, TOKEN, 0);
        assert!(sessions.end(&ID));
        assert!(!sessions.end(&ID));
        assert_eq!(sessions.token(&ID, 1, true), None);
    }

    #[test]
    fn sessions_are_bounded_and_a_token_ends_only_its_own() {
        let mut sessions = Sessions::default();
        sessions.begin(ID, TOKEN, 0);
        for number in 0..100 {
            sessions.begin(id(number), [3; 32], 1 + number);
        }
        assert_eq!(sessions.0.len(), 1 + SESSIONS_PER_TOKEN_MAX);
        assert_eq!(sessions.token(&ID, 200, true), Some(TOKEN), "somebody else's");
        assert_eq!(sessions.token(&id(83), 200, true), None, "the least used went first");
        assert!(sessions.token(&id(84), 200, true).is_some());
        for number in 0..1_000 {
            sessions.begin(id(1_000 + number), id(number), 300);
        }
        assert_eq!(sessions.0.len(), SESSIONS_MAX);
    }
}
