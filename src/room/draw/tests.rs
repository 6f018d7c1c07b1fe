//! What is wrong with a draw is found, and what is right is not.

use super::*;
use crate::sale::BuyerRef;

fn ticket(number: u32) -> Ticket {
    Ticket {
        product: "lamp".parse().unwrap(),
        number,
        issued_ms: 1_000 + u64::from(number),
        buyer: BuyerRef::from_bytes([number as u8; 16]),
        pass_id: [0; 16],
    }
}

fn leaves(count: u32) -> Vec<Digest> {
    (0..count).map(|number| ticket(number).leaf()).collect()
}

/// An honest draw of ten with what the holder of ticket 3 has.
fn honest() -> (Draw, Evidence) {
    let (seed, product) = ([5; 32], ticket(0).product);
    let tree = Tree::over(leaves(10));
    let draw = Draw {
        product_id: product,
        commitment: hex::encode(commitment(&product, &seed, "drand 1")),
        public_value_source: "drand 1".to_owned(),
        entrants: Some(10),
        root: Some(hex::encode(tree.root())),
        public_value: Some("beacon".to_owned()),
        seed: Some(hex::encode(seed)),
    };
    let place = permutation(&product, &seed, 10, &tree.root(), "beacon").place(3);
    let path = tree.path(3).unwrap().iter().map(hex::encode).collect();
    let before =
        Draw { entrants: None, root: None, public_value: None, seed: None, ..draw.clone() };
    let evidence = Evidence {
        before: Some(before),
        entrants: Some(leaves(10)),
        ticket: Some(ticket(3)),
        proof: Some(Proof { number: 3, leaf: hex::encode(ticket(3).leaf()), path }),
        place,
    };
    (draw, evidence)
}

/// What is found after a change.
fn fault(change: impl FnOnce(&mut Draw, &mut Evidence)) -> Fault {
    let (mut draw, mut evidence) = honest();
    change(&mut draw, &mut evidence);
    verify(&draw, &evidence).unwrap_err()
}

#[test]
fn an_honest_draw_holds() {
    let (draw, evidence) = honest();
    let shown = verify(&draw, &evidence).unwrap();
    assert_eq!((shown.place, shown.drawn, shown.entrants), (evidence.place, true, 10));
    assert!(shown.to_string().contains("operator's own entrants"));
    // By the proof alone, and by the list alone.
    for evidence in [
        Evidence { entrants: None, ..evidence.clone() },
        Evidence { proof: None, ..evidence.clone() },
        Evidence { ticket: None, proof: None, place: None, ..evidence.clone() },
    ] {
        assert!(verify(&draw, &evidence).is_ok());
    }
}

#[test]
fn a_late_ticket_has_the_place_of_its_number() {
    let (draw, evidence) = honest();
    let late = Evidence { ticket: Some(ticket(12)), proof: None, place: Some(12), ..evidence };
    let shown = verify(&draw, &late).unwrap();
    assert_eq!((shown.place, shown.drawn), (Some(12), false));
}

#[test]
fn a_changed_seed_is_found() {
    assert_eq!(fault(|draw, _| draw.seed = Some(hex::encode([6; 32]))), Fault::Seed);
    // A new commitment to the new seed is another one than was published before.
    let changed = fault(|draw, _| {
        draw.seed = Some(hex::encode([6; 32]));
        let commitment = commitment(&draw.product_id, &[6; 32], "drand 1");
        draw.commitment = hex::encode(commitment);
    });
    assert_eq!(changed, Fault::Changed("the commitment"));
    assert_eq!(
        fault(|draw, _| draw.public_value_source = "drand 2".into()),
        Fault::Changed("the source of the public value")
    );
}

#[test]
fn an_entrant_who_was_added_dropped_or_moved_is_found() {
    let count = |listed| Fault::Count { listed, entrants: 10 };
    assert_eq!(fault(|_, e| e.entrants.as_mut().unwrap().push([0; 32])), count(11));
    assert_eq!(fault(|_, e| _ = e.entrants.as_mut().unwrap().pop()), count(9));
    assert_eq!(fault(|_, e| e.entrants.as_mut().unwrap().swap(1, 2)), Fault::Root);
    // With the count, or the root, changed along: the copy from before differs, or the ticket's proof.
    let added = |draw: &mut Draw, evidence: &mut Evidence| {
        let list = leaves(11);
        draw.entrants = Some(11);
        draw.root = Some(hex::encode(Tree::over(list.clone()).root()));
        evidence.entrants = Some(list);
    };
    assert_eq!(fault(added), Fault::NotEntered);
    let published = fault(|draw, evidence| {
        evidence.before = Some(draw.clone());
        added(draw, evidence);
    });
    assert_eq!(published, Fault::Changed("the number of entrants"));
    let dropped = fault(|draw, evidence| {
        let list = evidence.entrants.as_mut().unwrap();
        list[3] = ticket(77).leaf();
        draw.root = Some(hex::encode(Tree::over(list.clone()).root()));
        evidence.proof = None;
    });
    assert_eq!(dropped, Fault::NotEntered);
}

#[test]
fn somebody_who_is_in_the_list_twice_is_found() {
    let twice = fault(|draw, evidence| {
        let list = evidence.entrants.as_mut().unwrap();
        list[7] = list[3];
        draw.root = Some(hex::encode(Tree::over(list.clone()).root()));
        evidence.proof = None;
    });
    assert_eq!(twice, Fault::Twice);
}

#[test]
fn a_wrong_place_and_a_wrong_ticket_are_found() {
    assert!(matches!(fault(|_, e| e.place = e.place.map(|p| p + 1)), Fault::Place { .. }));
    assert_eq!(fault(|_, e| e.ticket = Some(ticket(4))), Fault::NotEntered);
    let other = Ticket { product: "chair".parse().unwrap(), ..ticket(3) };
    assert_eq!(fault(|_, e| e.ticket = Some(other)), Fault::OtherProduct);
    assert_eq!(fault(|_, e| e.proof.as_mut().unwrap().number = 4), Fault::NotEntered);
}

#[test]
fn another_public_value_gives_other_places() {
    assert!(matches!(
        fault(|draw, _| draw.public_value = Some("another".into())),
        Fault::Place { .. }
    ));
    let unannounced = fault(|draw, evidence| {
        draw.public_value_source = String::new();
        evidence.before = None;
    });
    assert_eq!(unannounced, Fault::UnannouncedValue);
}

#[test]
fn what_is_not_published_yet_is_named() {
    for (what, change) in [
        ("the seed", (|draw| draw.seed = None) as fn(&mut Draw)),
        ("the public value", |draw| draw.public_value = None),
        ("the Merkle root", |draw| draw.root = None),
        ("the number of entrants", |draw| draw.entrants = None),
    ] {
        assert_eq!(fault(|draw, _| change(draw)), Fault::NotFinished(what));
    }
    assert_eq!(fault(|draw, _| draw.seed = Some("zz".into())), Fault::NotHex("seed"));
}
