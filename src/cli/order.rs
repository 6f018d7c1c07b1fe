//! `order`: signs and sends one order, as a shopper with a pass or as an API client.

use std::fmt::Write as _;

use crate::cli::shop::{self, Server};
use crate::cli::{Common, Exit, Failure, Machine, process, tell};
use crate::config::Config;
use crate::load::Target;
use crate::load::api::{Api, Reply};
use crate::load::sessions::{Credentials, Shopper};
use crate::load::shot::sign;
use crate::sale::{IdempotencyKey, ProductId, UserId};

/// Sign and send one order, and print the answer.
///
/// With --pass and --session-key (or FLUX_GATE_PASS and FLUX_GATE_SESSION_KEY) it speaks as the shopper,
/// else as the API client of --client or of the configuration. Repeating it under the same --key is safe.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate order iphone-15 alice --client shop:SECRET
  flux-gate order iphone-15 alice --key first-try
  flux-gate order iphone-15 alice --show")]
pub(super) struct Order {
    /// What is bought.
    product: ProductId,
    /// Who buys, in the shop's own words.
    user: UserId,
    #[command(flatten)]
    server: Server,
    /// The API client to speak as.
    #[arg(long, value_name = "ID:SECRET", conflicts_with = "pass")]
    client: Option<String>,
    /// The shopper's session pass.
    #[arg(long, value_name = "PASS", requires = "session_key")]
    pass: Option<String>,
    /// The session key that came with the pass.
    #[arg(long, value_name = "KEY", requires = "pass")]
    session_key: Option<String>,
    /// The idempotency key: the name of this attempt. Random unless given.
    #[arg(long, value_name = "ID")]
    key: Option<IdempotencyKey>,
    /// Print the curl command that sends the same, and send nothing. It is good for 30 seconds.
    #[arg(long)]
    show: bool,
}

enum Caller {
    Client(Box<Credentials>),
    Shopper(Box<Shopper>),
}

impl Order {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        let config = common.load(machine, Vec::new())?.config;
        let target = self.server.target(&config)?;
        let key = match &self.key {
            Some(key) => key.to_string(),
            None => machine.random_hex::<16>()?,
        };
        let attempt = Attempt { caller: self.caller(machine, &config)?, order: &self, key };
        let now_ms = machine.clock.unix_ms();
        if self.show {
            machine.out.write_all(attempt.curl(&target, now_ms).as_bytes())?;
            return Ok(Exit::Done);
        }
        let reply = process::runtime()?.block_on(attempt.send(target, now_ms))?;
        tell(&format!("{} (idempotency key {})", status_line(&reply), attempt.key));
        machine.out.write_all(&reply.body)?;
        writeln!(machine.out)?;
        Ok(if matches!(reply.status, 200 | 202) { Exit::Done } else { Exit::Failed })
    }

    fn caller(&self, machine: &Machine<'_>, config: &Config) -> Result<Caller, Failure> {
        let pass = self.pass.as_deref().or(machine.variable("FLUX_GATE_PASS"));
        let key = self.session_key.as_deref().or(machine.variable("FLUX_GATE_SESSION_KEY"));
        match (&self.client, pass.zip(key)) {
            (None, Some((pass, key))) => {
                let shopper = Shopper::new(self.user, pass.to_owned(), key.to_owned());
                Ok(Caller::Shopper(Box::new(shopper)))
            }
            (client, _) => {
                Ok(Caller::Client(Box::new(shop::credentials(client.as_deref(), config)?)))
            }
        }
    }
}

fn status_line(reply: &Reply) -> String {
    let status = ::http::StatusCode::from_u16(reply.status).ok();
    let reason = status.and_then(|status| status.canonical_reason()).unwrap_or_default();
    match reply.retry_after_s {
        Some(seconds) => format!("{} {reason}, retry after {seconds} s", reply.status),
        None => format!("{} {reason}", reply.status),
    }
}

/// One attempt, which may be sent more than once.
struct Attempt<'a> {
    caller: Caller,
    order: &'a Order,
    key: String,
}

impl Attempt<'_> {
    fn body(&self) -> String {
        let Order { product, user, .. } = self.order;
        format!(r#"{{"productId":"{product}","userId":"{user}"}}"#)
    }

    fn headers(&self, now_ms: u64) -> Vec<(&'static str, String)> {
        let (time, body) = (now_ms.to_string(), self.body());
        let (who, key) = match &self.caller {
            Caller::Client(client) => (("x-api-key", client.id().to_owned()), client.key()),
            Caller::Shopper(shopper) => {
                (("authorization", format!("Bearer {}", shopper.pass())), shopper.key())
            }
        };
        let signature =
            sign("POST", "/order", body.as_bytes(), time.as_bytes(), self.key.as_bytes(), key);
        let signature = String::from_utf8_lossy(&signature).into_owned();
        vec![
            who,
            ("x-request-time", time),
            ("x-idempotency-key", self.key.clone()),
            ("x-signature", signature),
        ]
    }

    /// Sends it; if the two clocks differ too much, once more with the server's time.
    async fn send(&self, target: Target, now_ms: u64) -> Result<Reply, Failure> {
        let mut api = Api::new(target);
        let reply = self.send_at(&mut api, now_ms).await?;
        match reply.server_time_ms().filter(|_| reply.status == 400) {
            Some(server_ms) => self.send_at(&mut api, server_ms).await,
            None => Ok(reply),
        }
    }

    async fn send_at(&self, api: &mut Api, now_ms: u64) -> Result<Reply, Failure> {
        let headers = self.headers(now_ms);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Ok(api.call("POST", "/order", &headers, Some(self.body().as_bytes())).await?)
    }

    fn curl(&self, target: &Target, now_ms: u64) -> String {
        let mut curl = format!("curl -i {}/order \\\n", target.url());
        let json = ("content-type", "application/json".to_owned());
        for (name, value) in std::iter::once(json).chain(self.headers(now_ms)) {
            // Nothing here can hold a quote: ids, digits, hex and passes are plain characters.
            let _ = writeln!(curl, "  -H '{name}: {value}' \\");
        }
        let _ = writeln!(curl, "  -d '{}'", self.body());
        curl
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::Exit;
    use crate::cli::tests::{NOW_MS, call};

    const CLIENT: [&str; 2] = ["--client", "shop:a-secret-of-the-shop"];

    #[test]
    fn show_prints_a_curl_command_with_every_header_and_no_secret() {
        let arguments =
            [&["order", "p-1", "alice", "--key", "k-1", "--show"], &CLIENT[..]].concat();
        let called = call(&arguments, &[]);
        assert_eq!(called.exit, Exit::Done, "{called:?}");
        let time = format!("-H 'x-request-time: {NOW_MS}'");
        for part in ["-H 'x-api-key: shop'", "-H 'x-idempotency-key: k-1'", "x-signature", &time] {
            assert!(called.out.contains(part), "{part}: {}", called.out);
        }
        assert!(called.out.contains(r#"-d '{"productId":"p-1","userId":"alice"}'"#));
        assert!(!called.out.contains("a-secret-of-the-shop"));
    }

    #[test]
    fn a_pass_of_the_environment_makes_the_caller_a_shopper() {
        let environment = [("FLUX_GATE_PASS", "pass-1"), ("FLUX_GATE_SESSION_KEY", "ab")];
        let called = call(&["order", "p-1", "alice", "--show"], &environment);
        assert!(called.out.contains("authorization: Bearer pass-1"), "{called:?}");
    }

    #[test]
    fn without_a_name_to_speak_under_it_says_what_is_missing() {
        let called = call(&["order", "p-1", "alice"], &[]);
        assert_eq!(called.exit, Exit::Failed);
        assert!(called.message.contains("--client id:secret"), "{called:?}");
    }
}
