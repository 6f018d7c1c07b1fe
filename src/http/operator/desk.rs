//! The operator's way to the log: handlers may run anywhere, a [`LogHandle`] belongs to its thread, so a
//! local task stands between the two.

use tokio::sync::{mpsc, oneshot};

use crate::log::{Append, Decided, LogHandle};

/// Operator records that wait for the log.
const QUEUE_MAX: usize = 256;

/// Why a record has no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoOutcome {
    /// Nothing was written.
    NotWritten,
    /// The log stopped; it may have been written.
    Unknown,
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
                        Ok(undecided) => undecided.await.map_err(|_lost| NoOutcome::Unknown),
                        Err(_not_appended) => Err(NoOutcome::NotWritten),
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
