//! The page: one template, filled in on the server, and its files.
//!
//! It uses nothing but its own files and calls its own listener alone, by the policy that goes with it. With a
//! script it is filled in live ([`super::calls`], [`super::events`]); for a browser that has come with a cookie
//! ([`super::form`]) it is whole without one, and loads itself again.

use std::fmt::Write;

use http::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use serde::Deserialize;

use super::form;
use super::look::{File, Texts};
use super::{Sale, product};
use crate::escape::markup as escape;
use crate::http::code::Code;
use crate::http::public::{PublicThread, Received};
use crate::http::reply::{self, Coded};
use crate::sale::ProductId;

const TEMPLATE: &str = include_str!("assets/room.html");

/// What the page may do: load its own files, call its own listener; no text becomes code or markup.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types flux-challenge";
/// Of its files. A logo may style itself, and nothing else.
const FILE_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
static PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// What the card in the middle of the page says. Texts are by name; what is said beside them is plain text.
#[derive(Debug, Default)]
pub(super) struct Card {
    /// `good`, `over` or nothing: how it looks.
    pub kind: &'static str,
    /// The name of the title's text; the body's has the same beginning.
    pub about: &'static str,
    /// The large number, with the name of the text above it.
    pub big: Option<(&'static str, String)>,
    /// The line below.
    pub sub: String,
    /// A form: where it goes, the name of its button's text, and its hidden fields.
    pub form: Option<Form>,
    /// Name of a text, and what stands below it.
    pub facts: Vec<(&'static str, String)>,
    /// In how many seconds the page loads itself again, without a script.
    pub refresh: Option<u64>,
    /// The number of the ticket.
    pub ticket: Option<u32>,
}

/// A form: where it goes, the name of its button's text, and its hidden fields.
type Form = (&'static str, &'static str, Vec<(&'static str, String)>);

/// Who looks: the product, and in which language.
pub(super) struct Viewer<'a> {
    pub product: ProductId,
    pub sale: Sale,
    pub language: &'a str,
    pub texts: &'a Texts,
}

/// What the page is asked for. What else stands in the query is a shop's business.
#[derive(Debug, Default, Deserialize)]
struct PageQuery {
    product: Option<String>,
    lang: Option<String>,
    /// `script`: whoever comes with a script and a pass of their own wants no page for an older cookie.
    mode: Option<String>,
}

/// `GET /waiting-room?product=…[&lang=…]`.
pub async fn show(thread: &PublicThread, received: &Received<'_>) -> Coded {
    let query: PageQuery = serde_urlencoded::from_str(received.query()).unwrap_or_default();
    let (language, texts) = language(thread, received, query.lang.as_deref());
    let cookie = form::cookie(received.headers());
    let pass = cookie.filter(|_| query.mode.as_deref() != Some("script"));
    let shopper = match form::shopper_or_anyone(thread, received, pass) {
        Ok(shopper) => shopper,
        Err(refusal) => return refusal,
    };
    let product = query.product.unwrap_or_default();
    let (product, sale) = match super::product(thread, &product) {
        Ok(found) => found,
        Err(refusal) => return nothing_here(thread, refusal.code, language, texts),
    };
    let viewer = Viewer { product, sale, language, texts };
    match shopper {
        Some(shopper) => {
            let card = form::card(thread, &viewer, &shopper).await;
            render(thread, Code::Ok, &viewer, "form", &card)
        }
        None => {
            let card = Card { about: "loading", ..Card::default() };
            render(thread, Code::Ok, &viewer, "script", &card)
        }
    }
}

/// The language of who asks.
pub(super) fn language<'a>(
    thread: &'a PublicThread,
    received: &Received<'_>,
    asked: Option<&str>,
) -> (&'a str, &'a Texts) {
    let accepted = received.headers().get(ACCEPT_LANGUAGE).and_then(|list| list.to_str().ok());
    thread.shared.room.look.language(asked, accepted)
}

/// The page for a product that has no room.
pub(super) fn nothing_here(
    thread: &PublicThread,
    code: Code,
    language: &str,
    texts: &Texts,
) -> Coded {
    let mut fields = fields_of_all(thread, language, texts);
    let card = Card { kind: "over", about: "none", ..Card::default() };
    fill_card(&mut fields, &card, texts, language);
    // A field that is not given is empty: no product, no stock, no links to other languages.
    fields.push(("mode", "none".to_owned()));
    html(code, fill(&fields))
}

/// The page with this card.
pub(super) fn render(
    thread: &PublicThread,
    code: Code,
    viewer: &Viewer<'_>,
    mode: &str,
    card: &Card,
) -> Coded {
    let Viewer { product, sale, language, texts } = viewer;
    let mut fields = fields_of_all(thread, language, texts);
    fill_card(&mut fields, card, texts, language);
    if let Some(seconds) = card.refresh {
        // Named, since this may be the answer to a form, whose address cannot be loaded.
        let to = escape(&address(product, language));
        fields.push((
            "refresh",
            format!(r#"<meta http-equiv="refresh" content="{seconds}; url={to}">"#),
        ));
    }
    fields.push(("product", product.to_string()));
    fields.push(("mode", mode.to_owned()));
    fields.push(("stock", sale.stock.to_owned()));
    fields.push(("stock_text", escape(text(texts, &format!("stock_{}", sale.stock)))));
    fields.push(("language_links", links(thread, product, language)));
    html(code, fill(&fields))
}

fn fields_of_all(
    thread: &PublicThread,
    language: &str,
    texts: &Texts,
) -> Vec<(&'static str, String)> {
    let look = &thread.shared.room.look;
    let logo = if look.has_logo { r#"<img src="/waiting-room/logo" alt="">"# } else { "" };
    let name = escape(&look.brand_name);
    let name = if name.is_empty() { name } else { format!("<span>{name}</span>") };
    let title = match look.brand_name.as_str() {
        "" => text(texts, "title").to_owned(),
        brand => format!("{} – {brand}", text(texts, "title")),
    };
    // In a script's element a `<` could end it; as an escape it is the same text to JSON.
    let json = serde_json::to_string(texts).unwrap_or_default().replace('<', "\\u003c");
    let mut fields = vec![
        ("lang", escape(language)),
        ("page_title", escape(&title)),
        ("brand", format!("{logo}{name}")),
        ("texts", json),
    ];
    for name in ["lost", "save", "fair_title", "fair_body", "draw_link", "languages"] {
        fields.push((name, escape(text(texts, name))));
    }
    fields
}

fn fill_card(fields: &mut Vec<(&'static str, String)>, card: &Card, texts: &Texts, lang: &str) {
    let note = match (card.about, card.refresh) {
        ("loading", None) => {
            let note = escape(text(texts, "noscript"));
            format!(r#"<noscript><p class="note">{note}</p></noscript>"#)
        }
        (_, Some(seconds)) => {
            let note = text(texts, "refreshes").replace("{n}", &seconds.to_string());
            format!(r#"<p class="note">{}</p>"#, escape(&note))
        }
        _ => String::new(),
    };
    let (big_name, big) = match &card.big {
        Some((name, big)) => (escape(text(texts, name)), escape(big)),
        None => Default::default(),
    };
    let ticket = card
        .ticket
        .map(|number| text(texts, "ticket").replace("{n}", &(u64::from(number) + 1).to_string()));
    let mut facts = String::new();
    for (name, fact) in &card.facts {
        let (name, fact) = (escape(text(texts, name)), escape(fact));
        let _ = write!(facts, "<dt>{name}</dt><dd>{fact}</dd>");
    }
    fields.extend([
        ("kind", card.kind.to_owned()),
        ("title", escape(text(texts, &format!("{}_title", card.about)))),
        ("body", escape(text(texts, &format!("{}_body", card.about)))),
        ("big_hidden", if card.big.is_some() { "" } else { "hidden" }.to_owned()),
        ("big_name", big_name),
        ("big", big),
        ("sub", escape(&card.sub)),
        ("action", card.form.as_ref().map(|form| action(form, texts, lang)).unwrap_or_default()),
        ("facts", facts),
        ("note", note),
        ("ticket", escape(&ticket.unwrap_or_default())),
    ]);
}

fn action((to, button, fields): &Form, texts: &Texts, language: &str) -> String {
    let mut form = format!(r#"<form method="post" action="/waiting-room/{to}">"#);
    let language = ("lang", language.to_owned());
    for (name, value) in fields.iter().chain([&language]) {
        let _ = write!(form, r#"<input type="hidden" name="{name}" value="{}">"#, escape(value));
    }
    let _ = write!(form, "<button>{}</button></form>", escape(text(texts, button)));
    form
}

/// Where the room of a product is, in a language.
pub(super) fn address(product: &ProductId, language: &str) -> String {
    format!("{}&lang={language}", super::url(product))
}

fn links(thread: &PublicThread, product: &ProductId, spoken: &str) -> String {
    let mut links = String::new();
    for language in thread.shared.room.look.languages() {
        let name = escape(match language {
            "en" => "English",
            "de" => "Deutsch",
            "fr" => "Français",
            "es" => "Español",
            "it" => "Italiano",
            "nl" => "Nederlands",
            "pl" => "Polski",
            "pt" => "Português",
            other => other,
        });
        let to = escape(&address(product, language));
        let language = escape(language);
        let _ = if language == spoken {
            write!(links, r#"<strong lang="{language}">{name}</strong>"#)
        } else {
            write!(links, r#"<a href="{to}" lang="{language}" hreflang="{language}">{name}</a>"#)
        };
    }
    links
}

/// A text by its name; the names are checked when the texts are read.
pub(super) fn text<'a>(texts: &'a Texts, name: &str) -> &'a str {
    texts.get(name).map_or("", String::as_str)
}

/// Puts the fields into the template. A field that is not given is empty.
fn fill(fields: &[(&'static str, String)]) -> String {
    let mut page = String::with_capacity(TEMPLATE.len() + 8 * 1_024);
    let mut rest = TEMPLATE;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        page.push_str(before);
        page.push_str(fields.iter().find(|(known, _)| *known == name).map_or("", |(_, v)| v));
        rest = after;
    }
    page.push_str(rest);
    page
}

fn html(code: Code, page: String) -> Coded {
    let coded = reply::json(code, page).with(CONTENT_TYPE, HTML);
    hardened(coded, PAGE_POLICY)
}

fn hardened(coded: Coded, policy: &'static str) -> Coded {
    let nothing = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";
    coded
        .with(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy))
        .with(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
        // Other sites learn nothing. With `no-referrer` a browser would say `Origin: null` of the page's own form.
        .with(REFERRER_POLICY, HeaderValue::from_static("same-origin"))
        .with(PERMISSIONS_POLICY.clone(), HeaderValue::from_static(nothing))
}

/// A file of the page. They are the same for everybody and change with the program or its configuration alone.
pub fn file(file: &File) -> Coded {
    let coded = reply::json(Code::Ok, file.bytes.clone())
        .with(CONTENT_TYPE, HeaderValue::from_static(file.kind))
        .with(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    hardened(coded, FILE_POLICY)
}

/// The page's own look-up of a product, for the form.
pub(super) fn viewer<'a>(
    thread: &'a PublicThread,
    received: &Received<'_>,
    of: &str,
    asked: Option<&str>,
) -> Result<Viewer<'a>, Coded> {
    let (language, texts) = language(thread, received, asked);
    match product(thread, of) {
        Ok((product, sale)) => Ok(Viewer { product, sale, language, texts }),
        Err(refusal) => Err(nothing_here(thread, refusal.code, language, texts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_filled_in_is_markup() {
        assert_eq!(escape(r#"<a href="x">&'"#), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    }

    #[test]
    fn the_template_is_filled_to_its_end() {
        let page = fill(&[("title", "T".to_owned())]);
        assert!(page.contains(r#"<h1 id="title">T</h1>"#) && page.ends_with("</html>\n"));
        assert!(!page.contains("{{"));
    }
}
