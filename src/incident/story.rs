//! What is known of a span of time: what operators did, who was refused how often, how the sale went.
//!
//! It is put together from the lines of the audit trail and from the applied state; nothing here asks anybody.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::audit::Kind;
use crate::audit::line::Line;

/// Actions that are listed one by one; what is beyond is counted.
pub const ACTIONS_MAX: usize = 5_000;

/// Everything that the report says.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    /// The version of this shape.
    pub version: u32,
    /// Unix milliseconds.
    pub made_at: u64,
    /// The operator who asked for it.
    pub made_by: String,
    /// Unix milliseconds.
    pub since: u64,
    /// Unix milliseconds.
    pub until: u64,
    /// Of this product alone; `null` is all.
    pub product: Option<String>,
    /// The products as they stand now.
    pub products: Vec<Product>,
    /// What operators did, in order.
    pub actions: Vec<Action>,
    /// Actions that are not listed.
    pub further_actions: u64,
    /// Refusals noted by this node, by kind.
    pub refusals: BTreeMap<String, u64>,
    /// The blocks that stand.
    pub blocks: Value,
    /// The live limits that stand.
    pub limits: Value,
    /// The approvals that wait or were given.
    pub approvals: Value,
    /// What is known of attempts: `kept` is all that was kept of them, `cut` that the oldest of it had no place,
    /// `off` that nothing is kept, `not_read` that the store did not answer.
    pub evidence: &'static str,
    /// Whom the orders of the span come from, the most first, where evidence is kept.
    pub offenders: Value,
    /// How the attack went and what each rule would have caught, where evidence is kept.
    pub analysis: Value,
    /// The name of the node's audit trail.
    pub node: String,
    /// Where the order log stood, of each partition: offset and digest.
    pub log_heads: Value,
    /// What did not fit: the names of files of which only the first part is in the bundle.
    pub cut: Vec<&'static str>,
}

/// A product.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Product {
    /// As `GET /admin/products/{id}` shows it.
    pub now: Value,
    /// Orders confirmed in the span.
    pub confirmed: u64,
    /// Those of them that have been taken back since.
    pub reversed: u64,
    /// Confirmed orders of each minute that has some, by its begin (Unix milliseconds).
    pub minutes: BTreeMap<u64, u64>,
}

/// What an operator did, once or many times in a row.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    /// The number of its first line in the trail.
    pub seq: u64,
    /// When, Unix milliseconds.
    pub at: u64,
    /// When the last of many was.
    pub last_at: u64,
    /// Who: the name of the token.
    pub who: String,
    /// What: the kind of record.
    pub what: String,
    /// Which product; `_control` is the whole gate.
    pub product: String,
    /// Why, if it was said.
    pub why: Option<String>,
    /// How many times.
    pub times: u64,
    /// What came of it, how many times.
    pub outcomes: BTreeMap<String, u64>,
    /// The record; of many the first.
    pub record: Value,
    /// How it stood before the first.
    pub before: Value,
    /// How it stood after the last.
    pub after: Value,
}

impl Action {
    fn is_of(&self, fields: &Value) -> bool {
        let same = |name: &str, own: &str| fields[name].as_str() == Some(own);
        same("who", &self.who) && same("what", &self.what) && same("product", &self.product)
    }

    fn unanswered(&self) -> bool {
        self.outcomes.values().sum::<u64>() < self.times
    }
}

impl Story {
    /// Takes a line of the trail.
    pub fn take(&mut self, line: &Line) {
        let count = |fields: &Value| fields["count"].as_u64().unwrap_or_default();
        match Kind::of(&line.kind) {
            Some(Kind::OperatorAction) => self.action(line),
            Some(Kind::OperatorResult) => self.result(line),
            Some(Kind::Refusals) => {
                let of = text(&line.fields, "of");
                *self.refusals.entry(of).or_default() += count(&line.fields);
            }
            Some(Kind::Refusal(kind)) => {
                *self.refusals.entry(kind.word().to_owned()).or_default() += 1;
            }
            _ => {}
        }
    }

    fn concerns(&self, fields: &Value) -> bool {
        let product = fields["product"].as_str().unwrap_or_default();
        let control = crate::sale::ProductId::CONTROL;
        self.product.as_ref().is_none_or(|own| own == product || product == control.as_str())
    }

    fn action(&mut self, line: &Line) {
        let fields = &line.fields;
        if !self.concerns(fields) {
            return;
        }
        let why = fields["why"].as_str();
        // Orders that are taken back for one reason are one action of many records.
        let many = fields["what"] == "order_reversed";
        if let Some(last) = self.actions.iter_mut().rev().find(|action| action.is_of(fields))
            && many
            && last.why.as_deref() == why
        {
            last.times += 1;
            last.last_at = line.at_ms;
            return;
        }
        if self.actions.len() >= ACTIONS_MAX {
            self.further_actions += 1;
            return;
        }
        self.actions.push(Action {
            seq: line.seq,
            at: line.at_ms,
            last_at: line.at_ms,
            who: text(fields, "who"),
            what: text(fields, "what"),
            product: text(fields, "product"),
            why: why.map(str::to_owned),
            times: 1,
            outcomes: BTreeMap::new(),
            record: fields["record"].clone(),
            before: fields["before"].clone(),
            after: Value::Null,
        });
    }

    /// What came of the oldest action of this kind that has no outcome yet.
    fn result(&mut self, line: &Line) {
        let fields = &line.fields;
        let mut waiting = self.actions.iter_mut();
        if let Some(action) = waiting.find(|a| a.is_of(fields) && a.unanswered()) {
            *action.outcomes.entry(text(fields, "outcome")).or_default() += 1;
            action.after = fields["after"].clone();
            action.last_at = action.last_at.max(line.at_ms);
        }
    }
}

fn text(fields: &Value, name: &str) -> String {
    fields[name].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(seq: u64, kind: &str, fields: Value) -> Line {
        let digest = crate::audit::line::genesis();
        Line { seq, at_ms: 1_000 + seq, kind: kind.to_owned(), fields, prev: digest, digest }
    }

    fn action(seq: u64, what: &str, product: &str, why: &str) -> Line {
        let fields = json!({"who": "ann", "what": what, "product": product, "why": why,
            "before": {"sold": seq}, "record": {}});
        line(seq, "operator_action", fields)
    }

    fn result(seq: u64, what: &str, product: &str, outcome: &str) -> Line {
        let fields = json!({"who": "ann", "what": what, "product": product, "outcome": outcome,
            "after": {"sold": seq}});
        line(seq, "operator_result", fields)
    }

    #[test]
    fn a_thousand_reversals_for_one_reason_are_one_action_and_every_outcome_is_counted() {
        let mut story = Story::default();
        story.take(&action(1, "sale_paused", "phone", "attack"));
        story.take(&result(2, "sale_paused", "phone", "applied"));
        for n in 0..1_000 {
            story.take(&action(3 + 2 * n, "order_reversed", "phone", "fraud"));
        }
        for n in 0..1_000 {
            let outcome = if n < 990 { "applied" } else { "ignored_already_reversed" };
            story.take(&result(4 + 2 * n, "order_reversed", "phone", outcome));
        }
        story.take(&action(3_000, "order_reversed", "phone", "another reason"));
        assert_eq!(story.actions.len(), 3);
        let many = &story.actions[1];
        assert_eq!((many.times, many.outcomes["applied"]), (1_000, 990));
        assert_eq!(many.outcomes["ignored_already_reversed"], 10);
        assert_eq!((&many.before["sold"], &many.after["sold"]), (&3.into(), &2_002.into()));
        assert!(story.actions[2].outcomes.is_empty(), "nothing is known of it yet");
    }

    #[test]
    fn another_products_actions_are_left_out_and_those_of_the_gate_are_not() {
        let mut story = Story { product: Some("phone".to_owned()), ..Story::default() };
        story.take(&action(1, "sale_paused", "shoe", "x"));
        story.take(&action(2, "block_set", "_control", "x"));
        story.take(&action(3, "sale_paused", "phone", "x"));
        assert_eq!(story.actions.iter().map(|a| a.seq).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn refusals_in_full_and_counted_ones_are_one_number() {
        let mut story = Story::default();
        story.take(&line(1, "blocked", json!({})));
        story.take(&line(2, "refusals", json!({"of": "blocked", "count": 41})));
        assert_eq!(story.refusals["blocked"], 42);
    }
}
