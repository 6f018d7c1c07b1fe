//! What passes as a body, and what is said of what does not.

use rstest::rstest;

use super::*;

fn order(body: &[u8]) -> Result<(String, String), String> {
    match parse_order(body) {
        Ok((product, user)) => Ok((product.to_string(), user.to_string())),
        Err(refusal) => Err(details(refusal)),
    }
}

fn details(refusal: Refusal) -> String {
    let Refusal::InvalidRequest(errors) = refusal else { panic!("{refusal:?}") };
    assert!(!errors.is_empty());
    let lines = errors.iter().map(|error| format!("{} {}", error.field, error.message));
    lines.collect::<Vec<_>>().join("; ")
}

#[rstest]
#[case(r#"{"productId":"p-1","userId":"u-1"}"#)]
#[case(r#"{"userId":"u-1","productId":"p-1"}"#)]
#[case(" {\n\t\"productId\" : \"p-1\" ,\r\n\"userId\":\"u-1\" } \n")]
#[case(r#"{"product\u0049d":"\u0070-1","userId":"u-1"}"#)]
fn exactly_two_members_in_any_order_and_spelling(#[case] body: &str) {
    assert_eq!(order(body.as_bytes()), Ok(("p-1".to_owned(), "u-1".to_owned())));
}

const NOT_JSON: &str = "body must be one JSON object";
const EXACTLY: &str = "body must have exactly productId and userId";
const PATTERN: &str = "must match ^[a-z0-9-]+$";

#[rstest]
#[case::empty("", NOT_JSON)]
#[case::space(" ", NOT_JSON)]
#[case::null("null", NOT_JSON)]
#[case::array(r#"[{"productId":"p","userId":"u"}]"#, NOT_JSON)]
#[case::string(r#""productId""#, NOT_JSON)]
#[case::cut(r#"{"productId":"p","userId":"u""#, NOT_JSON)]
#[case::trailing(r#"{"productId":"p","userId":"u"}x"#, NOT_JSON)]
#[case::second(r#"{"productId":"p","userId":"u"}{}"#, NOT_JSON)]
#[case::nul("{\"productId\":\"p\",\"userId\":\"u\"}\0", NOT_JSON)]
#[case::bom("\u{feff}{\"productId\":\"p\",\"userId\":\"u\"}", NOT_JSON)]
#[case::comma(r#"{"productId":"p","userId":"u",}"#, NOT_JSON)]
#[case::single_quotes("{'productId':'p','userId':'u'}", NOT_JSON)]
#[case::comment(r#"{/**/"productId":"p","userId":"u"}"#, NOT_JSON)]
#[case::bare_name(r#"{productId:"p",userId:"u"}"#, NOT_JSON)]
#[case::control("{\"productId\":\"p\n\",\"userId\":\"u\"}", NOT_JSON)]
#[case::lone_surrogate(r#"{"productId":"\ud800","userId":"u"}"#, NOT_JSON)]
#[case::nan(r#"{"productId":NaN,"userId":"u"}"#, NOT_JSON)]
#[case::form("productId=p&userId=u", NOT_JSON)]
#[case::no_member("{}", "productId is required; userId is required")]
#[case::one_member(r#"{"productId":"p"}"#, "userId is required")]
#[case::unknown(r#"{"productId":"p","userId":"u","price":1}"#, EXACTLY)]
#[case::unknown_deep(r#"{"productId":"p","userId":"u","x":{"a":[1,{"b":null}]}}"#, EXACTLY)]
#[case::wrong_case(r#"{"productid":"p","userId":"u"}"#, EXACTLY)]
#[case::proto(r#"{"productId":"p","userId":"u","__proto__":{}}"#, EXACTLY)]
#[case::twice(r#"{"productId":"p","productId":"p","userId":"u"}"#, "productId must come once")]
#[case::twice_escaped(
    r#"{"userId":"u","productId":"p","user\u0049d":"v"}"#,
    "userId must come once"
)]
#[case::twice_other_type(
    r#"{"productId":null,"productId":"p","userId":"u"}"#,
    "productId must come once"
)]
#[case::number(r#"{"productId":1,"userId":"u"}"#, "productId must be a string")]
#[case::negative(r#"{"productId":-1,"userId":"u"}"#, "productId must be a string")]
#[case::float(r#"{"productId":1.5,"userId":"u"}"#, "productId must be a string")]
#[case::null_member(r#"{"productId":null,"userId":"u"}"#, "productId must be a string")]
#[case::both(
    r#"{"productId":true,"userId":["u"]}"#,
    "productId must be a string; userId must be a string"
)]
#[case::object(r#"{"productId":{"$gt":""},"userId":"u"}"#, "productId must be a string")]
#[case::empty_id(r#"{"productId":"","userId":"u"}"#, "productId must not be empty")]
#[case::capitals(r#"{"productId":"P","userId":"u"}"#, &format!("productId {PATTERN}"))]
#[case::space_in(r#"{"productId":"p ","userId":"u"}"#, &format!("productId {PATTERN}"))]
#[case::sql(r#"{"productId":"p","userId":"' or 1=1 --"}"#, &format!("userId {PATTERN}"))]
#[case::escaped_nul(r#"{"productId":"p","userId":"u\u0000"}"#, &format!("userId {PATTERN}"))]
#[case::wide(r#"{"productId":"p","userId":"ｕ"}"#, &format!("userId {PATTERN}"))]
fn everything_else_is_named_and_never_echoed(#[case] body: &str, #[case] expected: &str) {
    assert_eq!(order(body.as_bytes()), Err(expected.to_owned()));
}

#[test]
fn invalid_utf_8_is_refused_wherever_it_stands() {
    let good = br#"{"productId":"pp","userId":"uu"}"#;
    for position in 0..good.len() {
        for byte in [0x80, 0xc0, 0xff] {
            let mut bad = good.to_vec();
            bad[position] = byte;
            assert!(parse_order(&bad).is_err(), "{position}");
        }
    }
}

#[test]
fn length_and_depth_are_bounded() {
    let body = |id: &str| format!(r#"{{"productId":"{id}","userId":"u"}}"#);
    assert!(order(body(&"a".repeat(50)).as_bytes()).is_ok());
    let too_long = Err("productId must be at most 50 characters".to_owned());
    assert_eq!(order(body(&"a".repeat(51)).as_bytes()), too_long);
    let escaped =
        body(&r"\u0061".repeat(50)).replace("\"u\"", &format!("\"{}\"", r"\u0061".repeat(50)));
    assert!(order(escaped.as_bytes()).is_ok());
    let padded = format!("{}{}", body("a"), " ".repeat(BODY_BYTES_MAX));
    assert_eq!(order(padded.as_bytes()), Err("body must be at most 1024 bytes".to_owned()));
    let deep = format!(r#"{{"productId":{}"#, "[".repeat(900));
    assert_eq!(order(deep.as_bytes()), Err(NOT_JSON.to_owned()));
}

#[test]
fn the_bodies_of_a_session_call() {
    assert!(parse_session(br#"{"userId":"u"}"#).is_ok());
    assert!(parse_session(br#"{"userId":"u","productId":"p"}"#).is_err());
    assert!(parse_session(b"{}").is_err());
    for good in ["", "{}", " { } "] {
        assert!(parse_empty(good.as_bytes()).is_ok());
    }
    for (bad, why) in [(r#"{"userId":"u"}"#, "body must have no members"), ("[]", NOT_JSON)] {
        assert_eq!(parse_empty(bad.as_bytes()).map_err(details), Err(why.to_owned()));
    }
}
