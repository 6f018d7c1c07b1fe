//! Many requests at once.

use std::collections::BTreeMap;

use anyhow::Context;

use super::{Attack, Draft, Got, Target};
use crate::attack::support::wire::{Answer, Connection};

/// Requests at once.
const AT_ONCE: usize = 1_000;
/// Threads that send them.
const THREADS: usize = 16;

pub const ATTACKS: &[Attack] = &[
    Attack::new("1,000 identical orders at once", "API6", "one order", identical),
    Attack::on_ours("1,000 identical orders at once, no limits", "API6", "one order", |t| {
        identical(&t.ours()?.open)
    }),
    Attack::new("1,000 keys of one buyer at once", "OAT-005", "one order", fresh_keys),
    Attack::on_ours("1,000 keys of one buyer at once, no limits", "OAT-005", "one order", |t| {
        fresh_keys(&t.ours()?.open)
    }),
    Attack::on_ours("two sessions of one buyer race", "OAT-005", "one order", |t| {
        let open = &t.ours()?.open;
        let product = open.sale(1_000)?;
        let user = open.unique("u");
        let sessions = [open.session_of(&user)?, open.session_of(&user)?];
        let drafts = (0..200).map(|n| open.order(&product, &sessions[n % 2])).collect();
        let answers = at_once(open, drafts)?;
        Ok(one_order(&answers).and(open.must_have_sold(&product, 1)?))
    }),
    Attack::on_ours("1,000 buyers for 10 units at once", "OAT-013", "10 orders", |t| {
        let open = &t.ours()?.open;
        let product = open.sale(10)?;
        let drafts = (0..AT_ONCE)
            .map(|_| {
                let draft = Draft::order(&product, &open.unique("u"), &open.unique("k"));
                draft.sign(&open.client, open.now_ms())
            })
            .collect();
        let answers = at_once(open, drafts)?;
        let accepted = answers.iter().filter(|answer| answer.word() == "success").count();
        let got = Got::of(accepted == 10, words(&answers));
        Ok(got.and(open.must_have_sold(&product, 10)?))
    }),
    Attack::on_ours("an order races its own cancelling", "API6", "sold as it is answered", |t| {
        let open = &t.ours()?.open;
        let product = open.sale(1)?;
        let (order_id, _, draft) = open.accepted(&product)?;
        let cancel =
            Draft::new("POST", &format!("/orders/{order_id}/cancel"), r#"{"restock":true}"#);
        let cancel = cancel.sign(&crate::attack::client::own_client(1), open.now_ms());
        let drafts = (0..100).flat_map(|_| [draft.clone(), cancel.clone()]).collect();
        let answers = at_once(open, drafts)?;
        let reversed = answers.iter().filter(|answer| answer.word() == "reversed").count();
        let again = answers.iter().filter(|answer| answer.word() == "success").count();
        let got = Got::of(reversed == 1 && again == 0, words(&answers));
        Ok(got.and(open.must_have_sold(&product, 0)?))
    }),
    Attack::on_ours(
        "200 buyers who hang up at once, and ask again",
        "API6",
        "one order each",
        |t| {
            let open = &t.ours()?.open;
            let product = open.sale(1_000)?;
            let drafts: Vec<Draft> = (0..200)
                .map(|_| {
                    let draft = Draft::order(&product, &open.unique("u"), &open.unique("k"));
                    draft.sign(&open.client, open.now_ms())
                })
                .collect();
            let mut last = None;
            for draft in &drafts {
                let mut connection = Connection::open(open.public, open.address())?;
                connection.write_what_it_takes(&draft.bytes());
                // Hangs up one request later, so that some are under way by then.
                last = Some(connection);
            }
            drop(last);
            let answers = at_once(open, drafts)?;
            let settled = answers
                .iter()
                .filter(|a| matches!(a.word().as_str(), "success" | "ignored"))
                .count();
            let got = Got::of(settled == 200, words(&answers));
            Ok(got.and(open.must_have_sold(&product, 200)?))
        },
    ),
    Attack::on_ours("100 restocks under one key at once", "API6", "applied once", |t| {
        let open = &t.ours()?.open;
        let product = open.sale(5)?;
        open.accepted(&product)?;
        let key = open.unique("op");
        let draft =
            Draft::new("POST", "/init", format!(r#"{{"productId":"{product}","quantity":7}}"#))
                .set("authorization", format!("Bearer {}", open.admin_token))
                .set("idempotency-key", key);
        let answers = std::thread::scope(|scope| {
            let calls: Vec<_> =
                (0..100).map(|_| scope.spawn(|| open.to_operator(&draft))).collect();
            calls.into_iter().map(|call| call.join().expect("no panic")).collect::<Vec<_>>()
        });
        let ok = answers.iter().filter(|answer| matches!(answer, Ok(a) if a.status == 200)).count();
        let shown = open.admin("GET", &format!("/admin/products/{product}"), "")?.json();
        let (capacity, sold) = (shown["capacity"].as_u64(), shown["sold"].as_u64());
        let right = capacity == Some(8) && sold == Some(1);
        Ok(Got::of(right && ok == 100, format!("{ok} answered 200; capacity {capacity:?}")))
    }),
];

fn identical(target: &Target) -> anyhow::Result<Got> {
    let product = target.sale(1_000)?;
    let shopper = target.shopper()?;
    let draft = target.order(&product, &shopper);
    let answers = at_once(target, vec![draft; AT_ONCE])?;
    Ok(one_order(&answers).and(target.must_have_sold(&product, 1)?))
}

fn fresh_keys(target: &Target) -> anyhow::Result<Got> {
    let product = target.sale(1_000)?;
    let shopper = target.shopper()?;
    let drafts = (0..AT_ONCE).map(|_| target.order(&product, &shopper)).collect();
    let answers = at_once(target, drafts)?;
    Ok(one_order(&answers).and(target.must_have_sold(&product, 1)?))
}

/// Exactly one was accepted, and every answer that names an order names that one.
fn one_order(answers: &[Answer]) -> Got {
    let accepted = answers.iter().filter(|answer| answer.word() == "success").count();
    let mut named: Vec<String> = answers
        .iter()
        .filter(|answer| matches!(answer.word().as_str(), "success" | "ignored"))
        .map(|answer| answer.member("orderId"))
        .collect();
    named.sort_unstable();
    named.dedup();
    Got::of(accepted == 1 && named.len() == 1, words(answers))
}

/// How often each answer was given.
fn words(answers: &[Answer]) -> String {
    let mut counts = BTreeMap::<String, usize>::new();
    for answer in answers {
        *counts.entry(answer.word()).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(word, n)| format!("{n} {word}")).collect();
    counts.join(", ")
}

/// Each on a connection of its own; all connections stand before the first request is sent.
fn at_once(target: &Target, drafts: Vec<Draft>) -> anyhow::Result<Vec<Answer>> {
    let barrier = std::sync::Barrier::new(THREADS);
    let shares: Vec<Vec<&Draft>> =
        (0..THREADS).map(|thread| drafts.iter().skip(thread).step_by(THREADS).collect()).collect();
    let answers = std::thread::scope(|scope| {
        let threads: Vec<_> = shares
            .iter()
            .map(|share| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let connections: Result<Vec<_>, _> = share
                        .iter()
                        .map(|_| Connection::open(target.public, target.address()))
                        .collect();
                    barrier.wait();
                    let mut connections = connections.context("cannot connect")?;
                    for (connection, draft) in connections.iter_mut().zip(share) {
                        connection.write_what_it_takes(&draft.bytes());
                    }
                    let read = |connection: &mut Connection| {
                        connection.read()?.context("closed without an answer")
                    };
                    connections.iter_mut().map(read).collect::<anyhow::Result<Vec<_>>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    Ok(answers.into_iter().flatten().collect())
}
