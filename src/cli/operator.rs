//! What the commands share that go through the operator's listener of a running server: where it is, the
//! token, one call, its refusals as text.
//!
//! Every change carries an `Idempotency-Key`, so that repeating a command whose outcome is unknown is safe
//! under the same `--operation`. Texts of the server are shown without control characters, so that none of
//! them can steer a terminal.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::cli::client::{Client, ClientError, Identity, Reply, Target, reach};
use crate::cli::{Common, Failure, Machine, process, tell};
use crate::config::Config;
use crate::keys::stored::{self, StoredSecret};
use crate::sale::OperationId;

const TIMEOUT: Duration = Duration::from_secs(15);

/// How to reach the operator's listener.
#[derive(clap::Args)]
pub(super) struct Listener {
    /// The operator's listener.
    #[arg(long, global = true, value_name = "URL")]
    url: Option<Target>,
    /// Certificates (PEM) to trust, beside those of the machine.
    #[arg(long, alias = "ca", global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Your own certificate (PEM), for a listener that asks for one.
    #[arg(long, global = true, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// The private key (PEM) of your certificate.
    #[arg(long, global = true, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// Name of this change: repeated under the same name it takes effect once. Random unless given.
    #[arg(long, global = true, value_name = "ID")]
    operation: Option<OperationId>,
    /// Print the server's reply as JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// A call of the operator's listener.
#[derive(Debug, PartialEq)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    /// The body of a change, which may be null; `None` for a look.
    pub(super) body: Option<Value>,
}

impl Listener {
    /// Whether the listener is named on the command line.
    pub(super) fn is_named(&self) -> bool {
        self.url.is_some()
    }

    /// The name of the change: as given, or a random one.
    pub(super) fn operation(&self, machine: &Machine<'_>) -> Result<String, Failure> {
        match &self.operation {
            Some(operation) => Ok(operation.to_string()),
            None => machine.random_hex::<16>(),
        }
    }

    /// Sends a call and reads the reply, which is a success.
    pub(super) fn send(
        &self,
        machine: &mut Machine<'_>,
        common: &Common,
        call: &Call,
    ) -> Result<Reply, Failure> {
        let config = common.load(machine, Vec::new())?.config;
        let target = self.url.clone().unwrap_or_else(|| operator_of(&config));
        let token = token(&config)?;
        if !target.tls && !target.is_loopback() {
            tell(&format!("warning: the token goes to {target} in clear; use https"));
        }
        let trusted: Vec<_> =
            self.ca_file.iter().chain(&config.admin.tls_cert_file).map(PathBuf::as_path).collect();
        let identity = self.client_cert.as_deref().zip(self.client_key.as_deref());
        let identity = identity.map(|(cert_file, key_file)| Identity { cert_file, key_file });
        let client = Client::with_identity(target, &trusted, identity, TIMEOUT)?;
        let operation = self.operation(machine)?;
        let request = call.request(&token, &operation)?;
        let reply = process::runtime()?
            .block_on(client.send(request))
            .map_err(|error| unanswered(&error, call, &operation))?;
        if reply.status.is_success() {
            return Ok(reply);
        }
        if self.json && serde_json::from_slice::<Value>(&reply.body).is_ok() {
            machine.out.write_all(&reply.body)?;
            writeln!(machine.out)?;
        }
        Err(Failure::new(refusal(&reply)))
    }
}

impl Call {
    fn request(
        &self,
        token: &SecretString,
        operation: &str,
    ) -> Result<Request<Bytes>, ClientError> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header(header::AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
        let mut bytes = Bytes::new();
        if let Some(body) = &self.body {
            request = request.header("idempotency-key", operation);
            if !body.is_null() {
                request = request.header(header::CONTENT_TYPE, "application/json");
                bytes = body.to_string().into();
            }
        }
        Ok(request.body(bytes)?)
    }
}

/// The operator's listener as a client on this machine reaches it.
fn operator_of(config: &Config) -> Target {
    reach(config.admin.listen, config.admin.tls_cert_file.is_some())
}

/// The operator's token: configured, or made by the server in the data directory.
pub(super) fn token(config: &Config) -> Result<SecretString, Failure> {
    if let Some(token) = &config.admin.token {
        return Ok(token.clone());
    }
    let stored = stored::read(&config.data.dir, StoredSecret::AdminToken)?;
    stored.ok_or_else(|| {
        let path = StoredSecret::AdminToken.path(&config.data.dir);
        Failure::new(format!(
            "there is no operator's token: set FLUX_GATE__ADMIN__TOKEN, or name the server's data \
             directory with --data ({} is not there)",
            path.display()
        ))
    })
}

fn unanswered(error: &ClientError, call: &Call, operation: &str) -> Failure {
    let mut message = error.to_string();
    if call.body.is_some() && error.outcome_unknown() {
        message += &format!(
            "\nWhether the change took effect is unknown. Repeat the command with \
             --operation {operation}: it takes effect once."
        );
    }
    Failure::new(message)
}

/// The reply's body.
pub(super) fn json_of(reply: &Reply) -> Result<Value, Failure> {
    serde_json::from_slice(&reply.body).map_err(|error| {
        Failure::new(format!("the reply is not JSON ({error}); is this a Flux-Gate?"))
    })
}

/// Asks on the terminal; without one nobody can be asked.
pub(super) fn agreed(question: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            "there is no terminal to ask on: look at --dry-run, then give --yes",
        ));
    }
    write!(std::io::stderr(), "{question} Type yes to go on: ")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

/// A refusal in a few lines: what, why and whether to try again.
fn refusal(reply: &Reply) -> String {
    let status = reply.status.as_u16();
    let problem: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let said = ["error", "title"].iter().find_map(|name| problem[name].as_str());
    let mut text = format!("the server refused ({status}): {}", clean(said.unwrap_or("no reason")));
    if let Some(detail) = problem["detail"].as_str() {
        text += &format!("; {}", clean(detail));
    }
    if let Some(details) = problem["details"].as_array() {
        text += &details.iter().map(|detail| format!("\n  {}", word(detail))).collect::<String>();
    }
    let help = match status {
        401 => "is this the token of that server?",
        403 => "does this token have the role for it?",
        404 => "`flux-gate sale list` and `flux-gate incident blocks` show what there is",
        503 => "try again in a moment, with the same --operation if you gave one",
        _ => return text,
    };
    format!("{text}\n{help}")
}

/// A value as a word.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => clean(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => clean(&other.to_string()),
    }
}

/// The text without what could steer a terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Rows under their heads, in columns.
pub(super) fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> String {
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<_> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_the_data_directory_is_used() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = StoredSecret::AdminToken.path(dir.path());
        std::fs::write(&path, "stored-token-of-the-test\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut config = Config::default();
        config.data.dir = dir.path().to_owned();
        let text = token(&config).map(|token| token.expose_secret().to_owned());
        assert_eq!(text, Ok("stored-token-of-the-test".to_owned()));
        config.admin.token = Some("configured".into());
        assert_eq!(
            token(&config).map(|t| t.expose_secret().to_owned()),
            Ok("configured".to_owned())
        );
    }

    #[test]
    fn a_listener_on_every_address_is_reached_by_loopback() {
        let mut config = Config::default();
        assert_eq!(operator_of(&config).to_string(), "http://127.0.0.1:3001");
        config.admin.listen = "[::]:9".parse().unwrap();
        config.admin.tls_cert_file = Some("c.pem".into());
        assert_eq!(operator_of(&config).to_string(), "https://[::1]:9");
    }
}
