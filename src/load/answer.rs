//! What an answer of the contract says, whatever its status code: one word, and the order that it names.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::wire::Response;
use crate::sale::OrderId;

/// The parts of an answer that a sender acts on or counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Status code.
    pub status: u16,
    /// The status word of a plain answer (`success`, `sold_out`), with the reason of one that is ignored
    /// (`ignored_same_key`), or the `code` of a problem; empty when the body says neither.
    pub word: Cow<'a, str>,
    /// The order that it names.
    pub order_id: Option<OrderId>,
    /// The server's clock (Unix milliseconds), where it says so.
    pub server_time_ms: Option<u64>,
    /// When to ask again, in seconds.
    pub retry_after_s: Option<u64>,
    /// When the sale opens (Unix milliseconds).
    pub opens_at_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    // A word in plain answers, a number in problems.
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    code: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    order_id: Option<&'a RawValue>,
    server_time: Option<u64>,
    opens_at: Option<u64>,
}

impl<'a> Answer<'a> {
    /// Reads an answer; a body that is not of the contract is an answer without a word.
    pub fn read(response: &Response<'a>) -> Self {
        let (mut answer, body) = Self::begin(response);
        let Some(body) = body else { return answer };
        if let Some(id) = body.order_id {
            let Ok(id) = serde_json::from_str(id.get()) else { return answer };
            answer.order_id = Some(id);
        }
        answer.server_time_ms = body.server_time;
        answer.opens_at_ms = body.opens_at;
        answer.word = word(body);
        answer
    }

    /// Reads an answer of a server that keeps the plain contract alone: what its order ids look like is its
    /// own business, and they are not looked at.
    pub fn read_plain(response: &Response<'a>) -> Self {
        let (mut answer, body) = Self::begin(response);
        answer.word = body.map(word).unwrap_or_default();
        answer
    }

    fn begin(response: &Response<'a>) -> (Self, Option<Body<'a>>) {
        let answer = Self {
            status: response.status,
            word: Cow::Borrowed(""),
            order_id: None,
            server_time_ms: None,
            retry_after_s: response.retry_after_s,
            opens_at_ms: None,
        };
        (answer, serde_json::from_slice(response.body).ok())
    }

    /// Whether it says "Order accepted".
    pub fn is_accepted(&self) -> bool {
        self.status == 200 && self.word == "success"
    }

    /// Whether the attempt's fate is open, so that only a retry with the same key settles it.
    pub fn is_open(&self) -> bool {
        matches!(self.status, 202 | 429) || self.status >= 500
    }
}

fn word(body: Body<'_>) -> Cow<'_, str> {
    if let Some(code) = body.code {
        return code;
    }
    let status = body.status.map_or("", |raw| raw.get());
    let Some(word) = status.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed("");
    };
    match body.reason {
        Some(reason) if word == "ignored" => Cow::Owned(format!("ignored_{reason}")),
        _ => Cow::Borrowed(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> (String, bool, bool) {
        let response =
            Response { status, retry_after_s: None, close: false, body: body.as_bytes() };
        let answer = Answer::read(&response);
        (answer.word.to_string(), answer.is_accepted(), answer.is_open())
    }

    #[test]
    fn the_word_is_the_status_of_plain_answers_and_the_code_of_problems() {
        let id = "ffffffff-ffff-8fff-bfff-ffffffffffff";
        let success = format!(r#"{{"status":"success","msg":"Order accepted","orderId":"{id}"}}"#);
        assert_eq!(read(200, &success), ("success".into(), true, false));
        let repeat = format!(r#"{{"status":"ignored","reason":"same_key","orderId":"{id}"}}"#);
        assert_eq!(read(200, &repeat), ("ignored_same_key".into(), false, false));
        assert_eq!(read(409, r#"{"status":"sold_out"}"#), ("sold_out".into(), false, false));
        let problem = r#"{"type":"about:blank","status":503,"code":"busy","retry":"same_key"}"#;
        assert_eq!(read(503, problem), ("busy".into(), false, true));
    }

    #[test]
    fn other_bodies_have_no_word() {
        assert_eq!(read(502, "<html>"), (String::new(), false, true));
        assert_eq!(read(400, r#"{"status":400}"#), (String::new(), false, false));
        assert!(!read(200, r#"{"status":"success","orderId":"no id"}"#).1);
    }

    #[test]
    fn a_plain_server_s_order_ids_are_its_own_business() {
        let read_plain = |status, body: &str| {
            let response =
                Response { status, retry_after_s: None, close: false, body: body.as_bytes() };
            let answer = Answer::read_plain(&response);
            (answer.word.to_string(), answer.is_accepted(), answer.order_id)
        };
        let body = r#"{"status":"success","orderId":"ORD-17"}"#;
        assert_eq!(read_plain(200, body), ("success".into(), true, None));
        assert_eq!(read_plain(409, r#"{"status":"sold_out"}"#), ("sold_out".into(), false, None));
        assert_eq!(read_plain(200, "ok"), (String::new(), false, None));
    }
}
