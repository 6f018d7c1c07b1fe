//! Challenges from outside: `GET /challenge`, for a page that solves one before it orders, and the service that
//! is asked about those that are not our own.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use serde::Deserialize;

use super::code::Code;
use super::public::{PublicThread, Received};
use super::refused;
use super::reply::{self, Coded};
use super::trail;
use crate::audit::RefusalKind;
use crate::config::challenge::Provider;
use crate::guard::challenge::Fault;
use crate::guard::{Now, OrderRequest, Proof, Refused};
use crate::siteverify::Verified;

/// What a page solves our own challenges with.
const SCRIPT: &[u8] = include_bytes!("challenge/challenge.js");

/// `GET /challenge.js`.
pub fn script() -> Coded {
    reply::json(Code::Ok, SCRIPT)
        .with(CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"))
        .with(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"))
        .with(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    product: String,
    key: String,
}

/// `GET /challenge?product=…&key=…`.
pub fn show(thread: &PublicThread, received: &Received<'_>) -> Coded {
    if thread.shared.config.challenge.provider != Provider::Altcha {
        return thread.prepared.problem(Code::NotFound);
    }
    let asked = serde_urlencoded::from_str::<Query>(received.query()).ok();
    let asked =
        asked.and_then(|Query { product, key }| Some((product.parse().ok()?, key.parse().ok()?)));
    let passes = &mut thread.passes.borrow_mut();
    match thread.shared.guard.challenge(passes, &received.view(), asked, thread.now()) {
        Ok(challenge) => {
            thread.counters.challenges.offered();
            reply::json_value(Code::Ok, &challenge)
        }
        Err(refused) => refused::answer(thread, received, &refused),
    }
}

/// What is left of check 11 for an order that the guard has let pass: the service, if one has to be asked.
///
/// # Errors
/// The answer that asks for a challenge.
pub async fn settle(
    thread: &PublicThread,
    received: &Received<'_>,
    order: &OrderRequest,
    now: Now,
) -> Result<(), Coded> {
    match order.scored.proof {
        Proof::NotAsked => return Ok(()),
        Proof::Solved => {}
        Proof::ToService => {
            let solution = thread.shared.guard.solution(&received.view());
            let fault = match &thread.shared.siteverify {
                Some(service) => match Box::pin(service.verify(solution)).await {
                    Verified::Solved => None,
                    Verified::Refused => Some(Fault::RefusedByService),
                    Verified::Failed => Some(Fault::ServiceFailed),
                    Verified::Excused => {
                        thread.counters.challenges.fault(Fault::ServiceFailed);
                        let (score, why) = (order.scored.score, Fault::ServiceFailed.word());
                        let kind = RefusalKind::ChallengeSolved;
                        trail::scored(thread, received, kind, why, Some(score));
                        return Ok(());
                    }
                },
                None => Some(Fault::ServiceFailed),
            };
            if let Some(fault) = fault {
                let score = order.scored.score;
                let (buyer, order_id) = (&order.buyer, &order.order_id);
                let refusal = thread.shared.guard.ask(score, fault, buyer, order_id, now);
                let refused = Refused { refusal, rate: order.rate };
                return Err(refused::answer(thread, received, &refused));
            }
        }
    }
    thread.counters.challenges.solved();
    thread.counters.challenges.reasons(order.scored.score.reasons);
    trail::scored(thread, received, RefusalKind::ChallengeSolved, "", Some(order.scored.score));
    Ok(())
}
