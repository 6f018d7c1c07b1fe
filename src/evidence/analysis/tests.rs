//! The analysis over crowds that are made up.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::filter::Filter;
use super::offenders::offenders;
use super::patterns::{Order, Pattern, Thresholds, orders};
use super::rules::{Caught, Rule, Signed, play};
use super::shape::{counts, shape, step_ms};
use super::*;
use crate::evidence::{Series, What};
use crate::sale::OrderId;

pub mod crowd;
#[cfg(feature = "distributed")]
mod sql;

use crowd::{BEGIN_MS, BOTS, Dice, HONEST, bots, honest, order};

fn ids<'a>(sightings: impl IntoIterator<Item = &'a Sighting>) -> BTreeSet<OrderId> {
    sightings.into_iter().filter_map(|sighting| sighting.order_id).collect()
}

fn showing(orders: &[Order<'_>], pattern: Option<Pattern>) -> BTreeSet<OrderId> {
    orders.iter().filter(|order| order.shows(pattern)).map(|order| order.id).collect()
}

/// How many of so many orders, changed by `change`, show the pattern.
fn found(pattern: Pattern, number: usize, change: impl Fn(usize, &mut Sighting)) -> usize {
    let mut dice = Dice(1);
    let mut all: Vec<_> = (0..number).map(|_| order(&mut dice, BEGIN_MS)).collect();
    for (index, one) in all.iter_mut().enumerate() {
        change(index, one);
    }
    showing(&orders(&all, &Thresholds::default()), Some(pattern)).len()
}

#[test]
fn each_pattern_finds_all_its_bots_and_at_most_one_honest_order_in_a_hundred() {
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let honest = honest(&mut dice);
        let farms = Pattern::ALL.map(|pattern| bots(&mut dice, pattern));
        let mut all = [honest.clone(), farms.concat()].concat();
        all.sort_by_key(|sighting| sighting.at_ms);
        let found = orders(&all, &Thresholds::default());
        assert_eq!(found.len(), HONEST + 5 * BOTS);
        for (pattern, farm) in Pattern::ALL.into_iter().zip(&farms) {
            let shows = showing(&found, Some(pattern));
            let farm = ids(farm);
            assert!(shows.is_superset(&farm), "{pattern:?}, seed {seed}");
            let wrongly = shows.intersection(&ids(&honest)).count();
            assert!(wrongly <= HONEST / 100, "{pattern:?}, seed {seed}: {wrongly}");
        }
    }
}

#[test]
fn what_is_shared_counts_from_the_threshold_on_and_by_different_buyers() {
    use Pattern::{OneNetwork, SharedAddress, SharedFingerprint};
    let same_fingerprint = |_: usize, one: &mut Sighting| one.fingerprint = Some(Mark(1));
    let same_address = |_: usize, one: &mut Sighting| one.address = Mark(1);
    let same_network = |index: usize, one: &mut Sighting| {
        one.network = Mark(1);
        one.at_ms += 2_000 * index as u64;
    };
    assert_eq!([4, 5, 6].map(|n| found(SharedFingerprint, n, same_fingerprint)), [0, 5, 6]);
    assert_eq!([4, 5, 6].map(|n| found(SharedAddress, n, same_address)), [0, 5, 6]);
    assert_eq!([9, 10, 11].map(|n| found(OneNetwork, n, same_network)), [0, 10, 11]);
    // One buyer on one device may have as many as the sale allows.
    let one_buyer = |index: usize, one: &mut Sighting| {
        same_fingerprint(index, one);
        one.buyer = Some(BuyerRef::from_bytes([9; 16]));
    };
    assert_eq!(found(SharedFingerprint, 50, one_buyer), 0);
    let backend = |_: usize, one: &mut Sighting| {
        (one.address, one.network) = (Mark::NONE, Mark::NONE);
    };
    for pattern in [SharedAddress, OneNetwork, Pattern::Bursts] {
        assert_eq!(found(pattern, 50, backend), 0, "a shop's backend is no address");
    }
    let none = |_: usize, one: &mut Sighting| one.fingerprint = None;
    assert_eq!(found(SharedFingerprint, 50, none), 0, "no fingerprint is not one that is shared");
}

#[test]
fn a_burst_is_ten_orders_within_less_than_a_second_whoever_they_are_between() {
    let at = |gap_ms: u64| {
        move |index: usize, one: &mut Sighting| {
            one.network = Mark(1);
            one.at_ms += gap_ms * index as u64;
        }
    };
    assert_eq!(found(Pattern::Bursts, 9, at(0)), 0);
    assert_eq!(found(Pattern::Bursts, 10, at(0)), 10);
    // The tenth comes 999 ms after the first, or 1,008.
    assert_eq!(found(Pattern::Bursts, 10, at(111)), 10);
    assert_eq!(found(Pattern::Bursts, 10, at(112)), 0);
    let by_fingerprint = |_: usize, one: &mut Sighting| one.fingerprint = Some(Mark(3));
    assert_eq!(found(Pattern::Bursts, 10, by_fingerprint), 10);
    // A lonely order of the same network an hour before is none of it.
    let mostly = |index: usize, one: &mut Sighting| {
        one.network = Mark(1);
        one.at_ms -= if index == 0 { 3_600_000 } else { 0 };
    };
    assert_eq!(found(Pattern::Bursts, 11, mostly), 10);
}

#[test]
fn each_order_of_a_burst_is_told_the_largest_window_that_it_lies_in() {
    let mut dice = Dice(1);
    // Ten at once, then one each 100 ms: the last of these lies in a window of ten others alone.
    let times = (0..10).map(|_| 0).chain((1..=19).map(|n| 100 * n));
    let mut all: Vec<_> = times.map(|at| order(&mut dice, BEGIN_MS + at)).collect();
    all.iter_mut().for_each(|one| one.network = Mark(1));
    let found = orders(&all, &Thresholds::default());
    let counts: Vec<_> = found.iter().map(|o| o.findings.first().map_or(0, |f| f.count)).collect();
    // The window from 0 to 900 ms has 19. An order at `t` has its best window from `t - 900` on.
    assert_eq!(counts[..19], [19; 19]);
    assert_eq!(counts[19..], [10; 10]);
}

#[test]
fn numbers_in_a_row_count_if_each_is_within_three_of_the_next() {
    let gap = |gap: u64| {
        move |index: usize, one: &mut Sighting| {
            one.series = Some(Series { stem: Mark(1), number: 1_000 + gap * index as u64 });
        }
    };
    let sequential = Pattern::SequentialUsers;
    assert_eq!(found(sequential, 4, gap(1)), 0);
    assert_eq!(found(sequential, 5, gap(1)), 5);
    assert_eq!(found(sequential, 5, gap(3)), 5);
    assert_eq!(found(sequential, 50, gap(4)), 0);
    assert_eq!(found(sequential, 50, gap(0)), 0, "one id that buys often is no row");
    let stems = |index: usize, one: &mut Sighting| {
        one.series = Some(Series { stem: Mark(index as u64 % 2), number: index as u64 });
    };
    assert_eq!(found(sequential, 8, stems), 0, "four of each stem");
    assert_eq!(found(sequential, 10, stems), 10, "five of each, two apart");
    // Numbers go round: a secret one is added to them.
    let round = |index: usize, one: &mut Sighting| {
        let number = ((1 << 63) - 3 + index as u64) % (1 << 63);
        one.series = Some(Series { stem: Mark(1), number });
    };
    assert_eq!(found(sequential, 4, round), 0);
    assert_eq!(found(sequential, 6, round), 6);
}

#[test]
fn an_order_seen_by_two_nodes_is_one_and_what_was_refused_is_none() {
    let mut dice = Dice(3);
    let mut all: Vec<_> = (0..4).map(|_| order(&mut dice, BEGIN_MS)).collect();
    all.iter_mut().for_each(|one| one.fingerprint = Some(Mark(1)));
    let mut again = all[0].clone();
    again.at_ms += 5;
    let mut refused = order(&mut dice, BEGIN_MS);
    (refused.fingerprint, refused.what) = (Some(Mark(1)), What::SoldOut);
    all.extend([again, refused]);
    let found = orders(&all, &Thresholds::default());
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|order| order.sighting.at_ms == BEGIN_MS));
    assert_eq!(showing(&found, None).len(), 0, "four buyers");
}

#[test]
fn a_filter_wants_what_is_suspicious_unless_somebody_is_named() {
    let mut dice = Dice(4);
    let mut all = [honest(&mut dice), bots(&mut dice, Pattern::SharedFingerprint)].concat();
    all.sort_by_key(|sighting| sighting.at_ms);
    let found = orders(&all, &Thresholds::default());
    let wanted = |filter: &Filter| found.iter().filter(|order| filter.wants(order)).count();
    assert_eq!(wanted(&Filter::default()), BOTS);
    let pattern = |pattern| Filter::showing(Some(pattern));
    assert_eq!(wanted(&pattern(Pattern::SharedFingerprint)), BOTS);
    assert_eq!(wanted(&pattern(Pattern::Bursts)), 0);
    let one = found.iter().find(|order| !order.shows(None)).unwrap().sighting;
    let mut named = Filter::default();
    named.only(Kind::Buyer, vec![Source::Buyer(one.buyer.unwrap())]);
    assert_eq!(wanted(&named), 1, "also what is not suspicious");
    named.only(Kind::Address, vec![Source::Address(Mark(1)), Source::Address(one.address)]);
    assert_eq!(wanted(&named), 1);
    let mut both = pattern(Pattern::SharedFingerprint);
    both.only(Kind::Buyer, vec![Source::Buyer(one.buyer.unwrap())]);
    assert_eq!(wanted(&both), 0);
    named.only(Kind::Network, Vec::new());
    assert_eq!(wanted(&named), 0, "of nobody are no orders");
    assert!(named.names_a_source() && !Filter::default().names_a_source());
}

#[test]
fn a_source_is_read_as_it_is_written() {
    let mark = Mark(0xff);
    for (kind, source, text) in [
        (Kind::Address, Source::Address(mark), "address-00000000000000ff"),
        (Kind::Network, Source::Network(mark), "network-00000000000000ff"),
        (Kind::Fingerprint, Source::Fingerprint(mark), "fingerprint-00000000000000ff"),
    ] {
        assert_eq!(source.to_string(), text);
        assert_eq!(Source::parse(kind, text), Some(source));
    }
    let buyer = BuyerRef::from_bytes([0xab; 16]);
    assert_eq!(Source::parse(Kind::Buyer, &buyer.to_string()), Some(Source::Buyer(buyer)));
    for wrong in [
        "address-ff",
        "address-00000000000000FF",
        "network-00000000000000ff",
        "address",
        "address-000000000000000ff",
        "address-+0000000000000ff",
        "",
    ] {
        assert_eq!(Source::parse(Kind::Address, wrong), None, "{wrong}");
    }
}

#[test]
fn offenders_are_those_with_most_orders_and_refusals_weigh_as_many_as_they_stand_for() {
    let mut dice = Dice(5);
    let mut all = bots(&mut dice, Pattern::SharedAddress);
    let farm = all[0].address;
    let mut flood = order(&mut dice, BEGIN_MS + 1);
    (flood.what, flood.weight, flood.buyer) = (What::NotAuthentic, 5_000, None);
    let mut few = order(&mut dice, BEGIN_MS + 2);
    (few.what, few.weight) = (What::SoldOut, 99);
    all.extend([flood.clone(), few.clone()]);
    let thresholds = Thresholds::default();
    let top = offenders(&all, Kind::Address, &thresholds, 3);
    assert_eq!(top.len(), 3);
    assert_eq!((top[0].source, top[0].orders), (Source::Address(farm), BOTS as u64));
    assert_eq!((top[0].buyers, top[0].refusals, top[0].stands_out), (BOTS as u64, 0, true));
    let times = all[..BOTS].iter().map(|sighting| sighting.at_ms);
    assert_eq!(top[0].first_at_ms, times.clone().min().unwrap());
    assert_eq!(top[0].last_at_ms, times.max().unwrap());
    assert_eq!((top[1].source, top[1].refusals), (Source::Address(flood.address), 5_000));
    assert_eq!((top[1].buyers, top[1].stands_out), (0, true));
    assert_eq!((top[2].refusals, top[2].stands_out), (99, false));
    assert!(offenders(&all, Kind::Buyer, &thresholds, 99).iter().all(|who| who.orders <= 1));
}

#[test]
fn the_shape_adds_up_by_second_or_by_minute() {
    assert_eq!((step_ms(900_000), step_ms(900_001)), (1_000, 60_000));
    let mut dice = Dice(6);
    let mut all = bots(&mut dice, Pattern::Bursts);
    let mut flood = order(&mut dice, BEGIN_MS);
    (flood.what, flood.weight) = (What::TooManyRequests, 700);
    all.push(flood);
    let found = orders(&all, &Thresholds::default());
    for step_ms in [1_000, 60_000] {
        let shape = shape(step_ms, counts(&all), &found, None);
        assert!(shape.steps.is_sorted_by_key(|step| step.at_ms));
        assert!(shape.steps.iter().all(|step| step.at_ms.is_multiple_of(step_ms)));
        let sum = |what| shape.steps.iter().filter_map(|step| step.came_to.get(&what)).sum::<u64>();
        assert_eq!(sum(What::Accepted), BOTS as u64);
        assert_eq!(sum(What::TooManyRequests), 700);
        let suspicious: u64 = shape.steps.iter().map(|step| step.suspicious).sum();
        assert_eq!(suspicious, BOTS as u64);
    }
}

fn of(all: &[Caught], rule: Rule) -> (u64, u64) {
    let one = all.iter().find(|caught| caught.rule == rule).unwrap();
    (one.caught, one.collateral)
}

#[test]
fn rules_tell_what_they_would_have_caught_and_whom_else() {
    let mut dice = Dice(7);
    let honest = honest(&mut dice);
    // One device at one address, ten orders a second.
    let mut farm: Vec<_> = (0..100).map(|n| order(&mut dice, BEGIN_MS + 100 * n)).collect();
    for bot in &mut farm {
        (bot.fingerprint, bot.address, bot.network) = (Some(Mark(1)), Mark(2), Mark(3));
    }
    // A neighbour in the network, who is none of them; so few do not make a burst or a shared device.
    let mut neighbour = order(&mut dice, BEGIN_MS + 700_000);
    neighbour.network = Mark(3);
    let mut all = [honest, farm, vec![neighbour]].concat();
    all.sort_by_key(|sighting| sighting.at_ms);
    let found = orders(&all, &Thresholds::default());
    let pattern = Some(Pattern::SharedFingerprint);
    let played = play(&all, &found, pattern, Signed::IsRefunded);
    // A bucket of n at first, then n in each of the 9.9 seconds that are left.
    assert_eq!(of(&played, Rule::FingerprintPerSecond(1)), (90, 0));
    assert_eq!(of(&played, Rule::FingerprintPerSecond(5)), (46, 0));
    assert_eq!(of(&played, Rule::FingerprintPerSecond(20)), (0, 0));
    assert_eq!(of(&played, Rule::IpPerSecond(1)), (0, 0), "who has signed is refunded");
    assert_eq!(of(&played, Rule::UsersPerFingerprint(2)), (98, 0));
    assert_eq!(of(&played, Rule::Block(Source::Network(Mark(3)))), (100, 1));
    assert_eq!(of(&played, Rule::Block(Source::Fingerprint(Mark(1)))), (100, 0));
    assert_eq!(of(&played, Rule::Block(Source::Address(Mark(2)))), (100, 0));
    let played = play(&all, &found, pattern, Signed::Counts);
    let (caught, collateral) = of(&played, Rule::IpPerSecond(1));
    assert_eq!((caught, collateral), (90, 0), "in the gate of many nodes it counts");
}

#[test]
fn a_rule_for_buyers_looks_at_one_buyer_at_a_time_and_at_other_keys() {
    let mut dice = Dice(8);
    let buyer = Some(BuyerRef::from_bytes([1; 16]));
    let mut all: Vec<_> = (0..4).map(|n| order(&mut dice, BEGIN_MS + 600 * n)).collect();
    all.iter_mut().for_each(|one| one.buyer = buyer);
    // The same key again a moment later is a double click.
    let mut again = all[3].clone();
    (again.at_ms, again.what) = (again.at_ms + 1, What::Duplicate);
    all.push(again);
    all.extend((0..50).map(|n| order(&mut dice, BEGIN_MS + 2_000 + n)));
    let found = orders(&all, &Thresholds::default());
    let played = play(&all, &found, None, Signed::Counts);
    assert_eq!(of(&played, Rule::MinIntervalMs(500)), (0, 0));
    // 0 passes, 600 does not, 1,200 does, 1,800 does not.
    assert_eq!(of(&played, Rule::MinIntervalMs(1_000)), (0, 2));
    assert_eq!(of(&played, Rule::BuyerPerSecond(5)), (0, 0));
    assert_eq!(of(&played, Rule::BuyerPerSecond(1)), (0, 2), "at 600, and at 1,800");
}

#[test]
fn a_flood_that_proves_nothing_empties_its_address() {
    let mut dice = Dice(9);
    let mut flood = order(&mut dice, BEGIN_MS);
    (flood.what, flood.weight, flood.buyer, flood.order_id) = (What::NotAuthentic, 900, None, None);
    let mut behind = order(&mut dice, BEGIN_MS + 10);
    behind.address = flood.address;
    let all = [flood, behind];
    let found = orders(&all, &Thresholds::default());
    let played = play(&all, &found, None, Signed::IsRefunded);
    assert_eq!(of(&played, Rule::IpPerSecond(20)), (0, 1));
}

#[test]
fn as_many_as_one_look_takes_in_are_analysed_though_all_are_of_one_source() {
    let mut dice = Dice(12);
    let number = crate::evidence::SIGHTINGS_MAX;
    let mut all: Vec<_> = (0..number as u64).map(|n| order(&mut dice, BEGIN_MS + n)).collect();
    for (index, one) in all.iter_mut().enumerate() {
        (one.address, one.network, one.fingerprint) = (Mark(1), Mark(2), Some(Mark(3)));
        one.series = Some(Series { stem: Mark(4), number: index as u64 });
    }
    // What takes the square of their number takes minutes here.
    let found = orders(&all, &Thresholds::default());
    assert!(found.iter().all(|order| order.findings.len() == Pattern::ALL.len()));
    let played = play(&all, &found, None, Signed::Counts);
    assert_eq!(of(&played, Rule::Block(Source::Network(Mark(2)))), (number as u64, 0));
    for kind in Kind::ALL {
        assert!(offenders(&all, kind, &Thresholds::default(), 10).len() <= 10);
    }
}

/// Any sighting, of few people so that they meet.
fn any() -> impl Strategy<Value = Sighting> {
    let whats = [What::Accepted, What::Accepted, What::Busy, What::Blocked, What::NotAuthentic];
    let times = prop_oneof![0..5_000_u64, Just(u64::MAX), Just(0), Just(BEGIN_MS)];
    let numbers = prop_oneof![0..20_u64, (1_u64 << 63) - 5..(1 << 63), Just(u64::MAX)];
    let people = (0..3_u64, 0..3_u64, 0..4_u64, 0..30_u8, 0..200_u8);
    let series = proptest::option::of((0..2_u64, numbers));
    (times, 0..whats.len(), any_weight(), people, series).prop_map(
        move |(at_ms, what, weight, (address, network, fingerprint, buyer, order), series)| {
            Sighting {
                at_ms,
                what: whats[what],
                weight,
                product: None,
                order_id: (order > 3).then(|| OrderId::from_random_bytes([order; 16])),
                buyer: (buyer > 2).then(|| BuyerRef::from_bytes([buyer; 16])),
                series: series.map(|(stem, number)| Series { stem: Mark(stem), number }),
                address: Mark(address),
                network: Mark(network),
                fingerprint: (fingerprint > 0).then_some(Mark(fingerprint)),
            }
        },
    )
}

fn any_weight() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1), Just(u32::MAX), 0..1_000_u32]
}

proptest! {
    #[test]
    fn whatever_was_seen_is_analysed_and_adds_up(
        mut all in proptest::collection::vec(any(), 0..150),
        threshold in prop_oneof![Just(0), Just(1), Just(u32::MAX), 1..12_u32],
        gap in prop_oneof![0..5_u32, Just(u32::MAX)],
        signed in prop_oneof![Just(Signed::IsRefunded), Just(Signed::Counts)],
    ) {
        all.sort_by_key(|sighting| sighting.at_ms);
        let thresholds = Thresholds {
            burst_orders: threshold,
            fingerprint_buyers: threshold,
            network_buyers: threshold,
            address_buyers: threshold,
            series_ids: threshold,
            series_gap: gap,
        };
        let found = orders(&all, &thresholds);
        let accepted = all.iter().filter(|sighting| sighting.what == What::Accepted);
        prop_assert_eq!(found.len(), ids(accepted).len());
        prop_assert!(found.is_sorted_by_key(Order::place));
        for order in &found {
            prop_assert!(order.findings.is_sorted());
            let mut patterns: Vec<_> = order.findings.iter().map(|f| f.pattern).collect();
            patterns.dedup();
            prop_assert_eq!(patterns.len(), order.findings.len());
            prop_assert!(order.findings.iter().all(|finding| finding.count >= threshold));
        }
        let suspicious = showing(&found, None).len() as u64;
        for caught in play(&all, &found, None, signed) {
            prop_assert!(caught.caught <= suspicious, "{:?}", caught);
        }
        for kind in Kind::ALL {
            let top = offenders(&all, kind, &thresholds, 5);
            prop_assert!(top.len() <= 5);
            prop_assert!(top.is_sorted_by_key(|who| std::cmp::Reverse((who.orders, who.refusals))));
        }
        let shape = shape(60_000, counts(&all), &found, None);
        let sum: u64 = shape.steps.iter().flat_map(|step| step.came_to.values()).sum();
        prop_assert_eq!(sum, all.iter().map(|sighting| u64::from(sighting.weight)).sum::<u64>());
    }
}
