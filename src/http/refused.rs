//! The guard's refusals as answers.

use http::header::{HeaderValue, WWW_AUTHENTICATE};

use super::code::Code;
use super::public::{PublicThread, Received};
use super::reply::{self, Coded, FieldProblem, Particulars};
use super::trail;
use crate::guard::{Forbidden, Refusal, Refused};

/// Checks 2 and 3, for what everybody may see.
///
/// # Errors
/// The answer to the first of them that the request does not pass.
pub fn anyone(thread: &PublicThread, received: &Received<'_>) -> Result<(), Coded> {
    match thread.shared.guard.anyone(&received.view(), thread.now()) {
        Ok(_rate) => Ok(()),
        Err(refused) => Err(answer(thread, received, &refused)),
    }
}

/// The answer to a refusal, which is noted in the audit trail.
pub fn answer(thread: &PublicThread, received: &Received<'_>, refused: &Refused) -> Coded {
    trail::refusal(thread, received, &refused.refusal);
    match &refused.refusal {
        Refusal::ChallengeRequired(asked) => {
            thread.counters.challenges.fault(asked.fault);
            thread.counters.challenges.reasons(asked.score.reasons);
        }
        Refusal::ScoreRefused(score) => thread.counters.challenges.reasons(score.reasons),
        _ => {}
    }
    thread.prepared.with_rate(without_rate(thread, &refused.refusal), refused.rate.as_ref())
}

fn without_rate(thread: &PublicThread, refusal: &Refusal) -> Coded {
    let prepared = &thread.prepared;
    match refusal {
        Refusal::Blocked => prepared.problem(Code::Blocked),
        Refusal::TooManyRequests { retry_after_ms } => {
            prepared.problem(Code::TooManyRequests).retry_after_us(retry_after_ms * 1_000)
        }
        Refusal::Unauthenticated(detail) => reply::problem_because(Code::Unauthorized, detail)
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        Refusal::RequestExpired { server_time_ms } => reply::problem(
            Code::RequestExpired,
            &Particulars {
                detail: Some(
                    "x-request-time must be the time in Unix milliseconds, within 30 s of ours",
                ),
                server_time_ms: Some(*server_time_ms),
                ..Particulars::default()
            },
        ),
        Refusal::InvalidSignature => prepared.problem(Code::InvalidSignature),
        Refusal::MissingIdempotencyKey(detail) => {
            reply::problem_because(Code::MissingIdempotencyKey, detail)
        }
        Refusal::UnsupportedMediaType => reply::problem_because(
            Code::UnsupportedMediaType,
            "the body must be application/json without a content coding",
        ),
        Refusal::InvalidRequest(fields) => {
            let details: Vec<FieldProblem<'_>> = fields
                .iter()
                .map(|field| FieldProblem { field: field.field, message: &field.message })
                .collect();
            reply::problem(
                Code::InvalidRequest,
                &Particulars { details: &details, ..Particulars::default() },
            )
        }
        Refusal::Forbidden(Forbidden::OtherUser) => prepared.problem(Code::UserMismatch),
        Refusal::Forbidden(Forbidden::UserBlocked) => prepared.problem(Code::UserBlocked),
        Refusal::Forbidden(Forbidden::MissingRole(role)) => reply::problem_because(
            Code::Forbidden,
            &format!("this call needs the role {role:?} of the API client"),
        ),
        Refusal::NotAdmitted(product) => reply::problem(
            Code::NotAdmitted,
            &Particulars {
                detail: Some("this product is sold by way of its waiting room"),
                waiting_room: Some(super::room::url(product)),
                ..Particulars::default()
            },
        ),
        Refusal::SlowDown { retry_after_ms } => {
            prepared.problem(Code::SlowDown).retry_after_us(retry_after_ms * 1_000)
        }
        Refusal::ChallengeRequired(asked) => {
            let config = &thread.shared.config.challenge;
            let site_key = Some(config.site_key.as_str()).filter(|_| asked.challenge.is_none());
            let particulars = Particulars {
                detail: Some(asked.fault.detail()),
                provider: Some(config.provider.word()),
                site_key,
                challenge: asked.challenge.as_ref(),
                ..Particulars::default()
            };
            reply::problem(Code::ChallengeRequired, &particulars).not_stored()
        }
        Refusal::ScoreRefused(_) => prepared.problem(Code::ScoreRefused),
    }
}
