//! The bugs. Each is one change of text, in a place where a tired person could make it.

/// A bug to plant.
pub struct Bug {
    pub name: &'static str,
    /// Beneath `src/`.
    pub file: &'static str,
    /// This text, which is in the file exactly once,
    pub find: &'static str,
    /// becomes this one.
    pub replace: &'static str,
}

const PLACE_ORDER: &str = "place_order.rs";
const STATE: &str = "sale/state.rs";
const VIEWS: &str = "sale/state/views.rs";
const GATE: &str = "gate/memory.rs";
const APPLIED: &str = "log/applied.rs";
const LOG_TIME: &str = "log/log_time.rs";

/// Bugs of many nodes, each with the unit tests on the real services that must fail with it.
pub const STORE_BUGS: &[(Bug, &str)] = &[(
    Bug {
        name: "a stale worker writes its batch a second time",
        file: "ledger/postgres/sql/advance.sql",
        find: " AND p.next_offset = u.from_offset",
        replace: "",
    },
    "worker::tests::exactly_once",
)];

/// Bugs that the simulation must find.
pub const BUGS: &[Bug] = &[
    // What a client is told.
    Bug {
        name: "accepted before the log has decided",
        file: PLACE_ORDER,
        find: "Proposed::TimedOut => return Answer::Pending,",
        replace: "Proposed::TimedOut => return Answer::Accepted,",
    },
    Bug {
        name: "an unknown outcome is told as accepted",
        file: PLACE_ORDER,
        find: "Proposed::Lost => return Answer::OutcomeUnknown,",
        replace: "Proposed::Lost => return Answer::Accepted,",
    },
    Bug {
        name: "an undecided proposal is told as sold out",
        file: PLACE_ORDER,
        find: "Proposed::TimedOut => return Answer::Pending,",
        replace: "Proposed::TimedOut => return Answer::SoldOut,",
    },
    Bug {
        name: "an unknown outcome is told as busy, nothing proposed",
        file: PLACE_ORDER,
        find: "Proposed::Lost => return Answer::OutcomeUnknown,",
        replace: "Proposed::Lost => return Answer::Busy,",
    },
    Bug {
        name: "a duplicate is told as accepted",
        file: PLACE_ORDER,
        find: "Outcome::Duplicate(duplicate) => Answer::Duplicate(duplicate),",
        replace: "Outcome::Duplicate(_) => Answer::Accepted,",
    },
    Bug {
        name: "a stale proposal is told as sold out",
        file: PLACE_ORDER,
        find: "Outcome::Stale => return None,",
        replace: "Outcome::Stale => Answer::SoldOut,",
    },
    Bug {
        name: "proposed again although the first may be in the log",
        file: PLACE_ORDER,
        find: "Proposed::Lost => return Answer::OutcomeUnknown,",
        replace: "Proposed::Lost => {}",
    },
    Bug {
        name: "refused from memory while the log is out of sight",
        file: PLACE_ORDER,
        find: "if end_seen_age_us > END_SEEN_AGE_US_MAX {",
        replace: "if end_seen_age_us > 1_000 * END_SEEN_AGE_US_MAX {",
    },
    Bug {
        name: "closed is told although an earlier record may be on its way",
        file: PLACE_ORDER,
        find: "if !state.closed(state.log_time_at(end_seen_ms)) => {",
        replace: "if !state.closed(at_ms) => {",
    },
    Bug {
        name: "the gate's place is kept after the log refused",
        file: PLACE_ORDER,
        find: "                world.release(&attempt.product, &attempt.buyer);\n",
        replace: "",
    },
    // Who may buy.
    Bug {
        name: "the gate's hint is trusted: sold out is not checked",
        file: STATE,
        find: "(self.sold >= self.terms.capacity).then_some(Outcome::SoldOut)",
        replace: "None",
    },
    Bug {
        name: "one unit too many",
        file: STATE,
        find: "(self.sold >= self.terms.capacity)",
        replace: "(self.sold > self.terms.capacity)",
    },
    Bug {
        name: "one order a buyer too many",
        file: STATE,
        find: "if buyer.counted >= self.terms.per_buyer_limit {",
        replace: "if buyer.counted > self.terms.per_buyer_limit {",
    },
    Bug {
        name: "the same key is not looked up",
        file: STATE,
        find: "if let Some(order) = self.find_order(&id) {",
        replace: "if let Some(order) = self.find_order(&id).filter(|order| order.reversed) {",
    },
    Bug {
        name: "the repeat window is ignored",
        file: STATE,
        find: ">= self.terms.repeat_window_ms {",
        replace: ">= 0 {",
    },
    Bug {
        name: "a pause is ignored",
        file: STATE,
        find: "        if self.paused {\n            return Some(Outcome::Paused);",
        replace: "        if self.paused && self.sold == 0 {\n            return Some(Outcome::Paused);",
    },
    Bug {
        name: "the opening time is ignored",
        file: STATE,
        find: "if log_time_ms < self.terms.opens_at_ms {\n            return Some",
        replace: "if log_time_ms + 5_000 < self.terms.opens_at_ms {\n            return Some",
    },
    Bug {
        name: "an archived sale goes on",
        file: VIEWS,
        find: "self.archived || self.terms.closes_at_ms.is_some_and",
        replace: "self.terms.closes_at_ms.is_some_and",
    },
    // What is too old to count.
    Bug {
        name: "a proposal of an older generation is accepted",
        file: STATE,
        find: "if proposal.generation != self.generation || too_late",
        replace: "if too_late",
    },
    Bug {
        name: "a proposal is accepted however late it comes",
        file: STATE,
        find: "self.generation || too_late ||",
        replace: "self.generation || (too_late && self.paused) ||",
    },
    Bug {
        name: "a repeat is accepted if its window ends on its way",
        file: STATE,
        find: " || self.was_repeat(proposal) {",
        replace: " {",
    },
    Bug {
        name: "resuming raises no generation",
        file: STATE,
        find: "        if !paused {\n            self.generation += 1;\n        }\n",
        replace: "",
    },
    Bug {
        name: "more units raise no generation",
        file: STATE,
        find: "        if capacity > self.terms.capacity {\n            self.generation += 1;\n        }\n",
        replace: "",
    },
    Bug {
        name: "a reversal raises no generation",
        file: STATE,
        find: "buyer's next attempt may be accepted where it was refused before.\n        self.generation += 1;\n",
        replace: "buyer's next attempt may be accepted where it was refused before.\n",
    },
    Bug {
        name: "log time follows a clock that is set back",
        file: STATE,
        find: "self.log_time_ms = self.log_time_ms.max(appended_at_ms);",
        replace: "self.log_time_ms = appended_at_ms;",
    },
    // What operators do.
    Bug {
        name: "a second reversal gives a second unit",
        file: STATE,
        find: "        if order.reversed {\n            return Outcome::Ignored(Ignored::AlreadyReversed);\n        }\n",
        replace: "",
    },
    Bug {
        name: "a reversal without restock keeps the unit on sale",
        file: STATE,
        find: "        if !restock {\n            self.terms.capacity -= 1;\n        }\n",
        replace: "",
    },
    Bug {
        name: "a repeated operation is applied again",
        file: STATE,
        find: "if self.operations.contains_key(&operation) {",
        replace: "if self.operations.contains_key(&operation) && self.archived {",
    },
    Bug {
        name: "fewer units than are sold",
        file: STATE,
        find: "CapacityTarget::Total(units) => units.max(self.sold),",
        replace: "CapacityTarget::Total(units) => units,",
    },
    // The gate and the followers of the log.
    Bug {
        name: "a decided attempt keeps its place in the gate",
        file: GATE,
        find: "cell.lock().pending.remove(buyer);",
        replace: "let _ = cell.lock().pending.get(buyer);",
    },
    Bug {
        name: "the gate waits for a lost decision for ever",
        file: GATE,
        find: "cell.pending.retain(|_, expires_us| *expires_us > now_us);",
        replace: "cell.pending.retain(|_, expires_us| *expires_us > 0);",
    },
    Bug {
        name: "an old level overwrites a new one",
        file: GATE,
        find: "if offset >= self.level_offset {",
        replace: "if offset > 0 {",
    },
    Bug {
        name: "a node applies a batch in another order",
        file: APPLIED,
        find: "run.iter().map(|e| state.apply(",
        replace: "run.iter().rev().map(|e| state.apply(",
    },
    Bug {
        name: "a node goes by its own clock",
        file: LOG_TIME,
        find: "(ahead_us, _) => LogTime::known(ms(ahead_us)),",
        replace: "_ => LogTime::known(wall_ms),",
    },
    Bug {
        name: "a node forgets to tell the gate what was decided",
        file: APPLIED,
        find: "decided: &decided, control }",
        replace: "decided: &[], control }",
    },
];
