//! Traces: where spans go, and how many requests are sampled.
//!
//! The keys are those of OpenTelemetry's own variables, which set them as well. Without an endpoint there
//! are no traces, and nothing else here matters.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::check::{Found, crosses_in_clear, service_uri};

/// The one protocol that is spoken.
pub const PROTOCOL: &str = "http/protobuf";
/// What an endpoint is completed by, as OpenTelemetry has it.
const PATH: &str = "/v1/traces";

/// Where spans go, and which requests have them.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// The collector, `http://host:4318`; `/v1/traces` is added. Empty is off.
    pub endpoint: String,
    /// [`PROTOCOL`]; another is refused.
    pub protocol: String,
    /// Headers for the collector, `name=value[,name=value]`: mostly a token.
    pub headers: Option<SecretString>,
    /// Certificates (PEM) that the collector's must descend from; the system's unless set.
    pub ca_file: Option<PathBuf>,
    /// How long a call of the collector may take, in milliseconds.
    pub timeout_ms: u64,
    /// What the collector knows this service as.
    pub service_name: String,
    /// One of OpenTelemetry's samplers, see [`Traces::rule`].
    pub sampler: String,
    /// The share of requests that a sampler by ratio takes, 0 to 1.
    pub ratio: String,
    /// Sampled requests a second; as many again of those whose callers ask for it.
    pub per_second_max: u32,
    /// Spans that wait for the collector; further ones are dropped and counted.
    pub queue_spans_max: usize,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            protocol: PROTOCOL.to_owned(),
            headers: None,
            ca_file: None,
            timeout_ms: 10_000,
            service_name: "flux-gate".to_owned(),
            sampler: "parentbased_traceidratio".to_owned(),
            ratio: "0.01".to_owned(),
            per_second_max: 20,
            queue_spans_max: 4_096,
        }
    }
}

/// Which requests are sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Whether a caller's own decision holds.
    pub parent_based: bool,
    /// The share of the others, 0 to 1.
    pub ratio: f64,
}

impl Traces {
    /// Whether there are traces.
    pub fn is_on(&self) -> bool {
        !self.endpoint.is_empty()
    }

    /// Where spans are sent; `None` if the endpoint is no address.
    pub fn target(&self) -> Option<http::Uri> {
        let base = self.endpoint.trim_end_matches('/');
        service_uri(&format!("{base}{PATH}"))
    }

    /// The rule that sampler and ratio come to; `None` if one of them is not known.
    pub fn rule(&self) -> Option<Rule> {
        let ratio: f64 = self.ratio.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))?;
        let name = self.sampler.strip_prefix("parentbased_");
        let ratio = match name.unwrap_or(&self.sampler) {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => ratio,
            _ => return None,
        };
        Some(Rule { parent_based: name.is_some(), ratio })
    }

    /// The headers by name and value; `None` if they cannot be sent.
    pub fn header_pairs(&self) -> Option<Vec<(http::HeaderName, http::HeaderValue)>> {
        let text = self.headers.as_ref().map_or("", |headers| headers.expose_secret());
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let pair = |part: &str| {
            let (name, value) = part.split_once('=')?;
            let mut value = http::HeaderValue::try_from(decoded(value.trim())?).ok()?;
            value.set_sensitive(true);
            Some((name.trim().parse().ok()?, value))
        };
        parts.map(pair).collect()
    }
}

/// The text with its percent-encoded bytes decoded, as in W3C baggage.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// The checks that need no connection.
pub(super) fn check(found: &mut Found, traces: &Traces) {
    if !traces.is_on() {
        return;
    }
    let Some(target) = traces.target() else {
        let mend = "write http://host:4318 or https://host, without a user and without a query";
        return found.error("traces.endpoint", "is not a collector's address", mend);
    };
    if traces.protocol != PROTOCOL {
        let what = format!("is `{}`", traces.protocol);
        let mend = format!("use {PROTOCOL} and the collector's port for it, mostly 4318");
        found.error("traces.protocol", what, mend);
    }
    if traces.rule().is_none() {
        let what = "is not a known sampler, or traces.ratio is not a number from 0 to 1";
        let mend = "use always_on, always_off or traceidratio, each also after parentbased_";
        found.error("traces.sampler", what, mend);
    }
    if traces.header_pairs().is_none() {
        let mend = "write name=value[,name=value]";
        found.error("traces.headers", "cannot be sent", mend);
    }
    if traces.headers.is_some() && crosses_in_clear(&target) {
        let mend = "use https://, or a collector on this machine";
        found.error("traces.headers", "would cross the network in clear", mend);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(change: impl FnOnce(&mut Traces)) -> Vec<String> {
        let mut traces =
            Traces { endpoint: "http://localhost:4318".to_owned(), ..Traces::default() };
        change(&mut traces);
        let mut found = Found::default();
        check(&mut found, &traces);
        found.errors.iter().map(|problem| problem.key.clone()).collect()
    }

    #[test]
    fn an_endpoint_is_completed_by_the_path() {
        let target = |endpoint: &str| {
            let traces = Traces { endpoint: endpoint.to_owned(), ..Traces::default() };
            traces.target().map(|uri| uri.to_string())
        };
        let known = Some("http://localhost:4318/v1/traces");
        assert_eq!(target("http://localhost:4318").as_deref(), known);
        assert_eq!(target("http://localhost:4318/").as_deref(), known);
        assert_eq!(target("https://[::1]/otlp").as_deref(), Some("https://[::1]/otlp/v1/traces"));
        for bad in ["localhost:4318", "ftp://h", "http://u:p@h", "http://h?a=b", "http://", "http:"]
        {
            assert_eq!(target(bad), None, "{bad}");
        }
    }

    #[test]
    fn samplers_are_opentelemetrys() {
        let rule = |sampler: &str, ratio: &str| {
            let (sampler, ratio) = (sampler.to_owned(), ratio.to_owned());
            Traces { sampler, ratio, ..Traces::default() }.rule()
        };
        let some = |parent_based, ratio| Some(Rule { parent_based, ratio });
        assert_eq!(rule("always_on", "0"), some(false, 1.0));
        assert_eq!(rule("parentbased_always_off", "1"), some(true, 0.0));
        assert_eq!(rule("parentbased_traceidratio", "0.25"), some(true, 0.25));
        for (sampler, ratio) in
            [("jaeger_remote", "1"), ("traceidratio", "2"), ("traceidratio", "NaN")]
        {
            assert_eq!(rule(sampler, ratio), None, "{sampler} {ratio}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_and_a_secret_stays_off_the_network() {
        assert!(problems(|_| {}).is_empty());
        assert_eq!(problems(|t| t.protocol = "grpc".to_owned()), ["traces.protocol"]);
        assert_eq!(problems(|t| t.sampler = "some".to_owned()), ["traces.sampler"]);
        assert_eq!(problems(|t| t.headers = Some("token".into())), ["traces.headers"]);
        let token = || Some("authorization=Bearer%20abc".into());
        assert!(problems(|t| t.headers = token()).is_empty());
        let far = |t: &mut Traces| {
            t.headers = token();
            t.endpoint = "http://collector:4318".to_owned();
        };
        assert_eq!(problems(far), ["traces.headers"]);
        assert!(
            problems(|t| {
                far(t);
                t.endpoint = String::new()
            })
            .is_empty(),
            "off"
        );
    }

    #[test]
    fn headers_are_percent_decoded() {
        let headers = Some("Authorization=Bearer%20a%3Db, x-scope = t ".into());
        let pairs = Traces { headers, ..Traces::default() }.header_pairs().unwrap();
        let shown: Vec<_> = pairs.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        assert_eq!(shown, [("authorization", "Bearer a=b"), ("x-scope", "t")]);
        assert!(decoded("a%4").is_none() && decoded("%zz").is_none() && decoded("%é").is_none());
    }
}
