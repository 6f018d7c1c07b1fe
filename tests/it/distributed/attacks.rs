//! Attacks on the stores by whoever has a node's or a worker's credentials, or is on their network.
//!
//! OWASP API Security Top 10 (2023): API8 (security misconfiguration) and API10 (unsafe consumption of
//! APIs). Each says what was tried and what came of it; nothing may be sold that was not for sale, nothing
//! resumed, and no attempt may be told a false order id.

use std::time::Duration;

use flux_gate::keys::records::{Author, RecordKeys};
use flux_gate::log::kafka::message::{NONCE_HEADER, VOUCHER_HEADER, partition_of};
use flux_gate::sale::{BuyerRef, CapacityTarget, OrderId, OrderProposed, ProductId, Record};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use secrecy::SecretString;

use super::cluster::{Cluster, PARTITIONS, wait_for};
use super::sale::product;
use crate::crash::Attempt;
use crate::crash::books::{call, create};
use crate::crash::crowd::Client;
use crate::support::draft::Draft;
use crate::support::server::{ADMIN_TOKEN, Server};
use crate::support::wire::exchange;

/// How long a forged record has to take effect.
const SPELL: Duration = Duration::from_millis(800);
const TIMEOUT: Duration = Duration::from_secs(15);

/// A node's credentials at Kafka.
fn as_node(cluster: &Cluster) -> ClientConfig {
    cluster.kafka_as("FLUX_GATE__KAFKA__USERNAME", "FLUX_GATE__KAFKA__PASSWORD")
}

struct Forged {
    partition: i32,
    key: String,
    value: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
}

impl Forged {
    /// A record as it should look, vouched for with these bytes.
    fn new(product: &str, record: &Record, voucher: &[u8]) -> Self {
        let id: ProductId = product.parse().expect("a product id");
        Self {
            partition: partition_of(&id, PARTITIONS as u32),
            key: product.to_owned(),
            value: record.encode(),
            headers: vec![
                (NONCE_HEADER.to_owned(), rand::random::<[u8; 16]>().to_vec()),
                (VOUCHER_HEADER.to_owned(), voucher.to_vec()),
            ],
        }
    }

    /// A record that lies in the topic, to be written again.
    fn copy(message: &OwnedMessage) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let headers = headers.map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec()));
        Self {
            partition: message.partition(),
            key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
            value: message.payload().unwrap_or_default().to_vec(),
            headers: headers.collect(),
        }
    }

    /// Writes it to a topic and says what the broker said.
    fn send(&self, client: &ClientConfig, topic: &str) -> Result<(), String> {
        let mut client = client.clone();
        client.set("acks", "all").set("message.timeout.ms", "10000");
        let producer: BaseProducer<Reports> =
            client.create_with_context(Reports::default()).expect("a producer");
        let headers = self.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let record = BaseRecord::to(topic)
            .partition(self.partition)
            .key(&self.key)
            .payload(&self.value)
            .headers(headers);
        producer.send(record).map_err(|(error, _)| error.to_string())?;
        producer.flush(TIMEOUT).map_err(|error| error.to_string())?;
        let said = producer.context().said.lock().expect("no panic with it").clone();
        said.unwrap_or_else(|| Err("no report".to_owned()))
    }
}

/// Takes what the broker said of the last record.
#[derive(Default)]
struct Reports {
    said: std::sync::Mutex<Option<Result<(), String>>>,
}

impl rdkafka::ClientContext for Reports {}

impl rdkafka::producer::ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &rdkafka::producer::DeliveryResult<'_>, (): ()) {
        let said = result.as_ref().map(drop).map_err(|(error, _)| error.to_string());
        *self.said.lock().expect("no panic with it") = Some(said);
    }
}

/// All that lies in the topic.
fn records(cluster: &Cluster, client: &ClientConfig) -> Vec<OwnedMessage> {
    let mut client = client.clone();
    client.set("group.id", "reader").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = client.create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(&cluster.topic, partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&list).expect("it is assigned");
    let (mut found, mut ends) = (Vec::new(), 0);
    while ends < PARTITIONS {
        match consumer.poll(TIMEOUT).expect("Kafka answers") {
            Ok(message) => found.push(message.detach()),
            Err(KafkaError::PartitionEOF(_)) => ends += 1,
            // The library asks for the coordinator of a group that we never join.
            Err(KafkaError::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    found
}

fn shown(node: &Server, product: &str) -> serde_json::Value {
    call(node.operator, "GET", &format!("/admin/products/{product}"), "").json()
}

fn change(node: &Server, product: &str, verb: &str) {
    let draft = Draft::new("POST", &format!("/admin/products/{product}/{verb}"), "")
        .set("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .set("idempotency-key", verb);
    let answer = exchange(node.operator, None, &draft.bytes()).unwrap().expect("an answer");
    assert_eq!(answer.member("status"), "applied", "{}", answer.text());
}

fn order(node: &Server, product: &'static str, user: &str) -> String {
    let mut client = Client::new(node.public).expect("a connection");
    let attempt = Attempt { product, user: user.to_owned(), key: "a".to_owned() };
    client.send(&attempt).expect("an answer").summary()
}

#[test]
fn with_a_nodes_kafka_credentials_no_capacity_is_raised_no_sale_resumed_no_order_forged() {
    let cluster = Cluster::new();
    let worker = cluster.worker("worker-1");
    let (one, two) = (cluster.node("node-1"), cluster.node("node-2"));
    let phone = product("forged");
    create(one.operator, phone, 1, 1, 0);
    wait_for("the node sells", || order(&one, phone, "u-1") == "200 success");
    change(&one, phone, "pause");
    let client = as_node(&cluster);
    let operation = |name: &str| name.parse().expect("an operation id");
    let proposal = |generation| {
        Record::OrderProposed(OrderProposed {
            order_id: OrderId::from_random_bytes(rand::random()),
            buyer: BuyerRef::from_bytes(rand::random()),
            sealed_user: None,
            at_ms: crate::crash::crowd::unix_ms(),
            generation,
        })
    };
    let node_keys = RecordKeys::new(
        &SecretString::from(cluster.stack.get("FLUX_GATE__SECRETS__RECORD_KEYS")),
        None,
        cluster.stack.get("FLUX_GATE__SECRETS__OPERATOR_PUBLIC_KEY"),
    )
    .expect("keys");
    let vouched = |record: &Record, product: &str| {
        let mut forged = Forged::new(product, record, b"");
        let nonce = forged.headers[0].1.clone().try_into().expect("16 bytes");
        let voucher = &mut forged.headers[1].1;
        node_keys.vouch(Author::Node, product, &nonce, &forged.value, voucher).expect("a MAC");
        forged
    };
    let capacity =
        Record::CapacityChanged { to: CapacityTarget::Total(1_000), operation: operation("more") };
    let resume = Record::SaleResumed { operation: operation("go-on") };
    let other_mac = [&b"m1:"[..], &[7; 32]].concat();
    let other_signature = [&b"s"[..], &[7; 64]].concat();
    let mut forgeries = vec![
        ("a capacity without a signature", Forged::new(phone, &capacity, b"")),
        ("a capacity with another's signature", Forged::new(phone, &capacity, &other_signature)),
        ("a capacity with a node's MAC", vouched(&capacity, phone)),
        ("a resume with a node's MAC", vouched(&resume, phone)),
        ("a resume with another's signature", Forged::new(phone, &resume, &other_signature)),
        ("a proposal without the key", Forged::new(phone, &proposal(0), &other_mac)),
        ("a proposal of another product's MAC", {
            Forged { key: phone.to_owned(), ..vouched(&proposal(0), "other") }
        }),
    ];
    for (name, value) in [
        ("nothing", &b""[..]),
        ("garbage", b"\xff\x00{{{"),
        ("a huge record", &[b'x'; 5_000]),
        ("an unknown version", br#"{"v":9,"record":{"order_proposed":{}}}"#),
    ] {
        forgeries.push((name, Forged { value: value.to_vec(), ..vouched(&proposal(0), phone) }));
    }
    let genuine = records(&cluster, &client);
    assert!(genuine.len() >= 3, "opening, proposal and pause lie in the topic");
    for message in &genuine {
        let copy = Forged::copy(message);
        let elsewhere = (copy.partition + 1) % PARTITIONS;
        forgeries.push(("a genuine record again", Forged::copy(message)));
        forgeries.push((
            "a genuine record in the wrong partition",
            Forged { partition: elsewhere, ..copy },
        ));
    }
    for (name, forged) in &forgeries {
        forged.send(&client, &cluster.topic).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    std::thread::sleep(SPELL);
    for node in [&one, &two] {
        let shown = shown(node, phone);
        assert_eq!(
            (&shown["capacity"], &shown["sold"], &shown["paused"]),
            (&1.into(), &1.into(), &true.into()),
            "{shown}"
        );
        assert_eq!(order(node, phone, "u-2"), "403 paused");
    }
    change(&one, phone, "resume");
    wait_for("the node goes on", || order(&two, phone, "u-3") == "409 sold_out");
    // What is no record lies in the topic of such, once for each, and the ledger goes on.
    let undecodable = forgeries.len() - genuine.len();
    wait_for("the worker puts aside what is no record", || {
        let sql = "SELECT coalesce(sum(next_offset), 0) FROM flux_gate.progress";
        let done: usize = cluster.stack.sql(&cluster.database, sql).parse().expect("a number");
        done == genuine.len() + forgeries.len() + 1
    });
    assert_eq!(dead_letters(&cluster), undecodable, "{}", worker.logged());
}

fn dead_letters(cluster: &Cluster) -> usize {
    let consumer: BaseConsumer =
        cluster.kafka_admin().set("group.id", "reader").create().expect("a consumer");
    let count = |partition| {
        let marks = consumer.fetch_watermarks(&cluster.dlq(), partition, TIMEOUT);
        let (low, high) = marks.expect("Kafka answers");
        (high - low) as usize
    };
    (0..PARTITIONS).map(count).sum()
}

#[test]
fn with_a_workers_kafka_credentials_nothing_is_written_to_the_order_topic() {
    let cluster = Cluster::new();
    let client = cluster.kafka_as("STACK_KAFKA_WORKER_USERNAME", "STACK_KAFKA_WORKER_PASSWORD");
    let record = Record::SaleResumed { operation: "go-on".parse().expect("an operation id") };
    let forged = Forged::new("phone", &record, b"m1:");
    // The topic that is shipped: in those of the tests a worker may write, since its own dead letters lie there.
    let said = forged.send(&client, "orders").expect_err("it must be refused");
    assert!(said.to_lowercase().contains("authorization"), "{said}");
    let said = forged.send(&as_node(&cluster), "orders.dlq").expect_err("a node has no DLQ");
    assert!(said.to_lowercase().contains("authorization"), "{said}");
}

#[test]
fn with_a_nodes_redis_credentials_nothing_is_oversold_and_no_command_of_power_runs() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.node("node-1"), cluster.node("node-2"));
    let phone = product("hint");
    create(one.operator, phone, 20, 1, 0);
    wait_for("the other node sells", || order(&two, phone, "u-0") == "200 success");
    let forging = std::thread::spawn({
        let stack = super::stack::Stack::load();
        move || {
            for round in 0..30 {
                let key = |name: &str| format!("product:{{{phone}}}:{name}");
                stack.redis("REDIS_URL", &["SET", &key("stock"), "1000000"]);
                if round % 3 == 0 {
                    stack.redis("REDIS_URL", &["SET", &key("level"), "9007199254740991:1000000"]);
                }
                stack.redis("REDIS_URL", &["SET", &key("pending"), "x"]);
            }
        }
    });
    let mut words = std::collections::BTreeMap::<String, u32>::new();
    for user in 1..200 {
        let node = if user % 2 == 0 { &one } else { &two };
        *words.entry(order(node, phone, &format!("u-{user}"))).or_default() += 1;
    }
    forging.join().expect("the forger ends");
    wait_for("every unit is sold", || {
        let user = rand::random::<u32>();
        order(&one, phone, &format!("u-{user}"));
        shown(&one, phone)["sold"] == 20
    });
    let shown = shown(&two, phone);
    assert_eq!((&shown["sold"], &shown["remaining"]), (&20.into(), &0.into()), "{words:?}");

    for command in [
        &["FLUSHALL"][..],
        &["FLUSHDB"],
        &["DEBUG", "SLEEP", "0"],
        &["CONFIG", "GET", "*"],
        &["EVAL", "return 1", "0"],
        &["KEYS", "*"],
        &["SCRIPT", "FLUSH"],
        &["FUNCTION", "FLUSH"],
        &["ACL", "LIST"],
        &["SET", "other", "1"],
        &["DEL", "product:{x}:stock"],
    ] {
        for user in ["REDIS_URL", "FLUX_GATE__REDIS__LOADER_URL"] {
            let said = cluster.stack.redis(user, command);
            let refused = ["NOPERM", "command not allowed"].iter().any(|word| said.contains(word));
            assert!(refused, "{user} {command:?}: {said}");
        }
    }
}

#[test]
fn plain_text_connections_are_refused() {
    use std::io::{Read, Write};
    let cluster = Cluster::new();
    let port = |url: &str| {
        let (_, after) = url.rsplit_once('@').unwrap_or(("", url));
        after.split(['/', '?', ',']).next().expect("an address").to_owned()
    };
    // Redis: a plain PING is not answered.
    let redis = port(cluster.stack.get("REDIS_URL"));
    let mut plain = std::net::TcpStream::connect(&redis).expect("it listens");
    plain.set_read_timeout(Some(Duration::from_secs(3))).expect("a timeout");
    plain.write_all(b"PING\r\n").expect("it is sent");
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"+PONG"), "{}", String::from_utf8_lossy(&said));
    // Kafka: without TLS or without a password there is no answer.
    for protocol in ["PLAINTEXT", "SASL_PLAINTEXT", "SSL"] {
        let mut client = as_node(&cluster);
        client.set("security.protocol", protocol).set("group.id", "reader");
        let consumer: BaseConsumer = client.create().expect("a consumer");
        let said = consumer.fetch_metadata(Some(&cluster.topic), Duration::from_secs(3));
        assert!(said.is_err(), "{protocol}");
    }
    // PostgreSQL: hostssl alone.
    let url = cluster.stack.get("DATABASE_URL").replace("sslmode=verify-full", "sslmode=disable");
    let mut psql = std::process::Command::new("psql");
    let output = psql.args(["-Atqc", "SELECT 1", &url]).output().expect("psql can be run");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no encryption") || said.contains("pg_hba.conf"), "{said}");
}

#[test]
fn with_a_nodes_database_credentials_nothing_is_written_and_no_user_id_read() {
    let cluster = Cluster::new();
    let as_role = |role: &str, sql: &str| {
        let url = super::stack::with_database(cluster.stack.get(role), &cluster.database);
        let mut psql = std::process::Command::new("psql");
        // The roles' transactions read alone unless asked otherwise: an intruder asks.
        let sql = format!("BEGIN READ WRITE; {sql}; COMMIT");
        psql.args(["-v", "ON_ERROR_STOP=1", "-Atqc", &sql, &url]);
        psql.env("PGSSLROOTCERT", cluster.stack.get("FLUX_GATE__POSTGRES__CA_FILE"));
        let output = psql.output().expect("psql can be run");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    };
    for (role, sql) in [
        ("DATABASE_URL", "DELETE FROM flux_gate.orders"),
        ("DATABASE_URL", "UPDATE flux_gate.progress SET next_offset = 0"),
        ("DATABASE_URL", "SELECT * FROM flux_gate.subjects"),
        ("DATABASE_URL", "CREATE TABLE flux_gate.mine (a int)"),
        ("DATABASE_URL", "CREATE TABLE public.mine (a int)"),
        ("STACK_DATABASE_WORKER_URL", "DROP TABLE flux_gate.orders"),
        ("STACK_DATABASE_WORKER_URL", "CREATE TABLE public.mine (a int)"),
        ("STACK_DATABASE_AUDITOR_URL", "SELECT * FROM flux_gate.subjects"),
        ("STACK_DATABASE_AUDITOR_URL", "DELETE FROM flux_gate.orders"),
        ("STACK_DATABASE_FULFILMENT_URL", "DELETE FROM flux_gate.subjects"),
    ] {
        let (done, said) = as_role(role, sql);
        assert!(!done, "{role}: {sql}");
        assert!(said.contains("permission denied") || said.contains("must be owner"), "{said}");
    }
    for (role, sql) in [
        ("DATABASE_URL", "SELECT count(*) FROM flux_gate.orders"),
        ("STACK_DATABASE_AUDITOR_URL", "SELECT count(*) FROM flux_gate.orders"),
        ("STACK_DATABASE_FULFILMENT_URL", "SELECT count(*) FROM flux_gate.subjects"),
    ] {
        let (done, said) = as_role(role, sql);
        assert!(done, "{role}: {sql}: {said}");
    }
}
