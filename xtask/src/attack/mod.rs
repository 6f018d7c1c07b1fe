//! `cargo xtask attack`: attacks that must fail, against a real server.
//!
//! Without `--url` it starts servers of its own on temporary stores. Every attack says what it expects and
//! what it got; the command fails if one succeeds, or if it could not be carried out. To add one, add a row
//! to the list of a file in `list/`.
//!
//! Built with the feature `distributed` it also attacks by way of Redis, Kafka and PostgreSQL: two nodes and a
//! worker on the services of `cargo xtask stack` (those that `FLUX_GATE_STACK` names, those that run, or some that
//! are started now). Without it, it says that these attacks are not built in.
//!
//! Before the attacks stand the controls: honest calls that must succeed, since everything is "blocked" by
//! a server that refuses all.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};

mod client;
mod jwt;
mod list;
mod report;
mod servers;
mod service;
#[cfg(feature = "distributed")]
pub mod stores;
mod verdict;

use crate::support;

pub use client::{CLIENTS, OPERATORS, Target};
pub use servers::{PROGRAM_VARIABLE, people, program};

use servers::Servers;
use verdict::Got;

/// One attack.
pub struct Attack {
    /// Its name.
    pub name: &'static str,
    /// OWASP: API Security Top 10 (2023) as `API2`, Automated Threats as `OAT-005`; `-` where none fits.
    pub owasp: &'static str,
    /// What must come of it.
    pub expected: &'static str,
    /// What it needs.
    pub needs: Needs,
    /// Carries it out.
    pub run: fn(&Target) -> anyhow::Result<Got>,
}

impl Attack {
    /// An attack that needs the contract alone.
    const fn new(
        name: &'static str,
        owasp: &'static str,
        expected: &'static str,
        run: fn(&Target) -> anyhow::Result<Got>,
    ) -> Self {
        Self { name, owasp, expected, needs: Needs::Contract, run }
    }

    /// An attack that needs a server that we have configured.
    const fn on_ours(
        name: &'static str,
        owasp: &'static str,
        expected: &'static str,
        run: fn(&Target) -> anyhow::Result<Got>,
    ) -> Self {
        Self { name, owasp, expected, needs: Needs::Own, run }
    }

    /// An attack by way of Redis, Kafka or PostgreSQL.
    #[cfg(feature = "distributed")]
    const fn on_stores(
        name: &'static str,
        owasp: &'static str,
        expected: &'static str,
        run: fn(&Target) -> anyhow::Result<Got>,
    ) -> Self {
        Self { name, owasp, expected, needs: Needs::Stores, run }
    }
}

/// What an attack needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// The contract alone.
    Contract,
    /// A server that we have configured: trusted proxies, issuers of JWTs, short times.
    Own,
    /// Many nodes of ours, on the real stores.
    #[cfg(feature = "distributed")]
    Stores,
}

impl Needs {
    /// Whether it comes by way of the stores.
    fn stores(self) -> bool {
        #[cfg(feature = "distributed")]
        return self == Self::Stores;
        #[cfg(not(feature = "distributed"))]
        false
    }
}

/// An attack that was carried out.
pub struct Done {
    attack: &'static Attack,
    got: Got,
}

/// Runs the attacks; `true` if none succeeded.
///
/// # Errors
/// The arguments are wrong, the servers do not start, or an honest call fails.
pub fn run(arguments: &[String]) -> anyhow::Result<bool> {
    let options = Options::parse(arguments)?;
    if options.list {
        for attack in list::all() {
            println!("{:10} {}", attack.owasp, attack.name);
        }
        report::left_out(NOT_BUILT_IN);
        return Ok(true);
    }
    let (servers, mut target) = match &options.url {
        Some(url) => (None, options.target(url)?),
        None => {
            let (servers, target) = Servers::start()?;
            (Some(servers), target)
        }
    };
    list::controls(&target).context("an honest call fails, so no attack would tell anything")?;
    let wanted: Vec<_> = list::all().filter(|attack| options.wants(attack)).collect();
    start_stores(&mut target, &wanted);
    let mut done = Vec::new();
    for attack in wanted {
        let got = (attack.run)(&target)
            .unwrap_or_else(|error| Got::of(false, format!("could not be carried out: {error:#}")));
        if options.verbose {
            eprintln!("{:6.1} s  {}: {}", target.seconds(), attack.name, got.what);
        }
        done.push(Done { attack, got });
    }
    list::controls(&target).context("after the attacks an honest call fails")?;
    if let Some(servers) = &servers {
        done.extend(list::aftermath(servers));
    }
    #[cfg(feature = "distributed")]
    if let Some(Ok(stores)) = &target.stores {
        done.extend(list::stores::aftermath(stores));
    }
    if options.json {
        report::json(&done, options.left_out())?;
    } else {
        report::table(&done);
        report::left_out(options.left_out());
    }
    Ok(done.iter().all(|done| done.got.blocked))
}

/// Starts many nodes for those that need them. If they do not start, these could not be carried out, and fail.
#[cfg(feature = "distributed")]
fn start_stores(target: &mut Target, wanted: &[&Attack]) {
    if wanted.iter().any(|attack| attack.needs.stores()) {
        let started = stores::Stores::start().and_then(|stores| {
            list::stores::controls(&stores).context("an honest call to one of many nodes fails")?;
            Ok(Box::new(stores))
        });
        target.stores = Some(started);
    }
}

#[cfg(not(feature = "distributed"))]
fn start_stores(_: &mut Target, _: &[&Attack]) {}

/// What is not in this build, to be said; nothing of it counts as blocked.
const NOT_BUILT_IN: Option<&str> = if cfg!(feature = "distributed") {
    None
} else {
    Some(
        "the attacks by way of Redis, Kafka and PostgreSQL are not built in: \
         cargo run --package xtask --features distributed -- attack",
    )
};

#[derive(Default)]
struct Options {
    url: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    client: Option<String>,
    token_file: Option<PathBuf>,
    only: Option<String>,
    stores: bool,
    verbose: bool,
    json: bool,
    list: bool,
}

const USAGE: &str = "\
cargo xtask attack [--json] [--list] [--verbose] [--only PART-OF-NAME] [--stores]
                   [--url IP:PORT --admin IP:PORT --client ID:SECRET --admin-token-file FILE]
The client needs the roles order and session. --stores: only those by way of Redis, Kafka and PostgreSQL.";

impl Options {
    fn parse(arguments: &[String]) -> anyhow::Result<Self> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().with_context(|| format!("{argument} needs a value\n{USAGE}"));
            match argument.as_str() {
                "--json" => options.json = true,
                "--list" => options.list = true,
                "--stores" => options.stores = true,
                "--verbose" => options.verbose = true,
                "--only" => options.only = Some(value()?.clone()),
                "--url" => options.url = Some(address(value()?)?),
                "--admin" => options.admin = Some(address(value()?)?),
                "--client" => options.client = Some(value()?.clone()),
                "--admin-token-file" => options.token_file = Some(value()?.into()),
                _ => bail!("{argument} is unknown\n{USAGE}"),
            }
        }
        Ok(options)
    }

    /// What was not carried out, in words.
    fn left_out(&self) -> Option<&'static str> {
        match &self.url {
            Some(_) => Some("left out: attacks that need servers and stores of our own"),
            None => NOT_BUILT_IN,
        }
    }

    /// Somebody else's server is spared what needs one of ours.
    fn wants(&self, attack: &Attack) -> bool {
        let named = self.only.as_ref().is_none_or(|part| attack.name.contains(part.as_str()));
        let ours = attack.needs == Needs::Contract || self.url.is_none();
        named && ours && (!self.stores || attack.needs.stores())
    }

    fn target(&self, url: &SocketAddr) -> anyhow::Result<Target> {
        let admin = self.admin.with_context(|| format!("--url needs --admin\n{USAGE}"))?;
        let client = self.client.as_deref().and_then(|client| client.split_once(':'));
        let (id, secret) = client.with_context(|| format!("--url needs --client\n{USAGE}"))?;
        let file = self.token_file.as_ref();
        let file = file.with_context(|| format!("--url needs --admin-token-file\n{USAGE}"))?;
        let token = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Target::remote(*url, admin, id, secret, token.trim()))
    }
}

fn address(text: &str) -> anyhow::Result<SocketAddr> {
    let bare = text.trim_start_matches("http://").trim_end_matches('/');
    bare.parse().with_context(|| format!("{text} is not IP:PORT"))
}

#[cfg(test)]
mod tests {
    use super::list;

    /// `docs/SECURITY.md` names attacks in italics, and their files as "rows of `file`".
    #[test]
    fn the_security_document_names_attacks_that_there_are() {
        let document = include_str!("../../../docs/SECURITY.md");
        let names: Vec<&str> = list::all().map(|attack| attack.name).collect();
        let mut named = 0;
        for row in document.lines().filter(|line| line.starts_with('|')) {
            for (place, text) in row.split('*').enumerate() {
                // Between the two stars of a bold word there is nothing.
                if place % 2 == 1 && !text.is_empty() {
                    assert!(names.contains(&text), "there is no attack {text:?}");
                    named += 1;
                }
            }
        }
        assert!(named > 15, "only {named} attacks are named");
    }
}
