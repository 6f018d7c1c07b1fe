//! The dates of a certificate: as much of DER (X.690) and X.509 (RFC 5280, 4.1) as that takes.

use time::{Date, Month, OffsetDateTime, Time};

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// From when until when a certificate is good, in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment at which it is.
    pub from_ms: u64,
    /// The last one.
    pub until_ms: u64,
}

/// The dates of a certificate in DER; `None` if they are not where they belong.
pub fn validity(certificate: &[u8]) -> Option<Validity> {
    let (certificate, _) = take(certificate, SEQUENCE)?;
    let (mut rest, _) = take(certificate, SEQUENCE)?;
    if let Some((_version, after)) = take(rest, VERSION) {
        rest = after;
    }
    let (_serial, rest) = take(rest, INTEGER)?;
    let (_signature, rest) = take(rest, SEQUENCE)?;
    let (_issuer, rest) = take(rest, SEQUENCE)?;
    let (dates, _) = take(rest, SEQUENCE)?;
    let (from_ms, rest) = take_time(dates)?;
    let (until_ms, _) = take_time(rest)?;
    Some(Validity { from_ms, until_ms })
}

/// The contents of the value at the start, which must have this tag, and what follows it.
fn take(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

fn take_time(bytes: &[u8]) -> Option<(u64, &[u8])> {
    if let Some((text, rest)) = take(bytes, UTC_TIME) {
        let (year, text) = text.split_at_checked(2)?;
        let year = digits(year)?;
        let year = if year < 50 { 2_000 + year } else { 1_900 + year };
        return Some((unix_ms(year, text)?, rest));
    }
    let (text, rest) = take(bytes, GENERALIZED_TIME)?;
    let (year, text) = text.split_at_checked(4)?;
    Some((unix_ms(digits(year)?, text)?, rest))
}

/// Unix milliseconds of a year and `MMDDHHMMSSZ`; zero for what lies before 1970.
fn unix_ms(year: u16, text: &[u8]) -> Option<u64> {
    let two = |at: usize| digits(text.get(at..at + 2)?).and_then(|value| u8::try_from(value).ok());
    if text.len() != 11 || text[10] != b'Z' {
        return None;
    }
    let month = Month::try_from(two(0)?).ok()?;
    let date = Date::from_calendar_date(i32::from(year), month, two(2)?).ok()?;
    let time = Time::from_hms(two(4)?, two(6)?, two(8)?).ok()?;
    let seconds = OffsetDateTime::new_utc(date, time).unix_timestamp();
    Some(u64::try_from(seconds).unwrap_or(0) * 1_000)
}

fn digits(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_make_it_panic() {
        let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let der = made.cert.der().as_ref();
        assert!(validity(der).is_some());
        for cut in 0..der.len() {
            let _ = validity(&der[..cut]);
        }
        for at in 0..der.len().min(200) {
            for value in [0x00, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = der.to_vec();
                changed[at] = value;
                let _ = validity(&changed);
            }
        }
    }

    #[test]
    fn two_digit_years_are_of_1950_to_2049() {
        let time = |text: &[u8]| take_time(&[&[UTC_TIME, 13], text].concat()).map(|(ms, _)| ms);
        assert_eq!(time(b"700101000001Z"), Some(1_000));
        assert_eq!(time(b"260101000000Z"), Some(1_767_225_600_000));
        assert_eq!(time(b"500101000000Z"), Some(0));
        assert_eq!(time(b"261301000000Z"), None);
        assert_eq!(time(b"2601010000+0Z"), None);
    }
}
