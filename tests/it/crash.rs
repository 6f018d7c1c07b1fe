//! The process dies at random moments under load, and starts again on the same store.
//!
//! [`kill`] is SIGKILL, so nothing can be tidied up: what a client was told before must hold after. It
//! checks rules 1 to 5 from outside, by the contract alone. [`drain`] is SIGTERM: nothing in flight is lost.
//!
//! `CRASH_KILLS` is the number of kills, `CRASH_SEED` repeats a run's choices (not its timing). The long
//! version is `cargo xtask soak`.

pub mod books;
pub mod crowd;
mod drain;
mod kill;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use flux_gate::keys::IdentityKeys;
use flux_gate::sale::{IdempotencyKey, OrderId, ProductId, UserId};

use crate::support::draft::Signer;

/// The program under test: the one that was built with the tests, or the one with a planted bug that
/// `FLUX_GATE_PROGRAM` names.
pub fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        let built = || env!("CARGO_BIN_EXE_flux-gate").into();
        std::env::var_os("FLUX_GATE_PROGRAM").map_or_else(built, PathBuf::from)
    });
    &PROGRAM
}

pub const ORDER_KEY: &str = "order-key-of-the-crash-test-0123456789abcdef";
pub const BUYER_KEY: &str = "buyer-key-of-the-crash-test-0123456789abcdef";
pub const CLIENT_ID: &str = "shop";
pub const CLIENT_SECRET: &str = "client-secret-of-the-crash-test-0123456789";
/// The name space of the users of a client that names none.
const NAME_SPACE: &str = "shop";

/// Every limit of rate is off: this is about crashes, and refusals by the guard would hide them.
fn config() -> String {
    format!(
        r#"
[limits]
node_per_second = 0
product_per_second = 0
ip_per_second = 0
fingerprint_per_second = 0
buyer_per_second = 0
client_per_second = 0
min_interval_ms = 0

[secrets]
order_key = "{ORDER_KEY}"
buyer_key = "{BUYER_KEY}"

[[clients]]
id = "{CLIENT_ID}"
secrets = ["{CLIENT_SECRET}"]
"#
    )
}

pub fn signer() -> Signer {
    Signer::Client { id: CLIENT_ID.to_owned(), secret: CLIENT_SECRET.to_owned() }
}

/// Somebody tries to buy something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attempt {
    pub product: &'static str,
    pub user: String,
    pub key: String,
}

impl Attempt {
    /// The id that its order has, if it becomes one: the same whatever crashes, so it is known beforehand.
    pub fn order_id(&self, keys: &IdentityKeys) -> String {
        let product: ProductId = self.product.parse().expect("a product id");
        let user: UserId = self.user.parse().expect("a user id");
        let key: IdempotencyKey = self.key.parse().expect("an idempotency key");
        let id: OrderId = keys.order_id(&product, &keys.buyer(NAME_SPACE, &user), &key);
        id.to_string()
    }
}

pub fn keys() -> IdentityKeys {
    IdentityKeys::new(ORDER_KEY.as_bytes(), BUYER_KEY.as_bytes())
}

fn number_from_environment(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}
