//! Precedence, and clients that are merged from file and environment.

use super::*;

fn sources(file: &str, environment: &[(&str, &str)]) -> (tempfile::TempDir, Sources) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flux-gate.toml");
    std::fs::write(&path, file).unwrap();
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
    (dir, Sources { file: Some(path), environment, flags: Vec::new() })
}

fn load_from(file: &str, environment: &[(&str, &str)]) -> Result<Loaded, Problems> {
    let (_dir, sources) = sources(file, environment);
    load(sources)
}

fn data_flag() -> Flag {
    Flag { key: "data.dir", flag: "--data", value: "of-flag".to_owned() }
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let file = "[data]\ndir = \"of-file\"\n";
    let environment = [("FLUX_GATE__DATA__DIR", "of-env")];
    let dir_of = |sources: Sources| load(sources).unwrap().config.data.dir;

    assert_eq!(dir_of(Sources::default()), Path::new("flux-gate-data"));
    let (_a, from_file) = sources(file, &[]);
    assert_eq!(dir_of(from_file), Path::new("of-file"));
    let (_b, from_env) = sources(file, &environment);
    assert_eq!(dir_of(from_env.clone()), Path::new("of-env"));
    assert_eq!(dir_of(Sources { flags: vec![data_flag()], ..from_env }), Path::new("of-flag"));
}

#[test]
fn a_missing_file_and_a_bad_flag_are_errors() {
    let missing = load_file(Path::new("/nowhere/flux-gate.toml")).unwrap_err();
    assert!(missing.to_string().contains("cannot be read"));
    let flag = Flag { key: "http.listen", flag: "--listen", value: "3000".to_owned() };
    let error = load(Sources { flags: vec![flag], ..Sources::default() }).unwrap_err();
    assert!(error.to_string().contains("--listen: http.listen: "), "{error}");
}

#[test]
fn errors_of_file_and_environment_are_told_together_with_their_origins() {
    let error = load_from(
        "[limits]\nip_burst = 0\n[http]\nlistn = 1\n",
        &[("FLUX_GATE__LIMITS__IP_PER_SECOND", "1000001"), ("FLUX_GATE__NOPE", "1")],
    )
    .unwrap_err();
    assert_eq!(error.0.len(), 4, "{error}");
    let text = error.to_string();
    assert!(text.contains("flux-gate.toml:2:1: limits.ip_burst: is 0, outside 1 to"), "{text}");
    assert!(text.contains("FLUX_GATE__LIMITS__IP_PER_SECOND: limits.ip_per_second: is 1000001"));
}

const SECRET: &str = "sixteen-bytes-long";
const OTHER: &str = "another-secret-of-the-test";

#[test]
fn clients_of_the_environment_merge_over_the_files() {
    let file = format!("[[clients]]\nid=\"a\"\nsecrets=[\"{SECRET}\"]\nroles=[\"fulfilment\"]\n");
    let environment = format!("a:{OTHER},a:{SECRET},b:{SECRET},b:{OTHER}");
    let config = load_from(&file, &[(CLIENTS, &environment)]).unwrap().config;
    let shape: Vec<_> = config
        .clients
        .iter()
        .map(|c| (c.id.as_str(), c.secrets.len(), c.roles.as_slice()))
        .collect();
    let defaults = [ClientRole::Order, ClientRole::Session];
    assert_eq!(shape, [("a", 2, &[ClientRole::Fulfilment][..]), ("b", 2, &defaults[..])]);
}

#[test]
fn fulfilment_must_be_given_explicitly() {
    let clients = format!("a:{SECRET},b:{SECRET}");
    let roles = [(CLIENTS, clients.as_str()), (CLIENT_ROLES, "a:order+fulfilment")];
    let config = load_from("", &roles).unwrap().config;
    assert_eq!(config.clients[0].roles, [ClientRole::Order, ClientRole::Fulfilment]);
    assert_eq!(config.clients[1].roles, default_roles());
}

#[test]
fn bad_clients_and_roles_are_refused_without_showing_a_secret() {
    let error = load_from("", &[(CLIENTS, "only-a-secret-no-id")]).unwrap_err();
    assert!(error.to_string().contains("part 1 has no colon"), "{error}");
    assert!(!error.to_string().contains("only-a-secret"));
    let clients = format!("a:{SECRET}");
    for roles in ["a", "b:order", "a:fulfillment", "a:"] {
        let error = load_from("", &[(CLIENTS, &clients), (CLIENT_ROLES, roles)]).unwrap_err();
        assert_eq!(error.0.len(), 1, "{roles}: {error}");
    }
    let error = load_from("", &[(CLIENTS, "a:short-7355608")]).unwrap_err();
    assert!(!error.to_string().contains("7355608"), "{error}");
    assert!(error.to_string().contains("FLUX_GATE__CLIENTS: clients[0].secrets: has 13 bytes"));
}

#[test]
fn a_start_on_parts_that_are_not_built_in_is_refused() {
    let loaded = load_from("", &distributed()).unwrap();
    let refused = loaded.refuse_missing_parts();
    if cfg!(feature = "distributed") {
        refused.unwrap();
    } else {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("kafka.brokers: is set, but this build"), "{error}");
    }
    assert!(load_from("", &[]).unwrap().refuse_missing_parts().is_ok());
}

/// The least that makes a node one of many.
fn distributed() -> Vec<(&'static str, &'static str)> {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    vec![
        ("KAFKA_BROKERS", "localhost:9092"),
        ("FLUX_GATE__KAFKA__USERNAME", "ingestion-api"),
        ("FLUX_GATE__KAFKA__PASSWORD", "password-of-the-tests"),
        ("REDIS_URL", "rediss://api:secret@localhost:6379"),
        ("DATABASE_URL", "postgresql://u:p@h/d?sslmode=verify-full"),
        ("FLUX_GATE__SECRETS__ORDER_KEY", KEY),
        ("FLUX_GATE__SECRETS__BUYER_KEY", KEY),
        ("FLUX_GATE__SECRETS__RECORD_KEYS", "1:0123456789abcdef0123456789abcdef"),
        ("FLUX_GATE__SECRETS__OPERATOR_PUBLIC_KEY", KEY),
    ]
}

#[test]
fn many_nodes_need_all_their_stores_and_keys_and_tls() {
    for (left_out, key) in [
        ("DATABASE_URL", "postgres.url"),
        ("FLUX_GATE__KAFKA__PASSWORD", "kafka.username"),
        ("FLUX_GATE__SECRETS__ORDER_KEY", "secrets.order_key"),
        ("FLUX_GATE__SECRETS__RECORD_KEYS", "secrets.record_keys"),
        ("FLUX_GATE__SECRETS__OPERATOR_PUBLIC_KEY", "secrets.operator_public_key"),
    ] {
        let rest: Vec<_> =
            distributed().into_iter().filter(|(name, _)| *name != left_out).collect();
        let error = load_from("", &rest).unwrap_err();
        assert_eq!(error.0.len(), 1, "{left_out}: {error}");
        assert_eq!(error.0[0].key, key);
    }
    for (name, plain) in [
        ("REDIS_URL", "redis://api:secret@localhost:6379"),
        ("DATABASE_URL", "postgresql://u:p@h/d?sslmode=require"),
    ] {
        let mut pairs = distributed();
        pairs.retain(|(other, _)| *other != name);
        pairs.push((name, plain));
        let error = load_from("", &pairs).unwrap_err().to_string();
        assert!(error.contains("use TLS") && !error.contains("secret"), "{error}");
        pairs.push(("FLUX_GATE__STORES__PLAINTEXT", "allow"));
        load_from("", &pairs).unwrap();
    }
    let alone = load_from("", &[("REDIS_URL", "rediss://a:b@h")]).unwrap_err();
    assert!(alone.to_string().contains("set KAFKA_BROKERS too"), "{alone}");
}

#[test]
fn who_migrates_needs_the_ledger_alone_but_by_tls() {
    let migrating = |url: &'static str| {
        let pairs = [("KAFKA_BROKERS", "localhost:9092"), ("DATABASE_URL", url)];
        let environment = pairs.map(|(name, value)| (name.into(), value.into())).to_vec();
        load_for_migration(Sources { environment, ..Sources::default() })
    };
    assert!(migrating("postgresql://u:p@h/d?sslmode=verify-full").unwrap().config.is_distributed());
    for (url, key) in [("postgresql://u:p@h/d", "postgres.url"), ("", "postgres.url")] {
        let error = migrating(url).unwrap_err();
        assert_eq!(error.0.iter().map(|problem| problem.key.as_str()).collect::<Vec<_>>(), [key]);
    }
}
