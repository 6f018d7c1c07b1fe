//! The queue keeps its invariants, and 100,000 fit.

use proptest::prelude::*;

use super::*;

const T0: u64 = 1_800_000_000_000;

fn terms() -> Terms {
    Terms {
        rate_per_second: 10,
        surplus: 0,
        admission_ms: 60_000,
        absent_ms: 30_000,
        waiting_max: 1_000,
    }
}

fn buyer(number: u32) -> BuyerRef {
    let mut bytes = [0; 16];
    bytes[..8]
        .copy_from_slice(&u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    BuyerRef::from_bytes(bytes)
}

fn supply(units_left: u32) -> Supply {
    Supply { opened: true, selling: true, units_left }
}

/// A queue of `early` who were drawn at `T0`.
fn serving(terms: Terms, early: u32) -> Queue {
    let mut queue = Queue::new(terms, T0);
    for number in 0..early {
        assert_eq!(queue.enter(buyer(number), T0), Ok((number, T0)));
    }
    queue.seal();
    queue.serve(Permutation::new([3; 32], early), T0);
    queue
}

fn poll(queue: &mut Queue, number: u32, now_ms: u64) -> Standing {
    queue.poll(number, T0, &buyer(number), now_ms)
}

#[test]
fn the_early_wait_for_the_draw_and_are_served_in_its_order() {
    let mut queue = Queue::new(terms(), T0);
    for number in 0..20 {
        queue.enter(buyer(number), T0).unwrap();
    }
    assert_eq!(poll(&mut queue, 3, T0), Standing::Early);
    assert_eq!(queue.tick(T0 + 1_000, supply(100)), 0, "nobody before the draw");
    queue.seal();
    assert_eq!(poll(&mut queue, 3, T0), Standing::Early);
    assert_eq!(queue.enter(buyer(50), T0 + 1), Ok((20, T0 + 1)), "too late for the draw");
    let permutation = Permutation::new([3; 32], 20);
    queue.serve(permutation.clone(), T0);
    for number in 0..20 {
        let place = permutation.place(number).unwrap();
        assert_eq!(poll(&mut queue, number, T0), Standing::Waiting { place, ahead: place });
    }
    // Ten a second.
    assert_eq!(queue.tick(T0 + 1_000, supply(100)), 10);
    for number in 0..20 {
        let place = permutation.place(number).unwrap();
        let expected = match place.checked_sub(10) {
            None => Standing::Admitted { until_ms: T0 + 61_000 },
            Some(ahead) => Standing::Waiting { place, ahead },
        };
        assert_eq!(poll(&mut queue, number, T0 + 1_000), expected);
    }
    assert_eq!(queue.tick(T0 + 2_000, supply(100)), 10);
    assert_eq!(queue.tick(T0 + 2_100, supply(100)), 1, "then the late one");
}

#[test]
fn never_more_are_admitted_than_can_be_served() {
    let mut queue = serving(Terms { surplus: 2, ..terms() }, 100);
    assert_eq!(queue.tick(T0 + 1_000, supply(3)), 5);
    assert_eq!(queue.tick(T0 + 9_000, supply(3)), 0);
    let first = queue.early().position(
        |(b, _)| matches!(queue.slots.find(&b), Some((_, s)) if s.state == State::Admitted),
    );
    let first = buyer(first.unwrap() as u32);
    assert!(queue.spend(&first));
    assert!(!queue.spend(&first), "once");
    assert_eq!(queue.tick(T0 + 10_000, supply(2)), 0, "one bought, one unit less");
    assert_eq!(queue.tick(T0 + 10_100, supply(3)), 1);
    // Nobody is let in to nothing, whatever the surplus, nor while the sale is paused.
    let mut empty = serving(Terms { surplus: 50, ..terms() }, 10);
    assert_eq!(empty.tick(T0 + 9_000, supply(0)), 0);
    assert_eq!(empty.tick(T0 + 9_000, Supply { selling: false, ..supply(5) }), 0);
    assert_eq!(empty.head(), 0, "and nobody loses their turn by it");
}

#[test]
fn an_admission_that_is_not_used_ends_and_lets_the_next_one_in() {
    let mut queue = serving(terms(), 2);
    assert_eq!(queue.tick(T0 + 1_000, supply(1)), 1);
    let admitted =
        (0..2).find(|n| matches!(poll(&mut queue, *n, T0 + 1_000), Standing::Admitted { .. }));
    let (admitted, other) = (admitted.unwrap(), 1 - admitted.unwrap());
    assert_eq!(poll(&mut queue, admitted, T0 + 61_000), Standing::Lapsed);
    poll(&mut queue, other, T0 + 61_000);
    assert_eq!(queue.tick(T0 + 61_000, supply(1)), 0, "an order that was sent may still come");
    assert_eq!(queue.tick(T0 + 61_000 + LAPSE_GRACE_MS, supply(1)), 1);
    assert_eq!(queue.admitted(), 1);
    assert!(!queue.spend(&buyer(admitted)));
}

#[test]
fn whoever_left_frees_their_place_and_comes_again_at_the_end() {
    let mut queue = serving(terms(), 10);
    let stays = 4;
    poll(&mut queue, stays, T0 + 31_000);
    assert_eq!(queue.tick(T0 + 31_000, supply(100)), 1, "nine are passed over at no cost");
    assert!(matches!(poll(&mut queue, stays, T0 + 31_000), Standing::Admitted { .. }));
    assert_eq!(poll(&mut queue, 5, T0 + 31_000), Standing::Passed);
    assert_eq!(queue.enter(buyer(5), T0 + 32_000), Ok((10, T0 + 32_000)));
    assert_eq!(queue.of_buyer(&buyer(5)), Some((10, T0 + 32_000)));
    assert_eq!(poll(&mut queue, 5, T0 + 32_000), Standing::Passed, "the old ticket stays over");
    // Whoever was away for a while but is back at their turn keeps their place.
    let mut back = serving(terms(), 1);
    poll(&mut back, 0, T0 + 500_000);
    assert_eq!(back.tick(T0 + 501_000, supply(1)), 1);
}

#[test]
fn a_buyer_has_one_place_however_often_they_ask() {
    let mut queue = serving(terms(), 5);
    assert_eq!(queue.enter(buyer(3), T0 + 5), Ok((3, T0)));
    assert_eq!(queue.enter(buyer(9), T0 + 5), Ok((5, T0 + 5)));
    assert_eq!(queue.enter(buyer(9), T0 + 6), Ok((5, T0 + 5)));
    assert_eq!(queue.places(), 6);
}

#[test]
fn a_ticket_of_another_or_of_another_time_has_no_standing() {
    let mut queue = serving(terms(), 5);
    assert_eq!(queue.poll(3, T0, &buyer(4), T0), Standing::Unknown);
    assert_eq!(queue.poll(3, T0 - 1, &buyer(3), T0), Standing::Unknown);
    assert_eq!(queue.poll(99, T0, &buyer(3), T0), Standing::Unknown);
}

#[test]
fn it_is_bounded_and_gives_back_what_was_served() {
    let mut queue = serving(Terms { waiting_max: 100, ..terms() }, 60);
    for number in 60..100 {
        queue.enter(buyer(number), T0).unwrap();
    }
    assert_eq!(queue.enter(buyer(100), T0), Err(Full));
    // Everybody is gone; those who come then find room, over and over.
    let mut now_ms = T0 + 100_000;
    let mut number = 100;
    for _ in 0..50 {
        queue.tick(now_ms, supply(1_000));
        now_ms += 100_000;
        for _ in 0..40 {
            queue.enter(buyer(number), now_ms).unwrap();
            number += 1;
        }
    }
    let (early, late, buyers, _) = queue.slots.sizes();
    assert!(early == 0 && late <= 80 && buyers <= 80, "{early}, {late}, {buyers}");
}

#[test]
fn the_wait_is_about_what_it_was_lately() {
    let mut queue = serving(terms(), 100);
    assert_eq!(queue.wait_seconds(50), Some(5), "as configured");
    for step in 1..=8 {
        let now_ms = T0 + step * 1_000;
        (0..100).for_each(|number| _ = poll(&mut queue, number, now_ms));
        // Half as fast: by what is left to sell.
        queue.tick(now_ms, supply(5 * step as u32));
    }
    let wait = queue.wait_seconds(50).unwrap();
    assert!((8..=11).contains(&wait), "{wait}");
}

/// 100,000 at once on one node: what a waiter costs is said in `docs/WAITING_ROOM.md`.
#[test]
fn a_hundred_thousand_wait_in_less_than_a_hundred_bytes_each() {
    const MANY: u32 = 100_000;
    let mut queue =
        serving(Terms { waiting_max: 200_000, rate_per_second: 1_000, ..terms() }, MANY);
    let bytes = queue.bytes() / MANY as usize;
    println!("{bytes} bytes a waiter, {} of them the place itself", size_of::<Slot>());
    assert!(bytes < 100, "{bytes}");
    assert_eq!(queue.tick(T0 + 1_000, supply(MANY)), 1_000);
    for number in (0..MANY).step_by(997) {
        assert!(!matches!(
            poll(&mut queue, number, T0 + 1_000),
            Standing::Unknown | Standing::Early
        ));
    }
}

#[derive(Debug, Clone)]
enum Act {
    Enter(u32),
    Poll(u32),
    Wait(u64),
    Buy(u32),
    Restock(u32),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0_u32..60).prop_map(Act::Enter),
        4 => (0_u32..60).prop_map(Act::Poll),
        4 => (1_u64..20_000).prop_map(Act::Wait),
        3 => (0_u32..60).prop_map(Act::Buy),
        1 => (0_u32..4).prop_map(Act::Restock),
    ]
}

proptest! {
    /// Whatever happens: no more are admitted than can be served, places are served once and in order, everybody
    /// who is told a place is told one that only comes nearer.
    #[test]
    fn whatever_happens(acts in proptest::collection::vec(act(), 1..200), early in 0_u32..40, units in 0_u32..30) {
        let terms = Terms { surplus: 1, ..terms() };
        let mut queue = serving(terms, early);
        let (mut now_ms, mut left) = (T0, units);
        let mut tickets: Vec<Option<(u32, u64)>> = (0..60).map(|n| (n < early).then_some((n, T0))).collect();
        let mut ahead_before = vec![u32::MAX; 60];
        let mut total = 0;
        for act in acts {
            let head = queue.head();
            match act {
                Act::Enter(who) => {
                    let ticket = queue.enter(buyer(who), now_ms).unwrap();
                    if tickets[who as usize] != Some(ticket) {
                        tickets[who as usize] = Some(ticket);
                        ahead_before[who as usize] = u32::MAX;
                    }
                }
                Act::Poll(who) => {
                    if let Some((number, issued_ms)) = tickets[who as usize]
                        && let Standing::Waiting { place, ahead } =
                            queue.poll(number, issued_ms, &buyer(who), now_ms)
                    {
                        prop_assert!(ahead <= ahead_before[who as usize]);
                        prop_assert_eq!(ahead, place - queue.head());
                        ahead_before[who as usize] = ahead;
                    }
                }
                Act::Wait(ms) => {
                    now_ms += ms;
                    let before = queue.admitted();
                    let let_in = queue.tick(now_ms, supply(left));
                    total += u64::from(let_in);
                    prop_assert!(u64::from(let_in) <= 10);
                    // What was admitted before a unit went elsewhere stays; nobody is added to it.
                    prop_assert!(queue.admitted() <= before.max(left + 1));
                    prop_assert!(left > 0 || let_in == 0);
                }
                Act::Buy(who) => if left > 0 && queue.spend(&buyer(who)) {
                    left -= 1;
                    prop_assert!(!queue.spend(&buyer(who)));
                }
                Act::Restock(units) => left += units,
            }
            prop_assert!(queue.head() >= head && queue.head() <= queue.places());
            prop_assert_eq!(queue.admitted_total(), total);
            let live = queue.slots.all().filter(|s| s.state == State::Admitted).count();
            prop_assert_eq!(queue.admitted() as usize, live);
            let early_live = queue.slots.early().iter().filter(|s| s.is_live()).count();
            prop_assert_eq!(queue.slots.sizes().3, early_live);
        }
    }
}
