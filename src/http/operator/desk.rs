//! The operator's way to the log: handlers may run anywhere, a [`LogHandle`] belongs to its thread, so a
//! local task stands between the two.
//!
//! Every change that an operator makes goes through [`write()`], which also tells the audit trail who
//! changed what, why, and how it stood before and after.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::Operator;
use super::auth::Caller;
use super::products::describe;
use super::trail::{self, Change};
use crate::http::code::Code;
use crate::http::reply::{self, Coded};
use crate::log::{Append, Decided, LogHandle, Lost, NotAppended};
use crate::sale::control::{BlockTarget, ControlChange};
use crate::sale::{ControlRecord, ControlState, OperatorName, ProductId, Record};

/// Operator records that wait for the log.
const QUEUE_MAX: usize = 256;
/// How long an operator's record waits for its decision.
pub const DECISION_WAIT_MAX: Duration = Duration::from_secs(10);

/// Why a record has no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoOutcome {
    /// Nothing was written.
    NotWritten,
    /// The log stopped, or said nothing in time; it may have been written.
    Unknown,
    /// Nothing was written: this node may not write operators' records.
    NotSigned,
}

type Task = (Append, oneshot::Sender<Result<Decided, NoOutcome>>);

/// See the module.
#[derive(Debug, Clone)]
pub struct Desk(mpsc::Sender<Task>);

impl Desk {
    /// Starts the local task. Must be called on the thread of `log`, in its `LocalSet`.
    pub fn start(log: LogHandle) -> Self {
        let (sender, mut tasks) = mpsc::channel::<Task>(QUEUE_MAX);
        tokio::task::spawn_local(async move {
            while let Some((append, answer)) = tasks.recv().await {
                let undecided = log.append(append);
                tokio::task::spawn_local(async move {
                    let outcome = match undecided {
                        Ok(undecided) => {
                            match tokio::time::timeout(DECISION_WAIT_MAX, undecided).await {
                                Ok(Ok(decided)) => Ok(decided),
                                Ok(Err(Lost)) | Err(_) => Err(NoOutcome::Unknown),
                            }
                        }
                        Err(NotAppended::NoOperatorKey) => Err(NoOutcome::NotSigned),
                        Err(_) => Err(NoOutcome::NotWritten),
                    };
                    // Whoever asked may have hung up; the record stands all the same.
                    let _ = answer.send(outcome);
                });
            }
        });
        Self(sender)
    }

    /// Writes one record and waits for its outcome.
    ///
    /// # Errors
    /// The log took nothing, or stopped before it said what became of the record.
    pub async fn write(&self, append: Append) -> Result<Decided, NoOutcome> {
        let (answer, outcome) = oneshot::channel();
        self.0.try_send((append, answer)).map_err(|_| NoOutcome::NotWritten)?;
        outcome.await.unwrap_or(Err(NoOutcome::Unknown))
    }
}

/// Writes one record of an operator's: into the audit trail first, then into the log, then what came of it
/// into the trail again.
///
/// # Errors
/// The answer that says why its outcome is not known, or that nothing was written.
pub async fn write(
    operator: &Operator,
    caller: &Caller,
    key: ProductId,
    record: Record,
) -> Result<Decided, Coded> {
    write_because(operator, caller, key, record, None).await
}

/// The same with the reason for a record that holds none itself: it is in the audit trail alone.
///
/// # Errors
/// As [`write()`].
pub async fn write_because(
    operator: &Operator,
    caller: &Caller,
    key: ProductId,
    record: Record,
    why: Option<&str>,
) -> Result<Decided, Coded> {
    // A control record says itself who wrote it.
    let by = if key == ProductId::CONTROL { None } else { Some(caller.name) };
    let why = why.or_else(|| reason_of(&record));
    let change = Change { who: caller.name, key, record: &record, why };
    trail::intend(operator, &change, standing(operator, &key, &record)).await?;
    let append = Append { product: key, record: record.clone(), subject: None, by };
    let decided = operator.desk.write(append).await;
    trail::came_to(operator, &change, &decided, standing(operator, &key, &record)).await;
    let decided = decided.map_err(NoOutcome::answer)?;
    tracing::info!(
        operator = %caller.name,
        %key,
        record = record.kind(),
        outcome = decided.outcome.name(),
        offset = decided.offset,
        "operator record"
    );
    Ok(decided)
}

/// Only a node with the operators' key can sign what operators write.
const NOT_SIGNED: &str =
    "this node does not hold secrets.operator_key; send the call to a node that does";

impl NoOutcome {
    /// The answer to the operator.
    pub fn answer(self) -> Coded {
        match self {
            Self::NotWritten => {
                reply::problem_because(Code::Busy, "the order log takes nothing at the moment")
            }
            Self::NotSigned => reply::problem_because(Code::Forbidden, NOT_SIGNED),
            Self::Unknown => reply::problem_because(
                Code::OutcomeUnknown,
                "the order log gave no answer; send the call again with the same Idempotency-Key",
            ),
        }
    }
}

/// How that which the record is about stands; null if it does not.
fn standing(operator: &Operator, key: &ProductId, record: &Record) -> Value {
    let Record::Control(record) = record else {
        return json(describe(operator, key));
    };
    let control = operator.shared.applied().control();
    let now_ms = control.log_time_at(operator.shared.log_time().likely_ms);
    entry(&control, record, now_ms)
}

fn entry(control: &ControlState, record: &ControlRecord, now_ms: u64) -> Value {
    let block = |target: &BlockTarget| json(control.block(target, now_ms));
    let token = |name: &OperatorName| {
        let token = control.tokens(now_ms).find(|token| token.name == *name);
        token.map_or(Value::Null, |token| {
            serde_json::json!({ "name": token.name, "role": token.role, "until_ms": token.until_ms })
        })
    };
    match &record.change {
        ControlChange::BlockSet { target, .. } | ControlChange::BlockLifted { target } => {
            block(target)
        }
        ControlChange::AllowSet { target, .. } | ControlChange::AllowLifted { target } => {
            json(control.allow(target, now_ms))
        }
        ControlChange::ScoreOff { .. } | ControlChange::ScoreOn {} => {
            json(control.score_off(now_ms))
        }
        ControlChange::LimitSet { limit, .. } | ControlChange::LimitCleared { limit } => {
            json(control.limit(*limit, now_ms))
        }
        ControlChange::TokenAdded { name, .. } | ControlChange::TokenRevoked { name } => {
            token(name)
        }
        ControlChange::ApprovalAsked { .. } => json(control.approval(&record.operation, now_ms)),
        ControlChange::ApprovalGiven { approval }
        | ControlChange::ApprovalRejected { approval } => json(control.approval(approval, now_ms)),
    }
}

fn json(of: impl serde::Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

fn reason_of(record: &Record) -> Option<&str> {
    match record {
        Record::OrderReversed { reason, .. } => Some(reason),
        Record::Control(record) => match &record.change {
            ControlChange::BlockSet { reason, .. }
            | ControlChange::AllowSet { reason, .. }
            | ControlChange::ScoreOff { reason, .. }
            | ControlChange::LimitSet { reason, .. } => Some(reason),
            _ => None,
        },
        _ => None,
    }
}
