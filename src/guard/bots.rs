//! Check 11: the score of a shopper's order, and the challenge that it may cost. API clients are not scored:
//! a shop's backend is a script by trade.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::config::Config;
use crate::config::challenge::Provider;
use crate::guard::challenge::work::Work;
use crate::guard::challenge::{Challenge, Challenges, Fault, SOLUTION_BYTES_MAX, X_CHALLENGE};
use crate::guard::headers::{self, Single};
use crate::guard::limits::Place;
use crate::guard::refusal::{Asked, FieldError, Refusal, Refused};
use crate::guard::score::heads::Heads;
use crate::guard::score::seen::{Seen, Sender};
use crate::guard::score::{Score, Signals, Verdict, Weights, score};
use crate::guard::{Guard, Now, PassCache, Request, shopper_pass, slow_down};
use crate::keys::IdentityKeys;
use crate::sale::{BuyerRef, IdempotencyKey, OrderId, ProductId, UserId};

/// What check 11 came to, for an order that passed it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scored {
    /// Its score: nothing where it was not scored, and without the reasons that cost most to find where they
    /// could not have brought it above the threshold.
    pub score: Score,
    /// Whether it cost a challenge.
    pub proof: Proof,
}

/// Whether an order cost a challenge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Proof {
    /// None was asked.
    #[default]
    NotAsked,
    /// It was solved.
    Solved,
    /// A service has to be asked whether it was: [`Guard::solution`] is what it is asked.
    ToService,
}

/// The parts of check 11.
pub(super) struct Bots {
    enabled: bool,
    weights: Weights,
    provider: Provider,
    challenges: Challenges,
    seen: Seen,
    asked: PerSecond,
}

impl Bots {
    pub(super) fn new(config: &Config, identity: &IdentityKeys) -> Self {
        let key = identity.challenge_key();
        Self {
            enabled: config.score.enabled,
            weights: Weights::new(&config.score),
            provider: config.challenge.provider,
            challenges: Challenges::new(key, config.challenge.expires_seconds),
            seen: Seen::new(config.limits.tracked_keys_max),
            asked: PerSecond::default(),
        }
    }

    /// A challenge for an attempt of this score.
    fn issue(&self, score: Score, order_id: &OrderId, now: Now) -> Challenge {
        let Weights { challenge_above, refuse_above, .. } = self.weights;
        let per_second = self.asked.count(now.monotonic_us);
        let work = Work::new(score.points, challenge_above, refuse_above, per_second);
        self.challenges.issue(order_id, work, now.unix_ms)
    }

    /// What an order's solution proves.
    fn proof(
        &self,
        request: &Request<'_>,
        score: Score,
        order_id: &OrderId,
        now_ms: u64,
    ) -> Result<Proof, Fault> {
        let solution = solution(request)?;
        if self.provider != Provider::Altcha {
            return Ok(Proof::ToService);
        }
        let done = self.challenges.check(solution, order_id, now_ms)?;
        let Weights { challenge_above, refuse_above, .. } = self.weights;
        let least = Work::least(score.points, challenge_above, refuse_above);
        if done < least { Err(Fault::TooEasy) } else { Ok(Proof::Solved) }
    }
}

/// The solution that a request carries.
fn solution<'a>(request: &Request<'a>) -> Result<&'a [u8], Fault> {
    match headers::single(request.headers, &X_CHALLENGE) {
        Single::Absent => Err(Fault::Absent),
        Single::Once(value) if value.len() <= SOLUTION_BYTES_MAX => Ok(value.as_bytes()),
        Single::Once(_) | Single::Repeated => Err(Fault::Malformed),
    }
}

impl Guard {
    /// Check 11 of a shopper's order.
    pub(super) fn check_bot(
        &self,
        request: &Request<'_>,
        place: Place,
        (buyer, user, order_id): (&BuyerRef, &UserId, &OrderId),
        now: Now,
    ) -> Result<Scored, Refusal> {
        let bots = &self.bots;
        let live = self.live_allows.load();
        if !bots.enabled || live.score_is_off {
            return Ok(Scored::default());
        }
        let sender = Sender { place, buyer: *buyer };
        let heads = Heads::quick(request.headers);
        let mut seen =
            bots.seen.order(&sender, heads.kind, order_id.as_bytes()[15], now.monotonic_us);
        let allowed = &live.allowed;
        if !allowed.is_empty() {
            let ip = self.client_ip(request);
            if allowed.address(&self.block_key, ip) || allowed.user(&self.block_key, user) {
                return Ok(Scored::default());
            }
            // Anybody can send a fingerprint: one that is allowed excuses what it is blamed for itself.
            let fingerprint = request.headers.get(&headers::X_DEVICE_FINGERPRINT);
            if fingerprint.is_some_and(|f| allowed.fingerprint(&self.block_key, f.as_bytes())) {
                seen = seen.without_fingerprint();
            }
        }
        let signals = Signals { heads, no_fingerprint: place.fingerprint.is_none(), seen };
        let quick = score(&signals, &bots.weights);
        let most = quick.points.saturating_add(bots.weights.incomplete_max());
        if most <= bots.weights.challenge_above.min(bots.weights.refuse_above) {
            return Ok(Scored { score: quick, proof: Proof::NotAsked });
        }
        let mut signals = signals;
        signals.heads.complete(request.headers);
        let score = score(&signals, &bots.weights);
        match bots.weights.verdict(score) {
            Verdict::Pass => Ok(Scored { score, proof: Proof::NotAsked }),
            Verdict::Challenge => match bots.proof(request, score, order_id, now.unix_ms) {
                Ok(proof) => Ok(Scored { score, proof }),
                Err(fault) => Err(self.ask(score, fault, buyer, order_id, now)),
            },
            Verdict::Refuse => Err(Refusal::ScoreRefused(score)),
        }
    }

    /// The refusal that asks for a challenge.
    pub fn ask(
        &self,
        score: Score,
        fault: Fault,
        buyer: &BuyerRef,
        order_id: &OrderId,
        now: Now,
    ) -> Refusal {
        if fault.is_failure() {
            self.bots.seen.failure_of_user(buyer, now.monotonic_us);
        }
        let ours = self.bots.provider == Provider::Altcha;
        let challenge = ours.then(|| self.bots.issue(score, order_id, now));
        Refusal::ChallengeRequired(Box::new(Asked { score, fault, challenge }))
    }

    /// The solution that a request carries, for the service that made its challenge.
    pub fn solution<'a>(&self, request: &Request<'a>) -> &'a [u8] {
        solution(request).unwrap_or_default()
    }

    /// `GET /challenge`: a challenge for the attempt of this product and idempotency key, for whoever holds a
    /// pass. It is not signed, so that a widget can ask. `None` is a query that does not name both.
    ///
    /// # Errors
    /// The refusal of the first of the checks 2 to 4, 8, 9 and 10 that the request does not pass.
    pub fn challenge(
        &self,
        cache: &mut PassCache,
        request: &Request<'_>,
        asked: Option<(ProductId, IdempotencyKey)>,
        now: Now,
    ) -> Result<Challenge, Refused> {
        let entered = self.enter(request, now)?;
        let at_door = |refusal| Refused { refusal, rate: entered.status };
        let why = "A challenge is for a shopper: send a session pass.";
        let pass = shopper_pass(request.headers, why).map_err(at_door)?;
        let known = self.pass(&mut cache.passes, pass, now, 0).map_err(at_door)?;
        self.limits.refund(&entered);
        let rate = self.limits.buyer(&known.buyer, now.monotonic_us).map_err(slow_down)?;
        let counted = |refusal| Refused { refusal, rate };
        self.check_user(&known.pass.user).map_err(counted)?;
        let Some((product, key)) = asked else {
            let message =
                "must be product and key: the product and the idempotency key of the order";
            let field = FieldError { field: "query", message: message.into() };
            return Err(counted(Refusal::InvalidRequest(vec![field])));
        };
        let order_id = self.identity.order_id(&product, &known.buyer, &key);
        let sender = Sender { place: entered.place, buyer: known.buyer };
        let signals = Signals {
            heads: Heads::of(request.headers),
            no_fingerprint: entered.place.fingerprint.is_none(),
            seen: self.bots.seen.look(&sender, now.monotonic_us),
        };
        let score = score(&signals, &self.bots.weights);
        Ok(self.bots.issue(score, &order_id, now))
    }

    /// Notes that an order of this buyer came before the opening.
    pub fn was_early(&self, buyer: &BuyerRef, now: Now) {
        if self.bots.enabled {
            self.bots.seen.early(buyer, now.monotonic_us);
        }
    }

    /// Notes a failure of somebody whom nobody knows, as one of their place.
    pub(super) fn failed_at(&self, place: Place, now: Now) {
        if self.bots.enabled {
            self.bots.seen.failure_of_place(place, now.monotonic_us);
        }
    }

    /// Notes a failure of this buyer.
    pub(super) fn failed(&self, buyer: &BuyerRef, now: Now) {
        if self.bots.enabled {
            self.bots.seen.failure_of_user(buyer, now.monotonic_us);
        }
    }
}

/// How many in the second before or so far in this one, whichever is more. Threads may miss each other's by a
/// few: it makes a challenge a little easier.
#[derive(Default)]
struct PerSecond {
    /// The second in the upper half, its count in the lower.
    this: AtomicU64,
    last: AtomicU32,
}

impl PerSecond {
    /// Counts one.
    fn count(&self, now_us: u64) -> u32 {
        let second = (now_us / 1_000_000) & u64::from(u32::MAX);
        let this = self.this.load(Ordering::Relaxed);
        let count = if this >> 32 == second {
            (self.this.fetch_add(1, Ordering::Relaxed) + 1) as u32
        } else {
            let order = Ordering::Relaxed;
            if self.this.compare_exchange(this, (second << 32) | 1, order, order).is_ok() {
                let was_last = (this >> 32) + 1 == second;
                self.last.store(if was_last { this as u32 } else { 0 }, order);
            }
            1
        };
        count.max(self.last.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_before_counts_until_the_next() {
        let per_second = PerSecond::default();
        let second = |n: u64| n * 1_000_000 + 5;
        assert_eq!(
            (0..5).map(|_| per_second.count(second(1))).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5]
        );
        assert_eq!(per_second.count(second(2)), 5);
        assert_eq!(per_second.count(second(3)), 1);
        assert_eq!(per_second.count(second(9)), 1, "a quiet time is forgotten");
        assert_eq!(per_second.count(second(8)), 1, "a clock that goes back breaks nothing");
    }
}
