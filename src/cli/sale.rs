//! `sale`: creates, shows and changes sales through the operator's listener of a running server.
//!
//! Every change carries an `Idempotency-Key`, so that repeating a command whose outcome is unknown is
//! safe under the same `--operation`.

use http::Method;
use serde_json::{Map, Value, json};

use crate::cli::client::Reply;
use crate::cli::operator::{Call, Listener, json_of};
use crate::cli::when::When;
use crate::cli::{Common, Exit, Failure, Machine};
use crate::sale::ProductId;

mod show;

/// Create, show and change sales, through the operator's listener of a running server.
///
/// The listener is that of the configuration (key admin.listen) or --url; the token is that of
/// FLUX_GATE__ADMIN__TOKEN, the configuration, or the data directory.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate sale create iphone-15 --quantity 100 --opens-at +10m
  flux-gate sale show iphone-15
  flux-gate sale pause iphone-15
  flux-gate sale restock iphone-15 --quantity 50
  flux-gate sale list --json --url https://gate.example:3001 --ca ca.pem")]
pub(super) struct Sale {
    #[command(subcommand)]
    command: SaleCommand,
    #[command(flatten)]
    listener: Listener,
}

#[derive(clap::Subcommand)]
enum SaleCommand {
    /// Create a sale; it is open at once unless --opens-at says otherwise.
    Create(Create),
    /// Show a sale with its exact counts.
    Show {
        /// What is sold.
        product: ProductId,
    },
    /// Show all sales.
    List,
    /// Open a sale before its time.
    Open {
        /// What is sold.
        product: ProductId,
    },
    /// Close a sale before its time.
    Close {
        /// What is sold.
        product: ProductId,
    },
    /// Stop: nothing is confirmed until `resume`. The true count is kept.
    Pause {
        /// What is sold.
        product: ProductId,
    },
    /// Go on after `pause`.
    Resume {
        /// What is sold.
        product: ProductId,
    },
    /// Set the units that are left: the capacity becomes the units sold plus these.
    Restock {
        /// What is sold.
        product: ProductId,
        /// Units left.
        #[arg(long, value_name = "UNITS")]
        quantity: u32,
    },
    /// Sell by way of a waiting room alone, or no more, until the node restarts; key room.products is for good.
    Room {
        /// What is sold.
        product: ProductId,
        /// on or off.
        state: Switch,
    },
    /// Give the public value of a waiting room's draw, after the opening.
    PublicValue {
        /// What is sold.
        product: ProductId,
        /// The value, from the source that was announced.
        value: String,
    },
    /// Put a sale away for ever; its id is never used again.
    Archive {
        /// What is sold.
        product: ProductId,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(clap::Args)]
struct Create {
    /// What is sold: `^[a-z0-9-]{1,50}$`.
    product: ProductId,
    /// Units to sell.
    #[arg(long, value_name = "UNITS")]
    quantity: u32,
    /// When it opens: RFC 3339, from now on (+10m) or Unix milliseconds.
    #[arg(long, value_name = "WHEN")]
    opens_at: Option<When>,
    /// When it closes.
    #[arg(long, value_name = "WHEN")]
    closes_at: Option<When>,
    /// Orders that one buyer may have (default: key orders.per_buyer_limit of the server).
    #[arg(long, value_name = "ORDERS")]
    per_buyer_limit: Option<u32>,
    /// How long a further attempt of a buyer counts as a repeat (default: of the server).
    #[arg(long, value_name = "SECONDS")]
    repeat_window_seconds: Option<u64>,
}

impl Sale {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        let call = self.command.call(machine.clock.unix_ms());
        let reply = self.listener.send(machine, common, &call)?;
        self.show(&reply, machine)
    }

    fn show(&self, reply: &Reply, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
        let reply = json_of(reply)?;
        let text = match (&self.command, self.listener.json) {
            (_, true) => serde_json::to_string_pretty(&reply)? + "\n",
            (SaleCommand::List, false) => show::list(&reply),
            (SaleCommand::Room { .. } | SaleCommand::PublicValue { .. }, false) => {
                serde_json::to_string_pretty(&reply)? + "\n"
            }
            (_, false) => show::change_or_product(&reply),
        };
        machine.out.write_all(text.as_bytes())?;
        Ok(if show::is_refused_change(&reply) { Exit::Failed } else { Exit::Done })
    }
}

impl SaleCommand {
    fn call(&self, now_ms: u64) -> Call {
        let look = |path: String| Call { method: Method::GET, path, body: None };
        let change = |product: &ProductId, verb: &str, body: Value| Call {
            method: Method::POST,
            path: format!("/admin/products/{product}/{verb}"),
            body: Some(body),
        };
        match self {
            Self::Create(create) => Call {
                method: Method::POST,
                path: "/admin/products".to_owned(),
                body: Some(create.body(now_ms)),
            },
            Self::Show { product } => look(format!("/admin/products/{product}")),
            Self::List => look("/admin/products".to_owned()),
            Self::Open { product } => change(product, "open", json!({})),
            Self::Close { product } => change(product, "close", json!({})),
            Self::Pause { product } => change(product, "pause", json!({})),
            Self::Resume { product } => change(product, "resume", json!({})),
            Self::Room { product, state } => {
                change(product, "waiting-room", json!({ "active": *state == Switch::On }))
            }
            Self::PublicValue { product, value } => {
                change(product, "public-value", json!({ "value": value }))
            }
            Self::Archive { product } => change(product, "archive", json!({})),
            Self::Restock { product, quantity } => {
                change(product, "restock", json!({ "quantity": quantity }))
            }
        }
    }
}

impl Create {
    fn body(&self, now_ms: u64) -> Value {
        let mut body = Map::new();
        body.insert("productId".to_owned(), self.product.as_str().into());
        body.insert("quantity".to_owned(), self.quantity.into());
        let optional = [
            ("opensAt", self.opens_at.map(|when| when.unix_ms(now_ms).into())),
            ("closesAt", self.closes_at.map(|when| when.unix_ms(now_ms).into())),
            ("perBuyerLimit", self.per_buyer_limit.map(Value::from)),
            ("repeatWindowSeconds", self.repeat_window_seconds.map(Value::from)),
        ];
        let given = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
        body.extend(given.map(|(name, value)| (name.to_owned(), value)));
        Value::Object(body)
    }
}

#[cfg(test)]
pub(super) mod tests;
