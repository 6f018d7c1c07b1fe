//! What is done in an incident, turned against its users: by strangers, by operators without the role, and by
//! what somebody writes into a reason that others will read.

use flux_gate::audit::line;
use flux_gate::incident::bundle::Bundle;
use flux_gate::incident::check::check;
use flux_gate::keys::signer::PublicKey;
use serde_json::{Value, json};

use super::live::by;
use super::{Attack, Draft, Got, Target};
use crate::attack::client::OPERATORS;

/// The calls: method, path with a product's id as `{}`, body with it too, least role.
const CALLS: [(&str, &str, &str, &str); 20] = [
    ("POST", "/admin/incident/stop", r#"{"product":"{}","reason":"x"}"#, "operator"),
    ("POST", "/admin/incident/stop", r#"{"product":null,"reason":"x"}"#, "operator"),
    ("POST", "/admin/incident/resume", r#"{"product":"{}","reason":"x"}"#, "operator"),
    (
        "POST",
        "/admin/incident/reverse",
        r#"{"product":"{}","orders":["00000000-0000-8000-8000-000000000000"],"restock":true,"reason":"x"}"#,
        "operator",
    ),
    ("GET", "/admin/incident/orders?product={}&pattern=bursts", "", "viewer"),
    ("GET", "/admin/incident/offenders", "", "viewer"),
    ("GET", "/admin/incident/analysis?product={}", "", "viewer"),
    ("GET", "/admin/incident/report", "", "operator"),
    ("GET", "/admin/incident/report?product={}", "", "operator"),
    ("GET", "/admin/audit", "", "operator"),
    (
        "POST",
        "/admin/blocks",
        r#"{"user":"mallory","until":4000000000000,"reason":"x"}"#,
        "operator",
    ),
    ("DELETE", "/admin/blocks", r#"{"user":"mallory"}"#, "operator"),
    (
        "POST",
        "/admin/limits",
        r#"{"limit":"ip_per_second","value":1,"until":4000000000000,"reason":"x"}"#,
        "operator",
    ),
    ("DELETE", "/admin/limits/ip_per_second", "", "operator"),
    ("POST", "/admin/approvals/x/approve", "{}", "operator"),
    ("POST", "/admin/approvals/x/reject", "{}", "operator"),
    ("GET", "/admin/tokens", "", "admin"),
    ("POST", "/admin/tokens", r#"{"name":"thief","role":"admin"}"#, "admin"),
    ("DELETE", "/admin/tokens/admin", "", "admin"),
    ("DELETE", "/admin/tokens/thief", "", "admin"),
];

/// Reasons that a log, a spreadsheet, a browser or a terminal might read as more than text.
const HOSTILE: [&str; 8] = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "@SUM(1+1)*cmd",
    "-2+3+cmd",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1)) ![x](//evil.test/p)",
    "\u{202e}| a | b |\u{2028}# heading `code`",
];
/// Reasons of more than one line, or that steer a terminal.
const STEERING: [&str; 5] =
    ["a\n{\"seq\":1,\"kind\":\"head\"}", "a\r\nb", "a\u{1b}[2J", "a\u{0}b", "a\u{85}b"];

pub const ATTACKS: &[Attack] = &[
    Attack::new("incident calls without a token", "API2", "401 unauthorized", |t| {
        let product = t.sale(5)?;
        let mut all = Vec::new();
        for (method, path, body, _) in CALLS {
            for bearer in [None, Some("Bearer "), Some("Bearer 0000"), Some("bearer admin")] {
                let draft = call(method, path, body, &product);
                let draft = match bearer {
                    Some(bearer) => draft.set("authorization", bearer),
                    None => draft,
                };
                all.push(Got::refused(&t.to_operator(&draft)?, 401, "unauthorized"));
            }
        }
        Ok(Got::all(all).and(untouched(t, &product)?).and(stop_works(t)?))
    }),
    Attack::on_ours("viewer in an incident", "API5", "403 forbidden", |t| as_role(t, 0)),
    Attack::on_ours("operator makes and revokes tokens", "API5", "403 forbidden", |t| {
        as_role(t, 1)
    }),
    Attack::new("incident calls on the public listener", "API5", "404 not_found", |t| {
        let product = t.sale(5)?;
        let mut all = Vec::new();
        for (method, path, body, _) in CALLS {
            let draft = call(method, path, body, &product);
            let with_token = draft
                .clone()
                .set("authorization", format!("Bearer {}", t.admin_token))
                .set("host", t.operator.to_string());
            for draft in [draft.sign(&t.client, t.now_ms()), with_token] {
                all.push(Got::status(&t.send(&draft)?, &[404, 405]));
            }
        }
        Ok(Got::all(all).and(untouched(t, &product)?).and(stop_works(t)?))
    }),
    Attack::on_ours("path tricks to an incident call", "API8", "400, 401, 403, 404, 405", |t| {
        let product = t.sale(5)?;
        let body = format!(r#"{{"product":"{product}","reason":"x"}}"#);
        let (_, viewer) = OPERATORS[0];
        let mut all = Vec::new();
        for path in [
            "/livez/../admin/incident/stop",
            "/admin/products/../incident/stop",
            "/admin/products/..%2fincident%2fstop",
            "/admin//incident/stop",
            "//admin/incident/stop",
            "/admin/./incident/stop",
            "/admin/incident/stop/",
            "/admin/incident/stop;x=/livez",
            "/admin/incident/stop%00",
            "/admin/incident/%73top",
            "/admin/incident/stop?role=admin",
            "/ADMIN/incident/stop",
            "/admin\\incident\\stop",
            "/metrics/../admin/incident/stop",
            "http://x/admin/incident/stop",
        ] {
            let draft = Draft::new("POST", path, body.clone());
            let by_viewer = draft.clone().set("authorization", format!("Bearer {viewer}"));
            let overridden = by_viewer.clone().set("x-original-url", "/livez");
            for draft in [draft, by_viewer, overridden] {
                all.push(Got::status(&t.to_operator(&draft)?, &[400, 401, 403, 404, 405]));
            }
            let by_head = Draft::new("GET", "/livez", "")
                .set("authorization", format!("Bearer {viewer}"))
                .set("x-original-url", path)
                .set("x-rewrite-url", path);
            all.push(Got::status(&t.to_operator(&by_head)?, &[200, 400]));
        }
        Ok(Got::all(all).and(untouched(t, &product)?).and(stop_works(t)?))
    }),
    Attack::new("log injection by a reason", "API8", "400; one line each in the trail", |t| {
        let product = t.sale(5)?;
        let mut all = Vec::new();
        for reason in STEERING {
            for (path, body) in [
                ("/admin/incident/stop", json!({"product": product, "reason": reason})),
                ("/admin/incident/resume", json!({"product": product, "reason": reason})),
                ("/admin/incident/reverse", reversal(&product, reason)),
                (
                    "/admin/blocks",
                    json!({"user": "mallory", "until": 4e12 as u64, "reason": reason}),
                ),
                (
                    "/admin/limits",
                    json!({"limit": "ip_per_second", "value": 1, "until": t.now_ms() + 60_000,
                        "reason": reason}),
                ),
            ] {
                let answer = t.admin("POST", path, &body.to_string())?;
                all.push(Got::refused(&answer, 400, "invalid_request"));
            }
        }
        // What is no control character is let through, and stands in one line of printable ASCII.
        let marker = t.unique("marker");
        let body = json!({"product": product, "reason": format!("{marker} \u{202e}\u{2028}\"}}é")});
        let stopped = t.admin("POST", "/admin/incident/stop", &body.to_string())?;
        let lines = actions(t, &marker)?;
        let printable =
            lines.iter().all(|line| line.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        Ok(Got::all(all)
            .and(Got::of(stopped.status == 200 && lines.len() == 1, ""))
            .and(Got::of(printable, "")))
    }),
    Attack::new("log injection by ids", "API8", "400, 404; not echoed", |t| {
        let product = t.sale(5)?;
        let mut all = Vec::new();
        let hostile =
            ["x\n{\"evil\":1}", "x\u{1b}[31mevil", "../../evil", "<evil>", "evil'; DROP TABLE"];
        for text in hostile {
            let coded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let order =
                json!({"product": product, "orders": [text], "restock": false, "reason": "x"});
            let mut operation = reversal(&product, "x");
            operation["operation"] = text.into();
            let stop = json!({"product": text, "reason": "x"});
            for (path, body) in [
                ("/admin/incident/reverse", order),
                ("/admin/incident/reverse", operation),
                ("/admin/incident/stop", stop),
            ] {
                let answer = t.admin("POST", path, &body.to_string())?;
                all.push(Got::refused(&answer, 400, "invalid_request").and(not_echoed(&answer)));
            }
            for path in [
                format!("/admin/incident/report?product={coded}"),
                format!("/admin/incident/report?since={coded}"),
                format!("/admin/audit?kind={coded}"),
                format!("/admin/approvals/{coded}/approve"),
            ] {
                let method = if path.ends_with("approve") { "POST" } else { "GET" };
                let answer = t.admin(method, &path, "")?;
                all.push(Got::status(&answer, &[400, 404]).and(not_echoed(&answer)));
            }
        }
        let fine = t.admin("GET", &format!("/admin/incident/report?product={product}"), "")?;
        Ok(Got::all(all).and(untouched(t, &product)?).and(Got::of(fine.status == 200, "")))
    }),
    Attack::new("formulas and markup in the report", "API8", "text, in each of its files", |t| {
        let product = t.sale(5)?;
        let since = t.now_ms();
        let marker = t.unique("honest");
        for reason in HOSTILE.into_iter().chain([marker.as_str()]) {
            let body = json!({"product": product, "reason": reason}).to_string();
            t.admin("POST", "/admin/incident/stop", &body)?;
            t.admin("POST", "/admin/incident/resume", &body)?;
        }
        let bundle = report(t, &product, since)?;
        let mut all = Vec::new();
        for bad in ["<script", "<img", "](javascript", "![x]", "\u{202e}", "\u{2028}"] {
            for (name, text) in bundle.files().filter(|(name, _)| name.ends_with("md")) {
                all.push(Got::of(!text.contains(bad), format!("{bad:?} in {name}")));
            }
        }
        for line in bundle.actions.lines() {
            // Every field that somebody wrote is in quotes, and begins with none of these.
            let formula = ["\"=", "\"+", "\"-", "\"@"].iter().find(|start| {
                line.match_indices(**start).any(|(at, _)| at == 0 || line[..at].ends_with(','))
            });
            all.push(Got::of(formula.is_none(), format!("a formula in {line:?}")));
        }
        if all.iter().all(|got| got.blocked) {
            all = vec![Got::of(true, "all are text")];
        }
        let told = bundle.markdown.contains(&marker.replace('-', "\\-"))
            && bundle.actions.contains(&marker);
        Ok(Got::all(all).and(Got::of(told, if told { "" } else { "an honest reason is lost" })))
    }),
    Attack::new(
        "a report changed after it was signed",
        "API8",
        "found, whatever was changed",
        |t| {
            let product = t.sale(5)?;
            let since = t.now_ms();
            t.accepted(&product)?;
            stop(t, &product)?;
            let bundle = report(t, &product, since)?;
            let key = audit_key(t)?;
            let judged = |bundle: &Bundle| -> anyhow::Result<bool> {
                let dir = tempfile::tempdir()?;
                let path = dir.path().join("report");
                bundle.write(&path)?;
                Ok(check(&path, &key)?.is_sound())
            };
            let honest = judged(&bundle)?;
            let forge = |change: &dyn Fn(&mut Bundle)| {
                let mut forged = bundle.clone();
                change(&mut forged);
                judged(&forged).map(|sound| !sound)
            };
            let found = [
                forge(&|b| b.markdown = b.markdown.replacen("stopped", "was", 1) + " ")?,
                forge(&|b| b.orders = b.orders.replacen("confirmed", "reversed", 1))?,
                forge(&|b| b.audit = b.audit.lines().skip(1).map(|l| format!("{l}\n")).collect())?,
                forge(&|b| b.manifest = b.manifest.replace(&since.to_string(), "1"))?,
                forge(&|b| b.signature = "00".repeat(64))?,
                forge(&|b| b.head = "{}\n".to_owned())?,
                forge(&|b| b.records = None)?,
            ];
            let all = found.iter().all(|found| *found);
            let control = if honest { "" } else { "control failed: the report is not sound" };
            Ok(Got::of(all && honest, format!("{found:?}")).and(Got::of(honest, control)))
        },
    ),
    Attack::new("another sale's orders reversed", "API1", "unknown; nothing changes", |t| {
        let (product, other) = (t.sale(5)?, t.sale(5)?);
        let (order, ..) = t.accepted(&other)?;
        let body = json!({"product": product, "orders": [order], "restock": true, "reason": "x"});
        let answer = t.admin("POST", "/admin/incident/reverse", &body.to_string())?;
        let unknown = Got::of(answer.json()["unknown"] == 1, answer.summary());
        Ok(unknown.and(t.must_have_sold(&other, 1)?).and(t.must_have_sold(&product, 0)?))
    }),
    Attack::new("orders reversed over and over", "API6", "each once; no unit more", |t| {
        let product = t.sale(5)?;
        let (order, ..) = t.accepted(&product)?;
        let (kept, ..) = t.accepted(&product)?;
        let body =
            json!({"product": product, "orders": [order, order], "restock": true, "reason": "x"});
        let mut reversed = 0;
        for _ in 0..5 {
            let answer = t.admin("POST", "/admin/incident/reverse", &body.to_string())?;
            reversed += answer.json()["reversed"].as_u64().unwrap_or_default();
        }
        let shown = t.admin("GET", &format!("/admin/products/{product}"), "")?.json();
        let units = shown["capacity"] == 5 && shown["sold"] == 1 && !kept.is_empty();
        Ok(Got::of(reversed == 1 && units, format!("reversed {reversed} times")))
    }),
];

fn call(method: &str, path: &str, body: &str, product: &str) -> Draft {
    Draft::new(method, &path.replace("{}", product), body.replace("{}", product))
}

fn reversal(product: &str, reason: &str) -> Value {
    let order = "00000000-0000-8000-8000-000000000000";
    json!({"product": product, "orders": [order], "restock": false, "reason": reason})
}

/// What this operator's role does not allow must be refused, and nothing may change.
fn as_role(t: &Target, index: usize) -> anyhow::Result<Got> {
    let (role, token) = OPERATORS[index];
    let product = t.sale(5)?;
    let mut all = Vec::new();
    for (method, path, body, least) in CALLS {
        // A viewer's calls are everybody's.
        if least == role || least == "viewer" {
            continue;
        }
        let [path, body] = [path, body].map(|text| text.replace("{}", &product));
        all.push(Got::refused(&by(t, token, method, &path, &body)?, 403, "forbidden"));
    }
    let allowed = by(t, token, "GET", "/admin/blocks", "")?;
    let tokens = t.admin("GET", "/admin/tokens", "")?;
    let untaken = !tokens.text().contains("thief");
    Ok(Got::all(all)
        .and(untouched(t, &product)?)
        .and(Got::of(allowed.status == 200 && untaken, ""))
        .and(stop_works(t)?))
}

/// The sale goes on, with all its units.
fn untouched(t: &Target, product: &str) -> anyhow::Result<Got> {
    let shown = t.admin("GET", &format!("/admin/products/{product}"), "")?.json();
    let is = shown["paused"] == false && shown["capacity"] == 5;
    Ok(Got::of(is, if is { "" } else { "the sale was changed" }))
}

/// The control: whoever may stop a sale can.
fn stop_works(t: &Target) -> anyhow::Result<Got> {
    let product = t.sale(5)?;
    stop(t, &product)?;
    let shown = t.admin("GET", &format!("/admin/products/{product}"), "")?.json();
    let is = shown["paused"] == true;
    Ok(Got::of(is, if is { "" } else { "control failed: the stop does not stop" }))
}

fn stop(t: &Target, product: &str) -> anyhow::Result<()> {
    let body = json!({"product": product, "reason": "a control"}).to_string();
    let answer = t.admin("POST", "/admin/incident/stop", &body)?;
    anyhow::ensure!(answer.status == 200, "it does not stop: {}", answer.text());
    Ok(())
}

fn report(t: &Target, product: &str, since: u64) -> anyhow::Result<Bundle> {
    let path = format!("/admin/incident/report?product={product}&since={since}");
    let answer = t.admin("GET", &path, "")?;
    anyhow::ensure!(answer.status == 200, "no report: {}", answer.text());
    Ok(serde_json::from_slice(&answer.body)?)
}

fn audit_key(t: &Target) -> anyhow::Result<PublicKey> {
    let keys = t.send(&Draft::new("GET", "/.well-known/flux-gate-keys.json", ""))?.json();
    let keys = keys["keys"].as_array().cloned().unwrap_or_default();
    let key = keys.iter().find(|key| key["signs"] == "audit");
    Ok(key.and_then(|key| key["hex"].as_str()).unwrap_or_default().parse()?)
}

/// The lines of the trail of actions whose reason has this word, as they stand in it.
fn actions(t: &Target, word: &str) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut after = 0;
    loop {
        let path = format!("/admin/audit?kind=operator_action&after={after}");
        let page = t.admin("GET", &path, "")?;
        let text = page.text();
        for line in page.json()["events"].as_array().into_iter().flatten() {
            let why = line["fields"]["why"].as_str().unwrap_or_default();
            if why.contains(word) {
                // As it stands: parsed and written again it would be another text.
                let digest = line["digest"].as_str().unwrap_or_default();
                let end = text.find(digest).map_or(0, |at| at + digest.len() + 2);
                let seq = format!("{{\"seq\":{},", line["seq"]);
                let start = text[..end].rfind(&seq).unwrap_or_default();
                let whole = text[start..end].to_owned();
                anyhow::ensure!(line::parse(whole.as_bytes()).is_ok(), "no line: {whole}");
                found.push(whole);
            }
        }
        match page.json()["next"].as_u64() {
            Some(next) => after = next,
            None => return Ok(found),
        }
    }
}

fn not_echoed(answer: &crate::attack::support::wire::Answer) -> Got {
    let echoed = answer.text().contains("evil");
    Got::of(!echoed, if echoed { "echoed" } else { "" })
}
