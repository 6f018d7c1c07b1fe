//! What an attempt at `POST /order` leaves in the evidence.
//!
//! A [`Watch`] follows the attempt to its answer. A client that hangs up while the log decides ends the attempt's future,
//! not the attempt: the watch then notes it as undecided, with its order id, so that nobody orders unseen by hanging up.

use super::code::Code;
use super::public::{PublicThread, Received};
use crate::evidence::{Recorder, Seen, What};
use crate::guard::headers::X_DEVICE_FINGERPRINT;
use crate::guard::{CallerKind, OrderRequest};
use crate::sale::{BuyerRef, OrderId, ProductId, UserId};

/// See the module.
pub struct Watch<'a> {
    thread: &'a PublicThread,
    received: &'a Received<'a>,
    at_ms: u64,
    passed: Option<Passed>,
    answered: bool,
}

/// What is known of an attempt that has passed the guard.
#[derive(Clone, Copy)]
struct Passed {
    product: ProductId,
    order_id: OrderId,
    buyer: BuyerRef,
    user: UserId,
    caller_kind: CallerKind,
}

impl<'a> Watch<'a> {
    /// Of an attempt that was received just now.
    pub fn new(thread: &'a PublicThread, received: &'a Received<'a>, at_ms: u64) -> Self {
        Self { thread, received, at_ms, passed: None, answered: false }
    }

    /// It has passed the guard.
    pub fn passed(&mut self, order: &OrderRequest) {
        let &OrderRequest { product, order_id, buyer, user, caller_kind, .. } = order;
        self.passed = Some(Passed { product, order_id, buyer, user, caller_kind });
    }

    /// It is answered with this.
    pub fn answered(mut self, code: Code) {
        self.answered = true;
        let Some(recorder) = &self.thread.evidence else { return };
        match meaning(code) {
            Meaning::Is(what) => {
                recorder.note(self.at_ms, what, self.product(code), || Seen {
                    // Nothing was proposed.
                    order_id: self.order_id().filter(|_| what != What::Busy),
                    ..self.seen()
                });
            }
            Meaning::Undecided => self.undecided(recorder),
        }
    }

    fn undecided(&self, recorder: &Recorder) {
        let product = self.passed.as_ref().map(|passed| &passed.product);
        recorder.undecided(self.at_ms, product, || self.seen());
    }

    /// The product, if it is one: of one that is not there the caller may have written anything.
    fn product(&self, code: Code) -> Option<&ProductId> {
        let product = &self.passed.as_ref()?.product;
        let is_there = match code {
            Code::UnknownProduct => false,
            // Said before anybody has looked.
            Code::LogBehind | Code::OtherKeys | Code::Busy => {
                self.thread.shared.applied().with_state(product, |_| ()).is_some()
            }
            _ => true,
        };
        is_there.then_some(product)
    }

    fn order_id(&self) -> Option<OrderId> {
        self.passed.as_ref().map(|passed| passed.order_id)
    }

    fn seen(&self) -> Seen {
        let view = self.received.view();
        let passed = self.passed.as_ref();
        // A shop's backend orders for many from one address, which is none of theirs.
        let by_shop = passed.is_some_and(|passed| passed.caller_kind == CallerKind::Client);
        let address = (!by_shop).then(|| self.thread.shared.guard.client_ip(&view));
        let fingerprint = view.headers.get(&X_DEVICE_FINGERPRINT);
        Seen {
            order_id: self.order_id(),
            buyer: passed.map(|passed| passed.buyer),
            user: passed.map(|passed| passed.user),
            address,
            fingerprint: fingerprint.map(|value| Seen::fingerprint(value.as_bytes())),
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.answered
            && self.passed.is_some()
            && let Some(recorder) = &self.thread.evidence
        {
            self.undecided(recorder);
        }
    }
}

enum Meaning {
    Is(What),
    /// It may be an order, or become one.
    Undecided,
}

fn meaning(code: Code) -> Meaning {
    Meaning::Is(match code {
        Code::Pending | Code::OutcomeUnknown => return Meaning::Undecided,
        Code::Accepted => What::Accepted,
        Code::Duplicate => What::Duplicate,
        Code::LimitReached => What::LimitReached,
        Code::SoldOut => What::SoldOut,
        Code::NotOpen | Code::Closed | Code::Paused | Code::NotAdmitted => What::NotSelling,
        Code::Blocked | Code::UserBlocked => What::Blocked,
        Code::TooManyRequests | Code::OverRate => What::TooManyRequests,
        Code::SlowDown => What::SlowDown,
        Code::ChallengeRequired | Code::ScoreRefused => What::Challenged,
        Code::Unauthorized
        | Code::RequestExpired
        | Code::InvalidSignature
        | Code::UserMismatch
        | Code::Forbidden => What::NotAuthentic,
        Code::MissingIdempotencyKey
        | Code::InvalidRequest
        | Code::UnsupportedMediaType
        | Code::UnknownProduct => What::Invalid,
        // The others do not come from `POST /order`, or say that this node cannot tell.
        _ => What::Busy,
    })
}
