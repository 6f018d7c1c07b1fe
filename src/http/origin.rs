//! The origin of a page that calls, held against the host that it calls.

use http::header::HOST;
use http::{HeaderMap, Uri};

/// The host that was called: of HTTP/2 it stands beside the path. Empty if nobody said.
pub fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a [u8] {
    match uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => headers.get(HOST).map(|host| host.as_bytes()).unwrap_or_default(),
    }
}

/// Whether an origin is that of the host that was called. A listener without TLS may stand behind a proxy that
/// has it; what answers at the host's port answers by one scheme alone.
pub fn is_own(origin: &[u8], host: &[u8], tls: bool) -> bool {
    let https = origin.strip_prefix(b"https://");
    let http = if tls { None } else { origin.strip_prefix(b"http://") };
    let named = https.or(http).unwrap_or_default();
    !host.is_empty() && named.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_tls_an_origin_in_clear_is_another_one() {
        assert!(is_own(b"https://gate.test", b"gate.test", true));
        assert!(is_own(b"https://gate.test", b"gate.test", false), "behind a proxy with TLS");
        assert!(!is_own(b"http://gate.test", b"gate.test", true));
        assert!(!is_own(b"https://", b"", false));
    }
}
