//! A value on its way into the configuration: its key, where it came from, and whether it fits.
//!
//! Every value is tried alone, so that each fault is reported with its own place. A secret's value never
//! gets into a message: its kind is checked before serde, whose messages repeat what they refuse.

use serde::Deserialize;
use toml::{Table, Value};

use super::Config;
use super::problem::{Origin, Problem, closest, did_you_mean};
use super::schema::{self, Field, FieldKind, KEYS, ROWS, Rows};

/// A value for a key of the table, or the rows of an array of tables.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The name of the key.
    pub key: &'static str,
    /// Where the value came from.
    pub origin: Origin,
    /// The value.
    pub value: Value,
}

/// Whether the value fits its key. `None` if it does.
pub(super) fn misfit(key: &'static schema::Key, origin: &Origin, value: &Value) -> Option<Problem> {
    let problem =
        |what: String, mend: String| Some(Problem::new(key.name, what, mend).at(origin.clone()));
    if key.is_secret() {
        let mend = "write the secret between quotes".to_owned();
        return if value.is_str() { None } else { problem("must be a text".to_owned(), mend) };
    }
    let error = Config::deserialize(nested(key.name, value.clone())).err()?;
    let what = one_line(error.message());
    problem(what, format!("it is {}; see `flux-gate config print`", key.about))
}

/// What is wrong with one row, named `clients[0]` or the like.
pub(super) fn misfits_of_row(
    rows: &'static Rows,
    name: &str,
    origin: &Origin,
    row: &Value,
) -> Vec<Problem> {
    let problem =
        |key: String, what: &str, mend: String| Problem::new(key, what, mend).at(origin.clone());
    let Value::Table(table) = row else {
        let mend = format!("write each under its own [[{}]]", rows.name);
        return vec![problem(name.to_owned(), "must be a table", mend)];
    };
    let mut problems = Vec::new();
    for (field_name, value) in table {
        let key = format!("{name}.{field_name}");
        match rows.fields.iter().find(|field| field.name == field_name) {
            None => {
                let names = rows.fields.iter().map(|field| field.name);
                let mend = did_you_mean(closest(field_name, names), &fields_listed(rows.fields));
                problems.push(problem(key, "is not known", mend));
            }
            Some(field) if !fits(field.kind, value) => {
                let mend = format!("write {}", written(field.kind));
                problems.push(problem(key, "has the wrong type", mend));
            }
            Some(_) => {}
        }
    }
    for field in rows.fields.iter().filter(|f| f.required && !table.contains_key(f.name)) {
        let mend = format!("add {} = …", field.name);
        problems.push(problem(format!("{name}.{}", field.name), "is missing", mend));
    }
    if problems.is_empty() {
        let alone = nested(rows.name, Value::Array(vec![row.clone()]));
        if let Err(error) = Config::deserialize(alone) {
            let mend = "use one of those that are expected".to_owned();
            problems.push(problem(name.to_owned(), &one_line(error.message()), mend));
        }
    }
    problems
}

/// A table that holds `value` under a dotted name.
pub(super) fn nested(name: &str, value: Value) -> Table {
    let mut table = Table::new();
    insert(&mut table, name, value);
    table
}

/// Puts `value` into `table` under a dotted name.
pub(super) fn insert(table: &mut Table, name: &str, value: Value) {
    let Some((section, field)) = name.split_once('.') else {
        table.insert(name.to_owned(), value);
        return;
    };
    let entry = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(inner) = entry {
        inner.insert(field.to_owned(), value);
    }
}

/// The remedy for a key that is not known: a close one of its section, or the same one of another.
pub(super) fn remedy_for_unknown(section: &str, field: &str) -> String {
    let names = || KEYS.iter().map(|key| key.name).chain(ROWS.iter().map(|rows| rows.name));
    let in_section = names().filter_map(|name| name.strip_prefix(section)?.strip_prefix('.'));
    if let Some(name) = closest(field, in_section) {
        return format!("did you mean `{section}.{name}`?");
    }
    let elsewhere = names().find(|name| name.rsplit('.').next() == Some(field));
    did_you_mean(elsewhere, "see `flux-gate config print` for those that are")
}

fn fits(kind: FieldKind, value: &Value) -> bool {
    match kind {
        FieldKind::Text => value.is_str(),
        FieldKind::Bool => value.is_bool(),
        FieldKind::Texts => value.as_array().is_some_and(|list| list.iter().all(Value::is_str)),
    }
}

fn written(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "one text, \"…\"",
        FieldKind::Bool => "true or false",
        FieldKind::Texts => "a list of texts, [\"…\"]",
    }
}

fn fields_listed(fields: &[Field]) -> String {
    let names: Vec<_> = fields.iter().map(|field| field.name).collect();
    format!("use {}", names.join(", "))
}

/// A message of serde on one line.
pub(super) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
