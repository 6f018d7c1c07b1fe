//! What came of an attack.

use super::support::wire::Answer;

/// What came of an attack, and whether that is what must come of it.
#[derive(Debug, Clone)]
pub struct Got {
    /// In a few words.
    pub what: String,
    /// Whether the attack failed.
    pub blocked: bool,
}

impl Got {
    /// Says both.
    pub fn of(blocked: bool, what: impl Into<String>) -> Self {
        Self { what: what.into(), blocked }
    }

    /// The answer must be of this status and word.
    pub fn refused(answer: &Answer, status: u16, word: &str) -> Self {
        Self::of(answer.status == status && answer.word() == word, answer.summary())
    }

    /// The answer must be of one of these statuses.
    pub fn status(answer: &Answer, statuses: &[u16]) -> Self {
        Self::of(statuses.contains(&answer.status), answer.summary())
    }

    /// Both must hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let what = if self.what == other.what || other.what.is_empty() {
            self.what
        } else {
            format!("{}; {}", self.what, other.what)
        };
        Self { what, blocked: self.blocked && other.blocked }
    }

    /// All must hold; what is the same is said once.
    pub fn all(several: impl IntoIterator<Item = Self>) -> Self {
        let mut several: Vec<Self> = several.into_iter().collect();
        let blocked = !several.is_empty() && several.iter().all(|got| got.blocked);
        // What went wrong is what must be seen.
        if !blocked {
            several.retain(|got| !got.blocked);
        }
        let mut said: Vec<String> = Vec::new();
        for got in several {
            if !said.contains(&got.what) {
                said.push(got.what);
            }
        }
        Self { what: said.join("; "), blocked }
    }
}
