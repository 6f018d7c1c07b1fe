//! Servers of our own: one with the limits of production, one with short times, few connections and a policy that
//! asks for a second operator, one without limits on rates, and those that score and challenge.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use aws_lc_rs::digest;
use tempfile::TempDir;

use super::client::{CLIENTS, OPERATORS, Own, Target};
use super::jwt::{self, Issuers};
use super::service;
use super::support::server::Server;
use crate::workspace;

/// Names the program to attack; without it it is built.
pub const PROGRAM_VARIABLE: &str = "FLUX_GATE_PROGRAM";
/// The trusted proxies of our server.
pub const PROXIES: &str = "127.9.0.0/16";
/// An origin that browsers may call from.
pub const ORIGIN: &str = "https://shop.test";
/// Blocked addresses.
pub const BLOCKED: &str = "127.66.0.0/16";
/// A blocked fingerprint.
pub const BLOCKED_DEVICE: &str = "blocked-device";
/// A blocked user.
pub const BLOCKED_USER: &str = "blocked-user";
/// The longest time for headers, and for a body, of the hasty server, in milliseconds.
pub const HASTY_TIMEOUT_MS: u64 = 500;
/// How long a pass of the hasty server is good for, in seconds: longer than it takes to use one.
pub const HASTY_PASS_SECONDS: u64 = 5;
/// The most connections of one address of the hasty server.
pub const HASTY_CONNECTIONS_PER_IP: usize = 8;
/// The most connections of the hasty server.
pub const HASTY_CONNECTIONS: usize = 64;

/// The most attempts under way at once of the hasty server.
pub const HASTY_ATTEMPTS: usize = 8;

/// The running servers; they end when this is dropped.
pub struct Servers {
    /// With the limits of production.
    pub usual: Server,
    /// With short times and few connections.
    pub hasty: Server,
    /// Without limits on rates.
    pub open: Server,
    /// Asks every script for a challenge.
    pub strict: Server,
    /// With the bot score of a shop whose page sends fingerprints.
    pub scored: Server,
    /// Asks every script for a challenge of somebody's service.
    pub service: Server,
    _directory: TempDir,
}

impl Servers {
    /// Builds the program and starts all, with what there is to attack.
    ///
    /// # Errors
    /// It does not build, or they do not start.
    pub fn start() -> anyhow::Result<(Self, Target)> {
        let program = program()?;
        let directory = TempDir::with_prefix("flux-gate-attack-")?;
        let issuers = Issuers::make()?;
        for (name, pem) in [("es.pem", issuers.es_pem()?), ("rs.pem", issuers.rs_pem()?)] {
            std::fs::write(directory.path().join(name), pem)?;
        }
        let rows = rows(&directory);
        let start = |name: &str, keys: &str| {
            let config = format!("{keys}\n{rows}");
            Server::start(&program, &directory.path().join(name), &config)
        };
        let usual = start("usual", &usual_keys())?;
        let hasty = start("hasty", &hasty_keys())?;
        let open = start("open", &open_keys())?;
        let strict = start("strict", &format!("{}{STRICT_KEYS}", open_keys()))?;
        let scored = start("scored", &format!("{}{SCORED_KEYS}", open_keys()))?;
        let keys = format!("{}{}", open_keys(), service_keys(&service::start()?));
        let service = start("service", &keys)?;
        let other = |server: &Server| {
            let target = Target::local(server.public, server.operator, None);
            Box::new(target.of_process(server.pid()))
        };
        let own = Own {
            hasty: other(&hasty),
            open: other(&open),
            strict: other(&strict),
            scored: other(&scored),
            service: other(&service),
            issuers,
        };
        let target = Target::local(usual.public, usual.operator, Some(own));
        let all = Self { usual, hasty, open, strict, scored, service, _directory: directory };
        Ok((all, target))
    }
}

/// The program to attack: the one that is named, or one that is built now with the profile of this one.
pub fn program() -> anyhow::Result<PathBuf> {
    if let Some(program) = std::env::var_os(PROGRAM_VARIABLE) {
        return Ok(program.into());
    }
    let here = std::env::current_exe()?;
    let directory = here.parent().context("a program is in a directory")?;
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let arguments = ["build", "--quiet", "--package", "flux-gate", "--bin", "flux-gate"];
    let mut build = workspace::cargo();
    build.args(arguments).args(["--profile", profile]);
    if cfg!(feature = "distributed") {
        build.args(["--features", "distributed"]);
    }
    let built = build.status()?;
    ensure!(built.success(), "the program does not build");
    Ok(directory.join("flux-gate"))
}

/// No limits on rates.
pub const OPEN_KEYS: &str = "
[limits]
ip_per_second = 0
fingerprint_per_second = 0
buyer_per_second = 0
client_per_second = 0
product_per_second = 0
min_interval_ms = 0
";

/// A plain script has 30 points. Further points are of no account: each attack ends in the same answer.
const STRICT_KEYS: &str = "
[score]
challenge_above = 20
refuse_above = 1000
[challenge]
expires_seconds = 10
";

/// What the documentation advises such a shop.
const SCORED_KEYS: &str = "
[http]
trusted_proxies = [\"127.9.0.0/16\"]
[score]
challenge_above = 50
refuse_above = 100
";

/// The thresholds of the strict server, and a service that is asked at this URL.
fn service_keys(url: &str) -> String {
    format!(
        r#"
[score]
challenge_above = 20
refuse_above = 1000
[challenge]
provider = "turnstile"
site_key = "page-key"
secret = "{}"
siteverify_url = "{url}"
"#,
        service::SECRET
    )
}

/// How long an admission from a waiting room of the open server is good, in seconds.
pub const ROOM_ADMISSION_SECONDS: u64 = 10;
/// The most event streams of one address at the open server.
pub const ROOM_VIEWERS_PER_IP: usize = 100;

/// Without limits on rates; its waiting rooms are switched on by the attacks.
fn open_keys() -> String {
    format!(
        "{OPEN_KEYS}
[room]
admit_per_second = 1000
admission_seconds = {ROOM_ADMISSION_SECONDS}
viewers_max = 200
viewers_per_ip_max = {ROOM_VIEWERS_PER_IP}
"
    )
}

fn usual_keys() -> String {
    format!(
        r#"
[http]
trusted_proxies = ["{PROXIES}"]
cors_origins = ["{ORIGIN}"]
[blocks]
addresses = ["{BLOCKED}"]
fingerprints = ["{BLOCKED_DEVICE}"]
users = ["{BLOCKED_USER}"]
"#
    )
}

fn hasty_keys() -> String {
    format!(
        r#"
[http]
header_timeout_ms = {HASTY_TIMEOUT_MS}
body_timeout_ms = {HASTY_TIMEOUT_MS}
idle_timeout_ms = 1000
attempts_max = {HASTY_ATTEMPTS}
connections_max = {HASTY_CONNECTIONS}
connections_per_ip_max = {HASTY_CONNECTIONS_PER_IP}
[session]
pass_lifetime_seconds = {HASTY_PASS_SECONDS}
[admin]
approvals = "units"
"#
    )
}

/// The API clients and operators.
pub fn people() -> String {
    let mut rows = String::new();
    for (id, secret, roles) in CLIENTS {
        rows +=
            &format!("[[clients]]\nid = \"{id}\"\nsecrets = [\"{secret}\"]\nroles = [{roles}]\n");
    }
    for (name, token) in OPERATORS {
        let sha256 = hex::encode(digest::digest(&digest::SHA256, token.as_bytes()));
        rows += &format!(
            "[[admin.tokens]]\nname = \"{name}\"\nrole = \"{name}\"\ntoken_sha256 = \"{sha256}\"\n"
        );
    }
    rows
}

/// Clients, operators and issuers.
fn rows(directory: &TempDir) -> String {
    let mut rows = people();
    let file = |name: &str| format!("key_file = \"{}\"", directory.path().join(name).display());
    let keys = [
        (jwt::HS_ISSUER, "HS256", format!("key = \"{}\"", jwt::HS_SECRET)),
        (jwt::ES_ISSUER, "ES256", file("es.pem")),
        (jwt::RS_ISSUER, "RS256", file("rs.pem")),
    ];
    for (issuer, algorithm, key) in keys {
        let audience = jwt::AUDIENCE;
        rows += &format!(
            "[[jwt]]\nissuer = \"{issuer}\"\naudience = \"{audience}\"\nalgorithm = \"{algorithm}\"\n{key}\n"
        );
    }
    rows
}
