//! The state that control records come to, and the function that decides: [`ControlState::apply`].
//!
//! Rules that hold after every record:
//! 1. no table holds more than its maximum: what is beyond is refused ([`Ignored::Full`]), never dropped;
//! 2. what has expired by log time is gone, in every state alike;
//! 3. an operation is applied once, for as long as it is remembered ([`OPERATIONS_KEPT_MS`]);
//! 4. an approval is given by another operator than the one who asked, nor by a token that one made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    BlockTarget, ControlChange, ControlRecord, Limit, OperatorRole, TokenHash, UnitsChange,
};
use crate::sale::ids::{OperationId, OperatorName, ProductId};
use crate::sale::outcome::{Ignored, Outcome};
use crate::sale::record::Record;

/// Blocks that can stand at a time. Whoever has more should block prefixes.
pub const BLOCKS_MAX: usize = 4_096;
/// Allows that can stand at a time.
pub const ALLOWS_MAX: usize = 1_024;
/// Tokens that can stand at a time, beside the configured ones.
pub const TOKENS_MAX: usize = 128;
/// Approvals that can wait or be given at a time.
pub const APPROVALS_MAX: usize = 128;
/// Operations that are remembered; beyond it the oldest is forgotten.
pub const OPERATIONS_MAX: usize = 8_192;
/// How long an operation is remembered, in milliseconds of log time: a week.
pub const OPERATIONS_KEPT_MS: u64 = 7 * 24 * 3_600 * 1_000;

/// That nobody is scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreOff {
    /// Until when (log time, Unix milliseconds).
    pub until_ms: u64,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: OperatorName,
    /// When (log time, Unix milliseconds).
    pub at_ms: u64,
}

/// Somebody who is refused at the door, or excused from the bot score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Whom.
    pub target: BlockTarget,
    /// Until when (log time, Unix milliseconds); absent is until it is lifted.
    pub until_ms: Option<u64>,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: OperatorName,
    /// When (log time, Unix milliseconds).
    pub at_ms: u64,
}

/// A limit that stands in the place of the configured one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveLimit {
    /// Which.
    pub limit: Limit,
    /// In the unit of the limit.
    pub value: u32,
    /// How many may come at once; absent: as many as come in a second.
    pub burst: Option<u32>,
    /// Until when (log time, Unix milliseconds).
    pub until_ms: u64,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: OperatorName,
    /// When (log time, Unix milliseconds).
    pub at_ms: u64,
}

/// Somebody who may operate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Who.
    pub name: OperatorName,
    /// What they may do.
    pub role: OperatorRole,
    /// The SHA-256 of the token.
    pub sha256: TokenHash,
    /// Until when (log time, Unix milliseconds); absent is until it is revoked.
    pub until_ms: Option<u64>,
    /// Who made it.
    pub by: OperatorName,
    /// With whom the line of makers begins: a token of the configuration. It stays when those in between go.
    pub root: OperatorName,
    /// When (log time, Unix milliseconds).
    pub at_ms: u64,
}

/// A change that waits for a second operator, or that has been approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Its name: the operation id of the asking, under which the change is made.
    pub id: OperationId,
    /// The product.
    pub product: ProductId,
    /// The change.
    pub change: UnitsChange,
    /// Who asked.
    pub asked_by: OperatorName,
    /// With whom the line of makers of their token begins.
    pub asked_root: OperatorName,
    /// When (log time, Unix milliseconds).
    pub asked_at_ms: u64,
    /// Until when (log time, Unix milliseconds) it can be given, and is kept.
    pub until_ms: u64,
    /// Who gave it.
    pub given_by: Option<OperatorName>,
}

/// An operation that took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// Its id.
    pub operation: OperationId,
    /// The offset of its record.
    pub offset: u64,
    /// When (log time, Unix milliseconds).
    pub at_ms: u64,
}

/// What control records have come to. Its JSON is its snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Rows", into = "Rows")]
pub struct ControlState {
    log_time_ms: u64,
    applied_offset: u64,
    blocks: BTreeMap<BlockTarget, Block>,
    allows: BTreeMap<BlockTarget, Block>,
    score_off: Option<ScoreOff>,
    limits: BTreeMap<Limit, LiveLimit>,
    tokens: BTreeMap<OperatorName, Token>,
    approvals: BTreeMap<OperationId, Approval>,
    operations: BTreeMap<OperationId, Done>,
}

/// A state as rows: its form outside of memory.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    log_time_ms: u64,
    applied_offset: u64,
    blocks: Vec<Block>,
    limits: Vec<LiveLimit>,
    tokens: Vec<Token>,
    approvals: Vec<Approval>,
    operations: Vec<Done>,
    // What format 3 added: absent where it was not used, so that an older state has the form that it had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    allows: Vec<Block>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    score_off: Option<ScoreOff>,
}

/// Why rows are no state: whoever kept them has lost or altered some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {0} of the control state are there twice, or are too many")]
pub struct BadControl(&'static str);

impl ControlState {
    /// Applies the record at `offset` that the log took when its clock said `appended_at_ms`.
    pub fn apply(&mut self, offset: u64, appended_at_ms: u64, record: &Record) -> Outcome {
        self.log_time_ms = self.log_time_ms.max(appended_at_ms);
        self.applied_offset = offset;
        self.forget();
        let record = match record {
            Record::Control(record) => record,
            Record::OrderProposed(_) => return Outcome::Closed,
            _ => return Outcome::Ignored(Ignored::OtherKey),
        };
        if self.operations.contains_key(&record.operation) {
            return Outcome::Ignored(Ignored::AlreadyApplied);
        }
        match self.change(record) {
            Ok(()) => {
                self.remember(record.operation);
                Outcome::Applied
            }
            Err(why) => Outcome::Ignored(why),
        }
    }

    fn change(&mut self, record: &ControlRecord) -> Result<(), Ignored> {
        let (by, at_ms) = (record.by, self.log_time_ms);
        match &record.change {
            ControlChange::BlockSet { target, until_ms, reason } => {
                let (target, until_ms, reason) = (*target, *until_ms, reason.clone());
                self.check_time(until_ms)?;
                let block = Block { target, until_ms, reason, by, at_ms };
                put(&mut self.blocks, target, block, BLOCKS_MAX)
            }
            ControlChange::BlockLifted { target } => take(&mut self.blocks, target),
            ControlChange::AllowSet { target, until_ms, reason } => {
                let (target, until_ms, reason) = (*target, Some(*until_ms), reason.clone());
                self.check_time(until_ms)?;
                let allow = Block { target, until_ms, reason, by, at_ms };
                put(&mut self.allows, target, allow, ALLOWS_MAX)
            }
            ControlChange::AllowLifted { target } => take(&mut self.allows, target),
            ControlChange::ScoreOff { until_ms, reason } => {
                let (until_ms, reason) = (*until_ms, reason.clone());
                self.check_time(Some(until_ms))?;
                self.score_off = Some(ScoreOff { until_ms, reason, by, at_ms });
                Ok(())
            }
            ControlChange::ScoreOn {} => {
                self.score_off.take().map(drop).ok_or(Ignored::UnknownEntry)
            }
            ControlChange::LimitSet { limit, value, burst, until_ms, reason } => {
                let (limit, value, burst) = (*limit, *value, *burst);
                let (until_ms, reason) = (*until_ms, reason.clone());
                self.check_time(Some(until_ms))?;
                let live = LiveLimit { limit, value, burst, until_ms, reason, by, at_ms };
                put(&mut self.limits, limit, live, Limit::ALL.len())
            }
            ControlChange::LimitCleared { limit } => take(&mut self.limits, limit),
            ControlChange::TokenAdded { name, role, sha256, until_ms } => {
                let (name, role, sha256, until_ms) = (*name, *role, *sha256, *until_ms);
                self.check_time(until_ms)?;
                if self.tokens.contains_key(&name) {
                    return Err(Ignored::NameTaken);
                }
                let root = self.root(by);
                let token = Token { name, role, sha256, until_ms, by, root, at_ms };
                put(&mut self.tokens, name, token, TOKENS_MAX)
            }
            ControlChange::TokenRevoked { name } => take(&mut self.tokens, name),
            ControlChange::ApprovalAsked { product, change, until_ms } => {
                self.check_time(Some(*until_ms))?;
                let approval = Approval {
                    id: record.operation,
                    product: *product,
                    change: change.clone(),
                    asked_by: by,
                    asked_root: self.root(by),
                    asked_at_ms: at_ms,
                    until_ms: *until_ms,
                    given_by: None,
                };
                put(&mut self.approvals, record.operation, approval, APPROVALS_MAX)
            }
            ControlChange::ApprovalGiven { approval } => self.give(approval, by),
            ControlChange::ApprovalRejected { approval } => {
                match self.approvals.get(approval).map(|approval| approval.given_by) {
                    None => Err(Ignored::UnknownEntry),
                    Some(Some(_)) => Err(Ignored::NoChange),
                    Some(None) => take(&mut self.approvals, approval),
                }
            }
        }
    }

    /// With whom the line of makers of somebody's token begins: with themselves if it is of the configuration.
    fn root(&self, name: OperatorName) -> OperatorName {
        self.tokens.get(&name).map_or(name, |token| token.root)
    }

    fn give(&mut self, approval: &OperationId, by: OperatorName) -> Result<(), Ignored> {
        let root = self.root(by);
        let approval = self.approvals.get_mut(approval).ok_or(Ignored::UnknownEntry)?;
        // Whoever made a token has seen it, and so could be both.
        if approval.asked_root == root {
            return Err(Ignored::SameOperator);
        }
        if approval.given_by.is_some() {
            return Err(Ignored::NoChange);
        }
        approval.given_by = Some(by);
        Ok(())
    }

    fn check_time(&self, until_ms: Option<u64>) -> Result<(), Ignored> {
        if is_over(until_ms, self.log_time_ms) { Err(Ignored::Expired) } else { Ok(()) }
    }

    /// Drops what has expired by log time.
    fn forget(&mut self) {
        let now_ms = self.log_time_ms;
        self.blocks.retain(|_, block| !is_over(block.until_ms, now_ms));
        self.allows.retain(|_, allow| !is_over(allow.until_ms, now_ms));
        self.score_off.take_if(|off| off.until_ms <= now_ms);
        self.limits.retain(|_, limit| limit.until_ms > now_ms);
        self.tokens.retain(|_, token| !is_over(token.until_ms, now_ms));
        self.approvals.retain(|_, approval| approval.until_ms > now_ms);
        self.operations.retain(|_, done| done.at_ms.saturating_add(OPERATIONS_KEPT_MS) > now_ms);
    }

    fn remember(&mut self, operation: OperationId) {
        let (offset, at_ms) = (self.applied_offset, self.log_time_ms);
        self.operations.insert(operation, Done { operation, offset, at_ms });
        if self.operations.len() > OPERATIONS_MAX {
            let oldest = self.operations.values().min_by_key(|done| done.offset);
            if let Some(oldest) = oldest.map(|done| done.operation) {
                self.operations.remove(&oldest);
            }
        }
    }

    /// The blocks that stand when log time is `now_ms`.
    pub fn blocks(&self, now_ms: u64) -> impl Iterator<Item = &Block> {
        self.blocks.values().filter(move |block| !is_over(block.until_ms, now_ms))
    }

    /// One block, if it stands at that log time.
    pub fn block(&self, target: &BlockTarget, now_ms: u64) -> Option<&Block> {
        self.blocks.get(target).filter(|block| !is_over(block.until_ms, now_ms))
    }

    /// Who is excused from the bot score when log time is `now_ms`.
    pub fn allows(&self, now_ms: u64) -> impl Iterator<Item = &Block> {
        self.allows.values().filter(move |allow| !is_over(allow.until_ms, now_ms))
    }

    /// One of them, if it stands at that log time.
    pub fn allow(&self, target: &BlockTarget, now_ms: u64) -> Option<&Block> {
        self.allows.get(target).filter(|allow| !is_over(allow.until_ms, now_ms))
    }

    /// That the bot score is off, if it is when log time is `now_ms`.
    pub fn score_off(&self, now_ms: u64) -> Option<&ScoreOff> {
        self.score_off.as_ref().filter(|off| off.until_ms > now_ms)
    }

    /// The live limits that hold when log time is `now_ms`.
    pub fn limits(&self, now_ms: u64) -> impl Iterator<Item = &LiveLimit> {
        self.limits.values().filter(move |limit| limit.until_ms > now_ms)
    }

    /// One live limit, if it holds at that log time.
    pub fn limit(&self, limit: Limit, now_ms: u64) -> Option<&LiveLimit> {
        self.limits.get(&limit).filter(|limit| limit.until_ms > now_ms)
    }

    /// The tokens that are good when log time is `now_ms`.
    pub fn tokens(&self, now_ms: u64) -> impl Iterator<Item = &Token> {
        self.tokens.values().filter(move |token| !is_over(token.until_ms, now_ms))
    }

    /// The approvals that wait or were given, when log time is `now_ms`.
    pub fn approvals(&self, now_ms: u64) -> impl Iterator<Item = &Approval> {
        self.approvals.values().filter(move |approval| approval.until_ms > now_ms)
    }

    /// One approval, if it waits or was given and is not over at that log time.
    pub fn approval(&self, id: &OperationId, now_ms: u64) -> Option<&Approval> {
        self.approvals.get(id).filter(|approval| approval.until_ms > now_ms)
    }

    /// The offset at which an operation took effect, if it is remembered.
    pub fn operation_offset(&self, operation: &OperationId) -> Option<u64> {
        self.operations.get(operation).map(|done| done.offset)
    }

    /// When a block, an allow or a live limit ends next after `now_ms` (log time); `None` if none does.
    pub fn next_end_ms(&self, now_ms: u64) -> Option<u64> {
        let targets = self.blocks.values().chain(self.allows.values());
        let targets = targets.filter_map(|target| target.until_ms);
        let limits = self.limits.values().map(|limit| limit.until_ms);
        let score = self.score_off.iter().map(|off| off.until_ms);
        targets.chain(limits).chain(score).filter(|until_ms| *until_ms > now_ms).min()
    }

    /// The latest log time, Unix milliseconds.
    pub fn log_time_ms(&self) -> u64 {
        self.log_time_ms
    }

    /// The estimate of log time when the clock says `now_ms`.
    pub fn log_time_at(&self, now_ms: u64) -> u64 {
        self.log_time_ms.max(now_ms)
    }

    /// The offset of the last applied control record; 0 before the first in an embedded log.
    pub fn applied_offset(&self) -> u64 {
        self.applied_offset
    }
}

fn is_over(until_ms: Option<u64>, now_ms: u64) -> bool {
    until_ms.is_some_and(|until_ms| until_ms <= now_ms)
}

fn put<K: Ord, V>(table: &mut BTreeMap<K, V>, key: K, value: V, max: usize) -> Result<(), Ignored> {
    if table.len() >= max && !table.contains_key(&key) {
        return Err(Ignored::Full);
    }
    table.insert(key, value);
    Ok(())
}

fn take<K: Ord, V>(table: &mut BTreeMap<K, V>, key: &K) -> Result<(), Ignored> {
    table.remove(key).map(drop).ok_or(Ignored::UnknownEntry)
}

impl From<ControlState> for Rows {
    fn from(state: ControlState) -> Self {
        Self {
            log_time_ms: state.log_time_ms,
            applied_offset: state.applied_offset,
            blocks: state.blocks.into_values().collect(),
            limits: state.limits.into_values().collect(),
            tokens: state.tokens.into_values().collect(),
            approvals: state.approvals.into_values().collect(),
            operations: state.operations.into_values().collect(),
            allows: state.allows.into_values().collect(),
            score_off: state.score_off,
        }
    }
}

impl TryFrom<Rows> for ControlState {
    type Error = BadControl;
    fn try_from(rows: Rows) -> Result<Self, BadControl> {
        Ok(Self {
            log_time_ms: rows.log_time_ms,
            applied_offset: rows.applied_offset,
            blocks: table(rows.blocks, |block| block.target, BLOCKS_MAX, "blocks")?,
            allows: table(rows.allows, |allow| allow.target, ALLOWS_MAX, "allows")?,
            score_off: rows.score_off,
            limits: table(rows.limits, |limit| limit.limit, Limit::ALL.len(), "limits")?,
            tokens: table(rows.tokens, |token| token.name, TOKENS_MAX, "tokens")?,
            approvals: table(rows.approvals, |approval| approval.id, APPROVALS_MAX, "approvals")?,
            operations: table(
                rows.operations,
                |done| done.operation,
                OPERATIONS_MAX,
                "operations",
            )?,
        })
    }
}

fn table<K: Ord, V>(
    rows: Vec<V>,
    key: impl Fn(&V) -> K,
    max: usize,
    name: &'static str,
) -> Result<BTreeMap<K, V>, BadControl> {
    let count = rows.len();
    let table: BTreeMap<K, V> = rows.into_iter().map(|row| (key(&row), row)).collect();
    if table.len() != count || count > max { Err(BadControl(name)) } else { Ok(table) }
}
