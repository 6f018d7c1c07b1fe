//! A sale that is attacked: what an attack must not change, and the honest order before and after it that says
//! that it could have.

use std::net::Ipv4Addr;

use anyhow::{Context, ensure};
use rdkafka::message::Message;
use serde_json::Value;

use super::forged::{Forged, Writer, read};
use super::{Stores, wait_for};
use crate::attack::client::Target;
use crate::attack::support::draft::Draft;
use crate::attack::support::wire::Answer;
use crate::attack::verdict::Got;

/// What stands of a sale as long as nobody orders, and operators do nothing.
const STANDS: [&str; 7] =
    ["capacity", "sold", "remaining", "paused", "archived", "status", "generation"];

/// A sale.
pub struct Scene<'s> {
    /// Where.
    pub stores: &'s Stores,
    /// Its product.
    pub product: String,
    /// The order that stands.
    pub order_id: String,
}

impl<'s> Scene<'s> {
    /// The control: a sale is opened on one node, and an order accepted on the other.
    ///
    /// # Errors
    /// It is not.
    pub fn open(stores: &'s Stores, units: u32) -> anyhow::Result<Self> {
        let product = stores.one.sale(units)?;
        let mut order_id = String::new();
        wait_for("an honest order is accepted", || {
            let answer = order(&stores.two, &product, &stores.one.unique("u"))?;
            order_id = answer.member("orderId");
            Ok(answer.word() == "success")
        })?;
        let scene = Self { stores, product, order_id };
        wait_for("both nodes know of it", || {
            Ok(scene.stands()?.iter().all(|stands| stands[1] == 1))
        })?;
        Ok(scene)
    }

    /// What both nodes say of it.
    ///
    /// # Errors
    /// One does not.
    pub fn stands(&self) -> anyhow::Result<[Vec<Value>; 2]> {
        let of = |node: &Target| {
            let shown = node.admin("GET", &format!("/admin/products/{}", self.product), "")?;
            ensure!(shown.status == 200, "the sale is not shown: {}", shown.text());
            let json = shown.json();
            anyhow::Ok(STANDS.map(|name| json[name].clone()).to_vec())
        };
        Ok([of(&self.stores.one)?, of(&self.stores.two)?])
    }

    /// How many changes there were that can turn a refusal into an acceptance.
    ///
    /// # Errors
    /// The node does not say.
    pub fn generation(&self) -> anyhow::Result<u64> {
        let [one, _] = self.stands()?;
        one[STANDS.len() - 1].as_u64().context("no generation")
    }

    /// An operator's change, on the first node.
    ///
    /// # Errors
    /// It does not take effect.
    pub fn change(&self, verb: &str, body: &str) -> anyhow::Result<()> {
        let path = format!("/admin/products/{}/{verb}", self.product);
        let answer = self.stores.one.admin("POST", &path, body)?;
        ensure!(answer.member("status") == "applied", "{verb}: {}", answer.text());
        self.stores.settled()
    }

    /// The messages about it in the topic.
    ///
    /// # Errors
    /// Kafka does not let it be read.
    pub fn records(&self) -> anyhow::Result<Vec<Forged>> {
        let all = read(&self.stores.as_node()?, &self.stores.topic)?;
        let own = all.iter().filter(|message| message.key() == Some(self.product.as_bytes()));
        Ok(own.map(Forged::copy).collect())
    }

    /// Writes messages as a node, which must change nothing.
    ///
    /// # Errors
    /// They cannot be written, or not be looked at.
    pub fn unmoved_by(&self, forged: &[Forged]) -> anyhow::Result<Got> {
        let before = self.stands()?;
        let writer = Writer::new(&self.stores.as_node()?)?;
        for forged in forged {
            let written = writer.send(&self.stores.topic, forged);
            written.map_err(|error| anyhow::anyhow!("cannot be written: {error}"))?;
        }
        self.stores.settled()?;
        let after = self.stands()?;
        if before == after {
            return Ok(Got::of(true, "nothing changed"));
        }
        let said = |stands: &[Vec<Value>; 2]| serde_json::json!(stands).to_string();
        Ok(Got::of(false, format!("{} became {}", said(&before), said(&after))))
    }

    /// The same, and each must be put aside in the topic of what is no record.
    ///
    /// # Errors
    /// See [`Scene::unmoved_by`].
    pub fn put_aside(&self, forged: &[Forged]) -> anyhow::Result<Got> {
        let before = self.stores.dead_letters()?;
        let unmoved = self.unmoved_by(forged)?;
        let aside = self.stores.dead_letters()? - before;
        let all = aside == forged.len() as u64;
        Ok(unmoved.and(Got::of(all, format!("{aside} of {} put aside", forged.len()))))
    }

    /// The sale goes on: somebody else's order is accepted.
    ///
    /// # Errors
    /// No answer.
    pub fn goes_on(&self) -> anyhow::Result<Got> {
        let answer = order(&self.stores.two, &self.product, &self.stores.one.unique("u"))?;
        Ok(Got::of(answer.word() == "success", format!("then {}", answer.summary())))
    }

    /// The order that stood still stands, on both nodes.
    ///
    /// # Errors
    /// No answer.
    pub fn order_stands(&self) -> anyhow::Result<Got> {
        let nodes = [&self.stores.one, &self.stores.two];
        let all: anyhow::Result<Vec<_>> =
            nodes.map(|node| order_status(node, &self.order_id)).into_iter().collect();
        let all = all?;
        Ok(Got::of(all.iter().all(|status| status == "confirmed"), format!("order {}", all[0])))
    }
}

/// An order by a shop, for this user.
///
/// # Errors
/// No answer.
pub fn order(node: &Target, product: &str, user: &str) -> anyhow::Result<Answer> {
    let draft = Draft::order(product, user, "k").sign(&node.client, node.now_ms());
    node.send(&draft)
}

/// What a node says of an order.
///
/// # Errors
/// No answer.
pub fn order_status(node: &Target, order_id: &str) -> anyhow::Result<String> {
    let draft = Draft::new("GET", &format!("/orders/{order_id}"), "");
    Ok(node.send(&draft.sign(&node.client, node.now_ms()))?.word())
}

/// Sells a product out on both nodes while somebody forges, and after. `forge` is run again and again for a
/// while; it says whether it did anything.
///
/// # Errors
/// The harness fails, not the attack.
pub fn in_mid_sale(
    stores: &Stores,
    forge: impl Fn(&str) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<Got> {
    const UNITS: u32 = 30;
    /// For so long the forger goes on.
    const FORGING: std::time::Duration = std::time::Duration::from_millis(1_500);
    let scene = Scene::open(stores, UNITS)?;
    let mut accepted = vec![scene.order_id.clone()];
    let mut attempt = |node: &Target| -> anyhow::Result<String> {
        let answer = order(node, &scene.product, &stores.one.unique("u"))?;
        if answer.word() == "success" {
            accepted.push(answer.member("orderId"));
        }
        Ok(answer.word())
    };
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let forging = scope.spawn(|| -> anyhow::Result<()> {
            while begun.elapsed() < FORGING {
                forge(&scene.product)?;
            }
            Ok(())
        });
        while begun.elapsed() < FORGING {
            attempt(&stores.one)?;
            attempt(&stores.two)?;
        }
        forging.join().expect("no panic").context("the forger")
    })?;
    // Rule 5: no unit is lost for good.
    wait_for("the rest is sold", || {
        let words = [attempt(&stores.one)?, attempt(&stores.two)?];
        Ok(words.iter().all(|word| word == "sold_out"))
    })?;
    stores.settled()?;
    let sold = scene.stands()?.map(|stands| stands[1].clone());
    let exact = sold.iter().all(|sold| *sold == UNITS);
    let mut false_ids = 0;
    for order_id in &accepted {
        false_ids += u32::from(order_status(&stores.two, order_id)? != "confirmed");
    }
    accepted.sort_unstable();
    accepted.dedup();
    let kept: usize = stores
        .ledger(&format!(
            "SELECT count(*) FROM flux_gate.orders WHERE product = '{}'",
            scene.product
        ))?
        .parse()?;
    let true_ids = false_ids == 0 && accepted.len() <= UNITS as usize && kept == UNITS as usize;
    let what = format!(
        "{} of {UNITS} sold, {} told, {false_ids} falsely, {kept} in the ledger",
        sold[0],
        accepted.len()
    );
    Ok(Got::of(exact && true_ids, what))
}

/// An address of the loopback that no service listens on.
pub const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
