//! `incident stop` and `incident resume`.

use http::Method;
use serde_json::{Value, json};

use crate::cli::operator::{Call, table, word};
use crate::sale::ProductId;

/// Which sales, and why.
#[derive(clap::Args)]
pub(super) struct Stop {
    /// What is sold.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    product: Option<ProductId>,
    /// Every sale that is not archived.
    #[arg(long)]
    all: bool,
    /// Why. Kept in clear, so name nobody.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Stop {
    pub(super) fn call(&self, path: &str) -> Call {
        let body = json!({ "product": self.product, "reason": self.reason });
        Call { method: Method::POST, path: path.to_owned(), body: Some(body) }
    }
}

/// What it came to, a line for each sale.
pub(super) fn show(reply: &Value, done: &str) -> String {
    let sales = reply[done].as_array().map(Vec::as_slice).unwrap_or_default();
    if sales.is_empty() {
        return "there is no sale\n".to_owned();
    }
    let row =
        |sale: &Value| ["productId", "status", "sold", "offset"].map(|name| word(&sale[name]));
    let rows = sales.iter().map(row).collect();
    let head = ["PRODUCT", "STATUS", "SOLD", "OFFSET"];
    format!("{done} in {} ms\n{}", word(&reply["ms"]), table(head, rows))
}
