//! The operator's listener: its routes, on one page.
//!
//! Every call but the two health checks, the page and its login needs a bearer token or a session with a role. Nothing here counts stock: a call
//! that changes a sale writes one record and answers with what the log made of it.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};

pub mod allows;
pub mod approvals;
pub mod auth;
pub mod blocks;
mod call;
pub mod changes;
pub mod console;
mod control;
pub mod desk;
pub mod handlers;
pub mod incident;
pub mod limits;
pub mod privacy;
pub mod products;
pub mod proof;
pub mod rooms;
pub mod tokens;
pub mod trail;

use super::code::Code;
use super::reply;
use super::shared::Shared;
use crate::audit::Recorder;
use auth::Tokens;
use desk::Desk;

/// Largest body of an operator's call, in bytes.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// What the operator's handlers share.
pub struct Operator {
    /// The parts of the node.
    pub shared: Arc<Shared>,
    /// The way to the log.
    pub desk: Desk,
    /// Who may call, by the configuration.
    pub tokens: Tokens,
    /// The way to the audit trail, for calls that are refused.
    pub recorder: Recorder,
    /// What the console keeps.
    pub console: console::Console,
    /// Whose turn it is to look into the evidence.
    pub turns: incident::look::Turns,
}

/// The whole route table of the operator's listener.
pub fn router(operator: Arc<Operator>) -> Router {
    let viewer = Router::new()
        .route("/metrics", get(handlers::metrics))
        .route("/admin/products", get(products::list))
        .route("/admin/products/{id}", get(products::show))
        .route("/admin/products/{id}/waiting-room", get(rooms::show))
        .route("/admin/orders", get(handlers::orders))
        .route("/admin/blocks", get(blocks::list))
        .route("/admin/allows", get(allows::list))
        .route("/admin/score", get(allows::score))
        .route("/admin/limits", get(limits::list))
        .route("/admin/approvals", get(approvals::list))
        .route("/admin/audit/head", get(trail::head))
        .merge(incident::viewer_router())
        .route_layer(middleware::from_fn_with_state(operator.clone(), auth::viewer));
    let operator_role = Router::new()
        .route("/init", post(products::init))
        .route("/admin/products", post(products::create))
        .route("/admin/products/{id}/open", post(changes::open))
        .route("/admin/products/{id}/close", post(changes::close))
        .route("/admin/products/{id}/pause", post(changes::pause))
        .route("/admin/products/{id}/resume", post(changes::resume))
        .route("/admin/products/{id}/restock", post(changes::restock))
        .route("/admin/products/{id}/waiting-room", post(rooms::switch))
        .route("/admin/products/{id}/public-value", post(rooms::public_value))
        .route("/admin/orders/{id}/reverse", post(handlers::reverse))
        .route("/admin/blocks", post(blocks::set).delete(blocks::lift))
        .route("/admin/blocks/{id}", delete(blocks::lift_id))
        .route("/admin/allows", post(allows::set).delete(allows::lift))
        .route("/admin/allows/{id}", delete(allows::lift_id))
        .route("/admin/score/off", post(allows::score_off).delete(allows::score_on))
        .route("/admin/limits", post(limits::set))
        .route("/admin/limits/{limit}", delete(limits::clear))
        .route("/admin/approvals/{id}/approve", post(approvals::approve))
        .route("/admin/approvals/{id}/reject", post(approvals::reject))
        .route("/admin/audit", get(trail::page))
        .route("/admin/products/{id}/proof", get(proof::show))
        .merge(incident::router())
        .route_layer(middleware::from_fn_with_state(operator.clone(), auth::operator));
    let admin = Router::new()
        .route("/admin/products/{id}/archive", post(changes::archive))
        .route("/admin/tokens", get(tokens::list).post(tokens::add))
        .route("/admin/tokens/{name}", delete(tokens::revoke))
        .merge(privacy::router())
        .route_layer(middleware::from_fn_with_state(operator.clone(), auth::admin));
    viewer
        .merge(operator_role)
        .merge(admin)
        .merge(console::routes(&operator))
        .route("/livez", get(handlers::livez))
        .route("/readyz", get(handlers::readyz))
        .fallback(handlers::not_found)
        .method_not_allowed_fallback(handlers::method_not_allowed)
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::map_response(as_problem))
        .layer(middleware::map_response(console::page::harden))
        .with_state(operator)
}

/// The framework's own refusals (a path that is not UTF-8, a body that is too large) are plain text; here
/// they become problems like all others.
async fn as_problem(response: Response) -> Response {
    let plain = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    match response.status() {
        StatusCode::PAYLOAD_TOO_LARGE if plain => {
            reply::problem_because(Code::BodyTooLarge, "the body is too large").into_response()
        }
        status if plain && status.is_client_error() => {
            reply::problem_because(Code::InvalidRequest, "the request cannot be read")
                .into_response()
        }
        _ => response,
    }
}
