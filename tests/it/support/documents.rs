//! The documents for people, and the fenced blocks in them.

use std::path::{Path, PathBuf};

/// Every document that shows something to be typed.
///
/// # Panics
/// They are not there.
pub fn all(root: &Path) -> Vec<PathBuf> {
    let named = ["README.md", "CONTRIBUTING.md", "deploy/README.md", "deploy/kubernetes/README.md"];
    let mut documents: Vec<_> = named.map(|name| root.join(name)).into();
    let entries = std::fs::read_dir(root.join("docs")).expect("the documents");
    let mut pages: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    pages.retain(|path| path.extension().is_some_and(|end| end == "md"));
    pages.sort();
    documents.extend(pages);
    documents
}

/// The fenced blocks of a language.
pub fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in text.lines() {
        match (&mut open, line.trim_end().strip_prefix("```")) {
            (None, Some(of)) => open = Some((of == language, String::new())),
            (Some(_), Some("")) => {
                let closed = open.take().filter(|(wanted, _)| *wanted);
                blocks.extend(closed.map(|(_, block)| block));
            }
            (Some((_, block)), _) => *block += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    blocks
}

/// The commands of the `sh` blocks, one a line; a line that goes on after a `\` is one.
pub fn commands(text: &str) -> Vec<String> {
    let blocks = blocks(text, "sh").concat().replace("\\\n", " ");
    let lines = blocks.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

/// The words of each command of a line, as a shell splits it: quotes, `;`, comments, what is redirected.
///
/// # Panics
/// Never.
pub fn words(line: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let (mut word, mut begun, mut quote) = (String::new(), false, None);
    for c in line.chars().chain([' ']) {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            (None, '#' | '>') if !begun => break,
            (None, ' ' | ';') => {
                if begun {
                    all.last_mut().expect("one at least").push(std::mem::take(&mut word));
                }
                begun = false;
                if c == ';' {
                    all.push(Vec::new());
                }
            }
            (None, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    all.retain(|words| !words.is_empty());
    all
}
