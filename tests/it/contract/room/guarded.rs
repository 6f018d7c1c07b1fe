//! The room and the guard together: how fast it lets in, whose form it is, and challenges on its form.

use super::*;
use crate::challenge::{encode, fake_service, service, solve};

/// A browser that came to the room by a form and whose turn it is: its page's token.
fn admitted_by_form<'a>(gate: &'a Gate, shopper: &Shopper) -> (Browser<'a>, String) {
    let fields = format!("product=lamp&pass={}", shopper.pass());
    let mut browser = Browser { gate, cookie: String::new() };
    let entered = browser.form("/waiting-room/enter", &fields, "same-origin");
    assert_eq!(entered.status, 303, "{}", entered.text());
    let cookie = entered.header("set-cookie").unwrap();
    browser.cookie = cookie.split(';').next().unwrap().to_owned();
    let token = until("admitted", || token(&browser.page("lamp")));
    (browser, token)
}

/// Presses the form's button, with a solution if there is one.
fn press(browser: &Browser<'_>, token: &str, solution: Option<&str>) -> Answer {
    let draft = Draft::new("POST", "/waiting-room/buy", format!("product=lamp&token={token}"))
        .set("content-type", "application/x-www-form-urlencoded")
        .set("sec-fetch-site", "same-origin")
        .set("cookie", &browser.cookie);
    browser.gate.send(&match solution {
        Some(solution) => draft.set("x-challenge", solution),
        None => draft,
    })
}

/// Shoppers a second that a slow gate lets in.
const A_SECOND: u64 = 2;

fn slow() -> Gate {
    let config = ROOM.replace("admit_per_second = 100", "admit_per_second = 2");
    Gate::limited(&config, "buyer_per_second = 0\nmin_interval_ms = 0")
}

#[test]
fn the_early_are_let_in_in_the_order_of_the_draw() {
    let gate = slow();
    create(&gate, "lamp", 50);
    let ticket = |n| Shopper::new(&gate, &format!("user-{n}")).ticket(&gate, "lamp");
    let tickets: Vec<_> = (0..12).map(ticket).collect();
    let seen = |ticket: &String| state(&gate, "lamp", Some(ticket)).json();
    open(&gate, "lamp");
    let places: Vec<_> =
        tickets.iter().map(|ticket| until("drawn", || seen(ticket)["place"].as_u64())).collect();
    let mut drawn = places.clone();
    drawn.sort_unstable();
    assert_eq!(drawn, (0..12).collect::<Vec<_>>(), "each has a place of their own");
    assert_ne!(drawn, places, "the draw is not the order of arrival, but once in 479,001,600");
    until("six are in", || (seen(&tickets[0])["head"].as_u64() >= Some(6)).then_some(()));
    for (ticket, place) in tickets.iter().zip(places) {
        let now = seen(ticket);
        let turn = place < now["head"].as_u64().unwrap();
        assert_eq!(now["ticket"], if turn { "admitted" } else { "waiting" }, "place {place}");
    }
}

#[test]
fn no_more_are_let_in_than_the_rate_allows() {
    let gate = slow();
    gate.init("lamp", 50);
    let began = Instant::now();
    for number in 0..16 {
        Shopper::new(&gate, &format!("user-{number}")).ticket(&gate, "lamp");
    }
    let look = || {
        let path = "/admin/products/lamp/waiting-room";
        gate.operator("GET", path, "", None).json()["admittedTotal"].as_u64().unwrap()
    };
    until("three seconds of admissions", || {
        let (seen, elapsed_ms) = (look(), began.elapsed().as_millis() as u64);
        // The clock of the room has steps, and what a second gives may have gathered.
        let most = A_SECOND + 1 + elapsed_ms * A_SECOND / 1_000;
        assert!(seen <= most, "{seen} are in after {elapsed_ms} ms");
        (seen >= 6).then_some(())
    });
}

#[test]
fn a_form_is_good_for_its_own_buyer_alone() {
    let gate = gate();
    gate.init("lamp", 5);
    let (alice, bob) = (Shopper::new(&gate, "alice"), Shopper::new(&gate, "bob"));
    let (of_alice, alices) = admitted_by_form(&gate, &alice);
    let (of_bob, bobs) = admitted_by_form(&gate, &bob);
    assert_eq!(press(&of_bob, &alices, None).summary(), "403 ticket_invalid");
    assert_eq!(press(&of_alice, &bobs, None).summary(), "403 ticket_invalid");
    // Somebody who has a cookie and no place; and one whose cookie is forged.
    let carol = Shopper::new(&gate, "carol");
    let cookie = format!("__Host-flux-room={}", carol.pass());
    let without = Browser { gate: &gate, cookie };
    assert_eq!(press(&without, &alices, None).summary(), "403 ticket_invalid");
    let forged = Browser { gate: &gate, cookie: format!("{}x", of_alice.cookie) };
    assert_eq!(press(&forged, &alices, None).status, 401);
    assert_eq!(gate.product("lamp")["sold"], 0);
    let bought = press(&of_alice, &alices, None);
    assert!(bought.status == 200 && bought.text().contains("It is yours"), "{}", bought.text());
    assert_eq!(gate.product("lamp")["sold"], 1);
}

fn scored(more: &str) -> Gate {
    Gate::limited(&format!("{ROOM}{more}"), "buyer_per_second = 0\nmin_interval_ms = 0")
}

#[test]
fn a_solution_that_comes_with_a_form_is_held_against_the_service() {
    let gate = scored(&service(fake_service(Duration::ZERO), "closed", 20_000));
    gate.init("lamp", 5);
    let (browser, token) = admitted_by_form(&gate, &Shopper::new(&gate, "alice"));
    assert_eq!(press(&browser, &token, None).summary(), "403 challenge_required");
    assert_eq!(press(&browser, &token, Some("bad")).summary(), "403 challenge_required");
    assert_eq!(gate.product("lamp")["sold"], 0, "a solution that was only sent along passes");
    assert_eq!(press(&browser, &token, Some("good")).status, 200);
    assert_eq!(gate.product("lamp")["sold"], 1);
}

#[test]
fn a_browser_without_scripts_is_told_in_its_own_words_why_its_form_is_refused() {
    let gate = scored(crate::challenge::STRICT);
    gate.init("lamp", 5);
    let (browser, token) = admitted_by_form(&gate, &Shopper::new(&gate, "alice"));
    let pressed = |language: &str| {
        let body = format!("product=lamp&token={token}&lang={language}");
        let draft = Draft::new("POST", "/waiting-room/buy", body)
            .set("content-type", "application/x-www-form-urlencoded")
            .set("sec-fetch-site", "same-origin")
            .set("sec-fetch-mode", "navigate")
            .set("cookie", &browser.cookie);
        gate.send(&draft)
    };
    let asked = pressed("en");
    assert_eq!(asked.status, 403);
    assert_eq!(asked.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(asked.text().contains("Please turn on JavaScript"), "{}", asked.text());
    assert!(pressed("de").text().contains("Bitte schalten Sie JavaScript ein"));
    assert_eq!(gate.product("lamp")["sold"], 0);
}

#[test]
fn a_form_that_is_asked_for_a_challenge_needs_its_own() {
    let gate = scored(crate::challenge::STRICT);
    gate.init("lamp", 5);
    let (browser, token) = admitted_by_form(&gate, &Shopper::new(&gate, "alice"));
    let (of_bob, bobs) = admitted_by_form(&gate, &Shopper::new(&gate, "bob"));
    let asked = press(&browser, &token, None);
    assert_eq!(asked.summary(), "403 challenge_required");
    let others = encode(&solve(&press(&of_bob, &bobs, None).json()["challenge"]));
    assert_eq!(press(&browser, &token, Some(&others)).summary(), "403 challenge_required");
    assert_eq!(gate.product("lamp")["sold"], 0);
    let own = encode(&solve(&asked.json()["challenge"]));
    assert_eq!(press(&browser, &token, Some(&own)).status, 200);
    assert_eq!(gate.product("lamp")["sold"], 1);
}

#[test]
fn a_form_without_a_pass_passes_the_door_too() {
    let gate = Gate::start(&format!("{ROOM}\n[blocks]\nfingerprints = [\"a-farm\"]\n"));
    create(&gate, "lamp", 5);
    let form = |target: &str, body: &str, fingerprint: &str| {
        let draft = Draft::new("POST", target, body)
            .set("content-type", "application/x-www-form-urlencoded")
            .set("sec-fetch-site", "same-origin")
            .set("x-device-fingerprint", fingerprint);
        gate.send(&draft)
    };
    for (target, body, status) in [
        ("/waiting-room/enter", "product=lamp", 401),
        ("/waiting-room/buy", "product=lamp&token=0", 401),
        ("/waiting-room/enter", "no=form", 400),
        ("/waiting-room/buy", "no=form", 400),
    ] {
        assert_eq!(form(target, body, "somebody").status, status, "{target} {body}");
        assert_eq!(form(target, body, "a-farm").summary(), "403 blocked", "{target} {body}");
    }
}
