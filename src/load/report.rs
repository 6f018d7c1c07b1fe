//! What a run came to, and the tables of it for people; for programs there is [`Summary`].

use std::fmt::Write;

use super::plan::{Kind, Pace, Plan};
use super::profile::Profile;
use super::tally::Tally;
use super::verify::Check;

mod summary;

pub use summary::{Quantiles, Summary};

/// What an accepted order is called.
const ACCEPTED: &str = "accepted";
/// Widest line of a table, in columns.
const WIDTH: usize = 96;

/// A finished run.
#[derive(Debug)]
pub struct Report {
    /// The server.
    pub url: String,
    /// What was bought.
    pub product: String,
    /// When it began, in Unix milliseconds.
    pub started_ms: u64,
    /// The pace that was asked for.
    pub pace: Pace,
    /// How the rate went over the time.
    pub profile: Profile,
    /// The length that was asked for, in milliseconds.
    pub duration_ms_max: u64,
    /// Connections of the crowd.
    pub connections: usize,
    /// What was counted.
    pub tally: Tally,
}

impl Report {
    pub(super) fn new(plan: &Plan, started_ms: u64, tally: Tally) -> Self {
        Self {
            url: plan.target.url(),
            product: plan.product.to_string(),
            started_ms,
            pace: plan.pace,
            profile: plan.profile,
            duration_ms_max: plan.duration_ms_max,
            connections: plan.connections,
            tally,
        }
    }

    /// The pace and its shape in words.
    pub fn pace_in_words(&self) -> String {
        let Pace::Open { per_second } = self.pace else { return "closed loop".to_owned() };
        let rate = thousands(per_second.into());
        match self.profile {
            Profile::Steady => format!("{rate} a second by schedule"),
            Profile::Soak => format!("soak, {rate} a second by schedule"),
            Profile::Ramp { from_per_second } => {
                format!("ramp from {} to {rate} a second", thousands(from_per_second.into()))
            }
            Profile::Spike { peak_per_second } => {
                let peak = thousands(peak_per_second.into());
                format!("{rate} a second with a spike of {peak}")
            }
        }
    }

    /// Processor time of the generator's own threads for one request, in microseconds.
    pub fn own_cpu_us_per_request(&self) -> f64 {
        match self.tally.counts.ended() {
            0 => 0.0,
            ended => self.tally.cpu_us as f64 / ended as f64,
        }
    }

    /// Length of the sending, in seconds.
    pub fn seconds(&self) -> f64 {
        self.tally.elapsed_us as f64 / 1e6
    }

    /// Processor time of the generator's own threads over the length of the run: 1 is one core.
    pub fn own_cores(&self) -> f64 {
        match self.tally.elapsed_us {
            0 => 0.0,
            elapsed_us => self.tally.cpu_us as f64 / elapsed_us as f64,
        }
    }

    /// Requests a second, of `count`.
    pub fn per_second(&self, count: u64) -> f64 {
        if self.tally.elapsed_us == 0 { 0.0 } else { count as f64 / self.seconds() }
    }
}

/// How a table may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text alone.
    Plain,
    /// With the terminal's colours.
    Terminal,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Terminal => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }

    /// Emphasis.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Less weight.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Something holds.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Something is broken.
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }
}

/// Who sent how much, and what they were told.
pub fn senders_table(tally: &Tally, style: Style) -> String {
    let mut out = String::new();
    let heading = format!("  {:<18}{:>10}   answers", "sender", "requests");
    let _ = writeln!(out, "{}", style.dim(&heading));
    for kind in Kind::ALL {
        let sent = tally.counts_of(kind).ended();
        if sent == 0 {
            continue;
        }
        let mut phrases: Vec<(String, u64)> = Vec::new();
        for (status, word, count) in tally.answers(kind) {
            let phrase = phrase(status, word);
            match phrases.iter_mut().find(|(earlier, _)| *earlier == phrase) {
                Some((_, sum)) => *sum += count,
                None => phrases.push((phrase, count)),
            }
        }
        // What was sold comes first, however little it is beside the refusals.
        phrases.sort_by_key(|(phrase, _)| phrase != ACCEPTED);
        let phrases = phrases.into_iter().map(|(phrase, count)| {
            let shown = format!("{} {phrase}", thousands(count));
            if phrase == ACCEPTED { style.good(&shown) } else { shown }
        });
        let indent = 33;
        let lines = wrap(phrases.collect(), WIDTH - indent);
        let first = lines.first().map_or("", String::as_str);
        let _ = writeln!(out, "  {:<18}{:>10}   {first}", title(kind), thousands(sent));
        for line in lines.iter().skip(1) {
            let _ = writeln!(out, "{:indent$}{line}", "");
        }
    }
    out
}

/// Latencies by class, in milliseconds.
pub fn latency_table(tally: &Tally, pace: Pace, style: Style) -> String {
    let mut out = String::new();
    let from = match pace {
        Pace::Open { .. } => "latency, ms",
        Pace::Closed => "closed loop, ms",
    };
    let heading = format!(
        "  {from:<18}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "answers", "p50", "p90", "p99", "p99.9", "max"
    );
    let _ = writeln!(out, "{}", style.dim(&heading));
    for (name, histogram) in [
        ("accepted", &tally.accepted_latency),
        ("refused", &tally.refused_latency),
        ("all", &tally.all_latency),
    ] {
        let quantiles = Quantiles::of(histogram);
        if quantiles.count == 0 {
            continue;
        }
        let Quantiles { count, p50, p90, p99, p999, max } = quantiles;
        let _ = write!(out, "  {name:<18}{:>10}", thousands(count));
        for value in [p50, p90, p99, p999, max] {
            let _ = write!(out, "{:>10}", millis(value));
        }
        out.push('\n');
    }
    out
}

/// The rules that were checked, one a line.
pub fn rules_table(checks: &[Check], style: Style) -> String {
    let mut out = String::new();
    let heading = format!("  {:<8}{:<46}found", "rule", "what must hold");
    let _ = writeln!(out, "{}", style.dim(&heading));
    for check in checks {
        let rule = if check.rule == 0 { " ".to_owned() } else { check.rule.to_string() };
        let mark = match (check.passed, style) {
            (true, Style::Terminal) => style.good("✓  "),
            (true, Style::Plain) => "ok ".to_owned(),
            (false, _) => style.bad("NO "),
        };
        let _ = writeln!(out, "  {rule}  {mark}  {:<46}{}", check.name, check.found);
    }
    out
}

pub(super) fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Honest => "honest shoppers",
        Kind::Replay => "replays",
        Kind::Forge => "forgeries",
        Kind::Flood => "floods",
    }
}

/// An answer in words; what is not known is shown as it came.
pub(super) fn phrase(status: u16, word: &str) -> String {
    let known = match word {
        "success" => ACCEPTED,
        "sold_out" => "sold out",
        "limit_reached" => "at their limit",
        "ignored_same_key" | "ignored_repeat_window" => "repeats of an order",
        "not_open" => "not open yet",
        "paused" => "paused",
        "pending" => "pending",
        "invalid_signature" => "wrong signature",
        "request_expired" => "too old",
        "user_mismatch" => "another user's name",
        "slow_down" => "too fast for one buyer",
        "too_many_requests" => "too fast for one address",
        "over_rate" => "over the product's rate",
        "busy" | "log_behind" | "other_keys" | "overloaded" => "busy, try again",
        "outcome_unknown" => "outcome unknown, try again",
        "closed" => "sale closed",
        "connection_refused" | "connection_reset" | "connection_closed" | "connection_failed" => {
            "connection lost"
        }
        "timed_out" => "no answer in time",
        "" if status == 0 => "no answer",
        "" => "",
        other => return format!("{status} {}", other.replace('_', " ")),
    };
    if known.is_empty() { format!("status {status}") } else { known.to_owned() }
}

/// Joins phrases to lines of at most `width` columns (colours do not count).
fn wrap(phrases: Vec<String>, width: usize) -> Vec<String> {
    let mut lines: Vec<(String, usize)> = Vec::new();
    for phrase in phrases {
        let columns = visible_columns(&phrase);
        match lines.last_mut() {
            Some((line, used)) if *used + 3 + columns <= width => {
                *line += " · ";
                *line += &phrase;
                *used += 3 + columns;
            }
            _ => lines.push((phrase, columns)),
        }
    }
    lines.into_iter().map(|(line, _)| line).collect()
}

fn visible_columns(text: &str) -> usize {
    let mut inside = false;
    text.chars()
        .filter(|c| match (inside, c) {
            (false, '\x1b') => {
                inside = true;
                false
            }
            (true, c) => {
                inside = *c != 'm';
                false
            }
            (false, _) => true,
        })
        .count()
}

/// A number with commas between its thousands.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Microseconds as milliseconds, with as many decimals as are of interest.
pub fn millis(us: u64) -> String {
    match us {
        0..10_000 => format!("{:.2}", us as f64 / 1e3),
        10_000..100_000 => format!("{:.1}", us as f64 / 1e3),
        _ => thousands(us / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_times_are_short() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(millis(321), "0.32");
        assert_eq!(millis(12_345), "12.3");
        assert_eq!(millis(2_345_678), "2,345");
    }

    #[test]
    fn phrases_wrap_without_counting_colours() {
        let painted = Style::Terminal.good("abcde");
        assert_eq!(visible_columns(&painted), 5);
        let lines = wrap(vec![painted.clone(), "fgh".into(), "ijk".into()], 11);
        assert_eq!(lines, [format!("{painted} · fgh"), "ijk".to_owned()]);
    }

    #[test]
    fn a_plain_table_has_no_control_characters() {
        let check = Check { rule: 1, name: "n", passed: true, found: "f".into() };
        let text = rules_table(&[check], Style::Plain);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }
}
