//! Honest shoppers: where they are, what they use, and how long a person takes.

use std::net::Ipv4Addr;

use flux_gate::load::sessions::Shopper;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::sale::Plan;
use crate::support::draft::{Draft, Signer};

/// Hashes a second of a person's laptop, by the table of `src/guard/challenge/work.rs`.
pub const LAPTOP_HASHES_PER_SECOND: u32 = 150_000;
/// Of so many people so many are behind a carrier's address that they share.
const BEHIND_CARRIER: (u64, u64) = (2, 5);
/// How many share one.
const CARRIER_USERS: u32 = 20;
/// How often a person's page asks whether it is their turn, in milliseconds: from, to.
const POLLS_MS: (u64, u64) = (1_000, 2_500);
/// Nobody comes later than this before the opening who is in the draw, in milliseconds.
const LAST_MS: i64 = 500;
/// Those who come after the opening come within this, in milliseconds.
const LATE_MS: i64 = 3_000;
/// From the opening, or from one's turn, to the press: at least, and on average beyond that, in milliseconds.
const PRESS_MS: (u64, f64) = (400, 1_200.0);
/// Numbers of addresses that one sale has.
const ADDRESSES: u32 = 1_024;
/// The number of a farm's one address in its sale; people have those below.
pub const FARM: u32 = ADDRESSES - 1;

/// One who wants one unit, with an account at the shop.
#[derive(Debug, Clone)]
pub struct Account {
    /// Whether a bot has it.
    pub is_bot: bool,
    /// Its user id.
    pub user: String,
    /// Its session.
    pub signer: Signer,
    /// From where it comes.
    pub address: String,
    /// `user-agent`.
    pub agent: String,
    /// `accept-language`.
    pub language: String,
    /// `x-device-fingerprint`, sent with orders.
    pub fingerprint: String,
    /// `x-page-signals`, sent with orders.
    pub page: Option<String>,
    /// What it does, and when.
    pub habit: Habit,
}

/// What somebody does, and how long it takes.
#[derive(Debug, Clone, Copy)]
pub struct Habit {
    /// When the page is opened: milliseconds after the opening, negative before it.
    pub arrives_ms: i64,
    /// From the opening, or the arrival if that is later, to the press, where there is no room.
    pub reacts_ms: u64,
    /// From one's turn to the press, where there is one.
    pub presses_ms: u64,
    /// Between two looks whether it is one's turn.
    pub polls_ms: u64,
    /// What is done about a challenge.
    pub solving: Solving,
    /// How often an accepted order is sent again, in each of several ways.
    pub replays: u32,
}

/// What is done about a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Solving {
    /// Nothing.
    Never,
    /// It is solved by a native program, on one core that all who do so share.
    Native,
    /// It is solved, and that is made to take as long as at so many hashes a second.
    AtRate(u32),
}

/// The accounts of a sale: the plan's share of them is the bots'.
pub fn accounts(plan: &Plan, sale: u32, shoppers: &[Shopper], seed: u64) -> Vec<Account> {
    let mut rng = StdRng::seed_from_u64(seed ^ (u64::from(sale) << 32));
    let bots = plan.bots() as usize;
    let mut accounts: Vec<Account> = (0..)
        .zip(shoppers)
        .map(|(number, shopper)| person(plan, sale, number, shopper, &mut rng))
        .collect();
    for account in accounts.iter_mut().take(bots) {
        plan.strategy.take_over(account, sale, rng.random(), -i64::from(plan.lead_ms));
    }
    // Who asks first of those who ask at the same time is not said by the order of this list.
    for last in (1..accounts.len()).rev() {
        accounts.swap(last, rng.random_range(0..=last));
    }
    accounts
}

/// The address of this number of a sale.
pub fn address(sale: u32, number: u32) -> String {
    let base = u32::from(Ipv4Addr::new(10, 0, 0, 0));
    Ipv4Addr::from(base + (sale * ADDRESSES + number) % (1 << 24)).to_string()
}

fn person(plan: &Plan, sale: u32, number: u32, shopper: &Shopper, rng: &mut StdRng) -> Account {
    let (some, of) = BEHIND_CARRIER;
    let shares = rng.random_range(0..of) < some;
    // A carrier's addresses lie above those of single people.
    let place =
        if shares { ADDRESSES / 2 + number / CARRIER_USERS } else { number % (ADDRESSES / 2) };
    let (agent, language) = device(rng);
    let late = rng.random_range(0..100) < plan.late_percent;
    let arrives_ms = if late {
        rng.random_range(LAST_MS..LATE_MS)
    } else {
        -rng.random_range(LAST_MS..i64::from(plan.lead_ms).max(LAST_MS + 1))
    };
    let moves = rng.random_range(3..60);
    let open_ms = rng.random_range(900..20_000);
    Account {
        is_bot: false,
        user: shopper.user().to_string(),
        signer: Signer::Shopper {
            pass: shopper.pass().to_owned(),
            session_key: shopper.session_key().to_owned(),
        },
        address: address(sale, place),
        agent,
        language,
        fingerprint: format!("{:032x}", rng.random::<u128>()),
        page: Some(format!("t={open_ms};p={moves}")),
        habit: Habit {
            arrives_ms,
            reacts_ms: press_ms(rng),
            presses_ms: press_ms(rng),
            polls_ms: rng.random_range(POLLS_MS.0..POLLS_MS.1),
            solving: Solving::AtRate(LAPTOP_HASHES_PER_SECOND),
            replays: 0,
        },
    }
}

/// An exponential delay after the shortest one.
fn press_ms(rng: &mut StdRng) -> u64 {
    let (least, mean) = PRESS_MS;
    let uniform: f64 = rng.random_range(1e-9..1.0);
    // One in 150 would take longer than this.
    least + (-uniform.ln()).min(5.0).mul_add(mean, 0.0) as u64
}

/// One of some hundred kinds of browser and language.
fn device(rng: &mut StdRng) -> (String, String) {
    let version = rng.random_range(128..142);
    let agent = match rng.random_range(0..4) {
        0 => format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
        ),
        1 => format!(
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Mobile Safari/537.36"
        ),
        2 => format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"
        ),
        _ => format!(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_{} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.{} Mobile/15E148 Safari/604.1",
            version % 7,
            version % 7
        ),
    };
    let languages =
        ["de-DE,de;q=0.9", "en-GB,en;q=0.8", "fr-FR,fr;q=0.9", "it-IT", "pl-PL,pl;q=0.9"];
    (agent, languages[rng.random_range(0..languages.len())].to_owned())
}

impl Account {
    /// Adds to a request what all of this account's carry.
    pub fn dressed(&self, draft: Draft) -> Draft {
        draft
            .set("x-forwarded-for", &self.address)
            .set("user-agent", &self.agent)
            .set("accept", "*/*")
            .set("accept-language", &self.language)
            .set("content-type", "application/json")
    }

    /// An order of this account under this key, unsigned.
    pub fn order(&self, product: &str, key: &str) -> Draft {
        let draft = self.dressed(Draft::order(product, &self.user, key));
        let draft = draft.set("x-device-fingerprint", &self.fingerprint);
        match &self.page {
            Some(page) => draft.set("x-page-signals", page),
            None => draft,
        }
    }
}
