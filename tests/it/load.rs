//! The load generator over the real program: its profiles, its reports, and comparisons.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use crate::crash::books::create;
use crate::crash::{CLIENT_ID, CLIENT_SECRET, program};
use crate::support::server::Server;
use crate::support::wire::Nobody;

const UNITS: u32 = 50;

fn start() -> (Server, TempDir) {
    start_with(UNITS)
}

fn start_with(units: u32) -> (Server, TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = format!(
        "[limits]\nip_per_second = 0\nbuyer_per_second = 0\nclient_per_second = 0\n\
         min_interval_ms = 0\n[[clients]]\nid = \"{CLIENT_ID}\"\nsecrets = [\"{CLIENT_SECRET}\"]\n"
    );
    let server = Server::start(program(), &dir.path().join("store"), &config).expect("it starts");
    create(server.operator, "p-1", units, 1, 0);
    (server, dir)
}

fn load(dir: &Path, arguments: &[&str]) -> Output {
    let client = format!("{CLIENT_ID}:{CLIENT_SECRET}");
    let mut command = Command::new(program());
    command.env_clear().current_dir(dir).args(["load", "--product", "p-1", "--client", &client]);
    command.args(arguments).output().expect("it can be run")
}

fn json(path: &Path) -> Value {
    let text = std::fs::read(path).expect("it was written");
    serde_json::from_slice(&text).expect("JSON")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_report_tells_what_happened_when() {
    let (server, dir) = start();
    let url = format!("http://{}", server.public);
    let spike = ["--profile", "spike", "--rate", "100", "--peak", "1000", "--duration", "2500ms"];
    let files = ["--json", "report.json", "--html", "report.html"];
    let output = load(dir.path(), &[&[url.as_str()][..], &spike, &files].concat());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("100 a second with a spike of 1,000"), "{said}");
    assert!(said.contains("own processor time"), "{said}");

    let report = json(&dir.path().join("report.json"));
    assert_eq!(report["profile"]["spike"]["peak_per_second"], 1_000);
    assert_eq!(report["pace"]["open"]["per_second"], 100, "as it was before there were profiles");
    assert_eq!(number(&report["accepted"]), u64::from(UNITS));
    let slots = report["timeline"]["slots"].as_array().expect("slots");
    let sum = |name: &str| slots.iter().map(|slot| number(&slot[name])).sum::<u64>();
    assert_eq!(sum("accepted"), u64::from(UNITS));
    let ended = sum("accepted") + sum("refused") + sum("later") + sum("unanswered");
    assert_eq!(ended, number(&report["requests"]));
    assert_eq!(sum("due"), 200 + 500);
    let due: Vec<u64> = slots.iter().map(|slot| number(&slot["due"])).collect();
    assert_eq!((due[0], due[4], due[5], due[9]), (25, 250, 250, 25), "{due:?}");
    assert!(report["ownCpuUsPerRequest"].as_f64().is_some_and(|us| us > 1.0));

    let page = std::fs::read_to_string(dir.path().join("report.html")).expect("it was written");
    assert_eq!(page.matches("class=\"slot\"").count(), 3 * slots.len(), "a point for each slot");
    assert!(page.contains(">spike<") && page.contains(&url));
}

/// A server of the plain contract: it knows no signature, and its order ids are its own.
struct Plain {
    address: SocketAddr,
    orders: Arc<AtomicU64>,
    signed: Arc<AtomicU64>,
}

impl Plain {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (orders, signed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let plain = Self { address, orders: orders.clone(), signed: signed.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (orders, signed) = (orders.clone(), signed.clone());
                std::thread::spawn(move || serve(stream, &orders, &signed));
            }
        });
        plain
    }
}

/// Answers until the client hangs up; `None` is that.
fn serve(mut stream: TcpStream, orders: &AtomicU64, signed: &AtomicU64) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().ok()?;
            }
            if line.starts_with("x-signature") || line.starts_with("x-api-key") {
                signed.fetch_add(1, Ordering::SeqCst);
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body: Value = serde_json::from_slice(&body).ok()?;
        assert_eq!(body["productId"], "p-1");
        let number = orders.fetch_add(1, Ordering::SeqCst);
        let body = format!("{{\"status\":\"success\",\"orderId\":\"ORD-{number}\"}}");
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).ok()?;
    }
}

#[test]
fn two_servers_are_compared_in_turn_also_one_of_the_plain_contract() {
    // So few that they are sold out in the time on any machine.
    let (server, dir) = start_with(5);
    let plain = Plain::start();
    let (a, b) = (format!("http://{}", server.public), format!("http://{}", plain.address));
    let compare = ["--compare", &a, &b, "--unsigned=b", "--closed", "--connections", "8"];
    let effort = ["--pairs", "3", "--duration", "300ms", "--json", "compare.json"];
    let output = load(dir.path(), &[&compare[..], &effort].concat());
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.contains("3 pairs of 0.3 s in turn") && said.contains("A over B"), "{said}");
    assert_eq!(errors.matches("pair ").count(), 3, "{errors}");

    let report = json(&dir.path().join("compare.json"));
    assert_eq!((&report["a"], &report["b"]), (&a.into(), &b.into()));
    let figure = |name: &str| {
        let figures = report["figures"].as_array().expect("figures");
        figures.iter().find(|figure| figure["name"] == name).expect("it is there").clone()
    };
    let rate = figure("requestsPerSecond");
    let pairs = rate["pairs"].as_array().expect("pairs");
    let ratios: Vec<f64> = pairs
        .iter()
        .map(|pair| pair[0].as_f64().expect("a rate") / pair[1].as_f64().expect("a rate"))
        .collect();
    let of = |name: &str| rate["ratio"][name].as_f64().expect("a ratio");
    assert_eq!(ratios.len(), 3);
    let is = |name: &str, ratio: f64| (of(name) - ratio).abs() < 1e-9;
    assert!(is("min", ratios.iter().copied().fold(f64::INFINITY, f64::min)), "{rate}");
    assert!(is("max", ratios.iter().copied().fold(0.0, f64::max)), "{rate}");
    assert!((of("min")..=of("max")).contains(&of("median")));
    // What the plain server accepted counts, whatever its ids look like.
    assert_eq!(report["answers"][1][0][0], "accepted");
    assert_eq!(plain.signed.load(Ordering::SeqCst), 0, "nothing was signed for it");
    assert!(plain.orders.load(Ordering::SeqCst) > 10);
    // The other was asked with signatures, which it believed.
    let answers = report["answers"][0].to_string();
    assert!(answers.contains("sold out") && !answers.contains("signature"), "{answers}");
}

#[test]
fn a_server_that_is_gone_fails_the_comparison() {
    let (server, dir) = start();
    let nobody = Nobody::new();
    let (a, b) = (format!("http://{}", server.public), format!("http://{}", nobody.address));
    let output = load(dir.path(), &["--compare", &a, &b, "--closed", "--duration", "200ms"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("is the server running there?"), "{errors}");
}
