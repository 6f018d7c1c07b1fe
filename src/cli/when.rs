//! Times as people write them, and back: RFC 3339, from now on (`+10m`), or Unix milliseconds.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Furthest that a relative time may reach, in milliseconds: ten years.
const AHEAD_MS_MAX: u64 = 10 * 366 * 24 * 3_600_000;

/// A time as it was given; it becomes a Unix time once the present is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Unix milliseconds.
    At(u64),
    /// Milliseconds from now on.
    In(u64),
}

impl When {
    /// The time in Unix milliseconds.
    pub fn unix_ms(self, now_ms: u64) -> u64 {
        match self {
            Self::At(unix_ms) => unix_ms,
            Self::In(ahead_ms) => now_ms.saturating_add(ahead_ms),
        }
    }
}

/// The text is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write such as 2026-12-01T09:00:00Z, +10m, +1h30m, or Unix milliseconds")]
pub struct NotATime;

impl std::str::FromStr for When {
    type Err = NotATime;
    fn from_str(text: &str) -> Result<Self, NotATime> {
        if let Some(ahead) = text.strip_prefix('+') {
            return duration_ms(ahead).map(Self::In).ok_or(NotATime);
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            // Ten digits are seconds by all likelihood: as milliseconds they would lie in 1970.
            return match text.parse() {
                Ok(unix_ms) if unix_ms >= 100_000_000_000 => Ok(Self::At(unix_ms)),
                _ => Err(NotATime),
            };
        }
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| NotATime)?;
        let unix_ms = at.unix_timestamp_nanos().div_euclid(1_000_000);
        u64::try_from(unix_ms).map(Self::At).map_err(|_| NotATime)
    }
}

/// `1h30m` and the like: whole numbers, each with a unit of d, h, m, s or ms.
pub(super) fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total_ms = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit());
        let unit_end = unit_end.map_or(rest.len(), |end| digits + end);
        let unit_ms = match &rest[digits..unit_end] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total_ms = total_ms.checked_add(number.checked_mul(unit_ms)?)?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty() && total_ms <= AHEAD_MS_MAX).then_some(total_ms)
}

/// Unix milliseconds as RFC 3339 in UTC; the bare number where that is out of its range.
pub fn rfc3339(unix_ms: u64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| unix_ms.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_taken_in_three_forms() {
        let parsed = |text: &str| text.parse::<When>().map(|when| when.unix_ms(1_000));
        assert_eq!(parsed("+10m"), Ok(601_000));
        assert_eq!(parsed("+1h30m"), Ok(5_401_000));
        assert_eq!(parsed("+250ms"), Ok(1_250));
        assert_eq!(parsed("+0s"), Ok(1_000));
        assert_eq!(parsed("1790000000123"), Ok(1_790_000_000_123));
        assert_eq!(parsed("1970-01-01T00:00:01Z"), Ok(1_000));
        assert_eq!(parsed("2026-12-01T10:00:00.5+01:00"), Ok(1_796_115_600_500));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let texts = ["", "+", "+10", "+m", "+10x", "+5m ", "+99999999999999999999d", "+4000d"];
        let more = ["1790000000", "2026-12-01", "2026-12-01 10:00", "1969-12-31T23:59:59Z", "now"];
        for text in texts.into_iter().chain(more) {
            assert_eq!(text.parse::<When>(), Err(NotATime), "{text:?}");
        }
    }

    #[test]
    fn a_time_is_shown_as_it_can_be_given() {
        let shown = rfc3339(1_796_115_600_500);
        assert_eq!(shown, "2026-12-01T09:00:00.5Z");
        assert_eq!(shown.parse(), Ok(When::At(1_796_115_600_500)));
        assert_eq!(rfc3339(u64::MAX), u64::MAX.to_string());
    }
}
