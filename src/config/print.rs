//! `config print`: the configuration in force, and where each value came from. Never a secret.

use std::fmt::Write;

use super::Config;
use super::load::Loaded;
use super::problem::Origin;
use super::schema::{KEYS, Key, ROWS, Read};

/// Stands for a secret that is set.
pub const SET: &str = "[set]";
/// Stands for a secret or a path that is not set.
pub const NOT_SET: &str = "[not set]";

/// One line of the print.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    /// The key.
    pub key: String,
    /// Its value, or [`SET`] or [`NOT_SET`].
    pub value: String,
    /// Where it came from, unless it is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// Every key, then the API clients, issuers and tokens.
pub fn lines(loaded: &Loaded) -> Vec<Line> {
    let config = &loaded.config;
    let mut lines: Vec<_> = KEYS
        .iter()
        .map(|key| line(key.name.to_owned(), shown(key, config), loaded.origin(key.name)))
        .collect();
    for (index, client) in config.clients.iter().enumerate() {
        let key = format!("clients[{index}]");
        let roles: Vec<_> = client.roles.iter().map(|role| format!("{role:?}")).collect();
        let value = format!(
            "{} ({}), {} in {}",
            client.id,
            roles.join("+").to_lowercase(),
            counted(client.secrets.len(), "secret"),
            client.name_space
        );
        lines.push(line(key, value, loaded.origin("clients")));
    }
    for (index, issuer) in config.jwt.iter().enumerate() {
        let key = format!("jwt[{index}]");
        let value = format!(
            "{} for {}, {:?}",
            without_password(&issuer.issuer),
            without_password(&issuer.audience),
            issuer.algorithm
        );
        lines.push(line(key, value, loaded.origin("jwt")));
    }
    for (index, token) in config.admin.tokens.iter().enumerate() {
        let key = format!("admin.tokens[{index}]");
        let value = format!("{} ({:?})", token.name, token.role).to_lowercase();
        lines.push(line(key, value, loaded.origin("admin.tokens")));
    }
    lines
}

/// The lines as aligned text, those that somebody set with a `# from …`.
pub fn text(loaded: &Loaded) -> String {
    let lines = lines(loaded);
    let width = lines.iter().map(|line| line.key.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Line { key, value, from } in &lines {
        let from = from.as_ref().map(|from| format!("  # from {from}")).unwrap_or_default();
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{key:width$} = {value}{from}");
    }
    text
}

/// Every key with its variable, default, range and purpose, as a table in Markdown.
pub fn reference() -> String {
    let defaults = Config::default();
    let mut text = String::from(
        "| key | environment | default | range | |\n| --- | --- | --- | --- | --- |\n",
    );
    for key in KEYS {
        let default = shown(key, &defaults);
        let range = match key.read {
            Read::Number { min, max, .. } => format!("{min} to {max}"),
            Read::List(_) => "list".to_owned(),
            Read::Path(_) => "path".to_owned(),
            Read::Secret(_) => "secret; also `…_FILE`".to_owned(),
            Read::Switch(_) => "true, false".to_owned(),
            Read::Text(_) => String::new(),
        };
        let (name, variable, about) = (key.name, key.variable(), key.about);
        text += &format!("| `{name}` | `{variable}` | {default} | {range} | {about} |\n");
    }
    for rows in ROWS {
        let fields: Vec<_> = rows.fields.iter().map(|field| format!("`{}`", field.name)).collect();
        let name = rows.name;
        text += &format!("| `[[{name}]]` | | none | rows of {} | |\n", fields.join(", "));
    }
    text
}

fn line(key: String, value: String, origin: &Origin) -> Line {
    let from = (*origin != Origin::Default).then(|| origin.to_string());
    Line { key, value, from }
}

fn shown(key: &Key, config: &Config) -> String {
    match key.read {
        Read::Text(get) => without_password(&get(config)),
        Read::Number { get, .. } => get(config).to_string(),
        Read::Switch(is_on) => is_on(config).to_string(),
        Read::List(get) => format!("[{}]", get(config).join(", ")),
        Read::Path(get) => get(config).map_or(NOT_SET.to_owned(), |p| p.display().to_string()),
        Read::Secret(is_set) => (if is_set(config) { SET } else { NOT_SET }).to_owned(),
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A URL without the user and password that it may hold; other text as it is.
pub fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority_end].rfind('@') {
        Some(at) => format!("{scheme}://[hidden]@{}", &rest[at + 1..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::{Flag, Sources, load};
    use super::*;

    #[test]
    fn says_where_each_value_came_from_and_shows_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f.toml");
        let secret = "this-is-a-secret-of-the-test-0123456789";
        let text_of_file = format!(
            "[http]\nthreads = 2\n[secrets]\norder_key = \"{secret}\"\n\
             [[clients]]\nid = \"shop\"\nsecrets = [\"{secret}\"]\n\
             [[jwt]]\nissuer = \"https://u:{secret}@shop.example/\"\naudience = \"a\"\n\
             algorithm = \"HS256\"\nkey = \"{secret}\"\n"
        );
        std::fs::write(&file, text_of_file).unwrap();
        let sources = Sources {
            file: Some(file.clone()),
            environment: vec![("FLUX_GATE__ADMIN__TOKEN".into(), secret.into())],
            flags: vec![Flag { key: "data.dir", flag: "--data", value: "d".into() }],
        };
        let text = text(&load(sources).unwrap());
        assert!(!text.contains(secret), "{text}");
        let line = |key: &str| text.lines().find(|l| l.starts_with(key)).unwrap().to_owned();
        assert!(line("http.threads").ends_with(&format!("= 2  # from {}:2:1", file.display())));
        assert!(line("admin.token").ends_with("= [set]  # from FLUX_GATE__ADMIN__TOKEN"));
        assert!(line("secrets.buyer_key").ends_with("= [not set]"));
        assert!(line("data.dir").ends_with("= d  # from --data"));
        assert!(line("http.listen").ends_with("= 127.0.0.1:3000"));
        assert!(line("clients[0]").contains("shop (order+session), 1 secret in shop"));
    }

    #[test]
    fn the_reference_has_a_row_for_every_key() {
        let text = reference();
        assert_eq!(text.lines().count(), 2 + KEYS.len() + ROWS.len());
        let row = "| `limits.ip_burst` | `FLUX_GATE__LIMITS__IP_BURST` | 20 | 1 to 1000000 | \
                   burst of an address |";
        assert!(text.lines().any(|line| line == row), "{text}");
    }

    #[test]
    fn a_password_in_a_url_is_hidden() {
        assert_eq!(without_password("redis://u:p@h:1/0"), "redis://[hidden]@h:1/0");
        assert_eq!(without_password("redis://:p@ss@h"), "redis://[hidden]@h");
        assert_eq!(without_password("https://h/a@b"), "https://h/a@b");
        assert_eq!(without_password("127.0.0.1:3000"), "127.0.0.1:3000");
    }
}
