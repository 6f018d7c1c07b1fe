//! Orders placed one after the other until there are enough of them.

use anyhow::{Context, ensure};

use super::{EXCUSED, Many, recipe};
use crate::bench::client;
use crate::bench::requests::{Crowd, Recipe, Requests};
use crate::bench::servers;
use crate::support::server::Server;

/// Orders of one part: they are placed long before their signatures expire.
const PART_ORDERS: u64 = 50_000;
/// Parts without an accepted order after which it is given up.
const BARREN_PARTS_MAX: u32 = 5;

/// Places orders of new buyers until so many were accepted; tells how many.
///
/// # Errors
/// The node does not accept them.
pub fn place(
    many: &Many<'_>,
    address: std::net::SocketAddr,
    what: Fill<'_>,
) -> anyhow::Result<u64> {
    let (mut accepted, mut barren, mut run) = (0, 0, what.first_run);
    while accepted < what.orders {
        run += 1;
        let now_ms = many.bench.clock.unix_ms();
        let recipe = Recipe { now_ms, ..recipe(what.product, Crowd::Users(0), run) };
        let count = (what.orders - accepted).min(PART_ORDERS) as usize;
        let requests = Requests::sign(&recipe, count);
        let connections = many.bench.scale.effort.connections;
        let before = accepted;
        accepted += client::all(address, &requests, connections, (200, EXCUSED))?;
        barren = if accepted == before { barren + 1 } else { 0 };
        ensure!(barren < BARREN_PARTS_MAX, "the node accepts nothing any more");
    }
    Ok(accepted)
}

/// What is placed.
#[derive(Clone, Copy)]
pub struct Fill<'a> {
    /// What is bought.
    pub product: &'a str,
    /// How often.
    pub orders: u64,
    /// Buyers and keys are new from this run on.
    pub first_run: u32,
}

/// Opens a sale of so many units and sells all of it.
///
/// # Errors
/// It cannot be sold out.
pub fn sell_out(many: &Many<'_>, server: &Server, product: &str, units: u32) -> anyhow::Result<()> {
    servers::create(server, product, units)?;
    for run in 1..=BARREN_PARTS_MAX {
        let now_ms = many.bench.clock.unix_ms();
        let recipe = Recipe { now_ms, ..recipe(product, Crowd::Users(0), run) };
        let requests = Requests::sign(&recipe, units as usize);
        client::all(server.public, &requests, 32, (200, &[202, 409, 503]))?;
        if remaining(server, product)? == 0 {
            return Ok(());
        }
    }
    anyhow::bail!("the product cannot be sold out")
}

fn remaining(server: &Server, product: &str) -> anyhow::Result<u64> {
    let shown = servers::operate(server, "GET", &format!("/admin/products/{product}"), "")?;
    let shown: serde_json::Value = serde_json::from_str(&shown)?;
    shown["remaining"].as_u64().context("a product without `remaining`")
}
