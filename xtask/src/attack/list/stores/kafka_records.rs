//! With the credentials of `ingestion-api` at Kafka, and even with a node's own key: records that only operators
//! may make, and orders that no node proposed.

use anyhow::Context;
use flux_gate::keys::records::Author;
use flux_gate::sale::record::CapacityTarget;
use flux_gate::sale::{BuyerRef, OperationId, OrderId, OrderProposed, Record};

use super::{Attack, Got, Target};
use crate::attack::stores::forged::{Forged, Writer, random};
use crate::attack::stores::scene::Scene;

const ASIDE: &str = "nothing changes, put aside";

pub const ATTACKS: &[Attack] = &[
    Attack::on_stores("capacity raised", "API5", ASIDE, |t| {
        operators_record(t, 1, |_| {
            Ok(Record::CapacityChanged {
                to: CapacityTarget::Total(1_000),
                operation: operation()?,
            })
        })
    }),
    Attack::on_stores("paused sale resumed", "API5", ASIDE, |t| {
        let scene = Scene::open(t.stores()?, 5)?;
        scene.change("pause", "{}")?;
        let record = Record::SaleResumed { operation: operation()? };
        let got = scene.put_aside(&unsigned(&scene, &record)?)?;
        // The control: the operators themselves can.
        scene.change("resume", "{}")?;
        Ok(got.and(scene.goes_on()?))
    }),
    Attack::on_stores("sale paused, closed or ended", "API5", ASIDE, |t| {
        let scene = Scene::open(t.stores()?, 5)?;
        let mut forged = Vec::new();
        for record in [
            Record::SalePaused { operation: operation()? },
            Record::SaleArchived { operation: operation()? },
            Record::ScheduleChanged {
                opens_at_ms: 0,
                closes_at_ms: Some(1),
                operation: operation()?,
            },
        ] {
            forged.extend(unsigned(&scene, &record)?);
        }
        Ok(scene.put_aside(&forged)?.and(scene.goes_on()?))
    }),
    Attack::on_stores("order taken back", "API5", ASIDE, |t| {
        operators_record(t, 2, |scene| {
            Ok(Record::OrderReversed {
                order_id: scene.order_id.parse()?,
                restock: true,
                frees_limit: true,
                reason: "forged".to_owned(),
            })
        })
    }),
    Attack::on_stores("sale of one's own opened", "API5", "no such product", |t| {
        let stores = t.stores()?;
        let scene = Scene::open(stores, 5)?;
        let mut terms = None;
        for record in scene.records()? {
            if let Ok(Record::SaleOpened(found)) = Record::decode(&record.value.unwrap_or_default())
            {
                terms = Some(found);
            }
        }
        let terms = terms.context("the opening lies in the topic")?;
        let own = Scene { product: stores.one.unique("mine"), ..scene };
        let writer = Writer::new(&stores.as_node()?)?;
        for forged in unsigned(&own, &Record::SaleOpened(terms))? {
            let written = writer.send(&stores.topic, &forged);
            written.map_err(|error| anyhow::anyhow!("cannot be written: {error}"))?;
        }
        stores.settled()?;
        let shown = stores.two.admin("GET", &format!("/admin/products/{}", own.product), "")?;
        Ok(Got::refused(&shown, 404, "unknown_product"))
    }),
    Attack::on_stores("person erased", "API5", ASIDE, |t| {
        let scene = Scene::open(t.stores()?, 5)?;
        scene.stores.settled()?;
        let order = format!("FROM flux_gate.orders WHERE order_id = '{}'", scene.order_id);
        let buyer = scene.stores.ledger(&format!("SELECT encode(buyer, 'hex') {order}"))?;
        let record = Record::SubjectErased { buyer: buyer.parse()?, operation: Some(operation()?) };
        let got = scene.put_aside(&unsigned(&scene, &record)?)?;
        let known = format!(
            "SELECT count(*) FROM flux_gate.subjects \
             WHERE (partition, \"offset\") IN (SELECT partition, \"offset\" {order})"
        );
        let known = scene.stores.ledger(&known)?;
        Ok(got.and(Got::of(known == "1", format!("known by {known} order"))))
    }),
    Attack::on_stores("order proposed without the key", "API2", ASIDE, |t| {
        let scene = Scene::open(t.stores()?, 5)?;
        let mut forged = Vec::new();
        for voucher in
            [&b""[..], &[b"m1:", &[7; 32][..]].concat(), b"m:", b"m1:short", &[0; 500], b"s"]
        {
            forged.push(Forged::new(&scene.product, &proposal(&scene)?, voucher)?);
        }
        Ok(scene.put_aside(&forged)?.and(scene.goes_on()?))
    }),
    Attack::on_stores("order altered after it was vouched for", "API2", ASIDE, |t| {
        let scene = Scene::open(t.stores()?, 5)?;
        let keys = scene.stores.node_keys()?;
        let vouched = || Forged::vouched(&keys, Author::Node, &scene.product, &proposal(&scene)?);
        let mut nonce = vouched()?;
        nonce.headers[0].1[0] ^= 1;
        let mut voucher = vouched()?;
        let last = voucher.headers[1].1.len() - 1;
        voucher.headers[1].1[last] ^= 1;
        let other = vouched()?.saying(&proposal(&scene)?.encode());
        let got = scene.put_aside(&[nonce, voucher, other])?;
        // The control: with the key and unaltered it is an order, so the harness makes good ones.
        let sold = sold_after(&scene, &vouched()?)?;
        Ok(got.and(Got::of(sold == 2, format!("genuine: {sold} sold"))))
    }),
    Attack::on_stores("order moved to another product", "API1", ASIDE, |t| {
        let scene = Scene::open(t.stores()?, 5)?;
        let keys = scene.stores.node_keys()?;
        let other = Forged::vouched(&keys, Author::Node, "other", &proposal(&scene)?)?;
        let own = Forged::new(&scene.product, &proposal(&scene)?, b"")?;
        let moved = Forged { partition: own.partition, ..other.about(scene.product.as_bytes()) };
        Ok(scene.put_aside(&[moved])?.and(scene.goes_on()?))
    }),
    Attack::on_stores("more than the stock, with a node's key", "API10", "rule 1 holds", |t| {
        let scene = Scene::open(t.stores()?, 3)?;
        let keys = scene.stores.node_keys()?;
        let mut last = 0;
        for _ in 0..6 {
            let record = proposal(&scene)?;
            last = sold_after(
                &scene,
                &Forged::vouched(&keys, Author::Node, &scene.product, &record)?,
            )?;
        }
        Ok(Got::of(last == 3, format!("{last} of 3 sold")))
    }),
];

fn operation() -> anyhow::Result<OperationId> {
    Ok(hex::encode(random::<8>()?).parse()?)
}

/// A stranger's order.
fn proposal(scene: &Scene<'_>) -> anyhow::Result<Record> {
    let generation = scene.generation()?;
    Ok(Record::OrderProposed(OrderProposed {
        order_id: OrderId::from_random_bytes(random()?),
        buyer: BuyerRef::from_bytes(random()?),
        sealed_user: None,
        at_ms: scene.stores.one.now_ms(),
        generation,
    }))
}

/// An operator's record by somebody who has not the operators' key: unsigned, with another's signature, with the
/// MAC of a node.
fn unsigned(scene: &Scene<'_>, record: &Record) -> anyhow::Result<Vec<Forged>> {
    let keys = scene.stores.node_keys()?;
    let other = [&b"s"[..], &[7; 64]].concat();
    Ok(vec![
        Forged::new(&scene.product, record, b"")?,
        Forged::new(&scene.product, record, &other)?,
        Forged::vouched(&keys, Author::Node, &scene.product, record)?,
        Forged { headers: Vec::new(), ..Forged::new(&scene.product, record, b"")? },
    ])
}

/// Without the key it changes nothing; with it, it changes something: `stands` is not what it was.
fn operators_record(
    t: &Target,
    units: u32,
    record: impl Fn(&Scene<'_>) -> anyhow::Result<Record>,
) -> anyhow::Result<Got> {
    let scene = Scene::open(t.stores()?, units)?;
    let forged = scene.put_aside(&unsigned(&scene, &record(&scene)?)?)?;
    let keys = scene.stores.operator_keys()?;
    let signed = Forged::vouched(&keys, Author::Operator, &scene.product, &record(&scene)?)?;
    let genuine = scene.unmoved_by(&[signed])?;
    Ok(forged.and(Got::of(!genuine.blocked, "the genuine one does")))
}

/// How many are sold after a node's genuine record.
fn sold_after(scene: &Scene<'_>, genuine: &Forged) -> anyhow::Result<u64> {
    scene.unmoved_by(std::slice::from_ref(genuine))?;
    scene.stores.two.sold(&scene.product)
}
