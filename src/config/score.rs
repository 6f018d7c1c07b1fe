//! The bot score: what each reason weighs, and where the thresholds are.
//!
//! The defaults are chosen to harm no shop that has not looked at them: nobody is challenged for one reason
//! alone, however strong; nor for being a plain script that behaves (no browser's headers, no fingerprint, no
//! page, even intervals: 55 points); nor for a whole crowd of those behind one address (90), since an app's
//! users behind one carrier look just like it. What is challenged is such a crowd that shares a fingerprint
//! too, or fails, or keeps time. A shop whose page sends fingerprints and page signals and solves challenges
//! does better with 50 and 100: then a farm on one address is challenged whatever it sends, and to drop or to
//! forge the fingerprint gains it nothing.

use serde::Deserialize;

use super::check::Found;

/// Largest weight and threshold.
pub const POINTS_MAX: u64 = 1_000;

/// Check 11. Weights are points; 0 takes a reason out.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Score {
    /// Whether orders of shoppers are scored.
    pub enabled: bool,
    /// Above it a challenge is asked.
    pub challenge_above: u16,
    /// Above it the order is refused.
    pub refuse_above: u16,
    /// No `user-agent`.
    pub no_user_agent: u16,
    /// No `accept-language`.
    pub no_accept_language: u16,
    /// Headers that no browser sends so.
    pub odd_headers: u16,
    /// No fingerprint.
    pub no_fingerprint: u16,
    /// One fingerprint under headers of different devices.
    pub fingerprint_contradicted: u16,
    /// Many users on one fingerprint; twice for very many.
    pub users_on_fingerprint: u16,
    /// Many users on one address; twice for very many.
    pub users_on_address: u16,
    /// Many users on one address whose headers are alike; twice for very many.
    pub alike_on_address: u16,
    /// Many fingerprints of one user; twice for very many.
    pub fingerprints_of_user: u16,
    /// Intervals that no hand keeps.
    pub too_regular: u16,
    /// Orders before the opening.
    pub before_opening: u16,
    /// Failures before.
    pub failed_before: u16,
    /// Nothing says that a page was used.
    pub page_unused: u16,
}

impl Default for Score {
    fn default() -> Self {
        Self {
            enabled: true,
            challenge_above: 90,
            refuse_above: 150,
            no_user_agent: 10,
            no_accept_language: 10,
            odd_headers: 15,
            no_fingerprint: 5,
            fingerprint_contradicted: 15,
            users_on_fingerprint: 25,
            users_on_address: 10,
            alike_on_address: 20,
            fingerprints_of_user: 20,
            too_regular: 25,
            before_opening: 10,
            failed_before: 15,
            page_unused: 5,
        }
    }
}

pub(super) fn check(found: &mut Found, score: &Score) {
    if score.refuse_above < score.challenge_above {
        let what = format!("is below score.challenge_above, {}", score.challenge_above);
        found.warn("score.refuse_above", what, "set it higher, unless no challenge is meant");
    }
}
