//! The page as a reader's browser takes it: well formed, nothing that was written elsewhere is markup.

use super::*;
use crate::load::plan::Plan;
use crate::load::shot::Trick;
use crate::load::tally::Row;
use crate::load::timeline::SLOT_US_MIN;
use crate::load::{Identity, Tally, Target};

/// An element's name and what stands in its tag.
type Element = (String, String);

/// The elements of a text that is well formed: every element is closed in its order, every value is in
/// quotes, every `&` begins one of the five entities of XML. Otherwise what is wrong.
fn elements(text: &str) -> Result<Vec<Element>, String> {
    let mut rest = text.strip_prefix("<!doctype html>").ok_or("no doctype")?;
    let (mut open, mut found) = (Vec::new(), Vec::new());
    while let Some(at) = rest.find('<') {
        entities(&rest[..at])?;
        let (tag, after) = rest[at + 1..].split_once('>').ok_or("a tag without an end")?;
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop().as_deref() != Some(name) {
                return Err(format!("</{name}> closes nothing"));
            }
            continue;
        }
        let tag_inside = tag.trim_end_matches('/');
        let (name, mut attributes) = tag_inside.split_once(' ').unwrap_or((tag_inside, ""));
        if !name.starts_with(|c: char| c.is_ascii_alphabetic())
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(format!("<{tag}>"));
        }
        found.push((name.to_owned(), attributes.to_owned()));
        while !attributes.trim().is_empty() {
            let (_, value) = attributes.split_once("=\"").ok_or_else(|| format!("<{tag}>"))?;
            let (value, after) = value.split_once('"').ok_or_else(|| format!("<{tag}>"))?;
            entities(value)?;
            attributes = after;
        }
        if !tag.ends_with('/') {
            open.push(name.to_owned());
        }
    }
    if open.is_empty() { Ok(found) } else { Err(format!("not closed: {open:?}")) }
}

fn entities(text: &str) -> Result<(), String> {
    for after in text.split('&').skip(1) {
        let entity = after.split_once(';').map(|(name, _)| name);
        if !matches!(entity, Some("amp" | "lt" | "gt" | "quot" | "#39")) {
            return Err(format!("a bare & before {after}"));
        }
    }
    Ok(())
}

const SLOTS: u64 = 12;

fn report(profile: Profile) -> Report {
    let mut tally = Tally { elapsed_us: SLOTS * SLOT_US_MIN - 1, ..Tally::default() };
    for slot in 0..SLOTS {
        let at_us = slot * SLOT_US_MIN;
        tally.timeline.due(at_us);
        // Nothing is answered in the sixth slot.
        if slot != 5 {
            tally.timeline.answered(at_us, Outcome::Accepted, 900 + 500 * slot);
            tally.timeline.answered(at_us, Outcome::Refused, 300);
        }
    }
    let identity = Identity::Unsigned { users: 0 };
    let target = Target::plain(([127, 0, 0, 1], 3000).into());
    let mut plan = Plan::new(target, "p-1".parse().unwrap(), identity, 1);
    plan.pace = Pace::Open { per_second: 10 };
    plan.profile = profile;
    plan.duration_ms_max = 3_000;
    Report::new(&plan, 1_700_000_000_000, tally)
}

/// The SVG of a plot.
fn plot<'a>(page: &'a str, id: &str) -> &'a str {
    let (_, figure) = page.split_once(&format!("<figure id=\"{id}\"")).unwrap();
    let (figure, _) = figure.split_once("</figure>").unwrap();
    figure.split_once("<div class=\"scroll\">").unwrap().1
}

#[test]
fn the_page_is_well_formed_and_asks_for_nothing() {
    for profile in [
        Profile::Steady,
        Profile::Soak,
        Profile::Ramp { from_per_second: 1 },
        Profile::Spike { peak_per_second: 100 },
    ] {
        let page = page(&report(profile), None);
        let elements = elements(&page).unwrap();
        for (name, attributes) in &elements {
            assert!(!["script", "link", "img", "iframe", "a", "form"].contains(&name.as_str()));
            for word in ["src=", "href=", "url(", "style="] {
                assert!(!attributes.contains(word), "<{name} {attributes}>");
            }
        }
        assert!(
            !page.contains("url(") && !page.contains("@import") && page.contains("default-src")
        );
        let band = elements.iter().any(|(_, attributes)| attributes.contains("class=\"band\""));
        assert_eq!(band, matches!(profile, Profile::Spike { .. }), "a spike is shaded");
        assert!(page.len() < 32 << 10, "{} bytes", page.len());
    }
}

#[test]
fn each_plot_has_as_many_points_as_there_are_slots() {
    let page = page(&report(Profile::Steady), None);
    for id in ["latency", "outcomes", "throughput"] {
        let strips = plot(&page, id).matches("class=\"slot\"").count();
        assert_eq!(strips as u64, SLOTS, "{id}");
    }
    let points = |id, class: &str| {
        let (_, path) =
            plot(&page, id).split_once(&format!("class=\"line {class}\" d=\"")).unwrap();
        let (path, _) = path.split_once('"').unwrap();
        path.matches(['M', 'L']).count() as u64
    };
    for class in ["p50", "p90", "p99", "max"] {
        assert_eq!(points("latency", class), SLOTS - 1, "{class}: one slot has no answer");
    }
    assert_eq!((points("throughput", "due"), points("throughput", "answered")), (SLOTS, SLOTS));
    let bars = |class: &str| {
        let (_, path) =
            plot(&page, "outcomes").split_once(&format!("class=\"bar {class}\"")).unwrap();
        path.split_once("/>").unwrap().0.matches('z').count() as u64
    };
    assert_eq!(["accepted", "refused", "later"].map(bars), [SLOTS - 1, SLOTS - 1, 0]);
}

#[test]
fn a_run_without_an_answer_has_its_page_too() {
    let mut report = report(Profile::Steady);
    report.tally = Tally::default();
    elements(&page(&report, None)).unwrap();
}

#[test]
fn nothing_that_was_written_elsewhere_is_markup() {
    let hostile = "</title><script>alert('1')</script>\"&<b \u{202e}";
    let mut report = report(Profile::Steady);
    report.product = hostile.to_owned();
    report.url = hostile.to_owned();
    let word = hostile.to_owned();
    report.tally.rows.push(Row { trick: Trick::Order, status: 400, word, count: 1 });
    let check = Check { rule: 1, name: "<i>", passed: false, found: hostile.to_owned() };
    let page = page(&report, Some(&[check]));
    let elements = elements(&page).unwrap();
    assert!(elements.iter().all(|(name, _)| !["script", "b", "i"].contains(&name.as_str())));
    assert!(!page.contains("<script") && !page.contains('\u{202e}'));
    assert_eq!(page.matches("&lt;/title&gt;&lt;script&gt;").count(), 6);
}

#[test]
fn the_reader_of_these_tests_sees_what_is_not_well_formed() {
    for bad in ["<p>", "<p></b></p>", "<p class=x/>", "<p class=\"x/>", "a & b", "<1/>", "</p>"] {
        assert!(elements(&format!("<!doctype html>{bad}<br/>")).is_err(), "{bad}");
    }
    assert!(elements("<!doctype html><p class=\"x\">a &amp; b<br/></p>").is_ok());
}
