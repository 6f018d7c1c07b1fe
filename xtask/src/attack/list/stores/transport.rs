//! On the network between the program and its stores: no encryption, another's certificate, a genuine one that is
//! shown by somebody else. What the stores refuse, and what the program refuses of them.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::{Attack, Got, Stores};
use crate::attack::stores::config::{self, Who};
use crate::attack::stores::scene::ELSEWHERE;
use crate::attack::stores::{READER_GROUP, wait_for};
use crate::bench::distributed::stack::with_database;

const SILENCE: Duration = Duration::from_secs(3);
const NO_STORE: &str = "the program does not speak to it";

pub const ATTACKS: &[Attack] = &[
    Attack::on_stores("Redis without TLS", "API8", "no answer", |t| {
        let stores = t.stores()?;
        ensure!(stores.redis("REDIS_URL", &["PING"])?.is_ok(), "the control: no answer with TLS");
        let url = stores.stack.get("REDIS_URL")?;
        let mut plain = TcpStream::connect(server(url)?)?;
        plain.set_read_timeout(Some(SILENCE))?;
        plain.write_all(b"PING\r\n")?;
        let mut said = Vec::new();
        // A reset is a refusal too.
        let _ = plain.read_to_end(&mut said);
        let answered = said.starts_with(b"+") || said.starts_with(b"-");
        Ok(Got::of(!answered, if answered { "answered" } else { "no answer" }))
    }),
    Attack::on_stores("Kafka without TLS or without a password", "API8", "no answer", |t| {
        let stores = t.stores()?;
        let ask = |protocol: &str| -> anyhow::Result<bool> {
            let mut client = stores.as_node()?;
            client.set("security.protocol", protocol).set("group.id", READER_GROUP);
            let consumer: BaseConsumer = client.create()?;
            Ok(consumer.fetch_metadata(Some(&stores.topic), SILENCE).is_ok())
        };
        ensure!(ask("SASL_SSL")?, "the control: no answer with TLS and a password");
        let mut all = Vec::new();
        for protocol in ["PLAINTEXT", "SASL_PLAINTEXT", "SSL"] {
            let answered = ask(protocol)?;
            all.push(Got::of(!answered, if answered { protocol } else { "no answer" }));
        }
        Ok(Got::all(all))
    }),
    Attack::on_stores("Kafka with a wrong password", "API2", "no answer", |t| {
        let stores = t.stores()?;
        let mut all = Vec::new();
        for (user, password) in [("ingestion-api", "wrong"), ("admin", "admin"), ("root", "root")] {
            let mut client = stores.as_node()?;
            client.set("sasl.username", user).set("sasl.password", password);
            let consumer: BaseConsumer = client.set("group.id", READER_GROUP).create()?;
            let answered = consumer.fetch_metadata(None, SILENCE).is_ok();
            all.push(Got::of(!answered, if answered { user } else { "no answer" }));
        }
        Ok(Got::all(all))
    }),
    Attack::on_stores("PostgreSQL without TLS", "API8", "no entry in pg_hba.conf", |t| {
        let stores = t.stores()?;
        let mut all = Vec::new();
        for role in ["DATABASE_URL", "STACK_DATABASE_WORKER_URL", "STACK_DATABASE_OWNER_URL"] {
            let url = stores.stack.get(role)?;
            let (with_tls, said) = stores.sql_at(url, "SELECT 1")?;
            ensure!(with_tls, "the control: {said}");
            let plain = url.replace("sslmode=verify-full", "sslmode=disable");
            let (done, said) = stores.sql_at(&plain, "SELECT 1")?;
            let refused = !done && (said.contains("no encryption") || said.contains("pg_hba.conf"));
            all.push(Got::of(refused, if refused { "no encryption refused" } else { &said }));
        }
        Ok(Got::all(all))
    }),
    Attack::on_stores("program set up without encryption", "API8", "a start-up error", |t| {
        let stores = t.stores()?;
        let good = stores.config(Who::Node)?;
        let (well, said) = stores.says(&["config", "check"], &good)?;
        ensure!(well, "the control: {said}");
        let replaced = |from: &str, to: &str| good.replacen(from, to, 1);
        let mut all = Vec::new();
        for (key, config) in [
            ("redis.url", replaced("rediss://", "redis://")),
            ("postgres.url", replaced("sslmode=verify-full", "sslmode=prefer")),
            ("postgres.url", replaced("sslmode=verify-full", "sslmode=require")),
            ("kafka.username", config::with(&good, "kafka", "username", "")?),
        ] {
            let (well, said) = stores.says(&["serve", "--listen", "127.0.0.1:0"], &config)?;
            let refused = !well && said.contains(key);
            all.push(Got::of(refused, if refused { "refused" } else { &said }));
        }
        Ok(Got::all(all))
    }),
    Attack::on_stores("Redis with a certificate of another authority", "API8", NO_STORE, |t| {
        another_authority(t.stores()?, "redis", "Redis")
    }),
    Attack::on_stores("Kafka with a certificate of another authority", "API8", NO_STORE, |t| {
        another_authority(t.stores()?, "kafka", "Kafka")
    }),
    Attack::on_stores(
        "PostgreSQL with a certificate of another authority",
        "API8",
        NO_STORE,
        |t| another_authority(t.stores()?, "postgres", "PostgreSQL"),
    ),
    Attack::on_stores("Redis under another's address", "API8", NO_STORE, |t| {
        let stores = t.stores()?;
        let url = stores.stack.get("REDIS_URL")?;
        another_address(stores, "Redis", ("redis", "url", url))
    }),
    Attack::on_stores("Kafka under another's address", "API8", NO_STORE, |t| {
        let stores = t.stores()?;
        let brokers = stores.stack.get("KAFKA_BROKERS")?;
        another_address(stores, "Kafka", ("kafka", "brokers", brokers))
    }),
    Attack::on_stores("PostgreSQL under another's address", "API8", NO_STORE, |t| {
        let stores = t.stores()?;
        let url = with_database(stores.stack.get("DATABASE_URL")?, &stores.database)?;
        another_address(stores, "PostgreSQL", ("postgres", "url", &url))
    }),
];

/// Where a URL or a list of brokers points.
fn server(url: &str) -> anyhow::Result<SocketAddr> {
    let (_, after) = url.rsplit_once('@').unwrap_or(("", url));
    let address = after.split(['/', '?', ',']).next().unwrap_or_default();
    address.parse().with_context(|| format!("{address} is no address"))
}

/// Certificates of an authority that signed nothing of ours.
fn other_authority(stores: &Stores) -> anyhow::Result<PathBuf> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let file = stores.dir.path().join("other-ca.pem");
    std::fs::write(&file, issuer.pem())?;
    Ok(file)
}

/// What `doctor` says of a store: whether it could speak to it, and its lines.
fn doctor(stores: &Stores, config: &str, store: &str) -> anyhow::Result<(bool, String)> {
    let (_, said) = stores.says(&["doctor", "--json"], config)?;
    let findings: serde_json::Value =
        serde_json::from_str(&said).with_context(|| format!("doctor says no JSON: {said}"))?;
    let of_store = findings.as_array().into_iter().flatten().filter(|one| one["check"] == store);
    let of_store: Vec<_> = of_store.collect();
    ensure!(!of_store.is_empty(), "doctor says nothing of {store}: {said}");
    let bad = of_store.iter().find(|one| one["health"] != "ok");
    let what = bad.map_or("it speaks to it".to_owned(), |one| one["found"].to_string());
    Ok((bad.is_none(), what))
}

/// The control: with the genuine certificates all is well.
fn is_well(stores: &Stores, store: &str) -> anyhow::Result<String> {
    let config = stores.config(Who::Node)?;
    let mut last = String::new();
    // The worker loads Redis's functions some time after its start.
    wait_for("doctor finds the store well", || {
        let (well, said) = doctor(stores, &config, store)?;
        last = said;
        Ok(well)
    })
    .with_context(|| format!("the control: {last}"))?;
    Ok(config)
}

/// To the program, whoever signed the store's certificate is a stranger.
fn another_authority(stores: &Stores, section: &str, store: &str) -> anyhow::Result<Got> {
    let good = is_well(stores, store)?;
    let other = other_authority(stores)?.display().to_string();
    let config = config::with(&good, section, "ca_file", &other)?;
    let (speaks, said) = doctor(stores, &config, store)?;
    Ok(Got::of(!speaks, said))
}

/// The genuine store is reached by way of an address that its certificate does not name.
fn another_address(
    stores: &Stores,
    store: &str,
    (section, key, value): (&str, &str, &str),
) -> anyhow::Result<Got> {
    let good = is_well(stores, store)?;
    let genuine = server(value)?;
    let forwarder = Forwarder::to(genuine)?;
    let moved = value.replace(&genuine.to_string(), &forwarder.address.to_string());
    let config = config::with(&good, section, key, &moved)?;
    let (speaks, said) = doctor(stores, &config, store)?;
    let met = forwarder.met();
    ensure!(met, "the control: nobody came to the other address");
    Ok(Got::of(!speaks, said))
}

/// Hands on whatever comes, both ways: somebody in the middle who has no key.
struct Forwarder {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Forwarder {
    fn to(genuine: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((ELSEWHERE, 0))?;
        let address = listener.local_addr()?;
        let connections = Arc::<AtomicUsize>::default();
        let count = connections.clone();
        // It ends with the process: the harness is short-lived.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                let Ok(server) = TcpStream::connect(genuine) else { continue };
                for (mut from, mut to) in [
                    (client.try_clone(), server.try_clone()),
                    (server.try_clone(), client.try_clone()),
                ]
                .into_iter()
                .filter_map(|(from, to)| Some((from.ok()?, to.ok()?)))
                {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Ok(Self { address, connections })
    }

    fn met(&self) -> bool {
        self.connections.load(Ordering::Relaxed) > 0
    }
}
