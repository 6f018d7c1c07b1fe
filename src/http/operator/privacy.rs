//! `/admin/privacy`: what is kept of a person, and its erasure. For admins alone.
//!
//! The user id comes over the operator's own connection and goes nowhere from here but into its pseudonyms: the
//! audit trail, the log and the journal of erasures name nobody. How far an erasure reaches, and by when, is in
//! `docs/PRIVACY.md`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Operator;
use super::auth::Caller;
use super::blocks::BlockView;
use super::call::{answer, invalid, parse};
use super::control::log_time_ms;
use super::trail;
use crate::audit::Kind;
use crate::config::{Config, DEFAULT_NAME_SPACE};
use crate::guard::clients::is_name_space;
use crate::guard::jwt::hashed_user;
use crate::http::code::Code;
use crate::http::reply::{self, Coded};
use crate::ledger::LedgerError;
use crate::ledger::person::{Erased, ORDERS_OF_PERSON_MAX, PersonOrder};
use crate::sale::{BuyerRef, ProductId, UserId};

pub mod elsewhere;
pub mod erase;
pub mod sealed;

use elsewhere::Elsewhere;
use sealed::SealedCopies;

/// Longest text that names a person, in bytes: a mail address has at most 254.
const USER_BYTES_MAX: usize = 256;

/// The routes, all of which need the role admin.
pub fn router() -> Router<Arc<Operator>> {
    Router::new()
        .route("/admin/privacy/export", post(export))
        .route("/admin/privacy/status", post(status))
        .route("/admin/privacy/erase", post(erase::erase))
}

/// `POST /admin/privacy/export` and `…/status`: who.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Person {
    /// The user id as the shop gives it: of an issuer with `hash_user` the claim itself, such as a mail address.
    #[schema(example = "alice")]
    user_id: String,
    /// The name space; absent: all that are configured.
    name_space: Option<String>,
}

/// An order of the person's.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderOfPerson {
    order_id: String,
    product_id: String,
    /// `confirmed` or `reversed`.
    status: &'static str,
    /// Log time, Unix milliseconds.
    created_at: u64,
    offset: u64,
    /// The user id that is kept with it; `null` once it was erased or its time is over.
    user_id: Option<String>,
}

/// What is kept under one pseudonym.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeptOfPerson {
    name_space: String,
    /// The pseudonym.
    buyer: String,
    /// When the person was last erased, Unix milliseconds of log time.
    erased_at: Option<u64>,
    /// Whether there are more orders than are shown.
    more: bool,
    orders: Vec<OrderOfPerson>,
    /// Blocks that stand on the user.
    blocks: Vec<BlockView>,
}

/// What is kept of a person.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonExport {
    /// One for each name under which the person may be known here.
    persons: Vec<KeptOfPerson>,
    sealed: Option<SealedCopies>,
    /// What else may hold the pseudonyms, and for how long.
    elsewhere: Vec<Elsewhere>,
}

/// How a person stands under one pseudonym.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonStanding {
    name_space: String,
    /// The pseudonym.
    buyer: String,
    /// Orders that stand under it, reversed ones included.
    orders: usize,
    /// The sales that they belong to.
    sales: Vec<String>,
    /// Orders with which the user id is still kept.
    user_ids: usize,
    /// When the person was last erased, Unix milliseconds of log time.
    erased_at: Option<u64>,
}

/// How far the erasure of a person has come.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonStatus {
    /// `nothing_kept`, `kept`, `erasing`, `erased_in_ledger` (no store gives the id away, but sealed copies in the
    /// log can still be opened) or `erased_everywhere`.
    status: &'static str,
    persons: Vec<PersonStanding>,
    sealed: Option<SealedCopies>,
}

/// One name under which the person may be known here.
struct Known {
    name_space: String,
    user: UserId,
    buyer: BuyerRef,
    orders: Vec<PersonOrder>,
    erased: Option<Erased>,
    /// The sales that hold orders, in the log or in the ledger.
    sales: BTreeSet<ProductId>,
}

impl Known {
    fn standing(&self) -> PersonStanding {
        PersonStanding {
            name_space: self.name_space.clone(),
            buyer: self.buyer.to_string(),
            orders: self.orders.len(),
            sales: self.sales.iter().map(ToString::to_string).collect(),
            user_ids: self.user_ids(),
            erased_at: self.erased.map(|erased| erased.at_ms),
        }
    }

    fn user_ids(&self) -> usize {
        self.orders.iter().filter(|order| order.user_id.is_some()).count()
    }

    fn is_done(&self) -> bool {
        self.user_ids() == 0 && self.erased.is_none_or(|erased| erased.done)
    }
}

/// The names under which a text may be known: name space and user id. None for a text that names nobody.
pub(super) fn names(
    config: &Config,
    text: &str,
    name_space: Option<&str>,
) -> BTreeSet<(String, UserId)> {
    if text.is_empty() || text.len() > USER_BYTES_MAX {
        return BTreeSet::new();
    }
    // A name space that is not configured any more may be named: its orders are still there.
    let configured = (config.clients.iter().map(|client| client.name_space.as_str()))
        .chain(config.jwt.iter().map(|issuer| issuer.name_space.as_str()))
        .chain([DEFAULT_NAME_SPACE]);
    let spaces = name_space.map_or_else(|| configured.collect(), |named| BTreeSet::from([named]));
    let mut names = BTreeSet::new();
    if let Ok(user) = text.parse::<UserId>() {
        names.extend(spaces.iter().map(|space| ((*space).to_owned(), user)));
    }
    let hashing = config.jwt.iter().filter(|issuer| issuer.hash_user);
    for issuer in hashing.filter(|issuer| spaces.contains(issuer.name_space.as_str())) {
        names.extend(hashed_user(text).parse().map(|user| (issuer.name_space.clone(), user)));
    }
    names
}

/// The same of a call, whose fields are checked.
fn names_of_call(
    config: &Config,
    text: &str,
    name_space: Option<&str>,
) -> Result<BTreeSet<(String, UserId)>, Coded> {
    if text.is_empty() || text.len() > USER_BYTES_MAX {
        return Err(invalid(&format!("userId must have 1 to {USER_BYTES_MAX} bytes")));
    }
    if name_space.is_some_and(|name| !is_name_space(name)) {
        return Err(invalid("nameSpace must match ^[A-Za-z0-9._-]{1,64}$"));
    }
    let names = names(config, text, name_space);
    if names.is_empty() {
        return Err(invalid("userId is not one that an order can have: ^[a-z0-9-]{1,50}$"));
    }
    Ok(names)
}

/// What is known of somebody, under each name.
async fn look(
    operator: &Operator,
    text: &str,
    name_space: Option<&str>,
) -> Result<Vec<Known>, Coded> {
    let shared = &operator.shared;
    if !shared.log_in_sight() {
        let detail = "the end of the order log is out of sight";
        return Err(reply::problem_because(Code::LogBehind, detail));
    }
    let mut known = Vec::new();
    for (name_space, user) in names_of_call(&shared.config, text, name_space)? {
        let buyer = shared.identity.buyer(&name_space, &user);
        let orders = shared.ledger.orders_of(buyer).await.map_err(unread)?;
        let erased = shared.ledger.erased(buyer).await.map_err(unread)?;
        let mut sales: BTreeSet<_> = orders.iter().map(|order| order.row.product).collect();
        // The ledger of many nodes lags: what is in the log already counts.
        for product in shared.applied().products() {
            let has = |state: &crate::sale::SaleState| state.has_buyer(&buyer);
            if shared.applied().with_state(&product, has) == Some(true) {
                sales.insert(product);
            }
        }
        known.push(Known { name_space, user, buyer, orders, erased, sales });
    }
    Ok(known)
}

fn unread(error: LedgerError) -> Coded {
    if matches!(error, LedgerError::NoUserIds) {
        let detail = "this node may not read user ids: send the call to one with \
                      postgres.fulfilment_url";
        return reply::problem_because(Code::Forbidden, detail);
    }
    tracing::error!(%error, "the ledger cannot be read");
    reply::problem_because(Code::LedgerUnavailable, "the ledger cannot be read")
}

/// Everything that is kept of a person, for the person.
async fn export(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Coded {
    answer(async {
        let Person { user_id, name_space } = parse(&body)?;
        let known = look(&operator, &user_id, name_space.as_deref()).await?;
        let buyers: Vec<_> = known.iter().map(|known| known.buyer.to_string()).collect();
        let fields = json!({ "who": caller.name, "buyers": buyers });
        // Who is told whose data is on the disk before anything is told.
        trail::record(&operator, false, Kind::PrivacyExport, fields).await.map_err(|_| {
            let detail = "the audit trail cannot be written, so nothing is told";
            reply::problem_because(Code::AuditUnavailable, detail)
        })?;
        let sealed = sealed::of(&operator, None).await?;
        let export = PersonExport {
            persons: known.iter().map(|known| kept(&operator, known)).collect(),
            sealed,
            elsewhere: elsewhere::list(&operator.shared.config),
        };
        Ok(reply::json_value(Code::Ok, &export))
    })
    .await
}

fn kept(operator: &Operator, known: &Known) -> KeptOfPerson {
    let control = operator.shared.applied().control();
    let target = operator.shared.guard.block_key().user(&known.user);
    let block = control.block(&target, log_time_ms(operator)).map(BlockView::of);
    let order = |order: &PersonOrder| OrderOfPerson {
        order_id: order.row.order_id.to_string(),
        product_id: order.row.product.to_string(),
        status: order.row.status.word(),
        created_at: order.row.created_at_ms,
        offset: order.row.offset,
        user_id: order.user_id.as_ref().map(ToString::to_string),
    };
    KeptOfPerson {
        name_space: known.name_space.clone(),
        buyer: known.buyer.to_string(),
        erased_at: known.erased.map(|erased| erased.at_ms),
        more: known.orders.len() == ORDERS_OF_PERSON_MAX,
        orders: known.orders.iter().map(order).collect(),
        blocks: block.into_iter().collect(),
    }
}

/// How far the erasure of a person has come.
async fn status(State(operator): State<Arc<Operator>>, body: Bytes) -> Coded {
    answer(async {
        let Person { user_id, name_space } = parse(&body)?;
        let known = look(&operator, &user_id, name_space.as_deref()).await?;
        let erased_at_ms = known.iter().filter_map(|known| known.erased).map(|e| e.at_ms).max();
        let sealed = sealed::of(&operator, erased_at_ms).await?;
        let status = PersonStatus {
            status: word(&known, sealed.as_ref()),
            persons: known.iter().map(Known::standing).collect(),
            sealed,
        };
        Ok(reply::json_value(Code::Ok, &status))
    })
    .await
}

fn word(known: &[Known], sealed: Option<&SealedCopies>) -> &'static str {
    let was_erased = known.iter().any(|known| known.erased.is_some());
    if known.iter().any(|known| known.user_ids() > 0) {
        return if known.iter().all(|known| known.erased.is_none_or(|erased| erased.done)) {
            "kept"
        } else {
            "erasing"
        };
    }
    match (was_erased, known.iter().all(Known::is_done), sealed) {
        (true, false, _) => "erasing",
        (true, true, Some(sealed)) if !sealed.is_gone() => "erased_in_ledger",
        (true, true, _) => "erased_everywhere",
        (false, ..) => "nothing_kept",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toml: &str) -> Config {
        toml::from_str(toml).unwrap()
    }

    fn jwt(name_space: &str, hash_user: bool) -> String {
        format!(
            "[[jwt]]\nissuer = \"i\"\naudience = \"a\"\nalgorithm = \"HS256\"\nkey = \"k\"\n\
             name_space = \"{name_space}\"\nhash_user = {hash_user}\n"
        )
    }

    #[test]
    fn a_person_is_looked_for_under_every_name_that_the_shop_may_use() {
        let config = config(&(jwt("outlet", false) + &jwt("mail", true)));
        let found = |text: &str, space| {
            let names = names(&config, text, space);
            names.into_iter().map(|(space, _)| space).collect::<Vec<_>>()
        };
        assert_eq!(found("alice", None), ["mail", "mail", "outlet", "shop"]);
        assert_eq!(found("alice", Some("outlet")), ["outlet"]);
        assert_eq!(found("alice", Some("a-former-one")), ["a-former-one"]);
        assert_eq!(found("alice@example.com", None), ["mail"]);
        let hashed = names(&config, "alice@example.com", Some("mail"));
        assert_eq!(hashed.first().unwrap().1.to_string(), hashed_user("alice@example.com"));
    }

    #[test]
    fn what_nobody_can_be_called_is_refused_without_an_echo() {
        let config = Config::default();
        let long = "zq".repeat(200);
        for text in ["", "ZQ MARK", "alice@example.com", &long] {
            let refused = names_of_call(&config, text, None).unwrap_err();
            let text = format!("{:?}", refused.reply);
            assert!(
                !text.contains("ZQ") && !text.contains("example.com") && !text.contains("zqzq")
            );
        }
        assert!(names_of_call(&config, "alice", Some("a b")).is_err());
    }
}
