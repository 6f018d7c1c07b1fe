//! The whole incident as one story: attack, stop, investigation, reversal, tightening, block, resume, report.
//!
//! Everything that an operator does is a command of the program. It is the same over one node and over two: the
//! operator acts on the first node and on the last in turn, and looks on all.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::support::wait::until;

/// The device that all bots have.
const FARM: &str = "farm-marked-7";

/// Where it happens.
pub struct Site<'a> {
    /// Where shoppers call, of each node.
    pub public: Vec<SocketAddr>,
    /// Where operators call, of each node.
    pub operator: Vec<SocketAddr>,
    /// What is sold; its sale is open.
    pub product: &'a str,
    /// A directory for the commands.
    pub dir: &'a Path,
}

/// What the crowd was told.
#[derive(Default)]
struct Told {
    bots: BTreeSet<String>,
    shoppers: BTreeSet<String>,
    /// From when on what is sent is counted below.
    since: Option<Instant>,
    /// Refusals of bots, and of shoppers.
    refused: [Vec<String>; 2],
    /// Accepted ones.
    accepted: [u32; 2],
}

impl Told {
    /// Both were refused since then, bots by so many at least.
    fn both_refused(&self, bots: usize) -> bool {
        self.refused[0].len() >= bots && !self.refused[1].is_empty()
    }
}

impl Site<'_> {
    fn first(&self) -> SocketAddr {
        self.operator[0]
    }

    fn last(&self) -> SocketAddr {
        *self.operator.last().expect("there is a node")
    }

    fn command(&self, at: SocketAddr, arguments: &[&str]) -> String {
        let (done, said) = says(at, self.dir, arguments);
        assert!(done, "{arguments:?}: {said}");
        said
    }

    fn shown(&self, at: SocketAddr) -> Value {
        let path = format!("/admin/products/{}", self.product);
        operator(at, ADMIN_TOKEN, "GET", &path, "", None).json()
    }

    /// All nodes say so, within the time.
    fn all_say(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        for at in &self.operator {
            until(what, || holds(&self.shown(*at)).then_some(()));
        }
    }

    /// Bots (0) or shoppers (1) order without pause, at all nodes in turn.
    fn crowd(&self, kind: usize, told: &Mutex<Told>, end: &AtomicBool) {
        for number in 0_usize.. {
            if end.load(Ordering::Relaxed) {
                return;
            }
            let node = self.public[number % self.public.len()];
            let (user, address, device) = match kind {
                0 => (format!("bot-marked-{number}"), 113, FARM.to_owned()),
                _ => (format!("shopper-marked-{number}"), 7, format!("device-marked-{number}")),
            };
            let address = format!("203.0.{address}.{}", 1 + number % 200);
            let sent = Instant::now();
            let answer = order_from(node, self.product, &user, "k", &address, &device);
            let mut told = told.lock().unwrap();
            let counts = told.since.is_some_and(|since| sent > since);
            if answer.summary() == "200 success" {
                let ids = if kind == 0 { &mut told.bots } else { &mut told.shoppers };
                ids.insert(answer.member("orderId"));
                told.accepted[kind] += u32::from(counts);
            } else if counts {
                told.refused[kind].push(answer.word());
            }
            drop(told);
            std::thread::sleep(Duration::from_millis(4));
        }
    }

    /// What the crowd is told of what it sends from now on, for a while and until there is enough of it: accepted
    /// and refused, of bots and of shoppers.
    fn watch(
        &self,
        told: &Mutex<Told>,
        enough: impl Fn(&Told) -> bool,
    ) -> ([u32; 2], [Vec<String>; 2]) {
        {
            let mut told = told.lock().unwrap();
            told.since = Some(Instant::now());
            told.accepted = [0, 0];
            told.refused = Default::default();
        }
        std::thread::sleep(Duration::from_millis(1_500));
        until("the crowd is told enough", || {
            let mut told = told.lock().unwrap();
            enough(&told).then(|| (told.accepted, std::mem::take(&mut told.refused)))
        })
    }
}

/// Plays it.
pub fn play(site: &Site<'_>) {
    let told = Mutex::new(Told::default());
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for kind in [0, 1] {
            let (told, end) = (&told, &end);
            scope.spawn(move || site.crowd(kind, told, end));
        }
        // A panic of the story must end the crowd, too.
        let story = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tell(site, &told)));
        end.store(true, Ordering::Relaxed);
        if let Err(panic) = story {
            std::panic::resume_unwind(panic);
        }
    });
    report(site, &told.into_inner().unwrap());
}

fn tell(site: &Site<'_>, told: &Mutex<Told>) {
    let product = site.product;
    until("the attack gets through", || (told.lock().unwrap().bots.len() >= 100).then_some(()));
    let said = site.command(site.first(), &["stop", product, "--reason", "a farm of bots"]);
    assert!(said.contains("stopped in"), "{said}");
    // Each kind sends one after the other: whoever was on the way before has an answer by then.
    let (accepted, refused) = site.watch(told, |told| told.both_refused(1));
    assert_eq!(accepted, [0, 0], "rule 6: nothing is confirmed after a stop");
    assert!(refused.iter().flatten().all(|word| word == "paused"), "{refused:?}");
    let (bots, shoppers) = {
        let told = told.lock().unwrap();
        (told.bots.clone(), told.shoppers.clone())
    };
    let sold = (bots.len() + shoppers.len()) as u64;
    site.all_say("rule 6: the true count", |shown| shown["sold"] == sold);

    // Investigate: every order of the farm, and nobody else's. Evidence is written each second.
    let found = until("the farm is found", || {
        Some(suspicious(site)).filter(|found| found.len() >= bots.len())
    });
    assert!(found == bots, "{} found, {} bots", found.len(), bots.len());
    investigate(site, bots.len(), sold);

    let which = ["--query", "pattern=shared_fingerprint&since=-10m"];
    let reverse = |at, more: &[&str]| {
        let arguments = ["reverse", "--product", product, which[0], which[1], "--restock"];
        site.command(at, &[&arguments[..], &["--reason", "a farm of bots"], more].concat())
    };
    let said = reverse(site.last(), &["--dry-run"]);
    let expected = format!("{0} orders of {product}: {0} would be taken back", bots.len());
    assert!(said.contains(&expected), "{said}");
    site.all_say("a dry run changes nothing", |shown| shown["sold"] == sold);
    let capacity = site.shown(site.first())["capacity"].clone();
    let said = reverse(site.last(), &["--yes"]);
    assert!(said.contains(&format!("{} taken back, 0 before, 0 unknown", bots.len())), "{said}");
    let left = shoppers.len() as u64;
    site.all_say("the farm's orders are taken back, with their units", |shown| {
        shown["sold"] == left && shown["capacity"] == capacity
    });
    let said = reverse(site.first(), &["--yes"]);
    assert!(said.contains("0 would be taken back"), "{said}");

    let tighten = ["tighten", "fingerprint_per_second", "--to", "1", "--until", "+10m"];
    site.command(site.first(), &[&tighten[..], &["--reason", "one device"]].concat());
    let begun = Instant::now();
    let (_, refused) = site.watch(told, |told| told.both_refused(40));
    let limited = refused[0].iter().filter(|word| *word == "too_many_requests").count();
    // On each node what a second gives, at once and then each second.
    let passed = (refused[0].len() - limited) as u64;
    let most = site.public.len() as u64 * (2 + begun.elapsed().as_secs());
    assert!(limited > 0 && passed <= most, "{passed} of {}, {most} may", refused[0].len());
    assert!(refused[1].iter().all(|word| word == "paused"), "shoppers feel nothing of it");
    for target in [["--address", "203.0.113.0/24"], ["--fingerprint", FARM]] {
        let block = ["block", target[0], target[1], "--until", "+10m", "--reason", "bots"];
        site.command(site.last(), &block);
    }
    let (_, refused) = site.watch(told, |told| told.both_refused(1));
    assert!(!refused[0].is_empty() && refused[0].iter().all(|word| word == "blocked"));
    assert!(refused[1].iter().all(|word| word == "paused"), "shoppers feel nothing of it");

    let said = site.command(site.last(), &["resume", product, "--reason", "the farm is blocked"]);
    assert!(said.contains("resumed in"), "{said}");
    let (accepted, _) = site.watch(told, |told| told.accepted[1] > 10);
    assert_eq!(accepted[0], 0, "the farm does not");
}

/// The same by the commands, and whom they are from; nobody is named.
fn investigate(site: &Site<'_>, bots: usize, sold: u64) {
    let look = |command: &str, more: &[&str]| {
        let arguments = [command, "--product", site.product, "--since", "-10m"];
        let said = site.command(site.first(), &[&arguments, more].concat());
        assert!(!said.contains("marked") && !said.contains("203.0."), "rule 7: {said}");
        said
    };
    let json = |more: &[&str]| -> Value {
        let said = look("investigate", &[&["--json", "--limit", "10000"], more].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    };
    for more in [
        &["--pattern", "shared_fingerprint"][..],
        &["--fingerprint", FARM],
        &["--fingerprint", FARM, "--pattern", "shared_fingerprint"],
    ] {
        let found = json(more);
        assert_eq!(
            (&found["matched"], &found["complete"]),
            (&json!(bots), &json!(true)),
            "{more:?}"
        );
        assert_eq!(found["lookedAt"], sold, "{more:?}");
    }
    let one = json(&["--user", "bot-marked-0"]);
    assert_eq!(one["matched"], 1, "{one}");
    let [buyer, fingerprint] = ["buyer", "fingerprint"]
        .map(|name| one["orders"][0][name].as_str().expect("a pseudonym").to_owned());
    assert_eq!(json(&["--buyer", &buyer])["orders"], one["orders"]);
    assert_eq!(json(&["--fingerprint", &fingerprint])["matched"], bots);
    assert_eq!(json(&["--fingerprint", "another", "--user", "bot-marked-0"])["matched"], 0);
    let said = look("investigate", &["--pattern", "shared_fingerprint", "--limit", "3"]);
    assert!(said.starts_with(&format!("{bots} of {sold} accepted orders")), "{said}");
    assert!(
        said.contains(&format!("shared_fingerprint {bots}")) && said.contains("--after"),
        "{said}"
    );
    let said = look("offenders", &[]);
    let farm = said.lines().find(|line| line.starts_with(&fingerprint)).expect(&said);
    assert!(farm.ends_with('!') && farm.contains(&bots.to_string()), "{said}");
    let said = look("analyse", &["--pattern", "shared_fingerprint"]);
    assert!(
        said.starts_with(&format!("{bots} of {sold} accepted orders are suspicious")),
        "{said}"
    );
    let caught = |rule: &str, value: &str| -> Option<Vec<String>> {
        let words = said.lines().map(|line| line.split_whitespace().map(str::to_owned));
        let rows = words.map(Iterator::collect::<Vec<_>>);
        rows.into_iter().find(|row| row.len() == 4 && row[0] == rule && row[1] == value)
    };
    let row = caught("block", &fingerprint).unwrap_or_else(|| panic!("{said}"));
    assert_eq!(row[2..], [bots.to_string(), "0".to_owned()], "{said}");
    assert!(caught("fingerprint_per_second", "1").is_some_and(|row| row[3] == "0"), "{said}");
}

/// The ids that share a fingerprint, by the operator's call.
fn suspicious(site: &Site<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut after = String::new();
    let since = unix_ms() - 600_000;
    loop {
        let path = format!(
            "/admin/incident/orders?product={}&since={since}&pattern=shared_fingerprint&limit=50{after}",
            site.product
        );
        let page = operator(site.last(), ADMIN_TOKEN, "GET", &path, "", None);
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        for order in page["orders"].as_array().expect("a list") {
            found.insert(order["orderId"].as_str().expect("an id").to_owned());
        }
        match &page["next"] {
            Value::Null => return found,
            Value::String(next) => after = format!("&after={next}"),
            next => after = format!("&after={next}"),
        }
    }
}

/// The report of the node that the stop went through, its check, and the books at the end.
fn report(site: &Site<'_>, told: &Told) {
    let keys = Draft::new("GET", "/.well-known/flux-gate-keys.json", "");
    let keys = exchange(site.public[0], None, &keys.bytes()).unwrap().unwrap().json();
    let keys = keys["keys"].as_array().unwrap().iter();
    let key = keys.clone().find(|key| key["signs"] == "audit").unwrap()["hex"].clone();
    let key = key.as_str().unwrap();
    let arguments = ["report", "--since", "-10m", "--product", site.product, "--out", "report-71"];
    let said = site.command(site.first(), &[&arguments[..], &["--key", key]].concat());
    assert!(said.contains("report sound") && said.contains("up to the signed head"), "{said}");
    let dir = site.dir.join("report-71");
    let story: Value =
        serde_json::from_slice(&std::fs::read(dir.join("report.json")).unwrap()).unwrap();
    let did: Vec<_> = story["actions"].as_array().unwrap().iter().map(|a| &a["what"]).collect();
    for what in ["sale_paused", "limit_set"] {
        assert!(did.contains(&&json!(what)), "{what}: {did:?}");
    }
    assert_eq!(story["products"][0]["now"]["sold"], told.shoppers.len());
    assert_eq!(story["evidence"], "kept");
    let farm = &story["offenders"]["fingerprint"][0];
    assert_eq!((&farm["key"], &farm["orders"]), (&json!("fingerprint 1"), &json!(told.bots.len())));
    assert_eq!(story["analysis"]["patterns"]["shared_fingerprint"], told.bots.len());
    let markdown = std::fs::read_to_string(dir.join("report.md")).unwrap();
    assert!(markdown.contains("a farm of bots"), "{markdown}");
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for clear in ["marked", "203.0."] {
            assert!(!text.contains(clear), "rule 7: {clear} is in {}", path.display());
        }
    }
    let check = ["report", "--check", "report-71", "--key", key];
    site.command(site.first(), &check);
    let orders = dir.join("orders.jsonl");
    let text = std::fs::read_to_string(&orders).unwrap();
    std::fs::write(&orders, text.replacen("confirmed", "reversed_", 1)).unwrap();
    let (sound, said) = says(site.first(), site.dir, &check);
    assert!(!sound && said.contains("orders.jsonl is not what was signed"), "{said}");
    // The books: what shoppers were told is sold, on every node, and no order of the farm.
    let sold = told.shoppers.len() as u64;
    site.all_say("rule 2: every order that a shopper was told of", |shown| {
        shown["sold"] == sold && shown["pending"] == 0
    });
}

#[test]
fn the_whole_incident_from_attack_to_report_on_one_node() {
    let rig = Rig::start("");
    rig.sale("phone", 100_000);
    let site = Site {
        public: vec![rig.server.public],
        operator: vec![rig.server.operator],
        product: "phone",
        dir: rig.dir.path(),
    };
    play(&site);
    let Rig { server, dir, .. } = rig;
    server.stop().unwrap();
    let mut verify = Command::new(program());
    clean(&mut verify);
    let output = verify.args(["audit", "verify", "--data"]).arg(dir.path().join("store")).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
}
