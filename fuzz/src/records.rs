//! The log's records, and the states that are made of them or read from where they were kept.

use flux_gate::sale::{
    Book, BuyerRef, ControlState, LogEntry, OrderId, OrderProposed, OrderSnapshot, Outcome,
    ProductId, Record, SaleOpened, SaleSnapshot, SaleState,
};

use super::NOW_MS;

/// Records of the log: what is read is written again as what is read.
pub fn record(bytes: &[u8]) -> bool {
    let Ok(record) = Record::decode(bytes) else { return false };
    // A reason may grow when its escapes are written out, and then it is too large to be read.
    if let Ok(again) = Record::decode(&record.encode()) {
        assert_eq!(record, again);
    }
    true
}

/// Logs: lines of records, applied. Rule 1: no more is sold than there is.
pub fn apply(bytes: &[u8]) -> bool {
    let mut book = Book::default();
    let product: ProductId = "p".parse().expect("a product");
    for (line, offset) in bytes.split(|byte| *byte == b'\n').take(256).zip(1..) {
        let Ok(record) = Record::decode(line) else { continue };
        // The first byte of a line is its brace; its length stands in for the clock.
        let appended_at_ms = NOW_MS + (line.len() as u64 % 97) * 1_000;
        let generation = book.get(&product).map_or(0, |state| state.generation());
        book.apply(&LogEntry { offset, appended_at_ms, product, record });
        if let Some(state) = book.get(&product) {
            assert!(state.sold() <= state.terms().capacity, "rule 1");
            assert_eq!(state.remaining(), state.terms().capacity - state.sold());
            assert!(state.generation() >= generation, "a generation went back");
        }
    }
    book.get(&product).is_some_and(|state| state.sold() > 0)
}

/// Control records, a line each: whatever they come to, the state is the same after it was kept and read.
pub fn control(bytes: &[u8]) -> bool {
    let mut state = ControlState::default();
    let mut applied = 0;
    for (line, offset) in bytes.split(|byte| *byte == b'\n').take(64).zip(1..) {
        let Ok(record) = Record::decode(line) else { continue };
        let appended_at_ms = NOW_MS + (line.len() as u64 % 97) * 1_000;
        let outcome = state.apply(offset, appended_at_ms, &record);
        applied += usize::from(outcome == Outcome::Applied);
        // Once is enough.
        let again = state.apply(offset, appended_at_ms, &record);
        assert!(again != Outcome::Applied, "an operation was applied twice");
    }
    let kept = serde_json::to_vec(&state).expect("a state is JSON");
    let read: ControlState = serde_json::from_slice(&kept).expect("what was kept is read");
    assert_eq!(read, state);
    applied > 0
}

/// The control state as a ledger has kept it: what is read is kept as what was read.
pub fn control_state(bytes: &[u8]) -> bool {
    let Ok(state) = serde_json::from_slice::<ControlState>(bytes) else { return false };
    let kept = serde_json::to_vec(&state).expect("a state is JSON");
    let read: ControlState = serde_json::from_slice(&kept).expect("what was kept is read");
    assert_eq!(read, state);
    true
}

/// A sale as a ledger has kept it. Four bytes of capacity, sold, limit and flags; then five bytes an order: its id,
/// its buyer, how far its offset is from the one before, its time, flags. What is taken in keeps to rule 1, and is
/// given out as it was.
pub fn snapshot(bytes: &[u8]) -> bool {
    let Some((&[capacity, sold, limit, flags], rest)) = bytes.split_first_chunk::<4>() else {
        return false;
    };
    let mut offset = 1_u64;
    let orders = rest.chunks_exact(5).take(256).map(|order| {
        offset = offset.wrapping_add_signed(i64::from(order[2].cast_signed()));
        OrderSnapshot {
            id: OrderId::from_random_bytes([order[0]; 16]),
            buyer: BuyerRef::from_bytes([order[1] % 8; 16]),
            offset,
            confirmed_at_ms: NOW_MS + u64::from(order[3]) * 1_000,
            reversed: order[4] & 1 == 1,
            counts: order[4] & 2 == 0,
        }
    });
    let orders: Vec<_> = orders.collect();
    let given = SaleSnapshot {
        terms: SaleOpened {
            capacity: capacity.into(),
            per_buyer_limit: u32::from(limit).max(1),
            repeat_window_ms: 60_000,
            opens_at_ms: NOW_MS,
            closes_at_ms: None,
            key_fingerprints: flux_gate::sale::record::KeyFingerprints::default(),
            rules_version: flux_gate::sale::record::RULES_VERSION,
            operation: None,
        },
        sold: sold.into(),
        paused: flags & 1 == 1,
        archived: flags & 2 == 2,
        generation: u64::from(flags >> 4),
        log_time_ms: NOW_MS + 300_000,
        applied_offset: offset.max(1),
        orders,
        operations: Vec::new(),
    };
    let Ok(mut state) = SaleState::restore(given.clone()) else { return false };
    assert!(state.sold() <= state.terms().capacity, "rule 1");
    if !given.archived {
        assert_eq!(state.snapshot(), given);
        let next = given.applied_offset.saturating_add(1);
        for n in 0..4_u8 {
            let proposed = Record::OrderProposed(OrderProposed {
                order_id: OrderId::from_random_bytes([n; 16]),
                buyer: BuyerRef::from_bytes([n; 16]),
                sealed_user: None,
                at_ms: NOW_MS + 300_000,
                generation: given.generation,
            });
            state.apply(next.saturating_add(n.into()), NOW_MS + 300_000, &proposed);
            assert!(state.sold() <= state.terms().capacity, "rule 1");
        }
    }
    true
}
