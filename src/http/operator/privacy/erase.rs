//! `POST /admin/privacy/erase`: a person is forgotten.
//!
//! What is written is a record in the log, `SubjectErased`: of one node once, of many nodes one for each sale,
//! in whose time it counts. Orders, counts and the chain stand, under the pseudonym; the store deletes the user
//! ids, and of one node the journal of erasures has the erasure first.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::sealed::{self, SealedCopies};
use super::{Known, PersonStanding, look, unread};
use crate::chain::sha256;
use crate::erasures::Erasure;
use crate::http::code::Code;
use crate::http::operator::Operator;
use crate::http::operator::auth::Caller;
use crate::http::operator::call::{answer, conflict, parse};
use crate::http::operator::control::{check_reason, required_operation};
use crate::http::operator::desk::write_because;
use crate::http::operator::incident::to_its_end;
use crate::http::reply::{self, Coded};
use crate::sale::{BuyerRef, Ignored, OperationId, Outcome, Record};

/// How long a call waits until the store has done it; after that it says so.
const DONE_WAIT_MAX: Duration = Duration::from_secs(8);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// `POST /admin/privacy/erase`.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Erase {
    /// The user id as the shop gives it: of an issuer with `hash_user` the claim itself, such as a mail address.
    #[schema(example = "alice")]
    user_id: String,
    /// The name space; absent: all that are configured.
    name_space: Option<String>,
    /// Why. Kept in clear: without personal data.
    reason: String,
    /// Whether only to say what it would do.
    #[serde(default)]
    dry_run: bool,
}

/// What it came to, or would come to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErasedPerson {
    /// `dry_run`, `nothing_kept`, `erased`, or `erasing`: it is in the log, and the store has not done it yet.
    status: &'static str,
    persons: Vec<PersonStanding>,
    sealed: Option<SealedCopies>,
}

/// Erases a person, once under the name of the call.
pub async fn erase(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Coded {
    to_its_end(answer(async move {
        let Erase { user_id, name_space, reason, dry_run } = parse(&body)?;
        // Short ones are in many words.
        let secret = if user_id.len() > 3 { &[user_id.as_str()][..] } else { &[] };
        check_reason(&reason, secret)?;
        let operation = if dry_run { None } else { Some(required_operation(&headers)?) };
        let known = look(&operator, &user_id, name_space.as_deref()).await?;
        let concerned: Vec<_> = known.into_iter().filter(|one| !one.sales.is_empty()).collect();
        let (status, repeated) = match operation {
            None => ("dry_run", false),
            Some(_) if concerned.is_empty() => ("nothing_kept", false),
            Some(operation) => {
                let written = make(&operator, &caller, operation, &concerned, &reason).await?;
                forget_sightings(&operator, &concerned).await?;
                let done = await_done(&operator, &written).await?;
                let repeated = written.iter().all(|written| written.repeated);
                (if done { "erased" } else { "erasing" }, repeated)
            }
        };
        let sealed = sealed::of(&operator, None).await?;
        // What is told of the orders is how they stood before.
        let persons = concerned.iter().map(Known::standing).collect();
        let erased = ErasedPerson { status, persons, sealed };
        let answer = reply::json_value(Code::Ok, &erased);
        Ok(if repeated { answer.replayed() } else { answer })
    }))
    .await
}

/// A record that was written, or had been before.
struct Written {
    buyer: BuyerRef,
    /// `None`: it had been before.
    at_ms: Option<u64>,
    repeated: bool,
}

async fn make(
    operator: &Operator,
    caller: &Caller,
    operation: OperationId,
    concerned: &[Known],
    reason: &str,
) -> Result<Vec<Written>, Coded> {
    let many = operator.shared.ledger.lags();
    let mut all = Vec::new();
    for known in concerned {
        let buyer = known.buyer;
        let operation = of_buyer(&operation, &buyer)?;
        note(operator, Erasure { buyer, operation, at_ms: operator.shared.clock.unix_ms() })
            .await?;
        // Of one node a record is about all sales, whichever it is written under.
        for product in known.sales.iter().take(if many { usize::MAX } else { 1 }) {
            let record = Record::SubjectErased { buyer, operation: Some(operation) };
            let decided = write_because(operator, caller, *product, record, Some(reason)).await?;
            let at_ms = match decided.outcome {
                Outcome::Applied => Some(decided.log_time_ms),
                Outcome::Ignored(Ignored::AlreadyApplied) => None,
                outcome => return Err(conflict(outcome)),
            };
            all.push(Written { buyer, at_ms, repeated: at_ms.is_none() });
        }
    }
    Ok(all)
}

/// The name of the record of one buyer: one call may be about several, and each is applied once.
fn of_buyer(operation: &OperationId, buyer: &BuyerRef) -> Result<OperationId, Coded> {
    let text = format!("{operation} {buyer}");
    let name = format!("erase-{}", hex::encode(&sha256(text.as_bytes())[..16]));
    name.parse().map_err(|_| reply::problem_because(Code::Internal, "no name for the record"))
}

/// Writes into the journal of erasures, of one node.
async fn note(operator: &Operator, erasure: Erasure) -> Result<(), Coded> {
    let Some(journal) = operator.shared.erasures.clone() else { return Ok(()) };
    let written = tokio::task::spawn_blocking(move || journal.append(&erasure)).await;
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::error!(%error, "an erasure is refused");
            let detail = "the journal of erasures cannot be written, so nothing was erased: see the \
                          server's log, and privacy.erasures_file";
            Err(reply::problem_because(Code::AuditUnavailable, detail))
        }
        Err(_) => Err(reply::problem_because(Code::Internal, "the call was cut off")),
    }
}

/// Takes whoever is erased out of the evidence of one node; of many, the workers do it with the subjects.
async fn forget_sightings(operator: &Operator, concerned: &[Known]) -> Result<(), Coded> {
    let Some(evidence) = &operator.shared.evidence else { return Ok(()) };
    if operator.shared.ledger.lags() {
        return Ok(());
    }
    for known in concerned {
        if let Err(error) = evidence.forget_buyer(known.buyer).await {
            tracing::error!(%error, "an erasure did not reach the evidence");
            let detail = "the erasure is in the log, and the evidence could not be written: make the call \
                          again";
            return Err(reply::problem_because(Code::EvidenceUnavailable, detail));
        }
    }
    Ok(())
}

/// Waits until the store has done what was written; `false` if that takes longer.
async fn await_done(operator: &Operator, written: &[Written]) -> Result<bool, Coded> {
    let mut waited = Duration::ZERO;
    'written: for Written { buyer, at_ms, .. } in written {
        loop {
            let erased = operator.shared.ledger.erased(*buyer).await.map_err(unread)?;
            if erased.is_some_and(|e| e.done && e.at_ms >= at_ms.unwrap_or_default()) {
                continue 'written;
            }
            if waited >= DONE_WAIT_MAX {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        }
    }
    Ok(true)
}
