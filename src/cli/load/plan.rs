//! From the command line to what a run is to do.

use std::sync::Arc;

use super::Load;
use crate::cli::{Exit, Failure, shop};
use crate::clock::Clock;
use crate::config::Config;
use crate::load::live::Live;
use crate::load::plan::{ATTEMPTS_MAX, DURATION_MS_MAX};
use crate::load::sessions::open_crowd;
use crate::load::{Identity, Pace, Plan, Profile, Target};
use crate::sale::ProductId;

/// Attempts a second of an open loop for which no rate is given.
const RATE: u32 = 500;
/// A ramp begins with this part of its rate, and a spike has so many times its rate.
const FACTOR: u32 = 10;

/// A profile by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Shape {
    /// The same rate throughout.
    Steady,
    /// Evenly up to the rate, or down to it.
    Ramp,
    /// The rate, and a peak in the middle fifth of the time.
    Spike,
    /// The same rate for a long time.
    Soak,
}

/// Which servers are asked without signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Unsigned {
    /// The first of a comparison.
    A,
    /// The second of a comparison.
    B,
    /// All.
    Both,
}

impl Load {
    /// Refuses rates of profiles that were not chosen, and sides where there are none.
    pub(super) fn check_profile(&self) -> Result<(), Failure> {
        let wrong = |message: &str| Failure { exit: Exit::Usage, message: message.to_owned() };
        if self.from.is_some() && self.profile != Shape::Ramp {
            return Err(wrong("--from is of a ramp: add --profile ramp"));
        }
        if self.peak.is_some() && self.profile != Shape::Spike {
            return Err(wrong("--peak is of a spike: add --profile spike"));
        }
        if self.closed && matches!(self.profile, Shape::Ramp | Shape::Spike) {
            return Err(wrong("a closed loop has no rate: leave out --closed or --profile"));
        }
        if self.compare.is_none() && matches!(self.unsigned, Some(Unsigned::A | Unsigned::B)) {
            return Err(wrong("--unsigned=a and =b are sides of --compare"));
        }
        Ok(())
    }

    fn rate(&self) -> u32 {
        self.rate.unwrap_or(RATE)
    }

    fn profile(&self) -> Profile {
        let rate = self.rate();
        match self.profile {
            Shape::Steady => Profile::Steady,
            Shape::Soak => Profile::Soak,
            Shape::Ramp => {
                let from_per_second = self.from.unwrap_or((rate / FACTOR).max(1));
                Profile::Ramp { from_per_second }
            }
            Shape::Spike => {
                let peak_per_second = self.peak.unwrap_or(rate.saturating_mul(FACTOR));
                Profile::Spike { peak_per_second }
            }
        }
    }

    /// The plan of a run against one server; obtains the passes that it needs.
    pub(super) fn plan(
        &self,
        target: Target,
        product: ProductId,
        seed: u64,
        unsigned: bool,
        clock: &Clock,
        config: &Config,
    ) -> Result<Plan, Failure> {
        let duration_ms = self.duration_ms();
        let (identity, skew_ms) = match self.buyers {
            _ if unsigned => (Identity::Unsigned { users: self.users }, 0),
            None => {
                let credentials = Arc::new(shop::credentials(self.client.as_deref(), config)?);
                (Identity::Client { credentials, users: self.users }, 0)
            }
            Some(buyers) => self.crowd(&target, buyers, seed, duration_ms, clock, config)?,
        };
        let mut plan = Plan::new(target, product, identity, seed);
        plan.pace = match self.closed {
            true => Pace::Closed,
            false => Pace::Open { per_second: self.rate() },
        };
        plan.profile = self.profile();
        plan.mix = self.mix;
        plan.connections = self.connections;
        plan.source_addresses = self.source_addresses;
        plan.retries_max = self.retries;
        plan.skew_ms = skew_ms;
        plan.attempts_max = self.requests.unwrap_or(ATTEMPTS_MAX);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or((cores / 2).max(1));
        plan.threads = threads.min(self.connections.max(1));
        plan.duration_ms_max = duration_ms.unwrap_or(DURATION_MS_MAX);
        Ok(plan)
    }

    /// The length of the run in milliseconds; `None` if its number of attempts alone ends it.
    fn duration_ms(&self) -> Option<u64> {
        let profile = self.profile();
        match (self.duration, self.requests) {
            (Some(duration), _) => Some(duration.as_millis() as u64),
            (None, Some(_)) if !profile.has_shape() => None,
            (None, _) => Some(profile.usual_ms()),
        }
    }

    fn crowd(
        &self,
        target: &Target,
        buyers: usize,
        seed: u64,
        duration_ms: Option<u64>,
        clock: &Clock,
        config: &Config,
    ) -> Result<(Identity, i64), Failure> {
        let credentials = shop::credentials(self.client.as_deref(), config)?;
        let live = Live::new("passes", buyers as u64);
        let prefix = format!("load-{seed:x}");
        let progress = |done| live.count(done as u64);
        let crowd = open_crowd(target, &credentials, &prefix, buyers, clock, progress)?;
        live.clear();
        let now_ms = clock.unix_ms().saturating_add_signed(crowd.skew_ms);
        let left_ms = crowd.expires_at_ms.saturating_sub(now_ms);
        if let Some(duration_ms) = duration_ms.filter(|duration_ms| *duration_ms > left_ms) {
            return Err(Failure::new(format!(
                "the shoppers' passes end in {} s, before the {} s of the run: shorten it, or leave out \
                 --buyers",
                left_ms / 1_000,
                duration_ms / 1_000
            )));
        }
        Ok((Identity::Shoppers(crowd.shoppers), crowd.skew_ms))
    }
}
