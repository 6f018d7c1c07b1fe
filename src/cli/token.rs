//! `token`: the operators' tokens that are made and revoked while the gate runs, through the operator's
//! listener of a running server.

use http::Method;
use serde_json::{Value, json};

use crate::cli::operator::{Call, Listener, json_of, table, word};
use crate::cli::when::{When, rfc3339};
use crate::cli::{Common, Exit, Failure, Machine};
use crate::sale::{OperatorName, OperatorRole};

/// List, make and revoke operators' tokens, on all nodes of a running server.
///
/// The listener is that of the configuration (key admin.listen) or --url; it takes the token of an admin:
/// FLUX_GATE__ADMIN__TOKEN, the configuration, or the data directory. Tokens of the configuration are
/// listed, and changed there alone.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate token list
  flux-gate token add alice --role operator --until +12h
  flux-gate token add grafana --role viewer --json
  flux-gate token revoke alice

`add` prints the token once; only its SHA-256 is kept. Give each person one of their own.")]
pub(super) struct Token {
    #[command(subcommand)]
    command: TokenCommand,
    #[command(flatten)]
    listener: Listener,
}

#[derive(clap::Subcommand)]
enum TokenCommand {
    /// Show the names and roles of all tokens.
    List,
    /// Make a token and print it, this once.
    Add {
        /// Whose: stands in every record that they write.
        name: OperatorName,
        /// What they may do: viewer reads; operator changes sales, blocks and limits; admin does everything.
        #[arg(long, value_parser = role)]
        role: OperatorRole,
        /// Until when: from now on (+12h), RFC 3339 or Unix milliseconds. Until it is revoked unless given.
        #[arg(long, value_name = "WHEN")]
        until: Option<When>,
    },
    /// Revoke a token: it is refused from now on.
    Revoke {
        /// Whose.
        name: OperatorName,
    },
}

fn role(text: &str) -> Result<OperatorRole, String> {
    serde_json::from_value(text.into()).map_err(|_| "write viewer, operator or admin".to_owned())
}

impl Token {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        let call = self.command.call(machine.clock.unix_ms());
        let reply = json_of(&self.listener.send(machine, common, &call)?)?;
        let text = if self.listener.json {
            serde_json::to_string_pretty(&reply)? + "\n"
        } else {
            self.command.show(&reply)
        };
        machine.out.write_all(text.as_bytes())?;
        Ok(Exit::Done)
    }
}

impl TokenCommand {
    fn call(&self, now_ms: u64) -> Call {
        let tokens = "/admin/tokens".to_owned();
        match self {
            Self::List => Call { method: Method::GET, path: tokens, body: None },
            Self::Add { name, role, until } => {
                let until = until.as_ref().map(|until| until.unix_ms(now_ms));
                let body = json!({ "name": name, "role": role, "until": until });
                Call { method: Method::POST, path: tokens, body: Some(body) }
            }
            Self::Revoke { name } => {
                let path = format!("{tokens}/{name}");
                Call { method: Method::DELETE, path, body: Some(Value::Null) }
            }
        }
    }

    fn show(&self, reply: &Value) -> String {
        let time = |value: &Value| value.as_u64().map_or_else(|| word(value), rfc3339);
        match self {
            Self::List => {
                let row = |token: &Value| {
                    [
                        word(&token["name"]),
                        word(&token["role"]),
                        time(&token["until"]),
                        word(&token["by"]),
                        word(&token["configured"]),
                    ]
                };
                let rows =
                    reply["tokens"].as_array().map(|tokens| tokens.iter().map(row).collect());
                table(["NAME", "ROLE", "UNTIL", "BY", "CONFIGURED"], rows.unwrap_or_default())
            }
            Self::Add { .. } => format!("{}\n", word(&reply["token"])),
            Self::Revoke { .. } => match &reply["reason"] {
                Value::Null => format!("{}\n", word(&reply["status"])),
                reason => format!("ignored: {}\n", word(reason).replace('_', " ")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sale::tests::against_command;
    use crate::cli::tests::NOW_MS;

    #[test]
    fn a_token_is_printed_alone_so_that_it_can_be_piped() {
        let reply = r#"{"name":"alice","role":"operator","until":1,"token":"70ken"}"#;
        let arguments = ["add", "alice", "--role", "operator", "--until", "+1h"];
        let (called, request) = against_command("token", "201 Created", reply, &arguments);
        assert!(request.starts_with("POST /admin/tokens HTTP/1.1\r\n"), "{request}");
        let until = NOW_MS + 3_600_000;
        let body = format!(r#"{{"name":"alice","role":"operator","until":{until}}}"#);
        assert!(request.ends_with(&body), "{request}");
        assert_eq!(called.out, "70ken\n");
    }

    #[test]
    fn tokens_are_listed_and_revoked_by_name() {
        let reply = r#"{"tokens":[{"name":"admin","role":"admin","until":null,"by":null,
            "configured":true},{"name":"alice","role":"viewer","until":1796115600000,"by":"admin",
            "configured":false}]}"#;
        let (called, request) = against_command("token", "200 OK", reply, &["list"]);
        assert!(request.starts_with("GET /admin/tokens HTTP/1.1\r\n"), "{request}");
        assert_eq!(
            called.out,
            "NAME   ROLE    UNTIL                 BY     CONFIGURED\n\
             admin  admin   -                     -      yes\n\
             alice  viewer  2026-12-01T09:00:00Z  admin  no\n"
        );
        let reply = r#"{"status":"applied","name":"alice"}"#;
        let (called, request) = against_command("token", "200 OK", reply, &["revoke", "alice"]);
        assert!(request.starts_with("DELETE /admin/tokens/alice HTTP/1.1\r\n"), "{request}");
        assert_eq!(called.out, "applied\n");
    }

    #[test]
    fn no_other_role_and_no_path_as_a_name() {
        for arguments in [&["add", "alice", "--role", "root"][..], &["revoke", "../products/x"]] {
            let arguments: Vec<_> = ["token"].iter().chain(arguments).copied().collect();
            assert_eq!(crate::cli::tests::call(&arguments, &[]).exit, Exit::Usage, "{arguments:?}");
        }
    }
}
