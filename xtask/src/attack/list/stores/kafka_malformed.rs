//! With the credentials of `ingestion-api` at Kafka: messages that are no records. The partition goes on, nodes
//! and worker agree on what they are, and each is put aside once.

use flux_gate::keys::records::Author;
use flux_gate::log::kafka::message::{NONCE_HEADER, VOUCHER_HEADER};
use flux_gate::sale::{BuyerRef, OrderId, OrderProposed, Record};

use super::{Attack, Got, Target};
use crate::attack::stores::PARTITIONS;
use crate::attack::stores::forged::{Forged, Writer, random};
use crate::attack::stores::scene::Scene;

const ASIDE: &str = "put aside; the partition goes on";

pub const ATTACKS: &[Attack] = &[
    Attack::on_stores("garbage for a record", "API10", ASIDE, |t| {
        values(
            t,
            &[b"", b"\0", b"\xff\x00{{{", b"null", b"[]", b"{\"v\":1}", b"{\"v\":1,\"record\":{}}"],
        )
    }),
    Attack::on_stores("record of an unknown version", "API10", ASIDE, |t| {
        values(
            t,
            &[
                br#"{"v":9,"record":{"order_proposed":{}}}"#,
                br#"{"v":65535,"record":{"sale_resumed":{"operation":"x"}}}"#,
                br#"{"v":-1,"record":{}}"#,
                br#"{"v":"1","record":{}}"#,
                br#"{"v":1,"record":{"stock_given_away":{}}}"#,
            ],
        )
    }),
    Attack::on_stores("record too large", "API4", ASIDE, |t| {
        let deep = "[".repeat(50_000);
        values(t, &[&[b'x'; 1_025], &[b'{'; 5_000], deep.as_bytes(), &[b' '; 900_000]])
    }),
    Attack::on_stores(
        "record larger than the broker takes",
        "API4",
        "refused by the broker",
        |t| {
            let scene = Scene::open(t.stores()?, 5)?;
            let huge = genuine(&scene)?.saying(&vec![b'x'; 2_000_000]);
            let said = Writer::new(&scene.stores.as_node()?)?.send(&scene.stores.topic, &huge);
            let refused = said.as_ref().is_err_and(|error| error.contains("too large"));
            let what = said.err().unwrap_or_else(|| "written".to_owned());
            Ok(Got::of(refused, what).and(scene.goes_on()?))
        },
    ),
    Attack::on_stores("record in the wrong partition", "API10", ASIDE, |t| {
        let scene = Scene::open(t.stores()?, 5)?;
        let mut forged = Vec::new();
        for step in 1..PARTITIONS {
            let genuine = genuine(&scene)?;
            let partition = (genuine.partition + step) % PARTITIONS;
            forged.push(Forged { partition, ..genuine });
        }
        Ok(scene.put_aside(&forged)?.and(scene.goes_on()?))
    }),
    Attack::on_stores("key that is no product", "API10", ASIDE, |t| {
        let scene = Scene::open(t.stores()?, 5)?;
        let mut forged = Vec::new();
        let long = "a".repeat(51);
        for key in
            [&b""[..], b"\xff\xfe", b"Phone", b"a b", b"../x", b"a\0", b"{x}", long.as_bytes()]
        {
            forged.push(genuine(&scene)?.about(key));
        }
        Ok(scene.put_aside(&forged)?.and(scene.goes_on()?))
    }),
    Attack::on_stores("tombstone of a product", "API10", ASIDE, |t| {
        let scene = Scene::open(t.stores()?, 5)?;
        let forged = Forged { value: None, ..genuine(&scene)? };
        Ok(scene.put_aside(&[forged])?.and(scene.goes_on()?))
    }),
    Attack::on_stores("headers missing, repeated, added or huge", "API10", ASIDE, |t| {
        let scene = Scene::open(t.stores()?, 5)?;
        let mut forged = Vec::new();
        for change in [
            (|headers| headers.clear()) as fn(&mut Vec<(String, Vec<u8>)>),
            |headers| headers.truncate(1),
            |headers| headers.swap(0, 1),
            |headers| headers.push((VOUCHER_HEADER.to_owned(), b"m1:".to_vec())),
            |headers| headers.extend((0..1_000).map(|n| (format!("h{n}"), vec![0; 100]))),
            |headers| headers[0].0 = NONCE_HEADER.to_uppercase(),
            |headers| headers[0].1.push(0),
            |headers| headers[0].1.clear(),
            |headers| headers[1].1 = vec![b'm'; 300_000],
        ] {
            let mut genuine = genuine(&scene)?;
            change(&mut genuine.headers);
            forged.push(genuine);
        }
        Ok(scene.put_aside(&forged)?.and(scene.goes_on()?))
    }),
    Attack::on_stores(
        "ten thousand messages of garbage",
        "API4",
        "read on; the sale goes on",
        |t| {
            let scene = Scene::open(t.stores()?, 5)?;
            let before = scene.stores.dead_letters()?;
            let garbage = genuine(&scene)?.saying(b"garbage");
            Writer::new(&scene.stores.as_node()?)?.flood(&scene.stores.topic, &garbage, FLOOD)?;
            scene.stores.settled()?;
            let aside = scene.stores.dead_letters()? - before;
            Ok(Got::of(aside == FLOOD as u64, format!("{aside} put aside")).and(scene.goes_on()?))
        },
    ),
];

/// Messages of a flood.
const FLOOD: usize = 10_000;

/// What a node would write: an order by a stranger.
fn genuine(scene: &Scene<'_>) -> anyhow::Result<Forged> {
    let record = Record::OrderProposed(OrderProposed {
        order_id: OrderId::from_random_bytes(random()?),
        buyer: BuyerRef::from_bytes(random()?),
        sealed_user: None,
        at_ms: scene.stores.one.now_ms(),
        generation: scene.generation()?,
    });
    Forged::vouched(&scene.stores.node_keys()?, Author::Node, &scene.product, &record)
}

/// Vouched for by a node that says nonsense: even then each is no record.
fn values(t: &Target, values: &[&[u8]]) -> anyhow::Result<Got> {
    let scene = Scene::open(t.stores()?, 5)?;
    let keys = scene.stores.node_keys()?;
    let mut forged = Vec::new();
    for value in values {
        let mut message = genuine(&scene)?.saying(value);
        forged.push(message.clone());
        let nonce = random()?;
        let mut voucher = Vec::new();
        keys.vouch(Author::Node, &scene.product, &nonce, value, &mut voucher)?;
        message.headers[0].1 = nonce.to_vec();
        message.headers[1].1 = voucher;
        forged.push(message);
    }
    Ok(scene.put_aside(&forged)?.and(scene.goes_on()?))
}
