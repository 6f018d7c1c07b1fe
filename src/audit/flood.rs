//! What of many refusals is kept: the first few a minute in full, the rest as counts.
//!
//! Of each kind at most [`FULL_PER_KIND`] lines a minute, of each source within a kind at most
//! [`FULL_PER_SOURCE`], so that one loud source does not hide the others; at the minute's end one line a kind
//! that was more, with its count and its loudest sources. So a minute adds at most [`BYTES_PER_MINUTE_MAX`]
//! to the trail, whatever comes in; a flood of one kind a twentieth of it.
//!
//! Sources are counted in a bounded table; those that find no place are counted together.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::event::RefusalKind;

/// Refusals of a kind that are kept in full, a minute.
pub const FULL_PER_KIND: u32 = 30;
/// Refusals of a kind from one source that are kept in full, a minute.
pub const FULL_PER_SOURCE: u32 = 5;
/// Sources that are told apart, a minute and thread.
pub const SOURCES_MAX: usize = 1_024;
/// Sources that the line of a kind names.
pub const TOP_SOURCES: usize = 10;
/// Longest line of a refusal, in bytes.
pub const REFUSAL_LINE_BYTES_MAX: usize = 960;
/// Longest line of a kind's counts, in bytes.
pub const COUNTS_LINE_BYTES_MAX: usize = 1_200;
/// What refusals can add to the trail in a minute, in bytes.
pub const BYTES_PER_MINUTE_MAX: usize =
    RefusalKind::COUNT * (FULL_PER_KIND as usize * REFUSAL_LINE_BYTES_MAX + COUNTS_LINE_BYTES_MAX);

/// Whom a refusal is counted against: an IPv4 address, or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(u128);

impl Source {
    /// The source of an address.
    pub fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            // As in `::ffff:a.b.c.d`, whose /64 no IPv6 host has.
            IpAddr::V4(ip) => u128::from(ip.to_ipv6_mapped()),
            IpAddr::V6(ip) => u128::from(ip) & (u128::MAX << 64),
        })
    }

    /// Its bytes, for a pseudonym.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

/// What was seen since the last [`Tally::take`].
#[derive(Debug, Default)]
pub struct Tally {
    kinds: [OfKind; RefusalKind::COUNT],
    sources: HashMap<(RefusalKind, Source), OfSource>,
}

#[derive(Debug, Clone, Copy, Default)]
struct OfKind {
    kept: u32,
    not_kept: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct OfSource {
    kept: u32,
    not_kept: u64,
}

impl Tally {
    /// Counts one refusal, and says whether it is to be kept in full.
    pub fn note(&mut self, kind: RefusalKind, source: Option<Source>) -> bool {
        let of_kind = &mut self.kinds[kind as usize];
        let room = of_kind.kept < FULL_PER_KIND;
        let keep = match source {
            None => room,
            Some(source) => {
                let key = (kind, source);
                let full = self.sources.len() >= SOURCES_MAX;
                match self.sources.get_mut(&key) {
                    Some(known) if room && known.kept < FULL_PER_SOURCE => {
                        known.kept += 1;
                        true
                    }
                    Some(known) => {
                        known.not_kept += 1;
                        false
                    }
                    None if full => room,
                    None => {
                        let seen = OfSource { kept: room.into(), not_kept: (!room).into() };
                        self.sources.insert(key, seen);
                        room
                    }
                }
            }
        };
        if keep {
            of_kind.kept += 1;
        } else {
            of_kind.not_kept += 1;
        }
        keep
    }

    /// A refusal that was to be kept was not: there was no room in the queue.
    pub fn was_not_kept(&mut self, kind: RefusalKind, source: Option<Source>) {
        self.kinds[kind as usize].not_kept += 1;
        if let Some(known) = source.and_then(|source| self.sources.get_mut(&(kind, source))) {
            known.not_kept += 1;
        }
    }

    /// Adds what was not kept to `counts`, and begins anew.
    pub fn take(&mut self, counts: &mut Counts) {
        for (kind, of_kind) in RefusalKind::ALL.into_iter().zip(&mut self.kinds) {
            counts.kinds[kind as usize] += of_kind.not_kept;
            *of_kind = OfKind::default();
        }
        for ((kind, source), seen) in self.sources.drain() {
            if seen.not_kept > 0 {
                *counts.sources.entry((kind, source)).or_default() += seen.not_kept;
            }
        }
    }
}

/// What a minute did not keep, over all threads.
#[derive(Debug, Default)]
pub struct Counts {
    kinds: [u64; RefusalKind::COUNT],
    sources: HashMap<(RefusalKind, Source), u64>,
}

impl Counts {
    /// The kinds of which some were not kept, with their number and their loudest sources.
    pub fn lines(&self) -> impl Iterator<Item = (RefusalKind, u64, Vec<(Source, u64)>)> {
        RefusalKind::ALL.into_iter().filter_map(|kind| {
            let count = self.kinds[kind as usize];
            (count > 0).then(|| (kind, count, self.loudest(kind)))
        })
    }

    fn loudest(&self, kind: RefusalKind) -> Vec<(Source, u64)> {
        let of_kind = self.sources.iter().filter(|((of, _), _)| *of == kind);
        let mut sources: Vec<_> = of_kind.map(|((_, source), count)| (*source, *count)).collect();
        sources.sort_unstable_by_key(|(source, count)| (std::cmp::Reverse(*count), *source));
        sources.truncate(TOP_SOURCES);
        sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: RefusalKind = RefusalKind::InvalidSignature;

    fn source(n: u32) -> Option<Source> {
        Some(Source::of(IpAddr::from(n.to_be_bytes())))
    }

    type Line = (RefusalKind, u64, Vec<(Source, u64)>);

    fn counts(tally: &mut Tally) -> Vec<Line> {
        let mut counts = Counts::default();
        tally.take(&mut counts);
        counts.lines().collect()
    }

    #[test]
    fn one_source_does_not_hide_the_others_and_nothing_goes_uncounted() {
        let mut tally = Tally::default();
        let loud = (0..1_000).filter(|_| tally.note(KIND, source(1))).count();
        assert_eq!(loud, FULL_PER_SOURCE as usize);
        assert!(tally.note(KIND, source(2)));
        let many = (3..1_003).filter(|n| tally.note(KIND, source(*n))).count();
        assert_eq!(many, (FULL_PER_KIND - FULL_PER_SOURCE - 1) as usize);
        assert!(tally.note(RefusalKind::Blocked, source(1)), "each kind has its own");
        let lines = counts(&mut tally);
        assert_eq!(lines.len(), 1);
        let (kind, count, sources) = &lines[0];
        assert_eq!((*kind, *count), (KIND, 2_001 - u64::from(FULL_PER_KIND)));
        assert_eq!(sources[0], (source(1).unwrap(), 1_000 - u64::from(FULL_PER_SOURCE)));
        assert_eq!(sources.len(), TOP_SOURCES);
        assert!(tally.note(KIND, source(1)), "the next minute begins anew");
        assert!(counts(&mut tally).is_empty());
    }

    #[test]
    fn a_million_sources_take_no_more_room_than_the_table_has() {
        let mut tally = Tally::default();
        let kept = (0..1_000_000).filter(|n| tally.note(KIND, source(*n))).count();
        assert_eq!(kept, FULL_PER_KIND as usize);
        assert!(tally.sources.len() <= SOURCES_MAX);
        assert_eq!(counts(&mut tally)[0].1, 1_000_000 - u64::from(FULL_PER_KIND));
    }

    #[test]
    fn one_64_is_one_source_and_a_mapped_address_is_its_ipv4() {
        let of = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
