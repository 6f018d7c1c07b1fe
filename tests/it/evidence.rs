//! The evidence of the real program: what attempts over HTTP leave in its file, and what they do not.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flux_gate::clock::Clock;
use flux_gate::evidence::sqlite::EVIDENCE_FILE;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::support::draft::{Draft, Signer};
use crate::support::server::{ADMIN_TOKEN, Server};
use crate::support::wait::until;
use crate::support::wire::{self, Answer, exchange};

const CONFIG: &str = r#"
[http]
trusted_proxies = ["127.0.0.1/32"]
drain_delay_ms = 0
[limits]
ip_per_second = 0
client_per_second = 0
fingerprint_per_second = 0
buyer_per_second = 0
min_interval_ms = 0
[[clients]]
id = "shop"
secrets = ["shop-secret-of-the-evidence-0123456789"]
roles = ["order", "session"]
"#;
const ADDRESS: &str = "203.0.113.177";
const FINGERPRINT: &str = "fingerprint-marked-6160";

struct Rig {
    server: Server,
    dir: TempDir,
    clock: Clock,
}

impl Rig {
    fn start(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = env!("CARGO_BIN_EXE_flux-gate").as_ref();
        let config = format!("{CONFIG}{more}");
        let server = Server::start(program, &dir.path().join("store"), &config).unwrap();
        let rig = Self { server, dir, clock: Clock::system() };
        let open = Draft::new("POST", "/init", r#"{"productId":"phone","quantity":3}"#)
            .set("authorization", format!("Bearer {ADMIN_TOKEN}"))
            .set("idempotency-key", "open");
        let opened = exchange(rig.server.operator, None, &open.bytes()).unwrap().unwrap();
        assert_eq!(opened.status, 200, "{}", opened.text());
        rig
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn send(&self, draft: &Draft) -> Answer {
        exchange(self.server.public, None, &draft.bytes()).unwrap().unwrap()
    }

    fn signed(&self, who: &Signer, draft: Draft) -> Draft {
        draft.sign(who, self.clock.unix_ms())
    }

    fn session(&self, user: &str) -> Signer {
        let body = format!(r#"{{"userId":"{user}"}}"#);
        let answer = self.send(&self.signed(&shop(), Draft::new("POST", "/session", body)));
        Signer::Shopper { pass: answer.member("pass"), session_key: answer.member("sessionKey") }
    }

    fn stop(self) -> TempDir {
        self.server.stop().unwrap();
        self.dir
    }
}

fn shop() -> Signer {
    let secret = "shop-secret-of-the-evidence-0123456789".to_owned();
    Signer::Client { id: "shop".to_owned(), secret }
}

fn order(product: &str, user: &str, key: &str) -> Draft {
    Draft::order(product, user, key)
        .set("x-forwarded-for", ADDRESS)
        .set("x-device-fingerprint", FINGERPRINT)
}

fn open(store: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    Connection::open_with_flags(store.join(EVIDENCE_FILE), flags).unwrap()
}

/// What of each outcome: how many rows, how many of them have an order id, and how many a product.
fn rows(evidence: &Connection) -> BTreeMap<String, (u32, u32, u32)> {
    let sql = "SELECT what, count(*), count(order_id), count(product) FROM sightings GROUP BY what";
    let mut statement = evidence.prepare(sql).unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?))))
        .unwrap();
    rows.map(Result::unwrap).collect()
}

fn number(evidence: &Connection, sql: &str) -> i64 {
    evidence.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn every_attempt_leaves_what_is_needed_and_nobodys_name() {
    let rig = Rig::start("[blocks]\naddresses = [\"198.51.100.0/24\"]\n");
    let users: Vec<_> = (1..=4).map(|n| format!("bot-6160-000{n}")).collect();
    let passes: Vec<_> = users.iter().map(|user| rig.session(user)).collect();
    let buy = |n: usize, key: &str| {
        rig.send(&rig.signed(&passes[n], order("phone", &users[n], key))).summary()
    };
    assert_eq!(buy(0, "a"), "200 success");
    assert_eq!(buy(0, "a"), "200 ignored");
    assert_eq!(buy(1, "b"), "200 success");
    let by_shop = rig.signed(&shop(), order("phone", "customer-6160-x", "c"));
    assert_eq!(rig.send(&by_shop).summary(), "200 success");
    assert_eq!(buy(2, "d"), "409 sold_out");
    let unknown = rig.signed(&passes[3], order("made-up-6160", &users[3], "e"));
    assert_eq!(rig.send(&unknown).summary(), "404 unknown_product");
    assert_eq!(rig.send(&order("phone", &users[3], "f")).summary(), "401 unauthorized");
    let wrong = rig.signed(&passes[3], order("phone", &users[3], "g"));
    let wrong = wrong.set("x-signature", "ab".repeat(32));
    assert_eq!(rig.send(&wrong).summary(), "401 invalid_signature");
    let broken = rig.signed(&passes[3], order("phone", &users[3], "h").body("{}"));
    assert_eq!(rig.send(&broken).summary(), "400 invalid_request");
    let blocked = order("phone", &users[3], "i").set("x-forwarded-for", "198.51.100.7");
    assert_eq!(rig.send(&blocked).summary(), "403 blocked");
    // Not an attempt to buy.
    assert_eq!(rig.send(&Draft::new("GET", "/products/phone", "")).status, 200);
    let store = rig.store();
    let _dir = rig.stop();

    let evidence = open(&store);
    let expected = [
        ("accepted", (3, 3, 3)),
        ("blocked", (1, 0, 0)),
        ("duplicate", (1, 1, 1)),
        ("invalid", (2, 1, 0)),
        ("not_authentic", (2, 0, 0)),
        ("sold_out", (1, 1, 1)),
    ];
    let expected: BTreeMap<_, _> =
        expected.into_iter().map(|(what, counts)| (what.to_owned(), counts)).collect();
    assert_eq!(rows(&evidence), expected);
    let shown =
        "SELECT count(DISTINCT address) FROM sightings WHERE what <> 'blocked' AND address <> 0";
    assert_eq!(number(&evidence, shown), 1, "all but the blocked one are from one address");
    assert_eq!(
        number(&evidence, "SELECT count(*) FROM sightings WHERE address = 0"),
        1,
        "the shop"
    );
    let fingerprints = "SELECT count(DISTINCT fingerprint) FROM sightings";
    assert_eq!(number(&evidence, fingerprints), 1);
    let buyers = "SELECT count(DISTINCT buyer) FROM sightings WHERE what = 'accepted'";
    assert_eq!(number(&evidence, buyers), 3);
    let row = "SELECT max(series_number) - min(series_number) FROM sightings
        WHERE what = 'accepted' AND series_stem IS NOT NULL";
    assert_eq!(number(&evidence, row), 1, "bot-6160-0001 and bot-6160-0002 are neighbours");
    assert_eq!(number(&evidence, "SELECT sum(count) FROM minutes"), 10);
    assert_eq!(number(&evidence, "SELECT sum(count) FROM minutes WHERE product = 'phone'"), 5);
    drop(evidence);

    // The log's own file has user ids: it is what the shop fulfils by. The evidence has none.
    for file in std::fs::read_dir(&store).unwrap() {
        let path = file.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let of_evidence = path.to_string_lossy().contains("evidence");
        let everywhere =
            [ADDRESS.as_bytes(), FINGERPRINT.as_bytes(), b"198.51.100", &[203, 0, 113, 177]];
        let here = [&b"6160"[..], b"customer", b"shop"];
        let needles = everywhere.iter().chain(here.iter().filter(|_| of_evidence));
        for needle in needles {
            let found = bytes.windows(needle.len()).any(|window| window == *needle);
            assert!(!found, "{needle:?} is in {}", path.display());
        }
    }
}

/// Whoever goes away without waiting for the answer has bought all the same, and is seen all the same.
#[test]
fn who_hangs_up_before_the_answer_leaves_what_is_needed_too() {
    const BUYERS: usize = 48;
    let rig = Rig::start("");
    let sale = Draft::new("POST", "/init", r#"{"productId":"boots","quantity":1000}"#)
        .set("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .set("idempotency-key", "boots");
    assert_eq!(exchange(rig.server.operator, None, &sale.bytes()).unwrap().unwrap().status, 200);
    let users: Vec<_> = (0..BUYERS).map(|n| format!("gone-6160-{n:04}")).collect();
    let passes: Vec<_> = users.iter().map(|user| rig.session(user)).collect();
    for (n, (user, pass)) in users.iter().zip(&passes).enumerate() {
        let bytes = rig.signed(pass, order("boots", user, "k")).bytes();
        let mut stream = TcpStream::connect(rig.server.public).unwrap();
        stream.write_all(&bytes).unwrap();
        // Before it is read, while it is on its way to the log, and when its answer is on its way.
        std::thread::sleep(Duration::from_micros(150 * n as u64));
        // Half of them say goodbye, half are cut off: what was not read yet is lost with those.
        if n % 2 == 0 {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
    // What was sent is read by now, or by the stop, or never will be.
    std::thread::sleep(Duration::from_secs(2));
    let store = rig.store();
    let _dir = rig.stop();
    // Each order in the log was seen, from where and by whom. Who was gone when it was decided is kept as one of
    // whom the outcome was not known: the order's id tells it.
    let evidence = open(&store);
    let log = store.join(flux_gate::log::sqlite::STORE_FILE);
    evidence.execute("ATTACH ?1 AS log", [log.to_str().unwrap()]).unwrap();
    let sold = number(&evidence, "SELECT count(*) FROM log.orders WHERE product = 'boots'");
    println!("{sold} of {BUYERS} who hung up have bought");
    assert!(sold > 0, "nobody has bought");
    let seen = "SELECT count(*) FROM log.orders AS sold WHERE sold.product = 'boots' AND EXISTS (
        SELECT 1 FROM sightings WHERE lower(hex(order_id)) = replace(sold.order_id, '-', '')
        AND buyer IS NOT NULL AND address <> 0 AND fingerprint IS NOT NULL)";
    assert_eq!(number(&evidence, seen), sold, "orders that were seen");
    let early = "SELECT count(*) FROM sightings WHERE what <> 'accepted' AND product = 'boots'";
    println!("{} were gone when it was decided", number(&evidence, early));
}

#[test]
fn a_flood_is_sampled_and_counted_and_shown_in_the_metrics() {
    // Over one connection, so that they come faster than they may be kept on any machine.
    const ATTEMPTS: usize = 3_000;
    const AT_ONCE: usize = 50;
    let rig = Rig::start("");
    let draft = order("phone", "bot-1", "a").bytes();
    let mut connection = wire::Connection::open(rig.server.public, None).unwrap();
    for _ in 0..ATTEMPTS / AT_ONCE {
        connection.write(&draft.repeat(AT_ONCE)).unwrap();
        for _ in 0..AT_ONCE {
            let answer = connection.read().unwrap().expect("it goes on after a refusal");
            assert_eq!(answer.summary(), "401 unauthorized");
        }
    }
    let scrape = || {
        let get =
            Draft::new("GET", "/metrics", "").set("authorization", format!("Bearer {ADMIN_TOKEN}"));
        exchange(rig.server.operator, None, &get.bytes()).unwrap().unwrap().text()
    };
    let is_written = |text: &str| {
        let line =
            text.lines().find_map(|line| line.strip_prefix("flux_gate_evidence_rows_total "));
        line.is_some_and(|rows| rows.parse::<u64>().unwrap() > 0)
    };
    let text = until("evidence is written", || Some(scrape()).filter(|text| is_written(text)));
    assert!(text.contains("flux_gate_evidence_dropped_total 0"), "{text}");
    assert!(text.contains("flux_gate_evidence_failures_total 0"), "{text}");
    let store = rig.store();
    let _dir = rig.stop();
    let evidence = open(&store);
    assert_eq!(number(&evidence, "SELECT sum(count) FROM minutes"), ATTEMPTS as i64);
    let kept = number(&evidence, "SELECT count(*) FROM sightings");
    assert!(kept < ATTEMPTS as i64 && kept >= 32, "{kept}");
    let weight = number(&evidence, "SELECT sum(weight) FROM sightings");
    assert!(weight <= ATTEMPTS as i64, "{weight}");
}

#[test]
fn where_it_is_off_there_is_no_file() {
    let rig = Rig::start("[evidence]\nenabled = false\n");
    assert_eq!(rig.send(&order("phone", "bot-1", "a")).status, 401);
    let store = rig.store();
    let _dir = rig.stop();
    assert!(!store.join(EVIDENCE_FILE).exists());
}

/// A gate that cannot write its evidence sells.
#[test]
fn a_broken_file_stops_no_sale() {
    let rig = Rig::start("");
    let store = rig.store();
    let file = store.join(EVIDENCE_FILE);
    let Rig { server, dir, .. } = rig;
    server.stop().unwrap();
    std::fs::write(&file, b"broken".repeat(10_000)).unwrap();
    let program = env!("CARGO_BIN_EXE_flux-gate").as_ref();
    let server = Server::start(program, &store, CONFIG).unwrap();
    let rig = Rig { server, dir, clock: Clock::system() };
    let pass = rig.session("alice");
    let bought = rig.send(&rig.signed(&pass, order("phone", "alice", "a")));
    assert_eq!(bought.summary(), "200 success");
    let (_, log) = rig.server.stop().unwrap();
    assert!(log.contains("put aside"), "{log}");
    let evidence = open(&store);
    assert_eq!(number(&evidence, "SELECT count(*) FROM sightings WHERE what = 'accepted'"), 1);
}
