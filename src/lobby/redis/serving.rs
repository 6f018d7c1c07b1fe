//! Turns: this node looks who is next in a room and lets them in, unless another has been quicker.

use parking_lot::Mutex;

use super::calls::{self, Keys, Known, Turn, integer};
use super::mirror::Mirror;
use super::{RedisRooms, ask, u32_of};
use crate::gate::GateHandle;
use crate::lobby::{Stock, Unavailable};
use crate::sale::ProductId;

/// Places that one look covers.
const PLACES_MAX: u32 = 256;
/// Looks of one turn: many who are away are passed over at once.
const LOOKS_MAX: u32 = 8;

/// How it stands with one of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Heard of so many milliseconds ago.
    Waits(u64),
    /// Nothing is known of it, since so many milliseconds.
    Lost(u64),
    /// Its turn has been.
    Over,
}

/// What a look has found.
struct Looked {
    /// Admissions that the rate allows now.
    credit: u64,
    /// Who is let in and has not bought.
    admitted: u64,
    next: Vec<Next>,
}

impl RedisRooms {
    pub(in crate::lobby) async fn tick(
        &self,
        gate: &GateHandle,
        now_ms: u64,
        all: impl Iterator<Item = ProductId>,
        stock: impl Fn(&ProductId) -> Option<Stock>,
    ) {
        self.tell_untold(gate, &stock).await;
        let mut products = self.entered();
        products.extend(all.filter(|product| self.doors.has_room(product)));
        products.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        products.dedup();
        for product in products {
            let Some(stock) = stock(&product) else { continue };
            // Redis is away: so it is for the other rooms.
            if self.turn(gate, product, now_ms, stock).await.is_err() {
                return;
            }
        }
    }

    /// Admissions that were used while Redis was away.
    async fn tell_untold(&self, gate: &GateHandle, stock: impl Fn(&ProductId) -> Option<Stock>) {
        let untold = std::mem::take(&mut *self.untold.lock());
        for (product, buyer) in untold {
            if let Some(stock) = stock(&product) {
                self.spend(gate, &product, &buyer, stock).await;
            }
        }
    }

    async fn turn(
        &self,
        gate: &GateHandle,
        product: ProductId,
        now_ms: u64,
        stock: Stock,
    ) -> Result<(), Unavailable> {
        let mirror = self.mirror(product);
        for _ in 0..LOOKS_MAX {
            let (base, numbers) = {
                let mirror = mirror.lock();
                (mirror.head(), mirror.next_numbers(PLACES_MAX))
            };
            let looked = self.look(gate, &mirror, now_ms, stock, &numbers).await?;
            self.draw_if_due(gate, &mirror, now_ms).await?;
            if mirror.lock().head() != base {
                // Another node has served since; who is next is others.
                continue;
            }
            let Some(turn) = self.choose(&mirror, now_ms, stock, &looked, base, &numbers) else {
                break;
            };
            let (count, gone) = (turn.admitted.len(), turn.admitted.len() + turn.passed.len());
            let terms = &self.terms;
            let admit = |keys: &Keys, known: &Known| calls::admit(keys, known, &turn, terms, stock);
            let answer = ask(gate, &mirror, now_ms, admit).await?;
            if answer.first().and_then(integer) != Some(1) {
                // Another node was quicker; the next turn sees what it did.
                break;
            }
            mirror.lock().let_in(count);
            if gone < numbers.len() && mirror.lock().head() < base + PLACES_MAX {
                break;
            }
        }
        let mirror = &mut *mirror.lock();
        let (head, places) = (mirror.head(), mirror.known.next);
        mirror.speed.measure(now_ms, head, places);
        Ok(())
    }

    async fn look(
        &self,
        gate: &GateHandle,
        mirror: &Mutex<Mirror>,
        now_ms: u64,
        stock: Stock,
        numbers: &[u32],
    ) -> Result<Looked, Unavailable> {
        let (opened, rate) = (stock.supply.opened, self.terms.rate_per_second);
        let look = |keys: &Keys, known: &Known| calls::look(keys, known, opened, rate, numbers);
        let answer = ask(gate, mirror, now_ms, look).await?;
        let [credit, admitted, ::redis::Value::Array(ages)] = answer.as_slice() else {
            return Err(Unavailable);
        };
        let admitted = u32_of(admitted)?;
        mirror.lock().admitted = admitted;
        let next = ages.iter().map(|age| match integer(age) {
            Some(age_ms @ 0..) => Next::Waits(age_ms.unsigned_abs()),
            Some(-1) | None => Next::Over,
            Some(lost) => Next::Lost((-2 - lost).unsigned_abs()),
        });
        Ok(Looked {
            credit: integer(credit).and_then(|milli| u64::try_from(milli).ok()).unwrap_or(0)
                / 1_000,
            admitted: admitted.into(),
            next: next.collect(),
        })
    }

    /// Who of the next is let in; `None`: nobody's turn is over.
    fn choose(
        &self,
        mirror: &Mutex<Mirror>,
        now_ms: u64,
        stock: Stock,
        looked: &Looked,
        base: u32,
        numbers: &[u32],
    ) -> Option<Turn> {
        let mirror = &mut *mirror.lock();
        if mirror.head() != base {
            return None;
        }
        let credit = looked.credit.min(mirror.own_credit(&self.terms, now_ms));
        let (mut admitted, mut passed, mut head) = (Vec::new(), Vec::new(), base);
        for (number, next) in numbers.iter().zip(&looked.next) {
            let count = admitted.len() as u64;
            if count >= credit
                || !stock.supply.may_admit(self.terms.surplus, looked.admitted + count)
            {
                break;
            }
            match next {
                Next::Waits(age_ms) if *age_ms <= self.terms.absent_ms => admitted.push(*number),
                Next::Waits(_) => passed.push(*number),
                // They have as long to come back as one who was heard of when it was lost.
                Next::Lost(age_ms)
                    if *age_ms <= self.terms.absent_ms && !mirror.is_nobodys(*number) =>
                {
                    break;
                }
                Next::Lost(_) | Next::Over => {}
            }
            head += 1;
        }
        (head > base).then(|| Turn {
            seen: mirror.known.head.clone(),
            head: mirror.marks.head(head),
            admitted,
            passed,
        })
    }
}
