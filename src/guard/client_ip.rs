//! Whose address a request counts against.
//!
//! The peer's, unless the peer is a trusted proxy: then the hops that the proxies wrote are walked from
//! right (the nearest) to left, and the first that is not a trusted proxy is the client. What stands left
//! of it the client may have written itself. A hop that is no address stops the walk: the request counts
//! against the proxy that reported it.
//!
//! `X-Forwarded-For` is read where it is present, else `Forwarded` (RFC 7239). A proxy that writes only
//! `Forwarded` must remove the other from what it passes on, or its clients could choose their address.

use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv4Net};

/// Hops that are walked at most; the last of them is the client then.
pub const HOPS_MAX: usize = 16;

/// The name of the customary forwarding header.
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Peers whose forwarding headers are believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Takes the configured networks.
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.iter().copied().map(canonical_net).collect())
    }

    /// Whether an address, in its canonical form, is one of theirs.
    pub fn contain(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&ip))
    }

    /// The client's address for a request of `peer` with these headers. Never fails: whatever the headers
    /// hold, the answer is the peer or a hop that a trusted proxy wrote.
    pub fn client_ip(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contain(peer) {
            return peer;
        }
        if headers.contains_key(&X_FORWARDED_FOR) {
            self.walk(peer, hops(headers, &X_FORWARDED_FOR).map(|hop| parse_hop(hop?)))
        } else {
            self.walk(peer, hops(headers, &FORWARDED).map(|hop| parse_forwarded(hop?)))
        }
    }

    fn walk(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut client = peer;
        for hop in hops.take(HOPS_MAX) {
            let Some(hop) = hop else { break };
            client = hop;
            if !self.contain(client) {
                break;
            }
        }
        client
    }
}

/// A network of IPv4 addresses written as IPv6 (`::ffff:a.b.c.d/n`) as the IPv4 network that it is.
pub fn canonical_net(network: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    match (network.addr().to_canonical(), network.prefix_len().checked_sub(MAPPED_BITS)) {
        (IpAddr::V4(ip), Some(bits)) if matches!(network, IpNet::V6(_)) => {
            Ipv4Net::new(ip, bits).map_or(network, IpNet::V4)
        }
        _ => network,
    }
}

/// All elements of a list header, over all its lines, from right to left; `None` for a line that is not
/// text.
fn hops<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Option<&'a str>> {
    let lines = headers.get_all(name).iter().rev();
    lines.flat_map(|line| {
        let text = line.to_str().ok();
        let not_text = text.is_none().then_some(None);
        text.into_iter().flat_map(|text| text.rsplit(',')).map(Some).chain(not_text)
    })
}

/// An address of `X-Forwarded-For`: with or without port, IPv6 with or without brackets.
pub fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    let ip = match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) if bare.len() != text.len() => return None,
        Ok(ip) => ip,
        Err(_) => text.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(ip.to_canonical())
}

/// The `for` of one element of `Forwarded`. A quote that a comma cut in two makes it garbage, as do two
/// `for` and names instead of addresses.
pub fn parse_forwarded(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(';').filter(|pair| !pair.trim_matches([' ', '\t']).is_empty()) {
        let (name, value) = pair.split_once('=')?;
        if !name.trim_matches([' ', '\t']).eq_ignore_ascii_case("for") {
            continue;
        }
        let value = value.trim_matches([' ', '\t']);
        let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let hop = match quoted {
            Some(inner) => parse_hop(inner)?,
            // Without quotes an IPv6 address cannot be written (RFC 7239, section 6).
            None => parse_hop(value).filter(IpAddr::is_ipv4)?,
        };
        if found.replace(hop).is_some() {
            return None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    fn proxies() -> TrustedProxies {
        let networks = ["10.0.0.0/8", "fd00::/8", "::ffff:192.0.2.0/120"];
        TrustedProxies::new(&networks.map(|network| network.parse().unwrap()))
    }

    fn client(peer: &str, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        proxies().client_ip(peer.parse().unwrap(), &headers).to_string()
    }

    #[rstest]
    #[case::no_header("10.1.1.1", &[], "10.1.1.1")]
    #[case::one_hop("10.1.1.1", &[("x-forwarded-for", "203.0.113.7")], "203.0.113.7")]
    #[case::spoof_left_of_it("10.1.1.1", &[("x-forwarded-for", "1.1.1.1, 203.0.113.7")], "203.0.113.7")]
    #[case::past_trusted("10.1.1.1", &[("x-forwarded-for", "1.1.1.1, 203.0.113.7,10.2.2.2 , fd00::1")], "203.0.113.7")]
    #[case::several_lines("10.1.1.1", &[("x-forwarded-for", "203.0.113.7"), ("x-forwarded-for", "10.2.2.2")], "203.0.113.7")]
    #[case::all_trusted("10.1.1.1", &[("x-forwarded-for", "10.3.3.3, 10.2.2.2")], "10.3.3.3")]
    #[case::garbage_stops("10.1.1.1", &[("x-forwarded-for", "203.0.113.7, unknown, 10.2.2.2")], "10.2.2.2")]
    #[case::empty("10.1.1.1", &[("x-forwarded-for", "")], "10.1.1.1")]
    #[case::empty_element("10.1.1.1", &[("x-forwarded-for", "203.0.113.7,")], "10.1.1.1")]
    #[case::not_ascii("10.1.1.1", &[("x-forwarded-for", "203.0.113.7"), ("x-forwarded-for", "ä")], "10.1.1.1")]
    #[case::mapped_hop("10.1.1.1", &[("x-forwarded-for", "::ffff:203.0.113.7")], "203.0.113.7")]
    #[case::mapped_peer("::ffff:10.1.1.1", &[("x-forwarded-for", "203.0.113.7")], "203.0.113.7")]
    #[case::mapped_network("192.0.2.9", &[("x-forwarded-for", "203.0.113.7")], "203.0.113.7")]
    #[case::port("10.1.1.1", &[("x-forwarded-for", "203.0.113.7:443")], "203.0.113.7")]
    #[case::v6_port("10.1.1.1", &[("x-forwarded-for", "[2001:db8::1]:443")], "2001:db8::1")]
    #[case::v6_bracket("10.1.1.1", &[("x-forwarded-for", "[2001:db8::1]")], "2001:db8::1")]
    #[case::v6("10.1.1.1", &[("x-forwarded-for", "2001:db8::1")], "2001:db8::1")]
    #[case::v4_bracket("10.1.1.1", &[("x-forwarded-for", "[203.0.113.7]")], "10.1.1.1")]
    #[case::untrusted_peer("198.51.100.1", &[("x-forwarded-for", "203.0.113.7")], "198.51.100.1")]
    #[case::untrusted_mapped("::ffff:198.51.100.1", &[("x-forwarded-for", "10.1.1.1")], "198.51.100.1")]
    #[case::forwarded("10.1.1.1", &[("forwarded", "for=1.1.1.1, for=203.0.113.7;proto=https;by=10.0.0.1")], "203.0.113.7")]
    #[case::forwarded_v6("10.1.1.1", &[("forwarded", "For=\"[2001:db8::1]:80\"")], "2001:db8::1")]
    #[case::forwarded_hidden("10.1.1.1", &[("forwarded", "for=203.0.113.7, for=_hidden")], "10.1.1.1")]
    #[case::forwarded_cut_quote("10.1.1.1", &[("forwarded", "for=\"203.0.113.7,1.1.1.1\"")], "10.1.1.1")]
    #[case::forwarded_twice("10.1.1.1", &[("forwarded", "for=203.0.113.7;for=1.1.1.1")], "10.1.1.1")]
    #[case::forwarded_without_for("10.1.1.1", &[("forwarded", "proto=https")], "10.1.1.1")]
    #[case::forwarded_bare_v6("10.1.1.1", &[("forwarded", "for=2001:db8::1")], "10.1.1.1")]
    #[case::both("10.1.1.1", &[("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "203.0.113.7")], "203.0.113.7")]
    fn the_client_is_the_nearest_hop_that_is_no_trusted_proxy(
        #[case] peer: &str,
        #[case] lines: &[(&'static str, &str)],
        #[case] expected: &str,
    ) {
        assert_eq!(client(peer, lines), expected);
    }

    #[test]
    fn the_walk_is_bounded() {
        let mut hops = vec!["203.0.113.7".to_owned()];
        hops.extend((0..20).rev().map(|n| format!("10.0.0.{n}")));
        let last = format!("10.0.0.{}", HOPS_MAX - 1);
        assert_eq!(client("10.1.1.1", &[("x-forwarded-for", &hops.join(","))]), last);
    }
}
