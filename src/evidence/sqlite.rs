//! The evidence of one node: a file of its own.

use super::{EvidenceError, Found, MinuteCount, Query};
use crate::sale::{BuyerRef, ProductId};

/// The evidence in a file. Cheap to clone.
#[derive(Clone)]
pub struct SqliteEvidence(());

impl SqliteEvidence {
    pub(super) async fn sightings(&self, _query: Query) -> Result<Found, EvidenceError> {
        Err(EvidenceError::CutOff)
    }

    pub(super) async fn minutes(
        &self,
        _since_ms: u64,
        _until_ms: u64,
        _product: Option<ProductId>,
    ) -> Result<Vec<MinuteCount>, EvidenceError> {
        Err(EvidenceError::CutOff)
    }

    pub(super) async fn forget_before(&self, _at_ms: u64) -> Result<u64, EvidenceError> {
        Err(EvidenceError::CutOff)
    }

    pub(super) async fn forget_buyer(&self, _buyer: BuyerRef) -> Result<u64, EvidenceError> {
        Err(EvidenceError::CutOff)
    }
}
