//! What is kept of a person, and that an erasure reaches every file, whatever is restored after it.
//!
//! Over the real program on an embedded store. Each test has a person with a name that is searched for in all
//! files of the store and beside it, in every form that it could take.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flux_gate::clock::Clock;
use serde_json::Value;
use tempfile::TempDir;

use crate::crash::program;
use crate::secrets::marks::{Marks, Place};
use crate::support::draft::{Draft, Signer};
use crate::support::server::{ADMIN_TOKEN, Server, clean};
use crate::support::wire::{Answer, exchange};

const CONFIG: &str = r#"
[http]
drain_delay_ms = 0
[limits]
ip_per_second = 0
buyer_per_second = 0
min_interval_ms = 0
[[clients]]
id = "shop"
secrets = ["shop-secret-of-privacy-0123456789"]
roles = ["order", "session", "fulfilment"]
"#;
/// Who is forgotten.
const PERSON: &str = "mark-person-7c1d9e";
/// Who is not.
const OTHER: &str = "mark-other-2b4f60";

struct Rig {
    server: Option<Server>,
    dir: TempDir,
    clock: Clock,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut rig = Self { server: None, dir, clock: Clock::system() };
        rig.start().expect("it starts");
        rig
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn journal(&self) -> PathBuf {
        self.dir.path().join("store.erasures.jsonl")
    }

    fn start(&mut self) -> anyhow::Result<()> {
        self.server = Some(Server::start(program(), &self.store(), CONFIG)?);
        Ok(())
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    /// Stops it; what it has logged.
    fn stop(&mut self) -> String {
        self.server.take().expect("it runs").stop().expect("it stops").1
    }

    fn signed(&self, draft: Draft) -> Answer {
        let secret = "shop-secret-of-privacy-0123456789".to_owned();
        let shop = Signer::Client { id: "shop".to_owned(), secret };
        let draft = draft.sign(&shop, self.clock.unix_ms());
        exchange(self.server().public, None, &draft.bytes()).unwrap().expect("an answer")
    }

    fn order(&self, product: &str, user: &str, key: &str) -> Answer {
        self.signed(Draft::order(product, user, key))
    }

    fn call(&self, path: &str, body: &str, key: &str) -> Answer {
        let method = if body.is_empty() { "GET" } else { "POST" };
        let draft = Draft::new(method, path, body)
            .set("authorization", format!("Bearer {ADMIN_TOKEN}"))
            .set("idempotency-key", key);
        let draft = if key.is_empty() { draft.without("idempotency-key") } else { draft };
        exchange(self.server().operator, None, &draft.bytes()).unwrap().expect("an answer")
    }

    fn privacy(&self, what: &str) -> Value {
        let body = format!(r#"{{"userId":"{PERSON}"}}"#);
        let answer = self.call(&format!("/admin/privacy/{what}"), &body, "");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    fn erase(&self, key: &str) -> Answer {
        let body = format!(r#"{{"userId":"{PERSON}","reason":"asked for it"}}"#);
        self.call("/admin/privacy/erase", &body, key)
    }

    /// Two sales, with orders of both people.
    fn sell(&self) {
        for product in ["phone", "hat"] {
            let body = format!(r#"{{"productId":"{product}","quantity":5}}"#);
            assert_eq!(self.call("/init", &body, "open").status, 200);
            for user in [PERSON, OTHER] {
                assert_eq!(self.order(product, user, "key-1").summary(), "200 success");
            }
        }
    }

    /// The user ids in the shop's feed, in its order.
    fn fed(&self) -> Vec<Option<String>> {
        let feed = self.signed(Draft::new("GET", "/orders?after=0", "")).json();
        let orders = feed["orders"].as_array().or(feed["events"].as_array()).expect("a list");
        orders.iter().map(|order| order["userId"].as_str().map(str::to_owned)).collect()
    }

    /// Whether the person's name is in a file, in any form.
    fn is_found(&self) -> bool {
        let mut marks = Marks::default();
        marks.secret("the person", PERSON);
        let mut found = false;
        walk(self.dir.path(), &mut |path| {
            let bytes = std::fs::read(path).unwrap_or_default();
            found |= !marks.found_in(Place::Store, &bytes).is_empty();
        });
        found
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        clean(&mut command);
        let config = self.dir.path().join("store.toml");
        command.args(arguments).arg("--config").arg(config).arg("--data").arg(self.store());
        command
    }
}

fn walk(dir: &Path, each: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() { walk(&path, each) } else { each(&path) }
    }
}

fn copy(from: &Path, to: &Path) {
    let made = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(made.expect("cp can be run").success());
}

/// Runs a command with this on its standard input.
fn fed_with(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it can be run");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("it takes input");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

#[test]
fn a_person_is_told_what_is_kept_and_then_forgotten_in_every_file() {
    let mut rig = Rig::new();
    rig.sell();
    let export = rig.privacy("export");
    let persons = export["persons"].as_array().unwrap();
    assert_eq!(persons.len(), 1, "{export}");
    let orders = persons[0]["orders"].as_array().unwrap();
    assert_eq!(orders.len(), 2);
    assert!(orders.iter().all(|o| o["userId"] == PERSON && o["status"] == "confirmed"));
    assert!(export["elsewhere"].as_array().unwrap().len() > 3 && export["sealed"].is_null());
    assert_eq!(rig.privacy("status")["status"], "kept");

    let dry = format!(r#"{{"userId":"{PERSON}","reason":"x","dryRun":true}}"#);
    let dry = rig.call("/admin/privacy/erase", &dry, "");
    assert_eq!(dry.summary(), "200 dry_run");
    assert_eq!(dry.json()["persons"][0]["userIds"], 2);
    assert!(rig.is_found(), "the search finds who is not erased");

    assert_eq!(rig.erase("").summary(), "400 missing_idempotency_key");
    let erased = rig.erase("erase-1");
    assert_eq!(erased.summary(), "200 erased", "{}", erased.text());
    assert!(!rig.is_found(), "while it runs");
    let again = rig.erase("erase-1");
    assert_eq!(again.header("idempotency-replayed"), Some("true"), "{}", again.text());
    assert_eq!(rig.privacy("status")["status"], "erased_everywhere");
    let export = rig.privacy("export");
    let orders = export["persons"][0]["orders"].as_array().unwrap().clone();
    assert!(orders.len() == 2 && orders.iter().all(|order| order["userId"].is_null()));
    assert!(export["persons"][0]["erasedAt"].is_u64());

    // Counts, feed and limits stand: rules 1 to 3.
    let users = [None, Some(OTHER.to_owned()), None, Some(OTHER.to_owned())];
    assert_eq!(rig.fed(), users);
    for product in ["phone", "hat"] {
        let shown = rig.call(&format!("/admin/products/{product}"), "", "").json();
        assert_eq!((&shown["sold"], &shown["remaining"]), (&2.into(), &3.into()));
        let repeated = rig.order(product, PERSON, "key-1");
        assert_eq!(repeated.summary(), "200 ignored", "the same key is the same order");
        let other = rig.order(product, PERSON, "key-2");
        assert!(["200 ignored", "409 limit_reached"].contains(&other.summary().as_str()));
    }
    // Who did it, why, and to whom, as a pseudonym.
    let buyer = export["persons"][0]["buyer"].as_str().unwrap();
    for (kind, times) in [("privacy_export", 2), ("operator_action", 2)] {
        let page = rig.call(&format!("/admin/audit?kind={kind}"), "", "").json();
        let events = page["events"].as_array().unwrap();
        let about = events.iter().filter(|event| event.to_string().contains(buyer));
        let about: Vec<_> = about.collect();
        assert_eq!(about.len(), times, "{kind}: {page}");
        assert!(about.iter().all(|event| event["fields"]["who"] == "admin"));
    }
    assert!(!rig.is_found(), "after all of it");
    let log = rig.stop();
    assert!(!log.contains(PERSON), "{log}");
    assert!(!rig.is_found(), "at rest");
    let verified = rig.command(&["audit", "verify"]).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn a_store_that_is_restored_is_erased_again_before_it_serves() {
    let mut rig = Rig::new();
    rig.sell();
    rig.stop();
    let backup = rig.dir.path().join("backup");
    copy(&rig.store(), &backup);
    rig.start().unwrap();
    let url = format!("http://{}", rig.server().operator);
    let arguments = ["privacy", "erase", "-", "--reason", "asked for it", "--url", &url];
    let unasked = fed_with(rig.command(&arguments), PERSON);
    assert!(!unasked.status.success(), "nobody can be asked");
    assert_eq!(rig.privacy("status")["status"], "kept");
    let done =
        fed_with(rig.command(&[&arguments[..], &["--yes"]].concat()), &format!("{PERSON}\n"));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && said.starts_with("erased"), "{said}");
    assert!(!said.contains(PERSON), "{said}");
    // Somebody who comes back after the erasure is somebody new, and a start does not erase them.
    let body = r#"{"productId":"boot","quantity":5}"#;
    assert_eq!(rig.call("/init", body, "open").status, 200);
    assert_eq!(rig.order("boot", PERSON, "key-9").summary(), "200 success");
    rig.stop();
    rig.start().unwrap();
    assert_eq!(rig.privacy("status")["persons"][0]["userIds"], 1, "the new order alone");
    rig.stop();

    std::fs::remove_dir_all(rig.store()).unwrap();
    std::fs::rename(&backup, rig.store()).unwrap();
    assert!(rig.is_found(), "the backup is from before the erasure");
    rig.start().unwrap();
    assert!(!rig.is_found(), "it serves, so it is done");
    assert_eq!(rig.fed(), [None, Some(OTHER.to_owned()), None, Some(OTHER.to_owned())]);
    let event = crate::support::wait::until("it is recorded", || {
        let page = rig.call("/admin/audit?kind=retention", "", "").json();
        page["events"].as_array()?.first().cloned()
    });
    let fields = &event["fields"];
    assert_eq!((&fields["what"], &fields["count"]), (&"erasures_done_again".into(), &1.into()));
    rig.stop();
    rig.start().unwrap();
    let log = rig.stop();
    assert!(!log.contains("erased again"), "once: {log}");
    let verified = rig.command(&["audit", "verify"]).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn a_journal_that_was_lost_is_completed_from_the_store_and_a_forged_one_is_refused() {
    let mut rig = Rig::new();
    rig.sell();
    assert_eq!(rig.erase("erase-1").summary(), "200 erased");
    rig.stop();
    let whole = std::fs::read_to_string(rig.journal()).unwrap();
    assert_eq!(whole.lines().count(), 1);
    std::fs::remove_file(rig.journal()).unwrap();
    rig.start().unwrap();
    rig.stop();
    let completed = std::fs::read_to_string(rig.journal()).unwrap();
    let [was, is] = [&whole, &completed].map(|text| serde_json::from_str::<Value>(text).unwrap());
    assert_eq!((&was["buyer"], &was["operation"]), (&is["buyer"], &is["operation"]));

    // Somebody with the right to write there would have another customer erased.
    let other = "00112233445566778899aabbccddeeff";
    let forged = completed.replace(is["buyer"].as_str().unwrap(), other);
    for text in [forged.clone(), format!("{completed}{forged}"), "{}\n".to_owned()] {
        std::fs::write(rig.journal(), text).unwrap();
        let refused = rig.start().unwrap_err().to_string();
        assert!(refused.contains("journal of erasures") && refused.contains("line"), "{refused}");
    }
    std::fs::write(rig.journal(), &completed).unwrap();
    rig.start().unwrap();
    assert_eq!(rig.fed().iter().flatten().count(), 2, "nobody else was erased");
}

/// Without the journal an erasure would come undone by a restore, so there is none.
#[test]
fn an_erasure_that_cannot_be_noted_is_refused() {
    let rig = Rig::new();
    rig.sell();
    std::fs::create_dir(rig.journal()).unwrap();
    let refused = rig.erase("erase-1");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(rig.privacy("status")["status"], "kept");
    std::fs::remove_dir(rig.journal()).unwrap();
    assert_eq!(rig.erase("erase-1").summary(), "200 erased");
    assert!(!rig.is_found());
}
