//! Bad input against the real server, over raw sockets: every case has a documented answer, none of them a
//! 5xx; nothing of what was sent and nothing of the inside comes back; and the server goes on.
//!
//! A case is signed well unless the signature is what is wrong, so that it reaches the check that it is
//! about. Rates are off: what is tried here is not how often.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use flux_gate::clock::Clock;

use crate::support::draft::{Draft, Signer};
use crate::support::server::{ADMIN_TOKEN, Server};
use crate::support::wire::{Answer, Connection, exchange};

mod bodies;
mod framing;
mod heads;
mod mutations;
mod operators;
mod rooms;
mod settings;
mod slow;
mod targets;

/// What stands in values that must not be echoed.
const MARK: &str = "zqmarkqz";
/// Words of the inside that no answer holds.
const INSIDE: [&str; 10] = [
    ".rs:",
    "panicked",
    "serde",
    "hyper",
    "sqlite",
    "SELECT",
    "/src/",
    "backtrace",
    "axum",
    "tokio",
];
/// Least number of cases: fewer, and some of them have got lost.
const CASES_MIN: usize = 500;
/// How long a connection may be silent before that counts as no answer, where there need be none.
const SILENCE: Duration = Duration::from_millis(1_500);
/// The same where there must be one: a busy machine is no fault of the server.
const PATIENCE: Duration = Duration::from_secs(20);

const CONFIG: &str = r#"
[http]
header_timeout_ms = 1000
body_timeout_ms = 1000
idle_timeout_ms = 2000
[limits]
ip_per_second = 0
fingerprint_per_second = 0
buyer_per_second = 0
client_per_second = 0
min_interval_ms = 0
[room]
products = ["roomy"]
[[clients]]
id = "shop"
secrets = ["shop-secret-0123456789abcdef"]
roles = ["order", "session", "fulfilment"]
"#;

/// What a case may come to.
#[derive(Debug, Clone, Copy)]
enum Expect {
    /// This status and word.
    Word(u16, &'static str),
    /// One of these statuses.
    Status(&'static [u16]),
    /// One of these statuses, or the connection is closed or left waiting.
    StatusOrNone(&'static [u16]),
    /// Any answer but a 5xx, or none.
    Sane,
}

/// One case.
struct Case {
    name: String,
    for_operator: bool,
    bytes: Vec<u8>,
    expect: Expect,
}

impl Case {
    fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>, expect: Expect) -> Self {
        Self { name: name.into(), for_operator: false, bytes: bytes.into(), expect }
    }

    fn may_be_unanswered(&self) -> bool {
        matches!(self.expect, Expect::StatusOrNone(_) | Expect::Sane)
    }

    fn for_operator(mut self) -> Self {
        self.for_operator = true;
        self
    }
}

/// What cases are made with.
struct Kit {
    signer: Signer,
    /// Of a shopper with a session.
    shopper: Signer,
    product: String,
    clock: Clock,
    next: std::cell::Cell<u32>,
}

impl Kit {
    fn key(&self) -> String {
        self.next.set(self.next.get() + 1);
        format!("k-{}", self.next.get())
    }

    fn user(&self) -> String {
        format!("u-{}", self.key())
    }

    /// The call of a shopper.
    fn by_shopper(&self, draft: Draft) -> Draft {
        draft.sign(&self.shopper, self.clock.unix_ms())
    }

    fn sign(&self, draft: Draft) -> Draft {
        draft.sign(&self.signer, self.clock.unix_ms())
    }

    /// A good order, unsigned.
    fn order(&self) -> Draft {
        Draft::order(&self.product, &self.user(), &self.key())
    }

    /// A good order, signed.
    fn signed(&self) -> Draft {
        self.sign(self.order())
    }
}

fn start(directory: &Path) -> Server {
    let program = Path::new(env!("CARGO_BIN_EXE_flux-gate"));
    Server::start(program, &directory.join("store"), CONFIG).unwrap()
}

fn admin(server: &Server, method: &str, path: &str, body: &str) -> Answer {
    let draft = Draft::new(method, path, body)
        .set("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .set("content-type", "application/json");
    exchange(server.operator, None, &draft.bytes()).unwrap().unwrap()
}

fn kit(server: &Server) -> Kit {
    // The second one has a waiting room.
    for product in ["good", "roomy"] {
        let body =
            format!(r#"{{"productId":"{product}","quantity":1000000,"repeatWindowSeconds":0}}"#);
        assert_eq!(admin(server, "POST", "/admin/products", &body).status, 201);
    }
    let secret = "shop-secret-0123456789abcdef".to_owned();
    let signer = Signer::Client { id: "shop".to_owned(), secret };
    let clock = Clock::system();
    let session = Draft::new("POST", "/session", r#"{"userId":"kit-shopper"}"#);
    let session = session.sign(&signer, clock.unix_ms());
    let session = exchange(server.public, None, &session.bytes()).unwrap().unwrap();
    let [pass, session_key] = ["pass", "sessionKey"].map(|name| session.member(name));
    Kit {
        signer,
        shopper: Signer::Shopper { pass, session_key },
        product: "good".to_owned(),
        clock,
        next: std::cell::Cell::new(0),
    }
}

/// The first answer; `None` if the connection is closed without one, or silent.
fn first_answer(to: SocketAddr, case: &Case) -> Result<Option<Answer>, String> {
    let mut connection = Connection::open(to, None).map_err(|error| error.to_string())?;
    let patience = if case.may_be_unanswered() { SILENCE } else { PATIENCE };
    connection.patience(patience).map_err(|error| error.to_string())?;
    connection.write_what_it_takes(&case.bytes);
    match connection.read() {
        Ok(answer) => Ok(answer),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(error.to_string()),
        Err(_) => Ok(None),
    }
}

/// What is wrong with the answer, if anything.
fn judge(case: &Case, answer: Option<&Answer>) -> Option<String> {
    let Some(answer) = answer else {
        return (!case.may_be_unanswered()).then(|| "no answer".to_owned());
    };
    let expected = match case.expect {
        Expect::Word(status, word) => answer.status == status && answer.word() == word,
        Expect::Status(statuses) | Expect::StatusOrNone(statuses) => {
            statuses.contains(&answer.status)
        }
        Expect::Sane => (100..500).contains(&answer.status) || answer.status == 505,
    };
    if !expected {
        return Some(format!("{} {}", answer.summary(), answer.text()));
    }
    let is_page = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
    if answer.status >= 400 && !answer.body.is_empty() && answer.word().is_empty() && !is_page {
        return Some(format!("a refusal without a code: {} {}", answer.status, answer.text()));
    }
    let text = format!("{:?} {}", answer.headers, answer.text());
    if text.contains(MARK) {
        return Some(format!("echoes what was sent: {text}"));
    }
    INSIDE.iter().find(|word| text.contains(**word)).map(|word| format!("tells {word}: {text}"))
}

/// Runs cases on a few threads; the failures.
fn run(server: &Server, cases: &[Case]) -> Vec<String> {
    const THREADS: usize = 8;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let mut failures = Vec::new();
                    for case in cases.iter().skip(thread).step_by(THREADS) {
                        let to = if case.for_operator { server.operator } else { server.public };
                        let wrong = match first_answer(to, case) {
                            Ok(answer) => judge(case, answer.as_ref()),
                            Err(error) => Some(error),
                        };
                        failures.extend(wrong.map(|wrong| format!("{}: {wrong}", case.name)));
                    }
                    failures
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Every thread of the server still answers, and none has panicked.
fn still_well(server: &mut Server) {
    for _ in 0..16 {
        let livez = Draft::new("GET", "/livez", "").bytes();
        assert_eq!(exchange(server.public, None, &livez).unwrap().unwrap().status, 200);
        assert_eq!(exchange(server.operator, None, &livez).unwrap().unwrap().status, 200);
    }
    assert!(server.runs());
    let log = server.log();
    let bad = log.lines().find(|line| line.contains("panic") || line.contains("\"ERROR\""));
    assert_eq!(bad, None);
    assert!(!log.contains(MARK), "a log line holds what was sent");
}

#[test]
fn bad_input_has_its_documented_answer_and_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = start(directory.path());
    let kit = kit(&server);
    let groups: [(&str, Vec<Case>); 7] = [
        ("bodies", bodies::cases(&kit)),
        ("heads", heads::cases(&kit)),
        ("framing", framing::cases(&kit)),
        ("targets", targets::cases(&kit)),
        ("rooms", rooms::cases(&kit)),
        ("operators", operators::cases()),
        ("mutations", mutations::cases(&kit)),
    ];
    let mut names = BTreeMap::new();
    let mut failures = Vec::new();
    for (group, cases) in &groups {
        println!("{group}: {} cases", cases.len());
        for case in cases {
            *names.entry(format!("{group} {}", case.name)).or_insert(0) += 1;
        }
        failures
            .extend(run(&server, cases).into_iter().map(|failure| format!("{group}: {failure}")));
    }
    let twice: Vec<_> = names.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "two cases of one name: {twice:?}");
    assert!(names.len() >= CASES_MIN, "{} cases", names.len());
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    still_well(&mut server);
    let good = exchange(server.public, None, &kit.signed().bytes()).unwrap().unwrap();
    assert_eq!(good.word(), "success", "an honest order after all this");
}
