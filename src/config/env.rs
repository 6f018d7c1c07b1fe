//! The environment: `FLUX_GATE__SECTION__KEY`, for secrets also `…_FILE`, lists comma separated.
//!
//! The environment is handed in; nothing here reads the process's own. A variable that begins with
//! `FLUX_GATE__` and is not known is refused, since a setting that is silently ignored is worse than none.
//! An empty variable counts as not set, but an empty secret is refused: somebody meant to set it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use toml::Value;

use super::entry::{Entry, misfit};
use super::problem::{Origin, Problem, closest, did_you_mean};
use super::schema::{self, KEYS, Key, Read};

/// What every variable of ours begins with.
pub const PREFIX: &str = "FLUX_GATE__";
/// API clients: `id:secret[,id:secret]`; a repeated id is another active secret.
pub const CLIENTS: &str = "FLUX_GATE__CLIENTS";
/// Roles of API clients: `id:role+role[,…]`.
pub const CLIENT_ROLES: &str = "FLUX_GATE__CLIENT_ROLES";
/// Variables of other programs that are read as well, and the keys that they set.
pub const SERVICES: [(&str, &str); 11] = [
    ("REDIS_URL", "redis.url"),
    ("KAFKA_BROKERS", "kafka.brokers"),
    ("DATABASE_URL", "postgres.url"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "traces.endpoint"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "traces.protocol"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "traces.headers"),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "traces.ca_file"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "traces.timeout_ms"),
    ("OTEL_SERVICE_NAME", "traces.service_name"),
    ("OTEL_TRACES_SAMPLER", "traces.sampler"),
    ("OTEL_TRACES_SAMPLER_ARG", "traces.ratio"),
];

/// What the environment sets.
#[derive(Debug, Default)]
pub(super) struct FromEnv {
    pub entries: Vec<Entry>,
    /// The text of [`CLIENTS`].
    pub clients: Option<String>,
    /// The text of [`CLIENT_ROLES`].
    pub client_roles: Option<String>,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

/// Reads the environment.
pub(super) fn read(environment: impl IntoIterator<Item = (OsString, OsString)>) -> FromEnv {
    let mut from_env = FromEnv::default();
    let mut ours = BTreeMap::new();
    for (name, value) in environment {
        let Some(name) = name.to_str() else { continue };
        if SERVICES.iter().any(|(service, _)| *service == name) {
            // An empty one is not set, though it may hold a secret: other programs read it as well.
            if !value.is_empty() {
                ours.insert(name.to_owned(), value);
            }
        } else if name.starts_with(PREFIX) {
            ours.insert(name.to_owned(), value);
        } else if name.starts_with("FLUX_GATE_") {
            let mend = format!("variables begin with {PREFIX} and have two underscores throughout");
            from_env.warnings.push(Problem::new(name, "is not read", mend));
        }
    }
    for (name, value) in &ours {
        match value.to_str() {
            Some(value) => from_env.variable(name, value, &ours),
            None => from_env.problem(name, "is not UTF-8 text", "correct it"),
        }
    }
    from_env
}

impl FromEnv {
    fn variable(&mut self, name: &str, value: &str, all: &BTreeMap<String, OsString>) {
        let service = SERVICES.iter().find(|(service, _)| *service == name).map(|(_, key)| *key);
        let is_meant = |key: &&Key| service == Some(key.name) || key.variable() == name;
        if let Some(key) = KEYS.iter().find(is_meant) {
            if service.is_some() && all.contains_key(&key.variable()) {
                let mend = "unset one of the two";
                return self.problem(name, format!("{} is set as well", key.variable()), mend);
            }
            return self.value(key, name, value);
        }
        match name {
            CLIENTS => return self.clients = self.secret(name, value),
            CLIENT_ROLES => return self.client_roles = Some(value.to_owned()),
            _ => {}
        }
        let Some(secret) = name.strip_suffix("_FILE").filter(|secret| is_secret(secret)) else {
            return self.unknown(name);
        };
        if all.contains_key(secret) {
            return self.problem(name, format!("{secret} is set as well"), "unset one of the two");
        }
        let Some(value) = self.file_of_secret(name, value) else { return };
        match KEYS.iter().find(|key| key.variable() == secret) {
            Some(key) => self.value(key, name, &value),
            None => self.clients = Some(value),
        }
    }

    fn value(&mut self, key: &'static Key, name: &str, value: &str) {
        let value = match key.read {
            Read::Secret(_) => match self.secret(name, value) {
                Some(secret) => Value::String(secret),
                None => return,
            },
            _ if value.is_empty() => return,
            Read::Text(_) | Read::Path(_) => Value::String(value.to_owned()),
            Read::List(_) => Value::Array(listed(value).map(|v| Value::String(v.into())).collect()),
            Read::Switch(_) => match value.parse::<bool>() {
                Ok(on) => Value::Boolean(on),
                Err(_) => {
                    let what = format!("`{value}` is neither true nor false");
                    return self.problem(name, what, "write true or false");
                }
            },
            Read::Number { min, max, .. } => match value.parse::<i64>() {
                Ok(number) => Value::Integer(number),
                Err(_) => {
                    let mend = format!("write a number from {min} to {max}");
                    return self.problem(name, format!("`{value}` is not a whole number"), &mend);
                }
            },
        };
        let origin = Origin::Environment(name.to_owned());
        match misfit(key, &origin, &value) {
            Some(problem) => self.problems.push(problem),
            None => self.entries.push(Entry { key: key.name, origin, value }),
        }
    }

    fn secret(&mut self, name: &str, value: &str) -> Option<String> {
        if value.is_empty() {
            self.problem(name, "is empty", "set the secret, or unset the variable");
            return None;
        }
        Some(value.to_owned())
    }

    /// The secret that the file holds, without the newline that editors and `echo` add.
    fn file_of_secret(&mut self, name: &str, path: &str) -> Option<String> {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let text = text.strip_suffix('\r').unwrap_or(text);
                if text.is_empty() {
                    self.problem(name, format!("{path} is empty"), "write the secret into it");
                    return None;
                }
                Some(text.to_owned())
            }
            Err(error) => {
                let what = format!("{path} cannot be read: {error}");
                self.problem(name, what, "name a readable file that holds the secret");
                None
            }
        }
    }

    fn unknown(&mut self, name: &str) {
        let secrets = KEYS.iter().filter(|key| key.is_secret()).map(|k| k.variable() + "_FILE");
        let mut known: Vec<_> = KEYS.iter().map(Key::variable).chain(secrets).collect();
        known.extend([CLIENTS.to_owned(), CLIENTS.to_owned() + "_FILE", CLIENT_ROLES.to_owned()]);
        let only_in_file = schema::ROWS.iter().map(|rows| schema::variable(rows.name));
        if only_in_file.into_iter().any(|rows| name.starts_with(&rows)) {
            return self.problem(name, "cannot be set in the environment", "set it in the file");
        }
        let suggestion = closest(name, known.iter().map(String::as_str));
        let mend = did_you_mean(suggestion, "unset it; see `flux-gate config print`");
        self.problem(name, "is not a known variable", &mend);
    }

    fn problem(&mut self, name: &str, what: impl Into<String>, mend: &str) {
        let origin = Origin::Environment(name.to_owned());
        self.problems.push(Problem::new(name, what, mend).at(origin));
    }
}

fn is_secret(variable: &str) -> bool {
    variable == CLIENTS || KEYS.iter().any(|key| key.is_secret() && key.variable() == variable)
}

/// The parts of a comma separated list, trimmed, without empty ones.
pub(super) fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_pairs(pairs: &[(&str, &str)]) -> FromEnv {
        read(pairs.iter().map(|(name, value)| (name.into(), value.into())))
    }

    fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
        read_pairs(pairs).problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn an_unknown_variable_is_refused_by_name_with_a_suggestion() {
        assert_eq!(
            problems(&[("FLUX_GATE__HTTP__LISTN", "x")]),
            ["FLUX_GATE__HTTP__LISTN: is not a known variable; \
              did you mean `FLUX_GATE__HTTP__LISTEN`?"]
        );
        assert_eq!(problems(&[("FLUX_GATE__COLOUR", "x")]).len(), 1);
        assert_eq!(problems(&[("FLUX_GATE__HTTP__LISTEN_FILE", "x")]).len(), 1);
        assert_eq!(problems(&[("FLUX_GATE__JWT", "x")]).len(), 1);
        assert!(problems(&[("PATH", "x"), ("FLUX_GATE__DATA__DIR", "")]).is_empty());
        assert_eq!(read_pairs(&[("FLUX_GATE_HTTP_LISTEN", "x")]).warnings.len(), 1);
    }

    #[test]
    fn lists_are_comma_separated() {
        let read = read_pairs(&[("FLUX_GATE__HTTP__TRUSTED_PROXIES", "10.0.0.0/8, ::1/128,")]);
        assert!(read.problems.is_empty(), "{:?}", read.problems);
        assert_eq!(read.entries[0].value.as_array().map(Vec::len), Some(2));
        assert_eq!(problems(&[("FLUX_GATE__HTTP__TRUSTED_PROXIES", "10.0.0.0/99")]).len(), 1);
    }

    #[test]
    fn a_file_of_a_secret_loses_its_newline_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, " se cret \r\n").unwrap();
        let name = "FLUX_GATE__ADMIN__TOKEN_FILE";
        let read = read_pairs(&[(name, path.to_str().unwrap())]);
        assert_eq!(read.entries[0].value.as_str(), Some(" se cret "));
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(problems(&[(name, path.to_str().unwrap())]).len(), 1);
        assert_eq!(problems(&[(name, "/nowhere/at/all")]).len(), 1);
        let both = [(name, path.to_str().unwrap()), ("FLUX_GATE__ADMIN__TOKEN", "x")];
        assert!(problems(&both)[0].contains("unset one of the two"));
        std::fs::write(&path, "a:sixteen bytes long").unwrap();
        let read = read_pairs(&[("FLUX_GATE__CLIENTS_FILE", path.to_str().unwrap())]);
        assert_eq!(read.clients.as_deref(), Some("a:sixteen bytes long"));
    }

    #[test]
    fn an_empty_secret_and_a_bad_number_are_refused() {
        assert_eq!(problems(&[("FLUX_GATE__ADMIN__TOKEN", "")]).len(), 1);
        assert_eq!(problems(&[("FLUX_GATE__CLIENTS", "")]).len(), 1);
        assert_eq!(
            problems(&[("FLUX_GATE__HTTP__THREADS", "many")]),
            [
                "FLUX_GATE__HTTP__THREADS: `many` is not a whole number; write a number from 0 to 1024"
            ]
        );
    }

    #[test]
    fn services_are_recognised_unless_empty() {
        let read = read_pairs(&[("REDIS_URL", "redis://u:p@h"), ("DATABASE_URL", "")]);
        assert_eq!(read.entries.iter().map(|e| e.key).collect::<Vec<_>>(), ["redis.url"]);
        let twice = [("KAFKA_BROKERS", "a:1"), ("FLUX_GATE__KAFKA__BROKERS", "b:1")];
        assert!(problems(&twice)[0].contains("unset one of the two"));
    }
}
