//! The results, for people and for programs.

use super::Done;

/// Longest text of a cell.
const CELL_CHARS_MAX: usize = 60;

/// A table and a line that sums it up.
pub fn table(done: &[Done]) {
    let rows: Vec<[String; 5]> = done.iter().map(row).collect();
    let head = ["attack", "OWASP", "expected", "got", "blocked?"].map(str::to_owned);
    let widths: [usize; 5] = std::array::from_fn(|column| {
        let cells = std::iter::once(&head).chain(&rows);
        cells.map(|cells| cells[column].chars().count()).max().unwrap_or_default()
    });
    for cells in std::iter::once(&head).chain(&rows) {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        println!("{}", line.trim_end());
    }
    let blocked = done.iter().filter(|done| done.got.blocked).count();
    println!("\n{blocked} of {} attacks were blocked", done.len());
    for Done { attack, got } in done.iter().filter(|done| !done.got.blocked) {
        println!("NOT BLOCKED: {}: expected {}; got {}", attack.name, attack.expected, got.what);
    }
}

/// Says what was not carried out.
pub fn left_out(what: Option<&str>) {
    if let Some(what) = what {
        println!("{what}");
    }
}

fn row(Done { attack, got }: &Done) -> [String; 5] {
    let cut = |text: &str| text.chars().take(CELL_CHARS_MAX).collect::<String>();
    [
        cut(attack.name),
        attack.owasp.to_owned(),
        cut(attack.expected),
        cut(&got.what),
        if got.blocked { "yes" } else { "NO" }.to_owned(),
    ]
}

/// One JSON object; `leftOut` says what was not carried out.
///
/// # Errors
/// Standard output is closed.
pub fn json(done: &[Done], left_out: Option<&str>) -> anyhow::Result<()> {
    let attacks: Vec<serde_json::Value> = done
        .iter()
        .map(|Done { attack, got }| {
            serde_json::json!({
                "name": attack.name,
                "owasp": attack.owasp,
                "expected": attack.expected,
                "got": got.what,
                "blocked": got.blocked,
            })
        })
        .collect();
    let blocked = done.iter().all(|done| done.got.blocked);
    let report = serde_json::json!({
        "allBlocked": blocked,
        "attacks": attacks,
        "leftOut": left_out,
    });
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}
