//! `GET /admin/incident/offenders`: whom orders and refusals come from, the most first.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use serde::Serialize;

use super::parameters::Parameters;
use super::{Look, apart, evidence, not_read};
use crate::evidence::Sighting;
use crate::evidence::analysis::offenders::{self, Offender};
use crate::evidence::analysis::patterns::Thresholds;
use crate::evidence::analysis::{Kind, Source};
use crate::http::code::Code;
use crate::http::operator::Operator;
use crate::http::operator::call::answer;
use crate::http::reply::{self, Coded};

/// Of each kind, unless it is said otherwise.
pub const LIMIT: usize = 20;
/// Most of each kind.
pub const LIMIT_MAX: u64 = 1_000;

/// A list for each kind.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Offenders {
    /// Under `address`, `network`, `fingerprint` and `buyer`.
    offenders: BTreeMap<&'static str, Vec<OffenderView>>,
    /// Whether all of the span was looked at.
    complete: bool,
}

/// Somebody, and what came from there.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OffenderView {
    /// A pseudonym.
    #[schema(example = "network-0f1e2d3c4b5a6978")]
    key: String,
    /// Accepted orders.
    orders: u64,
    /// Different buyers, as far as they are known.
    buyers: u64,
    /// All other attempts; of a flood an estimate.
    refusals: u64,
    /// Unix milliseconds.
    first_at: u64,
    /// Unix milliseconds.
    last_at: u64,
    /// Whether that is more than a household would be.
    stands_out: bool,
}

/// Looks.
pub async fn offenders(State(operator): State<Arc<Operator>>, RawQuery(query): RawQuery) -> Coded {
    answer(async {
        let mut parameters = Parameters::read(query.as_deref())?;
        let look = Look::read(&operator, &mut parameters)?;
        let limit = parameters.number("limit", 1, LIMIT_MAX)?.map_or(LIMIT, |limit| limit as usize);
        parameters.end()?;
        let evidence = evidence(&operator)?;
        let turn = operator.turns.next().await?;
        let found = look.attempts(evidence, &operator.shared).await;
        let found = found.map_err(|error| not_read(&error))?;
        apart(turn, move || {
            let offenders =
                lists(&found.sightings, &look.thresholds, limit, &mut |source| source.to_string());
            reply::json_value(Code::Ok, &Offenders { offenders, complete: !found.cut })
        })
        .await
    })
    .await
}

/// The first of each kind, under the names that `name` gives them.
pub fn lists(
    sightings: &[Sighting],
    thresholds: &Thresholds,
    limit: usize,
    name: &mut dyn FnMut(Source) -> String,
) -> BTreeMap<&'static str, Vec<OffenderView>> {
    let mut list = |kind: Kind| {
        let top = offenders::offenders(sightings, kind, thresholds, limit);
        (kind.word(), top.iter().map(|offender| view(offender, name)).collect())
    };
    Kind::ALL.into_iter().map(&mut list).collect()
}

fn view(offender: &Offender, name: &mut dyn FnMut(Source) -> String) -> OffenderView {
    OffenderView {
        key: name(offender.source),
        orders: offender.orders,
        buyers: offender.buyers,
        refusals: offender.refusals,
        first_at: offender.first_at_ms,
        last_at: offender.last_at_ms,
        stands_out: offender.stands_out,
    }
}
