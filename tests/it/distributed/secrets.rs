//! Rule 7 on many nodes, by search: what a node and a worker say and count, what they send to the collector,
//! and what is written to Kafka, Redis and PostgreSQL.

use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::message::{Headers, Message};

use super::cluster::{Cluster, wait_for};
use super::stack::{succeed, with_database};
use super::worker::Worker;
use crate::crash::CLIENT_SECRET;
use crate::crash::books::call;
use crate::secrets::marks::Place;
use crate::secrets::scene::Scene;
use crate::secrets::setting::{self, SHOP_SECRET};
use crate::secrets::{COLLECTORS_TOKEN, Quiet, address, check_collector, traces};
use crate::traces::collector::{Collector, Manner};

/// A node's configuration with what the scene needs.
fn config(cluster: &Cluster, collector: &Collector) -> String {
    let mut config = cluster.node_config("");
    for (from, to) in [
        (CLIENT_SECRET.to_owned(), SHOP_SECRET.to_owned()),
        ("[admin]\n".to_owned(), format!("[admin]\n{}\n", setting::operators())),
        ("ip_per_second = 0\n".to_owned(), setting::LIMITS.to_owned()),
        ("min_interval_ms = 0\n".to_owned(), String::new()),
    ] {
        assert!(config.contains(&from), "{from}");
        config = config.replacen(&from, &to, 1);
    }
    // The shop that places orders is not the one that fulfils them.
    config = config.replace(r#"roles = ["order", "session", "fulfilment"]"#, "");
    config + &setting::config() + &setting::warehouse_client() + &collector.config(&traces())
}

/// Everything in these topics: keys, values, headers.
pub(super) fn records(cluster: &Cluster) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in cluster.read_all(&[&cluster.topic, &cluster.dlq()]) {
        bytes.extend_from_slice(message.key().unwrap_or_default());
        bytes.extend_from_slice(message.payload().unwrap_or_default());
        for header in message.headers().expect("headers").iter() {
            bytes.extend_from_slice(header.key.as_bytes());
            bytes.extend_from_slice(header.value.unwrap_or_default());
            bytes.push(b'\n');
        }
    }
    bytes
}

/// All keys and values of Redis.
pub(super) fn redis(cluster: &Cluster) -> Vec<u8> {
    let script = "local all = '' for _, key in ipairs(redis.call('KEYS', '*')) do \
                  local kind = redis.call('TYPE', key).ok \
                  if kind == 'string' then all = all .. key .. '=' .. redis.call('GET', key) .. '\\n' \
                  elseif kind == 'zset' then all = all .. key .. '=' .. \
                  table.concat(redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'), ' ') .. '\\n' \
                  elseif kind == 'hash' then all = all .. key .. '=' .. \
                  table.concat(redis.call('HGETALL', key), ' ') .. '\\n' \
                  else all = all .. key .. ' is a ' .. kind .. '\\n' end end return all";
    let all = cluster.stack.redis("STACK_REDIS_ADMIN_URL", &["EVAL", script, "0"]);
    assert!(!all.contains(" is a "), "a kind that is not looked into: {all}");
    all.into_bytes()
}

/// All tables.
pub(super) fn tables(cluster: &Cluster) -> Vec<u8> {
    let url = with_database(cluster.stack.get("STACK_DATABASE_SUPERUSER_URL"), &cluster.database);
    let mut command = Command::new("pg_dump");
    command.arg(url).env("PGSSLROOTCERT", cluster.stack.get("FLUX_GATE__POSTGRES__CA_FILE"));
    succeed(&mut command).stdout
}

#[test]
fn rule_7_nothing_secret_comes_out_of_nodes_and_workers() {
    let collector = Collector::start(Manner::Takes);
    let cluster = Cluster::new();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let out = dir.path().join("node.out");
    let mut node = cluster.command_of_node("node-1", &config(&cluster, &collector));
    node.env("RUST_LOG", "trace,tokio_postgres=trace").stdin(Stdio::null());
    let node = Quiet::start(node, &out);
    let worker_config = cluster.worker_config() + &collector.config(&traces());
    let file = cluster.write_config("worker-1", &worker_config);
    let mut command = cluster.command("worker", &file);
    command.env("RUST_LOG", "trace,tokio_postgres=trace");
    let worker = Worker::start(command, dir.path().join("worker.out"));

    let mut marks = setting::marks();
    marks.secret("the collector's token", COLLECTORS_TOKEN);
    for (what, variable) in [
        ("the record keys", "FLUX_GATE__SECRETS__RECORD_KEYS"),
        ("the operators' key", "FLUX_GATE__SECRETS__OPERATOR_KEY"),
        ("the keys that open user ids", "FLUX_GATE__SECRETS__SEAL_PRIVATE_KEYS"),
        ("Kafka's password", "FLUX_GATE__KAFKA__PASSWORD"),
        ("the workers' password of Kafka", "STACK_KAFKA_WORKER_PASSWORD"),
    ] {
        let value = cluster.stack.get(variable);
        marks.secret(what, value.rsplit(':').next().unwrap_or(value));
    }
    for variable in [
        "REDIS_URL",
        "FLUX_GATE__REDIS__LOADER_URL",
        "DATABASE_URL",
        "STACK_DATABASE_WORKER_URL",
        "STACK_DATABASE_FULFILMENT_URL",
    ] {
        let url = cluster.stack.get(variable);
        let user = url.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
        let password = user.and_then(|(user, _)| user.split_once(':')).expect("a password").1;
        marks.secret("a password of a store", password);
    }
    let name = format!("{:08x}", rand::random::<u32>());
    Scene::new(node.public, node.operator, &mut marks, &name).play();
    let written = cluster.records_written();
    wait_for("the ledger has all records", || {
        let sql = "SELECT coalesce(sum(next_offset), 0) FROM flux_gate.progress";
        cluster.stack.sql(&cluster.database, sql).parse::<usize>().is_ok_and(|end| end >= written)
    });

    let metrics = call(node.operator, "GET", "/metrics", "");
    marks.check(Place::Metrics, "the node's /metrics", &metrics.body);
    let status = address(&worker.logged(), "status_address").expect("the worker's listener");
    let metrics = call(status, "GET", "/metrics", "");
    assert_eq!(metrics.status, 200);
    let undocumented = crate::documents::undocumented_metrics(&metrics.text());
    assert!(undocumented.is_empty(), "not in docs/METRICS.md: {undocumented:?}");
    marks.check(Place::Metrics, "the worker's /metrics", &metrics.body);

    marks.check(Place::Kafka, "the topics", &records(&cluster));
    marks.check(Place::Redis, "all keys", &redis(&cluster));
    let dump = tables(&cluster);
    marks.check(Place::Ledger, "all tables", &dump);
    let buyer = marks.0.iter().find(|mark| mark.what == "a buyer").expect("a buyer");
    assert!(String::from_utf8_lossy(&dump).contains(&buyer.text), "the search sees the tables");

    for worker in [false, true] {
        for arguments in [&["doctor"][..], &["config", "print"], &["config", "check"]] {
            let arguments = match (worker, arguments) {
                (true, ["doctor"]) => &["doctor", "--worker"],
                (_, arguments) => arguments,
            };
            let (_, said) = cluster.says(arguments, worker);
            marks.check(Place::Command, &arguments.join(" "), said.as_bytes());
        }
    }
    wait_for("the worker's spans are there", || {
        collector.spans().iter().any(|(span, _)| span.name == "ledger")
    });
    std::thread::sleep(Duration::from_secs(2));
    check_collector(&marks, &collector);
    let said = [node.stop(), worker.logged().into_bytes()];
    for said in &said {
        let text = String::from_utf8_lossy(said);
        assert!(text.contains("\"TRACE\"") || text.contains("\"DEBUG\""), "{text}");
        marks.check(Place::Log, "node or worker", said);
    }
}
