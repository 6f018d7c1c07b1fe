//! The contract of the rooms: each test runs on every backend.

use super::*;
use crate::room::draw::{Evidence, verify};
use crate::room::rooms::NotTaken;

/// Runs a test for each backend.
fn on_both(change: impl Fn(&mut config::room::Room), test: impl AsyncFn(Rig)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test(Rig::memory(&change)));
    #[cfg(feature = "distributed")]
    crate::gate::redis::tests::on_a_serving_thread(|| async {
        test(many::rig(&change).await).await;
    });
}

#[test]
fn the_early_are_drawn_and_served_in_order_and_the_draw_verifies() {
    on_both(
        |_| {},
        async |rig| {
            let unborn = rig.draw();
            let tickets = rig.early(20).await;
            for (number, ticket) in (0..).zip(&tickets) {
                assert_eq!((ticket.number, ticket.buyer), (number, buyer(number)));
                assert_eq!(rig.poll(ticket).await, Standing::Early);
            }
            rig.pass(1_000);
            assert_eq!(rig.enter(7, CLOSED).await.unwrap(), tickets[7], "the place that one has");
            rig.tick(CLOSED).await;
            assert_eq!((rig.view().phase, rig.view().places, rig.view().head), ("arriving", 20, 0));
            assert_eq!(rig.draw(), unborn);
            let late = rig.enter(50, supply(100)).await.unwrap();
            assert_eq!(late.number, 20, "too late for the draw");
            rig.tick(supply(100)).await;
            assert_eq!(rig.view().phase, "serving");
            let draw = rig.draw();
            assert_eq!(draw.entrants, Some(20));
            let mut places = vec![20];
            for ticket in tickets.iter().chain([&late]) {
                let Standing::Waiting { place, ahead } = rig.poll(ticket).await else {
                    panic!("{ticket:?}")
                };
                assert_eq!(place, ahead);
                for (lobby, _) in &rig.nodes {
                    let evidence = Evidence {
                        before: Some(unborn.clone()),
                        entrants: Some(lobby.entrants(&lamp()).unwrap()),
                        ticket: Some(*ticket),
                        proof: lobby.proof(&lamp(), ticket.number).unwrap(),
                        place: Some(place),
                    };
                    assert_eq!(lobby.draw(&lamp()), draw);
                    assert_eq!(verify(&draw, &evidence).unwrap().place, Some(place));
                }
                places.push(place);
            }
            places.sort_unstable();
            places.dedup();
            assert_eq!(places, (0..=20).collect::<Vec<_>>());
            // Ten a second, in the order of the places.
            rig.run(1_000, supply(100), &[]).await;
            let mut admitted = 0;
            for ticket in tickets.iter().chain([&late]) {
                match rig.poll(ticket).await {
                    Standing::Admitted { until_ms } => {
                        admitted += 1;
                        assert!(until_ms <= rig.now_ms.get() + ADMISSION_MS);
                    }
                    Standing::Waiting { place, ahead } => {
                        assert_eq!(place, rig.view().head + ahead)
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!((admitted, rig.view().head, rig.view().admitted), (10, 10, 10));
            rig.run(1_100, supply(100), &[]).await;
            assert!(matches!(rig.poll(&late).await, Standing::Admitted { .. }));
            assert_eq!(rig.view().admitted_total, 21);
        },
    );
}

#[test]
fn never_more_are_admitted_than_the_rate_and_the_units_allow() {
    on_both(
        |room| room.surplus_units = 1,
        async |rig| {
            let tickets = rig.early(60).await;
            rig.tick(supply(100)).await;
            let (begun_ms, mut most) = (rig.now_ms.get(), 0);
            for _ in 0..30 {
                rig.run(100, supply(25), &tickets).await;
                let total = rig.view().admitted_total;
                let allowed = (rig.now_ms.get() - begun_ms) * 10 / 1_000;
                assert!(total <= allowed, "{total} after {} ms", rig.now_ms.get() - begun_ms);
                most = most.max(rig.view().admitted);
            }
            assert_eq!(most, 26, "25 units and one more");
            // One buys: a unit less, and one admission less. Nobody is let in for it.
            let admitted = rig.admitted(&tickets).await;
            assert_eq!(admitted.len(), 26);
            rig.spend(admitted[0].number, 24).await;
            rig.run(500, supply(24), &tickets).await;
            assert_eq!((rig.view().admitted, rig.view().admitted_total), (25, 26));
            // A unit comes back.
            rig.run(500, supply(25), &tickets).await;
            assert_eq!((rig.view().admitted, rig.view().admitted_total), (26, 27));
            // Sold out, or paused: nobody.
            rig.run(500, Supply { selling: false, ..supply(60) }, &tickets).await;
            rig.run(500, supply(0), &tickets).await;
            assert_eq!(rig.view().admitted_total, 27);
        },
    );
}

#[test]
fn an_admission_is_used_once_and_one_that_is_not_ends() {
    on_both(
        |_| {},
        async |rig| {
            let tickets = rig.early(3).await;
            rig.tick(supply(2)).await;
            rig.run(1_000, supply(2), &tickets).await;
            let admitted = rig.admitted(&tickets).await;
            assert_eq!(admitted.len(), 2);
            rig.spend(admitted[0].number, 1).await;
            rig.spend(admitted[0].number, 1).await;
            for _ in 0..2 {
                assert_eq!(rig.poll(&admitted[0]).await, Standing::Spent, "on every node");
            }
            rig.run(100, supply(1), &tickets).await;
            assert_eq!(rig.view().admitted, 1, "spent once");
            rig.run(100, supply(1), &tickets).await;
            let again = rig.enter(admitted[0].number, supply(1)).await.unwrap();
            assert_eq!(again.number, 3, "whoever has bought may queue anew, at the end");
            // The other lets theirs end; until then and a little longer it counts.
            let third = tickets.iter().find(|ticket| !admitted.contains(ticket)).unwrap();
            for _ in 0..55 {
                assert!(matches!(rig.poll(third).await, Standing::Waiting { .. }));
                rig.run(1_000, supply(1), &[*third, again]).await;
            }
            rig.run(5_000, supply(1), &[*third, again]).await;
            assert_eq!(rig.poll(&admitted[1]).await, Standing::Lapsed);
            assert!(matches!(rig.poll(third).await, Standing::Waiting { .. }));
            rig.run(2_000, supply(1), &[*third]).await;
            assert!(matches!(rig.poll(third).await, Standing::Admitted { .. }));
            rig.spend(admitted[1].number, 1).await;
            assert_eq!(rig.poll(&admitted[1]).await, Standing::Lapsed, "too late to use it");
        },
    );
}

#[test]
fn whoever_leaves_frees_their_place_and_whoever_comes_back_in_time_keeps_it() {
    on_both(
        |_| {},
        async |rig| {
            let mut tickets = Vec::new();
            rig.tick(supply(0)).await;
            for number in 0..40 {
                tickets.push(rig.enter(number, supply(0)).await.unwrap());
            }
            // 20 to 39 stay, 0 to 19 close their pages.
            for _ in 0..4 {
                rig.run(10_000, supply(0), &tickets[20..]).await;
            }
            let back = rig.poll(&tickets[5]).await;
            assert!(matches!(back, Standing::Waiting { ahead: 5, .. }), "{back:?}");
            rig.run(100, supply(100), &[]).await;
            assert!(matches!(rig.poll(&tickets[5]).await, Standing::Admitted { .. }));
            assert!(matches!(rig.poll(&tickets[4]).await, Standing::Passed | Standing::Unknown));
            let admitted = rig.admitted(&tickets).await;
            let numbers: Vec<_> = admitted.iter().map(|ticket| ticket.number).collect();
            assert_eq!(
                numbers,
                [5, 20, 21, 22, 23, 24, 25, 26, 27, 28],
                "nobody pays for who is away"
            );
            let anew = rig.enter(4, supply(100)).await.unwrap();
            assert_eq!(anew.number, 40);
        },
    );
}

#[test]
fn a_room_is_bounded_and_knows_its_own_tickets() {
    on_both(
        |room| room.waiting_max = 5,
        async |rig| {
            let tickets = rig.early(5).await;
            assert!(matches!(rig.enter(9, CLOSED).await, Err(NotEntered::Full(_))));
            assert_eq!(rig.enter(2, CLOSED).await.unwrap(), tickets[2], "there is for who has one");
            let (lobby, gate) = rig.node();
            let found = lobby.of_buyer(gate, &lamp(), &buyer(2), [0; 16]).await;
            assert_eq!(found, Ok(Some(tickets[2])));
            assert_eq!(lobby.of_buyer(gate, &lamp(), &buyer(9), [0; 16]).await, Ok(None));
            let other = Ticket { buyer: buyer(9), ..tickets[2] };
            assert_eq!(rig.poll(&other).await, Standing::Unknown, "another's number");
            rig.tick(supply(100)).await;
            rig.run(1_000, supply(100), &tickets).await;
            assert_eq!(rig.view().admitted, 5);
        },
    );
}

#[test]
fn a_draw_with_a_public_value_waits_for_it() {
    let source = |room: &mut config::room::Room| room.public_value_source = "drand 1".to_owned();
    on_both(source, async |rig| {
        let tickets = rig.early(6).await;
        let given = rig.node().0.set_public_value(&lamp(), "x".into()).await;
        assert_eq!(given, Err(NotTaken::TooEarly.into()));
        rig.run(2_000, supply(100), &tickets).await;
        assert_eq!((rig.view().phase, rig.view().admitted), ("drawing", 0));
        assert_eq!(rig.poll(&tickets[0]).await, Standing::Early);
        let sealed = rig.draw();
        assert_eq!((sealed.entrants, &sealed.seed), (Some(6), &None));
        let product = lamp();
        let (given, ()) =
            tokio::join!(rig.node().0.set_public_value(&product, "x:y".into()), async {
                tokio::task::yield_now().await;
                rig.tick(supply(100)).await;
            });
        assert_eq!(given, Ok(()));
        rig.tick(supply(100)).await;
        let again = rig.node().0.set_public_value(&lamp(), "z".into()).await;
        assert_eq!(again, Err(NotTaken::Already.into()));
        for (lobby, _) in &rig.nodes {
            let draw = lobby.draw(&lamp());
            assert_eq!(draw.public_value.as_deref(), Some("x:y"));
            let evidence = Evidence { before: Some(sealed.clone()), ..Evidence::default() };
            verify(&draw, &evidence).unwrap();
        }
        rig.run(1_000, supply(100), &tickets).await;
        assert_eq!(rig.view().admitted, 6);
    });
}
