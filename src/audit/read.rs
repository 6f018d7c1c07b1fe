//! Reading a trail: pages for the operator's listener, everything for an export.
//!
//! What is read is what stands in the files; whether it is what was written, [`verify`](super::verify) says.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::line::{self, Line};
use super::segments::{Segment, segments};

/// Bytes that one page looks at, at most.
const PAGE_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Lines of a page, at most.
pub const PAGE_LINES_MAX: usize = 1_000;

/// Which lines are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// After this number.
    pub after: u64,
    /// Of this kind; of all if absent.
    pub kind: Option<String>,
    /// Not before, Unix milliseconds.
    pub since_ms: Option<u64>,
    /// Before, Unix milliseconds.
    pub until_ms: Option<u64>,
}

impl Wanted {
    fn is(&self, line: &Line) -> bool {
        line.seq > self.after
            && self.kind.as_ref().is_none_or(|kind| *kind == line.kind)
            && self.since_ms.is_none_or(|since| line.at_ms >= since)
            && self.until_ms.is_none_or(|until| line.at_ms < until)
    }
}

/// A page of lines.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The lines as they stand, without their line feeds: each is a JSON object.
    pub lines: Vec<String>,
    /// Everything up to here was looked at: the `after` of the next page.
    pub next: u64,
    /// Whether the end was reached.
    pub at_end: bool,
}

/// One page, of at most `limit` lines.
///
/// # Errors
/// A file cannot be read.
pub fn page(dir: &Path, wanted: &Wanted, limit: usize) -> io::Result<Page> {
    let limit = limit.clamp(1, PAGE_LINES_MAX);
    let mut page = Page { next: wanted.after, at_end: true, ..Page::default() };
    let mut looked_at_bytes = 0;
    visit(dir, wanted, &mut |text, line| {
        looked_at_bytes += text.len();
        if wanted.is(line) {
            page.lines.push(text.to_owned());
        }
        page.next = page.next.max(line.seq);
        page.at_end = page.lines.len() < limit && looked_at_bytes < PAGE_BYTES_MAX;
        Ok(page.at_end)
    })?;
    Ok(page)
}

/// Hands every wanted line to `each`. Returns how many lines could not be read and were passed over.
///
/// # Errors
/// A file cannot be read, or `each` fails.
pub fn all(
    dir: &Path,
    wanted: &Wanted,
    each: &mut dyn FnMut(&str) -> io::Result<()>,
) -> io::Result<u64> {
    visit(dir, wanted, &mut |text, line| {
        if wanted.is(line) {
            each(text)?;
        }
        Ok(true)
    })
}

/// The last lines of these kinds, at most `limit`, the newest last. Looks at the last two segments alone.
///
/// # Errors
/// A file cannot be read.
pub fn last(dir: &Path, kinds: &[&str], limit: usize) -> io::Result<Vec<String>> {
    let segments = segments(dir)?;
    let from = segments.len().saturating_sub(2);
    let first = segments.get(from).and_then(first_seq).unwrap_or(1);
    let wanted = Wanted { after: first.saturating_sub(1), ..Wanted::default() };
    let mut lines = VecDeque::new();
    visit(dir, &wanted, &mut |text, line| {
        if kinds.contains(&line.kind.as_str()) {
            if lines.len() >= limit {
                lines.pop_front();
            }
            lines.push_back(text.to_owned());
        }
        Ok(true)
    })?;
    Ok(lines.into())
}

/// Shows the lines from about `wanted.after` on to `each`, until it says `false`.
fn visit(
    dir: &Path,
    wanted: &Wanted,
    each: &mut dyn FnMut(&str, &Line) -> io::Result<bool>,
) -> io::Result<u64> {
    let mut bad_lines = 0;
    let segments = segments(dir)?;
    let from = segments
        .iter()
        .rposition(|segment| first_seq(segment).is_some_and(|first| first <= wanted.after + 1))
        .unwrap_or(0);
    let mut text = Vec::new();
    for segment in &segments[from..] {
        let mut file = match File::open(&segment.path) {
            Ok(file) => BufReader::new(file),
            // Removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        loop {
            text.clear();
            if file.read_until(b'\n', &mut text)? == 0 {
                break;
            }
            // The last line of a running node may be on its way.
            let Some(whole) = text.strip_suffix(b"\n") else { break };
            let line = line::parse(whole).ok().filter(|_| whole.is_ascii());
            let Some((line, whole)) = line.zip(std::str::from_utf8(whole).ok()) else {
                bad_lines += 1;
                continue;
            };
            if line.seq > wanted.after && !each(whole, &line)? {
                return Ok(bad_lines);
            }
        }
    }
    Ok(bad_lines)
}

fn first_seq(segment: &Segment) -> Option<u64> {
    let mut text = Vec::new();
    BufReader::new(File::open(&segment.path).ok()?).read_until(b'\n', &mut text).ok()?;
    line::parse(text.strip_suffix(b"\n")?).ok().map(|line| line.seq)
}
