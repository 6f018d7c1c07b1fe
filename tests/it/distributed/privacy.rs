//! A person who is erased on many nodes: nothing of the id is in a store, and no key that is left opens a sealed
//! copy of it.

use std::path::Path;
use std::sync::LazyLock;

use flux_gate::keys::seal::{Opener, kept};
use flux_gate::sale::Record;
use serde_json::Value;

use super::cluster::{Cluster, wait_for};
use super::sale::product;
use super::secrets::{records, redis, tables};
use super::stack::succeed;
use crate::crash::books::{call, create};
use crate::crash::crowd::unix_ms;
use crate::crash::signer;
use crate::secrets::marks::{Marks, Place};
use crate::support::draft::Draft;
use crate::support::server::{ADMIN_TOKEN, Server};
use crate::support::wire::{Answer, exchange};

/// Another one in each run: the services' files outlive it.
static PERSON: LazyLock<String> =
    LazyLock::new(|| format!("mark-person-on-many-{:08x}", rand::random::<u32>()));

/// A configuration with these keys in place of the stack's.
fn with_keys(cluster: &Cluster, config: &str, public: &str, dir: Option<&Path>) -> String {
    let get = |name: &str| cluster.stack.get(name).to_owned();
    let old_public = get("FLUX_GATE__SECRETS__SEAL_PUBLIC_KEY");
    let old_private = get("FLUX_GATE__SECRETS__SEAL_PRIVATE_KEYS");
    let config = config.replace(&old_public, public);
    let config = config.replace(&format!("seal_private_keys = \"{old_private}\"\n"), "");
    assert!(!config.contains(&old_private), "the worker has no other key");
    let dir = dir.map_or_else(String::new, |dir| {
        format!(
            "\n[privacy]\nseal_key_days = 0\nretention_minutes = 1\nseal_keys_dir = \"{}\"\n",
            dir.display()
        )
    });
    config + &dir
}

fn order(node: &Server, product: &str, user: &str) {
    let draft = Draft::order(product, user, "key-1").sign(&signer(), unix_ms());
    let answer = exchange(node.public, None, &draft.bytes()).unwrap().expect("an answer");
    assert_eq!(answer.summary(), "200 success", "{}", answer.text());
}

fn privacy(node: &Server, what: &str, more: &str) -> Answer {
    let body = format!(r#"{{"userId":"{}"{more}}}"#, *PERSON);
    let draft = Draft::new("POST", &format!("/admin/privacy/{what}"), body)
        .set("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .set("idempotency-key", "erase-1");
    exchange(node.operator, None, &draft.bytes()).unwrap().expect("an answer")
}

fn status(node: &Server) -> Value {
    privacy(node, "status", "").json()
}

fn subjects(cluster: &Cluster) -> String {
    cluster.stack.sql(&cluster.database, "SELECT count(*) FROM flux_gate.subjects")
}

/// How many of the sealed ids in the topic open with the keys of a directory.
fn opened(topic: &[u8], keys: &Path) -> (usize, usize) {
    let opener = Opener::with_kept(None, Some(keys)).expect("keys are left");
    let text = String::from_utf8_lossy(topic);
    let (mut sealed, mut opened) = (0, 0);
    for piece in text.split("{\"v\":").skip(1) {
        let whole = format!("{{\"v\":{piece}");
        let mut stream = serde_json::Deserializer::from_str(&whole).into_iter::<Value>();
        let Some(Ok(value)) = stream.next() else { continue };
        let bytes = value.to_string();
        let Ok(Record::OrderProposed(proposal)) = Record::decode(bytes.as_bytes()) else {
            continue;
        };
        let Some(text) = &proposal.sealed_user else { continue };
        sealed += 1;
        // Sealed to its product, too: each is tried with all of this test.
        let products = PRODUCTS.lock().unwrap().clone();
        let opens = |product: &String| {
            opener.open(text, &product.parse().unwrap(), &proposal.order_id).is_ok()
        };
        opened += usize::from(products.iter().any(opens));
    }
    (sealed, opened)
}

static PRODUCTS: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());

fn files_hold(dir: &Path, found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            files_hold(&path, found);
        } else if let Ok(bytes) = std::fs::read(&path)
            // Kafka's indexes are tens of megabytes each: the standard library's own search is a fast one.
            && String::from_utf8_lossy(&bytes).contains(PERSON.as_str())
        {
            found.push(path.display().to_string());
        }
    }
}

#[test]
fn a_person_who_is_erased_is_in_no_store_and_no_key_that_is_left_opens_the_id() {
    let cluster = Cluster::new();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let keys = dir.path().join("keys");
    kept::write(&keys, "a", 0, &[7; 32]).expect("a key");
    let before = kept::public_list(&keys).expect("a list");

    let node_config = |public: &str| with_keys(&cluster, &cluster.node_config(""), public, None);
    let worker_config =
        |public: &str| with_keys(&cluster, &cluster.worker_config(), public, Some(&keys));
    let start_node = |name: &str, public: &str| {
        let mut command = cluster.command_of_node(name, &node_config(public));
        command.env("RUST_LOG", "debug");
        Server::start_by(command).expect("it starts")
    };
    let node = start_node("node-1", &before);
    let worker = cluster.start_worker("worker-1", &worker_config(&before));
    let shoe = product("forget");
    PRODUCTS.lock().unwrap().push(shoe.to_owned());
    create(node.operator, shoe, 10, 1, 60);
    order(&node, shoe, &PERSON);
    order(&node, shoe, "somebody-else");
    wait_for("the ledger has both", || subjects(&cluster) == "2");
    assert_eq!(status(&node)["status"], "kept");
    let dump = tables(&cluster);
    assert!(String::from_utf8_lossy(&dump).contains(PERSON.as_str()), "the search sees the tables");
    assert_eq!(opened(&records(&cluster), &keys), (2, 2), "before, both open");

    let erased = privacy(&node, "erase", r#","reason":"asked for it""#);
    assert_eq!(erased.summary(), "200 erased", "{}", erased.text());
    let now = status(&node);
    assert_eq!(now["status"], "erased_in_ledger", "{now}");
    assert!(now["sealed"]["openableUntil"].is_null(), "no key follows: {now}");
    assert_eq!(now["sealed"]["keys"], serde_json::json!(["a"]));
    assert_eq!(subjects(&cluster), "1");
    assert!(keys.join("a@0.key").exists(), "a worker whose list has no end destroys nothing");

    // A second key, whose period begins now: the nodes and the worker learn of it.
    let from_ms = (unix_ms() / 1_000 + 1) * 1_000;
    kept::write(&keys, "b", from_ms, &[8; 32]).expect("a key");
    let after = kept::public_list(&keys).expect("a list");
    let node_said = node.stop().expect("it stops").1;
    let node = start_node("node-2", &after);
    let worker_said = worker.logged();
    worker.kill();
    let worker = cluster.start_worker("worker-2", &worker_config(&after));
    // A node's estimate of log time is on the careful side, by less than the ten seconds that make a record stale.
    wait_for("the period begins", || unix_ms() > from_ms + 12_000);
    order(&node, shoe, "somebody-new");
    // Two minutes after its period: until then a record of it might still come.
    assert!(keys.join("a@0.key").exists());
    wait_for("the key is destroyed", || !keys.join("a@0.key").exists());
    wait_for("the ledger has the new one", || subjects(&cluster) == "2");
    wait_for("it is noted", || status(&node)["sealed"]["keys"] == serde_json::json!([]));
    assert_eq!(status(&node)["status"], "erased_in_ledger", "the files are left");
    assert_eq!(opened(&records(&cluster), &keys), (3, 1), "only what was sealed since");

    // As the owner of the ledger.
    let owner = cluster.config_of_owner();
    let file = cluster.write_config("owner", &owner);
    let mut vacuum = cluster.command("privacy", &file);
    let said = succeed(vacuum.arg("vacuum"));
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("rewritten") && !said.contains("may not switch"), "{said}");
    assert_eq!(status(&node)["status"], "erased_everywhere");

    let mut marks = Marks::default();
    marks.secret("the person", PERSON.as_str());
    marks.check(Place::Kafka, "the topics", &records(&cluster));
    marks.check(Place::Redis, "all keys", &redis(&cluster));
    marks.check(Place::Ledger, "all tables", &tables(&cluster));
    let data =
        cluster.stack.sql_as("STACK_DATABASE_SUPERUSER_URL", "flux_gate", "SHOW data_directory");
    let stack_home = Path::new(&data).ancestors().nth(2).expect("the stack's directory");
    let mut found = Vec::new();
    // Data files and write-ahead log of PostgreSQL, segments of Kafka, files of Redis, all their logs.
    files_hold(stack_home, &mut found);
    assert!(found.is_empty(), "{found:?}");
    // The nodes' audit trails, the configurations, the keys.
    files_hold(cluster.path(), &mut found);
    files_hold(dir.path(), &mut found);
    assert!(found.is_empty(), "{found:?}");
    let said = [node_said, node.stop().expect("it stops").1, worker_said, worker.logged()];
    assert!(said.iter().all(|text| !text.contains(PERSON.as_str()) && !text.is_empty()));
    // Counts stand.
    let node = start_node("node-3", &after);
    let shown = call(node.operator, "GET", &format!("/admin/products/{shoe}"), "").json();
    assert_eq!(shown["sold"], 3);
    assert_eq!(status(&node)["persons"][0]["orders"], 1);
}
