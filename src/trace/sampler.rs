//! Which requests are traced.
//!
//! A caller may ask for its trace to be sampled, and a stranger may ask each time. So two budgets bound what
//! is sampled in a second: one for the traces that begin here, one for those that callers name. Nobody who
//! spends the second takes anything of the first.

use std::sync::atomic::{AtomicU64, Ordering};

use super::context::TraceContext;
use crate::config::traces::Rule;
use crate::gcra::{self, Check, Rate};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// No spans.
    Unsampled,
    /// Spans.
    Sampled,
    /// It would have had spans, but too many have.
    OverLimit,
}

/// Decides for all threads.
#[derive(Debug)]
pub struct Sampler {
    parent_based: bool,
    /// A trace is sampled if the low 63 bits of its id are below this, as OpenTelemetry's samplers decide:
    /// all services with the same ratio take the same traces.
    below: u64,
    begun_here: Budget,
    named_by_callers: Budget,
}

impl Sampler {
    /// Goes by a rule, and samples at most so many a second of either kind.
    pub fn new(rule: Rule, per_second_max: u32) -> Self {
        Self {
            parent_based: rule.parent_based,
            below: (rule.ratio * (1_u64 << 63) as f64) as u64,
            begun_here: Budget::new(per_second_max),
            named_by_callers: Budget::new(per_second_max),
        }
    }

    /// Decides on a trace. `parent` is what its caller says of it.
    pub fn decide(&self, trace_id: u128, parent: Option<&TraceContext>, now_us: u64) -> Decision {
        let wanted = match parent {
            Some(parent) if self.parent_based => parent.sampled,
            _ => (trace_id as u64) >> 1 < self.below,
        };
        if !wanted {
            return Decision::Unsampled;
        }
        let budget = if parent.is_some() { &self.named_by_callers } else { &self.begun_here };
        if budget.charge(now_us) { Decision::Sampled } else { Decision::OverLimit }
    }
}

/// So many a second, over all threads.
#[derive(Debug)]
pub struct Budget {
    rate: Option<Rate>,
    tat_us: AtomicU64,
}

impl Budget {
    /// So many a second, all of them at once if it must be; 0 is none.
    pub fn new(per_second: u32) -> Self {
        Self { rate: Rate::per_second(per_second, per_second), tat_us: AtomicU64::new(0) }
    }

    /// Takes one, if there is one left.
    pub fn charge(&self, now_us: u64) -> bool {
        let Some(rate) = &self.rate else { return false };
        let charge = |tat_us| match gcra::check(rate, tat_us, now_us) {
            Check::Conforms { tat_us, .. } => Some(tat_us),
            Check::Exceeds { .. } => None,
        };
        self.tat_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charge).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(parent_based: bool, ratio: f64) -> Sampler {
        Sampler::new(Rule { parent_based, ratio }, 10)
    }

    fn parent(sampled: bool) -> TraceContext {
        TraceContext { trace_id: 1, span_id: 1, sampled }
    }

    #[test]
    fn a_stranger_who_asks_for_every_trace_gets_few_and_takes_none_from_others() {
        let sampler = sampler(true, 1.0);
        let asked = |now_us| sampler.decide(1, Some(&parent(true)), now_us) == Decision::Sampled;
        assert_eq!((0..1_000).filter(|_| asked(0)).count(), 10);
        assert_eq!((0..1_000).filter(|n| asked(n * 1_000)).count(), 9, "in the next second");
        let own = |now_us| sampler.decide(1, None, now_us) == Decision::Sampled;
        assert_eq!((0..1_000).filter(|_| own(0)).count(), 10);
    }

    #[test]
    fn the_parents_decision_holds_only_where_it_is_asked_for() {
        for (parent_based, ratio, sampled, expected) in [
            (true, 1.0, false, Decision::Unsampled),
            (true, 0.0, true, Decision::Sampled),
            (false, 1.0, false, Decision::Sampled),
            (false, 0.0, true, Decision::Unsampled),
        ] {
            let decision = sampler(parent_based, ratio).decide(7, Some(&parent(sampled)), 0);
            assert_eq!(decision, expected, "{parent_based} {ratio} {sampled}");
        }
    }

    #[test]
    fn the_ratio_is_that_of_the_ids() {
        let mut id = 0_u64;
        let mut sampled = 0;
        let quarter = Sampler::new(Rule { parent_based: true, ratio: 0.25 }, 1_000_000);
        for n in 0..10_000 {
            id = id.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sampled += u32::from(quarter.decide(id.into(), None, n) == Decision::Sampled);
        }
        assert!((2_300..2_700).contains(&sampled), "{sampled}");
        let none = sampler(true, 0.0).decide(0, None, 0);
        assert_eq!(none, Decision::Unsampled);
        let all = sampler(true, 1.0).decide(u128::MAX, None, 0);
        assert_eq!(all, Decision::Sampled);
    }
}
