//! All attacks, by what they aim at.

use anyhow::ensure;

use super::client::{Shopper, Target};
use super::servers::Servers;
use super::support::draft::Draft;
use super::verdict::Got;
use super::{Attack, Done};

mod access;
mod addresses;
mod aftermath;
mod around;
mod bots;
mod console;
mod exhaustion;
mod incident;
mod injection;
mod live;
mod look;
mod operators;
mod privacy;
mod races;
mod replay;
mod room;
mod service;
mod sessions;
mod signature;
mod smuggling;
#[cfg(feature = "distributed")]
pub mod stores;
mod tokens;

pub use aftermath::aftermath;

/// Those by way of the stores.
#[cfg(feature = "distributed")]
const STORES: &[&[Attack]] = &stores::ATTACKS;
#[cfg(not(feature = "distributed"))]
const STORES: &[&[Attack]] = &[];

/// All attacks, in the order in which they run.
pub fn all() -> impl Iterator<Item = &'static Attack> {
    let lists: &'static [&'static [Attack]] = &[
        signature::ATTACKS,
        sessions::ATTACKS,
        tokens::ATTACKS,
        replay::ATTACKS,
        races::ATTACKS,
        access::ATTACKS,
        operators::ATTACKS,
        live::ATTACKS,
        incident::ATTACKS,
        look::ATTACKS,
        injection::ATTACKS,
        smuggling::ATTACKS,
        addresses::ATTACKS,
        bots::ATTACKS,
        console::ATTACKS,
        privacy::ATTACKS,
        room::ATTACKS,
        around::ATTACKS,
        service::ATTACKS,
        exhaustion::ATTACKS,
    ];
    lists.iter().chain(STORES).copied().flatten()
}

/// Honest calls, which must succeed.
///
/// # Errors
/// One does not.
pub fn controls(target: &Target) -> anyhow::Result<()> {
    let product = target.sale(10)?;
    let (order_id, shopper, _) = target.accepted(&product)?;
    let show = Draft::new("GET", &format!("/orders/{order_id}"), "");
    let shown = target.send(&show.sign(&shopper.signer, target.now_ms()))?;
    ensure!(shown.word() == "confirmed", "an own order is not shown: {}", shown.text());
    let by_shop = Draft::order(&product, &target.unique("u"), &target.unique("k"));
    let answer = target.send(&by_shop.sign(&target.client, target.now_ms()))?;
    ensure!(answer.word() == "success", "a shop's order is not accepted: {}", answer.text());
    ensure!(target.sold(&product)? == 2, "two orders are not two units");
    if target.own.is_some() {
        tokens::controls(target)?;
    }
    Ok(())
}

/// A shopper's order of a new product, changed before and after it is signed, must be refused with this
/// status and word, and nothing may be sold.
fn refused_order(
    target: &Target,
    (status, word): (u16, &str),
    before: impl Fn(Draft) -> Draft,
    after: impl Fn(Draft, &Shopper) -> Draft,
) -> anyhow::Result<Got> {
    let product = target.sale(5)?;
    let shopper = target.shopper()?;
    let draft = before(Draft::order(&product, &shopper.user, &target.unique("k")));
    let draft = after(draft.sign(&shopper.signer, target.now_ms()), &shopper);
    let answer = target.send(&draft)?;
    Ok(Got::refused(&answer, status, word).and(target.must_have_sold(&product, 0)?))
}

/// The order as it is.
fn as_it_is(draft: Draft, _: &Shopper) -> Draft {
    draft
}
