//! The guard of waiting rooms: who calls, and the passes that admit to a sale.
//!
//! A shopper waits for longer than a pass is good, so here a pass is good for [`WAIT_MS_MAX`] longer, for nothing
//! but the room: whether its holder has a place there, the caller looks up. An order needs a pass that is good.

use crate::guard::cache::KnownPass;
use crate::guard::limits::{Entered, Place, RateStatus};
use crate::guard::pass::{Pass, PassId};
use crate::guard::{
    CallerKind, Guard, Now, OrderRequest, PassCache, Refusal, Refused, Request, check_signature,
    headers, shopper_pass, slow_down,
};
use crate::room::Doors;
use crate::sale::{BuyerRef, IdempotencyKey, ProductId, UserId};

/// How long after its time a pass is good in the waiting room, in milliseconds: six hours.
pub const WAIT_MS_MAX: u64 = 6 * 3_600_000;

/// A shopper who calls the waiting room.
pub struct Shopper {
    /// Who.
    pub user: UserId,
    /// The name space of the user's id.
    pub name_space: Box<str>,
    /// Who, as a pseudonym.
    pub buyer: BuyerRef,
    /// The name of the pass.
    pub pass_id: PassId,
    /// Whether the pass's time is over: good for a place that is there, not for a new one.
    pub expired: bool,
    /// From where, as pseudonyms.
    pub origin: crate::gate::Origin,
    /// The same for the score, by tags of this process.
    place: Place,
    /// The rate that the call counted against; absent where that is off.
    pub rate: Option<RateStatus>,
}

/// An admission: a pass for one sale, and its session key.
pub struct Admission {
    /// The pass.
    pub pass: String,
    /// Its session key.
    pub session_key: String,
}

impl Guard {
    /// Which products are bought by way of their room alone.
    pub fn doors(&self) -> &std::sync::Arc<Doors> {
        &self.doors
    }

    /// Checks 2 to 6 of a shopper's signed call of the waiting room, and that the user is not blocked.
    ///
    /// # Errors
    /// The refusal of the first check that the request does not pass.
    pub fn waiting(
        &self,
        cache: &mut PassCache,
        request: &Request<'_>,
        now: Now,
    ) -> Result<Shopper, Refused> {
        let entered = self.enter(request, now)?;
        let at_door = |refusal| Refused { refusal, rate: entered.status };
        let why = "A waiting room is for shoppers: send a session pass.";
        let pass = shopper_pass(request.headers, why).map_err(at_door)?;
        let known = self.pass(&mut cache.passes, pass, now, WAIT_MS_MAX).map_err(at_door)?;
        let time = headers::request_time(request.headers, now.unix_ms).map_err(at_door)?;
        check_signature(std::slice::from_ref(&known.key), request, time).map_err(at_door)?;
        self.limits.refund(&entered);
        self.shopper(known, &entered, now)
    }

    /// The same for a call of a browser's form, where a cookie or a field holds the pass and nothing is signed.
    ///
    /// # Errors
    /// The refusal of the first check that the request does not pass.
    pub fn bearer(
        &self,
        cache: &mut PassCache,
        request: &Request<'_>,
        pass: &str,
        now: Now,
    ) -> Result<Shopper, Refused> {
        let entered = self.enter(request, now)?;
        let at_door = |refusal| Refused { refusal, rate: entered.status };
        let known = self.pass(&mut cache.passes, pass, now, WAIT_MS_MAX).map_err(at_door)?;
        self.limits.refund(&entered);
        self.shopper(known, &entered, now)
    }

    /// Checks 2 and 3 of a call that shows a ticket: one that is good counts against its buyer, not its address.
    ///
    /// # Errors
    /// The refusal of the first check that the request does not pass.
    pub fn ticket_holder(
        &self,
        request: &Request<'_>,
        buyer: Option<&BuyerRef>,
        now: Now,
    ) -> Result<Option<RateStatus>, Refused> {
        let entered = self.enter(request, now)?;
        let Some(buyer) = buyer else { return Ok(entered.status) };
        self.limits.refund(&entered);
        self.limits.buyer(buyer, now.monotonic_us).map_err(slow_down)
    }

    /// The pass with which an admitted shopper buys. `random` is 128 random bits.
    pub fn admit(
        &self,
        shopper: &Shopper,
        product: ProductId,
        until_ms: u64,
        now: Now,
        random: [u8; 16],
    ) -> Admission {
        let (pass, session_key) = self.pass_keys.issue(&Pass {
            user: shopper.user,
            name_space: shopper.name_space.clone(),
            issued_ms: now.unix_ms,
            expires_ms: until_ms,
            id: PassId(random),
            admission: Some(product),
        });
        Admission { pass, session_key: session_key.as_str().to_owned() }
    }

    /// Checks 10 and 11 of an order by a form, whose admission has been looked up. A browser without a script sends no
    /// solution, so whoever is asked for one is refused there.
    ///
    /// # Errors
    /// The buyer is over the rate, or too fast, or looks too much like a script.
    pub fn form_order(
        &self,
        request: &Request<'_>,
        shopper: &Shopper,
        product: ProductId,
        key: IdempotencyKey,
        now: Now,
    ) -> Result<OrderRequest, Refused> {
        let rate = self.limits.order(&shopper.buyer, &key, now.monotonic_us).map_err(slow_down)?;
        let order_id = self.identity.order_id(&product, &shopper.buyer, &key);
        let order = (&shopper.buyer, &shopper.user, &order_id);
        let scored = self.check_bot(request, shopper.place, order, now);
        Ok(OrderRequest {
            product,
            user: shopper.user,
            buyer: shopper.buyer,
            key,
            order_id,
            caller_kind: CallerKind::Shopper,
            origin: shopper.origin,
            scored: scored.map_err(|refusal| Refused { refusal, rate })?,
            rate,
        })
    }

    /// The part of check 9 that concerns the waiting room.
    pub(super) fn check_admission(
        &self,
        admission: Option<ProductId>,
        product: &ProductId,
    ) -> Result<(), Refusal> {
        if admission == Some(*product) || !self.doors.has_room(product) {
            return Ok(());
        }
        Err(Refusal::NotAdmitted(*product))
    }

    fn shopper(&self, known: &KnownPass, entered: &Entered, now: Now) -> Result<Shopper, Refused> {
        let rate = self.limits.buyer(&known.buyer, now.monotonic_us).map_err(slow_down)?;
        self.check_user(&known.pass.user).map_err(|refusal| Refused { refusal, rate })?;
        Ok(Shopper {
            user: known.pass.user,
            name_space: known.pass.name_space.clone(),
            buyer: known.buyer,
            pass_id: known.pass.id,
            expired: known.pass.is_expired(now.unix_ms),
            origin: entered.origin,
            place: entered.place,
            rate,
        })
    }
}
