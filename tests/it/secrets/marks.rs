//! Texts that must not come out, and the search for them in whatever form.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Shortest text that is searched for: a shorter one is found in anything.
const BYTES_MIN: usize = 8;

/// Where something may come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Standard error and standard output of servers and workers, whatever is asked for.
    Log,
    /// `/metrics`.
    Metrics,
    /// What a collector gets.
    Traces,
    /// The files of the store.
    Store,
    /// What a command says.
    Command,
    /// Records on Kafka, headers included.
    #[cfg(feature = "distributed")]
    Kafka,
    /// Keys and values of Redis.
    #[cfg(feature = "distributed")]
    Redis,
    /// Tables of PostgreSQL.
    Ledger,
}

/// A text that must not come out.
#[derive(Debug, Clone)]
pub struct Mark {
    /// What it is.
    pub what: &'static str,
    /// The text.
    pub text: String,
    /// Where it may be nevertheless; each of them is said here with its reason, in [`super::scene`].
    pub allowed: &'static [Place],
}

/// All of them.
#[derive(Debug, Default)]
pub struct Marks(pub Vec<Mark>);

impl Marks {
    /// Adds one that may be nowhere.
    pub fn secret(&mut self, what: &'static str, text: impl Into<String>) -> String {
        self.secret_but(what, text, &[])
    }

    /// Adds one that may be in these places.
    pub fn secret_but(
        &mut self,
        what: &'static str,
        text: impl Into<String>,
        allowed: &'static [Place],
    ) -> String {
        let text = text.into();
        assert!(text.len() >= BYTES_MIN, "{what} {text} is too short to be searched for");
        self.0.push(Mark { what, text: text.clone(), allowed });
        text
    }

    /// What is in `bytes` and must not be in this place, each with its form.
    pub fn found_in(&self, place: Place, bytes: &[u8]) -> Vec<String> {
        // Every form is ASCII, so what is not UTF-8 around it does no harm.
        let all = String::from_utf8_lossy(bytes);
        let mut found = Vec::new();
        for mark in self.0.iter().filter(|mark| !mark.allowed.contains(&place)) {
            let forms = forms(&mark.text);
            if let Some((form, _)) = forms.iter().find(|(_, text)| all.contains(text)) {
                found.push(format!("{} {:?} {form}", mark.what, mark.text));
            }
        }
        found
    }

    /// Fails if something is where it must not be.
    pub fn check(&self, place: Place, name: &str, bytes: &[u8]) {
        let found = self.found_in(place, bytes);
        assert!(found.is_empty(), "rule 7: in {place:?} ({name}):\n{}", found.join("\n"));
    }

    /// Looks through all files beneath a directory.
    pub fn check_files(&self, place: Place, dir: &Path) -> usize {
        let mut files = Vec::new();
        collect(dir, &mut files);
        for file in &files {
            let bytes = std::fs::read(file).expect("a file that was there");
            self.check(place, &file.display().to_string(), &bytes);
        }
        files.len()
    }
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

/// A text as it may come out: as it is, in hex, as a list of numbers, and in base64 wherever it begins.
pub fn forms(text: &str) -> Vec<(&'static str, String)> {
    let bytes = text.as_bytes();
    let mut forms = vec![("as it is", text.to_owned())];
    if text.to_ascii_uppercase() != text {
        forms.push(("in capitals", text.to_ascii_uppercase()));
    }
    if text.to_ascii_lowercase() != text {
        forms.push(("in small letters", text.to_ascii_lowercase()));
    }
    forms.push(("in hex", hex::encode(bytes)));
    forms.push(("in hex", hex::encode_upper(bytes)));
    let mut numbers = String::new();
    for byte in bytes {
        write!(numbers, "{byte}, ").expect("a String takes all");
    }
    forms.push(("as numbers", numbers.trim_end_matches(", ").to_owned()));
    for before in 0..3 {
        let whole = [&vec![0; before], bytes].concat();
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&whole);
            // Without the digits that depend on the neighbours too.
            let (from, to) = ((before * 8).div_ceil(6), whole.len() * 8 / 6);
            forms.push(("in base64", encoded[from..to].to_owned()));
        }
    }
    let escaped: String = text.chars().map(|c| format!("\\u{:04x}", c as u32)).collect();
    forms.push(("escaped", escaped));
    forms
}

#[test]
fn the_search_finds_what_is_planted_in_every_form() {
    let mut marks = Marks::default();
    marks.secret("a user", "mark-user-0a1b2c");
    marks.secret_but("a buyer", "mark-buyer-9f8e", &[Place::Store]);
    marks.secret("a token", "Mark.Token_5d4c3b");
    for mark in &marks.0 {
        for (form, text) in forms(&mark.text) {
            for around in [("", ""), ("x=", "&y"), ("{\"a\":\"", "\"}\n"), ("\0\u{1}", "\0")] {
                let line = format!("{}{text}{}", around.0, around.1);
                let found = marks.found_in(Place::Log, line.as_bytes());
                assert!(found.iter().any(|found| found.starts_with(mark.what)), "{form} {line:?}");
            }
        }
    }
    // In base64 together with what stands before and behind it.
    for before in ["", "a", "ab", "abc", "{\"user\":"] {
        let line = STANDARD_NO_PAD.encode(format!("{before}mark-user-0a1b2c and more"));
        assert_eq!(marks.found_in(Place::Log, line.as_bytes()).len(), 1, "{line}");
    }
    assert!(marks.found_in(Place::Log, b"mark-user-0a1b2d and nothing else").is_empty());
    assert!(marks.found_in(Place::Store, b"mark-buyer-9f8e").is_empty(), "allowed there");
    assert_eq!(marks.found_in(Place::Log, b"mark-buyer-9f8e").len(), 1);
    assert_eq!(marks.found_in(Place::Metrics, b"xmark-user-0a1b2cmark-user-0a1b2c").len(), 1);
}
