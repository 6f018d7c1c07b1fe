//! Reversal of many orders of one sale: by their ids, or by what makes them suspicious.
//!
//! Each order is taken back once, however often and by whomever the call is made, and whatever crashes in the
//! middle: its own id is the name under which the log applies the record. So a call that was cut off is made
//! again, and says of each order whether it was this call or an earlier one.
//!
//! Units that go on sale again need a second operator where the policy says so. Then all orders are taken back
//! at once without their units, which raises nothing, and one approval for all of them is asked for before: the
//! capacity as it was. Until it is given the sale has fewer units, never more.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::look::matched::{Span, matched};
use super::{AT_ONCE, to_its_end};
use crate::config::Approvals;
use crate::http::code::Code;
use crate::http::operator::Operator;
use crate::http::operator::approvals;
use crate::http::operator::auth::Caller;
use crate::http::operator::call::{answer, invalid, parse, parse_product, unknown_product};
use crate::http::operator::control::{any_operation, check_reason, log_time_ms};
use crate::http::operator::desk::write;
use crate::http::reply::{self, Coded};
use crate::sale::control::UnitsChange;
use crate::sale::{
    CapacityTarget, Ignored, OperationId, OrderId, OrderStatus, Outcome, ProductId, Record,
};

/// Most orders of one call.
pub const ORDERS_MAX: usize = 10_000;
/// Largest body, in bytes: so many ids with their quotes and commas.
pub const BODY_BYTES_MAX: usize = 64 * ORDERS_MAX;
/// Orders that the answer names.
const SHOWN_MAX: usize = 100;

/// `POST /admin/incident/reverse`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ReverseMany {
    #[schema(example = "iphone-15")]
    product: String,
    /// Their ids, at most 10,000. Either this or `query`.
    orders: Option<Vec<String>>,
    /// A query as `GET /admin/incident/orders` takes it, that finds at most 10,000. With `dryRun` it may end now; the
    /// answer has it with both ends of its span, and in that form it is taken without.
    #[schema(example = "pattern=shared_fingerprint&since=1750000000000&until=1750000600000")]
    query: Option<String>,
    /// Whether their units go on sale again.
    restock: bool,
    /// Whether their buyers may buy again.
    #[serde(default)]
    frees_limit: bool,
    /// Why. Kept in clear: without personal data.
    reason: String,
    /// Whether only to say what it would do.
    #[serde(default)]
    dry_run: bool,
    /// The name of this reversal, and of the approval if it needs one; else that of the Idempotency-Key.
    operation: Option<String>,
}

/// What it came to, or would come to.
#[derive(Debug, Default, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReversedMany {
    /// `done`, `dry_run` or `approval_required`: the orders are taken back, their units wait.
    status: &'static str,
    /// Different orders that were named.
    matched: usize,
    /// Taken back by this call.
    reversed: usize,
    /// Taken back before.
    already: usize,
    /// Not orders of this sale.
    unknown: usize,
    /// The first hundred that are taken back by this call.
    orders: Vec<String>,
    dry_run: bool,
    /// The query with both ends of its span: it finds the same orders again.
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    /// Whether the units wait for a second operator.
    needs_approval: bool,
    /// The sale's count before, and after.
    sold: [u32; 2],
    /// The approval that the units wait for.
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<String>,
    /// Until when it can be given, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

/// Takes orders back.
pub async fn reverse(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Coded {
    to_its_end(answer(async move {
        let asked = Asked::read(operator, caller, &headers, &body).await?;
        let mut came_to = asked.look()?;
        if asked.dry_run {
            came_to.status = "dry_run";
            came_to.sold[1] = came_to.sold[0].saturating_sub(came_to.reversed as u32);
            return Ok(reply::json_value(Code::Ok, &came_to));
        }
        let code = asked.ask_for_units(&mut came_to).await?;
        asked.make(&mut came_to).await?;
        Ok(reply::json_value(code, &came_to))
    }))
    .await
}

struct Asked {
    operator: Arc<Operator>,
    caller: Caller,
    operation: OperationId,
    product: ProductId,
    orders: Vec<OrderId>,
    query: Option<String>,
    restock: bool,
    frees_limit: bool,
    reason: String,
    dry_run: bool,
}

impl Asked {
    async fn read(
        operator: Arc<Operator>,
        caller: Caller,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, Coded> {
        let asked: ReverseMany = parse(body)?;
        let ReverseMany { restock, frees_limit, reason, dry_run, .. } = asked;
        let product = parse_product(&asked.product)?;
        check_reason(&reason, &[])?;
        let operation = match asked.operation {
            Some(text) => text.parse().map_err(|why| invalid(&format!("operation {why}")))?,
            None => any_operation(&operator, headers)?,
        };
        // Rule 4 the other way round: nobody is told "unknown" by a state that is behind.
        if !operator.shared.log_in_sight() {
            let detail = "the end of the order log is out of sight";
            return Err(reply::problem_because(Code::LogBehind, detail));
        }
        match operator.shared.applied().with_state(&product, |state| state.archived()) {
            None => return Err(unknown_product()),
            Some(true) => {
                return Err(reply::problem_because(Code::Conflict, "this product is archived"));
            }
            Some(false) => {}
        }
        let (orders, query) = match (asked.orders, asked.query) {
            (Some(orders), None) => (orders_of(&orders)?, None),
            (None, Some(query)) => {
                let span = if dry_run { Span::MayEndNow } else { Span::MustBeFixed };
                let found = matched(&operator, product, &query, span, ORDERS_MAX).await?;
                (found.orders, Some(found.query))
            }
            _ => return Err(invalid("exactly one of orders and query must be given")),
        };
        Ok(Self {
            operator,
            caller,
            operation,
            product,
            orders,
            query,
            restock,
            frees_limit,
            reason,
            dry_run,
        })
    }

    fn sold(&self) -> Result<u32, Coded> {
        let applied = self.operator.shared.applied();
        applied.with_state(&self.product, |state| state.sold()).ok_or_else(unknown_product)
    }

    /// How each order stands; the state is not held for longer than for one.
    fn status_of(&self, order: &OrderId) -> Option<OrderStatus> {
        let applied = self.operator.shared.applied();
        applied.with_state(&self.product, |state| state.order(order)).flatten().map(|o| o.status)
    }

    /// What would come of it now.
    fn look(&self) -> Result<ReversedMany, Coded> {
        let sold = self.sold()?;
        let mut came_to = ReversedMany {
            status: "done",
            matched: self.orders.len(),
            dry_run: self.dry_run,
            query: self.query.clone(),
            needs_approval: self.units_wait(),
            sold: [sold, sold],
            ..ReversedMany::default()
        };
        for order in &self.orders {
            match self.status_of(order) {
                Some(OrderStatus::Confirmed) => came_to.count_reversed(order),
                Some(OrderStatus::Reversed) => came_to.already += 1,
                None => came_to.unknown += 1,
            }
        }
        Ok(came_to)
    }

    /// Whether the units of this reversal wait for a second operator.
    fn units_wait(&self) -> bool {
        self.restock && self.operator.shared.config.admin.approvals != Approvals::Off
    }

    /// Asks a second operator for the units, under the name of this reversal: asked again it is the same.
    async fn ask_for_units(&self, came_to: &mut ReversedMany) -> Result<Code, Coded> {
        if !self.units_wait() || came_to.reversed == 0 && !self.is_asked() {
            return Ok(Code::Ok);
        }
        if !self.is_asked() {
            let applied = self.operator.shared.applied();
            let capacity = applied.with_state(&self.product, |state| state.terms().capacity);
            let to = CapacityTarget::Total(capacity.ok_or_else(unknown_product)?);
            let change = UnitsChange::Capacity { to };
            let (operator, caller) = (&self.operator, &self.caller);
            approvals::ask(operator, caller, self.product, self.operation, change).await?;
        }
        let control = self.operator.shared.applied().control();
        let approval = control.approval(&self.operation, log_time_ms(&self.operator));
        came_to.status = "approval_required";
        came_to.approval = Some(self.operation.to_string());
        came_to.until = approval.map(|approval| approval.until_ms);
        Ok(Code::ApprovalRequired)
    }

    fn is_asked(&self) -> bool {
        let control = self.operator.shared.applied().control();
        let approval = control.approval(&self.operation, log_time_ms(&self.operator));
        approval.is_some_and(|approval| approval.product == self.product)
    }

    /// Writes one record for each order that stands, a bounded number at once.
    async fn make(&self, came_to: &mut ReversedMany) -> Result<(), Coded> {
        let mut under_way = JoinSet::new();
        let mut refusal = None;
        let standing = |order: &&OrderId| self.status_of(order) == Some(OrderStatus::Confirmed);
        let mut waiting = self.orders.iter().filter(standing).copied();
        // Counted anew, by what the log says.
        came_to.already += std::mem::take(&mut came_to.reversed);
        came_to.orders.clear();
        loop {
            while refusal.is_none()
                && under_way.len() < AT_ONCE
                && let Some(order) = waiting.next()
            {
                under_way.spawn(self.take_back(order));
            }
            let Some(done) = under_way.join_next().await else { break };
            match done {
                Ok((order, Ok(Outcome::Applied))) => {
                    came_to.already -= 1;
                    came_to.count_reversed(&order);
                }
                Ok((_, Ok(Outcome::Ignored(Ignored::AlreadyReversed)))) => {}
                Ok((_, Ok(_))) => {
                    let detail = "the orders cannot be reversed any more";
                    refusal = Some(reply::problem_because(Code::Conflict, detail));
                }
                Ok((_, Err(why))) => refusal = Some(why),
                Err(_) => {
                    let detail = "a record was cut off";
                    refusal = Some(reply::problem_because(Code::Internal, detail));
                }
            }
        }
        came_to.sold[1] = self.sold()?;
        match refusal {
            None => Ok(()),
            Some(why) => Err(half_way(&why, came_to)),
        }
    }

    fn take_back(
        &self,
        order_id: OrderId,
    ) -> impl Future<Output = (OrderId, Result<Outcome, Coded>)> + Send + 'static {
        let record = Record::OrderReversed {
            order_id,
            restock: self.restock && !self.units_wait(),
            frees_limit: self.frees_limit,
            reason: self.reason.clone(),
        };
        let (operator, caller, product) = (self.operator.clone(), self.caller, self.product);
        async move {
            let written = write(&operator, &caller, product, record).await;
            (order_id, written.map(|decided| decided.outcome))
        }
    }
}

impl ReversedMany {
    fn count_reversed(&mut self, order: &OrderId) {
        self.reversed += 1;
        if self.orders.len() < SHOWN_MAX {
            self.orders.push(order.to_string());
        }
    }
}

/// Each order once, in their order.
fn orders_of(texts: &[String]) -> Result<Vec<OrderId>, Coded> {
    if texts.is_empty() || texts.len() > ORDERS_MAX {
        return Err(invalid(&format!("orders must name 1 to {ORDERS_MAX} orders")));
    }
    let mut seen = HashSet::with_capacity(texts.len());
    let mut orders = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let order: OrderId =
            text.parse().map_err(|why| invalid(&format!("orders, number {}: {why}", index + 1)))?;
        if seen.insert(order) {
            orders.push(order);
        }
    }
    Ok(orders)
}

/// The refusal that ended it, with how far it had come.
fn half_way(why: &Coded, came_to: &ReversedMany) -> Coded {
    let detail = format!(
        "{} orders were taken back before this; make the call again: each is taken back once",
        came_to.reversed
    );
    reply::problem_because(why.code, &detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_is_named_twice_is_one_and_what_is_no_id_is_not_echoed() {
        let [one, two] = [1, 2].map(|n| OrderId::from_random_bytes([n; 16]).to_string());
        let orders = orders_of(&[one.clone(), two.clone(), one.clone()]).unwrap();
        assert_eq!(orders.len(), 2);
        assert!(orders_of(&[]).is_err());
        assert!(orders_of(&vec![one; ORDERS_MAX + 1]).is_err());
        let refused = orders_of(&[two, "<script>".to_owned()]).unwrap_err();
        let text = format!("{:?}", refused.reply);
        assert!(!text.contains("script"), "{text}");
    }
}
