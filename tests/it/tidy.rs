//! Keeps the shape of the house: arrows between modules point down, files stay short and say their job.
//!
//! It reads the sources as text: every `crate::name` outside comments and text, also in braces, and
//! `super::` chains that reach the crate's root. The checker itself is tried on planted violations.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The rows of the house, the upper first. A module may use what stands in rows below its own.
const ROWS: &[&[&str]] = &[
    &["cli"],
    &["load"],
    &["app"],
    &["http", "worker"],
    &["place_order"],
    &["guard", "incident"],
    &["evidence", "lobby"],
    &["audit", "gate", "log", "ledger", "room"],
    &["receipt", "trace", "erasures", "siteverify"],
    &["config", "keys", "signing", "gcra", "telemetry", "clock", "snapshot"],
    &["merkle"],
    &["chain", "outgoing", "escape"],
    &["sale"],
];

/// Longest source file, in lines.
const LINES_MAX: usize = 500;

#[test]
fn the_house_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 10, "the sources were not found");
    let mut faults = String::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let relative = path.strip_prefix(&root).unwrap();
        for fault in faults_of(relative, &text) {
            writeln!(faults, "src/{}: {fault}", relative.display()).unwrap();
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Everything that is wrong with one file, `path` being relative to `src/`.
fn faults_of(path: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("//!") {
        faults.push("does not open with its job (`//!`)".to_owned());
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        faults.push(format!("has {lines} lines, more than {LINES_MAX}: split it"));
    }
    let modules = modules_of(path);
    let Some(own) = modules.first() else { return faults };
    let Some(own_row) = row_of(own) else {
        faults.push(format!("`{own}` has no row: add it to ROWS and to the map in lib.rs"));
        return faults;
    };
    let mut used = used_modules(&code_of(text), modules.len());
    used.sort();
    used.dedup();
    // A test may use its neighbours: the views of the ledger are tested over rows that the log wrote.
    let is_test = modules.last().is_some_and(|module| module == "tests");
    let lowest_forbidden = if is_test { own_row.checked_sub(1) } else { Some(own_row) };
    for name in used.iter().filter(|name| *name != own) {
        if row_of(name).is_some_and(|row| lowest_forbidden.is_some_and(|lowest| row <= lowest)) {
            faults.push(format!("uses `{name}`, which does not stand below `{own}`"));
        }
    }
    faults
}

fn row_of(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

/// The module path of a file: `cli/sale/show.rs` is cli, sale, show. Empty for the roots of the crates.
fn modules_of(path: &Path) -> Vec<String> {
    let path = path.with_extension("");
    let names = path.iter().map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| !["lib", "main", "mod"].contains(&name.as_str())).collect()
}

/// The text without comments and without the contents of string and character literals.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = raw_string_length(rest).filter(|_| !code.ends_with(is_name)) {
            raw
        } else if next == '"' {
            string_length(rest)
        } else if let Some(length) = character_length(rest) {
            length
        } else {
            code.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        };
        code.push(' ');
        rest = &rest[skipped..];
    }
    code
}

/// Length of the raw string that begins here, such as `r#"…"#`.
fn raw_string_length(text: &str) -> Option<usize> {
    let after_r = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after_r.len() - after_r.trim_start_matches('#').len();
    let body = after_r[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let before = text.len() - body.len();
    Some(body.find(&close).map_or(text.len(), |end| before + end + close.len()))
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of the character literal that begins here; `None` for a lifetime.
fn character_length(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('\'')?;
    if inner.starts_with('\\') {
        return inner[2..].find('\'').map(|end| end + 4);
    }
    let first = inner.chars().next()?.len_utf8();
    inner[first..].starts_with('\'').then_some(first + 2)
}

/// The top modules that the code names by `crate::…` or by a `super::` chain to the root from `depth`.
fn used_modules(code: &str, depth: usize) -> Vec<String> {
    let squeezed = code.split_whitespace().collect::<Vec<_>>().join(" ").replace(" ::", "::");
    let squeezed = squeezed.replace(":: ", "::");
    let mut used = Vec::new();
    for (at, _) in squeezed.match_indices("crate::") {
        // `$crate::` of a macro counts as well; `my_crate::` does not.
        if !squeezed[..at].ends_with(is_name) {
            used.extend(heads(&squeezed[at + "crate::".len()..]));
        }
    }
    for (at, _) in squeezed.match_indices("super::") {
        if squeezed[..at].ends_with(is_name) || squeezed[..at].ends_with("super::") {
            continue;
        }
        let after = squeezed[at..].trim_start_matches("super::");
        let ups = (squeezed.len() - at - after.len()) / "super::".len();
        if ups >= depth + inline_modules_around(&squeezed[..at]) {
            used.extend(heads(after));
        }
    }
    used
}

/// How many inline modules (`mod tests {`) are open at the end of this code.
fn inline_modules_around(code: &str) -> usize {
    let mut braces = Vec::new();
    for (at, c) in code.char_indices() {
        match c {
            '{' => {
                let mut words = code[..at].split_whitespace().rev();
                braces.push(words.next().is_some() && words.next() == Some("mod"));
            }
            '}' => drop(braces.pop()),
            _ => {}
        }
    }
    braces.into_iter().filter(|is_module| *is_module).count()
}

/// The first names of a path or of a group of paths in braces.
fn heads(path: &str) -> Vec<String> {
    let path = path.trim_start();
    let Some(group) = path.strip_prefix('{') else {
        let name: String = path.chars().take_while(|c| is_name(*c)).collect();
        return if name.is_empty() { Vec::new() } else { vec![name] };
    };
    let mut names = Vec::new();
    let mut level = 0_usize;
    let mut start = true;
    for (at, c) in group.char_indices() {
        match c {
            '}' if level == 0 => break,
            '{' => level += 1,
            '}' => level -= 1,
            ',' if level == 0 => start = true,
            c if start && is_name(c) => {
                names.extend(heads(&group[at..]));
                start = false;
            }
            _ => {}
        }
    }
    names
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Faults of a file with this code under a proper opening.
fn planted(path: &str, code: &str) -> Vec<String> {
    faults_of(Path::new(path), &format!("//! Job.\n{code}"))
}

#[test]
fn an_arrow_that_points_up_or_sideways_is_found() {
    for (path, code) in [
        ("sale/state.rs", "use crate::clock::Clock;"),
        ("gate.rs", "use crate::log::OrderLog;"),
        ("config/load.rs", "fn f() { crate::keys::tag(); }"),
        (
            "guard/rates.rs",
            "use crate::{\n    keys,\n    sale::{self, http},\n    http::problem,\n};",
        ),
        ("keys.rs", "use super::config::Config;"),
        ("keys/stored.rs", "use super::super::config::Config;"),
        ("log/sqlite.rs", "type G = crate :: gate :: Gate;"),
        ("http/order.rs", "pub(in crate::http) fn f() -> crate::app::App { todo!() }"),
        ("app.rs", "#[cfg(test)]\nmod tests { use crate::load::Load; }"),
        ("ledger/tests.rs", "use crate::guard::Guard;"),
        ("gate.rs", "mod tests { use super::super::log::OrderLog; }"),
        ("gate.rs", "mod tests { fn f() {} } use super::log::OrderLog;"),
    ] {
        let faults = planted(path, code);
        assert_eq!(faults.len(), 1, "{path}: {faults:?}");
        assert!(faults[0].contains("does not stand below"), "{faults:?}");
    }
}

#[test]
fn an_arrow_that_points_down_or_inside_is_fine() {
    for (path, code) in [
        ("cli/serve.rs", "use crate::app::App;\nuse crate::cli::{Exit, Failure};"),
        ("guard.rs", "use crate::{keys::{tag, stored}, sale::UserId};\nmod rates;"),
        ("log/sqlite.rs", "use super::applied::Applied;\nuse crate::sale::record::Record;"),
        ("keys.rs", "#[cfg(test)]\nmod tests { use super::*; }"),
        ("ledger/tests.rs", "use crate::log::OrderLog;"),
        ("config/print.rs", "mod tests { use super::super::load::load; }"),
        ("sale/mod.rs", "// use crate::http::x\n/* crate::app */ const A: &str = \"crate::app\";"),
        ("sale/ids.rs", "const A: &str = r#\"a \" crate::app\"#; const B: char = '\"';"),
        ("sale/ids.rs", "fn f<'a>(x: &'a str) -> char { '\\'' } // crate::app"),
        (
            "sale/ids.rs",
            "use my_crate::http; use std::http; macro_rules! m { () => { $crate::sale } }",
        ),
        ("main.rs", "use flux_gate::cli;"),
    ] {
        assert_eq!(planted(path, code), Vec::<String>::new(), "{path}");
    }
}

#[test]
fn text_does_not_hide_the_code_behind_it() {
    for code in [
        "const A: &str = \"a \\\" b\"; use crate::app::X;",
        "const A: &[u8] = br\"\\\"; use crate::app::X;",
        "const A: char = '\"'; use crate::app::X;",
        "const A: char = '\\\\'; const B: char = '\"'; use crate::app::X;",
        "fn f<'a>() {} use crate::app::X; fn g<'a>() {}",
        "/* a */ use crate::app::X;",
    ] {
        assert_eq!(planted("sale/ids.rs", code).len(), 1, "{code}");
    }
}

#[test]
fn a_long_file_a_silent_file_and_a_module_without_a_row_are_found() {
    let long = "\n".repeat(LINES_MAX);
    assert!(planted("sale/ids.rs", &long)[0].contains("split it"));
    assert!(planted("sale/ids.rs", &long[1..]).is_empty());
    let silent = faults_of(Path::new("sale/ids.rs"), "use std::fmt;");
    assert!(silent[0].contains("does not open with its job"));
    assert!(planted("shed.rs", "")[0].contains("has no row"));
}
