//! `privacy`: what is kept of a person, and its erasure, through the operator's listener.

use std::io::{IsTerminal, Read};

use http::Method;
use serde_json::{Value, json};

use crate::cli::operator::{Call, Listener, agreed, json_of, table, word};
use crate::cli::when::rfc3339 as shown;
use crate::cli::{Common, Exit, Failure, Machine};

#[cfg(feature = "distributed")]
mod keys;
#[cfg(feature = "distributed")]
mod vacuum;

/// Longest text on standard input, in bytes.
const INPUT_BYTES_MAX: u64 = 1_024;

/// Tell what is kept of a person, and forget a person.
///
/// USER is the user id as the shop gives it; `-` reads it from standard input, so that it stands in no history of a
/// shell and in no list of processes. What is kept, why and for how long: docs/PRIVACY.md.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate privacy export alice > alice.json
  echo alice | flux-gate privacy erase - --reason 'asked for it, ticket 12' --yes
  flux-gate privacy status alice")]
pub(super) struct Privacy {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    listener: Listener,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print everything that is kept of a person, as JSON.
    Export(Who),
    /// Forget a person: no store holds the user id afterwards; orders and counts stand under a pseudonym.
    Erase(Erase),
    /// How far the erasure of a person has come.
    Status(Who),
    /// The private keys that open user ids on Kafka: until when each is needed, and destroy one. On the machine of a
    /// worker.
    #[cfg(feature = "distributed")]
    Keys(keys::Keys),
    /// Rewrite the ledger's files, so that they do not hold what was deleted. As flux_gate_owner.
    #[cfg(feature = "distributed")]
    Vacuum(vacuum::Vacuum),
}

/// Whom it is about.
#[derive(clap::Args)]
struct Who {
    /// The user id; `-` reads it from standard input.
    user: String,
    /// The name space of the user; all that are configured unless given.
    #[arg(long, visible_alias = "issuer", value_name = "NAME")]
    name_space: Option<String>,
}

#[derive(clap::Args)]
struct Erase {
    #[command(flatten)]
    who: Who,
    /// Why. Kept in clear, so name nobody.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Only show what it would do.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Privacy {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        let Self { command, listener } = self;
        match command {
            Command::Export(who) => {
                let reply = who.ask("export", &listener, machine, common)?;
                writeln!(machine.out, "{}", serde_json::to_string_pretty(&reply)?)?;
                Ok(Exit::Done)
            }
            Command::Status(who) => {
                let reply = who.ask("status", &listener, machine, common)?;
                match listener.json {
                    true => writeln!(machine.out, "{reply}")?,
                    false => write!(machine.out, "{}", told(&reply))?,
                }
                Ok(Exit::Done)
            }
            Command::Erase(erase) => erase.run(&listener, machine, common),
            #[cfg(feature = "distributed")]
            Command::Keys(keys) => keys.run(machine, common),
            #[cfg(feature = "distributed")]
            Command::Vacuum(vacuum) => vacuum.run(machine, common),
        }
    }
}

impl Who {
    /// The user id, from the command line or from standard input.
    fn user(&self) -> Result<String, Failure> {
        if self.user != "-" {
            return Ok(self.user.clone());
        }
        let mut text = String::new();
        std::io::stdin().lock().take(INPUT_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn ask(
        &self,
        what: &str,
        listener: &Listener,
        machine: &mut Machine<'_>,
        common: &Common,
    ) -> Result<Value, Failure> {
        let body = json!({ "userId": self.user()?, "nameSpace": self.name_space });
        json_of(&listener.send(machine, common, &call(what, body))?)
    }
}

fn call(what: &str, body: Value) -> Call {
    let path = format!("/admin/privacy/{what}");
    Call { method: Method::POST, path, body: Some(body) }
}

impl Erase {
    fn run(
        self,
        listener: &Listener,
        machine: &mut Machine<'_>,
        common: &Common,
    ) -> Result<Exit, Failure> {
        let Self { who, reason, dry_run, yes } = self;
        if who.user == "-" && !yes && !dry_run && !std::io::stdin().is_terminal() {
            let what = "standard input holds the user id, so nobody can be asked: give --yes";
            return Err(Failure::new(what));
        }
        let user = who.user()?;
        let body = |dry_run: bool| {
            json!({
                "userId": user, "nameSpace": who.name_space, "reason": reason, "dryRun": dry_run,
            })
        };
        if dry_run || !yes {
            let would = json_of(&listener.send(machine, common, &call("erase", body(true)))?)?;
            if listener.json && dry_run {
                writeln!(machine.out, "{would}")?;
                return Ok(Exit::Done);
            }
            // The look goes to standard error where another program reads the outcome.
            match listener.json {
                true => crate::cli::tell(&look(&would)),
                false => write!(machine.out, "{}", look(&would))?,
            }
            let is_nobody = would["persons"].as_array().is_none_or(Vec::is_empty);
            if dry_run || is_nobody {
                return Ok(Exit::Done);
            }
            if !agreed("Forget this person?")? {
                return Err(Failure::new("nothing was changed"));
            }
        }
        let reply = json_of(&listener.send(machine, common, &call("erase", body(false)))?)?;
        match listener.json {
            true => writeln!(machine.out, "{reply}")?,
            false => write!(machine.out, "{}", told(&reply))?,
        }
        Ok(Exit::Done)
    }
}

/// What an erasure would do.
fn look(would: &Value) -> String {
    let persons = would["persons"].as_array().map(Vec::as_slice).unwrap_or_default();
    if persons.is_empty() {
        return "no order is kept of this person\n".to_owned();
    }
    let mut text = String::new();
    for person in persons {
        let sales = person["sales"].as_array().map_or(0, Vec::len);
        text += &format!(
            "{}: {} orders of {sales} sales stay under the pseudonym {}; the user id goes from {} of them\n",
            word(&person["nameSpace"]),
            word(&person["orders"]),
            word(&person["buyer"]),
            word(&person["userIds"]),
        );
    }
    text + &sealed(&would["sealed"])
}

/// What came of it, or how it stands.
fn told(reply: &Value) -> String {
    let persons = reply["persons"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows = persons.iter().map(|person| {
        let erased_at = person["erasedAt"].as_u64().map_or_else(|| "-".to_owned(), shown);
        [
            word(&person["nameSpace"]),
            word(&person["buyer"]),
            word(&person["orders"]),
            word(&person["userIds"]),
            erased_at,
        ]
    });
    let head = ["NAME SPACE", "PSEUDONYM", "ORDERS", "WITH USER ID", "ERASED BEFORE"];
    let about = match reply["status"].as_str() {
        Some("erased") => "erased: the store does not hold the user id any more",
        Some("erasing") => {
            "erasing: it is in the order log, and the store has not done it yet; look with \
             `flux-gate privacy status`"
        }
        Some("nothing_kept") => "no order is kept of this person under a user id",
        Some("kept") => "kept",
        Some("erased_in_ledger") => "erased in the ledger; sealed copies or old files are left",
        Some("erased_everywhere") => "erased everywhere",
        _ => "unknown",
    };
    let mut text = format!("{about}\n");
    if !persons.is_empty() {
        text += &table(head, rows.collect());
    }
    text + &sealed(&reply["sealed"])
}

/// What is said of the sealed copies in the log of many nodes.
fn sealed(sealed: &Value) -> String {
    if sealed.is_null() {
        return String::new();
    }
    let keys = sealed["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut text = String::new();
    if !keys.is_empty() {
        let keys: Vec<_> = keys.iter().map(word).collect();
        text += &match sealed["openableUntil"].as_u64() {
            Some(until) => format!(
                "sealed copies in the log can be opened by workers until {} (keys {})\n",
                shown(until),
                keys.join(", ")
            ),
            None => format!(
                "sealed copies in the log can be opened by workers for ever: key {} has no end; make keys \
                 with periods by `flux-gate keygen --seal-keys`\n",
                keys.join(", ")
            ),
        };
    }
    if sealed["filesRewritten"] == false {
        text += "the ledger's files may hold deleted user ids until `flux-gate privacy vacuum`\n";
    }
    text
}
