//! `GET /docs`: the description of all calls for people, made from the one that programs read.
//!
//! One page without a script. Whatever it shows comes from [`super::openapi`], and is escaped all the same.

use std::fmt::Write;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value};

use super::code::Code;
use super::openapi;
use super::reply::{self, Coded};
use crate::chain::sha256;
use crate::escape::html as escaped;

const STYLE: &str = include_str!("docs/docs.css");

struct Page {
    html: Bytes,
    policy: HeaderValue,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let style = STANDARD.encode(sha256(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    Page {
        html: html(&openapi::document()).into(),
        policy: HeaderValue::try_from(policy).expect("base64 is visible ASCII"),
    }
});

/// The page.
pub fn page() -> Coded {
    reply::json(Code::Ok, PAGE.html.clone())
        .with(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))
        .with(CONTENT_SECURITY_POLICY, PAGE.policy.clone())
}

/// A call, as the document has it.
struct Call<'a> {
    method: String,
    path: &'a str,
    described: &'a Value,
}

fn html(document: &Value) -> String {
    let mut calls = Vec::new();
    for (path, methods) in members(&document["paths"]) {
        for (method, described) in members(methods) {
            calls.push(Call { method: method.to_uppercase(), path, described });
        }
    }
    let mut page = String::new();
    head(&mut page, document);
    for (tag, title) in [("public", "Public listener"), ("operator", "Operator's listener")] {
        let of_tag = || calls.iter().filter(|call| call.described["tags"][0] == tag);
        let _ = write!(page, "<nav aria-label=\"{title}\"><h2>{title}</h2><ul>");
        for call in of_tag() {
            let id = escaped(text(&call.described["operationId"]));
            let path = escaped(call.path);
            let _ = write!(page, "<li><a href=\"#{id}\">{} {path}</a></li>", call.method);
        }
        page.push_str("</ul></nav>");
        of_tag().for_each(|call| show(&mut page, call));
    }
    page.push_str("</main></body></html>\n");
    page
}

fn head(page: &mut String, document: &Value) {
    let info = &document["info"];
    let title = escaped(text(&info["title"]));
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}: every call</title><style>{STYLE}</style></head><body><main>\
         <h1>{title} {}</h1><p>{}</p>\
         <p>The same for programs: <a href=\"/openapi.json\">openapi.json</a> (OpenAPI 3.1).</p>",
        escaped(text(&info["version"])),
        escaped(text(&info["description"])),
    );
}

fn show(page: &mut String, call: &Call<'_>) {
    let described = call.described;
    let id = escaped(text(&described["operationId"]));
    let (method, path) = (&call.method, escaped(call.path));
    let _ = write!(
        page,
        "<section aria-labelledby=\"{id}\"><h3 id=\"{id}\"><b>{method}</b> \
         <a href=\"#{id}\"><code>{path}</code></a></h3><p>{}</p>",
        escaped(text(&described["summary"])),
    );
    let who: Vec<&str> = items(&described["security"])
        .iter()
        .flat_map(|one| members(one).map(|(name, _)| name))
        .collect();
    if !who.is_empty() {
        let _ = write!(page, "<p class=\"who\">By: {}</p>", escaped(&who.join(", or ")));
    }
    parameters(page, items(&described["parameters"]));
    for (_, content) in members(&described["requestBody"]["content"]) {
        let example = &content["example"];
        let _ = write!(page, "<p>Body</p><pre tabindex=\"0\">{}</pre>", pretty(example));
    }
    answers(page, &described["responses"]);
    page.push_str("</section>");
}

fn parameters(page: &mut String, parameters: &[Value]) {
    if parameters.is_empty() {
        return;
    }
    page.push_str("<table><thead><tr><th>Takes</th><th>In</th><th></th></tr></thead><tbody>");
    for parameter in parameters {
        let required = if parameter["required"] == true { ", required" } else { "" };
        let _ = write!(
            page,
            "<tr><td><code>{}</code></td><td>{}{required}</td><td>{}</td></tr>",
            escaped(text(&parameter["name"])),
            escaped(text(&parameter["in"])),
            escaped(text(&parameter["description"])),
        );
    }
    page.push_str("</tbody></table>");
}

fn answers(page: &mut String, responses: &Value) {
    page.push_str("<table><thead><tr><th>Answers</th><th></th></tr></thead><tbody>");
    for (status, response) in members(responses) {
        let _ = write!(page, "<tr><td>{}</td><td>", escaped(status));
        for (kind, content) in members(&response["content"]) {
            if kind == "application/problem+json" {
                let codes: Vec<String> = members(&content["examples"])
                    .map(|(word, _)| format!("<code>{}</code>", escaped(word)))
                    .collect();
                let _ = write!(page, "<p>Problem: {}</p>", codes.join(", "));
                continue;
            }
            for (_, example) in members(&content["examples"]) {
                let _ = write!(page, "<pre tabindex=\"0\">{}</pre>", pretty(&example["value"]));
            }
            if let Some(example) = content["example"].as_str() {
                let _ = write!(page, "<pre tabindex=\"0\">{}</pre>", escaped(example));
            }
        }
        page.push_str("</td></tr>");
    }
    page.push_str("</tbody></table>");
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.as_object().map(Map::iter).into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn pretty(value: &Value) -> String {
    escaped(&serde_json::to_string_pretty(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_and_every_problem_is_on_the_page() {
        let (document, page) = (openapi::document(), html(&openapi::document()));
        for (path, methods) in members(&document["paths"]) {
            for (method, described) in members(methods) {
                let id = text(&described["operationId"]);
                assert!(page.contains(&format!("<h3 id=\"{id}\">")), "{method} {path}");
            }
        }
        let whole = document.to_string();
        for code in Code::ALL {
            let word = code.meaning().word;
            let problem = whole.contains(&format!("problem:{word}\""));
            assert!(!problem || page.contains(&format!("<code>{word}</code>")), "{word}");
        }
        assert!(!page.contains("<script"));
    }

    #[test]
    fn what_is_shown_is_text() {
        let hostile = serde_json::json!({
            "info": { "title": "<b>&", "version": "1", "description": "\"" },
            "paths": { "/<i>": { "get": {
                "operationId": "x\" onload=\"", "tags": ["public"], "summary": "</section>",
                "responses": { "200": { "content": { "text/plain": { "example": "<u>" } } } },
            } } },
        });
        let page = html(&hostile);
        for markup in ["<b>&", "<i>", "<u>", "x\" onload", "<p></section>"] {
            assert!(!page.contains(markup), "{markup}");
        }
    }
}
