//! Settings of rooms, scores and challenges, and the files of `draw verify`: each that cannot be is refused by its
//! name, with a status that says so and nothing of the inside.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::INSIDE;
use crate::support::server::{clean, command, run_to_end};

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_flux-gate"))
}

/// `config check` of this text.
fn check(dir: &TempDir, text: &str) -> Output {
    let file = dir.path().join("gate.toml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(program());
    command.args(["config", "check", "--config"]).arg(file);
    clean(&mut command);
    command.output().unwrap()
}

/// Numbers: section, key, the least and the largest.
const NUMBERS: [(&str, &str, u64, u64); 25] = [
    ("room", "admit_per_second", 0, 1_000_000),
    ("room", "surplus_units", 0, 1_000_000),
    ("room", "admission_seconds", 10, 3_600),
    ("room", "absent_seconds", 2, 3_600),
    ("room", "poll_seconds", 1, 600),
    ("room", "waiting_max", 1_000, 10_000_000),
    ("room", "viewers_max", 0, 1_000_000),
    ("room", "viewers_per_ip_max", 1, 1_000_000),
    ("challenge", "expires_seconds", 10, 3_600),
    ("challenge", "timeout_ms", 1, 30_000),
    ("score", "challenge_above", 0, 1_000),
    ("score", "refuse_above", 0, 1_000),
    ("score", "no_user_agent", 0, 1_000),
    ("score", "no_accept_language", 0, 1_000),
    ("score", "odd_headers", 0, 1_000),
    ("score", "no_fingerprint", 0, 1_000),
    ("score", "fingerprint_contradicted", 0, 1_000),
    ("score", "users_on_fingerprint", 0, 1_000),
    ("score", "users_on_address", 0, 1_000),
    ("score", "alike_on_address", 0, 1_000),
    ("score", "fingerprints_of_user", 0, 1_000),
    ("score", "too_regular", 0, 1_000),
    ("score", "before_opening", 0, 1_000),
    ("score", "failed_before", 0, 1_000),
    ("score", "page_unused", 0, 1_000),
];

#[test]
fn numbers_are_taken_at_their_edges_and_refused_beyond() {
    let dir = tempfile::tempdir().unwrap();
    let mut failures = Vec::new();
    for (section, key, least, most) in NUMBERS {
        let mut try_it = |value: String, well: bool| {
            let output = check(&dir, &format!("[{section}]\n{key} = {value}\n"));
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            let named = well || told.contains(&format!("{section}.{key}"));
            if output.status.code() != Some(i32::from(!well)) || !named {
                failures.push(format!("{section}.{key} = {value}: {} {told}", output.status));
            }
        };
        try_it(least.to_string(), true);
        try_it(most.to_string(), true);
        try_it((most + 1).to_string(), false);
        if least > 0 {
            try_it((least - 1).to_string(), false);
        }
        for value in ["-1", "1.5", "\"1\"", "true", "[1]", "99999999999999999999", "nan"] {
            try_it(value.to_owned(), false);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

const TURNSTILE: &str = "provider = \"turnstile\"\nsite_key = \"k\"\nsecret = \"s\"\n";

#[test]
fn texts_lists_and_choices_are_refused_by_their_name() {
    let dir = tempfile::tempdir().unwrap();
    let turnstile = |more: &str| format!("[challenge]\n{TURNSTILE}{more}");
    let long = |bytes: usize| "b".repeat(bytes);
    let bad = [
        ("room.products", "[room]\nproducts = [\"LAMP\"]\n".to_owned()),
        ("room.products", "[room]\nproducts = [\"\"]\n".to_owned()),
        ("room.products", "[room]\nproducts = [\"**\"]\n".to_owned()),
        ("room.products", format!("[room]\nproducts = [\"{}\"]\n", long(51))),
        ("room.products", "[room]\nproducts = \"lamp\"\n".to_owned()),
        ("room.products", "[room]\nproducts = [1]\n".to_owned()),
        ("room.brand_name", format!("[room]\nbrand_name = \"{}\"\n", long(81))),
        ("room.brand_name", "[room]\nbrand_name = 1\n".to_owned()),
        ("room.public_value_source", format!("[room]\npublic_value_source = \"{}\"\n", long(257))),
        ("room.brand_colour", "[room]\nbrand_colour = \"green\"\n".to_owned()),
        ("room.brand_colour", "[room]\nbrand_colour = \"#1f6f5\"\n".to_owned()),
        ("room.brand_colour", "[room]\nbrand_colour = \"#1f6f5400\"\n".to_owned()),
        ("room.brand_colour", "[room]\nbrand_colour = \"#zzzzzz\"\n".to_owned()),
        ("room.brand_colour", "[room]\nbrand_colour = \"red;}body{x:y\"\n".to_owned()),
        ("room.languages", "[room]\nlanguages = []\n".to_owned()),
        ("room.languages", "[room]\nlanguages = [\"EN\"]\n".to_owned()),
        ("room.languages", "[room]\nlanguages = [\"eng\"]\n".to_owned()),
        ("room.languages", "[room]\nlanguages = [\"<b\"]\n".to_owned()),
        ("room.languages", "[room]\nlanguages = [\"fr\"]\n".to_owned()),
        ("room.nothing", "[room]\nnothing = 1\n".to_owned()),
        ("score.nothing", "[score]\nnothing = 1\n".to_owned()),
        ("score.enabled", "[score]\nenabled = \"yes\"\n".to_owned()),
        ("score.enabled", "[score]\nenabled = 1\n".to_owned()),
        ("challenge.provider", "[challenge]\nprovider = \"none\"\n".to_owned()),
        ("challenge.provider", "[challenge]\nprovider = \"ALTCHA\"\n".to_owned()),
        ("challenge.provider", "[challenge]\nprovider = 1\n".to_owned()),
        ("challenge.secret", "[challenge]\nsecret = \"s\"\n".to_owned()),
        ("challenge.secret", "[challenge]\nprovider = \"hcaptcha\"\nsite_key = \"k\"\n".to_owned()),
        (
            "challenge.site_key",
            "[challenge]\nprovider = \"recaptcha\"\nsecret = \"s\"\n".to_owned(),
        ),
        ("challenge.on_failure", turnstile("on_failure = \"half\"\n")),
        ("challenge.siteverify_url", turnstile("siteverify_url = \"http://service.test/x\"\n")),
        ("challenge.siteverify_url", turnstile("siteverify_url = \"ftp://service.test/x\"\n")),
        ("challenge.siteverify_url", turnstile("siteverify_url = \"https://\"\n")),
        ("challenge.siteverify_url", turnstile("siteverify_url = \"https://a@b/x\"\n")),
        ("challenge.siteverify_url", turnstile("siteverify_url = \"https://b/x?y\"\n")),
        ("challenge.siteverify_url", turnstile("siteverify_url = \"/siteverify\"\n")),
        ("challenge.nothing", turnstile("nothing = 1\n")),
    ];
    let mut failures = Vec::new();
    for (key, text) in bad {
        let output = check(&dir, &text);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let inside = ["panicked", ".rs:", "backtrace"].iter().any(|word| told.contains(word));
        if output.status.code() != Some(1) || !told.contains(key) || inside {
            failures.push(format!("{text}: {} {told}", output.status));
        }
    }
    let good = [
        format!("[room]\nproducts = [\"*\", \"{}\"]\n", long(50)),
        format!("[room]\nbrand_name = \"{}\"\npublic_value_source = \"{}\"\n", long(80), long(256)),
        "[room]\nbrand_colour = \"#AbCdEf\"\nlanguages = [\"de\"]\n".to_owned(),
        turnstile("siteverify_url = \"http://[::1]:9/x\"\non_failure = \"open\"\n"),
        turnstile(""),
    ];
    for text in good {
        let output = check(&dir, &text);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(0) {
            failures.push(format!("refused, and should not be: {text}: {told}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn files_of_the_page_that_cannot_be_used_stop_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let logo = |path: String| format!("[room]\nbrand_logo_file = {path:?}\n");
    let texts = |path: String| format!("[room]\ntexts_file = {path:?}\n");
    let bad = [
        logo(dir.path().join("none.png").display().to_string()),
        logo(dir.path().display().to_string()),
        logo(file("logo.gif", b"GIF89a")),
        logo(file("logo", b"x")),
        logo(file("large.png", &[0; 65 * 1_024])),
        texts(dir.path().join("none.toml").display().to_string()),
        texts(file("broken.toml", b"[en\n")),
        texts(file("list.toml", b"en = [1]\n")),
        texts(file("number.toml", b"[en]\ntitle = 1\n")),
        texts(file("unknown.toml", b"[en]\nno_such_text = \"x\"\n")),
        texts(file("bytes.toml", b"\xff\xfe\x00")),
        texts(file("large.toml", &[b'#'; 257 * 1_024])),
        format!("{}languages = [\"fr\"]\n", texts(file("half.toml", b"[fr]\ntitle = \"x\"\n"))),
    ];
    for (number, config) in bad.iter().enumerate() {
        let store = dir.path().join(format!("store-{number}"));
        let (status, log) = run_to_end(command(program(), &store, config).unwrap()).unwrap();
        assert_eq!(status.code(), Some(1), "{config}{log}");
        assert!(!log.contains("panicked"), "{config}{log}");
    }
}

/// What an honest draw of two publishes, with holes to be filled by a case.
fn draw(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut draw = serde_json::json!({
        "productId": "lamp", "commitment": "ab".repeat(32), "publicValueSource": "",
        "entrants": 2, "root": "cd".repeat(32), "seed": "ef".repeat(32),
    });
    change(&mut draw);
    draw.to_string()
}

#[test]
fn draw_verify_refuses_files_that_are_no_draw() {
    use serde_json::{Value, json};
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let run = |arguments: &[&std::ffi::OsStr]| {
        let mut command = Command::new(program());
        command.args(["draw", "verify"]).args(arguments);
        clean(&mut command);
        let output = command.output().unwrap();
        let told = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        (output.status.code(), String::from_utf8_lossy(&told).into_owned())
    };
    let set = |name: &'static str, value: Value| draw(move |draw| draw[name] = value);
    let mut bad: Vec<(&str, Vec<u8>)> = [
        ("empty", String::new()),
        ("no JSON", "{".to_owned()),
        ("a list", "[]".to_owned()),
        ("nothing in it", "{}".to_owned()),
        ("half", draw(|draw| drop(draw.as_object_mut().unwrap().remove("commitment")))),
        ("bad product", set("productId", json!("LAMP"))),
        ("no product", set("productId", Value::Null)),
        ("short commitment", set("commitment", json!("ab"))),
        ("no hex", set("commitment", json!("zz".repeat(32)))),
        ("long commitment", set("commitment", json!("ab".repeat(4_000)))),
        ("short root", set("root", json!("cd"))),
        ("number as root", set("root", json!(1))),
        ("short seed", set("seed", json!("ef".repeat(31)))),
        ("no seed yet", set("seed", Value::Null)),
        ("no root yet", set("root", Value::Null)),
        ("no entrants", set("entrants", Value::Null)),
        ("negative", set("entrants", json!(-1))),
        ("too many", set("entrants", json!(4_294_967_296_u64))),
        ("a text", set("entrants", json!("2"))),
        ("most", set("entrants", json!(u32::MAX))),
        ("as it is", draw(|_| ())),
        ("deep", "[".repeat(100_000)),
    ]
    .map(|(name, text)| (name, text.into_bytes()))
    .into();
    bad.push(("UTF-16", b"\xff\xfe{\0}\0".to_vec()));
    bad.push(("byte order mark", [b"\xef\xbb\xbf".as_slice(), draw(|_| ()).as_bytes()].concat()));
    for (name, bytes) in bad {
        let file = write("draw.json", &bytes);
        let (code, told) = run(&[file.as_os_str()]);
        assert_eq!(code, Some(1), "{name}: {told}");
        let inside = INSIDE.iter().find(|word| told.contains(**word));
        assert!(!told.is_empty() && inside.is_none(), "{name}: {told}");
    }
    let draw = write("draw.json", draw(|_| ()).as_bytes());
    let none = dir.path().join("none");
    assert_eq!(run(&[none.as_os_str()]).0, Some(1));
    assert_eq!(run(&[dir.path().as_os_str()]).0, Some(1));
    let leaf = "ab".repeat(32);
    let files = [
        ("--ticket", Vec::new()),
        ("--ticket", b"zq".to_vec()),
        ("--ticket", b"{\"ticket\":1}".to_vec()),
        ("--ticket", "t1.".repeat(500).into_bytes()),
        ("--ticket", b"\xff".to_vec()),
        ("--before", b"{}".to_vec()),
        ("--before", b"[".to_vec()),
        ("--entrants", b"ab\n".to_vec()),
        ("--entrants", format!("{leaf}\n\n{leaf}\n").into_bytes()),
        ("--entrants", format!("{leaf}0\n").into_bytes()),
        ("--entrants", b"\xff\n".to_vec()),
    ];
    for (flag, bytes) in files {
        let file = write("other", &bytes);
        let (code, told) = run(&[draw.as_os_str(), flag.as_ref(), file.as_os_str()]);
        let name = String::from_utf8_lossy(&bytes);
        assert_eq!(code, Some(1), "{flag} {name}: {told}");
        assert!(!told.contains("panicked"), "{flag} {name}: {told}");
    }
    for (place, expected) in [("0", 1), ("-1", 2), ("x", 2), ("4294967296", 2), ("1", 1)] {
        let (code, told) = run(&[draw.as_os_str(), "--place".as_ref(), place.as_ref()]);
        assert_eq!(code, Some(expected), "{place}: {told}");
    }
}
