//! Each command against a listener that records what it was sent.

use super::*;
use crate::cli::sale::tests::against_command;
use crate::cli::tests::{Called, NOW_MS};

fn against(status: &str, body: &str, arguments: &[&str]) -> (Called, String) {
    against_command("incident", status, body, arguments)
}

#[test]
fn block_sends_whom_until_and_why_and_shows_the_pseudonym() {
    let reply = r#"{"status":"applied","id":"v4-24-00000000000000ff","block":{"id":
        "v4-24-00000000000000ff","kind":"ipv4","bits":24,"until":1796115600000,"reason":"bots",
        "by":"alice","at":1}}"#;
    let arguments = ["block", "--address", "203.0.113.0/24", "--until", "+1h", "--reason", "bots"];
    let (called, request) = against("200 OK", reply, &arguments);
    assert!(request.starts_with("POST /admin/blocks HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("idempotency-key: {}\r\n", "07".repeat(16))));
    let until = NOW_MS + 3_600_000;
    let body = format!(r#"{{"address":"203.0.113.0/24","reason":"bots","until":{until}}}"#);
    assert!(request.ends_with(&body), "{request}");
    assert_eq!(
        called.out,
        "applied\n\
         ID                      KIND      UNTIL                 BY     REASON\n\
         v4-24-00000000000000ff  ipv4 /24  2026-12-01T09:00:00Z  alice  bots\n"
    );
}

#[test]
fn one_target_is_needed_and_no_more() {
    let rest = ["--until", "+1h", "--reason", "x"];
    for target in [&[][..], &["--user", "a", "--fingerprint", "b"], &["--address", "nowhere"]] {
        let arguments = ["incident", "block"].iter().chain(target).chain(&rest).copied();
        let called = crate::cli::tests::call(&arguments.collect::<Vec<_>>(), &[]);
        assert_eq!(called.exit, Exit::Usage, "{target:?}");
    }
}

#[test]
fn every_command_goes_to_its_own_path() {
    let reply = r#"{"status":"applied"}"#;
    let id = "fp-00000000000000ff";
    for (arguments, line, body) in [
        (&["unblock", "--id", id][..], "DELETE /admin/blocks ", r#"{"id":"fp-00000000000000ff"}"#),
        (&["unblock", "--user", "mallory"], "DELETE /admin/blocks ", r#"{"user":"mallory"}"#),
        (&["blocks"], "GET /admin/blocks ", ""),
        (&["loosen", "ip_per_second"], "DELETE /admin/limits/ip_per_second ", ""),
        (&["limits"], "GET /admin/limits ", ""),
        (&["approvals"], "GET /admin/approvals ", ""),
        (&["approve", "a-1"], "POST /admin/approvals/a-1/approve ", ""),
        (
            &["stop", "phone", "--reason", "x"],
            "POST /admin/incident/stop ",
            r#"{"product":"phone","reason":"x"}"#,
        ),
        (
            &["stop", "--all", "--reason", "x"],
            "POST /admin/incident/stop ",
            r#"{"product":null,"reason":"x"}"#,
        ),
        (
            &["resume", "phone", "--reason", "x"],
            "POST /admin/incident/resume ",
            r#"{"product":"phone","reason":"x"}"#,
        ),
        (&["reject", "a-1"], "POST /admin/approvals/a-1/reject ", ""),
    ] {
        let (called, request) = against("200 OK", reply, arguments);
        assert_eq!(called.exit, Exit::Done, "{called:?}");
        assert!(request.starts_with(line), "{request}");
        assert!(request.ends_with(&format!("\r\n\r\n{body}")), "{request}");
        assert_eq!(request.contains("idempotency-key"), !line.starts_with("GET"), "{request}");
    }
    let arguments =
        ["tighten", "min_interval_ms", "--to", "900", "--until", "1796115600000", "--reason", "x"];
    let (_, request) = against("200 OK", reply, &arguments);
    let body = r#"{"limit":"min_interval_ms","reason":"x","until":1796115600000,"value":900}"#;
    assert!(request.ends_with(body), "{request}");
}

#[test]
fn one_sale_or_all_must_be_said_and_why() {
    for arguments in [
        &["stop", "--reason", "x"][..],
        &["stop", "phone"],
        &["stop", "phone", "--all", "--reason", "x"],
        &["reverse", "--product", "phone", "--reason", "x"],
        &["reverse", "--product", "phone", "--orders-file", "a", "--query", "b", "--reason", "x"],
        &["report"],
        &["report", "--check", "a"],
    ] {
        let arguments = [&["incident"], arguments].concat();
        let called = crate::cli::tests::call(&arguments, &[]);
        assert_eq!(called.exit, Exit::Usage, "{arguments:?}");
    }
}

#[test]
fn a_stop_tells_each_sale_and_its_true_count() {
    let reply =
        r#"{"stopped":[{"productId":"phone","sold":40,"offset":42,"status":"stopped"}],"ms":3}"#;
    let (called, _) = against("200 OK", reply, &["stop", "--all", "--reason", "x"]);
    let expected = "stopped in 3 ms\nPRODUCT  STATUS   SOLD  OFFSET\nphone    stopped  40    42\n";
    assert_eq!(called.out, expected);
}

#[test]
fn lists_are_columns_and_nothing_is_said_so() {
    let (called, _) = against("200 OK", r#"{"blocks":[]}"#, &["blocks"]);
    assert!(called.out.starts_with("nobody is blocked"));
    let limits = r#"{"limits":[{"limit":"node_per_second","configured":0,"effective":9,"live":
        {"value":9,"burst":null,"until":1796115600000,"reason":"x\u001b","by":"alice","at":1}}]}"#;
    let (called, _) = against("200 OK", limits, &["limits"]);
    let expected = "LIMIT            CONFIGURED  NOW  UNTIL                 BY     REASON\n\
                    node_per_second  off         9    2026-12-01T09:00:00Z  alice  x?\n";
    assert_eq!(called.out, expected);
}

#[test]
fn a_change_that_needs_an_approval_says_what_to_do() {
    let reply = r#"{"status":"approval_required","approval":"a-1","until":1796115600000}"#;
    let restock = ["restock", "p", "--quantity", "9"];
    let (called, _) = against_command("sale", "202 Accepted", reply, &restock);
    assert!(called.out.contains("flux-gate incident approve a-1\n"), "{}", called.out);
}

#[test]
fn a_look_asks_for_what_is_named_and_shows_why_orders_are_suspicious() {
    let reply = r#"{"orders":[{"orderId":"3f2b8a90-1c4d-8e5f-a6b7-c8d9e0f1a2b3","productId":"phone",
        "at":1796115600000,"status":"confirmed","buyer":"ab","address":null,"network":null,
        "fingerprint":"fingerprint-00000000000000ff","shows":[{"pattern":"bursts","mark":"x","count":12},
        {"pattern":"shared_fingerprint","mark":"x","count":40}]}],
        "matched":40,"lookedAt":60,"complete":false,"next":"1796115600000.3f2b"}"#;
    let arguments = [
        &["investigate", "--product", "phone", "--since", "-10m", "--until", "1796115600000"][..],
        &["--pattern", "shared_fingerprint", "--fingerprint", "a b&c", "--series-gap", "4"],
    ];
    let (called, request) = against("200 OK", reply, &arguments.concat());
    let since = NOW_MS - 600_000;
    let query = format!(
        "product=phone&since={since}&until=1796115600000&pattern=shared_fingerprint\
         &fingerprint=a+b%26c&series_gap=4"
    );
    assert!(request.starts_with(&format!("GET /admin/incident/orders?{query} HTTP")), "{request}");
    assert!(called.out.starts_with("40 of 60 accepted orders of the span\n"), "{}", called.out);
    assert!(called.out.contains("bursts 12, shared_fingerprint 40\n"), "{}", called.out);
    assert!(called.out.contains("--after 1796115600000.3f2b\n"), "{}", called.out);
    assert!(called.out.contains("its oldest part is missing"), "{}", called.out);
    for (command, path) in [("offenders", "offenders"), ("analyse", "analysis")] {
        let (called, request) = against("200 OK", r#"{"complete":true}"#, &[command]);
        assert_eq!(called.exit, Exit::Done, "{called:?}");
        assert!(request.starts_with(&format!("GET /admin/incident/{path}? HTTP")), "{request}");
    }
    let wrong = crate::cli::tests::call(&["incident", "analyse", "--pattern", "all"], &[]);
    assert_eq!(wrong.exit, Exit::Usage);
}

#[test]
fn a_query_that_was_not_answered_whole_takes_nothing_back() {
    let reply = r#"{"orders":[{"orderId":"3f2b8a90-1c4d-8e5f-a6b7-c8d9e0f1a2b3"}],"matched":1,
        "lookedAt":200000,"complete":false,"next":null}"#;
    let arguments =
        ["reverse", "--product", "phone", "--query", "since=-1h", "--reason", "x", "--yes"];
    let (called, request) = against("200 OK", reply, &arguments);
    assert_eq!(called.exit, Exit::Failed, "{called:?}");
    assert!(called.message.contains("nothing was changed"), "{called:?}");
    assert!(request.starts_with("GET /admin/incident/orders?product=phone&limit=10000&since="));
}

#[test]
fn an_analysis_is_shown_as_it_was_answered() {
    let reply = r#"{"orders":7,"suspicious":5,"patterns":{"bursts":5},"steps":[
        {"at":1796115600000,"suspicious":5,"cameTo":{"accepted":7,"blocked":40}}],"rules":[
        {"rule":"block","value":null,"source":"network-ff","caught":5,"collateral":1},
        {"rule":"min_interval_ms","value":500,"source":null,"caught":0,"collateral":0}],"complete":true}"#;
    let (called, _) = against("200 OK", reply, &["analyse"]);
    let expected = "5 of 7 accepted orders are suspicious\n  bursts             5\n\n\
        FROM                  ORDERS  SUSPICIOUS  REFUSED\n\
        2026-12-01T09:00:00Z  7       5           40       ##############################\n\n\
        what each rule alone would have refused, of what was kept\n\
        RULE             VALUE       SUSPICIOUS  OTHERS\n\
        block            network-ff  5           1\n\
        min_interval_ms  500         0           0\n";
    assert_eq!(called.out, expected);
    let reply = r#"{"offenders":{"address":[],"network":[{"key":"network-ff","orders":40,"buyers":39,
        "refusals":7,"firstAt":1796115600000,"lastAt":1796115601000,"standsOut":true}]},"complete":true}"#;
    let (called, _) = against("200 OK", reply, &["offenders"]);
    let row =
        "network-ff  40      39      7         2026-12-01T09:00:00Z  2026-12-01T09:00:01Z  !\n";
    assert!(called.out.starts_with("by network\n") && called.out.contains(row), "{}", called.out);
}
