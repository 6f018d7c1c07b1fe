//! The page: files that are built in, with headers that let it use nothing but themselves.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// What the page may do: load its own files, call its own listener; no text becomes code or markup.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";
/// Of whatever is no page.
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Path, media type, contents.
const FILES: [(&str, &str, &str); 8] = [
    ("/", "text/html; charset=utf-8", include_str!("assets/console.html")),
    ("/console/console.css", "text/css; charset=utf-8", include_str!("assets/console.css")),
    ("/console/icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
    ("/console/main.js", JAVASCRIPT, include_str!("assets/main.js")),
    ("/console/api.js", JAVASCRIPT, include_str!("assets/api.js")),
    ("/console/view.js", JAVASCRIPT, include_str!("assets/view.js")),
    ("/console/charts.js", JAVASCRIPT, include_str!("assets/charts.js")),
    ("/console/actions.js", JAVASCRIPT, include_str!("assets/actions.js")),
];
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Routes of all files. They are for everybody: what they show comes by calls that need a session.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.into_iter().fold(Router::new(), |router, (path, kind, text)| {
        router.route(path, get(move || std::future::ready(file(kind, text))))
    })
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    // A new version of the program has a new page.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Headers of every answer of the operator's listener: in no frame, for no other origin, as what it is.
pub async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut default = |name: &'static str, value: &'static str| {
        let name = HeaderName::from_static(name);
        set(headers, name, HeaderValue::from_static(value));
    };
    default("content-security-policy", DATA_POLICY);
    default("x-frame-options", "DENY");
    default("x-content-type-options", "nosniff");
    default("referrer-policy", "no-referrer");
    default("cross-origin-opener-policy", "same-origin");
    default("cross-origin-resource-policy", "same-origin");
    default("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()");
    default("cache-control", "no-store");
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    headers.entry(name).or_insert(value);
}
