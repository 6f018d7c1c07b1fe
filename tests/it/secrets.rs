//! Rule 7, by search: marked secrets and ids go through every path, and all that comes out is searched.
//!
//! Forbidden everywhere: users, mail addresses, addresses, fingerprints, passes, session keys, JWTs,
//! signatures, secrets and tokens, idempotency keys, and whatever callers put where it does not belong.
//! Allowed, and where: [`marks::Place`] at each mark in [`scene`] and [`setting`].

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::crash::books::call;
use crate::crash::program;
use crate::support::server::{ADMIN_TOKEN, clean};
use crate::traces::collector::{Collector, Manner};

mod acts;
pub mod marks;
pub mod scene;
pub mod setting;

use marks::{Marks, Place};
use scene::Scene;

/// How long a server may take to serve, and to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// The collector's token: it must go there, and nowhere else.
pub const COLLECTORS_TOKEN: &str = "Mark-Collectors-Token-90ab";

/// All requests are traced, and the collector wants a token.
pub fn traces() -> String {
    format!(
        "sampler = \"always_on\"\nper_second_max = 10000\n\
         headers = \"authorization=Bearer%20{COLLECTORS_TOKEN}\""
    )
}

/// A server whose whole output goes to files.
pub struct Quiet {
    child: Child,
    out: PathBuf,
    /// Where shoppers call.
    pub public: SocketAddr,
    /// Where operators call.
    pub operator: SocketAddr,
}

impl Quiet {
    /// Starts it.
    pub fn start(mut command: Command, out: &Path) -> Self {
        let file = File::create(out).expect("a file");
        command.stdout(file.try_clone().expect("a handle")).stderr(file);
        let mut child = command.spawn().expect("it can be started");
        let begun = Instant::now();
        loop {
            let said = std::fs::read_to_string(out).unwrap_or_default();
            if let (Some(public), Some(operator)) =
                (address(&said, "public_address"), address(&said, "operator_address"))
            {
                return Self { child, out: out.to_owned(), public, operator };
            }
            let ended = child.try_wait().expect("a process of ours");
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "it does not serve:\n{said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGTERM; what it has said.
    pub fn stop(mut self) -> Vec<u8> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
        assert!(self.child.wait().expect("its end").success());
        std::fs::read(&self.out).expect("its output")
    }
}

/// An address behind its name, in either form of the log.
pub fn address(said: &str, name: &str) -> Option<SocketAddr> {
    let (_, after) = said.split_once(name)?;
    let text = after.trim_start_matches(['"', ':', '=']);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':')?;
    text[..end].parse().ok()
}

struct Stage {
    dir: TempDir,
    config: PathBuf,
    collector: Collector,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let collector = Collector::start(Manner::Takes);
        let more = traces();
        let config = dir.path().join("config.toml");
        let text = format!(
            "[admin]\n{}\n[limits]\n{}{}{}{}{}{}",
            setting::operators(),
            setting::LIMITS,
            setting::config(),
            setting::keys(),
            setting::shop_client(),
            setting::warehouse_client(),
            collector.config(&more)
        );
        std::fs::write(&config, text).expect("a file");
        Self { dir, config, collector }
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        clean(&mut command);
        command.args(arguments).arg("--config").arg(&self.config).arg("--data").arg(self.store());
        command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
        command
    }

    fn serve(&self, format: &str) -> Quiet {
        let listen = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        let mut command = self.command(&listen);
        command.env("FLUX_GATE__LOG__FORMAT", format);
        Quiet::start(command, &self.dir.path().join(format!("{format}.out")))
    }
}

/// Looks through what a collector got, the token in its own header excepted.
pub fn check_collector(marks: &Marks, collector: &Collector) {
    let calls = collector.raw();
    assert!(!calls.is_empty() && collector.spans().len() > 50, "there are traces to be searched");
    for (head, body) in calls {
        marks.check(Place::Traces, "a call", &body);
        let token = COLLECTORS_TOKEN.to_ascii_lowercase();
        marks.check(Place::Traces, "the head of a call", head.replace(&token, "").as_bytes());
    }
}

#[test]
fn rule_7_nothing_secret_comes_out_of_a_server() {
    let stage = Stage::new();
    let mut marks = setting::marks();
    marks.secret("the collector's token", COLLECTORS_TOKEN);
    for format in ["json", "text"] {
        let server = stage.serve(format);
        Scene::new(server.public, server.operator, &mut marks, format).play();
        let metrics = call(server.operator, "GET", "/metrics", "");
        assert_eq!(metrics.status, 200);
        marks.check(Place::Metrics, "/metrics", &metrics.body);
        assert!(marks.check_files(Place::Store, &stage.store()) >= 3, "while it runs");
        let said = server.stop();
        let text = String::from_utf8_lossy(&said);
        // It would find nothing in a log that says nothing. (Only the libraries of many nodes trace.)
        let traces = text.contains("TRACE") || cfg!(not(feature = "distributed"));
        assert!(traces && text.contains("without a valid token"), "{text}");
        assert_eq!(text.contains("{\"timestamp\""), format == "json");
        marks.check(Place::Log, format, &said);
        assert!(marks.check_files(Place::Store, &stage.store()) >= 1, "at rest");
    }
    check_collector(&marks, &stage.collector);
    // The marks are where they may be, so the search looks where it should.
    let buyers = marks.0.iter().filter(|mark| mark.what == "a buyer");
    let all = Marks(buyers.cloned().map(|mark| marks::Mark { allowed: &[], ..mark }).collect());
    let store = std::fs::read_dir(stage.store()).expect("a directory").flatten();
    let found = store.map(|entry| std::fs::read(entry.path()).unwrap_or_default());
    assert!(found.map(|bytes| all.found_in(Place::Store, &bytes).len()).sum::<usize>() > 3);
}

#[test]
fn rule_7_no_command_tells_a_secret() {
    let stage = Stage::new();
    let mut marks = setting::marks();
    marks.secret("the collector's token", COLLECTORS_TOKEN);
    let server = stage.serve("json");
    Scene::new(server.public, server.operator, &mut marks, "cli").play();
    let (public, operator) =
        (format!("http://{}", server.public), format!("http://{}", server.operator));
    let run = |arguments: &[&str]| stage.command(arguments).output().expect("it can be run");
    let check = |marks: &Marks, name: &str, output: &Output| {
        marks.check(Place::Command, name, &[&output.stdout[..], &output.stderr[..]].concat());
    };

    // What these are asked for is a pass, its key, or a signature: on standard output alone.
    let opened = run(&["session", "mark-command-user", "--url", &public]);
    assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    marks.check(Place::Command, "session", &[&opened.stdout[..], &opened.stderr[..]].concat());
    let session: serde_json::Value = serde_json::from_slice(&opened.stdout).expect("JSON");
    for (what, name) in [("a session pass", "pass"), ("a session key", "sessionKey")] {
        marks.secret(what, session[name].as_str().expect("text"));
    }
    let key = marks.secret("an idempotency key that was given", "Mark_Given_Key_81a0");
    let shown = run(&["order", "phone-cli", "someone", "--url", &public, "--show"]);
    check(&marks, "order --show", &shown);
    let (pass, session_key) = (session["pass"].as_str(), session["sessionKey"].as_str());
    let mut order = stage.command(&["order", "phone-cli", "mark-command-user", "--url", &public]);
    order.env("FLUX_GATE_PASS", pass.unwrap()).env("FLUX_GATE_SESSION_KEY", session_key.unwrap());
    let ordered = order.output().expect("it can be run");
    assert!(ordered.status.success(), "{}", String::from_utf8_lossy(&ordered.stderr));
    check(&marks, "order", &ordered);
    // It repeats the key of an attempt, so that the attempt can be repeated.
    let repeated = run(&["order", "phone-cli", "someone", "--url", &public, "--key", &key]);
    check(
        &Marks(marks.0.iter().filter(|mark| mark.text != key).cloned().collect()),
        "order --key",
        &repeated,
    );

    for (what, option, value) in [
        ("a user who is blocked by command", "--user", "mark-command-blocked-77aa"),
        ("a fingerprint that is blocked by command", "--fingerprint", "mark-command-print-88bb"),
        ("an address that is blocked by command", "--address", "198.51.100.253"),
    ] {
        marks.secret(what, value);
        for verb in ["block", "unblock"] {
            let mut arguments = vec!["incident", verb, option, value, "--url", &operator];
            if verb == "block" {
                arguments.extend(["--until", "+1h", "--reason", "a test"]);
            }
            let output = run(&arguments);
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{verb} {option}: {text}");
            check(&marks, verb, &output);
        }
    }

    let secrets = "id:Mark-Env-Secret-0a9b8c7d6e5f,Mark-Secret-Without-Id-4f3e";
    marks.secret("a secret in the environment", "Mark-Env-Secret-0a9b8c7d6e5f");
    marks.secret("a secret that lost its id", "Mark-Secret-Without-Id-4f3e");
    let url = "redis://user:Mark-Password-In-Url-1d2c@127.0.0.1:1";
    marks.secret("a password in a URL", "Mark-Password-In-Url-1d2c");
    for (arguments, succeeds) in [
        (&["config", "print"][..], true),
        (&["config", "check"], true),
        (&["doctor"], false),
        (&["audit", "verify"], true),
        (&["sale", "list", "--url", &operator], true),
        (&["sale", "show", "phone-cli", "--url", &operator], true),
        (&["audit", "export"], true),
        (&["audit", "head"], true),
        (&["audit", "proof", "--product", "phone-cli"], true),
        (&["incident", "blocks", "--url", &operator], true),
        (&["incident", "limits", "--url", &operator], true),
        (&["load", &public, "--product", "phone-cli", "--requests", "20", "--closed"], true),
        (&["sale", "show", "nothing", "--url", &operator], false),
        (&["sale", "list", "--url", "http://127.0.0.1:1"], false),
        (&["session", "someone", "--url", "http://127.0.0.1:1"], false),
        (&["order", "phone-cli", "someone", "--url", "http://127.0.0.1:1"], false),
        (&["serve", "--listen", "127.0.0.1:0"], false),
        (&["worker"], false),
        (&["migrate"], false),
        (&["openapi"], true),
    ] {
        let name = arguments.join(" ");
        let output = run(arguments);
        check(&marks, &name, &output);
        if arguments[0] != "doctor" {
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.success(), succeeds, "{name}: {text}");
        }
        // The same with an environment that is wrong in every way.
        let mut wrong = stage.command(arguments);
        wrong.env("FLUX_GATE__CLIENTS", secrets).env("REDIS_URL", url).env("DATABASE_URL", url);
        wrong.env("OTEL_EXPORTER_OTLP_ENDPOINT", url);
        wrong.env("FLUX_GATE__SECRETS__PASS_KEYS", "Mark-Secret-Without-Id-4f3e");
        check(&marks, &name, &wrong.output().expect("it can be run"));
        let mut other = stage.command(arguments);
        other.env("FLUX_GATE__ADMIN__TOKEN", "Mark-Secret-Without-Id-4f3e");
        check(&marks, &name, &other.output().expect("it can be run"));
    }
    let said = server.stop();
    marks.check(Place::Log, "the server", &said);
    assert!(!String::from_utf8_lossy(&said).contains(ADMIN_TOKEN));
}
