//! The headers that the guard reads, each once.
//!
//! A header that must stand alone and comes twice is refused: two parsers on the way might each believe
//! another one. Names are parsed once, here: a lookup by text would parse it every time.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::guard::refusal::Refusal;
use crate::sale::IdempotencyKey;

/// An API client's id.
pub static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// When the request was made, in Unix milliseconds.
pub static X_REQUEST_TIME: HeaderName = HeaderName::from_static("x-request-time");
/// The signature, in hex.
pub static X_SIGNATURE: HeaderName = HeaderName::from_static("x-signature");
/// The client's name for one attempt.
pub static X_IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("x-idempotency-key");
/// The same by its standard name (draft-ietf-httpapi-idempotency-key-header).
pub static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// What the client says of its device: a signal, no proof.
pub static X_DEVICE_FINGERPRINT: HeaderName = HeaderName::from_static("x-device-fingerprint");

/// How far `x-request-time` may be from the node's clock, both ways, in milliseconds.
pub const REQUEST_TIME_WINDOW_MS: u64 = 30_000;

/// Digits of a Unix time in milliseconds at most: enough until the year 5138.
pub const TIME_DIGITS_MAX: usize = 14;

/// What a header that may come once holds.
pub enum Single<'a> {
    /// It is not there.
    Absent,
    /// It is there once.
    Once(&'a HeaderValue),
    /// It is there more than once.
    Repeated,
}

/// Reads a header that may come once.
pub fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Single<'a> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Single::Absent,
        (Some(value), None) => Single::Once(value),
        (Some(_), Some(_)) => Single::Repeated,
    }
}

/// Who a request says that it is from.
pub enum Credentials<'a> {
    /// `Authorization: Bearer …`.
    Bearer(&'a str),
    /// `x-api-key: …`.
    ApiKey(&'a str),
}

/// Reads the credentials: exactly one of the two.
///
/// # Errors
/// [`Refusal::Unauthenticated`] for none, both, a repeated or an unreadable one.
pub fn credentials(headers: &HeaderMap) -> Result<Credentials<'_>, Refusal> {
    let refused = |why| Err(Refusal::Unauthenticated(why));
    let bearer = single(headers, &header::AUTHORIZATION);
    match (bearer, single(headers, &X_API_KEY)) {
        (Single::Absent, Single::Absent) => refused(
            "Send a session pass (Authorization: Bearer) or an API client's id (x-api-key).",
        ),
        (Single::Once(value), Single::Absent) => match value.to_str().ok().and_then(bearer_token) {
            Some(token) => Ok(Credentials::Bearer(token)),
            None => refused("Authorization must be: Bearer, one space, the token."),
        },
        (Single::Absent, Single::Once(value)) => match value.to_str() {
            Ok(id) => Ok(Credentials::ApiKey(id)),
            Err(_) => refused("x-api-key must be an API client's id."),
        },
        (Single::Repeated, _) | (_, Single::Repeated) => {
            refused("Authorization and x-api-key may come once.")
        }
        (Single::Once(_), Single::Once(_)) => refused("Send Authorization or x-api-key, not both."),
    }
}

fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Reads `x-request-time` and checks it against the node's clock; gives the bytes that were signed.
///
/// # Errors
/// [`Refusal::RequestExpired`] for one that is missing, repeated, not all digits, or more than
/// [`REQUEST_TIME_WINDOW_MS`] away, in the past or the future.
pub fn request_time(headers: &HeaderMap, now_ms: u64) -> Result<&[u8], Refusal> {
    let expired = Refusal::RequestExpired { server_time_ms: now_ms };
    let Single::Once(value) = single(headers, &X_REQUEST_TIME) else { return Err(expired) };
    match parse_time_ms(value.as_bytes()) {
        Some(time_ms) if time_ms.abs_diff(now_ms) <= REQUEST_TIME_WINDOW_MS => Ok(value.as_bytes()),
        _ => Err(expired),
    }
}

/// Reads a Unix time in milliseconds: 1 to 14 digits and nothing else.
pub fn parse_time_ms(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > TIME_DIGITS_MAX {
        return None;
    }
    text.iter()
        .try_fold(0, |time, byte| byte.is_ascii_digit().then(|| time * 10 + u64::from(byte - b'0')))
}

/// Reads `x-signature`: one value; what it must be is checked by the caller.
pub fn signature(headers: &HeaderMap) -> Option<&[u8]> {
    match single(headers, &X_SIGNATURE) {
        Single::Once(value) => Some(value.as_bytes()),
        Single::Absent | Single::Repeated => None,
    }
}

/// The idempotency key as it is signed: the first value without its quotes, empty where there is none.
pub fn signed_key(headers: &HeaderMap) -> &[u8] {
    let first = headers.get(&X_IDEMPOTENCY_KEY).or_else(|| headers.get(&IDEMPOTENCY_KEY));
    first.map_or(&[], |value| unquoted(value.as_bytes()))
}

/// Reads the idempotency key: one header, once.
///
/// # Errors
/// [`Refusal::MissingIdempotencyKey`] for none, more than one (equal or not) and one that does not fit the
/// pattern.
pub fn idempotency_key(headers: &HeaderMap) -> Result<IdempotencyKey, Refusal> {
    let refused = |why| Err(Refusal::MissingIdempotencyKey(why));
    let value = match (single(headers, &X_IDEMPOTENCY_KEY), single(headers, &IDEMPOTENCY_KEY)) {
        (Single::Absent, Single::Absent) => return refused("Send x-idempotency-key."),
        (Single::Once(value), Single::Absent) | (Single::Absent, Single::Once(value)) => value,
        _ => return refused("Send one idempotency key, once."),
    };
    let text = std::str::from_utf8(unquoted(value.as_bytes())).unwrap_or_default();
    match text.parse() {
        Ok(key) => Ok(key),
        Err(_) => refused("The idempotency key must match ^[A-Za-z0-9_-]{1,64}$."),
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    inner.unwrap_or(value)
}

/// Checks that a body, if there is one, is JSON as it stands: no content type or `application/json` (with
/// any parameters: JSON is UTF-8), and no content coding.
///
/// # Errors
/// [`Refusal::UnsupportedMediaType`].
pub fn json_content(headers: &HeaderMap) -> Result<(), Refusal> {
    let plain = match single(headers, &header::CONTENT_ENCODING) {
        Single::Absent => true,
        Single::Once(coding) => coding.as_bytes().eq_ignore_ascii_case(b"identity"),
        Single::Repeated => false,
    };
    let json = match single(headers, &header::CONTENT_TYPE) {
        Single::Absent => true,
        Single::Once(value) => is_json(value.as_bytes()),
        Single::Repeated => false,
    };
    if plain && json { Ok(()) } else { Err(Refusal::UnsupportedMediaType) }
}

/// Whether a content type is JSON, with any parameters.
pub fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[rstest]
    #[case("1000000030000", true)]
    #[case("1000000030001", false)]
    #[case("999999970000", true)]
    #[case("999999969999", false)]
    #[case("", false)]
    #[case("+1000000000000", false)]
    #[case("-1", false)]
    #[case("1000000000000.0", false)]
    #[case("1e12", false)]
    #[case("1000000000", false)]
    #[case("01000000000000", true)]
    #[case("001000000000000", false)]
    #[case("99999999999999999999999999", false)]
    #[case("１000000000000", false)]
    #[case("1000000000000,1000000000000", false)]
    fn the_time_is_all_digits_within_30_s_both_ways(#[case] value: &str, #[case] good: bool) {
        const NOW_MS: u64 = 1_000_000_000_000;
        let headers = headers(&[("x-request-time", value)]);
        let expired = Err(Refusal::RequestExpired { server_time_ms: NOW_MS });
        let expected = if good { Ok(value.as_bytes()) } else { expired };
        assert_eq!(request_time(&headers, NOW_MS), expected);
    }

    #[test]
    fn a_missing_or_repeated_time_is_expired() {
        let twice = headers(&[("x-request-time", "5"), ("x-request-time", "5")]);
        for bad in [HeaderMap::new(), twice] {
            let expired = Err(Refusal::RequestExpired { server_time_ms: 5 });
            assert_eq!(request_time(&bad, 5), expired);
        }
    }

    #[rstest]
    #[case(&[("x-idempotency-key", "a-1_Z")], Some("a-1_Z"), "a-1_Z")]
    #[case(&[("idempotency-key", "\"a\"")], Some("a"), "a")]
    #[case(&[("x-idempotency-key", "\"a")], None, "\"a")]
    #[case(&[("x-idempotency-key", "\"")], None, "\"")]
    #[case(&[("x-idempotency-key", "\"\"a\"\"")], None, "\"a\"")]
    #[case(&[], None, "")]
    #[case(&[("x-idempotency-key", "")], None, "")]
    #[case(&[("x-idempotency-key", "a b")], None, "a b")]
    #[case(&[("x-idempotency-key", "ä")], None, "ä")]
    #[case(&[("x-idempotency-key", "a"), ("x-idempotency-key", "a")], None, "a")]
    #[case(&[("idempotency-key", "b"), ("x-idempotency-key", "a")], None, "a")]
    #[case(&[("idempotency-key", "a"), ("x-idempotency-key", "a")], None, "a")]
    fn one_idempotency_key_of_either_name_without_quotes(
        #[case] lines: &[(&'static str, &str)],
        #[case] key: Option<&str>,
        #[case] signed: &str,
    ) {
        let headers = headers(lines);
        assert_eq!(idempotency_key(&headers).ok().as_ref().map(IdempotencyKey::as_str), key);
        assert_eq!(signed_key(&headers), signed.as_bytes());
    }

    #[rstest]
    #[case(&[("authorization", "Bearer abc")], Some("bearer abc"))]
    #[case(&[("authorization", "bEARER abc")], Some("bearer abc"))]
    #[case(&[("authorization", "Bearer")], None)]
    #[case(&[("authorization", "Bearer ")], None)]
    #[case(&[("authorization", "Basic abc")], None)]
    #[case(&[("authorization", "Bearer ä")], None)]
    #[case(&[("authorization", "Bearer a"), ("authorization", "Bearer a")], None)]
    #[case(&[("x-api-key", "shop")], Some("client shop"))]
    #[case(&[("x-api-key", "shop"), ("x-api-key", "shop")], None)]
    #[case(&[("x-api-key", "shop"), ("authorization", "Bearer abc")], None)]
    #[case(&[], None)]
    fn exactly_one_kind_of_credentials_once(
        #[case] lines: &[(&'static str, &str)],
        #[case] expected: Option<&str>,
    ) {
        let headers = headers(lines);
        let found = credentials(&headers).ok().map(|found| match found {
            Credentials::Bearer(token) => format!("bearer {token}"),
            Credentials::ApiKey(id) => format!("client {id}"),
        });
        assert_eq!(found.as_deref(), expected);
    }

    #[rstest]
    #[case(&[], true)]
    #[case(&[("content-type", "application/json")], true)]
    #[case(&[("content-type", "Application/JSON ; charset=utf-8")], true)]
    #[case(&[("content-encoding", "identity")], true)]
    #[case(&[("content-type", "")], false)]
    #[case(&[("content-type", "text/plain")], false)]
    #[case(&[("content-type", "application/jsonx")], false)]
    #[case(&[("content-type", "application/x-www-form-urlencoded")], false)]
    #[case(&[("content-type", "application/json"), ("content-type", "application/json")], false)]
    #[case(&[("content-type", "application/json"), ("content-encoding", "gzip")], false)]
    fn the_content_is_json_as_it_stands(
        #[case] lines: &[(&'static str, &str)],
        #[case] good: bool,
    ) {
        assert_eq!(json_content(&headers(lines)).is_ok(), good);
    }
}
