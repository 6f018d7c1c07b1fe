//! The files by which others run Flux-Gate say the same as the program and as each other.
//!
//! Nothing is started here. `prepare.sh` runs for real, and the configuration that each container would get is
//! read by the program's own parser.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;

use flux_gate::config::load::{Sources, load, load_for_migration};
use serde_yaml_ng::Value;

mod stage;

use stage::{Settings, Stage, text, texts, variable, yaml};

/// The services that run the program, and the file that says the same for Kubernetes.
const PROGRAM: [(&str, &str); 4] =
    [("node-1", "node"), ("operator", "operator"), ("worker", "worker"), ("migrate", "migrate")];

/// What one kind of machine sets and another does not, and why.
const DIFFERENT: [(&str, &str); 6] = [
    ("FLUX_GATE__HTTP__LISTEN", "compose has it from the image"),
    ("FLUX_GATE__DATA__DIR", "compose has it from the image"),
    ("FLUX_GATE__HTTP__TRUSTED_PROXIES", "compose has no proxy of its own"),
    ("FLUX_GATE__ADMIN__LISTEN", "Kubernetes asks a worker from outside; compose from inside"),
    (
        "FLUX_GATE__CLIENTS",
        "the node for operators has them on Kubernetes, where it shares a secret",
    ),
    ("FLUX_GATE__POSTGRES__FULFILMENT_URL", "likewise"),
];

/// What is wrong with the settings of a process.
fn refused(settings: &Settings, migrates: bool) -> Option<String> {
    let pairs = settings.iter().map(|(name, value)| (name.into(), value.into()));
    let sources = Sources { environment: pairs.collect(), ..Sources::default() };
    let loaded = if migrates { load_for_migration(sources) } else { load(sources) };
    match loaded {
        Err(problems) => Some(problems.to_string()),
        Ok(loaded) if loaded.warnings.is_empty() => None,
        Ok(loaded) => Some(format!("{:?}", loaded.warnings)),
    }
}

/// `A__{B,C}` is `A__B` and `A__C`.
fn variables(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in text.split('`').skip(1).step_by(2) {
        match word.split_once('{') {
            Some((begin, ends)) => {
                let ends = ends.trim_end_matches('}').split(',');
                found.extend(ends.map(|end| format!("{begin}{end}")));
            }
            None => found.push(word.to_owned()),
        }
    }
    found.retain(|name| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
    found.into_iter().map(|name| variable(&name)).collect()
}

/// The variables that a container of Kubernetes gets: name and value, without one where a secret holds it.
fn kubernetes(file: &str) -> BTreeMap<String, Option<String>> {
    let maps = yaml(&text("deploy/kubernetes/config.yaml"));
    let readme = text("deploy/kubernetes/README.md");
    let objects = yaml(&text(&format!("deploy/kubernetes/{file}.yaml")));
    let container = &objects[0]["spec"]["template"]["spec"]["containers"][0];
    let mut found = BTreeMap::new();
    for from in container["envFrom"].as_sequence().unwrap() {
        if let Some(name) = from["configMapRef"]["name"].as_str() {
            let map =
                maps.iter().find(|map| map["metadata"]["name"] == name && map["data"].is_mapping());
            for (name, value) in map.unwrap()["data"].as_mapping().unwrap() {
                let value = value.as_str().unwrap().to_owned();
                found.insert(variable(name.as_str().unwrap()), Some(value));
            }
        } else {
            let secret = from["secretRef"]["name"].as_str().unwrap();
            let row = readme.lines().find(|line| line.starts_with(&format!("| `{secret}` |")));
            let row = row.unwrap_or_else(|| panic!("the README says nothing of {secret}"));
            found.extend(variables(row).into_iter().map(|name| (name, None)));
        }
    }
    for variable in container["env"].as_sequence().into_iter().flatten() {
        let part = |name: &str| variable[name].as_str().unwrap().to_owned();
        found.insert(part("name"), Some(part("value")));
    }
    found
}

#[test]
fn the_program_accepts_what_every_container_of_many_nodes_gets() {
    let stage = Stage::prepare();
    let mut wrong = Vec::new();
    let programs: Vec<_> =
        stage.services().into_iter().filter(|(_, s)| s["image"] == "flux-gate:0.1.0").collect();
    assert_eq!(programs.len(), 5);
    for (name, service) in programs {
        let settings = stage.settings(service);
        wrong.extend(refused(&settings, name == "migrate").map(|fault| format!("{name}: {fault}")));
        let mut typo = settings.clone();
        typo.insert("FLUX_GATE__KAFKA__USER".to_owned(), "x".to_owned());
        assert!(refused(&typo, name == "migrate").is_some(), "a typo is found");
    }
    // Kubernetes: the same variables, so with the same values where a secret holds them.
    for (name, file) in PROGRAM {
        let in_compose = stage.settings(&stage.compose["services"][name]);
        let mut all = in_compose.clone();
        all.extend(stage.settings(&stage.compose["services"]["node-1"]));
        all.extend(in_compose.clone());
        let of_kubernetes = kubernetes(file);
        let mut settings = Settings::new();
        for (variable, value) in &of_kubernetes {
            let value = value.as_ref().filter(|_| !variable.ends_with("CA_FILE"));
            match value.or_else(|| all.get(variable)) {
                Some(value) => drop(settings.insert(variable.clone(), value.clone())),
                None => wrong.push(format!("{file}.yaml: {variable} is not in compose's")),
            }
        }
        let fault = refused(&settings, name == "migrate");
        wrong.extend(fault.filter(|f| !f.contains("TLS")).map(|f| format!("{file}.yaml: {f}")));
        let differs = |name: &&String| {
            let base = |(different, _): &(&str, &str)| name.starts_with(different);
            !DIFFERENT.iter().any(base) && !name.starts_with("FLUX_GATE__CLIENT")
        };
        let ours: BTreeSet<_> = in_compose.keys().filter(differs).collect();
        let theirs: BTreeSet<_> = of_kubernetes.keys().filter(differs).collect();
        assert_eq!(ours, theirs, "{name} of compose, {file}.yaml");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_that_is_mounted_is_there_and_every_path_inside_is_mounted() {
    let stage = Stage::prepare();
    for (name, service) in stage.services() {
        let mounts = stage.mounts(service);
        let mut said: String =
            stage.environment(service).into_values().collect::<Vec<_>>().join("\n");
        for key in ["command", "entrypoint"] {
            said = texts(&service[key]).into_iter().fold(said, |all, word| all + "\n" + word);
        }
        said = texts(&service["healthcheck"]["test"]).into_iter().fold(said, |s, w| s + "\n" + w);
        for (inside, here) in &mounts {
            let held = std::fs::read_to_string(here);
            said += "\n";
            said += &held.unwrap_or_else(|error| panic!("{name}, {}: {error}", here.display()));
            let mode = here.metadata().unwrap().permissions().mode();
            let open = !inside.starts_with("/run/secrets/") || mode & 0o077 == 0;
            assert!(open, "{name}: others can read {}", here.display());
        }
        // Two scripts put a name together.
        let said =
            said.replace("/run/secrets/$2", "").replace("/run/secrets/postgres_$1_password", "");
        for begin in ["/etc/flux-gate/", "/etc/redis/", "/etc/postgresql/", "/run/secrets/"] {
            for (at, _) in said.match_indices(begin) {
                let is_path = |c: &char| c.is_alphanumeric() || "/_-.".contains(*c);
                let path: String = said[at..].chars().take_while(is_path).collect();
                assert!(mounts.contains_key(&path), "{name}: {path} is not mounted");
            }
        }
        for inside in mounts.keys() {
            let (_, file) = inside.rsplit_once('/').unwrap();
            let composed = file.strip_prefix("postgres_").and_then(|f| f.strip_suffix("_password"));
            let used = said.contains(inside)
                || said.contains(file)
                || composed.is_some_and(|role| said.contains(&format!("secret {role}")));
            assert!(used, "{name}: nobody reads {inside}");
        }
    }
    for kind in ["configs", "secrets"] {
        for (source, _) in stage.compose[kind].as_mapping().unwrap() {
            let is_it = |mount: &Value| mount == source || mount["source"] == *source;
            let used = stage
                .services()
                .iter()
                .any(|(_, service)| service[kind].as_sequence().into_iter().flatten().any(is_it));
            assert!(used, "nobody mounts {source:?}");
        }
    }
}

#[test]
fn the_users_are_those_that_have_rights() {
    let stage = Stage::prepare();
    let acl = text("deploy/redis/users.acl");
    let rights = text("deploy/kafka/acls.sh");
    let roles = text("deploy/postgres/roles.sql");
    let mut seen = BTreeSet::new();
    for (_, service) in stage.services() {
        for (name, value) in stage.settings(service) {
            let user = value.split("://").nth(1).and_then(|rest| rest.split(':').next());
            let (found, user) = match (name.as_str(), user) {
                ("FLUX_GATE__KAFKA__USERNAME", _) => {
                    (rights.contains(&format!("User:{value} ")), value.as_str())
                }
                (name, Some(user)) if name.starts_with("FLUX_GATE__REDIS__") => {
                    (acl.contains(&format!("\nuser {user} on ")), user)
                }
                (name, Some(user)) if name.starts_with("FLUX_GATE__POSTGRES__") => {
                    (roles.contains(&format!("ALTER ROLE {user} NOSUPERUSER")), user)
                }
                _ => continue,
            };
            assert!(found, "{name}: nobody has given {user} a right");
            seen.insert(user.to_owned());
        }
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
    // Kafka's users are made with the passwords that the program has.
    let start = text("deploy/compose/start-kafka.sh");
    for user in ["admin", "ingestion-api", "inventory-worker"] {
        assert!(start.contains(&format!("user {user} kafka_")), "{user} is not made");
        assert!(rights.contains(&format!("User:{user} ")), "{user} has no right");
    }
}

#[test]
fn everything_is_locked_up_and_the_stores_are_reached_by_the_program_alone() {
    let stage = Stage::prepare();
    for (name, service) in stage.services() {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(texts(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        for limit in ["mem_limit", "pids_limit"] {
            assert!(!service[limit].is_null(), "{name} has no {limit}");
        }
        let user = service["user"].as_str().unwrap();
        assert!(user.split(':').all(|id| id.parse::<u32>().unwrap() > 0), "{name}");
        let health = service["restart"] == "no" || service["healthcheck"].is_mapping();
        assert!(health, "{name} says not how it is");
        let networks = texts(&service["networks"]);
        if service["ports"].is_null() {
            assert!(!networks.contains(&"front"), "{name}");
        } else {
            assert!(texts(&service["ports"]).iter().all(|port| port.starts_with("127.0.0.1:")));
        }
    }
    for store in ["redis", "kafka", "postgres"] {
        assert_eq!(stage.compose["networks"][store]["internal"], true, "{store}");
        assert_eq!(texts(&stage.compose["services"][store]["networks"]), [store]);
        let on = |(_, service): &(&str, &Value)| texts(&service["networks"]).contains(&store);
        for (name, _) in stage.services().into_iter().filter(on) {
            let set_up = format!("set-up-{store}");
            let program = stage.compose["services"][name]["image"] == "flux-gate:0.1.0";
            assert!(program || name == store || name == set_up, "{name} reaches {store}");
        }
    }
}

#[test]
fn versions_agree() {
    let version = format!("flux-gate:{}", env!("CARGO_PKG_VERSION"));
    for file in ["compose.yaml", "deploy/compose/compose.yaml", "deploy/compose/prepare.sh"] {
        assert!(text(file).contains(&version), "{file}");
    }
    for (_, file) in PROGRAM {
        let path = format!("deploy/kubernetes/{file}.yaml");
        assert!(text(&path).contains(&format!("image: {version}\n")), "{path}");
    }
    let compose = yaml(&text("deploy/compose/compose.yaml")).remove(0);
    let tag = |service: &str| {
        let image = compose["services"][service]["image"].as_str().unwrap();
        image.split_once(':').unwrap().1.to_owned()
    };
    let pom = text("deploy/kafka/pom.xml");
    assert!(pom.contains(&format!("<kafka.version>{}</kafka.version>", tag("kafka"))));
    // What the documents promise, and what the one image is built on.
    let major = |service: &str| tag(service).split(['.', '-']).next().unwrap().to_owned();
    let operations = text("docs/OPERATIONS.md");
    for (name, image) in [
        ("Redis", major("redis")),
        ("Apache Kafka", major("kafka")),
        ("PostgreSQL", major("postgres")),
    ] {
        assert!(operations.contains(&format!("| {name} {image} ")), "{name} {image}");
    }
    let rust = format!("FROM rust:{}-bookworm", env!("CARGO_PKG_RUST_VERSION"));
    assert!(text("Dockerfile").contains(&rust), "{rust}");
    assert!(text("README.md").contains(&format!("Rust {}", env!("CARGO_PKG_RUST_VERSION"))));
}

#[test]
fn what_is_prepared_is_not_lost_and_certificates_are_made_anew() {
    let stage = Stage::prepare();
    let made = stage.compose_dir().join("made");
    let read = |name: &str| std::fs::read(made.join(name)).unwrap();
    let (password, authority) = (read("postgres/owner_password"), read("ca.pem"));
    assert!(!stage.again("all"), "it writes over the passwords of volumes that are there");
    assert!(stage.again("certificates"));
    assert_eq!(read("postgres/owner_password"), password);
    assert_ne!(read("ca.pem"), authority);
    for certificate in ["redis/server.crt", "postgres/server.crt", "kafka/node.pem"] {
        let mut verify = std::process::Command::new("openssl");
        verify.args(["verify", "-CAfile"]).arg(made.join("ca.pem")).arg(made.join(certificate));
        assert!(verify.output().unwrap().status.success(), "{certificate}");
    }
}
