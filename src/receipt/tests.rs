//! Receipts verify, forged ones do not.

use super::*;

fn signer(byte: u8) -> Signer {
    Signer::from_seed(&hex::encode([byte; 32]).into()).unwrap()
}

fn claim(n: u32) -> Claim {
    let mut random = [7; 16];
    random[..4].copy_from_slice(&n.to_be_bytes());
    Claim {
        product: "shoe".parse().unwrap(),
        order_id: OrderId::from_random_bytes(random),
        offset: 100 + u64::from(n),
        log_time_ms: 1_800_000_000_000,
        digest: sha256(&n.to_be_bytes()),
    }
}

#[test]
fn every_order_of_a_batch_of_any_size_has_a_receipt_that_verifies() {
    for count in [1, 2, 3, 4, 5, 7, 8, 9, 33, 1_000] {
        let issuer = Issuer::new(signer(1));
        issuer.seal((0..count).map(claim));
        for n in (0..count).step_by(7) {
            let text = issuer.receipt(&claim(n).order_id).unwrap();
            let receipt: Receipt = text.parse().unwrap();
            assert_eq!(receipt.claim, claim(n));
            assert!(receipt.is_signed_by(issuer.public_key()), "{n} of {count}");
            assert!(!receipt.is_signed_by(signer(2).public()));
            assert_eq!(receipt.to_string(), text);
            assert!(receipt.steps.len() <= 10);
        }
        assert!(issuer.receipt(&claim(count).order_id).is_none());
    }
}

#[test]
fn every_changed_byte_of_a_receipt_is_found() {
    let issuer = Issuer::new(signer(1));
    issuer.seal((0..5).map(claim));
    let text = issuer.receipt(&claim(3).order_id).unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut forged = bytes.clone();
            forged[at] ^= 1 << bit;
            let holds = read(&forged).is_some_and(|r| r.is_signed_by(issuer.public_key()));
            assert!(!holds, "byte {at}, bit {bit}");
        }
    }
    for cut in 0..bytes.len() {
        assert!(read(&bytes[..cut]).is_none());
    }
    assert!(read(&[&bytes[..], &[0]].concat()).is_none());
    assert!("".parse::<Receipt>().is_err());
    assert!(format!("{text}=").parse::<Receipt>().is_err());
}

#[test]
fn a_node_of_the_tree_is_no_leaf() {
    // Whoever has two receipts knows inner hashes; none of them can be passed off as an order.
    let issuer = Issuer::new(signer(1));
    issuer.seal((0..4).map(claim));
    let mut receipt: Receipt = issuer.receipt(&claim(0).order_id).unwrap().parse().unwrap();
    receipt.steps.remove(0);
    assert!(!receipt.is_signed_by(issuer.public_key()));
}

#[test]
fn only_the_last_orders_are_at_hand() {
    let issuer = Issuer::new(signer(1));
    let count = RECENT_ORDERS_MAX as u32 + 10;
    for from in (0..count).step_by(1_000) {
        issuer.seal((from..count.min(from + 1_000)).map(claim));
    }
    assert!(issuer.receipt(&claim(9).order_id).is_none());
    assert!(issuer.receipt(&claim(10).order_id).is_some());
    assert_eq!(issuer.recent.lock().by_order.len(), RECENT_ORDERS_MAX);
}
