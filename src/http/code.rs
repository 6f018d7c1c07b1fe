//! Every answer that Flux-Gate gives, with its status: the one place where status codes live.

use http::StatusCode;

/// The stable word of an answer: `code` of a problem, and the label of its count in the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
#[allow(missing_docs, reason = "the table below says what each means")]
pub enum Code {
    Ok,
    Created,
    Accepted,
    Duplicate,
    Pending,
    SoldOut,
    LimitReached,
    NotOpen,
    Closed,
    Paused,
    Busy,
    OverRate,
    OutcomeUnknown,
    LogBehind,
    OtherKeys,
    Overloaded,
    NotReady,
    Conflict,
    UnknownProduct,
    UnknownOrder,
    UnknownEntry,
    ApprovalRequired,
    NotFound,
    MethodNotAllowed,
    Blocked,
    TooManyRequests,
    Unauthorized,
    RequestExpired,
    InvalidSignature,
    MissingIdempotencyKey,
    InvalidRequest,
    UnsupportedMediaType,
    UserMismatch,
    UserBlocked,
    Forbidden,
    SlowDown,
    ChallengeRequired,
    ScoreRefused,
    BodyTimeout,
    BodyTooLarge,
    HeadersTooLarge,
    BodyBroken,
    NotAdmitted,
    TicketInvalid,
    TicketSpent,
    NotYourTurn,
    RoomFull,
    RoomUnavailable,
    NoRoom,
    ToRoom,
    SeeOther,
    LedgerUnavailable,
    AuditUnavailable,
    EvidenceUnavailable,
    Internal,
}

/// Whether a client may send the request again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It would be refused again.
    Never,
    /// With the same idempotency key: that settles what became of it.
    SameKey,
    /// After the time in `Retry-After`.
    After,
}

impl Retry {
    /// The word in a problem's `retry`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::SameKey => "same_key",
            Self::After => "after",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Meaning {
    /// Its status.
    pub status: StatusCode,
    /// The stable word.
    pub word: &'static str,
    /// The phrase in a problem's `title` and `error`.
    pub phrase: &'static str,
    /// What a client should do.
    pub retry: Retry,
}

impl Code {
    /// How many there are.
    pub const COUNT: usize = Self::Internal as usize + 1;

    /// All of them, in order.
    pub const ALL: [Self; Self::COUNT] = {
        use Code::*;
        [
            Ok,
            Created,
            Accepted,
            Duplicate,
            Pending,
            SoldOut,
            LimitReached,
            NotOpen,
            Closed,
            Paused,
            Busy,
            OverRate,
            OutcomeUnknown,
            LogBehind,
            OtherKeys,
            Overloaded,
            NotReady,
            Conflict,
            UnknownProduct,
            UnknownOrder,
            UnknownEntry,
            ApprovalRequired,
            NotFound,
            MethodNotAllowed,
            Blocked,
            TooManyRequests,
            Unauthorized,
            RequestExpired,
            InvalidSignature,
            MissingIdempotencyKey,
            InvalidRequest,
            UnsupportedMediaType,
            UserMismatch,
            UserBlocked,
            Forbidden,
            SlowDown,
            ChallengeRequired,
            ScoreRefused,
            BodyTimeout,
            BodyTooLarge,
            HeadersTooLarge,
            BodyBroken,
            NotAdmitted,
            TicketInvalid,
            TicketSpent,
            NotYourTurn,
            RoomFull,
            RoomUnavailable,
            NoRoom,
            ToRoom,
            SeeOther,
            LedgerUnavailable,
            AuditUnavailable,
            EvidenceUnavailable,
            Internal,
        ]
    };

    /// The table of all answers.
    pub fn meaning(self) -> Meaning {
        use Retry::{After, Never, SameKey};
        use StatusCode as S;
        let (status, word, phrase, retry) = match self {
            Self::Ok => (S::OK, "ok", "OK", Never),
            Self::Created => (S::CREATED, "created", "Created", Never),
            Self::Accepted => (S::OK, "accepted", "Order accepted", Never),
            Self::Duplicate => (S::OK, "duplicate", "Duplicate request", Never),
            Self::Pending => (S::ACCEPTED, "pending", "Pending", SameKey),
            Self::SoldOut => (S::CONFLICT, "sold_out", "Inventory empty", Never),
            Self::LimitReached => (S::CONFLICT, "limit_reached", "Limit reached", Never),
            Self::NotOpen => (S::FORBIDDEN, "not_open", "Not open", After),
            Self::Closed => (S::FORBIDDEN, "closed", "Sale closed", Never),
            Self::Paused => (S::FORBIDDEN, "paused", "Sale paused", After),
            Self::Busy => (S::SERVICE_UNAVAILABLE, "busy", "Busy", After),
            Self::OverRate => (S::TOO_MANY_REQUESTS, "over_rate", "Too many requests", After),
            Self::OutcomeUnknown => {
                (S::SERVICE_UNAVAILABLE, "outcome_unknown", "Outcome unknown", SameKey)
            }
            Self::LogBehind => (S::SERVICE_UNAVAILABLE, "log_behind", "Busy", After),
            Self::OtherKeys => {
                (S::SERVICE_UNAVAILABLE, "other_keys", "Sale not served by this node", After)
            }
            Self::Overloaded => (S::SERVICE_UNAVAILABLE, "overloaded", "Busy", After),
            Self::NotReady => (S::SERVICE_UNAVAILABLE, "not_ready", "Not ready", After),
            Self::Conflict => (S::CONFLICT, "conflict", "Conflict", Never),
            Self::UnknownProduct => (S::NOT_FOUND, "unknown_product", "Unknown product", Never),
            Self::UnknownOrder => (S::NOT_FOUND, "unknown_order", "Unknown order", Never),
            Self::UnknownEntry => (S::NOT_FOUND, "unknown_entry", "Unknown entry", Never),
            Self::ApprovalRequired => {
                (S::ACCEPTED, "approval_required", "Approval required", Never)
            }
            Self::NotFound => (S::NOT_FOUND, "not_found", "Not found", Never),
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed", Never)
            }
            Self::Blocked => (S::FORBIDDEN, "blocked", "Blocked", Never),
            Self::TooManyRequests => {
                (S::TOO_MANY_REQUESTS, "too_many_requests", "Too many requests", After)
            }
            Self::Unauthorized => (S::UNAUTHORIZED, "unauthorized", "Unauthorized", Never),
            Self::RequestExpired => (S::BAD_REQUEST, "request_expired", "Request expired", Never),
            Self::InvalidSignature => {
                (S::UNAUTHORIZED, "invalid_signature", "Invalid signature", Never)
            }
            Self::MissingIdempotencyKey => {
                (S::BAD_REQUEST, "missing_idempotency_key", "Missing Idempotency Key", Never)
            }
            Self::InvalidRequest => (S::BAD_REQUEST, "invalid_request", "Invalid request", Never),
            Self::UnsupportedMediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Unsupported media type",
                Never,
            ),
            Self::UserMismatch => (S::FORBIDDEN, "user_mismatch", "Another user's pass", Never),
            Self::UserBlocked => (S::FORBIDDEN, "user_blocked", "Blocked", Never),
            Self::Forbidden => (S::FORBIDDEN, "forbidden", "Forbidden", Never),
            Self::SlowDown => (S::TOO_MANY_REQUESTS, "slow_down", "Slow down", After),
            Self::ChallengeRequired => {
                (S::FORBIDDEN, "challenge_required", "Challenge required", SameKey)
            }
            Self::ScoreRefused => (S::FORBIDDEN, "score_refused", "Blocked", Never),
            Self::BodyTimeout => (S::REQUEST_TIMEOUT, "body_timeout", "Request timeout", SameKey),
            Self::BodyTooLarge => {
                (S::PAYLOAD_TOO_LARGE, "body_too_large", "Content too large", Never)
            }
            Self::HeadersTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers_too_large",
                "Request header fields too large",
                Never,
            ),
            Self::BodyBroken => (S::BAD_REQUEST, "body_broken", "Invalid request", Never),
            Self::NotAdmitted => (S::FORBIDDEN, "not_admitted", "Not admitted", Never),
            Self::TicketInvalid => (S::FORBIDDEN, "ticket_invalid", "Invalid ticket", Never),
            Self::TicketSpent => (S::CONFLICT, "ticket_spent", "Ticket used up", Never),
            Self::NotYourTurn => (S::CONFLICT, "not_your_turn", "Not your turn yet", After),
            Self::RoomFull => (S::SERVICE_UNAVAILABLE, "room_full", "Waiting room full", After),
            Self::RoomUnavailable => {
                (S::SERVICE_UNAVAILABLE, "room_unavailable", "Waiting room unavailable", After)
            }
            Self::NoRoom => (S::NOT_FOUND, "no_room", "No waiting room", Never),
            Self::ToRoom => (S::FOUND, "to_room", "To the waiting room", Never),
            Self::SeeOther => (S::SEE_OTHER, "see_other", "See other", Never),
            Self::LedgerUnavailable => {
                (S::SERVICE_UNAVAILABLE, "ledger_unavailable", "Ledger unavailable", After)
            }
            Self::AuditUnavailable => {
                (S::SERVICE_UNAVAILABLE, "audit_unavailable", "Audit trail unavailable", After)
            }
            Self::EvidenceUnavailable => {
                (S::SERVICE_UNAVAILABLE, "evidence_unavailable", "Evidence unavailable", After)
            }
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Internal error", SameKey),
        };
        Meaning { status, word, phrase, retry }
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn every_code_stands_at_its_own_place_and_has_a_word_of_its_own() {
        let mut words = std::collections::HashSet::new();
        for (index, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, index);
            assert!(words.insert(code.meaning().word), "{code:?}");
        }
    }
}
