//! One trace from the request on a node, across Kafka, to the worker that writes the order into the ledger.

use rdkafka::message::{Headers, Message, OwnedMessage};

use super::cluster::{Cluster, wait_for};
use super::sale::product;
use crate::crash::books::create;
use crate::crash::crowd::unix_ms;
use crate::crash::signer;
use crate::support::draft::Draft;
use crate::support::wire::exchange;
use crate::traces::collector::{Collector, Manner, attribute, one};
use crate::traces::{TRACE, check, parent};

fn order(product: &str, user: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let draft = Draft::order(product, user, "key-1").sign(&signer(), unix_ms());
    more.iter().fold(draft, |draft, (name, value)| draft.set(name, value)).bytes()
}

/// The headers' names of each record of the order log.
fn headers_of_records(cluster: &Cluster) -> Vec<Vec<String>> {
    let names = |message: &OwnedMessage| {
        let headers = message.headers().expect("headers");
        headers.iter().map(|header| header.key.to_owned()).collect()
    };
    cluster.read_all(&[&cluster.topic]).iter().map(names).collect()
}

#[test]
fn the_workers_span_is_of_the_requests_trace() {
    let collector = Collector::start(Manner::Takes);
    let cluster = Cluster::new();
    let traces = collector.config("sampler = \"parentbased_always_off\"");
    let node = cluster.node_with("node-1", &traces);
    let other = cluster.node("node-2");
    let _worker = cluster.worker_with("worker-1", &traces);
    let phone = product("traced");
    create(node.operator, phone, 10, 1, 0);
    let send = |to, bytes: &[u8]| exchange(to, None, bytes).unwrap().expect("an answer");
    let accepted = send(node.public, &order(phone, "alice", &[("traceparent", &parent())]));
    assert_eq!(accepted.summary(), "200 success", "{}", accepted.text());
    assert_eq!(send(node.public, &order(phone, "bob", &[])).summary(), "200 success");

    let spans = collector.wait_for(TRACE, |spans| spans.iter().any(|span| span.name == "ledger"));
    check(&spans);
    let (root, log, ledger) =
        (one(&spans, "POST /order"), one(&spans, "log"), one(&spans, "ledger"));
    assert_eq!(log.parent_span_id, root.span_id);
    assert_eq!(ledger.parent_span_id, log.span_id, "the worker's span follows from the record");
    assert_eq!(
        (&ledger.links[0].trace_id, &ledger.links[0].span_id),
        (&log.trace_id, &log.span_id)
    );
    assert_eq!((log.kind, ledger.kind), (4, 5), "a producer and a consumer");
    for (key, value) in [
        ("flux_gate.order_id", accepted.member("orderId").as_str()),
        ("flux_gate.product", phone),
        ("flux_gate.outcome", "confirmed"),
        ("flux_gate.offset", &attribute(log, "flux_gate.offset")),
    ] {
        assert_eq!(attribute(ledger, key), value, "{key}");
    }
    let role = |name: &str| {
        let all = collector.spans();
        let (_, process) = all.iter().find(|(span, _)| span.name == name).expect("the span");
        let role = process.iter().find(|attribute| attribute.key == "flux_gate.role").cloned();
        format!("{:?}", role.and_then(|role| role.value))
    };
    assert!(role("POST /order").contains("node") && role("ledger").contains("worker"));

    // The hint is in the record of the sampled attempt alone, and who has no collector reads it as well.
    let mut headers = headers_of_records(&cluster);
    headers.sort();
    assert_eq!(headers.len(), 3, "{headers:?}");
    assert_eq!(headers[2], ["fg-n", "fg-a", "traceparent"]);
    assert!(headers[..2].iter().all(|headers| *headers == ["fg-n", "fg-a"]), "{headers:?}");
    wait_for("the other node knows both orders", || {
        ["alice", "bob"]
            .iter()
            .all(|user| send(other.public, &order(phone, user, &[])).member("reason") == "same_key")
    });
    assert_eq!(collector.spans().len(), spans.len(), "nothing of the unsampled ones");
}
