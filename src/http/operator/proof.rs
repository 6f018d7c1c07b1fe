//! A proof of sale made by a running node, from the state that it has applied: see [`crate::receipt::proof`].

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};

use super::Operator;
use super::call::unknown_product;
use crate::http::code::Code;
use crate::http::reply::{self, Coded};
use crate::receipt::proof::{Facts, Statement};
use crate::sale::ProductId;

/// How often a log that goes on is looked at for a moment at which its head and the state are of one offset.
const LOOKS_MAX: u32 = 50;
/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// `GET /admin/products/{id}/proof`: signed, how many were sold of how many, without naming anyone.
pub async fn show(State(operator): State<Arc<Operator>>, Path(id): Path<String>) -> Coded {
    let Ok(product) = id.parse::<ProductId>() else { return unknown_product() };
    for _ in 0..LOOKS_MAX {
        match look(&operator, &product) {
            Look::Facts(facts) => return signed(&operator, facts).await,
            Look::Unknown => return unknown_product(),
            Look::PutAway => {
                let detail =
                    "an archived sale's orders are in the ledger alone; ask for the proof before";
                return reply::problem_because(Code::Conflict, detail);
            }
            Look::Moving => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
    let detail = "the log goes on too fast to state it at one offset; pause the sale, or ask later";
    reply::problem_because(Code::Conflict, detail)
}

enum Look {
    Facts(Facts),
    Unknown,
    PutAway,
    /// The state is not of the head's offset.
    Moving,
}

fn look(operator: &Operator, product: &ProductId) -> Look {
    // The head comes first: the state then has everything up to it, and perhaps more, which is seen below.
    let head = operator.shared.log.settled_head(product);
    let look = operator.shared.applied().with_state(product, |state| match head {
        _ if state.archived() => Look::PutAway,
        Some(head) if state.applied_offset() <= head.offset => Look::Facts(Facts {
            product: *product,
            capacity: state.terms().capacity,
            reversed: state.reversed(),
            offset: head.offset,
            digest: head.digest,
            orders: state.standing_orders().collect(),
        }),
        _ => Look::Moving,
    });
    look.unwrap_or(Look::Unknown)
}

async fn signed(operator: &Arc<Operator>, facts: Facts) -> Coded {
    let now_ms = operator.shared.clock.unix_ms();
    let operator = Arc::clone(operator);
    // A million hashes take a second, and the listener has one thread for everybody.
    let statement = tokio::task::spawn_blocking(move || {
        let statement = Statement::sign(&facts, operator.shared.audit.signer(), now_ms);
        reply::json_value(Code::Ok, &statement)
    });
    statement
        .await
        .unwrap_or_else(|_| reply::problem_because(Code::Internal, "the proof was not made"))
}
