//! Plots over time as SVG: a frame with axes, and lines or stacked bars in it.
//!
//! Colours are classes, so that the page's style decides them for light and dark. Each slot of time has one
//! strip over the whole height, which says its values to whoever points at it.

use std::fmt::Write;

use crate::escape;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 28.0;
/// Most marks of an axis.
const MARKS_MAX: f64 = 8.0;

/// The vertical axis.
#[derive(Debug, Clone, Copy)]
pub(super) enum Axis {
    /// From 0 evenly up to here.
    Linear(f64),
    /// By powers of ten, from one (more than 0) to the other.
    Decades(f64, f64),
}

impl Axis {
    /// From 0 to the next round number above `max`.
    pub(super) fn linear(max: f64) -> Self {
        let step = round_step(max / 4.0);
        Self::Linear((max / step).ceil().max(1.0) * step)
    }

    /// The powers of ten around two values.
    pub(super) fn decades(min: f64, max: f64) -> Self {
        let low = min.max(1.0).log10().floor();
        let high = max.max(1.0).log10().ceil().max(low + 1.0);
        Self::Decades(10_f64.powf(low), 10_f64.powf(high))
    }

    fn share(self, value: f64) -> f64 {
        match self {
            Self::Linear(max) => value / max,
            Self::Decades(low, high) => (value.max(low) / low).log10() / (high / low).log10(),
        }
    }

    fn marks(self) -> Vec<f64> {
        match self {
            Self::Linear(max) => {
                let step = round_step(max / 4.0);
                (0..=(max / step).round() as u32).map(|mark| f64::from(mark) * step).collect()
            }
            Self::Decades(low, high) => {
                let decades = (high / low).log10().round() as i32;
                (0..=decades).map(|decade| low * 10_f64.powi(decade)).collect()
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten: the smallest that is at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-3).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|step| *step >= least).unwrap_or(10.0 * power)
}

/// The frame of a plot: how many slots, how long, and what the height means.
#[derive(Debug)]
pub(super) struct Plot {
    svg: String,
    slots: usize,
    slot_us: u64,
    axis: Axis,
}

impl Plot {
    /// An empty plot. `name` says to those who cannot see it what it shows; `unit` writes a mark of the axis.
    pub(super) fn new(
        name: &str,
        slots: usize,
        slot_us: u64,
        axis: Axis,
        unit: impl Fn(f64) -> String,
    ) -> Self {
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escape::html(name)
        );
        let mut plot = Self { svg: String::new(), slots: slots.max(1), slot_us, axis };
        for mark in axis.marks() {
            let (y, text) = (plot.y(mark), escape::html(&unit(mark)));
            let (right, at) = (WIDTH - RIGHT, LEFT - 8.0);
            let _ = write!(svg, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>");
            let below = y + 4.0;
            let _ = writeln!(svg, "<text x=\"{at}\" y=\"{below:.1}\" class=\"end\">{text}</text>");
        }
        plot.time_axis(&mut svg);
        plot.svg = svg;
        plot
    }

    fn time_axis(&self, svg: &mut String) {
        let total_s = self.slots as f64 * self.slot_us as f64 / 1e6;
        let step_s = time_step(total_s / MARKS_MAX);
        for mark in 0..=(total_s / step_s) as u32 {
            let at_s = f64::from(mark) * step_s;
            let x = self.x(at_s * 1e6 / self.slot_us as f64);
            let y = HEIGHT - BOTTOM + 18.0;
            // The last may stand at the very edge.
            let class = if x > WIDTH - RIGHT - 20.0 { "end" } else { "mid" };
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y}\" class=\"{class}\">{}</text>",
                moment(at_s, step_s)
            );
        }
    }

    /// Where a place in the row of slots is (the first begins at 0).
    fn x(&self, slot: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * slot / self.slots as f64
    }

    fn y(&self, value: f64) -> f64 {
        let share = self.axis.share(value).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share
    }

    /// Shades the time between two places in the row of slots, and says what it is.
    pub(super) fn band(&mut self, from: f64, to: f64, title: &str) {
        let (x, y) = (self.x(from), TOP);
        let (width, height) = (self.x(to) - x, HEIGHT - TOP - BOTTOM);
        let (title, at) = (escape::html(title), x + 5.0);
        let _ = writeln!(
            self.svg,
            "<rect class=\"band\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\"/>\
             <text x=\"{at:.1}\" y=\"{}\">{title}</text>",
            TOP + 13.0
        );
    }

    /// A line through the middles of the slots; it is broken where there is no value.
    pub(super) fn line(&mut self, class: &str, values: &[Option<f64>]) {
        let mut path = String::new();
        let mut broken = true;
        for (slot, value) in values.iter().enumerate() {
            let Some(value) = value else {
                broken = true;
                continue;
            };
            let (x, y) = (self.x(slot as f64 + 0.5), self.y(*value));
            let _ = write!(path, "{}{x:.1} {y:.1}", if broken { 'M' } else { 'L' });
            // A point by itself shows as a dot, by the round ends of the line.
            if broken && values.get(slot + 1).copied().flatten().is_none() {
                path.push_str("h0");
            }
            broken = false;
        }
        let _ = writeln!(self.svg, "<path class=\"line {class}\" d=\"{path}\"/>");
    }

    /// Bars from `below` up to `values`, slot by slot.
    pub(super) fn bars(&mut self, class: &str, below: &[f64], values: &[f64]) {
        let mut path = String::new();
        let width = (self.x(1.0) - self.x(0.0) - 1.0).max(0.5);
        for (slot, (low, high)) in below.iter().zip(values).enumerate() {
            if high <= low {
                continue;
            }
            let (x, y) = (self.x(slot as f64), self.y(*high));
            let height = self.y(*low) - y;
            let _ = write!(path, "M{x:.1} {y:.1}h{width:.1}v{height:.1}h-{width:.1}z");
        }
        let _ = writeln!(self.svg, "<path class=\"bar {class}\" d=\"{path}\"/>");
    }

    /// Ends the plot with the words of each slot, which come up under the pointer.
    pub(super) fn finish(mut self, words: impl Iterator<Item = String>) -> String {
        let (width, height) = (self.x(1.0) - self.x(0.0), HEIGHT - TOP - BOTTOM);
        for (slot, words) in words.enumerate() {
            let (x, seconds) = (self.x(slot as f64), self.slot_us as f64 / 1e6);
            let (from, to) = (slot as f64 * seconds, (slot + 1) as f64 * seconds);
            let (from, to) = (moment(from, seconds), moment(to, seconds));
            let words = escape::html(&words);
            let _ = writeln!(
                self.svg,
                "<rect class=\"slot\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{width:.1}\" \
                 height=\"{height}\"><title>{from} to {to}: {words}</title></rect>"
            );
        }
        self.svg.push_str("</svg>\n");
        self.svg
    }
}

/// A round step of time, in seconds.
fn time_step(least_s: f64) -> f64 {
    let steps = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400];
    steps.into_iter().map(f64::from).find(|step| *step >= least_s).unwrap_or(28_800.0)
}

/// A moment in seconds, or in hours and minutes, as fine as the step between two of them asks for.
fn moment(at_s: f64, step_s: f64) -> String {
    let minutes = at_s / 60.0;
    if step_s < 1.0 {
        format!("{at_s:.2} s")
    } else if step_s < 60.0 {
        format!("{at_s:.0} s")
    } else if step_s < 3_600.0 {
        format!("{minutes:.0} min")
    } else {
        format!("{:.0} h", minutes / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        let marks = |axis: Axis| axis.marks();
        assert_eq!(marks(Axis::linear(730.0)), [0.0, 200.0, 400.0, 600.0, 800.0]);
        assert_eq!(marks(Axis::linear(0.0)).first(), Some(&0.0));
        assert_eq!(marks(Axis::decades(250.0, 9_000.0)), [100.0, 1_000.0, 10_000.0]);
        assert_eq!(marks(Axis::decades(0.0, 0.0)), [1.0, 10.0]);
    }

    #[test]
    fn values_lie_within_the_frame() {
        let plot = Plot::new("p", 4, 250_000, Axis::linear(10.0), |mark| mark.to_string());
        assert_eq!((plot.x(0.0), plot.x(4.0)), (LEFT, WIDTH - RIGHT));
        assert_eq!((plot.y(0.0), plot.y(1e9)), (HEIGHT - BOTTOM, TOP));
    }

    #[test]
    fn a_line_is_broken_where_there_is_nothing() {
        let mut plot = Plot::new("p", 5, 250_000, Axis::linear(10.0), |mark| mark.to_string());
        plot.line("a", &[Some(1.0), Some(2.0), None, Some(3.0), None]);
        let path = plot.svg.split("class=\"line a\" d=\"").nth(1).unwrap();
        let path = path.split('"').next().unwrap();
        let count = |c| path.matches(c).count();
        assert_eq!((count('M'), count('L'), count('h')), (2, 1, 1), "{path}");
    }
}
