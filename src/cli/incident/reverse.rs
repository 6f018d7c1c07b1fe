//! `incident reverse`: shows what it would do, asks, and does it a few hundred orders at a time.

use http::Method;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::orders::Orders;
use crate::cli::operator::{Call, Listener, agreed, json_of, word};
use crate::cli::{Common, Exit, Failure, Machine};
use crate::sale::ProductId;

/// Orders of one call: so many that it takes well below a call's time.
const ORDERS_AT_ONCE: usize = 500;
/// Ids that are shown before it asks.
const SHOWN: usize = 10;

/// Take orders back, each once.
///
/// Whatever is repeated or crashes half way, an order is taken back once: run the command again, and it says how
/// many had been before. What a --query finds is asked for once: the orders that are shown are the ones that are
/// taken back.
#[derive(clap::Args)]
pub(super) struct Reverse {
    /// Of which sale.
    #[arg(long, value_name = "PRODUCT")]
    product: ProductId,
    #[command(flatten)]
    orders: Orders,
    /// Put the units on sale again; else the capacity falls with the sold count.
    #[arg(long)]
    restock: bool,
    /// Let the buyers buy again.
    #[arg(long)]
    frees_limit: bool,
    /// Only show what it would do.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Why. Kept in clear, so name nobody.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// What calls came to, in all.
#[derive(Default)]
struct Sum {
    matched: u64,
    reversed: u64,
    already: u64,
    unknown: u64,
    shown: Vec<String>,
    sold: Option<(u64, u64)>,
    needs_approval: bool,
    approval: Option<String>,
}

impl Reverse {
    pub(super) fn run(
        self,
        listener: &Listener,
        machine: &mut Machine<'_>,
        common: &Common,
    ) -> Result<Exit, Failure> {
        let ids = self.orders.ids(&self.product, listener, machine, common)?;
        let operation = listener.operation(machine)?;
        let would = self.all(&ids, true, &operation, listener, machine, common)?;
        // The look goes to standard error where another program reads the outcome.
        let look = self.look(&would);
        if !listener.json {
            machine.out.write_all(look.as_bytes())?;
        }
        if self.dry_run || would.reversed == 0 {
            if listener.json {
                writeln!(machine.out, "{}", would.json(true))?;
            }
            return Ok(Exit::Done);
        }
        if !self.yes && !agreed(&format!("Take back {} orders?", would.reversed))? {
            return Err(Failure::new("nothing was changed"));
        }
        let done = self.all(&ids, false, &operation, listener, machine, common);
        let done = done.map_err(|failure| Failure {
            message: format!(
                "{}\nRun the command again with --operation {operation}: each order is taken back once.",
                failure.message
            ),
            ..failure
        })?;
        if listener.json {
            writeln!(machine.out, "{}", done.json(false))?;
        } else {
            machine.out.write_all(told(&done).as_bytes())?;
        }
        Ok(Exit::Done)
    }

    fn all(
        &self,
        ids: &[String],
        dry_run: bool,
        operation: &str,
        listener: &Listener,
        machine: &mut Machine<'_>,
        common: &Common,
    ) -> Result<Sum, Failure> {
        let bar = ProgressBar::new(ids.len() as u64).with_style(ProgressStyle::with_template(
            "{wide_bar} {human_pos} of {human_len} orders, {eta} left",
        )?);
        let mut sum = Sum::default();
        for part in ids.chunks(ORDERS_AT_ONCE) {
            let body = json!({
                "product": self.product, "orders": part, "restock": self.restock,
                "freesLimit": self.frees_limit, "reason": self.reason, "dryRun": dry_run,
                "operation": operation,
            });
            let path = "/admin/incident/reverse".to_owned();
            let call = Call { method: Method::POST, path, body: Some(body) };
            let reply = json_of(&listener.send(machine, common, &call)?)?;
            sum.add(&reply);
            bar.inc(part.len() as u64);
        }
        bar.finish_and_clear();
        Ok(sum)
    }

    fn look(&self, would: &Sum) -> String {
        let Sum { matched, reversed, already, unknown, .. } = would;
        let mut text = format!(
            "{matched} orders of {}: {reversed} would be taken back, {already} are already, \
             {unknown} are not orders of it\n",
            self.product
        );
        for id in would.shown.iter().take(SHOWN) {
            text += &format!("  {id}\n");
        }
        if *reversed > SHOWN as u64 {
            text += &format!("  and {} more\n", reversed - SHOWN as u64);
        }
        text += match (self.restock, would.needs_approval) {
            (true, true) => "their units go on sale again once a second operator approves\n",
            (true, false) => "their units go on sale again\n",
            (false, _) => "their units do not go on sale again\n",
        };
        text
    }
}

impl Sum {
    fn add(&mut self, reply: &Value) {
        let count = |name: &str| reply[name].as_u64().unwrap_or_default();
        self.matched += count("matched");
        self.reversed += count("reversed");
        self.already += count("already");
        self.unknown += count("unknown");
        let ids = reply["orders"].as_array().into_iter().flatten().map(word);
        self.shown.extend(ids.take(SHOWN.saturating_sub(self.shown.len())));
        let sold = [0, 1].map(|at| reply["sold"][at].as_u64().unwrap_or_default());
        self.sold = Some((self.sold.map_or(sold[0], |(before, _)| before), sold[1]));
        self.needs_approval |= reply["needsApproval"] == true;
        if let Some(approval) = reply["approval"].as_str() {
            self.approval = Some(word(&approval.into()));
        }
    }

    fn json(&self, dry_run: bool) -> Value {
        let Self { matched, reversed, already, unknown, approval, .. } = self;
        json!({
            "matched": matched, "reversed": reversed, "already": already, "unknown": unknown,
            "dryRun": dry_run, "approval": approval,
        })
    }
}

fn told(done: &Sum) -> String {
    let Sum { reversed, already, unknown, .. } = done;
    let mut text = format!("{reversed} taken back, {already} before, {unknown} unknown\n");
    if let Some((before, after)) = done.sold {
        text += &format!("sold: {before} before, {after} now\n");
    }
    if let Some(approval) = &done.approval {
        text += &format!(
            "their units wait for a second operator: flux-gate incident approve {approval}\n"
        );
    }
    text
}
