//! `cargo xtask test --only schemathesis`: the API held against its own description, by calls that Schemathesis makes up.
//!
//! A real server, both listeners, the document that it serves itself. The hooks in `tests/schemathesis` sign the calls
//! and bring the tokens, so that they get past authentication; `schemathesis.toml` beside them says what is checked and
//! what is not, and why. The number of calls is fixed by a seed, not by time, so that a run repeats the one before.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::attack::{Target, program};
use crate::needs;
use crate::python;
use crate::step::{self, Outcome};
use crate::support::server::{ADMIN_TOKEN, Server};
use crate::workspace;

/// Program, Debian's package.
const NEEDED: [(&str, &str); 1] = [("python3", "python3")];
/// What brings it into a directory of its own.
const BESIDE: [&str; 1] = ["python3-venv"];
const PACKAGES: [&str; 1] = ["schemathesis==4.32.5"];
/// Of calls that are made up for one operation.
const EXAMPLES_MAX: &str = "8";
const SEED: &str = "1";
/// The longest that one listener's calls may take.
const TIME_MAX: Duration = Duration::from_secs(900);
/// A client with every role.
const CLIENT: (&str, &str) = ("everything", "everything-secret-0123456789abcdef");
/// The product of the document's examples, and one that has a waiting room.
const PRODUCTS: [&str; 2] = ["iphone-15", "room-1"];
/// No limit is met: a 429 is no answer to what is tried.
const CONFIG: &str = "
[limits]
product_per_second = 0
ip_per_second = 0
fingerprint_per_second = 0
buyer_per_second = 0
client_per_second = 0
min_interval_ms = 0
[room]
products = [\"room-1\"]
";

/// Runs it against both listeners, or says why not.
pub fn run(name: &str) -> anyhow::Result<Outcome> {
    if let Some(missing) = needs::missing(&NEEDED, &BESIDE)? {
        return Ok(Outcome::DidNotRun(missing));
    }
    let bin = python::environment("schemathesis", &PACKAGES)?;
    let store = TempDir::with_prefix("flux-gate-schemathesis-")?;
    let (id, secret) = CLIENT;
    let client = format!(
        "[[clients]]\nid = \"{id}\"\nsecrets = [\"{secret}\"]\nroles = [\"order\", \"session\", \"fulfilment\"]\n"
    );
    let server =
        Server::start(&program()?, &store.path().join("data"), &format!("{CONFIG}{client}"))?;
    let target = Target::local(server.public, server.operator, None);
    for product in PRODUCTS {
        let body = format!(r#"{{"productId":"{product}","quantity":1000000}}"#);
        let answer = target.admin("POST", "/init", &body)?;
        ensure!(answer.status == 200, "no sale: {}", answer.text());
    }
    let pass = pass(&target)?;
    let hooks = workspace::root().join("tests/schemathesis");
    let (mut passed, mut failed, mut said) = (0, 0, String::new());
    for (tag, listener) in [("public", server.public), ("operator", server.operator)] {
        let mut command = Command::new("timeout");
        command
            .arg(TIME_MAX.as_secs().to_string())
            .arg(bin.join("schemathesis"))
            .arg("--config-file")
            .arg(hooks.join("schemathesis.toml"))
            .arg("run")
            .arg(format!("http://{}/openapi.json", server.public))
            .args(["--url", &format!("http://{listener}"), "--include-tag", tag])
            .args(["--seed", SEED, "--max-examples", EXAMPLES_MAX, "--no-color"])
            // Where it may leave what it remembers of a run.
            .current_dir(store.path())
            .env("PYTHONPATH", &hooks)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("CLIENT", id)
            .env("CLIENT_SECRET", secret)
            .env("ADMIN_TOKEN", ADMIN_TOKEN)
            .env("PASS", &pass);
        let output = step::run(&format!("{name} {tag}"), &mut command)?;
        let (good, bad) = operations(&output.text);
        passed += good;
        // One that could not run, or was not done in time, has failed.
        failed += if output.success && good > 0 { bad } else { bad.max(1) };
        said += &output.text;
    }
    // It still answers, after all that.
    let answer = target.admin("GET", "/admin/products/iphone-15", "")?;
    ensure!(answer.status == 200, "the server is not well: {}", answer.text());
    std::fs::write(step::log_file(name)?, &said)?;
    Ok(Outcome::Ran { passed, failed, output: said })
}

fn pass(target: &Target) -> anyhow::Result<String> {
    let signer = crate::support::draft::Signer::Client {
        id: CLIENT.0.to_owned(),
        secret: CLIENT.1.to_owned(),
    };
    let draft = target.session_draft("alice-7").sign(&signer, target.now_ms());
    let answer = target.send(&draft)?;
    let pass = answer.json()["pass"].as_str().map(str::to_owned);
    pass.with_context(|| format!("no session: {}", answer.text()))
}

/// Sums the lines `✅  17 passed  ❌  3 failed  ⏭  1 skipped` of the phases.
fn operations(output: &str) -> (u64, u64) {
    let of = |word: &str| {
        let numbers = output.lines().flat_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let pairs = words.windows(2).filter(|pair| pair[1] == word);
            pairs.filter_map(|pair| pair[0].parse::<u64>().ok()).collect::<Vec<_>>()
        });
        numbers.sum()
    };
    (of("passed"), of("failed") + of("errors"))
}

#[cfg(test)]
mod tests {
    use super::operations;

    #[test]
    fn operations_of_all_phases_are_summed() {
        let text = " ❌  Examples (in 8.23s)\n\n     ✅  4 passed  ❌  3 failed  ⏭  13 skipped\n\
            \n ✅  Coverage (in 1s)\n\n     ✅  20 passed\n";
        assert_eq!(operations(text), (24, 3));
        assert_eq!(operations("Traceback"), (0, 0));
    }
}
