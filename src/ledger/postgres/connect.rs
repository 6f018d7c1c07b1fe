//! The way to PostgreSQL: addresses, TLS, and limits of each session.
//!
//! tokio-postgres does not know `sslmode=verify-full`, so it is read here: with it the server's chain and
//! name are checked, always; without it there is no TLS, and that is refused unless `stores.plaintext` says
//! otherwise.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::PostgresError;
use crate::config::Config;
use crate::config::stores::Plaintext;
use crate::outgoing::client_config;

/// How long a connection may take to come about, in seconds.
pub(crate) const CONNECT_S_MAX: u64 = 5;
/// How long what was sent may stay unacknowledged before the connection counts as broken.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);
/// Limits of every session. A transaction whose client has stopped must not hold its locks: the counter's
/// would hold up all other workers.
const SESSION: &str = "-c statement_timeout=30s -c lock_timeout=20s \
    -c idle_in_transaction_session_timeout=10s -c search_path=pg_catalog";

/// How to connect as one user.
#[derive(Clone)]
pub(crate) struct Connector {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
}

impl Connector {
    /// As the user of `postgres.url`.
    ///
    /// # Errors
    /// The address or the certificates cannot be used; nothing is connected yet.
    pub(crate) fn main(config: &Config) -> Result<Self, PostgresError> {
        let missing =
            || PostgresError::Address { key: "postgres.url", why: "is missing".to_owned() };
        let url = config.postgres.url.as_ref().ok_or_else(missing)?;
        Self::new("postgres.url", url, config)
    }

    /// As the user of `postgres.fulfilment_url`, if it is set.
    ///
    /// # Errors
    /// As [`Connector::main`].
    pub(crate) fn fulfilment(config: &Config) -> Result<Option<Self>, PostgresError> {
        let url = config.postgres.fulfilment_url.as_ref();
        url.map(|url| Self::new("postgres.fulfilment_url", url, config)).transpose()
    }

    fn new(key: &'static str, url: &SecretString, config: &Config) -> Result<Self, PostgresError> {
        let refused = |why: &str| PostgresError::Address { key, why: why.to_owned() };
        let (url, mode) = take_ssl_mode(url.expose_secret()).map_err(refused)?;
        let mut parsed: tokio_postgres::Config =
            url.parse().map_err(|error: tokio_postgres::Error| {
                let why = std::error::Error::source(&error).map(ToString::to_string);
                refused(&why.unwrap_or_else(|| "is no address of PostgreSQL".to_owned()))
            })?;
        let tls = match (mode.as_deref(), config.stores.plaintext) {
            (Some("verify-full"), _) => {
                parsed.ssl_mode(SslMode::Require);
                let ca_file = config.postgres.ca_file.as_deref();
                Some(MakeRustlsConnect::new(client_config(ca_file).map_err(PostgresError::Tls)?))
            }
            (None | Some("disable"), Plaintext::Allow) => {
                parsed.ssl_mode(SslMode::Disable);
                None
            }
            _ => return Err(refused("sslmode must be verify-full")),
        };
        let options = match parsed.get_options() {
            Some(own) => format!("{SESSION} {own}"),
            None => SESSION.to_owned(),
        };
        if parsed.get_application_name().is_none() {
            parsed.application_name("flux-gate");
        }
        parsed
            .options(options)
            .connect_timeout(Duration::from_secs(CONNECT_S_MAX))
            .tcp_user_timeout(UNACKNOWLEDGED_MAX)
            .keepalives_idle(UNACKNOWLEDGED_MAX);
        Ok(Self { config: parsed, tls })
    }

    /// Connects once. The connection lives on the runtime that calls, until the client is dropped.
    ///
    /// # Errors
    /// [`PostgresError`]; ask it whether to try again.
    pub(crate) async fn connect(&self) -> Result<Client, PostgresError> {
        match &self.tls {
            Some(tls) => connect(&self.config, tls.clone()).await,
            None => connect(&self.config, NoTls).await,
        }
    }

    /// A pool of at most `connections_max`; nothing is connected yet.
    pub(crate) fn pool(&self, connections_max: usize) -> Pool {
        let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match &self.tls {
            Some(tls) => Manager::from_config(self.config.clone(), tls.clone(), how),
            None => Manager::from_config(self.config.clone(), NoTls, how),
        };
        let limit = Some(Duration::from_secs(CONNECT_S_MAX));
        Pool::builder(manager)
            .max_size(connections_max)
            .timeouts(Timeouts { wait: limit, create: limit, recycle: limit })
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a pool with time-outs has a runtime")
    }
}

async fn connect<T>(config: &tokio_postgres::Config, tls: T) -> Result<Client, PostgresError>
where
    T: tokio_postgres::tls::MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let limit = Duration::from_secs(CONNECT_S_MAX);
    let connecting = tokio::time::timeout(limit, config.connect(tls)).await;
    let (client, connection) = connecting.map_err(|_| PostgresError::TimedOut(CONNECT_S_MAX))??;
    tokio::spawn(async move {
        // Its error reaches whoever waits for an answer.
        let _ = connection.await;
    });
    Ok(client)
}

/// The URL without its `sslmode`, and that.
fn take_ssl_mode(url: &str) -> Result<(String, Option<String>), &'static str> {
    if !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
        return Err("does not begin with postgresql://");
    }
    let Some((address, query)) = url.split_once('?') else { return Ok((url.to_owned(), None)) };
    let mut mode = None;
    let mut rest = Vec::new();
    for pair in query.split('&') {
        match pair.strip_prefix("sslmode=") {
            Some(_) if mode.is_some() => return Err("has sslmode twice"),
            Some(value) => mode = Some(value.to_owned()),
            None => rest.push(pair),
        }
    }
    let url =
        if rest.is_empty() { address.to_owned() } else { format!("{address}?{}", rest.join("&")) };
    Ok((url, mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(url: &str, plaintext: Plaintext) -> Result<Connector, PostgresError> {
        let mut config = Config::default();
        config.postgres.url = Some(url.into());
        config.stores.plaintext = plaintext;
        Connector::main(&config)
    }

    #[test]
    fn the_mode_is_taken_out_of_the_address() {
        let take = |url| take_ssl_mode(url).unwrap();
        let verify = Some("verify-full".to_owned());
        assert_eq!(
            take("postgresql://u:p@h/d?sslmode=verify-full"),
            ("postgresql://u:p@h/d".into(), verify.clone())
        );
        assert_eq!(
            take("postgres://h/d?a=1&sslmode=verify-full&b=2"),
            ("postgres://h/d?a=1&b=2".into(), verify)
        );
        assert_eq!(take("postgres://h/d"), ("postgres://h/d".into(), None));
        assert!(take_ssl_mode("postgres://h/d?sslmode=disable&sslmode=verify-full").is_err());
        assert!(take_ssl_mode("host=h").is_err());
    }

    #[test]
    fn without_tls_only_where_it_is_allowed_and_no_half_checks_ever() {
        for mode in ["?sslmode=require", "?sslmode=verify-ca", "?sslmode=prefer"] {
            let url = format!("postgresql://u:p@localhost/d{mode}");
            assert!(connector(&url, Plaintext::Refuse).is_err(), "{mode}");
            assert!(connector(&url, Plaintext::Allow).is_err(), "{mode}");
        }
        for mode in ["", "?sslmode=disable"] {
            let url = format!("postgresql://u:p@localhost/d{mode}");
            assert!(connector(&url, Plaintext::Refuse).is_err(), "{mode}");
            assert!(connector(&url, Plaintext::Allow).unwrap().tls.is_none(), "{mode}");
        }
    }

    /// Rule 7: an address holds a password.
    #[test]
    fn an_error_does_not_show_the_address() {
        for url in ["postgresql://u:hunter2@h:port/d", "postgresql://u:hunter2@h/d?bad=hunter2"] {
            let error = connector(url, Plaintext::Allow).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
