//! The API's description (OpenAPI 3.1), from the code.

use bytes::Bytes;

/// The document.
pub fn json() -> Bytes {
    Bytes::new()
}
