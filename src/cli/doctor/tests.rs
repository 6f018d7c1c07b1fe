//! The whole examination, over a healthy and a sick deployment.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::cli::tests::call;

const CLIENTS: (&str, &str) = ("FLUX_GATE__CLIENTS", "shop:sixteen-bytes-long");

/// Addresses that nobody else uses during the tests, as far as can be helped.
const ANY_PORTS: [(&str, &str); 2] =
    [("FLUX_GATE__HTTP__LISTEN", "127.0.0.1:0"), ("FLUX_GATE__ADMIN__LISTEN", "127.0.0.1:0")];

fn doctor(dir: &Path, environment: &[(&str, &str)]) -> (Exit, Vec<serde_json::Value>) {
    let dir = dir.to_str().unwrap();
    let environment: Vec<_> = environment.iter().copied().chain(ANY_PORTS).collect();
    let called = call(&["doctor", "--json", "--data", dir], &environment);
    (called.exit, serde_json::from_str(&called.out).unwrap())
}

#[test]
fn a_healthy_deployment_is_well() {
    let dir = tempfile::tempdir().unwrap();
    let (exit, findings) = doctor(dir.path(), &[CLIENTS]);
    assert_eq!(exit, Exit::Done, "{findings:#?}");
    let checks = ["configuration", "data directory", "secrets", "clock", "limits", "ports"];
    for check in checks {
        assert!(findings.iter().any(|finding| finding["check"] == check), "{check}");
    }
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing is left behind");
}

#[test]
fn each_fault_fails_and_says_how_to_mend_it() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("order_key");
    std::fs::write(&secret, "secret-of-the-test").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    let tls = [
        ("FLUX_GATE__HTTP__TLS_CERT_FILE", "/nowhere.pem"),
        ("FLUX_GATE__HTTP__TLS_KEY_FILE", "/nowhere.key"),
    ];
    let (exit, findings) = doctor(dir.path(), &[CLIENTS, tls[0], tls[1]]);
    assert_eq!(exit, Exit::Failed);
    let failed: Vec<_> = findings.iter().filter(|finding| finding["health"] == "fail").collect();
    assert!(failed.len() >= 2, "{findings:#?}");
    assert!(failed.iter().all(|finding| finding["mend"].is_string()));
    assert!(!format!("{findings:?}").contains("secret-of-the-test"));
}

#[test]
fn a_configuration_that_does_not_load_is_the_first_thing_to_mend() {
    let dir = tempfile::tempdir().unwrap();
    let (exit, findings) = doctor(dir.path(), &[("FLUX_GATE__NOPE", "1")]);
    assert_eq!((exit, findings.len()), (Exit::Failed, 2));
}

#[test]
fn text_is_a_line_a_check_with_its_remedy() {
    let mut out = Vec::new();
    let findings = [Finding::ok("clock", "is right"), Finding::fail("ports", "in use", "free it")];
    print(&mut out, &findings).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("ok    clock          is right\nFAIL  ports          in use\n"));
    assert!(text.contains("→ free it") && text.ends_with("2 checks: 1 failed, 0 to look at\n"));
}
