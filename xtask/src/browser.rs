//! `cargo xtask test --only browser`: the console and the waiting room in a real browser.
//!
//! Playwright drives Debian's Chromium; its packages are pinned by the lock file in `tests/browser` and installed
//! into `target/browser`, where the screenshots are kept too. Servers are real ones on temporary stores; two more are
//! nodes on the stores of the stack.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::attack::{CLIENTS, OPERATORS, people, program};
use crate::needs;
use crate::step::{self, Outcome};
use crate::support::server::{ADMIN_TOKEN, Server};
use crate::workspace;

/// Limits that a test's load does not meet.
const CONFIG: &str = "
[limits]
ip_per_second = 0
client_per_second = 0
min_interval_ms = 0
";
/// Asks every shopper for a challenge. Its waiting rooms are switched on by the tests.
const STRICT: &str = "
[score]
challenge_above = 0
refuse_above = 1000
[room]
admit_per_second = 10
admission_seconds = 60
poll_seconds = 2
";

/// Waiting rooms that move while one looks.
const ROOM: &str = "
[room]
products = [\"*\"]
admit_per_second = 2
admission_seconds = 30
absent_seconds = 40
poll_seconds = 2
brand_name = \"Northern Lamps\"
";
/// What has to be there: program, Debian's package.
const NEEDED: [(&str, &str); 3] = [("chromium", "chromium"), ("node", "nodejs"), ("npm", "npm")];
/// Characters of a page come from somewhere.
const FONTS: &str = "fonts-dejavu-core";

/// Runs the tests, or says why not.
pub fn run(name: &str) -> anyhow::Result<Outcome> {
    if let Some(missing) = needs::missing(&NEEDED, &[FONTS])? {
        return Ok(Outcome::DidNotRun(missing));
    }
    let dir = workspace::target().join("browser");
    prepare(&dir)?;
    let store = TempDir::with_prefix("flux-gate-browser-")?;
    let config = format!("{CONFIG}\n{}", people());
    let start =
        |name: &str, config: &str| Server::start(&program()?, &store.path().join(name), config);
    let server = start("one", &config)?;
    let strict = start("strict", &format!("{config}\n{STRICT}"))?;
    let buyers = "buyer_per_second = 0";
    let with_rooms = format!("{CONFIG}{buyers}\n{ROOM}\n{}", people());
    let rooms = start("rooms", &with_rooms)?;
    // With nothing on it but what the pictures of the documentation show.
    let pictures = start("pictures", &with_rooms)?;
    #[cfg(feature = "distributed")]
    let nodes = crate::attack::stores::Stores::start_with(ROOM)?;
    let mut playwright = Command::new("npx");
    playwright
        .args(["--no-install", "playwright", "test"])
        .current_dir(&dir)
        .env("CI", "true")
        .env("CONSOLE", format!("http://{}", server.operator))
        .env("PUBLIC", format!("http://{}", server.public))
        .env("STRICT_PUBLIC", format!("http://{}", strict.public))
        .env("STRICT_OPERATOR", format!("http://{}", strict.operator))
        .env("ROOM", format!("http://{}", rooms.public))
        .env("ROOM_OPERATOR", format!("http://{}", rooms.operator))
        .env("PICTURES", format!("http://{}", pictures.public))
        .env("PICTURES_OPERATOR", format!("http://{}", pictures.operator))
        .env("ADMIN_TOKEN", ADMIN_TOKEN)
        .env("CLIENT", CLIENTS[0].0)
        .env("CLIENT_SECRET", CLIENTS[0].1);
    #[cfg(feature = "distributed")]
    for (name, node) in ["NODE_ONE", "NODE_TWO"].into_iter().zip(nodes.nodes()) {
        playwright.env(name, format!("http://{}", node.public));
        playwright.env(format!("{name}_OPERATOR"), format!("http://{}", node.operator));
    }
    for (role, token) in OPERATORS {
        playwright.env(format!("{}_TOKEN", role.to_uppercase()), token);
    }
    let output = step::run(name, &mut playwright)?;
    let (passed, failed) = count(&output.text);
    // Tests that could not run are a failure.
    let failed = if output.success { failed } else { failed.max(1) };
    Ok(Outcome::Ran { passed, failed, output: output.text })
}

/// Copies the tests beside their packages, which are installed if the lock file is another one than last time.
fn prepare(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let lock = "package-lock.json";
    let from = workspace::root().join("tests/browser");
    let installed = dir.join("node_modules/.installed");
    let is_new = fs::read(&installed).ok() != Some(fs::read(from.join(lock))?);
    for old in fs::read_dir(dir)? {
        let path = old?.path();
        if path.extension().is_some_and(|extension| extension == "js") {
            fs::remove_file(path)?;
        }
    }
    for file in fs::read_dir(&from)? {
        let file = file?;
        if file.file_type()?.is_file() {
            fs::copy(file.path(), dir.join(file.file_name()))?;
        }
    }
    if !is_new {
        return Ok(());
    }
    let status = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("cannot run npm")?;
    ensure!(status.success(), "npm ci failed in {}", dir.display());
    fs::copy(from.join(lock), installed)?;
    Ok(())
}

/// What Playwright says at its end: `  1 failed`, `  12 passed (34.5s)`.
fn count(output: &str) -> (u64, u64) {
    let of = |word: &str| {
        let mut counts = output.lines().filter_map(|line| {
            let (number, rest) = line.trim().split_once(' ')?;
            rest.starts_with(word).then(|| number.parse::<u64>().ok())?
        });
        counts.next_back().unwrap_or(0)
    };
    (of("passed"), of("failed") + of("flaky") + of("did not run") + of("skipped"))
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn what_did_not_pass_is_a_failure() {
        assert_eq!(count("Running 13 tests\n\n  12 passed (3.1s)\n"), (12, 0));
        assert_eq!(
            count("  1 failed\n    a.spec.js:1\n  2 did not run\n  9 passed (3.1s)\n"),
            (9, 3)
        );
        assert_eq!(count("Error: no tests found"), (0, 0));
    }
}
