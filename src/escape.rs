//! Texts that somebody wrote (reasons, names), made safe for where they are shown.
//!
//! A page or a report is read in a browser, a spreadsheet and a terminal. What was written by an operator, or by
//! somebody who has stolen a token, must not be markup, a formula or a steering sequence in any of them.

use std::fmt::Write;

/// Marks that mean something in Markdown, or in the HTML that may stand in it.
const MARKDOWN: &str = "\\`*_{}[]()#+-.!|~<>&=:@/'\"$^";

/// The text for a line or a cell of Markdown: every mark escaped, nothing that cannot be seen.
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c if MARKDOWN.contains(c) => out.extend(['\\', c]),
            c => visible(c, &mut out),
        }
    }
    out
}

/// The text as it may stand in HTML, also in an attribute: no mark is markup, and nothing but the ends of
/// lines cannot be seen.
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match entity(c) {
            Some(entity) => out.push_str(entity),
            None if c == '\n' => out.push('\n'),
            None => visible(c, &mut out),
        }
    }
    out
}

/// The same for a text of the shop's own, which may hold what cannot be seen: soft hyphens, and the joiners and
/// directions that some languages are written with.
pub fn markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match entity(c) {
            Some(entity) => out.push_str(entity),
            None => out.push(c),
        }
    }
    out
}

/// What stands in HTML for a mark that would mean something there.
fn entity(c: char) -> Option<&'static str> {
    Some(match c {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        '\'' => "&#39;",
        _ => return None,
    })
}

/// The text as a field of CSV: always in quotes, and never a formula.
pub fn csv(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 3);
    out.push('"');
    // Spreadsheets take these at the beginning for a formula, some also after white space.
    if text.trim_start().starts_with(['=', '+', '-', '@', '|', '%'])
        || text.starts_with(char::is_control)
    {
        out.push('\'');
    }
    for c in text.chars() {
        match c {
            '"' => out.push_str("\"\""),
            c => visible(c, &mut out),
        }
    }
    out.push('"');
    out
}

/// Control characters, and marks that turn text around or hide in it, are shown by their number.
fn visible(c: char, out: &mut String) {
    let hides = matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    );
    if c.is_control() || hides {
        let _ = write!(out, "U+{:04X}", u32::from(c));
    } else {
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_markup() {
        let hostile =
            "<img src=x onerror=alert(1)> [x](javascript:alert(1)) | a | `b` ![](//e.test/p)";
        let shown = markdown(hostile);
        assert!(!shown.contains('<') && !shown.contains('>'), "{shown}");
        let mut before = ' ';
        for c in shown.chars() {
            let bare = "[]()|`!*_#".contains(c) && before != '\\';
            assert!(!bare, "{c} stands bare in {shown}");
            before = c;
        }
        assert_eq!(markdown("bots, ticket 71"), "bots, ticket 71");
        assert_eq!(html(r#"<a href="x">&'"#), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
        assert_eq!(html("a\u{202e}\u{0}\nb"), "aU+202EU+0000\nb");
    }

    #[test]
    fn no_field_is_a_formula_and_none_ends_early() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "|calc", "%0A"] {
            let field = csv(formula);
            assert!(field.starts_with("\"'"), "{field}");
        }
        assert_eq!(csv("a \"b\", c"), "\"a \"\"b\"\", c\"");
        assert_eq!(csv("a\nb"), "\"aU+000Ab\"");
    }

    #[test]
    fn nothing_steers_a_terminal_or_turns_text_around() {
        let hostile = "a\u{1b}[2J\u{85}\u{202e}b\u{200b}\u{feff}\r\n";
        for shown in [markdown(hostile), csv(hostile)] {
            assert!(shown.chars().all(|c| matches!(c, ' '..='~')), "{shown:?}");
        }
    }
}
