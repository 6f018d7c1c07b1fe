//! The auditor's saved queries, run by the real `psql` on a real PostgreSQL, find what the analysis finds.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use secrecy::ExposeSecret;

use super::crowd::{BEGIN_MS, BOTS, Dice, bots, honest, order};
use super::*;
use crate::ledger::postgres::tests::support::{Database, User};

/// Writes sightings as nodes do.
fn plant(database: &Database, sightings: &[Sighting]) {
    let mut sql = String::from(
        "INSERT INTO flux_gate.evidence (at_ms, what, weight, product, order_id, buyer, series_stem, \
         series_number, address, network, fingerprint) VALUES ",
    );
    let signed = |mark: Option<Mark>| match mark {
        Some(Mark(bits)) => bits.cast_signed().to_string(),
        None => "NULL".to_owned(),
    };
    for (index, one) in sightings.iter().enumerate() {
        let text =
            |text: Option<String>| text.map_or("NULL".to_owned(), |text| format!("'{text}'"));
        let product = text(one.product.map(|product| product.to_string()));
        let order_id = text(one.order_id.map(|id| id.to_string()));
        let buyer = text(one.buyer.map(|buyer| format!("\\x{buyer}")));
        let stem = signed(one.series.map(|series| series.stem));
        let number = one.series.map_or("NULL".to_owned(), |series| series.number.to_string());
        let comma = if index == 0 { "" } else { ", " };
        write!(
            sql,
            "{comma}({}, '{}', {}, {product}, {order_id}, {buyer}, {stem}, {number}, {}, {}, {})",
            one.at_ms,
            one.what.word(),
            one.weight,
            signed(Some(one.address)),
            signed(Some(one.network)),
            signed(one.fingerprint),
        )
        .unwrap();
    }
    database.execute(User::Owner, &sql);
}

/// What the query of this pattern finds: order, mark, count.
fn query(database: &Database, pattern: &str, more: &[&str]) -> BTreeSet<(String, String, u32)> {
    let config = database.config(User::Auditor).postgres;
    let url = config.url.unwrap();
    let file = format!("deploy/sql/investigate/{pattern}.sql");
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-A", "-t", "-F", "|"]);
    if let Some(ca_file) = config.ca_file {
        psql.env("PGSSLROOTCERT", ca_file);
    }
    for variable in more {
        psql.args(["-v", variable]);
    }
    psql.arg("-f").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).arg(url.expose_secret());
    let output = psql.output().expect("psql can be run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{pattern}: {said}{errors}");
    let row = |line: &str| {
        let cells: Vec<_> = line.split('|').collect();
        assert_eq!(cells.len(), 6, "{line}");
        (cells[0].to_owned(), cells[4].to_owned(), cells[5].parse().unwrap())
    };
    said.lines().map(row).collect()
}

/// What the analysis finds.
fn analysed(sightings: &[Sighting], pattern: Pattern) -> BTreeSet<(String, String, u32)> {
    let mut all = sightings.to_vec();
    all.sort_by_key(|sighting| sighting.at_ms);
    let found = orders(&all, &Thresholds::default());
    let of = |order: &Order<'_>| {
        let finding = order.findings.iter().find(|finding| finding.pattern == pattern)?;
        Some((order.id.to_string(), finding.source.to_string(), finding.count))
    };
    found.iter().filter_map(of).collect()
}

#[test]
fn the_saved_queries_find_the_same_orders_as_the_analysis() {
    let database = Database::migrated();
    let mut dice = Dice(11);
    let mut all = honest(&mut dice);
    let farm = bots(&mut dice, Pattern::SharedFingerprint);
    let device = farm[0].fingerprint;
    all.extend(farm);
    for pattern in Pattern::ALL.into_iter().filter(|one| *one != Pattern::SharedFingerprint) {
        all.extend(bots(&mut dice, pattern));
    }
    // An order that two nodes saw, refusals of a farm's device, a shop's orders for its users, and another sale.
    let mut twice = all[0].clone();
    twice.at_ms += 40;
    let mut refused = bots(&mut dice, Pattern::SharedFingerprint);
    for one in &mut refused {
        (one.what, one.weight, one.fingerprint) = (What::SoldOut, 7, device);
    }
    let mut shop: Vec<_> = (0..30).map(|n| order(&mut dice, BEGIN_MS + n)).collect();
    shop.iter_mut().for_each(|one| (one.address, one.network) = (Mark::NONE, Mark::NONE));
    let mut other = bots(&mut dice, Pattern::OneNetwork);
    other.iter_mut().for_each(|one| one.product = Some("shoe".parse().unwrap()));
    let phones = [all, vec![twice], refused, shop].concat();
    plant(&database, &phones);
    plant(&database, &other);
    let span = ["since=2025-11-24 15:00Z", "until=2025-11-24 18:00Z"];
    for pattern in Pattern::ALL {
        let found = query(&database, pattern.word(), &[&span[..], &["product=phone"]].concat());
        let expected = analysed(&phones, pattern);
        assert!(expected.len() >= BOTS, "{pattern:?}");
        assert_eq!(found, expected, "{pattern:?}");
        let found = query(&database, pattern.word(), &span);
        let both = [phones.clone(), other.clone()].concat();
        assert_eq!(found, analysed(&both, pattern), "{pattern:?} of all products");
        assert_eq!(query(&database, pattern.word(), &["product=phone"]), BTreeSet::new());
    }
    // Thresholds are variables.
    let strict = [&span[..], &["product=phone", "fingerprint_buyers=41"]].concat();
    assert_eq!(query(&database, "shared_fingerprint", &strict), BTreeSet::new());
    // One that was not known yet is an order as soon as the ledger has it.
    let mut late = order(&mut dice, BEGIN_MS + 700_000);
    late.fingerprint = device;
    late.what = What::Busy;
    plant(&database, std::slice::from_ref(&late));
    let arguments = [&span[..], &["product=phone"]].concat();
    let found = || query(&database, "shared_fingerprint", &arguments).len();
    assert_eq!(found(), BOTS);
    let (order_id, buyer) = (late.order_id.unwrap(), late.buyer.unwrap());
    database.execute(
        User::Owner,
        &format!(
            "INSERT INTO flux_gate.orders (partition, place, \"offset\", confirmed_at_ms, order_id, buyer, \
             product) VALUES (0, 0, 1, {}, '{order_id}', '\\x{buyer}', 'phone')",
            late.at_ms
        ),
    );
    assert_eq!(found(), BOTS + 1);
}
