//! The waiting room from outside: tickets, the queue, admission, the draw, its page and its form.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::*;
use crate::support::wait::{PATIENCE, until};
use crate::support::wire::Connection;

mod guarded;

const ROOM: &str = "
[room]
products = [\"*\"]
admit_per_second = 100
admission_seconds = 10
absent_seconds = 20
poll_seconds = 1
brand_name = \"Lamps & <Co>\"
";

struct Shopper {
    name: String,
    session: Signer,
}

impl Shopper {
    fn new(gate: &Gate, name: &str) -> Self {
        let body = format!(r#"{{"userId":"{name}"}}"#);
        let answer = gate.signed(&shop(), Draft::new("POST", "/session", body));
        assert_eq!(answer.status, 200, "{}", answer.text());
        Self { name: name.to_owned(), session: signer(&answer) }
    }

    fn pass(&self) -> &str {
        match &self.session {
            Signer::Shopper { pass, .. } => pass,
            Signer::Client { .. } => "",
        }
    }

    fn ask(&self, gate: &Gate, product: &str) -> Answer {
        let body = format!(r#"{{"productId":"{product}"}}"#);
        gate.signed(&self.session, post("/waiting-room/ticket", &body))
    }

    fn ticket(&self, gate: &Gate, product: &str) -> String {
        let answer = self.ask(gate, product);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.member("ticket")
    }

    fn admission(&self, gate: &Gate, ticket: &str) -> Answer {
        let body = format!(r#"{{"ticket":"{ticket}"}}"#);
        gate.signed(&self.session, post("/waiting-room/admission", &body))
    }

    /// Waits for one's turn, and gives who may buy.
    fn admitted(&self, gate: &Gate, ticket: &str) -> Signer {
        until("admitted", || {
            let answer = self.admission(gate, ticket);
            (answer.status == 200).then(|| signer(&answer))
        })
    }

    fn buy(&self, gate: &Gate, by: &Signer, product: &str, key: &str) -> Answer {
        gate.signed(by, Draft::order(product, &self.name, key))
    }
}

fn signer(answer: &Answer) -> Signer {
    Signer::Shopper { pass: answer.member("pass"), session_key: answer.member("sessionKey") }
}

fn post(target: &str, body: &str) -> Draft {
    Draft::new("POST", target, body).set("content-type", "application/json")
}

fn gate() -> Gate {
    with("")
}

fn with(more: &str) -> Gate {
    Gate::limited(&format!("{ROOM}{more}"), "buyer_per_second = 0\nmin_interval_ms = 0")
}

/// A sale that opens later; `open` opens it.
fn create(gate: &Gate, product: &str, quantity: u32) {
    let opens_at = gate.clock.unix_ms() + 3_600_000;
    let body = format!(r#"{{"productId":"{product}","quantity":{quantity},"opensAt":{opens_at}}}"#);
    let answer = gate.operator("POST", "/admin/products", &body, Some(product));
    assert!(answer.status < 300, "{}", answer.text());
}

fn open(gate: &Gate, product: &str) {
    let key = format!("open-{product}");
    let answer =
        gate.operator("POST", &format!("/admin/products/{product}/open"), "{}", Some(&key));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn state(gate: &Gate, product: &str, ticket: Option<&str>) -> Answer {
    let draft = Draft::new("GET", &format!("/waiting-room/state?product={product}"), "");
    gate.send(&match ticket {
        Some(ticket) => draft.set("x-queue-ticket", ticket),
        None => draft,
    })
}

fn get(gate: &Gate, target: &str) -> Answer {
    gate.send(&Draft::new("GET", target, ""))
}

#[test]
fn early_arrivals_are_drawn_admitted_and_buy_and_the_draw_verifies() {
    let gate = gate();
    create(&gate, "lamp", 50);
    let before = get(&gate, "/waiting-room/draw?product=lamp");
    assert!(before.json()["seed"].is_null() && before.json()["root"].is_null());
    let shoppers: Vec<_> = (0..20).map(|n| Shopper::new(&gate, &format!("user-{n}"))).collect();
    let tickets: Vec<_> = shoppers.iter().map(|shopper| shopper.ticket(&gate, "lamp")).collect();
    let early = state(&gate, "lamp", Some(&tickets[3])).json();
    assert_eq!(
        (&early["phase"], &early["ticket"], &early["stock"]),
        (&"arriving".into(), &"early".into(), &"not_open".into())
    );
    assert_eq!(shoppers[3].admission(&gate, &tickets[3]).summary(), "409 not_your_turn");
    assert_eq!(
        shoppers[3].ticket(&gate, "lamp"),
        tickets[3],
        "whoever asks again has the same place"
    );
    open(&gate, "lamp");
    for (shopper, ticket) in shoppers.iter().zip(&tickets) {
        let by = shopper.admitted(&gate, ticket);
        let bought = shopper.buy(&gate, &by, "lamp", "key-1");
        assert_eq!(bought.summary(), "200 success", "{}", bought.text());
        assert_eq!(shopper.admission(&gate, ticket).summary(), "409 ticket_spent");
    }
    assert_eq!(gate.product("lamp")["sold"], 20);

    // Offline, by the program's own command.
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let draw = file("draw.json", &get(&gate, "/waiting-room/draw?product=lamp&number=7").body);
    let before = file("before.json", &before.body);
    let list = get(&gate, "/waiting-room/entrants?product=lamp").text();
    let ticket = file("ticket.txt", tickets[7].as_bytes());
    let verify = |entrants: &str, place: Option<&str>| {
        let entrants = file("entrants.txt", entrants.as_bytes());
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_flux-gate"));
        command.args(["draw", "verify"]).arg(&draw).arg("--before").arg(&before);
        command.arg("--ticket").arg(&ticket).arg("--entrants").arg(entrants);
        command.args(place.map(|place| ["--place", place]).into_iter().flatten());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, told) = verify(&list, None);
    assert!(code == Some(0) && told.contains("operator's own entrants"), "{told}");
    let place = told.split("among 20 is ").nth(1).unwrap().split('.').next().unwrap().to_owned();
    assert_eq!(verify(&list, Some(&place)).0, Some(0));
    let other = if place == "1" { "2" } else { "1" };
    assert!(verify(&list, Some(other)).1.contains("rightful place"), "moved");
    let mut lines: Vec<&str> = list.lines().collect();
    lines.swap(0, 1);
    assert_eq!(verify(&lines.join("\n"), None).0, Some(1), "moved in the list");
    assert_eq!(verify(&lines[1..].join("\n"), None).0, Some(1), "dropped");
}

#[test]
fn there_is_no_way_around_the_room() {
    let gate = gate();
    gate.init("lamp", 5);
    gate.init("chair", 5);
    let alice = Shopper::new(&gate, "alice");
    let refused = alice.buy(&gate, &alice.session, "lamp", "key-1");
    assert_eq!(refused.summary(), "403 not_admitted");
    assert_eq!(refused.json()["waitingRoom"], "/waiting-room?product=lamp");
    // An admission to one sale is none to another.
    let by = alice.admitted(&gate, &alice.ticket(&gate, "chair"));
    assert_eq!(alice.buy(&gate, &by, "lamp", "key-1").summary(), "403 not_admitted");
    assert_eq!(alice.buy(&gate, &by, "chair", "key-1").summary(), "200 success");
    // Nor is it one for another user.
    let bob = Shopper::new(&gate, "bob");
    assert_eq!(bob.buy(&gate, &by, "chair", "key-2").summary(), "403 user_mismatch");
    // Off, it is as if there were none; a shop's backend buys in any case.
    assert_eq!(gate.order("lamp", "carol", "key-1").summary(), "200 success");
    let off =
        gate.operator("POST", "/admin/products/lamp/waiting-room", r#"{"active":false}"#, None);
    assert_eq!((off.status, off.json()["active"].as_bool()), (200, Some(false)));
    assert_eq!(alice.buy(&gate, &alice.session, "lamp", "key-3").summary(), "200 success");
    assert_eq!(alice.ask(&gate, "lamp").summary(), "404 no_room");
}

#[test]
fn a_ticket_is_good_for_its_buyer_its_product_and_once() {
    let gate = gate();
    gate.init("lamp", 5);
    create(&gate, "chair", 5);
    let (alice, mallory) = (Shopper::new(&gate, "alice"), Shopper::new(&gate, "mallory"));
    let ticket = alice.ticket(&gate, "lamp");
    assert_eq!(mallory.admission(&gate, &ticket).summary(), "403 ticket_invalid", "shared");
    let mut forged = ticket.clone();
    forged.replace_range(10..11, if &forged[10..11] == "A" { "B" } else { "A" });
    assert_eq!(alice.admission(&gate, &forged).summary(), "403 ticket_invalid", "forged");
    assert_eq!(state(&gate, "lamp", Some(&forged)).summary(), "403 ticket_invalid");
    let other = state(&gate, "chair", Some(&ticket));
    assert_eq!(other.summary(), "403 ticket_invalid", "of another product");
    let unsigned = post("/waiting-room/ticket", r#"{"productId":"lamp"}"#)
        .set("authorization", format!("Bearer {}", alice.pass()));
    assert_eq!(gate.send(&unsigned).status, 400);
    let by = alice.admitted(&gate, &ticket);
    // A lost answer is asked for again.
    assert_eq!(alice.admission(&gate, &ticket).status, 200);
    assert_eq!(alice.buy(&gate, &by, "lamp", "key-1").summary(), "200 success");
    assert_eq!(alice.admission(&gate, &ticket).summary(), "409 ticket_spent", "reused");
    // Of a room that has been forgotten.
    let past = with("");
    past.init("lamp", 5);
    assert_eq!(alice.admission(&past, &ticket).status, 401, "of another deployment");
}

#[test]
fn no_more_are_admitted_than_units_are_left() {
    // Long enough that three buy in time on a slow machine.
    let config = ROOM.replace("admission_seconds = 10", "admission_seconds = 20");
    let gate = Gate::limited(&config, "buyer_per_second = 0\nmin_interval_ms = 0");
    gate.init("lamp", 3);
    let shoppers: Vec<_> = (0..8).map(|n| Shopper::new(&gate, &format!("user-{n}"))).collect();
    let tickets: Vec<_> = shoppers.iter().map(|shopper| shopper.ticket(&gate, "lamp")).collect();
    let admitted = |n: usize| shoppers[n].admission(&gate, &tickets[n]).status == 200;
    until("the first three", || (0..3).all(admitted).then_some(()));
    std::thread::sleep(Duration::from_millis(500));
    assert!(!(3..8).any(admitted), "first come, first served, and three are left");
    let fourth = state(&gate, "lamp", Some(&tickets[3])).json();
    assert_eq!((&fourth["ticket"], &fourth["ahead"]), (&"waiting".into(), &0.into()));
    // An admission that is not used lets the next one in; two buy.
    for n in [0, 1] {
        let by = shoppers[n].admitted(&gate, &tickets[n]);
        assert_eq!(shoppers[n].buy(&gate, &by, "lamp", "key").summary(), "200 success");
    }
    assert!(!admitted(3), "one unit is left, and the third may buy it");
    let late = shoppers[2].admitted(&gate, &tickets[2]);
    let by = until("the third's time is over", || {
        let answer = shoppers[3].admission(&gate, &tickets[3]);
        (answer.status == 200).then(|| signer(&answer))
    });
    assert_eq!(shoppers[2].admission(&gate, &tickets[2]).summary(), "409 ticket_spent");
    assert_eq!(shoppers[2].buy(&gate, &late, "lamp", "key").summary(), "401 unauthorized");
    assert_eq!(shoppers[3].buy(&gate, &by, "lamp", "key").summary(), "200 success");
    let over = state(&gate, "lamp", Some(&tickets[5])).json();
    assert_eq!(over["stock"], "sold_out");
}

/// Reads from a stream of events until it holds `what`.
fn hears(stream: &mut TcpStream, text: &mut String, what: &str) {
    let began = Instant::now();
    let mut buffer = [0; 4_096];
    while !text.contains(what) {
        assert!(began.elapsed() < PATIENCE, "no {what} in {text}");
        let read = stream.read(&mut buffer).unwrap_or(0);
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

/// The number at the beginning of a text.
fn number(text: &str) -> u64 {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

fn stream(gate: &Gate, product: &str, seen: Option<&str>) -> TcpStream {
    use std::io::Write;
    let mut draft = Draft::new("GET", &format!("/waiting-room/events?product={product}"), "");
    if let Some(seen) = seen {
        draft = draft.set("last-event-id", seen);
    }
    let mut stream = TcpStream::connect(gate.server.public).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.write_all(&draft.bytes()).unwrap();
    stream
}

#[test]
fn events_tell_of_changes_resume_and_are_bounded() {
    let gate = with("viewers_max = 12\nviewers_per_ip_max = 10\n");
    create(&gate, "lamp", 5);
    let (mut events, mut text) = (stream(&gate, "lamp", None), String::new());
    hears(&mut events, &mut text, "\"phase\":\"arriving\"");
    assert!(text.contains("text/event-stream") && text.contains("retry: "));
    open(&gate, "lamp");
    hears(&mut events, &mut text, "\"phase\":\"serving\"");
    let id = text.rsplit("id: ").next().unwrap().split('\n').next().unwrap().to_owned();
    let (mut again, mut resumed) = (stream(&gate, "lamp", Some(&id)), String::new());
    hears(&mut again, &mut resumed, "data: ");
    let ids: Vec<_> = resumed.split("\nid: ").skip(1).map(number).collect();
    assert!(!ids.is_empty() && ids.iter().all(|next| *next > number(&id)), "{id}: {resumed}");
    let many: Vec<_> = (0..30).map(|_| stream(&gate, "lamp", None)).collect();
    let shed = until("one is refused", || {
        let answer = get(&gate, "/waiting-room/events?product=lamp");
        (answer.status == 503).then_some(answer)
    });
    assert!(shed.header("retry-after").is_some());
    let alice = Shopper::new(&gate, "alice");
    assert_eq!(alice.ask(&gate, "lamp").status, 200, "the others are served");
    drop(many);
    until("places are given back", || {
        let mut connection = Connection::open(gate.server.public, None).unwrap();
        connection
            .write(&Draft::new("GET", "/waiting-room/events?product=lamp", "").bytes())
            .unwrap();
        (connection.read_status().unwrap() == 200).then_some(())
    });
}

#[test]
fn the_page_is_small_strict_branded_and_in_two_languages() {
    let gate = gate();
    create(&gate, "lamp", 5);
    let page = get(&gate, "/waiting-room?product=lamp");
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(page.text().contains("Lamps &amp; &lt;Co&gt;") && page.text().contains("One moment"));
    // With `no-referrer` a browser hides the origin of the page's own form, which is then refused.
    assert_eq!(page.header("referrer-policy"), Some("same-origin"));
    let german = Draft::new("GET", "/waiting-room?product=lamp", "")
        .set("accept-language", "de-AT, en;q=0.5");
    assert!(gate.send(&german).text().contains("<html lang=\"de\">"));
    assert!(get(&gate, "/waiting-room?product=lamp&lang=de").text().contains("Einen Moment"));
    let files = ["room.css", "room.js", "brand.css", "icon.svg"];
    let bytes: usize = files
        .iter()
        .map(|name| {
            let file = get(&gate, &format!("/waiting-room/{name}"));
            assert_eq!(file.status, 200, "{name}");
            file.body.len()
        })
        .sum();
    assert!(bytes + page.body.len() < 50_000, "{} bytes", bytes + page.body.len());
    assert_eq!(get(&gate, "/waiting-room?product=none").status, 404);
    assert_eq!(get(&gate, "/waiting-room").status, 404);
    assert_eq!(get(&gate, "/waiting-room/none").summary(), "404 not_found");
}

/// A browser without scripts: its cookie, and the page that it sees.
struct Browser<'a> {
    gate: &'a Gate,
    cookie: String,
}

impl Browser<'_> {
    fn form(&self, target: &str, body: &str, site: &str) -> Answer {
        let draft = Draft::new("POST", target, body)
            .set("content-type", "application/x-www-form-urlencoded")
            .set("sec-fetch-site", site)
            .set("cookie", &self.cookie);
        self.gate.send(&draft)
    }

    fn page(&self, product: &str) -> String {
        let draft = Draft::new("GET", &format!("/waiting-room?product={product}"), "");
        self.gate.send(&draft.set("cookie", &self.cookie)).text()
    }
}

fn token(page: &str) -> Option<String> {
    let rest = page.split("name=\"token\" value=\"").nth(1)?;
    Some(rest.split('"').next()?.to_owned())
}

#[test]
fn without_a_script_the_queue_is_seen_and_a_form_buys_once() {
    let gate = gate();
    create(&gate, "lamp", 5);
    let alice = Shopper::new(&gate, "alice");
    let mut browser = Browser { gate: &gate, cookie: String::new() };
    let entered = browser.form(
        "/waiting-room/enter",
        &format!("product=lamp&pass={}", alice.pass()),
        "cross-site",
    );
    assert_eq!(entered.status, 303, "{}", entered.text());
    assert_eq!(entered.header("location"), Some("/waiting-room?product=lamp&lang=en"));
    let cookie = entered.header("set-cookie").unwrap().to_owned();
    assert!(
        cookie.contains("__Host-flux-room=")
            && cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax")
    );
    browser.cookie = cookie.split(';').next().unwrap().to_owned();
    let early = browser.page("lamp");
    assert!(
        early.contains("You are early")
            && early.contains("url=/waiting-room?product=lamp&amp;lang=en"),
        "{early}"
    );
    assert_eq!(token(&early), None);
    open(&gate, "lamp");
    let token = until("admitted", || token(&browser.page("lamp")));
    let body = format!("product=lamp&token={token}");
    // Of another site's page, with another's token, without the cookie.
    assert_eq!(browser.form("/waiting-room/buy", &body, "cross-site").summary(), "403 forbidden");
    let wrong = format!("product=lamp&token={}", "0".repeat(64));
    assert_eq!(
        browser.form("/waiting-room/buy", &wrong, "same-origin").summary(),
        "403 ticket_invalid"
    );
    let stranger = Browser { gate: &gate, cookie: String::new() };
    assert_eq!(stranger.form("/waiting-room/buy", &body, "same-origin").status, 401);
    let bought = browser.form("/waiting-room/buy", &body, "same-origin");
    assert!(bought.status == 200 && bought.text().contains("It is yours"), "{}", bought.text());
    assert!(bought.text().contains("<dt>Receipt</dt>"));
    let again = browser.form("/waiting-room/buy", &body, "same-origin");
    assert!(again.status == 200 && again.text().contains("It is yours"));
    assert!(browser.page("lamp").contains("It is yours"));
    assert_eq!(gate.product("lamp")["sold"], 1, "rule 3: pressed twice, ordered once");
}

#[test]
fn over_the_rate_a_browser_goes_to_the_room_and_a_program_is_told_of_it() {
    let gate =
        Gate::limited(ROOM, "product_per_second = 1\nbuyer_per_second = 0\nmin_interval_ms = 0");
    gate.init("lamp", 50);
    let order = |n: u32, more: (&str, &str)| {
        let draft = Draft::order("lamp", &format!("user-{n}"), "key").set(more.0, more.1);
        gate.signed(&shop(), draft)
    };
    let over = |more: (&str, &str)| {
        (0..20).map(|n| order(n, more)).find(|answer| answer.status != 200).expect("over the rate")
    };
    let program = over(("accept", "application/json"));
    assert_eq!(program.summary(), "429 over_rate");
    assert_eq!(program.json()["waitingRoom"], "/waiting-room?product=lamp");
    assert!(program.header("retry-after").is_some());
    for page_load in [("sec-fetch-mode", "navigate"), ("accept", "text/html,*/*")] {
        let browser = over(page_load);
        assert_eq!(browser.status, 302);
        assert_eq!(browser.header("location"), Some("/waiting-room?product=lamp"));
    }
}

#[test]
fn the_public_value_comes_after_the_root_and_before_the_seed() {
    let gate = with("public_value_source = \"drand quicknet, first round after the opening\"\n");
    create(&gate, "lamp", 5);
    let alice = Shopper::new(&gate, "alice");
    let ticket = alice.ticket(&gate, "lamp");
    let give = |value: &str| {
        let body = format!(r#"{{"value":"{value}"}}"#);
        gate.operator("POST", "/admin/products/lamp/public-value", &body, None)
    };
    assert_eq!(give("too-early").summary(), "409 conflict");
    open(&gate, "lamp");
    let drawing = until("drawing", || {
        let draw = get(&gate, "/waiting-room/draw?product=lamp").json();
        draw["root"].is_string().then_some(draw)
    });
    assert!(drawing["seed"].is_null());
    assert_eq!(alice.admission(&gate, &ticket).summary(), "409 not_your_turn");
    assert_eq!(give("0123abcd").status, 200);
    assert_eq!(give("another").summary(), "409 conflict", "it stays");
    let by = alice.admitted(&gate, &ticket);
    assert_eq!(alice.buy(&gate, &by, "lamp", "key").summary(), "200 success");
    let draw = get(&gate, "/waiting-room/draw?product=lamp").json();
    assert_eq!((&draw["publicValue"], draw["seed"].is_string()), (&"0123abcd".into(), true));
}
