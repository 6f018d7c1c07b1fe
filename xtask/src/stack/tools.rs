//! Finds the programs that the stack starts, installs what it may, and says what to install otherwise.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// The programs, all there.
pub struct Tools {
    pub redis_server: PathBuf,
    pub java: PathBuf,
    pub javac: PathBuf,
    pub maven: PathBuf,
    pub psql: PathBuf,
    pub initdb: PathBuf,
    pub postgres: PathBuf,
}

/// Least Java for Kafka 4's broker.
const JAVA_MIN: u32 = 17;

/// Debian's packages of what may be missing.
const REDIS: &str = "redis-server";
const POSTGRES: &str = "postgresql";
const JAVA: &str = "default-jdk-headless";
const MAVEN: &str = "maven";

/// Finds all programs; on Debian as root it installs what is missing.
pub fn find() -> anyhow::Result<Tools> {
    let missing = match look() {
        Ok(tools) => return Ok(tools),
        Err(missing) => missing,
    };
    if can_install() {
        install(&missing)?;
        if let Ok(tools) = look() {
            return Ok(tools);
        }
    }
    let packages = missing.join(" ");
    bail!(
        "the stack needs programs that are not here. On Debian or Ubuntu: apt-get install {packages}\n\
         Elsewhere: Redis 7.0 or later built with TLS (redis-server), PostgreSQL 15 or later (initdb, postgres, \
         psql), a JDK of version {JAVA_MIN} or later (java, javac), Maven (mvn); on the PATH."
    )
}

/// All of them, or the packages of those that are missing.
fn look() -> Result<Tools, Vec<&'static str>> {
    let mut missing = Vec::new();
    let mut need = |found: Option<PathBuf>, package: &'static str| {
        if found.is_none() && !missing.contains(&package) {
            missing.push(package);
        }
        found.unwrap_or_default()
    };
    let tools = Tools {
        redis_server: need(on_path("redis-server"), REDIS),
        java: need(on_path("java").filter(|java| is_new_enough(java)), JAVA),
        javac: need(on_path("javac"), JAVA),
        maven: need(on_path("mvn"), MAVEN),
        psql: need(of_postgres("psql"), POSTGRES),
        initdb: need(of_postgres("initdb"), POSTGRES),
        postgres: need(of_postgres("postgres"), POSTGRES),
    };
    if missing.is_empty() { Ok(tools) } else { Err(missing) }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Debian keeps the servers out of the PATH; the newest version is taken.
fn of_postgres(program: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let dirs = versions.filter_map(|entry| Some(entry.ok()?.path()));
    let number = |dir: &PathBuf| dir.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = dirs.filter(|dir| dir.join("bin/postgres").is_file()).max_by_key(number);
    let of_newest = newest.map(|dir| dir.join("bin").join(program)).filter(|file| file.is_file());
    // One not from Debian's package is linked to from the PATH; it looks for its own parts beside itself.
    of_newest.or_else(|| on_path(program)?.canonicalize().ok())
}

fn is_new_enough(java: &Path) -> bool {
    let Ok(output) = Command::new(java).arg("-version").output() else { return false };
    // openjdk version "17.0.15" 2025-04-15
    let text = String::from_utf8_lossy(&output.stderr);
    let version = text.split('"').nth(1).unwrap_or_default();
    let major = version.split(['.', '-']).next().and_then(|major| major.parse().ok());
    major.is_some_and(|major: u32| major >= JAVA_MIN)
}

/// Whether this is Debian, and we may install packages.
pub fn can_install() -> bool {
    let is_debian = Path::new("/etc/debian_version").is_file() && on_path("apt-get").is_some();
    is_debian && rustix::process::geteuid().is_root()
}

/// Installs packages of Debian's.
pub fn install(packages: &[&str]) -> anyhow::Result<()> {
    eprintln!("installing {}", packages.join(" "));
    let apt = |arguments: &[&str]| -> anyhow::Result<bool> {
        let status = Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .context("cannot run apt-get")?;
        Ok(status.success())
    };
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    if !apt(&arguments)? {
        // The list of packages may be older than the packages.
        apt(&["update"])?;
        if !apt(&arguments)? {
            bail!("apt-get could not install {}", packages.join(" "));
        }
    }
    stop_installed(packages)
}

/// Debian starts what it installs, with settings of its own; the stack starts its own, and nothing else is
/// to listen. (Without systemd there is nothing to stop.)
fn stop_installed(packages: &[&str]) -> anyhow::Result<()> {
    if on_path("systemctl").is_none() {
        return Ok(());
    }
    for unit in packages.iter().filter(|package| [REDIS, POSTGRES].contains(package)) {
        Command::new("systemctl")
            .args(["disable", "--now", unit])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .context("cannot run systemctl")?;
    }
    Ok(())
}

/// User and group for a program that refuses to run as root; nothing if we are somebody else.
pub fn unprivileged() -> anyhow::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let fields: Vec<_> = line.split(':').collect();
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    let user = find("postgres").or_else(|| find("nobody"));
    Ok(Some(
        user.context("PostgreSQL does not run as root, and there is no user postgres or nobody")?,
    ))
}
