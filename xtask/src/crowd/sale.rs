//! Sales and their crowds: many at a time on one server, each with its own accounts and addresses.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, ensure};
use flux_gate::clock::Clock;
use flux_gate::load::sessions::{Credentials, open_crowd};
use flux_gate::load::target::Target;
use tokio::task::LocalSet;

use super::bots::Strategy;
use super::lines::Lines;
use super::people;
use super::solver::{Cost, Solver};
use super::visit::{Ending, Visit, World, visit};
use crate::bench::servers::{self, CLIENT_ID, CLIENT_SECRET};
use crate::support::server::Server;

/// Time between the last session and the first arrival, in milliseconds.
const BREATH_MS: u64 = 300;
/// Time to create a sale, in milliseconds.
const CREATE_MS: u64 = 5;

/// What stands between a crowd and the stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Defence {
    /// No waiting room, no bot score, no challenges.
    Off,
    /// A waiting room with the draw; score and challenges as they are by default.
    Default,
    /// The same with the stricter thresholds that `docs/CONFIGURATION.md` gives to shops whose page sends
    /// fingerprints and solves challenges.
    Strict,
}

impl Defence {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Default, Self::Strict];

    /// Its name in tables and pictures.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Default => "on",
            Self::Strict => "strict",
        }
    }

    /// The configuration. What does not stand here is as it is by default, the limits of addresses, fingerprints and
    /// buyers among it, with every defence.
    fn config(self) -> String {
        let own = match self {
            Self::Off => "[score]\nenabled = false\n".to_owned(),
            Self::Default => ROOM.to_owned(),
            Self::Strict => {
                format!("{ROOM}[score]\nchallenge_above = 50\nrefuse_above = 100\n")
            }
        };
        super::config(&own)
    }
}

/// Every product by way of a room. Admissions end after 10 s in place of 120, so that a run in which some are held
/// for nothing is over in a minute.
const ROOM: &str = "[room]\nproducts = [\"*\"]\nadmission_seconds = 10\npoll_seconds = 2\n";

/// What a sale is and who comes.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What its bots do.
    pub strategy: Strategy,
    /// Of a hundred accounts so many are bots'.
    pub bots_percent: u32,
    /// Accounts that want one unit each.
    pub accounts: u32,
    /// Units.
    pub units: u32,
    /// Of a hundred people so many come after the opening.
    pub late_percent: u32,
    /// How long before the opening its page is there, in milliseconds.
    pub lead_ms: u32,
    /// How long after it everybody goes home, in milliseconds.
    pub run_ms: u32,
}

impl Plan {
    /// Accounts of bots.
    pub fn bots(&self) -> u32 {
        self.accounts * self.bots_percent / 100
    }
}

/// What came of a sale.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Sold {
    /// Units.
    pub units: u32,
    /// Units sold, by the operator's count.
    pub sold: u32,
    /// Accounts of bots.
    pub bots: u32,
    /// Accounts of people.
    pub people: u32,
    /// Units that bots have.
    pub by_bots: u32,
    /// Units that people have.
    pub by_people: u32,
    /// Orders beside the first of an account that were accepted.
    pub extra: u32,
    /// How the bots' visits ended that ended without a unit.
    pub bots_without: BTreeMap<String, u32>,
    /// How the people's visits ended that ended without a unit.
    pub people_without: BTreeMap<String, u32>,
}

impl Sold {
    /// What must hold of every sale, whoever came.
    ///
    /// # Errors
    /// It does not.
    pub fn check(&self) -> anyhow::Result<()> {
        let Self { units, sold, bots, people, by_bots, by_people, extra, .. } = self;
        ensure!(sold <= units, "{sold} of {units} units are sold");
        ensure!(by_bots + by_people == *sold, "{by_bots} and {by_people} bought, {sold} are sold");
        ensure!(*extra == 0, "{extra} orders came of replays");
        let count = |without: &BTreeMap<String, u32>| without.values().sum::<u32>();
        ensure!(by_bots + count(&self.bots_without) == *bots, "a bot's visit is missing");
        ensure!(by_people + count(&self.people_without) == *people, "a visit is missing");
        Ok(())
    }

    /// The bots' part of what was sold.
    pub fn share(&self) -> f64 {
        f64::from(self.by_bots) / f64::from(self.sold.max(1))
    }

    /// The bots' part of the accounts.
    pub fn fair(&self) -> f64 {
        f64::from(self.bots) / f64::from(self.bots + self.people)
    }
}

/// A server under a defence, for one batch of sales after the other.
pub struct Scene {
    defence: Defence,
    server: Server,
    clock: Clock,
    seed: u64,
    sales: u32,
    /// What solving challenges has cost the bots.
    pub cost: Cost,
    /// Requests of visitors.
    pub requests: u64,
}

impl Scene {
    /// Starts the server on a store in `dir`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(
        program: &Path,
        dir: &Path,
        defence: Defence,
        clock: &Clock,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let server = Server::start(program, &dir.join(defence.word()), &defence.config())?;
        let cost = Cost::default();
        Ok(Self { defence, server, clock: clock.clone(), seed, sales: 0, cost, requests: 0 })
    }

    /// Carries sales out, all at the same time.
    ///
    /// # Errors
    /// The server fails, or what must hold of a sale does not.
    pub fn run(&mut self, plans: &[Plan]) -> anyhow::Result<Vec<Sold>> {
        let first = self.sales;
        self.sales += plans.len() as u32;
        let count = plans.iter().map(|plan| plan.accounts as usize).sum();
        let target = Target::plain(self.server.public);
        let credentials = Credentials::new(CLIENT_ID, CLIENT_SECRET);
        let prefix = format!("c{first}");
        let crowd = open_crowd(&target, &credentials, &prefix, count, &self.clock, |_| ())?;
        let lead_ms = plans.iter().map(|plan| plan.lead_ms).max().unwrap_or_default();
        let run_ms = plans.iter().map(|plan| plan.run_ms).max().unwrap_or_default();
        let prepared_ms = BREATH_MS + CREATE_MS * plans.len() as u64;
        let opens_ms = self.clock.unix_ms() + prepared_ms + u64::from(lead_ms);
        for (sale, plan) in (first..).zip(plans) {
            let body = format!(
                r#"{{"productId":"sale-{sale}","quantity":{},"opensAt":{opens_ms}}}"#,
                plan.units
            );
            servers::operate(&self.server, "POST", "/admin/products", &body)?;
        }
        let world = Rc::new(World {
            lines: Lines::new(self.server.public),
            clock: self.clock.clone(),
            solver: Solver::default(),
            has_room: self.defence != Defence::Off,
            opens_ms,
            ends_ms: opens_ms + u64::from(run_ms),
            requests: std::cell::Cell::new(0),
        });
        let mut rest = &crowd.shoppers[..];
        let mut accounts = Vec::with_capacity(plans.len());
        for (sale, plan) in (first..).zip(plans) {
            let (own, others) = rest.split_at(plan.accounts as usize);
            rest = others;
            accounts.push((sale, people::accounts(plan, sale, own, self.seed)));
        }
        let visits = all_visits(&world, accounts)?;
        let cost = world.solver.cost();
        self.cost.solved += cost.solved;
        self.cost.hashes += cost.hashes;
        self.cost.busy += cost.busy;
        self.requests += world.requests.get();
        let mut sold = Vec::with_capacity(plans.len());
        for ((sale, plan), visits) in (first..).zip(plans).zip(&visits) {
            let sale = self.sold(sale, plan, visits)?;
            sale.check().with_context(|| format!("{plan:?}: {sale:?}"))?;
            sold.push(sale);
        }
        Ok(sold)
    }

    fn sold(&self, sale: u32, plan: &Plan, visits: &[(bool, Visit)]) -> anyhow::Result<Sold> {
        let path = format!("/admin/products/sale-{sale}");
        let shown = servers::operate(&self.server, "GET", &path, "")?;
        let shown: serde_json::Value = serde_json::from_str(&shown)?;
        let count = shown["sold"].as_u64().context("no count of what is sold")?;
        let mut sold = Sold {
            units: plan.units,
            sold: count as u32,
            bots: plan.bots(),
            people: plan.accounts - plan.bots(),
            by_bots: 0,
            by_people: 0,
            extra: 0,
            bots_without: BTreeMap::new(),
            people_without: BTreeMap::new(),
        };
        for (is_bot, visit) in visits {
            sold.extra += visit.extra;
            let (bought, without) = if *is_bot {
                (&mut sold.by_bots, &mut sold.bots_without)
            } else {
                (&mut sold.by_people, &mut sold.people_without)
            };
            match &visit.ending {
                Ending::Bought => *bought += 1,
                Ending::SoldOut => *without.entry("sold out".to_owned()).or_default() += 1,
                Ending::Unserved => *without.entry("not served".to_owned()).or_default() += 1,
                Ending::Refused(word) => *without.entry(word.clone()).or_default() += 1,
            }
        }
        Ok(sold)
    }
}

type OfSale = (u32, Vec<people::Account>);

/// Everybody at once, on this thread; one further thread solves challenges.
fn all_visits(world: &Rc<World>, accounts: Vec<OfSale>) -> anyhow::Result<Vec<Vec<(bool, Visit)>>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let begun: Vec<Vec<_>> = accounts
            .into_iter()
            .map(|(sale, accounts)| {
                let begin = |account: people::Account| {
                    let world = Rc::clone(world);
                    tokio::task::spawn_local(async move {
                        let is_bot = account.is_bot;
                        let visit = visit(&world, &format!("sale-{sale}"), account).await?;
                        anyhow::Ok((is_bot, visit))
                    })
                };
                accounts.into_iter().map(begin).collect()
            })
            .collect();
        let mut all = Vec::with_capacity(begun.len());
        for of_sale in begun {
            let mut visits = Vec::with_capacity(of_sale.len());
            for visit in of_sale {
                visits.push(visit.await??);
            }
            all.push(visits);
        }
        Ok(all)
    })
}
