//! A signed statement that N of N were sold, without naming anyone.
//!
//! It lists the SHA-256 of each standing order's id, in rising order: an id is 122 unguessable bits, so its
//! hash names nobody, and whoever has an order finds its own. The list has exactly as many entries as units
//! are sold, all different; its Merkle root, the counts and the log's head are signed.

use serde::{Deserialize, Serialize};

use crate::chain::{Digest, sha256};
use crate::keys::signer::{PublicKey, Signer, message};
use crate::merkle::Tree;
use crate::sale::{OrderId, ProductId};

const PURPOSE: &str = "flux-gate proof of sale 1";
const ORDER_PURPOSE: &str = "flux-gate order 1";

/// What is stated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Statement {
    /// Of what.
    pub product_id: ProductId,
    /// Units that were for sale.
    pub capacity: u32,
    /// Orders that stand.
    pub sold: u32,
    /// Orders that were taken back.
    pub reversed: u32,
    /// The last offset that is counted in.
    pub offset: u64,
    /// The log's digest after it, hex.
    pub digest: String,
    /// When it was stated, Unix milliseconds.
    pub at: u64,
    /// The Merkle root over `orders`, hex.
    pub root: String,
    /// The id of the key that signs.
    pub key: String,
    /// Hex.
    pub signature: String,
    /// The hashes of the standing orders' ids, hex, in rising order.
    pub orders: Vec<String>,
}

/// What a statement is made of.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Of what.
    pub product: ProductId,
    /// Units that were for sale.
    pub capacity: u32,
    /// Orders that were taken back.
    pub reversed: u32,
    /// The log's last offset.
    pub offset: u64,
    /// The log's digest after it.
    pub digest: Digest,
    /// The standing orders.
    pub orders: Vec<OrderId>,
}

/// Why a statement does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DoesNotHold {
    /// The signature is not of this key and these facts.
    #[error("it is not signed by this key, or was changed")]
    Signature,
    /// The list is not the one that was signed.
    #[error("the orders are not those that were signed")]
    Root,
    /// The list is not one of different orders.
    #[error("the orders are not all different, or not in rising order")]
    Repeated,
    /// The list has not as many orders as are said to be sold.
    #[error("it does not list as many orders as it says were sold")]
    Count,
    /// More were sold than there were.
    #[error("it says that more were sold than there were")]
    Oversold,
}

impl Statement {
    /// Signs the facts.
    pub fn sign(facts: &Facts, signer: &Signer, now_ms: u64) -> Self {
        let mut orders: Vec<Digest> = facts.orders.iter().map(order_hash).collect();
        orders.sort_unstable();
        let mut statement = Self {
            product_id: facts.product,
            capacity: facts.capacity,
            sold: facts.orders.len() as u32,
            reversed: facts.reversed,
            offset: facts.offset,
            digest: hex::encode(facts.digest),
            at: now_ms,
            root: hex::encode(root(&orders)),
            key: signer.public().id_text(),
            signature: String::new(),
            orders: orders.iter().map(hex::encode).collect(),
        };
        statement.signature = hex::encode(signer.sign(PURPOSE, &[&statement.signed()]));
        statement
    }

    fn signed(&self) -> Vec<u8> {
        let Self { product_id, capacity, sold, reversed, offset, digest, at, root, .. } = self;
        message(
            product_id.as_str(),
            &[
                &capacity.to_be_bytes(),
                &sold.to_be_bytes(),
                &reversed.to_be_bytes(),
                &offset.to_be_bytes(),
                digest.as_bytes(),
                &at.to_be_bytes(),
                root.as_bytes(),
            ],
        )
    }

    /// Checks everything that can be checked without the log.
    ///
    /// # Errors
    /// What does not hold.
    pub fn check(&self, key: &PublicKey) -> Result<(), DoesNotHold> {
        let signature = hex::decode(&self.signature).map_err(|_| DoesNotHold::Signature)?;
        if self.key != key.id_text() || !key.verifies(PURPOSE, &[&self.signed()], &signature) {
            return Err(DoesNotHold::Signature);
        }
        let mut orders = Vec::with_capacity(self.orders.len());
        for text in &self.orders {
            let mut hash = [0; 32];
            hex::decode_to_slice(text, &mut hash).map_err(|_| DoesNotHold::Root)?;
            orders.push(hash);
        }
        if !orders.is_sorted_by(|one, next| one < next) {
            return Err(DoesNotHold::Repeated);
        }
        if hex::encode(root(&orders)) != self.root {
            return Err(DoesNotHold::Root);
        }
        if orders.len() != self.sold as usize {
            return Err(DoesNotHold::Count);
        }
        if self.sold > self.capacity {
            return Err(DoesNotHold::Oversold);
        }
        Ok(())
    }

    /// Whether the order is among those that stand.
    pub fn lists(&self, order_id: &OrderId) -> bool {
        self.orders.binary_search(&hex::encode(order_hash(order_id))).is_ok()
    }
}

fn order_hash(order_id: &OrderId) -> Digest {
    sha256(&message(ORDER_PURPOSE, &[order_id.as_bytes()]))
}

fn root(orders: &[Digest]) -> Digest {
    let leaf = |order: &Digest| {
        let mut bytes = [0; 33];
        bytes[1..].copy_from_slice(order);
        sha256(&bytes)
    };
    Tree::over(orders.iter().map(leaf).collect()).root()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(n: u8) -> OrderId {
        OrderId::from_random_bytes([n; 16])
    }

    fn stated(orders: &[u8], capacity: u32) -> (Statement, Signer) {
        let signer = Signer::from_seed(&hex::encode([1; 32]).into()).unwrap();
        let facts = Facts {
            product: "shoe".parse().unwrap(),
            capacity,
            reversed: 1,
            offset: 9,
            digest: [3; 32],
            orders: orders.iter().copied().map(order).collect(),
        };
        (Statement::sign(&facts, &signer, 5), signer)
    }

    #[test]
    fn a_statement_holds_and_every_order_finds_itself() {
        let (statement, signer) = stated(&[5, 3, 9], 3);
        assert_eq!(statement.check(signer.public()), Ok(()));
        assert!([3, 5, 9].into_iter().all(|n| statement.lists(&order(n))));
        assert!(!statement.lists(&order(4)));
        let (none, signer) = stated(&[], 3);
        assert_eq!(none.check(signer.public()), Ok(()));
    }

    #[test]
    fn whatever_is_changed_is_found() {
        let (good, signer) = stated(&[5, 3, 9], 3);
        type Change = fn(&mut Statement);
        let changes: [(Change, DoesNotHold); 8] = [
            (|s| s.capacity += 1, DoesNotHold::Signature),
            (|s| s.sold -= 1, DoesNotHold::Signature),
            (|s| s.reversed = 0, DoesNotHold::Signature),
            (|s| s.offset += 1, DoesNotHold::Signature),
            (|s| s.at += 1, DoesNotHold::Signature),
            (|s| s.digest.replace_range(0..1, "f"), DoesNotHold::Signature),
            (|s| drop(s.orders.pop()), DoesNotHold::Root),
            (|s| s.orders.swap(0, 1), DoesNotHold::Repeated),
        ];
        for (change, why) in changes {
            let mut changed = good.clone();
            change(&mut changed);
            assert_eq!(changed.check(signer.public()), Err(why));
        }
        let (oversold, signer) = stated(&[1, 2], 1);
        assert_eq!(oversold.check(signer.public()), Err(DoesNotHold::Oversold));
        let (twice, signer) = stated(&[1, 1], 2);
        assert_eq!(twice.check(signer.public()), Err(DoesNotHold::Repeated));
    }
}
