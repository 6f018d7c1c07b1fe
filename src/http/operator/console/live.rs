//! Live: a sample each second, encoded once and sent to all who look, by server-sent events.
//!
//! Bounded: [`VIEWERS_MAX`] viewers, [`VIEWERS_PER_NAME_MAX`] of one token's name, so that nobody shuts the
//! others out. A viewer who does not read misses frames, which are each complete, and after
//! [`events::MISSED_MAX`] of them is let go. Whoever may not look any more (logged out, token revoked) is let go within
//! a second. What is sent each second is the heartbeat too.
//!
//! Events: `history` (the samples of the last hour, or those after `Last-Event-ID`), then `overview` each second
//! and `sample` every five.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::Board;
use super::history::{SAMPLE_SECONDS, Sample};
use super::meter::Reading;
use super::overview;
use crate::audit::read;
use crate::http::code::Code;
use crate::http::events::{self, Viewer};
use crate::http::operator::Operator;
use crate::http::operator::auth::{self, Caller, Credential};
use crate::http::reply::{self, Coded, Frames};
use crate::sale::OperatorName;

/// Viewers at once.
pub const VIEWERS_MAX: usize = 64;
/// Viewers at once with tokens of one name.
pub const VIEWERS_PER_NAME_MAX: usize = 8;
/// Frames that wait for a viewer who is slow.
const WAITING_MAX: usize = 8;

/// Who looks.
#[derive(Debug, Default)]
pub struct Hub(Mutex<Viewers>);

#[derive(Debug, Default)]
struct Viewers {
    all: Vec<Operating>,
    closed: bool,
}

/// An operator who looks.
#[derive(Debug)]
struct Operating {
    viewer: Viewer,
    name: OperatorName,
    credential: Credential,
}

impl Hub {
    /// Takes one more; `None` if there is no place.
    fn enter(
        &self,
        name: OperatorName,
        credential: Credential,
        first: Bytes,
    ) -> Option<mpsc::Receiver<Bytes>> {
        let mut viewers = self.0.lock();
        viewers.all.retain(|one| !one.viewer.is_gone());
        let of_name = viewers.all.iter().filter(|one| one.name == name).count();
        let full = viewers.all.len() >= VIEWERS_MAX || of_name >= VIEWERS_PER_NAME_MAX;
        if viewers.closed || full {
            return None;
        }
        let (viewer, receiver) = Viewer::new(WAITING_MAX, first)?;
        viewers.all.push(Operating { viewer, name, credential });
        Some(receiver)
    }

    fn is_empty(&self) -> bool {
        self.0.lock().all.is_empty()
    }

    /// Sends a frame to everybody who may still see it.
    fn send(&self, frame: &Bytes, may_see: impl Fn(&Credential) -> bool) {
        let mut viewers = self.0.lock();
        viewers.all.retain_mut(|one| may_see(&one.credential) && one.viewer.send(frame));
    }

    /// Lets everybody go and takes nobody any more.
    pub fn close(&self) {
        let mut viewers = self.0.lock();
        viewers.closed = true;
        viewers.all.clear();
    }
}

/// Samples and sends, until the program stops.
pub async fn run(operator: Arc<Operator>) {
    load_actions(&operator).await;
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for second in 0_u64.. {
        interval.tick().await;
        if operator.shared.is_stopping() {
            return operator.console.hub.close();
        }
        let sample = tick(&operator, second);
        let hub = &operator.console.hub;
        if hub.is_empty() {
            continue;
        }
        let frame = frame(&operator, sample.as_ref());
        hub.send(&frame, |credential| auth::caller(&operator, credential, false).is_some());
    }
}

/// The operators' last actions, from the trail.
async fn load_actions(operator: &Operator) {
    let files = operator.shared.audit.files().to_owned();
    let kinds = ["operator_action", "operator_result"];
    let lines = tokio::task::spawn_blocking(move || {
        read::last(&files, &kinds, 4 * super::recent::ACTIONS_MAX)
    });
    match lines.await {
        Ok(Ok(lines)) => operator.console.recent.load(&lines),
        _ => tracing::warn!("the console does not show earlier actions: the trail cannot be read"),
    }
}

/// Reads the counters; every [`SAMPLE_SECONDS`] that makes a sample.
fn tick(operator: &Operator, second: u64) -> Option<Sample> {
    let shared = &operator.shared;
    let (mut sold, mut remaining) = (0, 0);
    for product in shared.applied().products() {
        shared.applied().with_state(&product, |state| {
            sold += u64::from(state.sold());
            remaining += if state.archived() { 0 } else { u64::from(state.remaining()) };
        });
    }
    let counters = shared.counters.iter().map(AsRef::as_ref);
    let reading = Reading::of(shared.clock.monotonic_us(), sold, counters);
    let queue = overview::queue(operator) as u64;
    let board = &mut *operator.console.board.lock();
    board.meter.push(reading);
    if second == 0 || !second.is_multiple_of(SAMPLE_SECONDS as u64) {
        return None;
    }
    let window = board.meter.window(SAMPLE_SECONDS)?;
    let sample = Sample {
        seq: 0,
        at: shared.clock.unix_ms(),
        sold: window.sold(),
        refused: window.refused(),
        remaining,
        queue,
        p50_us: window.quantile_us(0.5),
        p99_us: window.quantile_us(0.99),
        lag: board.health.lag,
    };
    Some(board.history.push(sample).clone())
}

fn frame(operator: &Operator, sample: Option<&Sample>) -> Bytes {
    let mut frame = event("overview", None, &overview::overview(operator));
    if let Some(sample) = sample {
        frame.extend(event("sample", Some(sample.seq), sample));
    }
    frame.into()
}

fn event(name: &str, id: Option<u64>, data: &impl serde::Serialize) -> Vec<u8> {
    events::event(name, id, &serde_json::to_vec(data).unwrap_or_default())
}

/// What a viewer gets first: the samples after the last one that they have seen, and how it is now.
fn first(board: &Board, seen: u64) -> Vec<u8> {
    let samples: Vec<&Sample> = board.history.after(seen).collect();
    let history = serde_json::json!({ "samples": samples, "sampleSeconds": SAMPLE_SECONDS });
    let last = board.history.last_seq();
    let mut first = events::retry();
    first.extend(event("history", Some(last), &history));
    first
}

/// `GET /admin/events`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The number of the last sample that is known; `Last-Event-ID` counts before it.
    after: Option<u64>,
}

/// The stream.
pub async fn events(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    Extension(credential): Extension<Credential>,
    query: Result<Query<Seen>, QueryRejection>,
    headers: HeaderMap,
) -> Coded {
    let Ok(Query(Seen { after })) = query else {
        let detail = "after must be the number of a sample";
        return reply::problem_because(Code::InvalidRequest, detail);
    };
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok()).or(after);
    let now = event("overview", None, &overview::overview(&operator));
    let entered = {
        // Under the lock, so that no sample falls between what is sent first and what follows.
        let board = operator.console.board.lock();
        let mut first = first(&board, seen.unwrap_or(0));
        first.extend(now);
        operator.console.hub.enter(caller.name, credential, first.into())
    };
    let Some(frames) = entered else {
        let detail = format!(
            "as many look as may look ({VIEWERS_MAX}, {VIEWERS_PER_NAME_MAX} with one token): close \
             another page"
        );
        let refusal = reply::problem_because(Code::Overloaded, &detail);
        return refusal.retry_after_us(5_000_000);
    };
    events::stream(Frames(frames, Box::new(())))
}

/// `GET /admin/overview`.
pub async fn show(State(operator): State<Arc<Operator>>) -> Coded {
    reply::json_value(Code::Ok, &overview::overview(&operator)).not_stored()
}

/// `GET /admin/history`: the samples of the last hour.
pub async fn history(State(operator): State<Arc<Operator>>) -> Coded {
    let board = operator.console.board.lock();
    let samples: Vec<&Sample> = board.history.after(0).collect();
    let history = serde_json::json!({ "samples": samples, "sampleSeconds": SAMPLE_SECONDS });
    reply::json_value(Code::Ok, &history).not_stored()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(hub: &Hub, name: &str, credential: u8) -> Option<mpsc::Receiver<Bytes>> {
        let credential = Credential::Session([credential; 32]);
        hub.enter(name.parse().unwrap(), credential, Bytes::from_static(b"first"))
    }

    #[test]
    fn nobody_shuts_the_others_out() {
        let hub = Hub::default();
        let loud: Vec<_> = (0..100).filter_map(|_| enter(&hub, "mallory", 1)).collect();
        assert_eq!(loud.len(), VIEWERS_PER_NAME_MAX);
        assert!(enter(&hub, "alice", 2).is_some());
        drop(loud);
        assert!(enter(&hub, "mallory", 1).is_some(), "places are given back");
        let all: Vec<_> = (0..100).filter_map(|n| enter(&hub, &format!("v-{n}"), 3)).collect();
        assert!(all.len() <= VIEWERS_MAX);
        hub.close();
        assert!(enter(&hub, "late", 4).is_none());
    }

    #[test]
    fn whoever_may_not_look_any_more_is_let_go() {
        let hub = Hub::default();
        let mut stays = enter(&hub, "alice", 1).unwrap();
        let mut goes = enter(&hub, "bob", 2).unwrap();
        let frame = Bytes::from_static(b"secret");
        hub.send(&frame, |credential| matches!(credential, Credential::Session([1, ..])));
        assert_eq!(stays.try_recv().unwrap(), "first");
        assert_eq!(stays.try_recv().unwrap(), "secret");
        assert_eq!(goes.try_recv().unwrap(), "first");
        assert!(goes.try_recv().is_err() && goes.is_closed());
    }

    #[test]
    fn whoever_does_not_read_is_let_go() {
        let hub = Hub::default();
        let _asleep = enter(&hub, "alice", 1).unwrap();
        let frame = Bytes::from_static(b"x");
        for _ in 1..WAITING_MAX + events::MISSED_MAX as usize {
            hub.send(&frame, |_| true);
        }
        assert_eq!(hub.0.lock().all.len(), 1, "may be slow");
        hub.send(&frame, |_| true);
        assert!(hub.is_empty());
    }
}
