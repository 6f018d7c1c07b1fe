//! The operators' last actions on this node, for the console: from the audit trail at the start, then as they
//! are made.

use std::collections::VecDeque;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;

use crate::audit::Kind;
use crate::audit::line;

/// Actions that are kept.
pub const ACTIONS_MAX: usize = 20;

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Action {
    /// When, Unix milliseconds.
    at: u64,
    /// Who: the name of the token.
    who: String,
    /// What: the kind of the record.
    #[schema(example = "sale_paused")]
    what: String,
    /// Of which product; `null` if of none.
    product: Option<String>,
    /// Why, as they said.
    why: Option<String>,
    /// What came of it; `null` while that is not known.
    #[schema(example = "applied")]
    outcome: Option<String>,
    /// How many orders, of reversals one after the other for one reason; else 1.
    count: u32,
}

impl Action {
    /// Whether one more reversal belongs to it: a thousand of them are one line.
    fn goes_on(
        &self,
        who: &str,
        what: &str,
        product: &Option<String>,
        why: &Option<String>,
    ) -> bool {
        what == "order_reversed"
            && (self.who.as_str(), self.what.as_str()) == (who, what)
            && (&self.product, &self.why) == (product, why)
    }
}

/// See the module; the newest is first.
#[derive(Debug, Default)]
pub struct Recent(Mutex<VecDeque<Action>>);

impl Recent {
    /// The actions, the newest first.
    pub fn all(&self) -> Vec<Action> {
        self.0.lock().iter().cloned().collect()
    }

    /// Takes what goes into the trail, if it is of an operator's action.
    pub fn take(&self, at_ms: u64, kind: Kind, fields: &Value) {
        let text = |name: &str| fields[name].as_str().map(str::to_owned);
        let (who, what) = (text("who").unwrap_or_default(), text("what").unwrap_or_default());
        let product = text("product").filter(|product| !product.starts_with('_'));
        let mut actions = self.0.lock();
        match kind {
            Kind::OperatorAction => {
                let why = text("why");
                if let Some(last) =
                    actions.front_mut().filter(|last| last.goes_on(&who, &what, &product, &why))
                {
                    (last.at, last.outcome, last.count) = (at_ms, None, last.count + 1);
                    return;
                }
                actions.truncate(ACTIONS_MAX - 1);
                let (outcome, count) = (None, 1);
                actions.push_front(Action { at: at_ms, who, what, product, why, outcome, count });
            }
            Kind::OperatorResult => {
                let outcome = text("outcome");
                // The oldest that waits: results come in the order of the actions.
                let begun = actions.iter_mut().rev().find(|action| {
                    action.outcome.is_none()
                        && (&action.who, &action.what, &action.product) == (&who, &what, &product)
                });
                if let Some(action) = begun {
                    action.outcome = outcome;
                }
            }
            _ => {}
        }
    }

    /// Takes lines of the trail.
    pub fn load(&self, lines: &[String]) {
        for line in lines.iter().filter_map(|text| line::parse(text.as_bytes()).ok()) {
            if let Some(kind) = Kind::of(&line.kind) {
                self.take(line.at_ms, kind, &line.fields);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The words in quotes of a `match`, or of what else follows `begin` in a source.
    fn words<'a>(source: &'a str, begin: &str) -> Vec<&'a str> {
        let (_, after) = source.split_once(begin).expect("it is there");
        let body = after.split("\n    }\n").next().expect("text has a first part");
        body.split('"').skip(1).step_by(2).collect()
    }

    /// Else the page shows the word of the record itself.
    #[test]
    fn the_page_has_words_for_whatever_operators_do() {
        let page = include_str!("assets/view.js");
        let mut kinds = words(include_str!("../../../sale/record.rs"), "fn kind(&self)");
        kinds.extend(words(include_str!("../../../sale/control.rs"), "fn kind(&self)"));
        assert!(kinds.len() >= 20, "{kinds:?}");
        // Proposals are the gate's own.
        kinds.retain(|kind| *kind != "order_proposed");
        let room = include_str!("../trail.rs").split(r#""what": ""#).skip(1);
        kinds.extend(room.filter_map(|after| after.split('"').next()));
        assert!(kinds.contains(&"waiting_room"), "{kinds:?}");
        kinds.retain(|kind| !page.contains(&format!(" {kind}: \"")));
        assert!(kinds.is_empty(), "view.js has no words for {kinds:?}");
    }

    #[test]
    fn a_result_belongs_to_the_action_that_waits_for_it() {
        let recent = Recent::default();
        let pause = |who: &str| json!({ "who": who, "what": "sale_paused", "product": "phone" });
        recent.take(1, Kind::OperatorAction, &pause("alice"));
        recent.take(2, Kind::OperatorAction, &pause("bob"));
        let mut result = pause("alice");
        result["outcome"] = json!("applied");
        recent.take(3, Kind::OperatorResult, &result);
        let all = recent.all();
        assert_eq!((all[0].who.as_str(), all[0].outcome.as_deref()), ("bob", None));
        assert_eq!((all[1].who.as_str(), all[1].outcome.as_deref()), ("alice", Some("applied")));
        let reversal = json!({ "who": "dan", "what": "order_reversed", "why": "fraud" });
        for at in 0..100 {
            recent.take(at, Kind::OperatorAction, &reversal);
        }
        assert_eq!((recent.all().len(), recent.all()[0].count), (3, 100));
        for at in 0..100 {
            recent.take(at, Kind::OperatorAction, &pause("carol"));
        }
        assert_eq!(recent.all().len(), ACTIONS_MAX);
    }
}
