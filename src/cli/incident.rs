//! `incident`: what is done against an attack while it runs, through the operator's listener of a running
//! server, so that it holds on all nodes and is in the log.
//!
//! A raw address, fingerprint or user goes over that connection and no further: the server keeps its
//! pseudonym.

use http::Method;
use ipnet::IpNet;
use serde_json::{Map, Value, json};

use crate::cli::operator::{Call, Listener, json_of};
use crate::cli::when::When;
use crate::cli::{Common, Exit, Failure, Machine};
use crate::sale::OperationId;
use crate::sale::control::{BlockTarget, Limit};

mod drill;
mod look;
mod orders;
mod report;
mod reverse;
mod show;
mod stop;

/// Answer an attack: stop, investigate, reverse, block, tighten limits, approve, analyse, report, resume.
///
/// The listener is that of the configuration (key admin.listen) or --url; the token is that of
/// FLUX_GATE__ADMIN__TOKEN, the configuration, or the data directory. Everything holds on all nodes at once,
/// and is recorded with the name of the token.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate incident stop iphone-15 --reason 'bots, ticket 71'
  flux-gate incident stop --all --reason 'bots, ticket 71'
  flux-gate incident investigate --product iphone-15 --since -10m --pattern shared_fingerprint
  flux-gate incident investigate --since -1h --network 203.0.113.0/24
  flux-gate incident offenders --since -10m
  flux-gate incident analyse --since -1h --product iphone-15
  flux-gate incident reverse --product iphone-15 --orders-file fraud.txt --restock --dry-run --reason fraud
  flux-gate incident reverse --product iphone-15 --query 'pattern=shared_fingerprint&since=-10m' \\
      --restock --reason 'bots, ticket 71'
  flux-gate incident resume iphone-15 --reason 'ticket 71 is dealt with'
  flux-gate incident report --since -1h --out report-71
  flux-gate incident report --check report-71 --key 4f2a…
  flux-gate incident drill
  flux-gate incident block --address 203.0.113.0/24 --until +2h --reason 'bots, ticket 71'
  flux-gate incident block --fingerprint hd-4711 --until +1d --reason 'shared fingerprint'
  flux-gate incident block --user mallory-7 --until 2026-12-01T09:00:00Z --reason fraud
  flux-gate incident blocks
  flux-gate incident unblock --address 203.0.113.0/24
  flux-gate incident unblock --id v4-24-0f1e2d3c4b5a6978
  flux-gate incident allow --user alice-7 --until +1d --reason 'a false positive, ticket 72'
  flux-gate incident disallow --user alice-7
  flux-gate incident allows
  flux-gate incident score off --until +30m --reason 'too many false positives'
  flux-gate incident score on
  flux-gate incident tighten ip_per_second --to 2 --burst 4 --until +30m --reason flood
  flux-gate incident tighten min_interval_ms --to 1000 --until +30m --reason bots
  flux-gate incident loosen ip_per_second
  flux-gate incident limits --json
  flux-gate incident approvals
  flux-gate incident approve 9f3c…

The whole of it, step by step, is in docs/INCIDENTS.md.")]
pub(super) struct Incident {
    #[command(subcommand)]
    command: IncidentCommand,
    #[command(flatten)]
    listener: Listener,
}

#[derive(clap::Subcommand)]
enum IncidentCommand {
    /// Stop a sale, or all: nothing is confirmed on any node until `resume`. The true count is kept.
    Stop(stop::Stop),
    /// Go on after `stop`.
    Resume(stop::Stop),
    /// Show suspicious orders, with why they are.
    Investigate(Box<look::Investigate>),
    /// Show whom orders and refusals come from, the most first.
    Offenders(look::Offenders),
    /// Show how an attack went, and what each rule would have caught.
    Analyse(look::Analyse),
    /// Take orders back, each once: shows first what it would do, and asks.
    Reverse(reverse::Reverse),
    /// Write a signed report of a span of time into a directory, or check one.
    Report(report::Report),
    /// Play an attack against a server of its own, and walk through everything that is done against it.
    Drill(drill::Drill),
    /// Refuse an address, a prefix, a fingerprint or a user at the door, until a time.
    Block {
        #[command(flatten)]
        target: Target,
        /// Until when: from now on (+2h), RFC 3339 or Unix milliseconds.
        #[arg(long, value_name = "WHEN")]
        until: When,
        /// Why. Kept in clear, so name nobody.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Lift a block before its time.
    Unblock {
        #[command(flatten)]
        target: Target,
    },
    /// Show who is blocked, as pseudonyms.
    Blocks,
    /// Excuse an address, a prefix, a fingerprint or a user from the bot score, until a time. Blocks and limits
    /// still hold for them.
    Allow {
        #[command(flatten)]
        target: Target,
        /// Until when: from now on (+2h), RFC 3339 or Unix milliseconds.
        #[arg(long, value_name = "WHEN")]
        until: When,
        /// Why. Kept in clear, so name nobody.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Score somebody again before that time.
    Disallow {
        #[command(flatten)]
        target: Target,
    },
    /// Show who is excused, as pseudonyms.
    Allows,
    /// Show whether orders are scored, or turn the bot score off and on.
    Score {
        #[command(subcommand)]
        switch: Option<Switch>,
    },
    /// Put a limit in the place of the configured one, until a time. What has been counted stays.
    Tighten {
        /// Which: node_per_second, product_per_second, ip_per_second, fingerprint_per_second,
        /// buyer_per_second, client_per_second or min_interval_ms.
        limit: Limit,
        /// The value, in the unit of the limit's name; at least 1.
        #[arg(long, value_name = "N")]
        to: u32,
        /// How many may come at once (default: as many as come in a second).
        #[arg(long, value_name = "N")]
        burst: Option<u32>,
        /// Until when: from now on (+30m), RFC 3339 or Unix milliseconds.
        #[arg(long, value_name = "WHEN")]
        until: When,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Go back to the configured limit before its time.
    Loosen {
        /// Which.
        limit: Limit,
    },
    /// Show the limits, as configured and as they hold.
    Limits,
    /// Show the changes that wait for a second operator.
    Approvals,
    /// Approve another operator's change: it is made now.
    Approve {
        /// The approval.
        approval: OperationId,
    },
    /// Refuse another operator's change, or withdraw one's own.
    Reject {
        /// The approval.
        approval: OperationId,
    },
}

#[derive(clap::Subcommand)]
enum Switch {
    /// Score nobody on any node, until a time.
    Off {
        /// Until when: from now on (+30m), RFC 3339 or Unix milliseconds.
        #[arg(long, value_name = "WHEN")]
        until: When,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Score as configured, before that time.
    On,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// An address, or a prefix such as 203.0.113.0/24 or 2001:db8::/48.
    #[arg(long, value_name = "ADDRESS", value_parser = network)]
    address: Option<IpNet>,
    /// A device fingerprint, as clients send it.
    #[arg(long, value_name = "TEXT")]
    fingerprint: Option<String>,
    /// A user id, of whatever shop.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// The id of a block, as `incident blocks` shows it.
    #[arg(long, value_name = "ID")]
    id: Option<BlockTarget>,
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<std::net::IpAddr>().map(IpNet::from);
    text.parse::<IpNet>()
        .or_else(|_| address())
        .map_err(|_| "write an address, or a prefix such as 203.0.113.0/24".to_owned())
}

impl Incident {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        match self.command {
            IncidentCommand::Reverse(reverse) => {
                return reverse.run(&self.listener, machine, common);
            }
            IncidentCommand::Report(report) => return report.run(&self.listener, machine, common),
            IncidentCommand::Drill(drill) => return drill.run(machine),
            _ => {}
        }
        let call = self.command.call(machine.clock.unix_ms())?;
        let reply = self.listener.send(machine, common, &call)?;
        let reply = json_of(&reply)?;
        let text = if self.listener.json {
            serde_json::to_string_pretty(&reply)? + "\n"
        } else {
            self.command.show(&reply)
        };
        machine.out.write_all(text.as_bytes())?;
        Ok(Exit::Done)
    }
}

impl IncidentCommand {
    fn call(&self, now_ms: u64) -> Result<Call, Failure> {
        let look = |path: &str| Call { method: Method::GET, path: path.to_owned(), body: None };
        let change = |method, path: String, body| Call { method, path, body: Some(body) };
        Ok(match self {
            Self::Investigate(investigate) => investigate.call(now_ms)?,
            Self::Offenders(offenders) => offenders.call(now_ms)?,
            Self::Analyse(analyse) => analyse.call(now_ms)?,
            Self::Stop(stop) => stop.call("/admin/incident/stop"),
            Self::Resume(stop) => stop.call("/admin/incident/resume"),
            // These are several calls.
            Self::Reverse(_) | Self::Report(_) | Self::Drill(_) => look("/livez"),
            Self::Block { target, until, reason } => {
                let body = target.body_until(until.unix_ms(now_ms), reason);
                change(Method::POST, "/admin/blocks".to_owned(), body)
            }
            Self::Allow { target, until, reason } => {
                let body = target.body_until(until.unix_ms(now_ms), reason);
                change(Method::POST, "/admin/allows".to_owned(), body)
            }
            Self::Disallow { target } => {
                let body = Value::Object(target.body());
                change(Method::DELETE, "/admin/allows".to_owned(), body)
            }
            Self::Allows => look("/admin/allows"),
            Self::Score { switch: None } => look("/admin/score"),
            Self::Score { switch: Some(Switch::Off { until, reason }) } => {
                let body = json!({ "until": until.unix_ms(now_ms), "reason": reason });
                change(Method::POST, "/admin/score/off".to_owned(), body)
            }
            Self::Score { switch: Some(Switch::On) } => {
                change(Method::DELETE, "/admin/score/off".to_owned(), Value::Null)
            }
            Self::Unblock { target } => {
                let body = Value::Object(target.body());
                change(Method::DELETE, "/admin/blocks".to_owned(), body)
            }
            Self::Blocks => look("/admin/blocks"),
            Self::Tighten { limit, to, burst, until, reason } => {
                let mut body = json!({
                    "limit": limit.word(), "value": to, "until": until.unix_ms(now_ms),
                    "reason": reason,
                });
                if let Some(burst) = burst {
                    body["burst"] = (*burst).into();
                }
                change(Method::POST, "/admin/limits".to_owned(), body)
            }
            Self::Loosen { limit } => {
                let path = format!("/admin/limits/{}", limit.word());
                change(Method::DELETE, path, Value::Null)
            }
            Self::Limits => look("/admin/limits"),
            Self::Approvals => look("/admin/approvals"),
            Self::Approve { approval } => {
                let path = format!("/admin/approvals/{approval}/approve");
                change(Method::POST, path, Value::Null)
            }
            Self::Reject { approval } => {
                let path = format!("/admin/approvals/{approval}/reject");
                change(Method::POST, path, Value::Null)
            }
        })
    }

    fn show(&self, reply: &Value) -> String {
        match self {
            Self::Investigate(_) => look::orders(reply),
            Self::Offenders(_) => look::offenders(reply),
            Self::Analyse(_) => look::analysis(reply),
            Self::Stop(_) => stop::show(reply, "stopped"),
            Self::Resume(_) => stop::show(reply, "resumed"),
            Self::Blocks => show::blocks(reply),
            Self::Allows => show::allows(reply),
            Self::Allow { .. } | Self::Disallow { .. } => show::allow(reply),
            Self::Score { .. } => show::score(reply),
            Self::Limits => show::limits(reply),
            Self::Approvals => show::approvals(reply),
            _ => show::change(reply),
        }
    }
}

impl Target {
    fn body_until(&self, until_ms: u64, reason: &str) -> Value {
        let mut body = self.body();
        body.insert("until".to_owned(), until_ms.into());
        body.insert("reason".to_owned(), reason.into());
        Value::Object(body)
    }

    fn body(&self) -> Map<String, Value> {
        let given = [
            ("address", self.address.map(|network| network.to_string())),
            ("fingerprint", self.fingerprint.clone()),
            ("user", self.user.clone()),
            ("id", self.id.map(|id| id.to_string())),
        ];
        let given =
            given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
        given.collect()
    }
}

#[cfg(test)]
mod tests;
