//! `/admin/incident`: what is done against an attack in one call each, over all that it concerns.
//!
//! Each call that has begun is carried to its end, whether or not the caller still listens. Each record of it
//! takes effect once, so that a call that was cut off half way is simply made again.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use super::Operator;
use crate::http::code::Code;
use crate::http::reply::{self, Coded};

pub mod look;
pub mod report;
pub mod reverse;
pub mod stop;

/// Records of one call that are on their way at once: fewer than the desk's queue takes, so that several
/// operators can act at a time.
const AT_ONCE: usize = 32;

/// The routes that need the role viewer: they change nothing.
pub fn viewer_router() -> Router<Arc<Operator>> {
    Router::new()
        .route("/admin/incident/orders", get(look::orders::orders))
        .route("/admin/incident/offenders", get(look::offenders::offenders))
        .route("/admin/incident/analysis", get(look::analysis::analysis))
}

/// The routes that need the role operator.
pub fn router() -> Router<Arc<Operator>> {
    Router::new()
        .route("/admin/incident/stop", post(stop::stop))
        .route("/admin/incident/resume", post(stop::resume))
        .route(
            "/admin/incident/reverse",
            post(reverse::reverse).layer(DefaultBodyLimit::max(reverse::BODY_BYTES_MAX)),
        )
        .route("/admin/incident/report", get(report::report))
}

/// Does `work` on a task of its own, so that a caller who hangs up does not cut it off.
pub(super) async fn to_its_end(work: impl Future<Output = Coded> + Send + 'static) -> Coded {
    let done = tokio::spawn(work).await;
    done.unwrap_or_else(|_| reply::problem_because(Code::Internal, "the call was cut off"))
}
