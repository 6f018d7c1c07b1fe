//! One account's way through a sale: the room, if there is one, and the order. The same for people and bots; what
//! differs is the habit.

use std::cell::Cell;
use std::time::Duration;

use flux_gate::clock::Clock;

use super::lines::{Lines, Reply};
use super::people::Account;
use super::solver::Solver;
use crate::support::draft::{Draft, Signer};

/// Times that an order is sent at most: a bound, not a strategy.
const ATTEMPTS_MAX: u32 = 60;

/// What the visitors of a run share.
pub struct World {
    /// The way to the server.
    pub lines: Lines,
    /// The clock.
    pub clock: Clock,
    /// Solves challenges.
    pub solver: Solver,
    /// Whether the sale goes by way of a room.
    pub has_room: bool,
    /// When the sales open, Unix milliseconds.
    pub opens_ms: u64,
    /// When everybody goes home, Unix milliseconds.
    pub ends_ms: u64,
    /// Requests that were sent.
    pub requests: Cell<u64>,
}

/// How a visit ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// With an order.
    Bought,
    /// Everything was sold.
    SoldOut,
    /// With a refusal, by its word.
    Refused(String),
    /// The run was over before it was their turn.
    Unserved,
}

/// What came of a visit.
#[derive(Debug, Clone)]
pub struct Visit {
    /// How it ended.
    pub ending: Ending,
    /// Orders beside the first that were accepted.
    pub extra: u32,
}

impl World {
    async fn until_ms(&self, unix_ms: u64) {
        let wait_ms = unix_ms.saturating_sub(self.clock.unix_ms());
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    }

    fn is_over(&self) -> bool {
        self.clock.unix_ms() >= self.ends_ms
    }

    async fn send(&self, draft: &Draft) -> anyhow::Result<Reply> {
        self.requests.set(self.requests.get() + 1);
        self.lines.send(draft).await
    }

    /// A call that is signed with somebody's session.
    async fn signed(&self, account: &Account, path: &str, body: String) -> anyhow::Result<Reply> {
        let draft = account.dressed(Draft::new("POST", path, body));
        self.send(&draft.sign(&account.signer, self.clock.unix_ms())).await
    }
}

/// Goes through the sale of this product.
///
/// # Errors
/// The server does not answer, or not as its contract says.
pub async fn visit(world: &World, product: &str, account: Account) -> anyhow::Result<Visit> {
    let mut account = account;
    let habit = account.habit;
    world.until_ms(world.opens_ms.saturating_add_signed(habit.arrives_ms)).await;
    if world.has_room {
        match turn(world, product, &account).await? {
            Ok(admitted) => account.signer = admitted,
            Err(ending) => return Ok(Visit { ending, extra: 0 }),
        }
        tokio::time::sleep(Duration::from_millis(habit.presses_ms)).await;
    } else {
        let from_ms = world.opens_ms.saturating_add_signed(habit.arrives_ms.max(0));
        world.until_ms(from_ms + habit.reacts_ms).await;
    }
    order(world, product, &account).await
}

/// Waits in the room for one's turn: what to sign with then, or how it ended.
async fn turn(
    world: &World,
    product: &str,
    account: &Account,
) -> anyhow::Result<Result<Signer, Ending>> {
    let polls = Duration::from_millis(account.habit.polls_ms);
    let ticket = loop {
        let body = format!(r#"{{"productId":"{product}"}}"#);
        let given = world.signed(account, "/waiting-room/ticket", body).await?;
        match given.status {
            200 => break given.member("ticket").to_owned(),
            429 | 503 if !world.is_over() => {
                tokio::time::sleep(Duration::from_millis(given.retry_ms)).await;
            }
            _ => return Ok(Err(Ending::Refused(given.word().to_owned()))),
        }
    };
    // The page knows the opening, and asks nothing before.
    world.until_ms(world.opens_ms).await;
    let path = format!("/waiting-room/state?product={product}");
    loop {
        tokio::time::sleep(polls).await;
        if world.is_over() {
            return Ok(Err(Ending::Unserved));
        }
        let draft = account.dressed(Draft::new("GET", &path, "")).set("x-queue-ticket", &ticket);
        let state = world.send(&draft).await?;
        match (state.member("ticket"), state.member("stock")) {
            ("admitted", _) => break,
            ("lapsed" | "passed" | "spent" | "unknown", _) => {
                return Ok(Err(Ending::Refused(format!("ticket {}", state.member("ticket")))));
            }
            (_, "sold_out") => return Ok(Err(Ending::SoldOut)),
            _ => {}
        }
    }
    let body = format!(r#"{{"ticket":"{ticket}"}}"#);
    let given = world.signed(account, "/waiting-room/admission", body).await?;
    if given.status != 200 {
        return Ok(Err(Ending::Refused(given.word().to_owned())));
    }
    let [pass, session_key] = ["pass", "sessionKey"].map(|name| given.member(name).to_owned());
    Ok(Ok(Signer::Shopper { pass, session_key }))
}

/// Orders until the outcome is known.
async fn order(world: &World, product: &str, account: &Account) -> anyhow::Result<Visit> {
    let key = format!("k-{}", account.user);
    let mut solution: Option<String> = None;
    for _ in 0..ATTEMPTS_MAX {
        let draft = account.order(product, &key);
        let draft = match &solution {
            Some(solution) => draft.set("x-challenge", solution),
            None => draft,
        };
        let draft = draft.sign(&account.signer, world.clock.unix_ms());
        let reply = world.send(&draft).await?;
        let ending = match (reply.status, reply.word()) {
            (200, "success" | "ignored") => {
                let own = reply.member("orderId");
                let extra = replay(world, product, account, &draft, own).await?;
                return Ok(Visit { ending: Ending::Bought, extra });
            }
            (_, "sold_out") => Ending::SoldOut,
            (403, "challenge_required") if solution.is_none() => {
                solution =
                    world.solver.solve(&reply.body["challenge"], account.habit.solving).await?;
                if solution.is_some() {
                    continue;
                }
                Ending::Refused("challenge_required".to_owned())
            }
            (202 | 429 | 503, _) | (403, "not_open") if !world.is_over() => {
                tokio::time::sleep(Duration::from_millis(reply.retry_ms)).await;
                continue;
            }
            (_, word) => Ending::Refused(word.to_owned()),
        };
        return Ok(Visit { ending, extra: 0 });
    }
    Ok(Visit { ending: Ending::Unserved, extra: 0 })
}

/// Sends an accepted order again, in each of a replayer's ways; how many other orders came of it.
async fn replay(
    world: &World,
    product: &str,
    account: &Account,
    accepted: &Draft,
    own: &str,
) -> anyhow::Result<u32> {
    let mut extra = 0;
    for round in 0..account.habit.replays {
        let key = format!("r{round}-{}", account.user);
        let now_ms = world.clock.unix_ms();
        let neighbour = format!("{}-{round}", account.user);
        let other_user = format!(r#"{{"productId":"{product}","userId":"{neighbour}"}}"#);
        let again = [
            accepted.clone(),
            accepted.clone().set("x-idempotency-key", &key),
            accepted.clone().body(other_user),
            account.order(product, &key).sign(&account.signer, now_ms),
        ];
        for draft in again {
            let reply = world.send(&draft).await?;
            let accepted = reply.status == 200 && reply.word() == "success";
            extra += u32::from(accepted && reply.member("orderId") != own);
        }
    }
    Ok(extra)
}
