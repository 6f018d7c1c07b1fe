//! The operator's calls on waiting rooms: looking at one, switching it on and off, the public value of its draw.
//!
//! A switch holds until the node restarts; what holds for good is in the configuration. Each change goes into the
//! audit trail before it is made.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Operator;
use super::auth::Caller;
use super::call::{answer, invalid, parse, parse_product, unknown_product};
use super::trail;
use crate::http::code::Code;
use crate::http::reply::{self, Coded};
use crate::http::room;
use crate::lobby::NotGiven;
use crate::room::draw::PUBLIC_TEXT_BYTES_MAX;
use crate::sale::ProductId;

/// A waiting room.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    product_id: String,
    /// Whether the product is bought by way of the room alone.
    active: bool,
    /// `arriving`, `drawing` or `serving`.
    phase: &'static str,
    /// The next place to serve, from 0.
    head: u32,
    /// Places that were given out.
    places: u32,
    /// Let in, and neither bought nor over.
    admitted: u32,
    /// Let in since the beginning.
    admitted_total: u64,
    /// About how long somebody waits who comes now.
    wait_seconds: Option<u64>,
    /// Event streams that are open, of all products.
    viewers: usize,
}

/// `POST /admin/products/{id}/waiting-room`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchRoom {
    active: bool,
}

/// `POST /admin/products/{id}/public-value`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicValue {
    value: String,
}

/// Shows a room.
pub async fn show(State(operator): State<Arc<Operator>>, Path(id): Path<String>) -> Coded {
    answer(async {
        let product = product(&operator, &id)?;
        Ok(reply::json_value(Code::Ok, &view(&operator, &product)))
    })
    .await
}

/// Switches a room on or off, until the node restarts.
pub async fn switch(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: Bytes,
) -> Coded {
    answer(async {
        let product = product(&operator, &id)?;
        let SwitchRoom { active } = parse(&body)?;
        if operator.shared.config.is_distributed() {
            let detail = "on many nodes a room is switched for all of them: by room.products of their configuration";
            return Err(reply::problem_because(Code::Conflict, detail));
        }
        note(&operator, &caller, &product, json!({ "active": active })).await?;
        operator.shared.room.lobby.doors().set(product, active);
        tracing::info!(operator = %caller.name, %product, active, "waiting room switched");
        Ok(reply::json_value(Code::Ok, &view(&operator, &product)))
    })
    .await
}

/// Gives the public value of a draw whose root is published.
pub async fn public_value(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: Bytes,
) -> Coded {
    answer(async {
        let product = product(&operator, &id)?;
        let PublicValue { value } = parse(&body)?;
        let visible = value.bytes().all(|byte| byte.is_ascii_graphic());
        if value.is_empty() || value.len() > PUBLIC_TEXT_BYTES_MAX || !visible {
            let what =
                format!("value must have 1 to {PUBLIC_TEXT_BYTES_MAX} visible ASCII characters");
            return Err(invalid(&what));
        }
        note(&operator, &caller, &product, json!({ "public_value": value })).await?;
        let rooms = &operator.shared.room.lobby;
        let given = rooms.set_public_value(&product, value).await;
        given.map_err(|why| match why {
            NotGiven::NotTaken(why) => reply::problem_because(Code::Conflict, &why.to_string()),
            NotGiven::Unavailable(why) => {
                reply::problem_because(Code::RoomUnavailable, &why.to_string())
            }
        })?;
        Ok(reply::json_value(Code::Ok, &rooms.draw(&product)))
    })
    .await
}

fn product(operator: &Operator, id: &str) -> Result<ProductId, Coded> {
    let product = parse_product(id)?;
    let known = room::sale(&operator.shared, &product).is_some();
    known.then_some(product).ok_or_else(unknown_product)
}

async fn note(
    operator: &Operator,
    caller: &Caller,
    product: &ProductId,
    change: Value,
) -> Result<(), Coded> {
    let before = json!({ "active": operator.shared.room.lobby.doors().has_room(product) });
    trail::intend_room(operator, caller.name, product, change, before).await
}

fn view(operator: &Operator, product: &ProductId) -> Room {
    let service = &operator.shared.room;
    let sale = room::sale(&operator.shared, product);
    let view = service.lobby.view(product, sale.is_some_and(|sale| sale.supply.opened));
    Room {
        product_id: product.to_string(),
        active: service.lobby.doors().has_room(product),
        phase: view.phase,
        head: view.head,
        places: view.places,
        admitted: view.admitted,
        admitted_total: view.admitted_total,
        wait_seconds: view.wait_seconds,
        viewers: service.hub.len(),
    }
}
