//! Signed receipts: what a buyer keeps, and can check offline with the published key.
//!
//! A receipt says: this order is confirmed in the log of this product, at this offset and time, and the log's
//! digest after it is this. The log's thread makes the receipts of a batch together: a Merkle tree over the
//! batch's confirmed orders and one Ed25519 signature of its root, so that a crowd's receipts cost a few
//! hashes each and not a signature each. A receipt holds its way to the root, at most a dozen hashes.
//!
//! As text a receipt is base64url without padding of
//!
//! ```text
//! 1 (version) ‖ key id (8) ‖ order id (16) ‖ offset (8) ‖ log time, Unix ms (8) ‖ digest (32) ‖
//! length of the product id (1) ‖ product id ‖ steps (1) ‖ steps × (side (1) ‖ hash (32)) ‖ signature (64)
//! ```
//!
//! numbers big endian. Leaf = SHA-256(0 ‖ order id ‖ offset ‖ log time ‖ digest ‖ product id), node =
//! SHA-256(1 ‖ left ‖ right); side 0: the hash is the left one, 1: the right one. The signature is over the
//! root under its purpose (`keys/signer.rs`). See `docs/decisions/0011-receipts-by-batch.md`.

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::chain::{Digest, sha256};
use crate::keys::signer::{KEY_ID_BYTES, KeyId, PublicKey, SIGNATURE_BYTES, Signature, Signer};
use crate::merkle::{Step, Tree, root_by_steps};
use crate::sale::{OrderId, ProductId};

pub mod proof;

/// Orders whose receipts are at hand, on each node: the last ones.
pub const RECENT_ORDERS_MAX: usize = 16_384;
/// Most steps of a way to the root: 2^32 orders in one batch.
const STEPS_MAX: usize = 32;
const VERSION: u8 = 1;
const PURPOSE: &str = "flux-gate receipt 1";

/// What a receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// What was bought.
    pub product: ProductId,
    /// The order.
    pub order_id: OrderId,
    /// Its place in the log; of many nodes, in its partition.
    pub offset: u64,
    /// Its log time, Unix milliseconds.
    pub log_time_ms: u64,
    /// The log's digest after it.
    pub digest: Digest,
}

impl Claim {
    fn leaf(&self) -> Digest {
        let Self { product, order_id, offset, log_time_ms, digest } = self;
        let mut bytes = Vec::with_capacity(128);
        bytes.push(0);
        bytes.extend_from_slice(order_id.as_bytes());
        bytes.extend_from_slice(&offset.to_be_bytes());
        bytes.extend_from_slice(&log_time_ms.to_be_bytes());
        bytes.extend_from_slice(digest);
        bytes.extend_from_slice(product.as_bytes());
        sha256(&bytes)
    }
}

/// A receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What it says.
    pub claim: Claim,
    /// Who signed.
    pub key: KeyId,
    steps: Vec<Step>,
    signature: Signature,
}

/// The text is no receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no receipt")]
pub struct NotAReceipt;

impl Receipt {
    /// Whether the key signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let root = root_by_steps(self.claim.leaf(), &self.steps);
        self.key == key.id() && key.verifies(PURPOSE, &[&root], &self.signature)
    }
}

impl std::fmt::Display for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&text(&self.claim, &self.key, &self.steps, &self.signature))
    }
}

fn text(claim: &Claim, key: &KeyId, steps: &[Step], signature: &Signature) -> String {
    let product = claim.product.as_bytes();
    let mut bytes = Vec::with_capacity(160 + product.len() + 33 * steps.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(claim.order_id.as_bytes());
    bytes.extend_from_slice(&claim.offset.to_be_bytes());
    bytes.extend_from_slice(&claim.log_time_ms.to_be_bytes());
    bytes.extend_from_slice(&claim.digest);
    bytes.push(product.len() as u8);
    bytes.extend_from_slice(product);
    bytes.push(steps.len() as u8);
    for step in steps {
        bytes.push(step.is_right.into());
        bytes.extend_from_slice(&step.hash);
    }
    bytes.extend_from_slice(signature);
    URL_SAFE_NO_PAD.encode(bytes)
}

impl std::str::FromStr for Receipt {
    type Err = NotAReceipt;
    fn from_str(text: &str) -> Result<Self, NotAReceipt> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).map_err(|_| NotAReceipt)?;
        read(&bytes).ok_or(NotAReceipt)
    }
}

fn read(bytes: &[u8]) -> Option<Receipt> {
    let mut rest = bytes;
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at_checked(count)?;
        rest = left;
        Some(taken)
    };
    if take(1)? != [VERSION] {
        return None;
    }
    let key: KeyId = take(KEY_ID_BYTES)?.try_into().ok()?;
    let order_id = order_id(take(16)?.try_into().ok()?)?;
    let offset = u64::from_be_bytes(take(8)?.try_into().ok()?);
    let log_time_ms = u64::from_be_bytes(take(8)?.try_into().ok()?);
    let digest = take(32)?.try_into().ok()?;
    let length = usize::from(take(1)?[0]);
    let product = std::str::from_utf8(take(length)?).ok()?.parse().ok()?;
    let count = usize::from(take(1)?[0]);
    if count > STEPS_MAX {
        return None;
    }
    let mut steps = Vec::with_capacity(count);
    for _ in 0..count {
        let is_right = match take(1)? {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        steps.push(Step { is_right, hash: take(32)?.try_into().ok()? });
    }
    let signature = take(SIGNATURE_BYTES)?.try_into().ok()?;
    let claim = Claim { product, order_id, offset, log_time_ms, digest };
    rest.is_empty().then_some(Receipt { claim, key, steps, signature })
}

/// Of a UUIDv8 alone: another is no order's id.
fn order_id(bytes: [u8; 16]) -> Option<OrderId> {
    let id = OrderId::from_random_bytes(bytes);
    (*id.as_bytes() == bytes).then_some(id)
}

/// Makes receipts, and has those of the last orders at hand. Shared by all threads.
#[derive(Debug)]
pub struct Issuer {
    signer: Signer,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    by_order: HashMap<OrderId, (Arc<Batch>, u32)>,
    oldest_first: VecDeque<OrderId>,
}

#[derive(Debug)]
struct Batch {
    claims: Vec<Claim>,
    tree: Tree,
    signature: Signature,
}

impl Issuer {
    /// With the key that signs.
    pub fn new(signer: Signer) -> Self {
        Self { signer, recent: Mutex::default() }
    }

    /// The key that is to be published.
    pub fn public_key(&self) -> &PublicKey {
        self.signer.public()
    }

    /// Makes the receipts of one batch's confirmed orders. Called before their decisions are handed out, so
    /// that whoever is told "accepted" finds the receipt.
    pub fn seal(&self, claims: impl Iterator<Item = Claim>) {
        let claims: Vec<Claim> = claims.collect();
        if claims.is_empty() {
            return;
        }
        let tree = Tree::over(claims.iter().map(Claim::leaf).collect());
        let signature = self.signer.sign(PURPOSE, &[&tree.root()]);
        let batch = Arc::new(Batch { claims, tree, signature });
        let mut recent = self.recent.lock();
        for (claim, leaf) in batch.claims.iter().zip(0..) {
            if recent.oldest_first.len() >= RECENT_ORDERS_MAX
                && let Some(oldest) = recent.oldest_first.pop_front()
            {
                recent.by_order.remove(&oldest);
            }
            recent.by_order.insert(claim.order_id, (Arc::clone(&batch), leaf));
            recent.oldest_first.push_back(claim.order_id);
        }
    }

    /// The receipt of an order, as text; `None` if it is not among the last ones of this node.
    pub fn receipt(&self, order_id: &OrderId) -> Option<String> {
        let (batch, leaf) = {
            let recent = self.recent.lock();
            let (batch, leaf) = recent.by_order.get(order_id)?;
            (Arc::clone(batch), *leaf)
        };
        let (claim, steps) = (batch.claims.get(leaf as usize)?, batch.tree.steps(leaf)?);
        Some(text(claim, &self.signer.public().id(), &steps, &batch.signature))
    }
}

#[cfg(test)]
mod tests;
