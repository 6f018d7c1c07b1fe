//! The documents say what the program says.

use flux_gate::config::print;

#[test]
fn the_configuration_reference_is_the_programs_own() {
    let document = include_str!("../../docs/CONFIGURATION.md");
    assert!(
        document.ends_with(&print::reference()),
        "docs/CONFIGURATION.md ends with the output of `flux-gate config reference`: write it anew"
    );
}

const METRICS: &str = include_str!("../../docs/METRICS.md");
const ALERTS: &str = include_str!("../../deploy/observability/alerts.yml");
const DASHBOARD: &str = include_str!("../../deploy/observability/dashboard.json");

/// The names of metrics that a text uses; a histogram's parts count as the histogram.
fn metrics_in(text: &str) -> std::collections::BTreeSet<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !word(c)).filter(|word| word.starts_with("flux_gate_"));
    words.map(|word| word.strip_suffix("_bucket").unwrap_or(word)).collect()
}

#[test]
fn alerts_and_dashboard_use_metrics_that_are_documented() {
    let documented = metrics_in(METRICS);
    for text in [ALERTS, DASHBOARD] {
        let unknown: Vec<_> = metrics_in(text).difference(&documented).copied().collect();
        assert!(unknown.is_empty(), "not in docs/METRICS.md: {unknown:?}");
    }
}

/// The names that a scrape of a server has and the document does not know.
pub fn undocumented_metrics(scraped: &str) -> Vec<String> {
    let documented = metrics_in(METRICS);
    let types = scraped.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let named = types.filter_map(|line| {
        let (name, kind) = line.split_once(' ')?;
        // OpenMetrics names a counter without the suffix of its samples.
        let suffix = if kind == "counter" && !name.ends_with("_total") { "_total" } else { "" };
        Some(format!("{name}{suffix}"))
    });
    named.filter(|name| !documented.contains(name.as_str())).collect()
}
