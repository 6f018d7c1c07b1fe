//! The top offenders, as pseudonyms. They come from the evidence that is kept of attempts; a node that keeps none
//! says so.
//!
//! The store is asked at most once in [`PAUSE`], for all viewers together, and only while somebody looks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use crate::evidence::analysis::Kind;
use crate::evidence::analysis::offenders::{self, Offender as Found};
use crate::evidence::analysis::patterns::Thresholds;
use crate::evidence::{Evidence, EvidenceError, Query, Sighting};
use crate::http::operator::Operator;

/// Between two looks at the evidence.
const PAUSE: Duration = Duration::from_secs(5);
/// How far back it is looked, in milliseconds: ten minutes.
const SPAN_MS: u64 = 600_000;
/// The newest sightings, which are looked at.
const SIGHTINGS_MAX: usize = 50_000;
/// Offenders that are shown.
const SHOWN_MAX: usize = 10;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Offender {
    /// A keyed pseudonym.
    #[schema(example = "fingerprint-0f1e2d3c4b5a6978")]
    key: String,
    /// Accepted orders of the last ten minutes.
    orders: u64,
    /// All other attempts; of a flood an estimate.
    refusals: u64,
    /// Unix milliseconds.
    last_at: u64,
}

/// Keeps the list, until the program stops.
pub async fn watch(operator: Arc<Operator>) {
    let Some(evidence) = &operator.shared.evidence else { return };
    operator.console.board.lock().offenders = Some(Vec::new());
    let mut interval = tokio::time::interval(PAUSE);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut fails = false;
    loop {
        interval.tick().await;
        if operator.shared.is_stopping() {
            return;
        }
        if !operator.console.looked.swap(false, Ordering::Relaxed) {
            continue;
        }
        match top(evidence, operator.shared.clock.unix_ms()).await {
            Ok(offenders) => {
                fails = false;
                operator.console.board.lock().offenders = Some(offenders);
            }
            // The list stays as it was. It is told once, not each time.
            Err(error) if !std::mem::replace(&mut fails, true) => {
                tracing::warn!(%error, "the console shows old offenders");
            }
            Err(_) => {}
        }
    }
}

/// The top ones of now.
async fn top(evidence: &Evidence, now_ms: u64) -> Result<Vec<Offender>, EvidenceError> {
    let query = Query {
        since_ms: now_ms.saturating_sub(SPAN_MS),
        until_ms: now_ms + 1,
        product: None,
        accepted_only: false,
        limit: SIGHTINGS_MAX,
    };
    let found = evidence.sightings(&query).await?.sightings;
    let chosen = tokio::task::spawn_blocking(move || choose(&found)).await;
    chosen.map_err(|_| EvidenceError::CutOff)
}

/// Of each kind those that stand out, and of all of them the first ones: whoever only shops is not shown.
fn choose(sightings: &[Sighting]) -> Vec<Offender> {
    let thresholds = Thresholds::default();
    let of_kind = |kind| offenders::offenders(sightings, kind, &thresholds, SHOWN_MAX);
    let mut all: Vec<_> = Kind::ALL.into_iter().flat_map(of_kind).collect();
    all.retain(|offender| offender.stands_out);
    all.sort_by_key(|offender| std::cmp::Reverse((offender.orders, offender.refusals)));
    all.truncate(SHOWN_MAX);
    all.iter().map(view).collect()
}

fn view(found: &Found) -> Offender {
    Offender {
        key: found.source.to_string(),
        orders: found.orders,
        refusals: found.refusals,
        last_at: found.last_at_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::analysis::patterns::Pattern;
    use crate::evidence::analysis::tests::crowd::{BOTS, Dice, bots, honest};

    #[test]
    fn who_only_shops_is_not_shown_and_a_farm_is() {
        let mut dice = Dice(1);
        let mut all = honest(&mut dice);
        assert_eq!(choose(&all), []);
        all.extend(bots(&mut dice, Pattern::SharedFingerprint));
        all.sort_by_key(|sighting| sighting.at_ms);
        let shown = choose(&all);
        assert_eq!(shown.len(), 1, "{shown:?}");
        assert_eq!((shown[0].orders, shown[0].refusals), (BOTS as u64, 0));
        assert!(shown[0].key.starts_with("fingerprint-"));
    }
}
