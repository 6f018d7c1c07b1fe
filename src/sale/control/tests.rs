//! Control records: what each comes to, at the edges of the tables and of time, and that a snapshot comes
//! to the same.

use proptest::prelude::*;

use super::*;
use crate::sale::{Book, Ignored, LogEntry, Outcome};

const T0: u64 = 1_800_000_000_000;

/// Applies changes one after the other, each under an operation of its own.
#[derive(Default)]
struct Log {
    state: ControlState,
    offset: u64,
    now_ms: u64,
}

impl Log {
    fn new() -> Self {
        Self { now_ms: T0, ..Self::default() }
    }

    fn say_as(&mut self, by: &str, change: ControlChange) -> Outcome {
        let operation = format!("op-{}", self.offset);
        self.say_under(&operation, by, change)
    }

    fn say_under(&mut self, operation: &str, by: &str, change: ControlChange) -> Outcome {
        self.offset += 1;
        self.state.apply(self.offset, self.now_ms, &record(operation, by, change))
    }

    fn say(&mut self, change: ControlChange) -> Outcome {
        self.say_as("alice", change)
    }
}

fn record(operation: &str, by: &str, change: ControlChange) -> Record {
    let (operation, by) = (operation.parse().unwrap(), by.parse().unwrap());
    Record::Control(Box::new(ControlRecord { operation, by, change }))
}

fn block(tag: u64, until_ms: Option<u64>) -> ControlChange {
    let target = BlockTarget::V4 { bits: 24, tag };
    ControlChange::BlockSet { target, until_ms, reason: "bots".to_owned() }
}

fn lift(tag: u64) -> ControlChange {
    ControlChange::BlockLifted { target: BlockTarget::V4 { bits: 24, tag } }
}

fn token(name: &str) -> ControlChange {
    ControlChange::TokenAdded {
        name: name.parse().unwrap(),
        role: OperatorRole::Operator,
        sha256: TokenHash([7; 32]),
        until_ms: None,
    }
}

fn asked(until_ms: u64) -> ControlChange {
    ControlChange::ApprovalAsked {
        product: "shoe".parse().unwrap(),
        change: UnitsChange::Capacity { to: CapacityTarget::Remaining(5) },
        until_ms,
    }
}

fn given(approval: &str) -> ControlChange {
    ControlChange::ApprovalGiven { approval: approval.parse().unwrap() }
}

fn ignored(why: Ignored) -> Outcome {
    Outcome::Ignored(why)
}

#[test]
fn a_block_stands_until_its_time_or_until_it_is_lifted() {
    let mut log = Log::new();
    assert_eq!(log.say(block(1, Some(T0 + 1_000))), Outcome::Applied);
    assert_eq!(log.say(block(2, None)), Outcome::Applied);
    let tags = |log: &Log, at_ms| log.state.blocks(at_ms).count();
    assert_eq!((tags(&log, T0 + 999), tags(&log, T0 + 1_000)), (2, 1));
    assert_eq!(log.state.next_end_ms(T0), Some(T0 + 1_000));
    assert_eq!(log.say(lift(3)), ignored(Ignored::UnknownEntry));
    assert_eq!(log.say(lift(2)), Outcome::Applied);
    log.now_ms = T0 + 1_000;
    assert_eq!(log.say(lift(1)), ignored(Ignored::UnknownEntry), "it was over");
    assert_eq!(log.state.blocks(0).count(), 0, "what is over is not kept");
    assert_eq!(log.say(block(1, Some(T0 + 1_000))), ignored(Ignored::Expired));
}

fn allow(tag: u64, until_ms: u64) -> ControlChange {
    let target = BlockTarget::User(tag);
    ControlChange::AllowSet { target, until_ms, reason: "a false positive".to_owned() }
}

#[test]
fn an_allow_and_a_score_that_is_off_stand_until_their_time_and_are_no_blocks() {
    let mut log = Log::new();
    assert_eq!(log.say(allow(1, T0 + 1_000)), Outcome::Applied);
    let off = |until_ms| ControlChange::ScoreOff { until_ms, reason: "r".to_owned() };
    assert_eq!(log.say(ControlChange::ScoreOn {}), ignored(Ignored::UnknownEntry));
    assert_eq!(log.say(off(T0)), ignored(Ignored::Expired));
    assert_eq!(log.say(off(T0 + 500)), Outcome::Applied);
    let stands =
        |log: &Log, at_ms| (log.state.allows(at_ms).count(), log.state.score_off(at_ms).is_some());
    assert_eq!(stands(&log, T0 + 499), (1, true));
    assert_eq!(log.state.next_end_ms(T0), Some(T0 + 500));
    assert_eq!(stands(&log, T0 + 500), (1, false));
    assert_eq!(log.state.next_end_ms(T0 + 500), Some(T0 + 1_000));
    assert_eq!(stands(&log, T0 + 1_000), (0, false));
    assert_eq!(log.state.blocks(T0).count(), 0);
    let lift = ControlChange::AllowLifted { target: BlockTarget::User(1) };
    assert_eq!(log.say(lift.clone()), Outcome::Applied);
    assert_eq!(log.say(lift), ignored(Ignored::UnknownEntry));
    for tag in 0..ALLOWS_MAX as u64 {
        assert_eq!(log.say(allow(tag, T0 + 1_000)), Outcome::Applied);
    }
    assert_eq!(log.say(allow(u64::MAX, T0 + 1_000)), ignored(Ignored::Full));
    assert_eq!(log.say(allow(5, T0 + 1_000)), Outcome::Applied, "it replaces one");
}

#[test]
fn log_time_never_goes_back() {
    let mut log = Log::new();
    log.say(block(1, Some(T0 + 10)));
    log.now_ms = T0 - 5_000;
    assert_eq!(log.say(block(2, Some(T0))), ignored(Ignored::Expired));
    assert_eq!(log.state.log_time_ms(), T0);
}

#[test]
fn a_full_table_refuses_and_takes_again_what_replaces_or_after_something_ended() {
    let mut log = Log::new();
    for tag in 0..BLOCKS_MAX as u64 {
        assert_eq!(log.say(block(tag, Some(T0 + 1_000 + tag))), Outcome::Applied);
    }
    assert_eq!(log.say(block(u64::MAX, None)), ignored(Ignored::Full));
    assert_eq!(log.say(block(5, None)), Outcome::Applied, "it replaces one");
    log.now_ms = T0 + 1_000;
    assert_eq!(log.say(block(u64::MAX, None)), Outcome::Applied, "one has ended");
    assert_eq!(log.state.blocks(log.now_ms).count(), BLOCKS_MAX);
    for n in 0..TOKENS_MAX {
        assert_eq!(log.say(token(&format!("t-{n}"))), Outcome::Applied);
    }
    assert_eq!(log.say(token("one-more")), ignored(Ignored::Full));
    for n in 0..APPROVALS_MAX {
        let operation = format!("ask-{n}");
        let until_ms = log.now_ms + 900_000;
        assert_eq!(log.say_under(&operation, "alice", asked(until_ms)), Outcome::Applied);
    }
    assert_eq!(log.say(asked(log.now_ms + 900_000)), ignored(Ignored::Full));
}

#[test]
fn operations_are_applied_once_and_remembered_for_a_week_and_in_bounds() {
    let mut log = Log::new();
    assert_eq!(log.say_under("a", "alice", block(1, None)), Outcome::Applied);
    assert_eq!(log.say_under("a", "bob", lift(1)), ignored(Ignored::AlreadyApplied));
    log.now_ms += OPERATIONS_KEPT_MS - 1;
    assert_eq!(log.say_under("a", "alice", lift(1)), ignored(Ignored::AlreadyApplied));
    log.now_ms += 1;
    assert_eq!(log.say_under("a", "alice", lift(1)), Outcome::Applied);
    for n in 0..OPERATIONS_MAX {
        log.say_under(&format!("n-{n}"), "alice", block(1, None));
    }
    assert_eq!(log.state.operation_offset(&"a".parse().unwrap()), None, "the oldest went");
    assert!(log.state.operation_offset(&"n-0".parse().unwrap()).is_some());
}

#[test]
fn an_approval_needs_another_person() {
    let mut log = Log::new();
    assert_eq!(log.say_as("alice", token("puppet")), Outcome::Applied);
    assert_eq!(log.say_as("carol", token("bob")), Outcome::Applied);
    assert_eq!(log.say_under("more", "alice", asked(T0 + 900_000)), Outcome::Applied);
    for same in ["alice", "puppet"] {
        assert_eq!(log.say_as(same, given("more")), ignored(Ignored::SameOperator), "{same}");
    }
    assert_eq!(log.say_as("bob", given("less")), ignored(Ignored::UnknownEntry));
    assert_eq!(log.say_as("bob", given("more")), Outcome::Applied);
    assert_eq!(log.say_as("carol", given("more")), ignored(Ignored::NoChange));
    let rejected = ControlChange::ApprovalRejected { approval: "more".parse().unwrap() };
    assert_eq!(log.say_as("carol", rejected.clone()), ignored(Ignored::NoChange), "it is given");

    assert_eq!(log.say_under("again", "alice", asked(T0 + 900_000)), Outcome::Applied);
    log.now_ms = T0 + 900_000;
    assert_eq!(log.say_as("bob", given("again")), ignored(Ignored::UnknownEntry), "it is over");
}

#[test]
fn whoever_made_a_token_and_whoever_it_made_are_one_person() {
    let revoked = |name: &str| ControlChange::TokenRevoked { name: name.parse().unwrap() };
    for (asker, giver) in [("one", "alice"), ("one", "two"), ("alice", "far"), ("far", "one")] {
        let mut log = Log::new();
        // alice made one and two; one made far.
        for (maker, name) in [("alice", "one"), ("alice", "two"), ("one", "far")] {
            assert_eq!(log.say_as(maker, token(name)), Outcome::Applied);
        }
        assert_eq!(log.say_under("more", asker, asked(T0 + 900_000)), Outcome::Applied);
        let same = ignored(Ignored::SameOperator);
        assert_eq!(log.say_as(giver, given("more")), same, "{asker} and {giver}");
        // Nor does it help to revoke what stands between them.
        for name in ["one", "two"].into_iter().filter(|name| *name != giver) {
            assert_eq!(log.say_as("alice", revoked(name)), Outcome::Applied);
        }
        assert_eq!(log.say_as(giver, given("more")), same, "{asker} and {giver}, revoked");
        assert_eq!(log.say_as("bob", given("more")), Outcome::Applied, "another person may");
    }
}

#[test]
fn a_name_of_a_token_is_given_once_until_it_is_revoked() {
    let mut log = Log::new();
    assert_eq!(log.say(token("bob")), Outcome::Applied);
    assert_eq!(log.say(token("bob")), ignored(Ignored::NameTaken));
    let revoked = ControlChange::TokenRevoked { name: "bob".parse().unwrap() };
    assert_eq!(log.say(revoked.clone()), Outcome::Applied);
    assert_eq!(log.say(revoked), ignored(Ignored::UnknownEntry));
    assert_eq!(log.say(token("bob")), Outcome::Applied);
}

#[test]
fn records_lie_under_their_own_key() {
    let mut book = Book::default();
    let mut offset = 0;
    let mut apply = |product: ProductId, record: &Record| {
        offset += 1;
        let record = record.clone();
        book.apply(&LogEntry { offset, appended_at_ms: T0, product, record })
    };
    let shoe: ProductId = "shoe".parse().unwrap();
    let control = record("c", "alice", block(1, None));
    let pause = Record::SalePaused { operation: "p".parse().unwrap() };
    assert_eq!(apply(shoe, &control), ignored(Ignored::OtherKey));
    assert_eq!(apply(ProductId::CONTROL, &pause), ignored(Ignored::OtherKey));
    assert_eq!(apply(ProductId::CONTROL, &control), Outcome::Applied);
    assert!(book.get(&ProductId::CONTROL).is_none(), "it is no product");
    assert_eq!(book.control().blocks(T0).count(), 1);
}

#[test]
fn targets_and_limits_have_one_text_each() {
    for text in ["v4-24-00000000000000ff", "v6-128-0123456789abcdef", "fp-0000000000000000"] {
        assert_eq!(text.parse::<BlockTarget>().unwrap().to_string(), text);
    }
    for bad in ["v4-33-00000000000000ff", "v4-024-00000000000000ff", "fp-ff", "user-", "FP-00", ""]
    {
        assert!(bad.parse::<BlockTarget>().is_err(), "{bad}");
    }
    for limit in Limit::ALL {
        assert_eq!(limit.word().parse(), Ok(limit));
        assert_eq!(serde_json::to_value(limit).unwrap(), limit.word());
    }
}

#[test]
fn rows_that_were_altered_are_no_state() {
    let mut log = Log::new();
    log.say(block(1, None));
    let mut rows = serde_json::to_value(&log.state).unwrap();
    assert!(serde_json::from_value::<ControlState>(rows.clone()).is_ok());
    let blocks = rows["blocks"].as_array_mut().unwrap();
    let twice = blocks[0].clone();
    blocks.push(twice);
    assert!(serde_json::from_value::<ControlState>(rows.clone()).is_err());
    rows["blocks"] = serde_json::json!([]);
    rows["more"] = serde_json::json!(1);
    assert!(serde_json::from_value::<ControlState>(rows).is_err());
}

fn any_change() -> impl Strategy<Value = ControlChange> {
    let at = || T0..T0 + 4_000;
    let name = || prop::sample::select(vec!["alice", "bob", "carol"]);
    let approval = || (0u32..12).prop_map(|n| format!("op-{n}").parse().unwrap());
    prop_oneof![
        (0u64..6, prop::option::of(at())).prop_map(|(tag, until_ms)| block(tag, until_ms)),
        (0u64..6).prop_map(lift),
        (prop::sample::select(Limit::ALL.to_vec()), 1u32..9, at()).prop_map(
            |(limit, value, until_ms)| ControlChange::LimitSet {
                limit,
                value,
                burst: (value > 4).then_some(value),
                until_ms,
                reason: "flood".to_owned(),
            }
        ),
        prop::sample::select(Limit::ALL.to_vec())
            .prop_map(|limit| ControlChange::LimitCleared { limit }),
        name().prop_map(token),
        name().prop_map(|name| ControlChange::TokenRevoked { name: name.parse().unwrap() }),
        at().prop_map(asked),
        approval().prop_map(|approval| ControlChange::ApprovalGiven { approval }),
        approval().prop_map(|approval| ControlChange::ApprovalRejected { approval }),
        (0u64..4, at()).prop_map(|(tag, until_ms)| allow(tag, until_ms)),
        (0u64..4).prop_map(|tag| ControlChange::AllowLifted { target: BlockTarget::User(tag) }),
        at().prop_map(|until_ms| ControlChange::ScoreOff { until_ms, reason: "r".to_owned() }),
        Just(ControlChange::ScoreOn {}),
    ]
}

proptest! {
    /// The same records come to the same outcomes and the same state, and a snapshot taken anywhere goes
    /// on as the state itself does.
    #[test]
    fn apply_is_deterministic_and_a_snapshot_goes_on_as_its_state(
        steps in prop::collection::vec(
            (any_change(), prop::sample::select(vec!["alice", "bob", "carol"]), 0u32..14, 0u64..300),
            1..60,
        ),
        cut in 0usize..60,
    ) {
        let (mut one, mut two, mut restored) = (ControlState::default(), ControlState::default(), None);
        let mut now_ms = T0;
        for (index, (change, by, operation, passed_ms)) in steps.into_iter().enumerate() {
            now_ms += passed_ms;
            let record = record(&format!("op-{operation}"), by, change);
            let read_back = Record::decode(&record.encode()).unwrap();
            prop_assert_eq!(&read_back, &record);
            if index == cut {
                let json = serde_json::to_string(&one).unwrap();
                restored = Some(serde_json::from_str::<ControlState>(&json).unwrap());
            }
            let offset = index as u64 + 1;
            let outcome = one.apply(offset, now_ms, &record);
            prop_assert_eq!(two.apply(offset, now_ms, &read_back), outcome);
            if let Some(restored) = &mut restored {
                prop_assert_eq!(restored.apply(offset, now_ms, &record), outcome);
                prop_assert_eq!(&*restored, &one);
            }
        }
        prop_assert_eq!(one, two);
    }
}
