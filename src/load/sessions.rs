//! Names to send under: an API client's credentials, and shoppers whose passes it obtained.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use serde::Deserialize;

use super::api::{Api, ApiError, Reply};
use super::shot::sign;
use super::target::Target;
use crate::clock::Clock;
use crate::sale::UserId;

/// Most buyers of one run: each takes about 1.5 KB, most of it the prepared HMAC key.
pub const BUYERS_MAX: usize = 500_000;
/// Connections over which passes are obtained.
const CONNECTIONS: usize = 16;
/// Retries of one session call that was answered 429 or 503.
const RETRIES_MAX: u32 = 20;

/// An API client's id and secret.
pub struct Credentials {
    id: String,
    key: hmac::Key,
}

impl Credentials {
    /// Takes both; the secret's bytes are the HMAC key.
    pub fn new(id: &str, secret: &str) -> Self {
        Self { id: id.to_owned(), key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()) }
    }

    /// The id, as in `x-api-key`.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn key(&self) -> &hmac::Key {
        &self.key
    }
}

impl FromStr for Credentials {
    type Err = NotCredentials;

    fn from_str(text: &str) -> Result<Self, NotCredentials> {
        match text.split_once(':') {
            Some((id, secret)) if !id.is_empty() && !secret.is_empty() => Ok(Self::new(id, secret)),
            _ => Err(NotCredentials),
        }
    }
}

/// A text that is not `id:secret`.
#[derive(Debug, thiserror::Error)]
#[error("an API client is written id:secret")]
pub struct NotCredentials;

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, …)", self.id)
    }
}

/// A user with a session pass. Its `Debug` shows nothing of either.
pub struct Shopper {
    user: UserId,
    pass: String,
    session_key: String,
    key: hmac::Key,
}

impl fmt::Debug for Shopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shopper(…)")
    }
}

impl Shopper {
    /// Takes a user and what `POST /session` answered for it.
    pub fn new(user: UserId, pass: String, session_key: String) -> Self {
        // The key is the text, not the bytes that its digits stand for.
        let key = hmac::Key::new(hmac::HMAC_SHA256, session_key.as_bytes());
        Self { user, pass, session_key, key }
    }

    /// The user.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The pass.
    pub fn pass(&self) -> &str {
        &self.pass
    }

    /// The session key, as the server wrote it.
    pub fn session_key(&self) -> &str {
        &self.session_key
    }

    pub(crate) fn key(&self) -> &hmac::Key {
        &self.key
    }
}

/// A session as the server opened it.
#[derive(Debug)]
pub struct Session {
    /// Who, and with what.
    pub shopper: Shopper,
    /// The server's clock (Unix milliseconds).
    pub server_time_ms: u64,
    /// When the pass ends (Unix milliseconds).
    pub expires_at_ms: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Opened {
    pass: String,
    session_key: String,
    server_time: u64,
    expires_at: u64,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The call itself failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Too many buyers, or none.
    #[error("the number of buyers must be from 1 to {BUYERS_MAX}")]
    Count,
    /// The runtime could not be made.
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Opens a session for one user, by a signed call of an API client.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub async fn open(
    api: &mut Api,
    credentials: &Credentials,
    user: &UserId,
    now_ms: u64,
) -> Result<Session, SessionError> {
    Ok(read(*user, &ask(api, credentials, user, now_ms).await?)?)
}

async fn ask(
    api: &mut Api,
    credentials: &Credentials,
    user: &UserId,
    now_ms: u64,
) -> Result<Reply, ApiError> {
    let body = format!("{{\"userId\":\"{user}\"}}");
    let time = now_ms.to_string();
    let signature =
        sign("POST", "/session", body.as_bytes(), time.as_bytes(), b"", credentials.key());
    let signature = std::str::from_utf8(&signature).expect("hex digits are ASCII");
    let headers = [
        ("x-api-key", credentials.id()),
        ("x-request-time", time.as_str()),
        ("x-signature", signature),
    ];
    api.call("POST", "/session", &headers, Some(body.as_bytes())).await
}

fn read(user: UserId, reply: &Reply) -> Result<Session, ApiError> {
    let opened: Opened = reply.expect_json(200)?;
    Ok(Session {
        shopper: Shopper::new(user, opened.pass, opened.session_key),
        server_time_ms: opened.server_time,
        expires_at_ms: opened.expires_at,
    })
}

/// Passes for a crowd, and by how much the server's clock is ahead of ours (milliseconds).
#[derive(Debug)]
pub struct Crowd {
    /// The shoppers.
    pub shoppers: Arc<[Shopper]>,
    /// Server's clock minus ours.
    pub skew_ms: i64,
    /// When the first of the passes ends (Unix milliseconds of the server).
    pub expires_at_ms: u64,
}

/// Opens sessions for `count` users called `{prefix}-{number}`; `progress` is told how many there are.
/// Blocks the calling thread.
///
/// # Errors
/// The first call that fails for another reason than a limit that passes.
pub fn open_crowd(
    target: &Target,
    credentials: &Credentials,
    prefix: &str,
    count: usize,
    clock: &Clock,
    progress: impl Fn(usize),
) -> Result<Crowd, SessionError> {
    if !(1..=BUYERS_MAX).contains(&count) {
        return Err(SessionError::Count);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let work = Work {
        next: Cell::new(0),
        count,
        skew_ms: Cell::new(0),
        expires_at_ms: Cell::new(u64::MAX),
        done: RefCell::new(Vec::with_capacity(count)),
    };
    let all = async {
        let visits = (0..CONNECTIONS.min(count))
            .map(|_| work.visit(target, credentials, prefix, clock, &progress));
        join_all(visits.collect()).await
    };
    runtime.block_on(all)?;
    Ok(Crowd {
        shoppers: work.done.into_inner().into(),
        skew_ms: work.skew_ms.get(),
        expires_at_ms: work.expires_at_ms.get(),
    })
}

/// What the connections share.
struct Work {
    next: Cell<usize>,
    count: usize,
    skew_ms: Cell<i64>,
    expires_at_ms: Cell<u64>,
    done: RefCell<Vec<Shopper>>,
}

impl Work {
    async fn visit(
        &self,
        target: &Target,
        credentials: &Credentials,
        prefix: &str,
        clock: &Clock,
        progress: &impl Fn(usize),
    ) -> Result<(), SessionError> {
        let mut api = Api::new(target.clone());
        loop {
            let number = self.next.get();
            if number >= self.count {
                return Ok(());
            }
            self.next.set(number + 1);
            let user = format!("{prefix}-{number}").parse().map_err(|_| SessionError::Count)?;
            let session = self.open_patiently(&mut api, credentials, &user, clock).await?;
            self.skew_ms.set(session.server_time_ms as i64 - clock.unix_ms() as i64);
            self.expires_at_ms.update(|earliest| earliest.min(session.expires_at_ms));
            self.done.borrow_mut().push(session.shopper);
            progress(self.done.borrow().len());
        }
    }

    async fn open_patiently(
        &self,
        api: &mut Api,
        credentials: &Credentials,
        user: &UserId,
        clock: &Clock,
    ) -> Result<Session, SessionError> {
        let mut retries = 0;
        loop {
            let now_ms = clock.unix_ms().saturating_add_signed(self.skew_ms.get());
            let reply = ask(api, credentials, user, now_ms).await?;
            let expired = reply.server_time_ms().filter(|_| reply.status == 400);
            if retries == RETRIES_MAX {
                return Ok(read(*user, &reply)?);
            }
            match (reply.status, expired) {
                (429 | 503, _) => {
                    let wait_ms = reply.retry_after_s.map_or(100, |seconds| seconds * 1_000);
                    tokio::time::sleep(Duration::from_millis(wait_ms.clamp(20, 5_000))).await;
                }
                (_, Some(server_ms)) => {
                    self.skew_ms.set(server_ms as i64 - clock.unix_ms() as i64);
                }
                _ => return Ok(read(*user, &reply)?),
            }
            retries += 1;
        }
    }
}

/// Drives all futures on this thread; the first error ends it.
async fn join_all<F, E>(futures: Vec<F>) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    let mut futures: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    std::future::poll_fn(move |cx| {
        for slot in &mut futures {
            let Some(future) = slot else { continue };
            match future.as_mut().poll(cx) {
                std::task::Poll::Ready(Ok(())) => *slot = None,
                std::task::Poll::Ready(Err(error)) => return std::task::Poll::Ready(Err(error)),
                std::task::Poll::Pending => {}
            }
        }
        match futures.iter().all(Option::is_none) {
            true => std::task::Poll::Ready(Ok(())),
            false => std::task::Poll::Pending,
        }
    })
    .await
}
