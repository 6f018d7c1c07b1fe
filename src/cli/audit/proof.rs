//! `audit proof`: a signed statement that N of N were sold, made from the embedded log or by a running node,
//! and its check.

use std::path::PathBuf;

use http::Method;

use super::audit_signer;
use crate::cli::operator::{Call, Listener};
use crate::cli::{Common, Exit, Failure, Machine};
use crate::keys::signer::PublicKey;
use crate::log::sqlite::proof::facts;
use crate::log::sqlite::verify::{Verify, verify};
use crate::receipt::Receipt;
use crate::receipt::proof::Statement;
use crate::sale::{OrderId, ProductId};

/// State, signed, how many were sold of how many, without naming anyone; or check such a statement.
#[derive(clap::Args)]
pub(super) struct Proof {
    /// Of what to state it. An embedded log is verified whole first, unless a listener is named (--url); of many
    /// nodes, the one whose listener this is states what it has applied.
    #[arg(long, required_unless_present = "check", conflicts_with = "check")]
    product: Option<ProductId>,
    /// A statement to check.
    #[arg(long, value_name = "FILE", requires = "key")]
    check: Option<PathBuf>,
    /// The public key that the statement must be signed by, 64 hex digits.
    #[arg(long, value_name = "HEX")]
    key: Option<PublicKey>,
    /// An order that must be in the statement.
    #[arg(long, value_name = "ID", requires = "check")]
    order: Option<OrderId>,
    /// A receipt whose order must be in the statement.
    #[arg(long, requires = "check")]
    receipt: Option<Receipt>,
    #[command(flatten)]
    listener: Listener,
}

impl Proof {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        match (&self.check, &self.key, self.product) {
            (Some(file), Some(key), _) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
                let statement: Statement = serde_json::from_str(&text)
                    .map_err(|error| Failure::new(format!("this is no proof: {error}")))?;
                self.check(&statement, key, machine)
            }
            (_, _, Some(product)) => self.state(product, machine, common),
            _ => Err(Failure::new("give --product, or --check with --key")),
        }
    }

    fn check(
        &self,
        statement: &Statement,
        key: &PublicKey,
        machine: &mut Machine<'_>,
    ) -> Result<Exit, Failure> {
        if let Err(why) = statement.check(key) {
            writeln!(machine.out, "DOES NOT HOLD: {why}")?;
            return Ok(Exit::Failed);
        }
        let of_receipt = self.receipt.as_ref().map(|receipt| receipt.claim.order_id);
        for order in self.order.iter().chain(&of_receipt) {
            if !statement.lists(order) {
                writeln!(machine.out, "DOES NOT HOLD: order {order} is not in it")?;
                return Ok(Exit::Failed);
            }
            writeln!(machine.out, "order {order} is in it")?;
        }
        let Statement { product_id, sold, capacity, reversed, offset, digest, at, .. } = statement;
        let at = crate::cli::when::rfc3339(*at);
        writeln!(
            machine.out,
            "holds: {sold} of {capacity} of {product_id} sold, {reversed} taken back, at {at}, \
             log at offset {offset}, digest {digest}"
        )?;
        Ok(Exit::Done)
    }

    fn state(
        &self,
        product: ProductId,
        machine: &mut Machine<'_>,
        common: &Common,
    ) -> Result<Exit, Failure> {
        let config = common.load(machine, Vec::new())?.config;
        if config.is_distributed() || self.listener.is_named() {
            let path = format!("/admin/products/{product}/proof");
            let call = Call { method: Method::GET, path, body: None };
            let reply = self.listener.send(machine, common, &call)?;
            machine.out.write_all(&reply.body)?;
            writeln!(machine.out)?;
            return Ok(Exit::Done);
        }
        let signer = audit_signer(&config)?
            .ok_or_else(|| Failure::new("there is no key to sign with: set secrets.audit_key"))?;
        let report = verify(&config.data.dir, &Verify::default(), &mut |_, _| {})?;
        if !report.is_sound() {
            return Err(Failure::new("the log is not sound; see `flux-gate audit verify`"));
        }
        let facts = facts(&config.data.dir, product)?
            .ok_or_else(|| Failure::new(format!("the log has no product {product}")))?;
        let statement = Statement::sign(&facts, &signer, machine.clock.unix_ms());
        writeln!(machine.out, "{}", serde_json::to_string(&statement)?)?;
        Ok(Exit::Done)
    }
}
