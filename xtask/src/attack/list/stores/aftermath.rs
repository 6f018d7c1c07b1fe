//! What the attacks on the stores left behind.

use super::super::aftermath::{LATER, log_lines, no_panic, nothing_personal};
use super::{Attack, Got, Stores, Target};
use crate::attack::Done;

static RUNS: Attack =
    Attack::on_stores("stores, afterwards: nodes and worker go on", "API8", "both sell", LATER);
static AGREES: Attack =
    Attack::on_stores("stores, afterwards: ledger = log", "API8", "rule 5", LATER);
static LOGS: Attack =
    Attack::on_stores("stores, afterwards: nothing personal in logs", "API3", "rule 7", LATER);

/// Looks at what the attacks left behind.
pub fn aftermath(stores: &Stores) -> Vec<Done> {
    let carried_out = |looked: anyhow::Result<Got>| {
        looked.unwrap_or_else(|error| Got::of(false, format!("cannot be looked at: {error:#}")))
    };
    let runs = super::controls(stores).map(|()| Got::of(true, "both sell"));
    vec![
        Done { attack: &RUNS, got: carried_out(runs) },
        Done { attack: &AGREES, got: carried_out(agrees(stores)) },
        Done { attack: &LOGS, got: logs(stores) },
    ]
}

/// Both nodes say the same of every sale, and the ledger has as many orders of each.
fn agrees(stores: &Stores) -> anyhow::Result<Got> {
    stores.settled()?;
    let of = |node: &Target| anyhow::Ok(node.admin("GET", "/admin/products", "")?.json());
    let (one, two) = (of(&stores.one)?, of(&stores.two)?);
    let sold = |shown: &serde_json::Value| -> Vec<(String, u64)> {
        let all = shown["products"].as_array().into_iter().flatten();
        all.map(|product| (product["productId"].to_string(), product["sold"].as_u64().unwrap_or(0)))
            .collect()
    };
    let all: u64 = sold(&one).iter().map(|(_, units)| units).sum();
    let off = stores.ledger("SELECT count(*) FROM flux_gate.sale_list WHERE counted <> sold")?;
    let kept = stores.ledger("SELECT coalesce(sum(sold), 0) FROM flux_gate.sale_list")?;
    let same = sold(&one) == sold(&two) && !sold(&one).is_empty();
    let what = format!("{all} sold in {} sales, {kept} kept, {off} sales off", sold(&one).len());
    Ok(Got::of(same && off == "0" && kept == all.to_string(), what))
}

fn logs(stores: &Stores) -> Got {
    let mut logs: Vec<String> = stores.nodes().iter().map(|node| node.log()).collect();
    logs.push(stores.worker_log());
    let of = |log: &String| no_panic(log).and(log_lines(log)).and(nothing_personal(log));
    Got::all(logs.iter().map(of))
}
