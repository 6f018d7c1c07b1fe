//! With the credentials of `ingestion-api` at Kafka: genuine records written once more, byte for byte. What
//! vouches for them still holds, so each kind must be of no effect by itself.

use anyhow::{Context, ensure};
use flux_gate::keys::records::Author;
use flux_gate::sale::{BuyerRef, Record};

use super::{Attack, Got, Target};
use crate::attack::stores::forged::{Forged, random};
use crate::attack::stores::scene::{Scene, order};
use crate::attack::support::wait::try_settled;

pub const ATTACKS: &[Attack] = &[
    Attack::on_stores("order's record again", "API6", "rule 3; nothing more is sold", |t| {
        let scene = Scene::open(t.stores()?, 5)?;
        let proposals = of_kind(&scene, "order_proposed")?;
        let again: Vec<_> = proposals.iter().cycle().take(20).cloned().collect();
        Ok(scene.unmoved_by(&again)?.and(scene.order_stands()?).and(scene.goes_on()?))
    }),
    Attack::on_stores("order's record again after it was taken back", "API6", "it stays so", |t| {
        let scene = Scene::open(t.stores()?, 5)?;
        let proposals = of_kind(&scene, "order_proposed")?;
        let path = format!("/admin/orders/{}/reverse", scene.order_id);
        let body = r#"{"restock":true,"reason":"payment"}"#;
        let reversed = t.stores()?.one.admin("POST", &path, body)?;
        ensure!(reversed.status == 200, "{}", reversed.text());
        t.stores()?.settled()?;
        let reversals = of_kind(&scene, "order_reversed")?;
        let again: Vec<_> = proposals.into_iter().chain(reversals).collect();
        let unmoved = scene.unmoved_by(&again)?;
        let sold = scene.stores.two.sold(&scene.product)?;
        Ok(unmoved.and(Got::of(sold == 0, format!("{sold} sold"))))
    }),
    Attack::on_stores("capacity raised again", "API6", "the lower one stays", |t| {
        let scene = Scene::open(t.stores()?, 5)?;
        scene.change("restock", r#"{"quantity":100}"#)?;
        let raised = of_kind(&scene, "capacity_changed")?;
        scene.change("restock", r#"{"quantity":1}"#)?;
        Ok(scene.unmoved_by(&raised)?.and(scene.goes_on()?))
    }),
    Attack::on_stores("paused sale resumed again", "API6", "rule 6; it stays paused", |t| {
        let scene = Scene::open(t.stores()?, 5)?;
        scene.change("pause", "{}")?;
        scene.change("resume", "{}")?;
        let resumed = of_kind(&scene, "sale_resumed")?;
        scene.change("pause", "{}")?;
        let unmoved = scene.unmoved_by(&resumed)?;
        let refused = order(&scene.stores.two, &scene.product, &scene.stores.one.unique("u"))?;
        Ok(unmoved.and(Got::refused(&refused, 403, "paused")))
    }),
    Attack::on_stores("pause again after it was lifted", "API6", "it goes on", |t| {
        let scene = Scene::open(t.stores()?, 5)?;
        scene.change("pause", "{}")?;
        scene.change("resume", "{}")?;
        let paused = of_kind(&scene, "sale_paused")?;
        Ok(scene.unmoved_by(&paused)?.and(scene.goes_on()?))
    }),
    Attack::on_stores("opening again", "API6", "ignored", |t| {
        let scene = Scene::open(t.stores()?, 5)?;
        let opened = of_kind(&scene, "sale_opened")?;
        let first = scene.unmoved_by(&opened)?;
        scene.change("archive", "{}")?;
        Ok(first.and(scene.unmoved_by(&opened)?))
    }),
    Attack::on_stores("all records of a sale again", "API6", "nothing changes", |t| {
        let scene = Scene::open(t.stores()?, 5)?;
        scene.change("restock", r#"{"quantity":2}"#)?;
        let all = scene.records()?;
        Ok(scene.unmoved_by(&all)?.and(scene.order_stands()?).and(scene.goes_on()?))
    }),
    Attack::on_stores("erasure again, of a person who came back", "API6", "known as before", |t| {
        let stores = t.stores()?;
        let scene = Scene::open(stores, 5)?;
        let person = stores.one.unique("u");
        let first = buys(&stores.one, &scene.product, &person)?;
        stores.settled()?;
        let buyer = buyer_of(&scene, &first)?;
        let operation = Some(hex::encode(random::<8>()?).parse()?);
        let record = Record::SubjectErased { buyer, operation };
        let keys = stores.operator_keys()?;
        let erasure = Forged::vouched(&keys, Author::Operator, &scene.product, &record)?;
        // The control: the operators' erasure takes effect.
        scene.unmoved_by(std::slice::from_ref(&erasure))?;
        ensure!(names(&scene, &person)? == 0, "the erasure took no effect");
        let elsewhere = Scene::open(stores, 5)?;
        buys(&stores.two, &elsewhere.product, &person)?;
        stores.settled()?;
        ensure!(names(&scene, &person)? == 1, "who came back is not known to the shop");
        let unmoved = scene.unmoved_by(&[erasure])?;
        let known = names(&scene, &person)?;
        Ok(unmoved.and(Got::of(known == 1, format!("known by {known} order"))))
    }),
    Attack::on_stores("records of another topic", "API6", "put aside", |t| {
        // What was vouched for under other keys, as in a copy of the shop for trying things out.
        let scene = Scene::open(t.stores()?, 5)?;
        let secret =
            secrecy::SecretString::from("m1:another-record-key-0123456789abcdef0123456789");
        let public = scene.stores.stack.get("FLUX_GATE__SECRETS__OPERATOR_PUBLIC_KEY")?;
        let keys = flux_gate::keys::records::RecordKeys::new(&secret, None, public)?;
        let mut forged = Vec::new();
        for copy in of_kind(&scene, "order_proposed")? {
            let record = Record::decode(&copy.value.unwrap_or_default())?;
            forged.push(Forged::vouched(&keys, Author::Node, &scene.product, &record)?);
        }
        ensure!(!forged.is_empty(), "there are orders");
        scene.put_aside(&forged)
    }),
    Attack::on_stores("user ids read from the topic", "API3", "sealed; rule 7", |t| {
        let stores = t.stores()?;
        let scene = Scene::open(stores, 5)?;
        let person = stores.one.unique("mallory");
        buys(&stores.one, &scene.product, &person)?;
        let records = scene.records()?;
        let sealed = of_kind(&scene, "order_proposed")?.len();
        let clear = records.iter().filter(|record| {
            String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).contains(&person)
        });
        let clear = clear.count();
        Ok(Got::of(clear == 0 && sealed == 2, format!("{clear} of {sealed} in clear")))
    }),
];

/// The records of a kind that lie in the topic about this sale.
fn of_kind(scene: &Scene<'_>, kind: &str) -> anyhow::Result<Vec<Forged>> {
    let mut found = scene.records()?;
    found.retain(|message| {
        let record = Record::decode(message.value.as_deref().unwrap_or_default());
        record.is_ok_and(|record| record.kind() == kind)
    });
    ensure!(!found.is_empty(), "no {kind} lies in the topic");
    Ok(found)
}

/// An honest order, which must be accepted. Returns its id.
fn buys(node: &Target, product: &str, person: &str) -> anyhow::Result<String> {
    let answer = try_settled(|| order(node, product, person))?;
    ensure!(answer.word() == "success", "not accepted: {}", answer.text());
    Ok(answer.member("orderId"))
}

fn buyer_of(scene: &Scene<'_>, order_id: &str) -> anyhow::Result<BuyerRef> {
    let sql =
        format!("SELECT encode(buyer, 'hex') FROM flux_gate.orders WHERE order_id = '{order_id}'");
    scene.stores.ledger(&sql)?.parse().ok().context("not a buyer")
}

/// By how many orders the shop knows this person.
fn names(scene: &Scene<'_>, person: &str) -> anyhow::Result<u64> {
    let sql = format!("SELECT count(*) FROM flux_gate.subjects WHERE user_id = '{person}'");
    Ok(scene.stores.ledger(&sql)?.parse()?)
}
