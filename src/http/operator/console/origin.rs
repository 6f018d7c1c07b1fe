//! Where a call with a cookie comes from. A browser adds cookies to calls of any page, so a call with a
//! session is answered only if the browser says that the page is this listener's own.
//!
//! `SameSite=Strict` keeps the cookie from other sites already; but a site is not an origin: a page of another
//! port of this host is of the same site. So what counts here is `Origin` and `Sec-Fetch-Site`.

use http::header::{CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, Method, Uri};

use crate::guard::headers::is_json;
use crate::http::origin::{host, is_own};

/// Checks a call that carries a session, or that begins one.
///
/// # Errors
/// What is wrong with it, for an answer: nothing may be done then.
pub fn check(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    tls: bool,
) -> Result<(), &'static str> {
    let reads = method == Method::GET || method == Method::HEAD;
    let mut sites = headers.get_all("sec-fetch-site").iter();
    match (sites.next().map(|site| site.as_bytes()), sites.next()) {
        (None | Some(b"same-origin"), None) => {}
        // Somebody typed the address, or came by a bookmark.
        (Some(b"none"), None) if reads => {}
        _ => return Err("the call comes from another origin"),
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        // Browsers send it with every call that may change something.
        (None, None) if reads => {}
        (None, None) => return Err("a call with a session needs the header Origin"),
        (Some(origin), None) if is_own(origin.as_bytes(), host(uri, headers), tls) => {}
        _ => return Err("the call comes from another origin"),
    }
    // A form can post without being asked first, but not this.
    match headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes()) {
        Some(kind) if is_json(kind) => Ok(()),
        None if *method != Method::POST => Ok(()),
        _ => Err("a call with a session needs Content-Type: application/json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: (&str, &str) = ("content-type", "application/json");
    const OWN: (&str, &str) = ("origin", "http://127.0.0.1:3001");

    fn call(method: &str, headers: &[(&str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        map.insert("host", "127.0.0.1:3001".parse().unwrap());
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        let method = method.parse().unwrap();
        check(&method, &Uri::from_static("/admin/limits"), &map, false).is_ok()
    }

    #[test]
    fn a_change_needs_the_listeners_own_origin() {
        assert!(call("POST", &[OWN, JSON]));
        assert!(call("POST", &[OWN, JSON, ("sec-fetch-site", "same-origin")]));
        assert!(!call("POST", &[JSON]), "no origin");
        for other in [
            "null",
            "",
            "http://127.0.0.1:3000",
            "http://127.0.0.1",
            "http://localhost:3001",
            "http://127.0.0.1:3001.evil.test",
            "http://127.0.0.1:30011",
            "http://evil.test",
            "http://127.0.0.1:3001/",
            "127.0.0.1:3001",
            "file://127.0.0.1:3001",
        ] {
            assert!(!call("POST", &[("origin", other), JSON]), "{other}");
        }
        assert!(!call("POST", &[OWN, OWN, JSON]), "two origins");
        for site in ["cross-site", "same-site", "none", ""] {
            assert!(!call("POST", &[OWN, JSON, ("sec-fetch-site", site)]), "{site}");
        }
    }

    #[test]
    fn what_a_form_can_send_is_refused() {
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
            assert!(!call("POST", &[OWN, ("content-type", kind)]), "{kind}");
        }
        assert!(!call("POST", &[OWN]));
        assert!(call("POST", &[OWN, ("content-type", "application/json; charset=utf-8")]));
        assert!(call("DELETE", &[OWN]));
        assert!(!call("DELETE", &[]));
    }

    #[test]
    fn reading_needs_no_origin_but_no_other_one() {
        assert!(call("GET", &[]));
        assert!(call("GET", &[("sec-fetch-site", "none")]));
        assert!(!call("GET", &[("sec-fetch-site", "same-site")]));
        assert!(!call("GET", &[("origin", "http://127.0.0.1:3000")]));
    }
}
