//! The operator's way to the log: handlers may run anywhere, a [`LogHandle`] belongs to its thread, so a
//! local task stands between the two.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::log::{Append, Decided, LogHandle, Lost, NotAppended};

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
