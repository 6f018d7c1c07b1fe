//! Check 11: how likely a request is a script's, in points, with the reasons.
//!
//! [`score`] is a pure function from [`Signals`] to a [`Score`]: no clock, no table, no allocation. Where the
//! signals come from: [`heads`] reads the request's own headers, [`seen`] remembers in bounded tables who came
//! with whom before. None of them is proof. So no single one reaches a default threshold, each adds up with
//! its weight, and what a client says in its favour ([`Page`]) takes away no more than its own few points.
//!
//! What each reason means and when it counts once or twice stands beside its constant here; the weights are
//! the configuration's section `score`.

use crate::config;

pub mod heads;
pub mod seen;
mod sketch;

/// Users of one fingerprint from which it counts once, and twice.
pub const USERS_ON_FINGERPRINT: [u16; 2] = [4, 16];
/// Users of one address from which it counts once, and twice.
pub const USERS_ON_ADDRESS: [u16; 2] = [32, 100];
/// Users of one address whose headers are alike, from which it counts once, and twice.
pub const ALIKE_ON_ADDRESS: [u16; 2] = [16, 64];
/// So many times as many users as kinds of headers an address must have for its users to be alike.
pub const ALIKE_FACTOR: [u16; 2] = [4, 8];
/// Fingerprints of one user from which it counts once, and twice.
pub const FINGERPRINTS_OF_USER: [u16; 2] = [3, 6];
/// Kinds of headers under one fingerprint from which they contradict it.
pub const KINDS_ON_FINGERPRINT: u16 = 3;
/// Successive intervals of one user that are as good as the same, from which they are too regular.
pub const REGULAR_INTERVALS: u8 = 5;
/// Orders of one user before the opening from which it counts.
pub const EARLY_ORDERS: u8 = 3;
/// Failures of one user from which it counts.
pub const FAILURES_OF_USER: u8 = 3;
/// Failures from one address or under one fingerprint from which it counts, if they are more than its users:
/// one among many who share it shall not speak against the others.
pub const FAILURES_FROM_PLACE: u8 = 16;

/// Why a request has points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// No `user-agent`.
    NoUserAgent,
    /// No `accept-language`, which every browser sends.
    NoAcceptLanguage,
    /// A set of headers that no browser sends: one that says it is a browser and lacks what they all have, or
    /// whose parts contradict each other.
    OddHeaders,
    /// No fingerprint.
    NoFingerprint,
    /// One fingerprint under headers of different devices.
    FingerprintContradicted,
    /// Many users on one fingerprint.
    UsersOnFingerprint,
    /// Many users on one address.
    UsersOnAddress,
    /// Many users on one address whose headers are the same few.
    AlikeOnAddress,
    /// Many fingerprints of one user.
    FingerprintsOfUser,
    /// Orders of one user at intervals that no hand keeps.
    TooRegular,
    /// Orders before the opening.
    BeforeOpening,
    /// Failures before: bad signatures, passes, challenges.
    FailedBefore,
    /// Nothing that says that a page was used before the press.
    PageUnused,
}

impl Reason {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// All of them, in order.
    pub const ALL: [Self; 13] = [
        Self::NoUserAgent,
        Self::NoAcceptLanguage,
        Self::OddHeaders,
        Self::NoFingerprint,
        Self::FingerprintContradicted,
        Self::UsersOnFingerprint,
        Self::UsersOnAddress,
        Self::AlikeOnAddress,
        Self::FingerprintsOfUser,
        Self::TooRegular,
        Self::BeforeOpening,
        Self::FailedBefore,
        Self::PageUnused,
    ];

    /// The word in the audit trail, the metrics and the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::NoUserAgent => "no_user_agent",
            Self::NoAcceptLanguage => "no_accept_language",
            Self::OddHeaders => "odd_headers",
            Self::NoFingerprint => "no_fingerprint",
            Self::FingerprintContradicted => "fingerprint_contradicted",
            Self::UsersOnFingerprint => "users_on_fingerprint",
            Self::UsersOnAddress => "users_on_address",
            Self::AlikeOnAddress => "alike_on_address",
            Self::FingerprintsOfUser => "fingerprints_of_user",
            Self::TooRegular => "too_regular",
            Self::BeforeOpening => "before_opening",
            Self::FailedBefore => "failed_before",
            Self::PageUnused => "page_unused",
        }
    }
}

/// A set of reasons.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reasons(u16);

impl Reasons {
    /// Whether this one is among them.
    pub fn has(self, reason: Reason) -> bool {
        self.0 & (1 << reason as u8) != 0
    }

    /// All of them, in order.
    pub fn iter(self) -> impl Iterator<Item = Reason> {
        Reason::ALL.into_iter().filter(move |reason| self.has(*reason))
    }

    fn add(&mut self, reason: Reason) {
        self.0 |= 1 << reason as u8;
    }
}

/// What a page says of its use before the press: a hint, since a script can say it too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Page {
    /// It says nothing, or nothing that could be.
    #[default]
    Unused,
    /// It was used for a while, by a pointer, keys or touches.
    Used,
}

/// What is known of a request and of who sent it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signals {
    /// Of its headers.
    pub heads: heads::Heads,
    /// Whether it carries no fingerprint.
    pub no_fingerprint: bool,
    /// Of those who came before.
    pub seen: seen::Counts,
}

/// What each reason weighs, and where the thresholds are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weights {
    points: [u16; Reason::COUNT],
    /// Above it a challenge is asked.
    pub challenge_above: u16,
    /// Above it the order is refused.
    pub refuse_above: u16,
}

impl Weights {
    /// Those of the configuration.
    pub fn new(config: &config::score::Score) -> Self {
        Self {
            points: [
                config.no_user_agent,
                config.no_accept_language,
                config.odd_headers,
                config.no_fingerprint,
                config.fingerprint_contradicted,
                config.users_on_fingerprint,
                config.users_on_address,
                config.alike_on_address,
                config.fingerprints_of_user,
                config.too_regular,
                config.before_opening,
                config.failed_before,
                config.page_unused,
            ],
            challenge_above: config.challenge_above,
            refuse_above: config.refuse_above,
        }
    }

    /// What [`Heads::complete`](heads::Heads::complete) can add to a score at most.
    pub fn incomplete_max(&self) -> u16 {
        let of = |reason: Reason| self.points[reason as usize];
        of(Reason::OddHeaders).saturating_add(of(Reason::PageUnused))
    }

    /// What a score comes to.
    pub fn verdict(&self, score: Score) -> Verdict {
        if score.points > self.refuse_above {
            Verdict::Refuse
        } else if score.points > self.challenge_above {
            Verdict::Challenge
        } else {
            Verdict::Pass
        }
    }
}

/// What a score comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The order goes on.
    Pass,
    /// It goes on with a solved challenge.
    Challenge,
    /// It does not.
    Refuse,
}

/// How likely a request is a script's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    /// In points.
    pub points: u16,
    /// Why.
    pub reasons: Reasons,
}

/// The score of these signals: the sum of the weights of its reasons, each taken once or twice.
pub fn score(signals: &Signals, weights: &Weights) -> Score {
    let (heads, seen) = (&signals.heads, &signals.seen);
    let mut score = Score::default();
    let mut add = |reason: Reason, times: u16| {
        if times > 0 {
            score.reasons.add(reason);
            let more = weights.points[reason as usize].saturating_mul(times);
            score.points = score.points.saturating_add(more);
        }
    };
    add(Reason::NoUserAgent, heads.no_user_agent.into());
    add(Reason::NoAcceptLanguage, heads.no_accept_language.into());
    add(Reason::OddHeaders, heads.odd.into());
    add(Reason::NoFingerprint, signals.no_fingerprint.into());
    let contradicted = seen.kinds_on_fingerprint >= KINDS_ON_FINGERPRINT;
    add(Reason::FingerprintContradicted, contradicted.into());
    add(Reason::UsersOnFingerprint, steps(seen.users_on_fingerprint, USERS_ON_FINGERPRINT));
    add(Reason::UsersOnAddress, steps(seen.users_on_address, USERS_ON_ADDRESS));
    add(Reason::AlikeOnAddress, alike(seen.users_on_address, seen.kinds_on_address));
    add(Reason::FingerprintsOfUser, steps(seen.fingerprints_of_user, FINGERPRINTS_OF_USER));
    add(Reason::TooRegular, (seen.regular_intervals >= REGULAR_INTERVALS).into());
    add(Reason::BeforeOpening, (seen.early_orders >= EARLY_ORDERS).into());
    let failed_there =
        |failures: u8, users| failures >= FAILURES_FROM_PLACE && u16::from(failures) > users;
    let failed = seen.failures_of_user >= FAILURES_OF_USER
        || failed_there(seen.failures_from_address, seen.users_on_address)
        || failed_there(seen.failures_on_fingerprint, seen.users_on_fingerprint);
    add(Reason::FailedBefore, failed.into());
    add(Reason::PageUnused, (heads.page == Page::Unused).into());
    score
}

/// How many of the two thresholds are reached.
fn steps(count: u16, thresholds: [u16; 2]) -> u16 {
    thresholds.into_iter().filter(|threshold| count >= *threshold).count() as u16
}

/// A carrier's address has many users with many kinds of devices; a farm has many users and one kind.
fn alike(users: u16, kinds: u16) -> u16 {
    let alike =
        |(most, factor): (u16, u16)| users >= most && users >= kinds.max(1).saturating_mul(factor);
    ALIKE_ON_ADDRESS.into_iter().zip(ALIKE_FACTOR).filter(|step| alike(*step)).count() as u16
}

#[cfg(test)]
mod tests;
