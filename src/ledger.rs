//! Placeholder that is replaced at the merge.
use crate::sale::*;
pub struct Ledger;
pub struct OrderRow { pub order_id: OrderId, pub product: ProductId, pub buyer: BuyerRef, pub status: OrderStatus, pub created_at_ms: u64, pub offset: u64 }
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct LedgerError;
pub enum FeedKind { Accepted, Reversed }
pub struct FeedEvent { pub kind: FeedKind, pub order_id: OrderId, pub product: ProductId, pub user: Option<UserId>, pub offset: u64, pub at_ms: u64 }
impl Ledger {
 pub fn open_embedded(_: &crate::config::Data) -> Result<Self, LedgerError> { Ok(Ledger) }
 pub async fn orders_page(&self, _: Option<ProductId>, _: u64, _: u32) -> Result<Vec<OrderRow>, LedgerError> { Ok(vec![]) }
 pub async fn order(&self, _: OrderId) -> Result<Option<OrderRow>, LedgerError> { Ok(None) }
 pub async fn feed(&self, _: u64, _: u32) -> Result<Vec<FeedEvent>, LedgerError> { Ok(vec![]) }
}
