//! The picture of `docs/FAIRNESS.md`: a panel for each strategy, written as SVG by hand.
//!
//! Colours follow the reader's scheme, light or dark, and every line has a mark of its own, so that it is read without
//! colours too.

use std::fmt::Write;

use super::bots::Strategy;
use super::sale::Defence;

/// Panels in a row.
const COLUMNS: usize = 3;
const PANEL_WIDTH: f64 = 200.0;
const PANEL_HEIGHT: f64 = 150.0;
const GAP_X: f64 = 64.0;
const GAP_Y: f64 = 70.0;
const LEFT: f64 = 62.0;
const TOP: f64 = 58.0;

/// One point of the picture: both in percent.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// What the bots do.
    pub strategy: Strategy,
    /// What stands against them.
    pub defence: Defence,
    /// The bots' part of the accounts.
    pub bots_percent: f64,
    /// Their part of the stock.
    pub stock_percent: f64,
}

const STYLE: &str = "\
svg{--back:#ffffff;--ink:#1f2328;--soft:#d0d7de;--off:#c0392b;--on:#1f6fb2;--strict:#1a7f4b}\
@media (prefers-color-scheme:dark){svg{--back:#0d1117;--ink:#e6edf3;--soft:#3d444d;--off:#ff7b6b;--on:#6cb6ff;--strict:#56d491}}\
.back{fill:var(--back)}text{fill:var(--ink);font:12px sans-serif}.title{font-weight:bold;font-size:13px}\
.head{font-weight:bold;font-size:15px}.grid{stroke:var(--soft);stroke-width:1}.fair{stroke:var(--ink);stroke-width:1;stroke-dasharray:3 4}\
.line{fill:none;stroke-width:2}.mark{stroke-width:2}\
.off{stroke:var(--off)}.on{stroke:var(--on);stroke-dasharray:8 3}.strict{stroke:var(--strict)}\
.mark.on{stroke-dasharray:none}.fill-off{fill:var(--off)}.fill-on{fill:var(--back)}.fill-strict{fill:var(--strict)}";

/// The whole picture.
pub fn svg(points: &[Point]) -> String {
    let rows = Strategy::ALL.len().div_ceil(COLUMNS);
    let width = LEFT + COLUMNS as f64 * (PANEL_WIDTH + GAP_X);
    let height = TOP + rows as f64 * (PANEL_HEIGHT + GAP_Y);
    let mut text = String::new();
    let title = "The bots' part of the stock, by their part of the crowd";
    put(
        &mut text,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n<rect class=\"back\" width=\"{width}\" height=\"{height}\"/>\n\
             <text class=\"head\" x=\"{LEFT}\" y=\"24\">{title}</text>\n"
        ),
    );
    for (place, strategy) in Strategy::ALL.into_iter().enumerate() {
        let (x, y) = corner(place);
        panel(&mut text, (x, y), strategy, points);
    }
    legend(&mut text, corner(Strategy::ALL.len()));
    text.push_str("</svg>\n");
    text
}

fn corner(place: usize) -> (f64, f64) {
    let (row, column) = (place / COLUMNS, place % COLUMNS);
    (LEFT + column as f64 * (PANEL_WIDTH + GAP_X), TOP + row as f64 * (PANEL_HEIGHT + GAP_Y))
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a string takes every character");
}

fn panel(text: &mut String, (x, y): (f64, f64), strategy: Strategy, points: &[Point]) {
    let (right, bottom) = (x + PANEL_WIDTH, y + PANEL_HEIGHT);
    put(
        text,
        format_args!(
            "<text class=\"title\" x=\"{x}\" y=\"{}\">{}</text>\n",
            y - 8.0,
            strategy.word()
        ),
    );
    for percent in [0, 50, 100] {
        let at = f64::from(percent) / 100.0;
        let (grid_x, grid_y) = (x + at * PANEL_WIDTH, bottom - at * PANEL_HEIGHT);
        put(
            text,
            format_args!(
                "<path class=\"grid\" d=\"M{x} {grid_y}H{right}M{grid_x} {y}V{bottom}\"/>\n\
                 <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{percent} %</text>\n\
                 <text x=\"{grid_x}\" y=\"{}\" text-anchor=\"middle\">{percent} %</text>\n",
                x - 6.0,
                grid_y + 4.0,
                bottom + 16.0
            ),
        );
    }
    put(text, format_args!("<path class=\"fair\" d=\"M{x} {bottom}L{right} {y}\"/>\n"));
    put(
        text,
        format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">bots of the accounts</text>\n\
             <text transform=\"translate({} {}) rotate(-90)\" text-anchor=\"middle\">of the stock</text>\n",
            x + PANEL_WIDTH / 2.0,
            bottom + 32.0,
            x - 44.0,
            y + PANEL_HEIGHT / 2.0
        ),
    );
    for defence in Defence::ALL {
        let at: Vec<(f64, f64)> = points
            .iter()
            .filter(|point| point.strategy == strategy && point.defence == defence)
            .map(|point| {
                let along = x + point.bots_percent / 100.0 * PANEL_WIDTH;
                (along, bottom - point.stock_percent / 100.0 * PANEL_HEIGHT)
            })
            .collect();
        let line: Vec<String> = at.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let word = defence.word();
        put(
            text,
            format_args!("<polyline class=\"line {word}\" points=\"{}\"/>\n", line.join(" ")),
        );
        for at in at {
            mark(text, at, defence);
        }
    }
}

/// A circle, a hollow square, a triangle.
fn mark(text: &mut String, (x, y): (f64, f64), defence: Defence) {
    let word = defence.word();
    let class = format!("class=\"mark {word} fill-{word}\"");
    match defence {
        Defence::Off => {
            put(text, format_args!("<circle {class} cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>\n"))
        }
        Defence::Default => put(
            text,
            format_args!(
                "<rect {class} x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\"/>\n",
                x - 4.0,
                y - 4.0
            ),
        ),
        Defence::Strict => {
            put(text, format_args!("<path {class} d=\"M{x:.1} {:.1}l4 7h-8z\"/>\n", y - 4.0))
        }
    }
}

fn legend(text: &mut String, (x, y): (f64, f64)) {
    let lines = [
        (Defence::Off, "defence off"),
        (Defence::Default, "on: room with the draw"),
        (Defence::Strict, "strict: also 50 and 100"),
    ];
    for (line, (defence, what)) in lines.into_iter().enumerate() {
        let at = y + 16.0 + 26.0 * line as f64;
        let word = defence.word();
        put(text, format_args!("<path class=\"line {word}\" d=\"M{x} {at}h36\"/>\n"));
        mark(text, (x + 18.0, at), defence);
        put(text, format_args!("<text x=\"{}\" y=\"{}\">{what}</text>\n", x + 46.0, at + 4.0));
    }
    let at = y + 16.0 + 26.0 * 3.0;
    put(
        text,
        format_args!(
            "<path class=\"fair\" d=\"M{x} {at}h36\"/>\n<text x=\"{}\" y=\"{}\">the fair part</text>\n",
            x + 46.0,
            at + 4.0
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_its_mark_inside_its_panel() {
        let mut points = Vec::new();
        for strategy in Strategy::ALL {
            for defence in Defence::ALL {
                for percent in [0.0, 50.0, 100.0] {
                    let (bots_percent, stock_percent) = (percent, 100.0 - percent);
                    points.push(Point { strategy, defence, bots_percent, stock_percent });
                }
            }
        }
        let text = svg(&points);
        let marks = |class: &str| text.matches(class).count();
        // One more of each in the legend.
        for class in ["mark off", "mark on", "mark strict"] {
            assert_eq!(marks(class), 3 * Strategy::ALL.len() + 1, "{class}");
        }
        let (x, y) = corner(0);
        let top_left = format!("points=\"{x:.1},{y:.1} ");
        assert_eq!(text.matches(&top_left).count(), 3, "no bots and the whole stock");
        for strategy in Strategy::ALL {
            assert!(text.contains(&format!(">{}</text>", strategy.word())));
        }
        assert!(!text.contains("NaN") && !text.contains("href"));
        assert_eq!(text.matches("<text").count(), text.matches("</text>").count());
    }
}
