//! The instructions that go beside an order or a refusal: its receipt, its place in the audit trail. Counted
//! by callgrind as in [`super::refusal`], by the difference of two counts.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::ensure;
use flux_gate::audit::{Limits, Noted, Options as TrailOptions, RefusalKind, Trail};
use flux_gate::clock::Clock;
use flux_gate::keys::signer::Signer;
use flux_gate::receipt::{Claim, Issuer};
use flux_gate::sale::OrderId;

use super::refusal::{FEW, MANY, collected};

const SEED: &str = "4242424242424242424242424242424242424242424242424242424242424242";

#[derive(clap::Args)]
pub struct Options {
    /// How many orders or refusals.
    #[arg(long)]
    count: usize,
    /// Receipts of so many orders at a time, and the text of each.
    #[arg(long, conflicts_with = "audit")]
    batch: Option<usize>,
    /// Refusals of a flood from a few sources, noted for the audit trail.
    #[arg(long)]
    audit: bool,
}

/// Does it `count` times.
pub fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.count <= MANY, "at most {MANY}");
    match options.batch {
        Some(batch) => receipts(options.count, batch.max(1)),
        None => refusals(options.count),
    }
}

fn receipts(count: usize, batch: usize) -> anyhow::Result<()> {
    let issuer = Arc::new(Issuer::new(Signer::from_seed(&SEED.into())?));
    let product = "bench".parse()?;
    let claim = |n: usize| {
        let mut random = [7; 16];
        random[..8].copy_from_slice(&n.to_be_bytes());
        let order_id = OrderId::from_random_bytes(random);
        Claim { product, order_id, offset: n as u64, log_time_ms: 1, digest: [3; 32] }
    };
    for from in (0..count).step_by(batch) {
        let orders = from..(from + batch).min(count);
        issuer.seal(orders.clone().map(claim));
        for n in orders {
            ensure!(black_box(issuer.receipt(&claim(n).order_id)).is_some(), "no receipt");
        }
    }
    Ok(())
}

fn refusals(count: usize) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let options = TrailOptions {
        data_dir: dir.path().to_owned(),
        limits: Limits { bytes_max: 1 << 30, retention_ms: u64::MAX },
        signer: Signer::from_seed(&SEED.into())?,
        random: |bytes| bytes.fill(9),
        version: "bench",
    };
    let trail = Trail::start(options, Clock::system(), Box::new(Vec::new))?;
    let recorder = trail.recorder();
    for n in 0..count {
        let source = [192, 0, 2, (n % 8) as u8].into();
        recorder.refusal(black_box(RefusalKind::TooManyRequests), Some(source), Noted::default);
    }
    trail.stop();
    Ok(())
}

/// Instructions of one; `None` where valgrind is not installed.
///
/// # Errors
/// Valgrind fails.
pub fn instructions(what: &[&str]) -> anyhow::Result<Option<f64>> {
    let count = |count: usize| {
        let number = count.to_string();
        collected(&[&["beside", "--count", &number], what].concat())
    };
    let (Some(few), Some(many)) = (count(FEW)?, count(MANY)?) else { return Ok(None) };
    Ok(Some((many as f64 - few as f64) / (MANY - FEW) as f64))
}
