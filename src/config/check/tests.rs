//! Each limit at its edge, each rule with a configuration that breaks it.

use super::*;
use crate::config::schema::RATE_PER_SECOND_MAX;

fn config(text: &str) -> Config {
    toml::from_str(text).unwrap()
}

fn errors(text: &str) -> Vec<String> {
    check(&config(text)).errors.iter().map(Problem::to_string).collect()
}

fn warnings(text: &str) -> Vec<String> {
    check(&config(text)).warnings.iter().map(Problem::to_string).collect()
}

#[test]
fn the_defaults_are_fine() {
    assert_eq!(errors(""), [""; 0]);
    assert_eq!(warnings(""), [""; 0]);
}

#[test]
fn every_range_holds_at_its_edges_and_not_beyond() {
    for key in KEYS {
        let Read::Number { min, max, .. } = key.read else { continue };
        let (section, field) = key.name.split_once('.').unwrap();
        let with = |value: u64| errors(&format!("[{section}]\n{field} = {value}"));
        assert!(with(min).is_empty() && with(max).is_empty(), "{}", key.name);
        let beyond = with(max + 1);
        assert_eq!(beyond.len(), 1, "{}", key.name);
        assert!(beyond[0].contains(key.name) && beyond[0].contains(&max.to_string()));
        if min > 0 {
            assert_eq!(with(min - 1).len(), 1, "{}", key.name);
        }
        if key.name.ends_with("_per_second") {
            assert_eq!((min, max), (0, RATE_PER_SECOND_MAX), "{}", key.name);
        }
    }
}

#[test]
fn secrets_have_their_least_length() {
    let order_key = |n: usize| errors(&format!("[secrets]\norder_key = \"{}\"", "k".repeat(n)));
    assert!(order_key(32).is_empty() && order_key(1_024).is_empty());
    assert_eq!((order_key(31).len(), order_key(1_025).len()), (1, 1));
    let buyer_key = |n: usize| errors(&format!("[secrets]\nbuyer_key = \"{}\"", "k".repeat(n)));
    assert_eq!((buyer_key(32).len(), buyer_key(31).len()), (0, 1));
    let token = |n: usize| errors(&format!("[admin]\ntoken = \"{}\"", "k".repeat(n)));
    assert_eq!((token(16).len(), token(15).len()), (0, 1));
    assert_eq!(errors("[admin]\ntoken = \"sixteen bytes long\"").len(), 1, "spaces");
    let client =
        |n: usize| errors(&format!("[[clients]]\nid = \"a\"\nsecrets = [\"{}\"]", "k".repeat(n)));
    assert_eq!((client(16).len(), client(15).len()), (0, 1));
}

#[test]
fn pass_keys_have_ids_and_lengths() {
    let key = "k".repeat(32);
    let with = |text: &str| errors(&format!("[secrets]\npass_keys = \"{text}\""));
    assert!(with(&format!("1:{key}, old_2:{key}")).is_empty());
    for bad in [key.clone(), format!("1:{key},1:{key}"), format!(":{key}"), "1:short".to_owned()] {
        let found = with(&bad);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(!found[0].contains(&key));
    }
    let nine: Vec<_> = (0..9).map(|id| format!("{id}:{key}")).collect();
    assert_eq!((with(&nine[..8].join(",")).len(), with(&nine.join(",")).len()), (0, 1));
}

#[test]
fn tls_takes_both_files_or_neither() {
    for section in ["http", "admin"] {
        let one = |field: &str| errors(&format!("[{section}]\n{field} = \"x.pem\""));
        assert!(
            one("tls_cert_file")[0].starts_with(&format!("{section}.tls_key_file: is missing"))
        );
        assert!(
            one("tls_key_file")[0].starts_with(&format!("{section}.tls_cert_file: is missing"))
        );
        let both = format!("[{section}]\ntls_cert_file = \"c\"\ntls_key_file = \"k\"");
        assert!(errors(&both).is_empty());
    }
}

#[test]
fn the_two_listeners_have_different_ports() {
    assert_eq!(errors("[admin]\nlisten = \"127.0.0.1:3000\"").len(), 1);
    let any = "[http]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"";
    assert!(errors(any).is_empty(), "port 0 is any free port");
}

#[test]
fn an_operators_listener_without_tls_that_others_can_reach_is_doubtful() {
    assert_eq!(warnings("[admin]\nlisten = \"0.0.0.0:3001\"").len(), 1);
    assert_eq!(warnings("[admin]\nlisten = \"[::]:3001\"").len(), 1);
    assert!(warnings("[admin]\nlisten = \"[::1]:3001\"").is_empty());
    assert!(warnings("[admin]\nlisten = \"[::ffff:127.0.0.1]:3001\"").is_empty());
    let tls = "[admin]\nlisten = \"0.0.0.0:3001\"\ntls_cert_file = \"c\"\ntls_key_file = \"k\"";
    assert!(warnings(tls).is_empty());
}

#[test]
fn origins_are_in_the_form_that_browsers_send() {
    let with = |origin: &str| errors(&format!("[http]\ncors_origins = [\"{origin}\"]")).len();
    for good in ["*", "https://shop.example", "http://127.0.0.1:8080", "http://[::1]:80"] {
        assert_eq!(with(good), 0, "{good}");
    }
    for bad in ["", "shop.example", "https://shop.example/", "https://Shop.example", "ftp://a"] {
        assert_eq!(with(bad), 1, "{bad}");
    }
}

#[test]
fn clients_are_complete_and_named_once() {
    let row = |id: &str, rest: &str| format!("[[clients]]\nid = \"{id}\"\n{rest}\n");
    let good = "secrets = [\"sixteen-bytes-long\"]";
    assert!(errors(&row("a", good)).is_empty());
    assert_eq!(errors(&(row("a", good) + &row("a", good))).len(), 1);
    assert_eq!(errors(&row("a b", good)).len(), 1);
    assert_eq!(errors(&row(&"a".repeat(64), good)).len(), 0);
    assert_eq!(errors(&row(&"a".repeat(65), good)).len(), 1);
    assert_eq!(errors(&row("a", "secrets = []")).len(), 1);
    assert_eq!(errors(&row("a", &format!("{good}\nroles = []"))).len(), 1);
    assert_eq!(errors(&row("a", &format!("{good}\nname_space = \"A\""))).len(), 1);
}

#[test]
fn an_issuer_has_one_source_of_keys_that_fits_its_algorithm() {
    let with = |algorithm: &str, keys: &str| {
        errors(&format!(
            "[[jwt]]\nissuer = \"i\"\naudience = \"a\"\nalgorithm = \"{algorithm}\"\n{keys}"
        ))
        .len()
    };
    let key = format!("key = \"{}\"", "k".repeat(32));
    assert_eq!(with("HS256", &key), 0);
    assert_eq!(with("RS256", "key_file = \"k.pem\""), 0);
    assert_eq!(with("ES256", "jwks_file = \"k.json\""), 0);
    assert_eq!(with("HS256", ""), 1);
    assert_eq!(with("RS256", &key), 1, "key confusion");
    assert_eq!(with("HS256", "key_file = \"k.pem\""), 1, "key confusion");
    assert_eq!(with("HS256", "key = \"short\""), 1);
    assert_eq!(with("ES256", "jwks_file = \"j\"\nkey_file = \"k\""), 1);
    let twice = "[[jwt]]\nissuer=\"i\"\naudience=\"a\"\nalgorithm=\"ES256\"\njwks_file=\"j\"\n";
    assert_eq!(errors(&twice.repeat(2)).len(), 1);
}

#[test]
fn operator_tokens_are_hashes_with_a_name() {
    let row = |name: &str, hash: &str| {
        format!("[[admin.tokens]]\nname=\"{name}\"\nrole=\"viewer\"\ntoken_sha256=\"{hash}\"\n")
    };
    let hash = "ab".repeat(32);
    assert!(errors(&row("ann", &hash)).is_empty());
    assert_eq!(errors(&row("ann", "ab")).len(), 1);
    assert_eq!(errors(&row("", &hash)).len(), 1);
    assert_eq!(errors(&(row("ann", &hash) + &row("ann", &hash))).len(), 1);
}

#[test]
fn blocks_are_valid_and_do_not_show_a_user() {
    let found = errors("[blocks]\nusers = [\"fine\", \"Anna@example.org\"]");
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("entry 2") && !found[0].contains("Anna"));
    assert_eq!(errors("[blocks]\nfingerprints = [\" \"]").len(), 1);
    assert_eq!(warnings("[blocks]\naddresses = [\"0.0.0.0/0\"]").len(), 1);
}
