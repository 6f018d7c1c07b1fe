//! Loading: flag, environment, file, default, in that order; then the checks, all at once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use toml::{Table, Value};

use super::entry::{Entry, insert, misfit, one_line};
use super::env::{self, CLIENT_ROLES, CLIENTS, listed};
use super::problem::{Origin, Problem, Problems};
use super::{ApiClient, ClientRole, Config, check, default_roles, file, schema, shop};

/// A value given on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The key that it sets.
    pub key: &'static str,
    /// The flag, such as `--data`.
    pub flag: &'static str,
    /// The value.
    pub value: String,
}

/// The sources of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file of `--config`.
    pub file: Option<PathBuf>,
    /// The environment: all of it; what is not ours is passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// Values of flags.
    pub flags: Vec<Flag>,
}

/// A configuration that passed every check.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration. Secrets that nobody set are absent.
    pub config: Config,
    /// Where each value that somebody set came from, by key.
    pub origins: BTreeMap<&'static str, Origin>,
    /// Allowed, but doubtful.
    pub warnings: Vec<Problem>,
}

impl Loaded {
    /// Where the value of a key came from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }

    /// Refuses a start on parts that this build does not have: to ignore them would give an operator an
    /// embedded store where they asked for a distributed one.
    ///
    /// # Errors
    /// One problem, at the key that chose them.
    pub fn refuse_missing_parts(&self) -> Result<(), Problems> {
        if cfg!(feature = "distributed") || !self.config.is_distributed() {
            return Ok(());
        }
        const KEY: &str = "kafka.brokers";
        let what = "is set, but this build has the embedded store alone";
        let mend = "unset it to run with the embedded store, or build with --features distributed";
        Err(Problems(vec![Problem::new(KEY, what, mend).at(self.origin(KEY).clone())]))
    }
}

/// Loads and checks a configuration.
///
/// # Errors
/// Everything that is wrong with it. Nothing was changed; correct it and start again.
pub fn load(sources: Sources) -> Result<Loaded, Problems> {
    load_checked(sources, check::check)
}

/// The same for `migrate`, which needs less.
///
/// # Errors
/// As [`load`].
pub fn load_for_migration(sources: Sources) -> Result<Loaded, Problems> {
    load_checked(sources, check::check_for_migration)
}

fn load_checked(
    sources: Sources,
    check: impl Fn(&Config) -> check::Found,
) -> Result<Loaded, Problems> {
    let (mut entries, mut problems) = match &sources.file {
        Some(path) => file::read(path),
        None => (Vec::new(), Vec::new()),
    };
    let from_env = env::read(sources.environment);
    entries.extend(from_env.entries);
    problems.extend(from_env.problems);
    for flag in &sources.flags {
        flag_entry(flag, &mut entries, &mut problems);
    }

    let mut table = Table::new();
    let mut origins = BTreeMap::new();
    for entry in entries {
        insert(&mut table, entry.key, entry.value);
        origins.insert(entry.key, entry.origin);
    }
    let mut config = Config::deserialize(table).unwrap_or_else(|error| {
        problems.push(Problem::new("configuration", one_line(error.message()), "correct it"));
        Config::default()
    });
    if let Some(text) = &from_env.clients {
        add_clients(&mut config.clients, text, &mut problems);
        origins.entry("clients").or_insert_with(|| Origin::Environment(CLIENTS.to_owned()));
    }
    if let Some(text) = &from_env.client_roles {
        set_roles(&mut config.clients, text, &mut problems);
    }

    let mut found = check(&config);
    for problem in found.errors.iter_mut().chain(&mut found.warnings) {
        problem.origin = origin_of(&origins, &problem.key);
    }
    problems.extend(found.errors);
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let warnings = from_env.warnings.into_iter().chain(found.warnings).collect();
    Ok(Loaded { config, origins, warnings })
}

/// The configuration of `file` alone, for tests and tools.
///
/// # Errors
/// As [`load`].
pub fn load_file(file: &Path) -> Result<Loaded, Problems> {
    load(Sources { file: Some(file.to_owned()), ..Sources::default() })
}

fn flag_entry(flag: &Flag, entries: &mut Vec<Entry>, problems: &mut Vec<Problem>) {
    let origin = Origin::Flag(flag.flag);
    let value = Value::String(flag.value.clone());
    let Some(key) = schema::key(flag.key) else {
        return problems.push(Problem::new(flag.key, "is not a known key", "leave it").at(origin));
    };
    match misfit(key, &origin, &value) {
        Some(problem) => problems.push(problem),
        None => entries.push(Entry { key: key.name, origin, value }),
    }
}

/// The origin of a key, or of the rows that `clients[0].id` belongs to.
fn origin_of(origins: &BTreeMap<&'static str, Origin>, key: &str) -> Origin {
    let rows = key.split('[').next().unwrap_or(key);
    origins.get(key).or_else(|| origins.get(rows)).cloned().unwrap_or(Origin::Default)
}

/// Adds `id:secret[,id:secret]`: a known id gains a secret and keeps its roles.
fn add_clients(clients: &mut Vec<ApiClient>, text: &str, problems: &mut Vec<Problem>) {
    let origin = Origin::Environment(CLIENTS.to_owned());
    for (index, part) in listed(text).enumerate() {
        let Some((id, secret)) = part.split_once(':') else {
            // By number: the part may be a secret that lost its id.
            let what = format!("part {} has no colon", index + 1);
            let mend = "write id:secret[,id:secret]";
            problems.push(Problem::new(CLIENTS, what, mend).at(origin.clone()));
            continue;
        };
        let secret = SecretString::from(secret);
        match clients.iter_mut().find(|client| client.id == id) {
            Some(client) => add_secret(client, secret),
            None => clients.push(ApiClient {
                id: id.to_owned(),
                secrets: vec![secret],
                roles: default_roles(),
                name_space: shop(),
            }),
        }
    }
}

fn add_secret(client: &mut ApiClient, secret: SecretString) {
    let known = client.secrets.iter().any(|old| old.expose_secret() == secret.expose_secret());
    if !known {
        client.secrets.push(secret);
    }
}

/// Sets the roles of `id:role+role[,…]`.
fn set_roles(clients: &mut [ApiClient], text: &str, problems: &mut Vec<Problem>) {
    let origin = Origin::Environment(CLIENT_ROLES.to_owned());
    let mut problem = |what: String, mend: &str| {
        problems.push(Problem::new(CLIENT_ROLES, what, mend).at(origin.clone()));
    };
    for part in listed(text) {
        let Some((id, roles)) = part.split_once(':') else {
            problem(format!("`{part}` has no colon"), "write id:role+role[,id:role+role]");
            continue;
        };
        let Some(client) = clients.iter_mut().find(|client| client.id == id) else {
            let mend = "add the client to FLUX_GATE__CLIENTS or the file";
            problem(format!("there is no client `{id}`"), mend);
            continue;
        };
        match roles.split('+').map(|text| role(text.trim())).collect::<Result<Vec<_>, _>>() {
            Ok(roles) => client.roles = roles,
            Err(role) => {
                problem(format!("`{role}` is not a role"), "use order, session and fulfilment");
            }
        }
    }
}

fn role(text: &str) -> Result<ClientRole, &str> {
    match text {
        "order" => Ok(ClientRole::Order),
        "session" => Ok(ClientRole::Session),
        "fulfilment" => Ok(ClientRole::Fulfilment),
        other => Err(other),
    }
}

#[cfg(test)]
mod tests;
