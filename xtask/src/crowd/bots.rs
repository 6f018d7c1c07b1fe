//! The bots' strategies, and what each makes of an account.

use super::people::{Account, Habit, Solving};

/// What bots do to be ahead of people. All of them know the opening to the millisecond, come as early as they can,
/// look twice a second whether it is their turn, and take no time to press.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Merely faster: each account has an address, a device and a fingerprint of its own, as a person has.
    Fast,
    /// A farm: each account has an address of its own; all send one fingerprint and one browser's headers, and say
    /// nothing of a page. It solves no challenges.
    Farm,
    /// A farm behind one address that forges a fingerprint for each account. It solves no challenges.
    Forged,
    /// As fast ones, and each sends what was accepted again: as it was, under fresh keys with the old signature, for
    /// another user, and as new orders of its own.
    Replayer,
    /// The farm, which solves every challenge by a native program on one core for all of its accounts.
    Solver,
}

/// How often a replayer sends an order again, in each of its ways.
pub const REPLAYS: u32 = 3;

/// The browser that all accounts of a farm claim to be.
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
/// How often a bot asks whether it is its turn, in milliseconds.
const POLLS_MS: u64 = 500;
/// Bots of a sale come and press spread over this, in milliseconds: they are programs on a network, too.
const SPREAD_MS: u64 = 20;

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Fast, Self::Farm, Self::Forged, Self::Replayer, Self::Solver];

    /// Its name in tables and pictures.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Farm => "farm",
            Self::Forged => "forged fingerprints",
            Self::Replayer => "replayer",
            Self::Solver => "solver",
        }
    }

    /// Makes an account that stands for a person into one of a bot of this strategy. `sale` is a number of the sale,
    /// `chance` a number drawn for this account, `arrives_ms` when the sale's page is first there.
    pub fn take_over(self, account: &mut Account, sale: u32, chance: u64, arrives_ms: i64) {
        account.is_bot = true;
        account.habit = Habit {
            arrives_ms: arrives_ms + (chance % SPREAD_MS) as i64,
            reacts_ms: chance % SPREAD_MS,
            presses_ms: chance % SPREAD_MS,
            polls_ms: POLLS_MS,
            solving: Solving::Never,
            replays: 0,
        };
        match self {
            Self::Fast => {}
            Self::Replayer => account.habit.replays = REPLAYS,
            Self::Farm | Self::Solver => {
                one_browser(account);
                account.fingerprint = format!("farm-{sale}");
                if self == Self::Solver {
                    account.habit.solving = Solving::Native;
                }
            }
            Self::Forged => {
                one_browser(account);
                // One that no person of the sale has.
                account.address = super::people::address(sale, super::people::FARM);
            }
        }
    }
}

fn one_browser(account: &mut Account) {
    AGENT.clone_into(&mut account.agent);
    "en".clone_into(&mut account.language);
    account.page = None;
}
