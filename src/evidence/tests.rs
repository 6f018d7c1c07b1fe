//! What both leaves have to do, and the way to them. A leaf's own tests call the contract with a [`Rig`] of theirs.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;

use super::intake::Intake;
use super::mark::Marks;
use super::writer::{BATCH_ROWS_MAX, NotWritten, Sink};
use super::*;
use crate::clock::Clock;
use crate::keys::IdentityKeys;
use crate::sale::OrderId;

/// Noon of some day.
pub(super) const NOON_MS: u64 = 20_000 * 24 * 3_600_000 + 12 * 3_600_000;

pub(super) fn identity() -> Arc<IdentityKeys> {
    Arc::new(IdentityKeys::new(&[1; 32], &[2; 32]))
}

pub(super) fn product(name: &str) -> ProductId {
    name.parse().unwrap()
}

pub(super) fn buyer(n: u8) -> BuyerRef {
    BuyerRef::from_bytes([n; 16])
}

pub(super) fn order_id(n: u8) -> OrderId {
    OrderId::from_random_bytes([n; 16])
}

/// What a request leaves whose sender is known.
pub(super) fn seen(n: u8) -> Seen {
    Seen {
        order_id: Some(order_id(n)),
        buyer: Some(buyer(n)),
        user: Some(format!("bot-{n}").parse().unwrap()),
        address: Some(IpAddr::from([192, 0, 2, n])),
        fingerprint: Some(Seen::fingerprint(b"a fingerprint")),
    }
}

/// What one leaves that is refused at the door.
pub(super) fn stranger() -> Seen {
    let address = Some("2001:db8::1".parse().unwrap());
    Seen { order_id: None, buyer: None, user: None, address, fingerprint: None }
}

pub(super) fn run<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A leaf under test.
pub(super) struct Rig {
    pub evidence: Evidence,
    /// Who may delete: of one node itself, of many the workers.
    pub keeper: Evidence,
    pub recorder: Recorder,
    pub _hold: Box<dyn Any>,
}

impl Rig {
    fn note(&self, at_ms: u64, what: What, of: &str, n: u8) {
        self.recorder.note(at_ms, what, Some(&product(of)), || seen(n));
    }

    async fn all(&self) -> Vec<Sighting> {
        self.evidence.flush().await.unwrap();
        let found = self.evidence.sightings(&everything()).await.unwrap();
        assert!(!found.cut);
        found.sightings
    }
}

pub(super) fn everything() -> Query {
    Query {
        since_ms: 0,
        until_ms: u64::MAX,
        product: None,
        accepted_only: false,
        limit: SIGHTINGS_MAX,
    }
}

/// The whole contract.
pub(super) fn contract(rig: impl Fn() -> Rig) {
    // Made outside of any runtime: a server of the tests may have to be started first.
    run(what_was_noted_comes_back(&rig()));
    run(a_question_is_answered_and_no_more(&rig()));
    run(every_attempt_is_in_its_minute(&rig()));
    run(what_is_forgotten_is_gone(&rig()));
}

async fn what_was_noted_comes_back(rig: &Rig) {
    rig.note(NOON_MS, What::Accepted, "shoe", 7);
    rig.recorder.note(NOON_MS + 1, What::NotAuthentic, None, stranger);
    rig.recorder.undecided(NOON_MS + 2, Some(&product("shoe")), || seen(8));
    let by_shop = || Seen { address: None, ..seen(9) };
    rig.recorder.note(NOON_MS + 3, What::Duplicate, Some(&product("hat")), by_shop);
    let marks = Marks::of(&identity(), NOON_MS);
    let (seven, away) = (IpAddr::from([192, 0, 2, 7]), "2001:db8::9".parse().unwrap());
    let all = rig.all().await;
    let expected = Sighting {
        at_ms: NOON_MS,
        what: What::Accepted,
        weight: 1,
        product: Some(product("shoe")),
        order_id: Some(order_id(7)),
        buyer: Some(buyer(7)),
        series: marks.series("bot-7"),
        address: marks.address(seven),
        network: marks.network(seven),
        fingerprint: Some(marks.fingerprint(b"a fingerprint")),
    };
    assert_eq!(all[0], expected);
    let expected = Sighting {
        at_ms: NOON_MS + 1,
        what: What::NotAuthentic,
        weight: 1,
        product: None,
        order_id: None,
        buyer: None,
        series: None,
        address: marks.address(away),
        network: marks.network(away),
        fingerprint: None,
    };
    assert_eq!(all[1], expected);
    assert_eq!((all[2].what, all[2].order_id), (What::Busy, Some(order_id(8))));
    assert_eq!((all[3].address, all[3].network), (Mark::NONE, Mark::NONE));
    assert_eq!(all[3].series, marks.series("bot-9"));
    assert_eq!(all.len(), 4);
    let counts = rig.evidence.counts().unwrap();
    assert_eq!((counts.rows(), counts.dropped(), counts.failures()), (4, 0, 0));
}

async fn a_question_is_answered_and_no_more(rig: &Rig) {
    for n in 0..10_u8 {
        let of = if n % 2 == 0 { "shoe" } else { "hat" };
        let what = if n < 6 { What::Accepted } else { What::LimitReached };
        rig.note(NOON_MS + u64::from(n), what, of, n);
    }
    rig.recorder.note(NOON_MS, What::Blocked, None, stranger);
    // Nobody knows whether this is an order; it is looked up by its id. That one certainly is none.
    rig.recorder.undecided(NOON_MS + 20, Some(&product("sock")), || seen(20));
    let not_proposed = || Seen { order_id: None, ..seen(21) };
    rig.recorder.note(NOON_MS + 21, What::Busy, Some(&product("sock")), not_proposed);
    assert_eq!(rig.all().await.len(), 13);
    let ask = async |query: Query| {
        let found = rig.evidence.sightings(&query).await.unwrap();
        let at: Vec<_> = found.sightings.iter().map(|seen| seen.at_ms - NOON_MS).collect();
        (at, found.cut)
    };
    let from_to = |since, until| Query {
        since_ms: NOON_MS + since,
        until_ms: NOON_MS + until,
        ..everything()
    };
    assert_eq!(ask(from_to(3, 6)).await, (vec![3, 4, 5], false), "the end is not included");
    assert_eq!(ask(from_to(6, 3)).await, (vec![], false));
    let shoe = Query { product: Some(product("shoe")), ..everything() };
    assert_eq!(ask(shoe).await, (vec![0, 2, 4, 6, 8], false));
    let accepted = Query { accepted_only: true, ..everything() };
    assert_eq!(ask(accepted).await, (vec![0, 1, 2, 3, 4, 5, 20], false));
    let few = Query { limit: 3, until_ms: NOON_MS + 10, ..everything() };
    assert_eq!(ask(few).await, (vec![7, 8, 9], true), "the newest, in the order of time");
    let just = Query { limit: 5, ..shoe };
    assert_eq!(ask(just).await, (vec![0, 2, 4, 6, 8], false));
    assert_eq!(ask(Query { limit: 0, ..shoe }).await, (vec![], true));
    assert_eq!(ask(Query { limit: usize::MAX, ..shoe }).await.0.len(), 5);
    assert_eq!(ask(Query { since_ms: u64::MAX, ..shoe }).await, (vec![], false));
}

async fn every_attempt_is_in_its_minute(rig: &Rig) {
    let mut kept = 0;
    for second in 0..3 {
        for _ in 0..500 {
            rig.note(NOON_MS + second * 1_000, What::SoldOut, "shoe", 1);
        }
        // The counts of one minute are added up from several writes.
        kept = rig.all().await.len() as u64;
    }
    assert_eq!(kept, 3 * (32 + (500 - 32) / 64));
    let weights: u32 = rig.all().await.iter().map(|seen| seen.weight).sum();
    assert_eq!(weights, 3 * (32 + (500 - 32) / 64 * 64));
    rig.note(NOON_MS + 60_000, What::SoldOut, "hat", 1);
    rig.recorder.note(NOON_MS + 60_000, What::Blocked, None, stranger);
    rig.recorder.undecided(NOON_MS + 60_000, None, stranger);
    rig.evidence.flush().await.unwrap();
    let count = |minute_ms, product, what, count| MinuteCount { minute_ms, product, what, count };
    let (shoe, hat) = (Some(product("shoe")), Some(product("hat")));
    let first = count(NOON_MS, shoe, What::SoldOut, 1_500);
    let next = [
        count(NOON_MS + 60_000, None, What::Blocked, 1),
        count(NOON_MS + 60_000, None, What::Busy, 1),
        count(NOON_MS + 60_000, hat, What::SoldOut, 1),
    ];
    let ask = async |since, until, product| {
        rig.evidence.minutes(NOON_MS + since, NOON_MS + until, product).await.unwrap()
    };
    let [blocked, busy, sold_out] = next;
    assert_eq!(ask(0, 120_000, None).await, [first, blocked, busy, sold_out]);
    assert_eq!(ask(0, 120_000, shoe).await, [first]);
    assert_eq!(ask(59_999, 60_000, None).await, [first], "a minute that the span touches");
    assert_eq!(ask(60_000, 60_001, None).await, next);
}

async fn what_is_forgotten_is_gone(rig: &Rig) {
    for n in 0..10_u8 {
        rig.note(NOON_MS + u64::from(n) * 60_000, What::Accepted, "shoe", n % 3);
    }
    rig.recorder.note(NOON_MS + 5 * 60_000, What::Blocked, None, stranger);
    assert_eq!(rig.all().await.len(), 11);
    assert_eq!(rig.keeper.forget_buyer(buyer(1)).await.unwrap(), 3);
    assert_eq!(rig.keeper.forget_buyer(buyer(1)).await.unwrap(), 0);
    let left = rig.all().await;
    assert_eq!(left.len(), 8);
    assert!(left.iter().all(|seen| seen.buyer != Some(buyer(1))));
    // Who is forgotten is counted all the same.
    let minutes = rig.evidence.minutes(0, u64::MAX, None).await.unwrap();
    assert_eq!(minutes.iter().map(|minute| minute.count).sum::<u64>(), 11);
    // 0, 2, 3 and the stranger's neighbours: all before the sixth minute.
    let before_ms = NOON_MS + 5 * 60_000;
    assert_eq!(rig.keeper.forget_before(before_ms).await.unwrap(), 3);
    let left = rig.all().await;
    assert_eq!(left.len(), 5);
    assert_eq!(left[0].at_ms, before_ms, "what is just at the limit stays");
    let minutes = rig.evidence.minutes(0, u64::MAX, None).await.unwrap();
    assert_eq!(minutes[0].minute_ms, before_ms);
}

/// A store that does as it is told.
struct Fake {
    /// Waits here before each write.
    gate: Option<Receiver<()>>,
    /// So many writes fail.
    failing: Arc<AtomicU32>,
    for_ever: bool,
    written: Arc<Mutex<(Vec<Sighting>, Vec<MinuteCount>)>>,
}

impl Sink for Fake {
    const COUNTS_EVERY_US: u64 = 1_000_000;

    fn write(&mut self, rows: &[Sighting], counts: &[MinuteCount]) -> Result<(), NotWritten> {
        assert!(rows.len() <= BATCH_ROWS_MAX);
        if let Some(gate) = &self.gate {
            // Open once its other end is gone.
            let _ = gate.recv();
        }
        let fails = |left: u32| left.checked_sub(1);
        if self.failing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails).is_ok() {
            let why = "told to".to_owned();
            return Err(if self.for_ever { NotWritten::Ever(why) } else { NotWritten::Yet(why) });
        }
        let mut written = self.written.lock();
        written.0.extend_from_slice(rows);
        written.1.extend_from_slice(counts);
        Ok(())
    }

    fn keep_house(&mut self, _: u64) -> bool {
        false
    }
}

impl Fake {
    fn new(failing: u32, for_ever: bool, gate: Option<Receiver<()>>) -> Self {
        Self { gate, failing: Arc::new(failing.into()), for_ever, written: Arc::default() }
    }
}

/// A store that stands still stops nobody: what finds no place is counted, and the counts are whole.
#[test]
fn a_full_queue_is_counted_and_nobody_waits_for_it() {
    const ATTEMPTS: usize = QUEUE_MAX + 2 * BATCH_ROWS_MAX;
    let (opens, gate) = bounded(0);
    let fake = Fake::new(0, false, Some(gate));
    let written = fake.written.clone();
    let intake = Intake::start(fake, Clock::system(), identity()).unwrap();
    let recorder = intake.recorder();
    for _ in 0..ATTEMPTS {
        recorder.note(NOON_MS, What::Accepted, None, stranger);
    }
    let dropped = intake.counts().dropped() as usize;
    assert!((BATCH_ROWS_MAX..=2 * BATCH_ROWS_MAX).contains(&dropped), "{dropped}");
    assert_eq!(intake.counts().rows(), 0);
    drop(opens);
    intake.stop();
    let (rows, counts) = &*written.lock();
    assert_eq!(rows.len() + dropped, ATTEMPTS);
    assert_eq!(intake.counts().rows() as usize, rows.len());
    assert_eq!(counts.iter().map(|count| count.count).sum::<u64>(), ATTEMPTS as u64);
    recorder.note(NOON_MS, What::Accepted, None, stranger);
    assert_eq!(intake.counts().dropped() as usize, dropped + 1, "nobody is there any more");
}

#[test]
fn what_fails_is_tried_again_and_what_is_lost_is_counted() {
    run(async {
        for for_ever in [false, true] {
            let fake = Fake::new(2, for_ever, None);
            let written = fake.written.clone();
            let clock = Clock::manual(NOON_MS as i64);
            let intake = Intake::start(fake, clock, identity()).unwrap();
            let recorder = intake.recorder();
            for n in 0..3 {
                recorder.note(NOON_MS, What::Accepted, None, || seen(n));
                intake.flush().await.unwrap();
            }
            let counts = intake.counts();
            let (lost, kept) = if for_ever { (2, 1) } else { (0, 3) };
            assert_eq!((counts.failures(), counts.dropped(), counts.rows()), (2, lost, kept));
            assert_eq!(written.lock().0.len() as u64, kept);
            let counted: u64 = written.lock().1.iter().map(|count| count.count).sum();
            assert_eq!(counted, kept, "rows and counts share their fate");
            intake.stop();
        }
    });
}

/// Nobody asks: the thread looks by itself.
#[test]
fn what_is_noted_is_written_within_a_moment() {
    let fake = Fake::new(0, false, None);
    let written = fake.written.clone();
    let intake = Intake::start(fake, Clock::system(), identity()).unwrap();
    let recorder = intake.recorder();
    recorder.note(NOON_MS, What::Blocked, None, stranger);
    for _ in 0..500 {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let written = written.lock();
        if written.0.len() == 1 && written.1.len() == 1 {
            return;
        }
    }
    panic!("it was not written within 5 s");
}

/// The marks of an attempt are those of the day when it came, whenever it is written.
#[test]
fn a_sighting_before_midnight_has_the_marks_of_its_day() {
    let midnight_ms = NOON_MS + 12 * 3_600_000;
    let fake = Fake::new(0, false, None);
    let written = fake.written.clone();
    let intake = Intake::start(fake, Clock::manual(midnight_ms as i64), identity()).unwrap();
    let recorder = intake.recorder();
    for at_ms in [midnight_ms - 1, midnight_ms, midnight_ms - 1] {
        recorder.note(at_ms, What::Accepted, None, || seen(1));
    }
    intake.stop();
    let rows = &written.lock().0;
    assert_eq!(rows[0], rows[2]);
    assert_ne!(rows[0].address, rows[1].address);
    assert_eq!(rows[0].buyer, rows[1].buyer, "the ledger's pseudonym has no day");
}
