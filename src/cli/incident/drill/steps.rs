//! The steps of the drill: what each does, and what must come of it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::crowd::{FARM, FARM_NET, Told};
use super::{NotHeld, Seen, Stage};
use crate::cli::Failure;
use crate::incident::bundle::{self, Bundle};
use crate::incident::check::check;
use crate::keys::signer::PublicKey;

/// Orders of the farm with which the attack counts as seen.
const BOT_ORDERS_MIN: usize = 60;
/// How soon after the command the last order must have been answered, in milliseconds.
const STOP_MS_MAX: u64 = 1_000;
/// How long it is watched whether anything is confirmed.
const WATCH: Duration = Duration::from_millis(1_200);
/// How long something may take that must come, in milliseconds.
const PATIENCE_MS: u64 = 30_000;
/// Answers of the farm with which it counts as watched.
const ANSWERS_MIN: usize = 20;
/// How long a block or a limit of the drill lasts, in milliseconds.
const LASTS_MS: u64 = 600_000;

/// How the sale stands.
struct Count {
    sold: u64,
    remaining: u64,
}

impl Stage<'_> {
    /// All steps, up to the first one that does not hold.
    pub(super) fn walk(&mut self) -> Result<Result<(), NotHeld>, Failure> {
        macro_rules! step {
            ($($step:tt)*) => {
                if let Err(not_held) = self.step($($step)*)? {
                    return Ok(Err(not_held));
                }
            };
        }
        let since_ms = self.machine.clock.unix_ms();
        let mut suspicious = Vec::new();
        step!("see", "the count rises, much of it bots", Self::see);
        step!(
            "stop",
            "no order is answered later than 1 s after the command; the count is true",
            Self::stop
        );
        step!("investigate", "every order of the farm is found, and nobody else's", |stage| {
            suspicious = stage.investigate(since_ms)?;
            Ok(stage.judge(&suspicious))
        });
        step!(
            "analyse",
            "a block of the farm's device would have caught all of it and nobody else",
            |stage| stage.analyse(since_ms)
        );
        step!("dry run", "it says how many it would take back, and takes none", |stage| {
            stage.dry_run(&suspicious)
        });
        step!("reverse", "each is taken back once, its unit is for sale again", |stage| {
            stage.reverse(&suspicious)
        });
        step!("tighten", "the farm is held to 1 request a second, shoppers are not", Self::tighten);
        step!("block", "the farm is refused at the door, shoppers are not", Self::block);
        step!("resume", "shoppers buy, the farm does not", Self::resume);
        step!("report", "a signed bundle with what was done", |stage| stage.write_report(since_ms));
        step!("check", "the report is sound; with one byte changed it is not", Self::check_report);
        Ok(Ok(()))
    }

    fn count(&mut self) -> Result<Count, Failure> {
        let product = self.product()?;
        let number = |name: &str| product[name].as_u64().unwrap_or_default();
        Ok(Count { sold: number("sold"), remaining: number("remaining") })
    }

    fn see(&mut self) -> Result<Seen, Failure> {
        let farmed = |stage: &Self| stage.crowd.told(|told| told.bot && told.order.is_some()).len();
        let enough = self.wait_for(PATIENCE_MS, |stage| Ok(farmed(stage) >= BOT_ORDERS_MIN))?;
        let (sold, bots) = (self.count()?.sold, farmed(self));
        Ok(Seen::of(enough && sold > 0, format!("{sold} sold, {bots} of them to bots")))
    }

    fn stop(&mut self) -> Result<Seen, Failure> {
        let began_us = self.now_us();
        let body = json!({"product": self.product, "reason": "drill: a farm of bots"});
        let reply = self.post("/admin/incident/stop", &body)?;
        let answered_us = self.now_us();
        std::thread::sleep(WATCH);
        let accepted = self.crowd.told(|told| told.order.is_some());
        let last_us = accepted.iter().map(|told| told.answered_us).max().unwrap_or_default();
        let last_ms = last_us.saturating_sub(began_us) / 1_000;
        let later = accepted.iter().filter(|told| told.sent_us > answered_us).count();
        let told: BTreeSet<_> = accepted.iter().filter_map(|told| told.order.as_ref()).collect();
        let sold = self.count()?.sold;
        let stopped = reply["stopped"][0]["status"] == "stopped";
        let held = stopped && last_ms <= STOP_MS_MAX && later == 0 && sold == told.len() as u64;
        Ok(Seen::of(
            held,
            format!(
                "decided in {} ms, the last order was answered {last_ms} ms after the command, \
                 {later} after it; {sold} sold, {} were told so",
                reply["ms"],
                told.len()
            ),
        ))
    }

    /// The orders that share the farm's fingerprint, as the evidence has them.
    fn investigate(&mut self, since_ms: u64) -> Result<Vec<String>, Failure> {
        let farm = self.crowd.told(|told| told.bot && told.order.is_some()).len();
        let mut found = Vec::new();
        // Evidence is written each second.
        self.wait_for(PATIENCE_MS, |stage| {
            found = stage.suspicious(since_ms)?;
            Ok(found.len() >= farm)
        })?;
        Ok(found)
    }

    fn suspicious(&mut self, since_ms: u64) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!(
                "/admin/incident/orders?product={}&since={since_ms}&pattern=shared_fingerprint\
                 &limit=1000{after}",
                self.product
            );
            let page = self.get(&path)?;
            let orders = page["orders"].as_array().cloned().unwrap_or_default();
            found.extend(orders.iter().filter_map(|o| o["orderId"].as_str().map(str::to_owned)));
            match &page["next"] {
                Value::Null => return Ok(found),
                Value::String(next) => after = format!("&after={next}"),
                next => after = format!("&after={next}"),
            }
        }
    }

    fn judge(&self, found: &[String]) -> Seen {
        let farm = self.crowd.told(|told| told.bot && told.order.is_some());
        let farm: BTreeSet<_> = farm.into_iter().filter_map(|told| told.order).collect();
        let found: BTreeSet<_> = found.iter().cloned().collect();
        let others = found.difference(&farm).count();
        let what = format!("{} found of {} of the farm, {others} others", found.len(), farm.len());
        Seen::of(found == farm, what)
    }

    fn analyse(&mut self, since_ms: u64) -> Result<Seen, Failure> {
        let path = format!(
            "/admin/incident/analysis?product={}&since={since_ms}&pattern=shared_fingerprint",
            self.product
        );
        let analysis = self.get(&path)?;
        let farm = self.crowd.told(|told| told.bot && told.order.is_some()).len();
        let rules = analysis["rules"].as_array().cloned().unwrap_or_default();
        let counts = |rule: &Value| ["caught", "collateral"].map(|name| rule[name].as_u64());
        let is_of = |rule: &&Value, word: &str| rule["rule"] == word;
        let blocked = rules.iter().find(|rule| {
            let source = rule["source"].as_str().unwrap_or_default();
            is_of(rule, "block") && source.starts_with("fingerprint-")
        });
        let limited =
            rules.iter().find(|rule| is_of(rule, "fingerprint_per_second") && rule["value"] == 1);
        let caught = [blocked, limited].map(|rule| rule.map(counts).unwrap_or_default());
        let [[blocked, spared], [limited, passed]] =
            caught.map(|rule| rule.map(Option::unwrap_or_default));
        let all = analysis["suspicious"] == farm && blocked == farm as u64 && spared == 0;
        let most = limited * 2 > farm as u64 && passed == 0;
        Ok(Seen::of(
            all && most,
            format!(
                "{} suspicious; a block of the device would have caught {blocked} and {spared} others, \
                 one request a second for each device {limited} and {passed} others",
                analysis["suspicious"]
            ),
        ))
    }

    fn reversal(&mut self, orders: &[String], dry_run: bool) -> Result<Value, Failure> {
        let body = json!({
            "product": self.product, "orders": orders, "restock": true, "dryRun": dry_run,
            "reason": "drill: orders of a farm",
        });
        self.post("/admin/incident/reverse", &body)
    }

    fn dry_run(&mut self, orders: &[String]) -> Result<Seen, Failure> {
        let before = self.count()?.sold;
        let would = self.reversal(orders, true)?;
        let after = self.count()?.sold;
        let held = would["reversed"] == orders.len() && before == after;
        Ok(Seen::of(
            held,
            format!("it would take back {}; {after} sold as before", would["reversed"]),
        ))
    }

    fn reverse(&mut self, orders: &[String]) -> Result<Seen, Failure> {
        let before = self.count()?;
        let first = self.reversal(orders, false)?;
        let again = self.reversal(orders, false)?;
        let after = self.count()?;
        let number = orders.len() as u64;
        let once =
            first["reversed"] == number && again["reversed"] == 0 && again["already"] == number;
        let counted =
            before.sold - after.sold == number && after.remaining - before.remaining == number;
        Ok(Seen::of(
            once && counted,
            format!(
                "{} taken back, asked again {} more; {} sold, {} left",
                first["reversed"], again["reversed"], after.sold, after.remaining
            ),
        ))
    }

    fn tighten(&mut self) -> Result<Seen, Failure> {
        let until = self.machine.clock.unix_ms() + LASTS_MS;
        let body = json!({
            "limit": "fingerprint_per_second", "value": 1, "until": until,
            "reason": "drill: one device, many users",
        });
        self.post("/admin/limits", &body)?;
        let from_us = self.now_us();
        let (farm, people) = self.watch(from_us)?;
        let (limited, spared) = (of(&farm, "too_many_requests"), of(&people, "too_many_requests"));
        // What a second gives, at once and then each second; the clock of the limit has steps.
        let passes_max = 2 + self.now_us().saturating_sub(from_us) / 1_000_000;
        // The sale is stopped, so that is what the others are told.
        let passed = farm.len() - limited;
        let held = passed as u64 <= passes_max && limited > 0 && spared == 0;
        let held = held && of(&people, "paused") > 0;
        Ok(Seen::of(
            held,
            format!(
                "{limited} of {} of the farm refused, {spared} of {} shoppers",
                farm.len(),
                people.len()
            ),
        ))
    }

    /// The answers to the farm and to shoppers from this moment on: for a while, and until both have some.
    fn watch(&mut self, from_us: u64) -> Result<(Vec<Told>, Vec<Told>), Failure> {
        std::thread::sleep(WATCH);
        self.wait_for(PATIENCE_MS, |stage| {
            let people = stage.answers(from_us, false);
            Ok(stage.answers(from_us, true).len() >= ANSWERS_MIN && !people.is_empty())
        })?;
        Ok((self.answers(from_us, true), self.answers(from_us, false)))
    }

    fn block(&mut self) -> Result<Seen, Failure> {
        let until = self.machine.clock.unix_ms() + LASTS_MS;
        for target in [("address", FARM_NET), ("fingerprint", FARM)] {
            let mut body = json!({"until": until, "reason": "drill"});
            body[target.0] = target.1.into();
            self.post("/admin/blocks", &body)?;
        }
        let from_us = self.now_us();
        let (farm, people) = self.watch(from_us)?;
        let (blocked, spared) = (of(&farm, "blocked"), of(&people, "blocked"));
        let held = blocked == farm.len() && blocked > 0 && spared == 0;
        Ok(Seen::of(
            held,
            format!(
                "{blocked} of {} of the farm blocked, {spared} of {} shoppers",
                farm.len(),
                people.len()
            ),
        ))
    }

    fn resume(&mut self) -> Result<Seen, Failure> {
        let body = json!({"product": self.product, "reason": "drill: the farm is blocked"});
        let from_us = self.now_us();
        self.post("/admin/incident/resume", &body)?;
        let bought = |stage: &Self, bot| {
            stage.answers(from_us, bot).iter().filter(|told| told.order.is_some()).count()
        };
        self.wait_for(PATIENCE_MS, |stage| Ok(bought(stage, false) >= 20))?;
        std::thread::sleep(WATCH);
        let (people, farm) = (bought(self, false), bought(self, true));
        Ok(Seen::of(
            people >= 20 && farm == 0,
            format!("{people} orders of shoppers, {farm} of the farm"),
        ))
    }

    fn write_report(&mut self, since_ms: u64) -> Result<Seen, Failure> {
        self.crowd.end();
        let path = format!("/admin/incident/report?since={since_ms}&product={}", self.product);
        let report = self.get(&path)?;
        let bundle: Bundle = serde_json::from_value(report)?;
        bundle.write(&self.report)?;
        let story: Value = serde_json::from_str(&bundle.json)?;
        let did: Vec<_> = story["actions"].as_array().into_iter().flatten().collect();
        let all = ["sale_paused", "order_reversed", "limit_set", "block_set", "sale_resumed"];
        let told = all.iter().all(|what| did.iter().any(|action| action["what"] == *what));
        let named = [FARM, FARM_NET, "203.0.113.", "shopper-", "bot-"];
        let named =
            named.iter().filter(|name| bundle.files().any(|(_, text)| text.contains(**name)));
        let named = named.count();
        Ok(Seen::of(
            told && named == 0,
            format!("{} actions, nobody is named; {}", did.len(), self.report.display()),
        ))
    }

    fn check_report(&mut self) -> Result<Seen, Failure> {
        let keys: Value =
            self.runtime.block_on(self.public.get("/.well-known/flux-gate-keys.json"))?;
        let keys = keys["keys"].as_array().cloned().unwrap_or_default();
        let key =
            keys.iter().find(|key| key["signs"] == "audit").and_then(|key| key["hex"].as_str());
        let key: PublicKey = key.unwrap_or_default().parse()?;
        let checked = check(&self.report, &key)?;
        let file = self.report.join(bundle::MARKDOWN);
        let text = std::fs::read(&file)?;
        let mut forged = text.clone();
        if let Some(byte) = forged.last_mut() {
            *byte ^= 1;
        }
        std::fs::write(&file, forged)?;
        let found = !check(&self.report, &key)?.is_sound();
        std::fs::write(&file, text)?;
        let held = checked.is_sound() && checked.head_follows && found;
        Ok(Seen::of(
            held,
            format!(
                "{}, {} lines of the trail, {} rows of the log; the change was {}",
                if checked.is_sound() { "sound" } else { "NOT SOUND" },
                checked.audit_lines,
                checked.log_rows,
                if found { "found" } else { "NOT FOUND" }
            ),
        ))
    }
}

/// How many were told this.
fn of(told: &[Told], word: &str) -> usize {
    told.iter().filter(|told| told.word == word).count()
}
