//! What can stand in the trail: the closed list of kinds.

use std::sync::Arc;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The node started.
    Start,
    /// The node stopped in order.
    Stop,
    /// The first line of a segment.
    Segment,
    /// A signed head.
    Head,
    /// The oldest segment was removed: it was too old, or there was too much.
    SegmentRemoved,
    /// A start found an end that was cut off in the middle of a line, or that cannot be read.
    Recovered,
    /// Events that could not be written, counted.
    NotRecorded,
    /// Refusals that were not kept in full, counted.
    Refusals,
    /// From here on pseudonyms are under another key.
    PseudonymKey,
    /// An operator is about to change something.
    OperatorAction,
    /// What came of an operator's action.
    OperatorResult,
    /// An API client of the shop has had an order reversed.
    ClientReversal,
    /// An operator was told what is kept of a person, who is named by pseudonyms.
    PrivacyExport,
    /// Data that were too old were deleted, or an erasure was done again after a restore; in numbers.
    Retention,
    /// A refusal, kept in full.
    Refusal(RefusalKind),
}

/// What was refused (or let in), in great numbers if somebody wants it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RefusalKind {
    /// The address, prefix or fingerprint is blocked.
    Blocked,
    /// Over the rate of the node, the address or the fingerprint.
    TooManyRequests,
    /// Nobody known: no pass, one that is not valid or has expired, an unknown API client.
    Unauthenticated,
    /// The request's time is too far off: an old request sent again, or a wrong clock.
    RequestExpired,
    /// The signature is missing or wrong.
    InvalidSignature,
    /// Known, but the request is not what the call takes.
    BadRequest,
    /// An order for another user than the pass's.
    UserMismatch,
    /// The user is blocked.
    UserBlocked,
    /// An API client without the role.
    MissingRole,
    /// Over the buyer's or the API client's rate.
    SlowDown,
    /// A script, as it seems: a challenge was asked, or its solution was none.
    ChallengeRequired,
    /// A script, in all likelihood.
    ScoreRefused,
    /// One that solved its challenge, or could not be checked by a service (its detail says so), and was let in.
    ChallengeSolved,
    /// An accepted order's request, sent again with its key: a retry or a replay, nobody can tell.
    Repeated,
    /// An operator's call without a valid token.
    BadToken,
    /// An operator's call with a token whose role does not suffice.
    RoleRefused,
    /// A login at the console that failed.
    BadLogin,
    /// A login at the console.
    Login,
    /// A logout from it.
    Logout,
    /// A call with a session of the console that comes from another origin.
    CrossSite,
    /// An order past the waiting room: without an admission to it.
    NotAdmitted,
    /// A ticket of a waiting room that is forged, another buyer's, or used up.
    BadTicket,
}

impl RefusalKind {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// All of them, in order.
    pub const ALL: [Self; 22] = [
        Self::Blocked,
        Self::TooManyRequests,
        Self::Unauthenticated,
        Self::RequestExpired,
        Self::InvalidSignature,
        Self::BadRequest,
        Self::UserMismatch,
        Self::UserBlocked,
        Self::MissingRole,
        Self::SlowDown,
        Self::ChallengeRequired,
        Self::ScoreRefused,
        Self::ChallengeSolved,
        Self::Repeated,
        Self::BadToken,
        Self::RoleRefused,
        Self::BadLogin,
        Self::Login,
        Self::Logout,
        Self::CrossSite,
        Self::NotAdmitted,
        Self::BadTicket,
    ];

    /// The word in the trail.
    pub fn word(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::TooManyRequests => "too_many_requests",
            Self::Unauthenticated => "unauthenticated",
            Self::RequestExpired => "request_expired",
            Self::InvalidSignature => "invalid_signature",
            Self::BadRequest => "bad_request",
            Self::UserMismatch => "user_mismatch",
            Self::UserBlocked => "user_blocked",
            Self::MissingRole => "missing_role",
            Self::SlowDown => "slow_down",
            Self::ChallengeRequired => "challenge_required",
            Self::ScoreRefused => "score_refused",
            Self::ChallengeSolved => "challenge_solved",
            Self::Repeated => "repeated",
            Self::BadToken => "bad_token",
            Self::RoleRefused => "role_refused",
            Self::BadLogin => "bad_login",
            Self::Login => "login",
            Self::Logout => "logout",
            Self::CrossSite => "cross_site",
            Self::NotAdmitted => "not_admitted",
            Self::BadTicket => "bad_ticket",
        }
    }
}

impl Kind {
    const OWN: [Self; 14] = [
        Self::Start,
        Self::Stop,
        Self::Segment,
        Self::Head,
        Self::SegmentRemoved,
        Self::Recovered,
        Self::NotRecorded,
        Self::Refusals,
        Self::PseudonymKey,
        Self::OperatorAction,
        Self::OperatorResult,
        Self::ClientReversal,
        Self::PrivacyExport,
        Self::Retention,
    ];

    /// The word in the trail.
    pub fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Segment => "segment",
            Self::Head => "head",
            Self::SegmentRemoved => "segment_removed",
            Self::Recovered => "recovered",
            Self::NotRecorded => "not_recorded",
            Self::Refusals => "refusals",
            Self::PseudonymKey => "pseudonym_key",
            Self::OperatorAction => "operator_action",
            Self::OperatorResult => "operator_result",
            Self::ClientReversal => "client_reversal",
            Self::PrivacyExport => "privacy_export",
            Self::Retention => "retention",
            Self::Refusal(kind) => kind.word(),
        }
    }

    /// All words.
    pub fn words() -> impl Iterator<Item = &'static str> {
        let own = Self::OWN.into_iter().map(Self::word);
        own.chain(RefusalKind::ALL.into_iter().map(RefusalKind::word))
    }

    /// The kind of this word.
    pub fn of(word: &str) -> Option<Self> {
        let refusals = RefusalKind::ALL.into_iter().map(Self::Refusal);
        Self::OWN.into_iter().chain(refusals).find(|kind| kind.word() == word)
    }
}

/// Longest fingerprint that is looked at, in bytes; what follows does not count.
pub const FINGERPRINT_BYTES_MAX: usize = 256;

/// What is kept of a refusal beside its kind and source. Only what we know ourselves: nothing that the client
/// wrote, but its fingerprint, which becomes a pseudonym.
#[derive(Debug, Clone, Default)]
pub struct Noted {
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// The fingerprint that was sent.
    pub fingerprint: Option<Box<[u8]>>,
    /// Which call, of a fixed list.
    pub call: &'static str,
    /// Why, of a fixed list.
    pub detail: &'static str,
    /// The operator's or the API client's name, if it is one that we know.
    pub who: Option<Arc<str>>,
    /// The bot score behind it.
    pub score: Option<Scored>,
}

/// A bot score with its reasons.
#[derive(Debug, Clone)]
pub struct Scored {
    /// In points.
    pub points: u16,
    /// Why, of a fixed list.
    pub reasons: Vec<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_word_of_its_own_and_is_found_by_it() {
        let mut words = std::collections::HashSet::new();
        for word in Kind::words() {
            assert!(words.insert(word), "{word}");
            assert_eq!(Kind::of(word).map(Kind::word), Some(word));
        }
        for (index, kind) in RefusalKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
    }
}
