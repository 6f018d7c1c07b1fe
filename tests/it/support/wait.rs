//! Waiting for what must come: by looking again and again, until a deadline that only what is broken reaches. A slow
//! machine makes a test longer here, not red.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use super::wire::Answer;

/// How long something may take that must come.
pub const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// How long an order may be answered "unknown" before that is its answer.
const UNKNOWN: Duration = Duration::from_secs(20);
/// Between two tries of an order: longer than `limits.min_interval_ms` of any test.
const RETRY: Duration = Duration::from_millis(300);

/// Looks until there is something, and gives it.
///
/// # Panics
/// It does not come.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(POLL);
    }
}

/// Sends an order again under its own key while nobody knows what became of it, as every client must: a slow commit
/// is answered 202, or 503. Once that was said, "the same key" is how success is told.
pub fn settled(mut send: impl FnMut() -> Answer) -> Answer {
    let sent = try_settled(|| Ok::<_, Infallible>(send()));
    sent.unwrap_or_else(|never| match never {})
}

/// The same where sending may fail.
///
/// # Errors
/// It could not be sent, or was not answered.
pub fn try_settled<E>(mut send: impl FnMut() -> Result<Answer, E>) -> Result<Answer, E> {
    let begun = Instant::now();
    let mut unknown = false;
    loop {
        let mut answer = send()?;
        let word = answer.word();
        if (answer.status == 202 || answer.status == 503 && word != "busy")
            && begun.elapsed() < UNKNOWN
        {
            unknown = true;
            std::thread::sleep(RETRY);
            continue;
        }
        if unknown && word == "ignored" && answer.member("reason") == "same_key" {
            let order = answer.member("orderId");
            answer.body = format!(r#"{{"status":"success","orderId":"{order}"}}"#).into_bytes();
        }
        return Ok(answer);
    }
}
