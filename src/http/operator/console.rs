//! The operator's console: one page on the operator's listener, live, and the calls that it makes.
//!
//! - [`page`]: the files of the page and the headers that bind it;
//! - [`login`], [`session`], [`origin`]: a cookie in the place of a bearer token, and whose calls it may carry;
//! - [`live`]: server-sent events; [`overview`]: what they say; [`meter`]: rates and latencies; [`history`]: the
//!   samples of the last hour;
//! - [`stores`], [`peers`]: the health of stores, workers and nodes; [`recent`]: the operators' last actions;
//!   [`offenders`]: who orders suspiciously much.
//!
//! The page changes nothing by calls of its own: its buttons make the calls that commands make, with the role
//! of the token that was logged in with.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use parking_lot::Mutex;

pub mod history;
pub mod live;
pub mod login;
pub mod meter;
pub mod offenders;
pub mod origin;
pub mod overview;
pub mod page;
pub mod peers;
pub mod recent;
pub mod session;
pub mod stores;

use super::{Operator, auth};

/// What the console keeps. Nothing of it outlives the process.
#[derive(Debug, Default)]
pub struct Console {
    /// Who has logged in.
    pub sessions: Mutex<session::Sessions>,
    /// Failed logins.
    pub failures: Mutex<login::Failures>,
    /// Who looks.
    pub hub: live::Hub,
    /// The operators' last actions.
    pub recent: recent::Recent,
    /// What was seen lately.
    pub board: Mutex<Board>,
    /// Whether somebody has looked since the offenders were last asked for.
    pub looked: AtomicBool,
}

/// What the sampler and the watch of the stores have seen.
#[derive(Debug, Default)]
pub struct Board {
    /// The last seconds.
    pub meter: meter::Meter,
    /// The last hour.
    pub history: history::History,
    /// Stores, workers, nodes.
    pub health: stores::Health,
    /// The top offenders; `None` if this node keeps no evidence.
    pub offenders: Option<Vec<offenders::Offender>>,
}

/// The console's routes.
pub fn routes(operator: &Arc<Operator>) -> Router<Arc<Operator>> {
    let viewer = Router::new()
        .route("/admin/overview", get(live::show))
        .route("/admin/history", get(live::history))
        .route("/admin/events", get(live::events))
        .route_layer(middleware::from_fn_with_state(operator.clone(), auth::viewer));
    page::routes()
        .merge(viewer)
        .route("/admin/login", post(login::login))
        .route("/admin/logout", post(login::logout))
        .route("/admin/session", get(login::session))
}

/// Starts what runs beside the calls. Must be called in the `LocalSet` of the listener's thread.
pub fn start(operator: &Arc<Operator>) {
    tokio::task::spawn_local(live::run(operator.clone()));
    tokio::task::spawn_local(stores::watch(operator.clone()));
    tokio::task::spawn_local(offenders::watch(operator.clone()));
}
