//! At most so often: for log lines about trouble that lasts, and for chores.

/// Something that is done at most once in so many microseconds.
pub(super) struct Pace {
    every_us: u64,
    last_us: Option<u64>,
}

impl Pace {
    /// Due at once, and then every so often.
    pub(super) fn new(every_us: u64) -> Self {
        Self { every_us, last_us: None }
    }

    /// For log lines.
    pub(super) fn every_10_seconds() -> Self {
        Self::new(10_000_000)
    }

    /// Whether it is due at `now_us`; then it counts as done.
    pub(super) fn due(&mut self, now_us: u64) -> bool {
        let due = self.last_us.is_none_or(|last| now_us.saturating_sub(last) >= self.every_us);
        if due {
            self.last_us = Some(now_us);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_at_once_and_then_every_so_often() {
        let mut pace = Pace::new(10);
        let due: Vec<u64> = [5, 6, 14, 15, 24, 26].into_iter().filter(|us| pace.due(*us)).collect();
        assert_eq!(due, [5, 15, 26]);
    }
}
