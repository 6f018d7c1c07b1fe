//! The bare server to compare with: axum as its documentation begins, on tokio's default runtime. It checks
//! nothing and keeps nothing: JSON in, the same JSON out.

use std::net::SocketAddr;

use anyhow::Context;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

#[derive(clap::Args)]
pub struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    product_id: String,
    user_id: String,
}

/// Serves until it is killed; says on its first line where.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("cannot listen on {}", options.listen))?;
        println!("{}", listener.local_addr()?);
        let app =
            Router::new().route("/order", post(|Json(order): Json<Order>| async { Json(order) }));
        Ok(axum::serve(listener, app).await?)
    })
}
