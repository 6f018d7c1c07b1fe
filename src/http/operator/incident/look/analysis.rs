//! `GET /admin/incident/analysis`: how the attack went, and what each rule would have caught.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use serde::Serialize;

use super::parameters::Parameters;
use super::{Look, apart, evidence, not_read, pattern, signed};
use crate::evidence::analysis::Source;
use crate::evidence::analysis::patterns::{self, Order, Pattern};
use crate::evidence::analysis::rules::{self, Caught, Rule};
use crate::evidence::analysis::shape::{self, Step};
use crate::evidence::{Evidence, EvidenceError, Found, MinuteCount};
use crate::http::code::Code;
use crate::http::operator::Operator;
use crate::http::operator::call::answer;
use crate::http::reply::{self, Coded};
use crate::http::shared::Shared;

/// How it went.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// Unix milliseconds.
    since: u64,
    /// Unix milliseconds.
    until: u64,
    product: Option<String>,
    /// Accepted orders.
    orders: usize,
    /// Those that show the pattern that was asked for, or any.
    suspicious: usize,
    /// How many show each pattern; an order may show several.
    patterns: BTreeMap<&'static str, usize>,
    /// How long a step is, in milliseconds: a second, of spans longer than a quarter of an hour a minute.
    step_ms: u64,
    /// Those in which there was something. By the minute they count all attempts; by the second those that were kept,
    /// each for as many as it stands for.
    steps: Vec<StepView>,
    /// What each rule, alone, would have caught. They are played over the attempts that were kept: they compare
    /// rules, and do not foretell a sale.
    rules: Vec<RuleView>,
    /// Attempts that were kept and looked at.
    looked_at: usize,
    /// Whether all that was kept of the span was looked at. If not, refusals of its oldest part are missing.
    complete: bool,
}

/// A second or a minute.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    /// Its begin, Unix milliseconds.
    at: u64,
    /// Suspicious orders.
    suspicious: u64,
    /// Attempts by what came of them: `accepted`, `sold_out`, `blocked` and so on.
    came_to: BTreeMap<&'static str, u64>,
}

/// What a rule would have caught.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleView {
    /// The name of the limit; `block`; or `users_per_fingerprint`, which is no limit of the gate.
    rule: &'static str,
    /// The value that was tried; `null` of a block.
    value: Option<u32>,
    /// Whom it blocks: the one of its kind with most suspicious orders.
    source: Option<String>,
    /// Suspicious orders that it would have refused.
    caught: u64,
    /// Other orders that it would have refused.
    collateral: u64,
}

/// Looks.
pub async fn analysis(State(operator): State<Arc<Operator>>, RawQuery(query): RawQuery) -> Coded {
    answer(async {
        let mut parameters = Parameters::read(query.as_deref())?;
        let look = Look::read(&operator, &mut parameters)?;
        let pattern = pattern(&mut parameters)?;
        parameters.end()?;
        let evidence = evidence(&operator)?;
        let turn = operator.turns.next().await?;
        let shared = operator.shared.clone();
        let seen = Seen::read(look, evidence, &shared).await.map_err(|error| not_read(&error))?;
        apart(turn, move || {
            let analysis = seen.analyse(&shared, pattern, &mut |source| source.to_string());
            reply::json_value(Code::Ok, &analysis)
        })
        .await
    })
    .await
}

/// What an analysis rests on.
pub struct Seen {
    look: Look,
    /// The attempts that were kept.
    pub found: Found,
    /// How many there were, where that is told by the minute.
    minutes: Option<Vec<MinuteCount>>,
}

impl Seen {
    /// Asks the store.
    ///
    /// # Errors
    /// As the store.
    pub async fn read(
        look: Look,
        evidence: &Evidence,
        shared: &Shared,
    ) -> Result<Self, EvidenceError> {
        let found = look.attempts(evidence, shared).await?;
        let Look { since_ms, until_ms, product, .. } = look;
        let by_minute = shape::step_ms(until_ms - since_ms) > 1_000;
        let minutes = match by_minute {
            true => Some(evidence.minutes(since_ms, until_ms, product).await?),
            false => None,
        };
        Ok(Self { look, found, minutes })
    }

    /// Judges it; sources have the names that `name` gives them.
    pub fn analyse(
        &self,
        shared: &Shared,
        pattern: Option<Pattern>,
        name: &mut dyn FnMut(Source) -> String,
    ) -> Analysis {
        let Look { since_ms, until_ms, product, thresholds } = &self.look;
        let sightings = &self.found.sightings;
        let orders = patterns::orders(sightings, thresholds);
        let step_ms = shape::step_ms(until_ms - since_ms);
        let shape = match &self.minutes {
            Some(minutes) => {
                let counts = minutes.iter().map(|m| (m.minute_ms, m.what, m.count));
                shape::shape(step_ms, counts, &orders, pattern)
            }
            None => shape::shape(step_ms, shape::counts(sightings), &orders, pattern),
        };
        let rules = rules::play(sightings, &orders, pattern, signed(shared));
        Analysis {
            since: *since_ms,
            until: *until_ms,
            product: product.map(|product| product.to_string()),
            orders: orders.len(),
            suspicious: showing(&orders, pattern),
            patterns: Pattern::ALL.map(|one| (one.word(), showing(&orders, Some(one)))).into(),
            step_ms: shape.step_ms,
            steps: shape.steps.iter().map(step).collect(),
            rules: rules.iter().map(|caught| rule(caught, name)).collect(),
            looked_at: sightings.len(),
            complete: !self.found.cut,
        }
    }
}

fn showing(orders: &[Order<'_>], pattern: Option<Pattern>) -> usize {
    orders.iter().filter(|order| order.shows(pattern)).count()
}

fn step(step: &Step) -> StepView {
    let came_to = step.came_to.iter().map(|(what, count)| (what.word(), *count));
    StepView { at: step.at_ms, suspicious: step.suspicious, came_to: came_to.collect() }
}

fn rule(caught: &Caught, name: &mut dyn FnMut(Source) -> String) -> RuleView {
    let (value, source) = match caught.rule {
        Rule::Block(source) => (None, Some(name(source))),
        rule => (rule.value(), None),
    };
    RuleView {
        rule: caught.rule.word(),
        value,
        source,
        caught: caught.caught,
        collateral: caught.collateral,
    }
}
