//! The console's calls: login, session, live events. What the page itself does is tried in a browser
//! (`tests/browser`), what must not be done by it in the attacks.

use std::time::Duration;

use super::*;
use crate::support::wait::until;
use crate::support::wire::{Connection, Nobody};

impl Gate {
    /// A call from the console's own page.
    fn page(&self, method: &str, path: &str, body: &str, cookie: Option<&str>) -> Answer {
        let host = self.server.operator.to_string();
        let mut draft = Draft::new(method, path, body)
            .set("host", &host)
            .set("origin", format!("http://{host}"))
            .set("content-type", "application/json")
            .set("idempotency-key", format!("key-{}", self.clock.monotonic_us()));
        if let Some(cookie) = cookie {
            draft = draft.set("cookie", cookie);
        }
        let answer = exchange(self.server.operator, None, &draft.bytes());
        answer.expect("an answer").expect("not closed without an answer")
    }

    fn log_in(&self, token: &str) -> Answer {
        self.page("POST", "/admin/login", &format!(r#"{{"token":"{token}"}}"#), None)
    }

    /// How many events of this kind are in the trail.
    fn events(&self, kind: &str) -> usize {
        let path = format!("/admin/audit?kind={kind}");
        self.operator("GET", &path, "", None).json()["events"].as_array().map_or(0, Vec::len)
    }
}

fn cookie(login: &Answer) -> String {
    let set = login.header("set-cookie").expect("a cookie");
    set.split(';').next().unwrap_or_default().to_owned()
}

#[test]
fn a_login_gives_a_session_with_the_role_of_its_token_until_the_logout() {
    let gate = Gate::start("");
    gate.init("phone", 10);
    let refused = gate.log_in("wrong-token-0123456789abcdef");
    assert_eq!(refused.summary(), "401 unauthorized");
    assert!(refused.header("set-cookie").is_none());
    let login = gate.log_in(ADMIN_TOKEN);
    assert_eq!(login.status, 200, "{}", login.text());
    assert_eq!((login.member("name"), login.member("role")), ("admin".into(), "admin".into()));
    assert_eq!(login.header("cache-control"), Some("no-store"));
    let set = login.header("set-cookie").expect("a cookie");
    assert!(set.starts_with("__Host-flux-gate="), "{set}");
    assert!(set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{set}");
    let cookie = cookie(&login);
    let paused = gate.page("POST", "/admin/products/phone/pause", "{}", Some(&cookie));
    assert_eq!(paused.summary(), "200 applied", "{}", paused.text());
    let overview = gate.page("GET", "/admin/overview", "", Some(&cookie)).json();
    assert_eq!(overview["products"][0]["status"], "paused");
    assert_eq!(overview["actions"][0]["who"], "admin");
    assert_eq!(overview["actions"][0]["what"], "sale_paused");
    assert_eq!(overview["actions"][0]["outcome"], "applied");
    assert_eq!(gate.page("GET", "/admin/session", "", Some(&cookie)).member("name"), "admin");
    assert_eq!(gate.page("POST", "/admin/logout", "{}", Some(&cookie)).status, 200);
    let gone = gate.page("GET", "/admin/overview", "", Some(&cookie));
    assert_eq!(gone.summary(), "401 unauthorized");
    assert_eq!(gate.page("GET", "/admin/session", "", Some(&cookie)).json()["name"], Value::Null);
    for kind in ["login", "bad_login", "logout"] {
        assert_eq!(gate.events(kind), 1, "{kind}");
    }
}

#[test]
fn events_begin_with_the_history_and_go_on_each_second() {
    let gate = Gate::start("");
    gate.init("phone", 10);
    let draft = Draft::new("GET", "/admin/events", "")
        .set("authorization", format!("Bearer {ADMIN_TOKEN}"));
    let mut connection = Connection::open(gate.server.operator, None).unwrap();
    connection.write(&draft.bytes()).unwrap();
    connection.patience(Duration::from_secs(10)).unwrap();
    assert_eq!(connection.read_status().unwrap(), 200);
    assert!(!connection.ends_within(10).unwrap(), "it goes on");
    let seen = connection.unread();
    let at = |text: &str| seen.find(text).unwrap_or_else(|| panic!("no {text:?} in {seen}"));
    assert!(seen.contains("content-type: text/event-stream"));
    assert!(at("event: history\n") < at("event: overview\n"));
    assert!(at("event: overview\n") < at("event: sample\nid: 1\n"));
    assert!(seen.matches("event: overview\n").count() >= 5, "{seen}");
    let history = gate.operator("GET", "/admin/history", "", None).json();
    assert_eq!(history["samples"][0]["remaining"], 10);
    // A node that stops lets its viewers go at once.
    let Gate { server, .. } = gate;
    let stopping = std::thread::spawn(move || server.stop());
    assert!(connection.ends_within(10).unwrap());
    assert!(stopping.join().unwrap().unwrap().0.success());
}

#[test]
fn peers_are_asked_whether_they_are_ready() {
    let other = Gate::start("");
    let nobody = Nobody::new();
    let gone = nobody.address;
    let peers = format!("peers = [\"http://{}\", \"http://{gone}\"]", other.server.public);
    let gate = Gate::start(&format!("[admin]\n{peers}\n"));
    let nodes = until("the nodes are shown", || {
        let overview = gate.operator("GET", "/admin/overview", "", None).json();
        let nodes = overview["nodes"].as_array().cloned().unwrap_or_default();
        let states: Vec<_> = nodes.iter().filter_map(|node| node["state"].as_str()).collect();
        (states == ["up", "up", "down"]).then_some(nodes)
    });
    assert_eq!(nodes[2]["why"], "cannot be reached");
}
