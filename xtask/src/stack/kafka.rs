//! Kafka of a stack: `deploy/kafka` filled in, one node or three, and the settings of a small machine.

mod java;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::files::{self, text};
use super::probe;
use super::run::Run;
use super::state::{Kind, Service};
use super::tls::Identity;
use java::Jars;

/// Ports of one node: clients, nodes, controllers, clients by way of a proxy, that proxy.
pub const PORTS_PER_NODE: usize = 5;
/// Names of topics and groups of tests begin with this; they get the rights of the real ones.
const TESTS_PREFIX: &str = "it-";

/// Not for a cluster that others depend on, so not in the shipped file: fewer threads, quick elections, small
/// internal topics. With the cleaner's usual buffer a quarter of the heap would be gone. A killed broker is let in
/// again when its session is over.
const SMALL: &str = "\n\
    # Added by the stack: a small machine, and tests that wait for everything.\n\
    num.network.threads=2\n\
    num.io.threads=2\n\
    num.replica.fetchers=1\n\
    num.recovery.threads.per.data.dir=1\n\
    background.threads=2\n\
    log.cleaner.enable=false\n\
    offsets.topic.num.partitions=2\n\
    transaction.state.log.num.partitions=1\n\
    share.coordinator.state.topic.num.partitions=1\n\
    group.initial.rebalance.delay.ms=0\n\
    group.min.session.timeout.ms=1000\n\
    controller.quorum.election.timeout.ms=1000\n\
    broker.session.timeout.ms=3000\n\
    broker.heartbeat.interval.ms=300\n";

/// A fourth door, like the first, for tests that put a proxy before it: a broker tells its clients where to go
/// on, so it has to tell these the proxy's port. Nobody listens there until a test does.
fn proxied_door(node: &Node) -> String {
    let door = |name: &str, port: u16| format!("{name}://127.0.0.1:{port}");
    let (client, internal) = (door("CLIENT", node.client), door("INTERNAL", node.internal));
    let controller = door("CONTROLLER", node.controller);
    let (listens, told) = (door("PROXIED", node.proxied), door("PROXIED", node.proxy));
    format!(
        "listeners={client},{internal},{controller},{listens}\n\
         advertised.listeners={client},{internal},{told}\n\
         listener.security.protocol.map=\
         CLIENT:SASL_SSL,INTERNAL:SSL,CONTROLLER:SSL,PROXIED:SASL_SSL\n\
         listener.name.proxied.sasl.enabled.mechanisms=SCRAM-SHA-512\n\
         listener.name.proxied.scram-sha-512.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
         listener.name.proxied.ssl.client.auth=none\n"
    )
}

struct Node {
    id: u32,
    /// `kafka`, `kafka-2`, …
    name: String,
    data: PathBuf,
    identity: Identity,
    client: u16,
    internal: u16,
    controller: u16,
    /// Where it listens for those who come by way of a proxy,
    proxied: u16,
    /// and where the proxy is to listen.
    proxy: u16,
}

/// Starts the nodes, makes users, rights and topics, and adds the variables.
pub fn up(run: &Run<'_>, brokers: u32, full_jit: bool) -> anyhow::Result<()> {
    let jars = Jars::get(run.tools)?;
    let nodes: Vec<_> = (1..=brokers).map(|id| node(run, id)).collect::<anyhow::Result<_>>()?;
    let [api, worker, admin] = run.passwords()?;
    let users = [("ingestion-api", &api), ("inventory-worker", &worker), ("admin", &admin)];
    for node in &nodes {
        files::write_private(&node.config(), &config(run, node, &nodes)?)?;
    }
    format(run, &jars, &nodes, &users)?;

    let mut services = Vec::new();
    for node in &nodes {
        services.push(run.launch(service(run, &jars, node, full_jit)?)?);
    }
    for service in &services {
        probe::wait(service, &run.authority.ca_file, Kind::Kafka.start_limit())?;
    }
    make_rights_and_topics(run, &jars, &nodes, &admin)?;

    let list = |of: fn(&Node) -> String| nodes.iter().map(of).collect::<Vec<_>>().join(",");
    run.variables(&[
        ("KAFKA_BROKERS", list(|node| format!("127.0.0.1:{}", node.client))),
        ("FLUX_GATE__KAFKA__USERNAME", "ingestion-api".into()),
        ("FLUX_GATE__KAFKA__PASSWORD", api),
        ("FLUX_GATE__KAFKA__CA_FILE", text(&run.authority.ca_file)?.into()),
        ("STACK_KAFKA_WORKER_USERNAME", "inventory-worker".into()),
        ("STACK_KAFKA_WORKER_PASSWORD", worker),
        ("STACK_KAFKA_ADMIN_USERNAME", "admin".into()),
        ("STACK_KAFKA_ADMIN_PASSWORD", admin),
        ("STACK_KAFKA_PORTS", list(|node| node.client.to_string())),
        ("STACK_KAFKA_PROXIED_BROKERS", list(|node| format!("127.0.0.1:{}", node.proxy))),
        ("STACK_KAFKA_PROXY_TARGETS", list(|node| format!("127.0.0.1:{}", node.proxied))),
        ("STACK_KAFKA_JARS", jars.class_path()?),
    ]);
    Ok(())
}

impl Node {
    fn config(&self) -> PathBuf {
        self.data.join("server.properties")
    }
}

fn node(run: &Run<'_>, id: u32) -> anyhow::Result<Node> {
    let name = if id == 1 { "kafka".to_owned() } else { format!("kafka-{id}") };
    Ok(Node {
        id,
        data: run.data(&name)?,
        identity: run.authority.identity(&format!("kafka-{id}"), true)?,
        client: run.port()?,
        internal: run.port()?,
        controller: run.port()?,
        proxied: run.port()?,
        proxy: run.port()?,
        name,
    })
}

/// Copies of each record, and how many must exist before it counts.
fn replication(nodes: &[Node]) -> (usize, usize) {
    if nodes.len() < 3 { (1, 1) } else { (3, 2) }
}

fn config(run: &Run<'_>, node: &Node, nodes: &[Node]) -> anyhow::Result<String> {
    let voter = |node: &Node| format!("{}@127.0.0.1:{}", node.id, node.controller);
    let voters = nodes.iter().map(voter).collect::<Vec<_>>().join(",");
    let principal = |node: &Node| format!("User:CN=kafka-{}", node.id);
    let super_users = nodes.iter().map(principal).collect::<Vec<_>>().join(";");
    let (replication, min_insync) = replication(nodes);
    let shipped = files::filled(
        "kafka/server.properties",
        &[
            ("NODE_ID", &node.id.to_string()),
            ("LOG_DIR", text(&node.data.join("log"))?),
            ("CONTROLLER_VOTERS", &voters),
            ("HOST", "127.0.0.1"),
            ("CLIENT_PORT", &node.client.to_string()),
            ("INTERNAL_PORT", &node.internal.to_string()),
            ("CONTROLLER_PORT", &node.controller.to_string()),
            ("NODE_PEM_FILE", text(&node.identity.both)?),
            ("CA_FILE", text(&run.authority.ca_file)?),
            ("SUPER_USERS", &super_users),
            ("REPLICATION", &replication.to_string()),
            ("MIN_INSYNC", &min_insync.to_string()),
        ],
    )?;
    Ok(shipped + SMALL + &proxied_door(node))
}

/// Makes the nodes' directories, with the users in their first records: SCRAM cannot let in the one who would
/// make the first user of SCRAM.
fn format(
    run: &Run<'_>,
    jars: &Jars,
    nodes: &[Node],
    users: &[(&str, &String)],
) -> anyhow::Result<()> {
    let mut cluster = hex::decode(files::random_hex(16)?)?;
    // Kafka's tool would take a name that begins with a hyphen for an option.
    cluster[0] &= 0x7f;
    let cluster = URL_SAFE_NO_PAD.encode(cluster);
    let mut commands = Vec::new();
    for node in nodes {
        let config = node.config();
        let mut command: Vec<String> = [
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            &cluster,
            "--config",
            text(&config)?,
        ]
        .map(Into::into)
        .into();
        for (user, password) in users {
            command.push("--add-scram".into());
            command.push(format!("SCRAM-SHA-512=[name={user},password={password}]"));
        }
        commands.push(command);
    }
    jars.run(run.tools, &commands).context("cannot format Kafka's directories")
}

fn service(run: &Run<'_>, jars: &Jars, node: &Node, full_jit: bool) -> anyhow::Result<Service> {
    let log4j = files::deploy("kafka/log4j2.properties");
    let mut arguments: Vec<String> = [
        "-Xms512m",
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
    ]
    .map(Into::into)
    .into();
    if !full_jit {
        // Half the time to start; a third less speed in the end.
        arguments.push("-XX:TieredStopAtLevel=1".into());
    }
    arguments.push(format!("-Dlog4j2.configurationFile={}", text(&log4j)?));
    arguments.extend(["-cp".into(), jars.class_path()?, "kafka.Kafka".into()]);
    arguments.push(text(&node.config())?.into());
    Ok(Service {
        name: node.name.clone(),
        kind: Kind::Kafka,
        port: node.client,
        data: node.data.clone(),
        program: run.tools.java.clone(),
        arguments,
        run_as: None,
        log: run.log(&node.name),
        process: None,
    })
}

/// Runs the shipped scripts. Their commands are written down by a stand-in and then run in one machine.
fn make_rights_and_topics(
    run: &Run<'_>,
    jars: &Jars,
    nodes: &[Node],
    admin: &str,
) -> anyhow::Result<()> {
    let first = &nodes[0];
    let as_node = first.data.join("node-client.properties");
    let as_node_text = files::filled(
        "kafka/node-client.properties",
        &[
            ("NODE_PEM_FILE", text(&first.identity.both)?),
            ("CA_FILE", text(&run.authority.ca_file)?),
        ],
    )?;
    files::write_private(&as_node, &as_node_text)?;
    let as_admin = first.data.join("admin.properties");
    let as_admin_text = files::filled(
        "kafka/client.properties",
        &[("USERNAME", "admin"), ("PASSWORD", admin), ("CA_FILE", text(&run.authority.ca_file)?)],
    )?;
    files::write_private(&as_admin, &as_admin_text)?;

    let (replication, min_insync) = replication(nodes);
    let mut acls = script("kafka/acls.sh", first.internal, &as_node)?;
    acls.env("KAFKA_ACL_PREFIX", TESTS_PREFIX);
    let mut topics = script("kafka/topics.sh", first.client, &as_admin)?;
    topics
        .env("KAFKA_REPLICATION", replication.to_string())
        .env("KAFKA_MIN_INSYNC", min_insync.to_string());
    if nodes.len() < 3 {
        topics.env("KAFKA_FLUSH_MESSAGES", "1");
    }
    let mut commands =
        written_down(acls, &first.data, "KAFKA_ACLS", "org.apache.kafka.tools.AclCommand")?;
    commands.extend(written_down(
        topics,
        &first.data,
        "KAFKA_TOPICS",
        "org.apache.kafka.tools.TopicCommand",
    )?);
    jars.run(run.tools, &commands).context("cannot make rights and topics")
}

fn script(name: &str, port: u16, config: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new("sh");
    command
        .arg(files::deploy(name))
        .env("KAFKA_BOOTSTRAP", format!("127.0.0.1:{port}"))
        .env("KAFKA_COMMAND_CONFIG", text(config)?)
        .stdin(Stdio::null());
    Ok(command)
}

/// Runs a script with a stand-in for Kafka's command, named by `variable`, that writes its arguments down.
fn written_down(
    mut script: Command,
    dir: &Path,
    variable: &str,
    class: &str,
) -> anyhow::Result<Vec<Vec<String>>> {
    let (stand_in, written) = (dir.join("stand-in.sh"), dir.join("commands"));
    let text = format!(
        "#!/bin/sh\n{{ echo {class}; printf '%s\\n' \"$@\"; echo; }} >> '{}'\n",
        written.display()
    );
    std::fs::write(&stand_in, text)?;
    std::fs::set_permissions(&stand_in, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    let output = script.env(variable, &stand_in).output().context("cannot run sh")?;
    ensure!(
        output.status.success(),
        "the script failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let commands = std::fs::read_to_string(&written)?;
    std::fs::remove_file(&written)?;
    std::fs::remove_file(&stand_in)?;
    let command = |text: &str| text.lines().map(Into::into).collect();
    Ok(commands.split("\n\n").filter(|text| !text.is_empty()).map(command).collect())
}
