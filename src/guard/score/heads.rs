//! What a request's own headers tell: what is missing, what no browser sends, which kind of device they are
//! of, and what the page says of its use.
//!
//! All of it can be made up. It costs a script the care to look like one browser the whole time, and it is
//! what ties the requests of a farm to each other.

use http::{HeaderMap, HeaderName, header};

use super::Page;
use super::sketch::mixed;

/// How the page was used before the press: a hint.
pub static X_PAGE_SIGNALS: HeaderName = HeaderName::from_static("x-page-signals");
static SEC_CH_UA_PLATFORM: HeaderName = HeaderName::from_static("sec-ch-ua-platform");

/// Longest `user-agent` that a browser sends, in bytes; what follows is not looked at.
pub const AGENT_BYTES_MAX: usize = 512;
/// Longest `x-page-signals` that is read, in bytes.
pub const PAGE_BYTES_MAX: usize = 128;
/// Least time that a page was open before its button was pressed, in milliseconds.
pub const PAGE_OPEN_MS_MIN: u32 = 300;
/// Where in a `user-agent` its platform stands, in bytes from its start.
const PLATFORM_WITHIN: usize = 96;

/// What a request's headers tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heads {
    /// There is no `user-agent`, or an empty one.
    pub no_user_agent: bool,
    /// There is no `accept-language`, or an empty one.
    pub no_accept_language: bool,
    /// No browser sends them so.
    pub odd: bool,
    /// How the page was used.
    pub page: Page,
    /// A number that is the same for devices of one kind: browser, system and language.
    pub kind: u64,
}

impl Heads {
    /// Reads them all.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut heads = Self::quick(headers);
        heads.complete(headers);
        heads
    }

    /// Reads what costs little. What is left out is as with an honest browser; [`Heads::complete`] reads it.
    pub fn quick(headers: &HeaderMap) -> Self {
        let agent = bytes(headers, &header::USER_AGENT);
        let language = bytes(headers, &header::ACCEPT_LANGUAGE);
        Self {
            no_user_agent: agent.is_empty(),
            no_accept_language: language.is_empty(),
            odd: false,
            page: Page::Used,
            kind: kind(agent, language),
        }
    }

    /// Reads the rest: whether they are odd, and how the page was used.
    pub fn complete(&mut self, headers: &HeaderMap) {
        let agent = bytes(headers, &header::USER_AGENT);
        let platform = bytes(headers, &SEC_CH_UA_PLATFORM);
        let is_browser = agent.starts_with(b"Mozilla/");
        self.odd = agent.len() > AGENT_BYTES_MAX
            || (is_browser && !headers.contains_key(header::ACCEPT))
            || contradicts(platform, agent);
        self.page = page(bytes(headers, &X_PAGE_SIGNALS));
    }
}

/// The first header of this name, or nothing.
fn bytes<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a [u8] {
    headers.get(name).map(http::HeaderValue::as_bytes).unwrap_or_default()
}

/// Whether the platform of the client hints is another than that of the `user-agent`. Of a platform that is
/// not known here nothing is said.
fn contradicts(platform: &[u8], agent: &[u8]) -> bool {
    let in_agent: &[u8] = match platform {
        b"\"Windows\"" => b"Windows",
        b"\"macOS\"" => b"Mac OS",
        b"\"Android\"" => b"Android",
        b"\"Chrome OS\"" => b"CrOS",
        b"\"Linux\"" => b"Linux",
        _ => return false,
    };
    let head = &agent[..agent.len().min(PLATFORM_WITHIN)];
    !head.windows(in_agent.len()).any(|window| window == in_agent)
}

/// Not keyed: to make two kinds look like one gains nothing over sending one.
fn kind(agent: &[u8], language: &[u8]) -> u64 {
    let lengths = ((agent.len() as u64) << 32) | language.len() as u64;
    let agent = &agent[..agent.len().min(AGENT_BYTES_MAX)];
    let language = &language[..language.len().min(AGENT_BYTES_MAX)];
    mixed(folded(language, folded(agent, lengths)))
}

/// Takes bytes into a number, 16 at a time: the last 16 overlap those before, and fewer are filled with zeros
/// (their length is told apart by the caller).
fn folded(bytes: &[u8], mut number: u64) -> u64 {
    let mut fold = |chunk: &[u8; 16]| {
        let word = |half: &[u8]| u64::from_le_bytes(half.try_into().expect("8 of 16 bytes"));
        let (low, high) = (word(&chunk[..8]), word(&chunk[8..]));
        let product = u128::from(low ^ number ^ 0x9e37_79b9_7f4a_7c15)
            * u128::from(high ^ 0xe703_7ed1_a0b4_28db);
        number = (product as u64) ^ ((product >> 64) as u64);
    };
    if let Some(last) = bytes.last_chunk::<16>() {
        bytes.as_chunks::<16>().0.iter().for_each(&mut fold);
        fold(last);
    } else {
        let mut filled = [0; 16];
        filled[..bytes.len()].copy_from_slice(bytes);
        fold(&filled);
    }
    number
}

/// Reads `t=<ms that the page was open>;p=<pointer moves>;k=<keys>;s=<scrolls or touches>`: each at most once,
/// in any order. Whatever is not so is a page that says nothing.
pub fn page(text: &[u8]) -> Page {
    match counts(text) {
        Some([open_ms, moves, keys, touches])
            if open_ms >= PAGE_OPEN_MS_MIN && (moves > 0 || keys > 0 || touches > 0) =>
        {
            Page::Used
        }
        _ => Page::Unused,
    }
}

fn counts(text: &[u8]) -> Option<[u32; 4]> {
    const NAMES: [u8; 4] = *b"tpks";
    if text.len() > PAGE_BYTES_MAX {
        return None;
    }
    let mut counts = [None; 4];
    for part in text.split(|byte| *byte == b';') {
        let [name, b'=', digits @ ..] = part else { return None };
        let place = NAMES.iter().position(|known| known == name)?;
        if counts[place].replace(number(digits)?).is_some() {
            return None;
        }
    }
    Some(counts.map(Option::unwrap_or_default))
}

/// 1 to 9 digits.
fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                          Chrome/140.0.0.0 Safari/537.36";
    const PHONE: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
                         Chrome/140.0.0.0 Mobile Safari/537.36";

    fn heads(lines: &[(&'static str, &str)]) -> Heads {
        let line = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        Heads::of(&lines.iter().map(line).collect())
    }

    #[rstest]
    #[case::nothing(&[], [true, true, false])]
    #[case::curl(&[("user-agent", "curl/8.14.1"), ("accept", "*/*")], [false, true, false])]
    #[case::app(&[("user-agent", "Shop/7 CFNetwork/3860"), ("accept-language", "de")], [false; 3])]
    #[case::browser(
        &[("user-agent", CHROME), ("accept", "*/*"), ("accept-language", "de-DE,de;q=0.9"),
          ("sec-ch-ua-platform", "\"Windows\"")],
        [false; 3],
    )]
    #[case::phone(
        &[("user-agent", PHONE), ("accept", "*/*"), ("accept-language", "de"),
          ("sec-ch-ua-platform", "\"Android\"")],
        [false; 3],
    )]
    #[case::empty(&[("user-agent", ""), ("accept-language", "")], [true, true, false])]
    #[case::no_accept(&[("user-agent", CHROME), ("accept-language", "de")], [false, false, true])]
    #[case::platform(
        &[("user-agent", CHROME), ("accept", "*/*"), ("accept-language", "de"),
          ("sec-ch-ua-platform", "\"macOS\"")],
        [false, false, true],
    )]
    #[case::unknown_platform(
        &[("user-agent", CHROME), ("accept", "*/*"), ("accept-language", "de"),
          ("sec-ch-ua-platform", "\"Fuchsia\"")],
        [false; 3],
    )]
    fn what_is_missing_or_odd(#[case] lines: &[(&'static str, &str)], #[case] told: [bool; 3]) {
        let heads = heads(lines);
        assert_eq!([heads.no_user_agent, heads.no_accept_language, heads.odd], told);
    }

    #[test]
    fn an_endless_agent_is_odd_and_a_long_one_is_not() {
        for (bytes, odd) in [(AGENT_BYTES_MAX, false), (AGENT_BYTES_MAX + 1, true)] {
            assert_eq!(heads(&[("user-agent", &"a".repeat(bytes))]).odd, odd);
        }
    }

    #[test]
    fn a_kind_is_browser_and_language_and_nothing_else() {
        let of = |agent, language, more| {
            heads(&[("user-agent", agent), ("accept-language", language), ("accept", more)]).kind
        };
        assert_eq!(of(CHROME, "de", "*/*"), of(CHROME, "de", "text/html"));
        let kinds =
            [of(CHROME, "de", ""), of(CHROME, "en", ""), of(PHONE, "de", ""), of("", "", "")];
        for (index, kind) in kinds.iter().enumerate() {
            assert!(!kinds[..index].contains(kind));
        }
        // What moves from one to the other is another kind, as is a change of any byte.
        assert_ne!(of("abcdefgh", "i", ""), of("abcdefg", "hi", ""));
        let long = CHROME.as_bytes();
        for at in 0..long.len() {
            let mut other = long.to_vec();
            other[at] ^= 1;
            assert_ne!(kind(&other, b"de"), kind(long, b"de"), "byte {at}");
        }
        let lengths: std::collections::HashSet<u64> =
            (0..=long.len()).map(|length| kind(&long[..length], b"de")).collect();
        assert_eq!(lengths.len(), long.len() + 1);
    }

    #[rstest]
    #[case("t=300;p=1", true)]
    #[case("p=0;k=3;t=300", true)]
    #[case("s=1;t=999999999", true)]
    #[case("t=299;p=50", false)]
    #[case("t=5000", false)]
    #[case("t=5000;p=0;k=0;s=0", false)]
    #[case("p=5", false)]
    #[case("", false)]
    #[case("t=5000;p=1;", false)]
    #[case("t=5000;p=1;p=1", false)]
    #[case("t=5000;x=1", false)]
    #[case("t=5000; p=1", false)]
    #[case("t=-5000;p=1", false)]
    #[case("t=1e9;p=1", false)]
    #[case("t=9999999999;p=1", false)]
    #[case("t=;p=1", false)]
    #[case("t", false)]
    fn a_page_was_used_if_it_says_how(#[case] text: &str, #[case] used: bool) {
        assert_eq!(page(text.as_bytes()) == Page::Used, used);
    }

    #[test]
    fn a_page_that_says_too_much_says_nothing() {
        let signals = "t=5000;p=1";
        assert_eq!(page(signals.as_bytes()), Page::Used);
        assert_eq!(
            page(format!("{signals};k={}", "1".repeat(PAGE_BYTES_MAX)).as_bytes()),
            Page::Unused
        );
        assert_eq!(page(&[b';'; PAGE_BYTES_MAX]), Page::Unused);
        assert_eq!(page(&[0xff; 5]), Page::Unused);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(text: Vec<u8>) {
            let _ = page(&text);
        }
    }
}
