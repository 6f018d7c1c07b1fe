//! Solves challenges for real: numbers are tried until the hash is the one, by a native program on one core.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::Context;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::people::Solving;

/// What was solved, and what it took.
#[derive(Debug, Default)]
pub struct Solver {
    solved: Cell<u64>,
    hashes: Cell<u64>,
    busy: Cell<Duration>,
}

/// What solving has cost so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Challenges that were solved.
    pub solved: u64,
    /// Hashes that it took.
    pub hashes: u64,
    /// Time of one core.
    pub busy: Duration,
}

impl Solver {
    /// The value of `x-challenge`, after the time that it takes; `None` for who solves none.
    ///
    /// The runtime has one thread for it, which all who ask wait for.
    ///
    /// # Errors
    /// The challenge has no solution.
    pub async fn solve(&self, challenge: &Value, by: Solving) -> anyhow::Result<Option<String>> {
        if by == Solving::Never {
            return Ok(None);
        }
        let begun = Instant::now();
        let asked = challenge.clone();
        let (solution, hashes, busy) =
            tokio::task::spawn_blocking(move || native(&asked)).await??;
        match by {
            Solving::AtRate(per_second) => {
                let takes = Duration::from_secs_f64(hashes as f64 / f64::from(per_second));
                tokio::time::sleep(takes.saturating_sub(begun.elapsed())).await;
            }
            Solving::Native | Solving::Never => {
                self.solved.set(self.solved.get() + 1);
                self.hashes.set(self.hashes.get() + hashes);
                self.busy.set(self.busy.get() + busy);
            }
        }
        Ok(Some(solution))
    }

    /// What it has cost the bots.
    pub fn cost(&self) -> Cost {
        Cost { solved: self.solved.get(), hashes: self.hashes.get(), busy: self.busy.get() }
    }
}

/// Solution, hashes, time.
fn native(challenge: &Value) -> anyhow::Result<(String, u64, Duration)> {
    let begun = Instant::now();
    let text = |name: &str| challenge[name].as_str().unwrap_or_default();
    let wanted = hex::decode(text("challenge"))?;
    let most = challenge["maxnumber"].as_u64().context("a challenge without maxnumber")?;
    let mut tried = text("salt").as_bytes().to_vec();
    let salt_bytes = tried.len();
    let is = |number: &u64| {
        tried.truncate(salt_bytes);
        tried.extend_from_slice(number.to_string().as_bytes());
        digest(&SHA256, &tried).as_ref() == wanted
    };
    let number = (0..=most).find(is).context("a challenge without solution")?;
    let solution = json!({
        "algorithm": text("algorithm"), "challenge": text("challenge"), "number": number,
        "salt": text("salt"), "signature": text("signature"),
    });
    Ok((STANDARD.encode(solution.to_string()), number + 1, begun.elapsed()))
}
