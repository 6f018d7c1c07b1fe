//! The checks of the rules, on books that keep and that break them.

use super::*;

fn order(byte: u8, buyer: u8) -> LedgerOrder {
    LedgerOrder {
        order_id: id(byte),
        buyer: BuyerRef::from_bytes([buyer; 16]),
        status: "confirmed".into(),
    }
}

fn id(byte: u8) -> OrderId {
    OrderId::from_random_bytes([byte; 16])
}

fn books(capacity: u64, sold: u64, orders: Vec<LedgerOrder>) -> Books {
    let product = ProductBooks { capacity, sold, pending: 0, per_buyer_limit: Some(1) };
    Books { product, orders }
}

struct Case {
    books: Books,
    accepted: Vec<OrderId>,
    mentioned: HashSet<OrderId>,
    unanswered: u64,
    wrongly_accepted: u64,
    sold_out: u64,
}

/// Two of two units sold to two buyers, and everybody told so.
fn sound() -> Case {
    Case {
        books: books(2, 2, vec![order(1, 1), order(2, 2)]),
        accepted: vec![id(1), id(2)],
        mentioned: HashSet::new(),
        unanswered: 0,
        wrongly_accepted: 0,
        sold_out: 5,
    }
}

fn broken(case: &Case) -> Vec<&'static str> {
    let told = Told {
        accepted: &case.accepted,
        mentioned: &case.mentioned,
        unanswered: case.unanswered,
        wrongly_accepted: case.wrongly_accepted,
        sold_out: case.sold_out,
        demand: 7,
        sold_before: 0,
    };
    check(&case.books, &told).iter().filter(|check| !check.passed).map(|check| check.name).collect()
}

#[test]
fn sound_books_pass_every_check() {
    assert_eq!(broken(&sound()), Vec::<&str>::new());
}

#[test]
fn rule_1_an_oversold_product_is_found() {
    let mut case = sound();
    case.books = books(1, 2, case.books.orders);
    assert!(broken(&case).contains(&"never more sold than there is"));
}

#[test]
fn rule_1_a_buyer_with_two_orders_is_found() {
    let mut case = sound();
    case.books.orders[1].buyer = case.books.orders[0].buyer;
    assert_eq!(broken(&case), ["no buyer above the limit"]);
    case.books.orders[0].status = "reversed".into();
    case.books.product.sold = 1;
    assert!(
        !broken(&case).contains(&"no buyer above the limit"),
        "a reversed order does not count"
    );
}

#[test]
fn rule_2_a_lost_order_and_a_double_row_are_found() {
    let mut case = sound();
    case.accepted.push(id(9));
    assert_eq!(broken(&case), ["every accepted order is in the ledger, once"]);
    let mut case = sound();
    case.books.orders.push(order(1, 1));
    assert!(broken(&case).contains(&"every accepted order is in the ledger, once"));
}

#[test]
fn rule_3_an_attempt_that_was_accepted_twice_is_found() {
    let mut case = sound();
    case.accepted.push(id(1));
    assert_eq!(broken(&case), ["one order for each attempt, for ever"]);
}

#[test]
fn rule_4_an_order_of_a_refused_attempt_is_found_unless_an_answer_is_missing() {
    let mut case = sound();
    case.accepted.pop();
    assert_eq!(broken(&case), ["no order that its buyer was not told of"]);
    case.unanswered = 1;
    assert_eq!(broken(&case), Vec::<&str>::new());
    case.unanswered = 0;
    case.mentioned.insert(id(2));
    assert_eq!(broken(&case), Vec::<&str>::new());
}

#[test]
fn rule_5_a_ledger_that_differs_a_pending_attempt_and_a_lost_unit_are_found() {
    let mut case = sound();
    case.books.product.sold = 1;
    assert!(broken(&case).contains(&"orders in the ledger = units sold"));
    let mut case = sound();
    case.books.product.pending = 1;
    assert_eq!(broken(&case), ["nothing pending at rest"]);
    let mut case = sound();
    case.books.product.capacity = 3;
    assert_eq!(broken(&case), ["no unit lost: demand for all sells all"]);
}

#[test]
fn a_forgery_that_was_accepted_is_found() {
    let mut case = sound();
    case.wrongly_accepted = 1;
    assert_eq!(broken(&case), ["no forged or re-keyed request accepted"]);
}
