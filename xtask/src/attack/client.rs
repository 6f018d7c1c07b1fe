//! What is attacked, and the few calls that attacks are made of.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use flux_gate::clock::Clock;

use super::support::draft::{Draft, Signer};
use super::support::server::ADMIN_TOKEN;
use super::support::wait::try_settled;
use super::support::wire::{self, Answer};
use super::verdict::Got;

/// Time between two requests to a server that is not ours, in milliseconds: below the rate of an address.
const REMOTE_PACE_MS: u64 = 110;

/// What is attacked.
pub struct Target {
    /// The public listener.
    pub public: SocketAddr,
    /// The operator's listener.
    pub operator: SocketAddr,
    /// The admin's token.
    pub admin_token: String,
    /// An API client with the roles order and session.
    pub client: Signer,
    /// What only our own servers have.
    pub own: Option<Own>,
    /// Many nodes on the real stores, if they are attacked.
    #[cfg(feature = "distributed")]
    pub stores: Option<anyhow::Result<Box<super::stores::Stores>>>,
    /// Whether it is on this machine, so that loopback addresses can be chosen freely.
    local: bool,
    /// Its process, if it is ours.
    process: Option<u32>,
    clock: Clock,
    next: Arc<AtomicU32>,
    run: u64,
}

/// What only our own servers have.
pub struct Own {
    /// The server with short times and few connections.
    pub hasty: Box<Target>,
    /// The server without limits on rates, so that races reach the log.
    pub open: Box<Target>,
    /// The server that asks every script for a challenge.
    pub strict: Box<Target>,
    /// The server of a shop whose page sends fingerprints and solves challenges.
    pub scored: Box<Target>,
    /// The server that asks every script for a challenge of somebody's service.
    pub service: Box<Target>,
    /// Keys of the issuers of JWTs.
    pub issuers: super::jwt::Issuers,
}

/// Someone with a session.
#[derive(Debug, Clone)]
pub struct Shopper {
    /// The user id.
    pub user: String,
    /// Pass and session key.
    pub signer: Signer,
}

impl Shopper {
    /// The pass.
    pub fn pass(&self) -> &str {
        match &self.signer {
            Signer::Shopper { pass, .. } => pass,
            Signer::Client { .. } => "",
        }
    }
}

/// The clients of our own servers: id, secret, roles.
pub const CLIENTS: [(&str, &str, &str); 3] = [
    ("shop", "shop-secret-0123456789abcdef", r#""order", "session""#),
    ("warehouse", "warehouse-secret-0123456789abcdef", r#""fulfilment""#),
    ("kiosk", "kiosk-secret-0123456789abcdef", r#""order""#),
];
/// Further operators of our own servers: name, token.
pub const OPERATORS: [(&str, &str); 2] =
    [("viewer", "viewer-token-0123456789abcdef"), ("operator", "operator-token-0123456789abcdef")];

/// One of our own clients, by its place in [`CLIENTS`].
pub fn own_client(index: usize) -> Signer {
    let (id, secret, _) = CLIENTS[index];
    Signer::Client { id: id.to_owned(), secret: secret.to_owned() }
}

impl Target {
    /// A server of our own, with what else is ours.
    pub fn local(public: SocketAddr, operator: SocketAddr, own: Option<Own>) -> Self {
        let local = Self::new(public, operator, own_client(0), ADMIN_TOKEN);
        Self { own, local: true, ..local }
    }

    /// The same, of this process.
    #[must_use]
    pub fn of_process(self, pid: u32) -> Self {
        Self { process: Some(pid), ..self }
    }

    /// Memory that its process holds, in bytes.
    ///
    /// # Errors
    /// It is not ours, or the system does not say.
    pub fn memory_bytes(&self) -> anyhow::Result<u64> {
        let pid = self.process.context("needs a process of our own")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kib.context("no VmRSS")?.trim().parse::<u64>()? * 1_024)
    }

    /// Somebody's server.
    pub fn remote(
        public: SocketAddr,
        operator: SocketAddr,
        id: &str,
        secret: &str,
        admin_token: &str,
    ) -> Self {
        let client = Signer::Client { id: id.to_owned(), secret: secret.to_owned() };
        Self::new(public, operator, client, admin_token)
    }

    fn new(public: SocketAddr, operator: SocketAddr, client: Signer, admin_token: &str) -> Self {
        let clock = Clock::system();
        let run = clock.unix_ms();
        let admin_token = admin_token.to_owned();
        let next = Arc::new(AtomicU32::new(1));
        Self {
            public,
            operator,
            admin_token,
            client,
            own: None,
            #[cfg(feature = "distributed")]
            stores: None,
            local: false,
            process: None,
            clock,
            next,
            run,
        }
    }

    /// Another node of the same deployment: names stay unique over both.
    #[cfg(feature = "distributed")]
    pub fn beside(&self, public: SocketAddr, operator: SocketAddr) -> Self {
        Self { next: Arc::clone(&self.next), run: self.run, ..Self::local(public, operator, None) }
    }

    /// Many nodes on the real stores.
    ///
    /// # Errors
    /// They could not be started.
    #[cfg(feature = "distributed")]
    pub fn stores(&self) -> anyhow::Result<&super::stores::Stores> {
        match &self.stores {
            Some(Ok(stores)) => Ok(stores),
            Some(Err(error)) => anyhow::bail!("{error:#}"),
            None => anyhow::bail!("needs nodes of our own on the real stores"),
        }
    }

    /// The time in Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.clock.unix_ms()
    }

    /// Seconds of a clock that never goes back.
    pub fn seconds(&self) -> f64 {
        self.clock.monotonic_us() as f64 / 1e6
    }

    /// What only our own servers have.
    ///
    /// # Errors
    /// The server is not ours.
    pub fn ours(&self) -> anyhow::Result<&Own> {
        self.own.as_ref().context("needs a server of our own")
    }

    /// A name that was not used before: good for products, users and keys.
    pub fn unique(&self, prefix: &str) -> String {
        format!("{prefix}-{}-{}", self.run, self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// A loopback address that has sent nothing yet, so that attacks do not share the rate of an address.
    /// `None` where the server is not ours.
    pub fn address(&self) -> Option<Ipv4Addr> {
        if !self.local {
            return None;
        }
        let [_, _, high, low] = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        Some(Ipv4Addr::new(127, 1, high, low))
    }

    /// Sends a request from an address of its own.
    ///
    /// # Errors
    /// No answer, or a malformed one.
    pub fn send(&self, draft: &Draft) -> anyhow::Result<Answer> {
        self.send_from(self.address(), draft)
    }

    /// Sends a request from this address.
    ///
    /// # Errors
    /// No answer, or a malformed one.
    pub fn send_from(&self, from: Option<Ipv4Addr>, draft: &Draft) -> anyhow::Result<Answer> {
        if !self.local {
            std::thread::sleep(Duration::from_millis(REMOTE_PACE_MS));
        }
        wire::exchange(self.public, from, &draft.bytes())?.context("closed without an answer")
    }

    /// Sends bytes from an address of their own; `None` if the server closed without an answer.
    ///
    /// # Errors
    /// No end, or a malformed answer.
    pub fn send_raw(&self, bytes: &[u8]) -> anyhow::Result<Option<Answer>> {
        Ok(wire::exchange(self.public, self.address(), bytes)?)
    }

    /// Sends a request to the operator's listener as it is.
    ///
    /// # Errors
    /// No answer, or a malformed one.
    pub fn to_operator(&self, draft: &Draft) -> anyhow::Result<Answer> {
        wire::exchange(self.operator, None, &draft.bytes())?.context("closed without an answer")
    }

    /// An operator's call with the admin's token.
    ///
    /// # Errors
    /// No answer, or a malformed one.
    pub fn admin(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Answer> {
        let draft = Draft::new(method, path, body)
            .set("authorization", format!("Bearer {}", self.admin_token))
            .set("content-type", "application/json")
            .set("idempotency-key", self.unique("op"));
        self.to_operator(&draft)
    }

    /// Opens a sale of so many units: one a buyer, no repeat window.
    ///
    /// # Errors
    /// It does not open.
    pub fn sale(&self, units: u32) -> anyhow::Result<String> {
        let product = self.unique("p");
        let body = format!(
            r#"{{"productId":"{product}","quantity":{units},"perBuyerLimit":1,"repeatWindowSeconds":0}}"#
        );
        let answer = self.admin("POST", "/admin/products", &body)?;
        ensure!(answer.status == 201, "the sale does not open: {}", answer.text());
        Ok(product)
    }

    /// How many units are sold, by the operator's count.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn sold(&self, product: &str) -> anyhow::Result<u64> {
        let answer = self.admin("GET", &format!("/admin/products/{product}"), "")?;
        answer.json()["sold"].as_u64().with_context(|| format!("no count: {}", answer.text()))
    }

    /// So many units, and no more or less, must be sold.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn must_have_sold(&self, product: &str, units: u64) -> anyhow::Result<Got> {
        let sold = self.sold(product)?;
        Ok(Got::of(sold == units, format!("{sold} sold")))
    }

    /// A new user with a session.
    ///
    /// # Errors
    /// It is not given.
    pub fn shopper(&self) -> anyhow::Result<Shopper> {
        self.session_of(&self.unique("u"))
    }

    /// A session of this user.
    ///
    /// # Errors
    /// It is not given.
    pub fn session_of(&self, user: &str) -> anyhow::Result<Shopper> {
        let answer = self.send(&self.session_draft(user).sign(&self.client, self.now_ms()))?;
        let [pass, session_key] = ["pass", "sessionKey"].map(|name| answer.member(name));
        ensure!(answer.status == 200, "no session: {}", answer.text());
        Ok(Shopper { user: user.to_owned(), signer: Signer::Shopper { pass, session_key } })
    }

    /// A shop's request for a session, unsigned.
    pub fn session_draft(&self, user: &str) -> Draft {
        Draft::new("POST", "/session", format!(r#"{{"userId":"{user}"}}"#))
    }

    /// A shopper's order under a new key, signed.
    pub fn order(&self, product: &str, shopper: &Shopper) -> Draft {
        Draft::order(product, &shopper.user, &self.unique("k")).sign(&shopper.signer, self.now_ms())
    }

    /// An order that is accepted: its id, its buyer and the request.
    ///
    /// # Errors
    /// It is not accepted.
    pub fn accepted(&self, product: &str) -> anyhow::Result<(String, Shopper, Draft)> {
        let shopper = self.shopper()?;
        let draft = self.order(product, &shopper);
        let answer = try_settled(|| self.send(&draft))?;
        ensure!(answer.word() == "success", "not accepted: {}", answer.text());
        Ok((answer.member("orderId"), shopper, draft))
    }
}
