//! The configuration file: TOML. Every fault is reported with its line and column.

use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;
use toml::Value;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::entry::{Entry, misfit, misfits_of_row, one_line, remedy_for_unknown};
use super::problem::{Origin, Problem, closest, did_you_mean};
use super::schema::{self, KEYS, ROWS};

/// The values of the file, and what is wrong with it.
pub(super) fn read(path: &Path) -> (Vec<Entry>, Vec<Problem>) {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) => {
            let mend = "give a readable file of UTF-8 text with --config";
            let what = format!("cannot be read: {error}");
            (Vec::new(), vec![Problem::new(path.display().to_string(), what, mend)])
        }
    }
}

fn parse(path: &Path, text: &str) -> (Vec<Entry>, Vec<Problem>) {
    let mut reader = Reader { path, text, entries: Vec::new(), problems: Vec::new() };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        // The message alone: the library's display would show the line, which may hold a secret.
        let origin = reader.origin(error.span().unwrap_or(0..0));
        let what = format!("is not TOML: {}", one_line(error.message()));
        reader.problems.push(Problem::new("file", what, "correct the syntax").at(origin));
    }
    if errors.is_empty() {
        reader.top(table.get_ref());
    }
    reader.problems.sort_by_key(place);
    (reader.entries, reader.problems)
}

/// Faults are told in the order of the file, not in that of the parser's table.
fn place(problem: &Problem) -> (usize, usize) {
    match problem.origin {
        Origin::File { line, column, .. } => (line, column),
        _ => (0, 0),
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    entries: Vec<Entry>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn top(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            let origin = self.origin(name.span());
            let name: &str = name.get_ref();
            if let Some(rows) = schema::rows(name) {
                self.rows(rows, origin, value);
            } else if !sections().any(|section| section == name) {
                let names = sections().chain(ROWS.iter().map(|rows| rows.name));
                let mend = did_you_mean(closest(name, names), "remove it");
                self.problems.push(Problem::new(name, "is not a known section", mend).at(origin));
            } else if let Some(section) = value.get_ref().as_table() {
                self.section(name, section);
            } else {
                let mend = format!("write it as a section, [{name}]");
                self.problems.push(Problem::new(name, "must be a table", mend).at(origin));
            }
        }
    }

    fn section(&mut self, section: &str, table: &DeTable<'_>) {
        for (field, value) in table {
            let origin = self.origin(field.span());
            let field: &str = field.get_ref();
            let name = format!("{section}.{field}");
            if let Some(rows) = schema::rows(&name) {
                self.rows(rows, origin, value);
            } else if let Some(key) = schema::key(&name) {
                self.value(key, origin, value);
            } else {
                let mend = remedy_for_unknown(section, field);
                self.problems.push(Problem::new(name, "is not a known key", mend).at(origin));
            }
        }
    }

    fn value(&mut self, key: &'static schema::Key, origin: Origin, value: &Spanned<DeValue<'_>>) {
        let Some(value) = plain(value) else {
            let problem = Problem::new(key.name, "has a number that is too large", "lower it");
            return self.problems.push(problem.at(origin));
        };
        match misfit(key, &origin, &value) {
            Some(problem) => self.problems.push(problem),
            None => self.entries.push(Entry { key: key.name, origin, value }),
        }
    }

    fn rows(&mut self, rows: &'static schema::Rows, origin: Origin, value: &Spanned<DeValue<'_>>) {
        let Some(array) = value.get_ref().as_array() else {
            let mend = format!("write each under its own [[{}]]", rows.name);
            let problem = Problem::new(rows.name, "must be a list of tables", mend);
            return self.problems.push(problem.at(origin));
        };
        let before = self.problems.len();
        let mut values = Vec::new();
        for (index, row) in array.iter().enumerate() {
            let name = format!("{}[{index}]", rows.name);
            let row_origin = self.origin(row.span());
            match plain(row) {
                Some(value) => {
                    self.problems.extend(misfits_of_row(rows, &name, &row_origin, &value));
                    values.push(value);
                }
                None => self.problems.push(
                    Problem::new(name, "has a number that is too large", "lower it").at(row_origin),
                ),
            }
        }
        if self.problems.len() == before {
            self.entries.push(Entry { key: rows.name, origin, value: Value::Array(values) });
        }
    }

    fn origin(&self, span: Range<usize>) -> Origin {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Origin::File {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// The value without its places. `None` for a number that does not fit 64 bits.
fn plain(value: &Spanned<DeValue<'_>>) -> Option<Value> {
    Value::deserialize(ValueDeserializer::from(value.clone())).ok()
}

fn sections() -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(|key| key.name.split('.').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        parse(Path::new("f.toml"), text).1.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn values_carry_their_line_and_column() {
        let text = "\n[http]\n  listen = \"127.0.0.1:1\"\n[[clients]]\nid=\"a\"\nsecrets=[\"s\"]\n";
        let (entries, problems) = parse(Path::new("f.toml"), text);
        assert!(problems.is_empty(), "{problems:?}");
        let at: Vec<_> = entries.iter().map(|e| format!("{} {}", e.key, e.origin)).collect();
        assert_eq!(at, ["clients f.toml:4:3", "http.listen f.toml:3:3"]);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place_and_a_suggestion() {
        assert_eq!(
            problems("[http]\nlistn = 1"),
            ["f.toml:2:1: http.listn: is not a known key; did you mean `http.listen`?"]
        );
        assert_eq!(
            problems("[http]\nper_buyer_limit = 1"),
            ["f.toml:2:1: http.per_buyer_limit: is not a known key; \
              did you mean `orders.per_buyer_limit`?"]
        );
        assert_eq!(
            problems("[limit]\nip_burst = 1"),
            ["f.toml:1:2: limit: is not a known section; did you mean `limits`?"]
        );
        assert_eq!(
            problems("[[clients]]\nid = \"a\"\nsecret = [\"sixteen bytes long\"]"),
            [
                "f.toml:1:1: clients[0].secret: is not known; did you mean `secrets`?",
                "f.toml:1:1: clients[0].secrets: is missing; add secrets = …"
            ]
        );
    }

    #[test]
    fn all_faults_are_found_in_one_go() {
        let found = problems("http = 3\n[limits]\nip_burst = \"x\"\nnope = 1\n[data]\ndir = 4\n");
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(problems("[http\n").iter().all(|p| p.starts_with("f.toml:1:")));
        assert_eq!(problems("a = 99999999999999999999999").len(), 1);
        assert_eq!(problems("[http]\nthreads = 99999999999999999999999").len(), 1);
        assert_eq!(problems("[http]\nthreads = -1").len(), 1);
    }

    #[test]
    fn faults_come_in_the_order_of_the_file() {
        let found = problems("[http]\nb = 1\na = 1\n[admin]\nz = 1\n");
        let lines: Vec<_> = found.iter().map(|problem| &problem[..9]).collect();
        assert_eq!(lines, ["f.toml:2:", "f.toml:3:", "f.toml:5:"]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([a-z\\[\\]{}=.\"'#é\n 0-9-]|http|listen|clients|jwt){0,60}") {
            let (entries, problems) = parse(Path::new("f.toml"), &text);
            // A key without a name and a value is three faults at one place.
            proptest::prop_assert!(entries.len() + problems.len() <= 3 * (text.len() + 1));
        }
    }

    #[test]
    fn no_message_repeats_a_secret() {
        for text in [
            "[admin]\ntoken = 7355608",
            "[admin]\ntoken = \"7355608\nx",
            "[[clients]]\nid=\"a\"\nsecrets = \"7355608\"",
            "[[clients]]\nid=\"a\"\nsecrets = [7355608]",
            "[[jwt]]\nissuer=\"a\"\naudience=\"a\"\nalgorithm=\"HS256\"\nkey=[\"7355608\"]",
            "[[jwt]]\nissuer=\"a\"\naudience=\"a\"\nalgorithm=\"none\"\nkey=\"7355608\"",
            "clients = [\"7355608\"]",
            "clients = \"7355608\"",
            "[secrets]\norder_key = { x = \"7355608\" }",
            "secrets = \"7355608\"",
        ] {
            let found = problems(text);
            assert!(!found.is_empty(), "{text}");
            assert!(found.iter().all(|problem| !problem.contains("7355608")), "{found:?}");
        }
    }

    #[test]
    fn an_enum_names_what_it_may_be() {
        let text = "[[clients]]\nid=\"a\"\nsecrets=[\"x\"]\nroles=[\"fulfillment\"]";
        assert!(problems(text)[0].contains("`fulfilment`"), "{:?}", problems(text));
    }
}
