//! What a run is to do, and its limits.

use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use super::profile::Profile;
use super::sessions::{Credentials, Shopper};
use super::target::Target;
use crate::sale::ProductId;

/// Most connections of one run.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Longest run, in milliseconds.
pub const DURATION_MS_MAX: u64 = 24 * 3_600_000;
/// Most attempts of one run.
pub const ATTEMPTS_MAX: u64 = 100_000_000;
/// Highest rate of an open loop, in attempts a second.
pub const RATE_MAX: u32 = 1_000_000;
/// Most source addresses (of 127.0.0.0/8) for the crowd.
pub const SOURCE_ADDRESSES_MAX: u32 = 60_000;
/// Most threads.
pub const THREADS_MAX: usize = 64;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Tries once; after a 503 or 429 again with the same key.
    Honest,
    /// Sends what it has overheard once more.
    Replay,
    /// Sends what it has no right to.
    Forge,
    /// One buyer at one address, as often as it can, each time with a fresh key.
    Flood,
}

impl Kind {
    /// All kinds, in the order of the tables.
    pub const ALL: [Self; 4] = [Self::Honest, Self::Replay, Self::Forge, Self::Flood];

    /// Place in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Honest => "honest",
            Self::Replay => "replay",
            Self::Forge => "forge",
            Self::Flood => "flood",
        }
    }
}

/// Shares of the kinds of senders: of the attempts (open loop) or of the connections (closed loop).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    weights: [u32; 4],
}

impl Mix {
    /// Honest shoppers alone.
    pub const HONEST: Self = Self { weights: [1, 0, 0, 0] };

    /// Weights in the order of [`Kind::ALL`]; `None` when all are 0.
    pub fn new(weights: [u32; 4]) -> Option<Self> {
        (weights.iter().any(|weight| *weight > 0)).then_some(Self { weights })
    }

    /// The weight of a kind.
    pub fn weight(&self, kind: Kind) -> u32 {
        self.weights[kind.index()]
    }

    /// The kind at `point` of `0..total()`.
    pub fn kind_at(&self, point: u64) -> Kind {
        let mut end = 0;
        for kind in Kind::ALL {
            end += u64::from(self.weight(kind));
            if point < end {
                return kind;
            }
        }
        Kind::Honest
    }

    /// Whether there are others than honest senders.
    pub fn attacks(&self) -> bool {
        self.total() > u64::from(self.weight(Kind::Honest))
    }

    /// Sum of the weights.
    pub fn total(&self) -> u64 {
        self.weights.iter().map(|weight| u64::from(*weight)).sum()
    }

    /// Splits `count` over the kinds by weight; a kind with a weight gets at least one.
    pub fn split(&self, count: usize) -> [usize; 4] {
        let mut parts = [0; 4];
        for kind in Kind::ALL {
            let share = count as u64 * u64::from(self.weight(kind)) / self.total();
            parts[kind.index()] = (share as usize).max(usize::from(self.weight(kind) > 0));
        }
        parts
    }
}

impl FromStr for Mix {
    type Err = PlanError;

    /// Reads `honest=90,replay=4,forge=3,flood=3`; a kind that is absent has weight 0.
    fn from_str(text: &str) -> Result<Self, PlanError> {
        let mut weights = [0; 4];
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').ok_or_else(|| mix_error(part))?;
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name.trim());
            let weight: u16 = weight.trim().parse().map_err(|_| mix_error(part))?;
            weights[kind.ok_or_else(|| mix_error(part))?.index()] = u32::from(weight);
        }
        Self::new(weights).ok_or_else(|| mix_error(text))
    }
}

fn mix_error(part: &str) -> PlanError {
    PlanError::Mix(part.to_owned())
}

/// Under whose name the requests go.
#[derive(Debug, Clone)]
pub enum Identity {
    /// An API client orders for its users.
    Client {
        /// Its id and secret.
        credentials: Arc<Credentials>,
        /// How many users it has; 0 is a new one for each attempt.
        users: u64,
    },
    /// Shoppers with session passes.
    Shoppers(Arc<[Shopper]>),
    /// Nobody in particular: the plain `POST /order`, without a signature. For a server that asks for none.
    Unsigned {
        /// How many users there are; 0 is a new one for each attempt.
        users: u64,
    },
}

/// When the next request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// By a schedule, whether or not earlier ones were answered.
    Open {
        /// Attempts a second.
        per_second: u32,
    },
    /// On each connection when the one before was answered.
    Closed,
}

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server's public listener.
    pub target: Target,
    /// What is bought.
    pub product: ProductId,
    /// Under whose name.
    pub identity: Identity,
    /// When.
    pub pace: Pace,
    /// How the rate of an open loop goes over the time; steady or a soak where the loop is closed.
    pub profile: Profile,
    /// Who.
    pub mix: Mix,
    /// Keep-alive connections; attackers of an open loop get a few more.
    pub connections: usize,
    /// Addresses of 127.0.0.0/8 from which the crowd connects; 0 leaves the address to the system, and
    /// then all, attackers too, come from one.
    pub source_addresses: u32,
    /// OS threads, each with its share of the connections.
    pub threads: usize,
    /// Attempts; a retry belongs to its attempt.
    pub attempts_max: u64,
    /// Length in milliseconds; what is under way at its end is still waited for.
    pub duration_ms_max: u64,
    /// Retries of an honest attempt.
    pub retries_max: u32,
    /// Time for an answer, in milliseconds.
    pub answer_timeout_ms: u64,
    /// Time without any answer after which the server counts as lost and the run ends, in milliseconds.
    pub lost_after_ms: u64,
    /// The server's clock minus ours, in milliseconds; corrected by its answers.
    pub skew_ms: i64,
    /// Seed of all choices, and prefix of the idempotency keys: two runs against one sale need two.
    pub seed: u64,
    /// Orders are not remembered, since nobody will hold them against the books.
    pub forgets_orders: bool,
}

/// Why a plan is refused.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not a mix.
    #[error("`{0}` is not a mix; write for example honest=90,replay=4,forge=3,flood=3")]
    Mix(String),
    /// A number is outside its range.
    #[error("{what} must be from {min} to {max}")]
    Range {
        /// Which number.
        what: &'static str,
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// Source addresses are addresses of the loopback net.
    #[error("source addresses need a server on an IPv4 loopback address, not {0}")]
    SourceAddresses(std::net::SocketAddr),
    /// A closed loop has no rate that could go up and down.
    #[error("a closed loop has no {0}: its rate is what the server makes of it")]
    ClosedShape(&'static str),
    /// What has no signature cannot be forged or replayed.
    #[error("without signatures there is nothing to forge: the mix must be honest")]
    UnsignedAttack,
    /// Without buyers nobody can send.
    #[error("there are no buyers")]
    NoBuyers,
    /// The process may not open as many sockets.
    #[error(
        "{wanted} connections need more open files than the {allowed} that are allowed here; raise it \
         (`ulimit -n {raise}`) or ask for fewer connections"
    )]
    OpenFiles {
        /// Connections of the plan.
        wanted: usize,
        /// The limit.
        allowed: usize,
        /// A limit that is enough.
        raise: usize,
    },
}

impl Plan {
    /// A closed loop of honest senders with the usual limits; the caller changes what it needs.
    pub fn new(target: Target, product: ProductId, identity: Identity, seed: u64) -> Self {
        Self {
            target,
            product,
            identity,
            pace: Pace::Closed,
            profile: Profile::Steady,
            mix: Mix::HONEST,
            connections: 64,
            source_addresses: 0,
            threads: 1,
            attempts_max: ATTEMPTS_MAX,
            duration_ms_max: 10_000,
            retries_max: 5,
            answer_timeout_ms: 10_000,
            lost_after_ms: 3_000,
            skew_ms: 0,
            seed,
            forgets_orders: false,
        }
    }

    /// Refuses what contradicts itself or is beyond a limit.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), PlanError> {
        in_range("connections", self.connections as u64, 1, CONNECTIONS_MAX as u64)?;
        in_range("threads", self.threads as u64, 1, THREADS_MAX as u64)?;
        in_range("requests", self.attempts_max, 1, ATTEMPTS_MAX)?;
        in_range("the duration in milliseconds", self.duration_ms_max, 1, DURATION_MS_MAX)?;
        in_range("source addresses", self.source_addresses.into(), 0, SOURCE_ADDRESSES_MAX.into())?;
        if let Pace::Open { per_second } = self.pace {
            in_range("the rate", per_second.into(), 1, RATE_MAX.into())?;
            if let Some(other) = self.profile.other_per_second() {
                in_range("the other rate", other.into(), 1, RATE_MAX.into())?;
            }
        } else if self.profile.has_shape() {
            return Err(PlanError::ClosedShape(self.profile.name()));
        }
        if matches!(self.identity, Identity::Unsigned { .. }) && self.mix.attacks() {
            return Err(PlanError::UnsignedAttack);
        }
        let address = self.target.address();
        if self.source_addresses > 0 && !(address.is_ipv4() && address.ip().is_loopback()) {
            return Err(PlanError::SourceAddresses(address));
        }
        if matches!(&self.identity, Identity::Shoppers(shoppers) if shoppers.is_empty()) {
            return Err(PlanError::NoBuyers);
        }
        check_open_files(self.connections, open_files_max())
    }
}

fn in_range(what: &'static str, value: u64, min: u64, max: u64) -> Result<(), PlanError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(PlanError::Range { what, min, max }) }
}

/// Files that the process has open beside its connections: a generous guess.
const OTHER_FILES: usize = 64;

fn check_open_files(wanted: usize, allowed: Option<usize>) -> Result<(), PlanError> {
    match allowed {
        Some(allowed) if wanted + OTHER_FILES > allowed => {
            let raise = (wanted + OTHER_FILES).next_power_of_two();
            Err(PlanError::OpenFiles { wanted, allowed, raise })
        }
        _ => Ok(()),
    }
}

/// How many files this process may have open; `None` is no limit.
pub fn open_files_max() -> Option<usize> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.and_then(|files| usize::try_from(files).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_read_and_split_by_weight() {
        let mix: Mix = "honest=90,replay=4,forge=3,flood=3".parse().unwrap();
        assert_eq!(mix.total(), 100);
        assert_eq!(mix.split(1_000), [900, 40, 30, 30]);
        assert_eq!(mix.split(10), [9, 1, 1, 1], "a kind with a weight is never lost by rounding");
        assert_eq!(mix.kind_at(89), Kind::Honest);
        assert_eq!(mix.kind_at(90), Kind::Replay);
        assert_eq!(mix.kind_at(99), Kind::Flood);
    }

    #[test]
    fn what_is_not_a_mix_is_refused() {
        for bad in ["", "honest", "honest=-1", "honest=0", "nobody=1", "honest=1;forge=2"] {
            assert!(bad.parse::<Mix>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn too_few_open_files_are_said_with_the_remedy() {
        let error = check_open_files(2_000, Some(1_024)).unwrap_err().to_string();
        assert!(error.contains("ulimit -n 4096"), "{error}");
        assert!(check_open_files(900, Some(1_024)).is_ok());
    }
}
