//! A report as one page of HTML: figures, plots over time, tables.
//!
//! It stands by itself: no script, no request to anywhere (its own policy forbids both), light and dark by
//! the reader's setting, and well formed as XML. Whatever a server or a command line wrote is escaped.

use std::fmt::Write;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::plan::{Kind, Pace};
use super::profile::Profile;
use super::report::{Quantiles, Report, millis, phrase, thousands, title};
use super::timeline::{Outcome, Slot};
use super::verify::Check;
use crate::escape;

mod plot;

use plot::{Axis, Plot};

const STYLE: &str = include_str!("page/page.css");
/// The percentiles that are plotted: class, share.
const LINES: [(&str, f64); 3] = [("p50", 0.50), ("p90", 0.90), ("p99", 0.99)];
/// The classes of the outcomes, in the order of [`Outcome::ALL`].
const BARS: [&str; 4] = ["accepted", "refused", "later", "unanswered"];

/// The page of a report, with the rules that were checked.
pub fn page(report: &Report, checks: Option<&[Check]>) -> String {
    let mut page = String::with_capacity(64 << 10);
    head(&mut page, report);
    tiles(&mut page, report);
    page.push_str(&latency_plot(report));
    page.push_str(&outcome_plot(report));
    page.push_str(&throughput_plot(report));
    latency_table(&mut page, report);
    senders_table(&mut page, report);
    if let Some(checks) = checks {
        rules_table(&mut page, checks);
    }
    notes(&mut page, report);
    page.push_str("</body></html>\n");
    page
}

fn head(page: &mut String, report: &Report) {
    let product = escape::html(&report.product);
    let url = escape::html(&report.url);
    let started = OffsetDateTime::from_unix_timestamp((report.started_ms / 1_000) as i64);
    let started = started.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default();
    let _ = writeln!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'\"/>\
         <title>Load on {product} at {url}</title>\n<style>\n{STYLE}</style></head><body>\n\
         <h1>Load on {product}</h1>\n<p>{url} · {} · {} connections · began {started}</p>",
        escape::html(&report.pace_in_words()),
        thousands(report.connections as u64),
    );
    if report.tally.server_lost {
        page.push_str("<p class=\"bad\">The server went away in the middle of the run.</p>\n");
    }
}

fn tiles(page: &mut String, report: &Report) {
    let (tally, counts) = (&report.tally, report.tally.counts);
    let all = Quantiles::of(&tally.all_latency);
    let count = |count| thousands(count);
    let ms = |us| format!("{} <small>ms</small>", millis(us));
    let rate = thousands(report.per_second(counts.ended()).round() as u64);
    let tiles = [
        ("requests a second", rate),
        ("requests", count(counts.ended())),
        ("accepted", count(counts.accepted)),
        ("not answered", count(counts.unanswered)),
        ("p50", ms(all.p50)),
        ("p99", ms(all.p99)),
        ("p99.9", ms(all.p999)),
        ("length", format!("{:.1} <small>s</small>", report.seconds())),
    ];
    page.push_str("<section><dl>\n");
    for (name, value) in tiles {
        let _ = writeln!(page, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    page.push_str("</dl></section>\n");
}

fn latency_plot(report: &Report) -> String {
    let slots = report.tally.timeline.slots();
    let at = |quantile: f64| -> Vec<Option<f64>> {
        slots.iter().map(|slot| value_at(slot, quantile)).collect()
    };
    let (lowest, highest) = (at(0.50), at(1.0));
    let min = lowest.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let max = highest.iter().flatten().copied().fold(1.0, f64::max);
    let axis = Axis::decades(min.min(max), max);
    let unit = |us: f64| match us {
        ..1e6 => format!("{} ms", us / 1e3),
        _ => format!("{} s", us / 1e6),
    };
    let mut plot = begin(report, "Latency percentiles over time", axis, unit);
    plot.line("max", &highest);
    for (class, quantile) in LINES {
        plot.line(class, &at(quantile));
    }
    let words = slots.iter().map(|slot| {
        let at = |quantile| value_at(slot, quantile).map_or("–".into(), |us| millis(us as u64));
        format!("p50 {}, p90 {}, p99 {}, max {} ms", at(0.50), at(0.90), at(0.99), at(1.0))
    });
    let note = match report.pace {
        Pace::Open { .. } => "from the time at which a request was due until its answer",
        Pace::Closed => "from sending to the answer: a closed loop asks a slow server less often",
    };
    let lines = [("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("max", "longest")];
    figure("latency", "Latency", note, &legend("line", &lines), &plot.finish(words))
}

/// Latency at a quantile in microseconds, where anything was answered.
fn value_at(slot: &Slot, quantile: f64) -> Option<f64> {
    let answered = !slot.latency.is_empty();
    answered.then(|| slot.latency.value_at_quantile(quantile) as f64)
}

fn outcome_plot(report: &Report) -> String {
    let slots = report.tally.timeline.slots();
    let max = rates(report, Slot::ended).into_iter().fold(0.0, f64::max);
    let mut plot = begin(report, "Outcomes over time", Axis::linear(max), plain);
    let mut below = vec![0.0; slots.len()];
    for (outcome, class) in Outcome::ALL.into_iter().zip(BARS) {
        let heights = rates(report, |slot| slot.counts[outcome as usize]);
        let above: Vec<f64> = below.iter().zip(heights).map(|(low, high)| low + high).collect();
        plot.bars(class, &below, &above);
        below = above;
    }
    let words = slots.iter().map(|slot| {
        let counts = Outcome::ALL.into_iter().zip(slot.counts);
        let counts = counts.map(|(outcome, n)| format!("{} {}", thousands(n), outcome.title()));
        counts.collect::<Vec<_>>().join(", ")
    });
    let titles = Outcome::ALL.map(Outcome::title);
    let legend = legend("bar", &BARS.into_iter().zip(titles).collect::<Vec<_>>());
    let note = "a second; “refused” is decided (sold out, a repeat, a forgery), “try again” is not";
    figure("outcomes", "Outcomes", note, &legend, &plot.finish(words))
}

fn throughput_plot(report: &Report) -> String {
    let slots = report.tally.timeline.slots();
    let answered = |slot: &Slot| slot.ended() - slot.counts[Outcome::Unanswered as usize];
    let due: Vec<_> = rates(report, |slot| slot.due).into_iter().map(Some).collect();
    let done: Vec<_> = rates(report, answered).into_iter().map(Some).collect();
    let max = due.iter().chain(&done).flatten().copied().fold(0.0, f64::max);
    let mut plot = begin(report, "Throughput over time", Axis::linear(max), plain);
    plot.line("answered", &done);
    let mut lines = vec![("answered", "answered")];
    let open = report.pace != Pace::Closed;
    if open {
        plot.line("due", &due);
        lines.push(("due", "due by schedule, without retries"));
    }
    let words = slots.iter().map(|slot| {
        let due = if open { format!(", {} due", thousands(slot.due)) } else { String::new() };
        format!("{} answered{due}", thousands(answered(slot)))
    });
    figure("throughput", "Throughput", "a second", &legend("line", &lines), &plot.finish(words))
}

/// Something of each slot as a rate. The last slot counts as long as the run went on in it, and at least a
/// quarter: a few late answers are no flood.
fn rates(report: &Report, count: impl Fn(&Slot) -> u64) -> Vec<f64> {
    let timeline = &report.tally.timeline;
    let (slot_us, slots) = (timeline.slot_us(), timeline.slots());
    let rate = |(place, slot): (usize, &Slot)| {
        let last_us = report.tally.elapsed_us.saturating_sub(place as u64 * slot_us);
        let is_last = place + 1 == slots.len();
        let length_us = if is_last { last_us.clamp(slot_us / 4, slot_us) } else { slot_us };
        count(slot) as f64 * 1e6 / length_us as f64
    };
    slots.iter().enumerate().map(rate).collect()
}

fn plain(value: f64) -> String {
    if value.fract() == 0.0 { thousands(value as u64) } else { format!("{value}") }
}

fn begin(report: &Report, name: &str, axis: Axis, unit: impl Fn(f64) -> String) -> Plot {
    let timeline = &report.tally.timeline;
    let mut plot = Plot::new(name, timeline.slots().len(), timeline.slot_us(), axis, unit);
    if let Profile::Spike { .. } = report.profile {
        let slot =
            |share: f64| share * report.duration_ms_max as f64 * 1e3 / timeline.slot_us() as f64;
        let end = timeline.slots().len() as f64;
        plot.band(slot(0.4).min(end), slot(0.6).min(end), "spike");
    }
    plot
}

fn legend(sort: &str, entries: &[(&str, &str)]) -> String {
    let mut list = String::from("<ul>");
    for (class, title) in entries {
        let title = escape::html(title);
        let shape = match sort {
            "bar" => format!("<rect class=\"{class}\" x=\"4\" width=\"18\" height=\"10\"/>"),
            _ => format!("<path class=\"line {class}\" d=\"M2 5H24\"/>"),
        };
        let _ = write!(
            list,
            "<li><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\">{shape}</svg>{title}</li>"
        );
    }
    list + "</ul>"
}

fn figure(id: &str, title: &str, note: &str, legend: &str, svg: &str) -> String {
    format!(
        "<figure id=\"{id}\" class=\"plot\"><figcaption><h2>{title}</h2><p>{}</p>{legend}\
         </figcaption>\n<div class=\"scroll\">{svg}</div></figure>\n",
        escape::html(note)
    )
}

fn latency_table(page: &mut String, report: &Report) {
    let tally = &report.tally;
    page.push_str(
        "<section><h2>Latency over the whole run, in milliseconds</h2><div class=\"scroll\"><table>\n\
         <tr><th>answers</th><th class=\"n\">count</th><th class=\"n\">p50</th>\
         <th class=\"n\">p90</th><th class=\"n\">p99</th><th class=\"n\">p99.9</th>\
         <th class=\"n\">longest</th></tr>\n",
    );
    for (name, histogram) in [
        ("accepted", &tally.accepted_latency),
        ("others", &tally.refused_latency),
        ("all", &tally.all_latency),
        ("own lateness", &tally.lateness),
    ] {
        let Quantiles { count, p50, p90, p99, p999, max } = Quantiles::of(histogram);
        if count == 0 {
            continue;
        }
        let _ = write!(page, "<tr><td>{name}</td><td class=\"n\">{}</td>", thousands(count));
        for us in [p50, p90, p99, p999, max] {
            let _ = write!(page, "<td class=\"n\">{}</td>", millis(us));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div></section>\n");
}

fn senders_table(page: &mut String, report: &Report) {
    page.push_str(
        "<section><h2>Who sent, and what they were told</h2><div class=\"scroll\"><table>\n\
         <tr><th>sender</th><th>answer</th><th class=\"n\">status</th><th class=\"n\">count</th>\
         </tr>\n",
    );
    for kind in Kind::ALL {
        for (status, word, count) in report.tally.answers(kind) {
            let status_text = if status == 0 { "–".to_owned() } else { status.to_string() };
            let _ = writeln!(
                page,
                "<tr><td>{}</td><td>{}</td><td class=\"n\">{status_text}</td>\
                 <td class=\"n\">{}</td></tr>",
                title(kind),
                escape::html(&phrase(status, word)),
                thousands(count),
            );
        }
    }
    page.push_str("</table></div></section>\n");
}

fn rules_table(page: &mut String, checks: &[Check]) {
    page.push_str(
        "<section><h2>The rules</h2><div class=\"scroll\"><table>\n\
         <tr><th>rule</th><th>what must hold</th><th>holds</th><th>found</th></tr>\n",
    );
    for check in checks {
        let (class, mark) = if check.passed { ("good", "yes") } else { ("bad", "NO") };
        let rule = if check.rule == 0 { String::new() } else { check.rule.to_string() };
        let _ = writeln!(
            page,
            "<tr><td>{rule}</td><td>{}</td><td class=\"{class}\">{mark}</td><td>{}</td></tr>",
            escape::html(check.name),
            escape::html(&check.found),
        );
    }
    page.push_str("</table></div></section>\n");
}

fn notes(page: &mut String, report: &Report) {
    let tally = &report.tally;
    let _ = writeln!(
        page,
        "<section><h2>The generator itself</h2><p>{} retries, {} attempts given up, {} never sent. \
         It used {:.1} µs of processor time for a request, {:.0} % of one core. Where its own \
         lateness is not small beside the latencies, it was the generator that could not keep \
         up.</p></section>",
        thousands(tally.retries),
        thousands(tally.given_up),
        thousands(tally.unsent),
        report.own_cpu_us_per_request(),
        report.own_cores() * 100.0,
    );
}

#[cfg(test)]
mod tests;
