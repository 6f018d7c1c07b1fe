//! The live view: one line on the terminal's error stream. Where that is no terminal, a line now and then of
//! a run that takes long, so that a log shows that it goes on.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Snapshot;
use super::report::{millis, thousands};

/// Time between two lines where there is no terminal, in milliseconds.
const LINE_MS: u64 = 30_000;

/// A bar with the numbers of the moment beside it.
pub struct Live {
    bar: ProgressBar,
    ended: u64,
    elapsed_ms: u64,
    /// When the last line was written where there is no terminal; `None` where there is one.
    told_ms: Option<u64>,
}

impl Live {
    /// A bar over `total` steps (requests, or milliseconds).
    pub fn new(label: &'static str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("  {prefix:10} {bar:24.cyan/238} {msg}")
            .expect("the template is well formed")
            .progress_chars("━━─");
        bar.set_style(style);
        bar.set_prefix(label);
        let told_ms = (!std::io::stderr().is_terminal()).then_some(0);
        Self { bar, ended: 0, elapsed_ms: 0, told_ms }
    }

    /// Shows a plain count.
    pub fn count(&self, done: u64) {
        self.bar.set_position(done);
        let total = self.bar.length().unwrap_or(done);
        self.bar.set_message(format!("{} of {}", thousands(done), thousands(total)));
    }

    /// Shows a look at a run; `position` is how far the bar is.
    pub fn show(&mut self, snapshot: &Snapshot, position: u64) {
        let passed_ms = snapshot.elapsed_ms.saturating_sub(self.elapsed_ms).max(1);
        let rate = snapshot.ended.saturating_sub(self.ended) * 1_000 / passed_ms;
        (self.ended, self.elapsed_ms) = (snapshot.ended, snapshot.elapsed_ms);
        // Retries come on top of what the bar counts.
        self.bar.set_position(position.min(self.bar.length().unwrap_or(position)));
        let message = format!(
            "{}/s  accepted {}  refused {}  p50 {} p99 {} ms",
            thousands(rate),
            thousands(snapshot.counts.accepted),
            thousands(snapshot.counts.refused),
            millis(snapshot.p50_us),
            millis(snapshot.p99_us),
        );
        if let Some(told_ms) = &mut self.told_ms
            && snapshot.elapsed_ms >= *told_ms + LINE_MS
        {
            *told_ms = snapshot.elapsed_ms;
            let seconds = snapshot.elapsed_ms / 1_000;
            // If that is closed, there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "flux-gate: after {seconds} s: {message}");
        }
        self.bar.set_message(message);
    }

    /// Takes the line away.
    pub fn clear(self) {
        self.bar.finish_and_clear();
    }
}
