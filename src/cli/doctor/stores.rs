//! Redis, Kafka and PostgreSQL under the configured credentials: everything that this process needs, and several
//! things that it must not be able to do.

use std::time::Duration;

use secrecy::SecretString;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use super::Finding;
use crate::config::Config;
use crate::gate::redis::rights::{self as redis_rights, Rights as RedisRights};
use crate::ledger::PostgresLedger;
use crate::ledger::postgres::rights::Rights;
use crate::log::kafka;

const REDIS: &str = "Redis";
const KAFKA: &str = "Kafka";
const POSTGRES: &str = "PostgreSQL";
/// How long Kafka has for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn examine(config: &Config, worker: bool) -> Vec<Finding> {
    if !config.is_distributed() {
        return Vec::new();
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return vec![Finding::fail(REDIS, format!("no runtime: {error}"), "free resources")];
        }
    };
    let mut findings = redis(config, &runtime);
    findings.extend(topic(config));
    findings.extend(ledger(config, &runtime, worker));
    findings
}

fn redis(config: &Config, runtime: &Runtime) -> Vec<Finding> {
    let Some(url) = &config.redis.url else { return Vec::new() };
    match ask_redis(config, url, runtime) {
        Ok(rights) => judge_redis(&rights),
        Err(error) => {
            let mend = "check redis.url and redis.ca_file; without Redis nodes screen in memory";
            vec![Finding::warn(REDIS, error, mend)]
        }
    }
}

fn ask_redis(
    config: &Config,
    url: &SecretString,
    runtime: &Runtime,
) -> Result<RedisRights, String> {
    let asked = redis_rights::rights(url, config.redis.ca_file.as_deref());
    LocalSet::new().block_on(runtime, asked).map_err(|error| error.to_string())
}

fn judge_redis(rights: &RedisRights) -> Vec<Finding> {
    let mut findings = Vec::new();
    match (rights.library, &rights.library_error) {
        (Some(version), _) => {
            findings.push(Finding::ok(REDIS, format!("has the function library {version}")));
        }
        (None, error) => {
            let why = error.as_deref().unwrap_or("it gave no version");
            let found = format!("the function library cannot be called: {why}");
            let mend = "start a worker with redis.loader_url, which loads it, and use deploy/redis/users.acl";
            findings.push(Finding::warn(REDIS, found, mend));
        }
    }
    if rights.too_much.is_empty() {
        let found = "refuses commands of administrators, scripts and other keys to this user";
        findings.push(Finding::ok(REDIS, found));
    } else {
        let found = format!("this user may run {}", rights.too_much.join(", "));
        findings.push(Finding::fail(REDIS, found, "use deploy/redis/users.acl"));
    }
    findings
}

fn topic(config: &Config) -> Vec<Finding> {
    let faults = match kafka::check_topic(config, PATIENCE) {
        Ok(faults) => faults,
        Err(error) => {
            let mend = "check kafka.brokers, kafka.username, kafka.password and kafka.ca_file";
            return vec![Finding::fail(KAFKA, format!("cannot be asked: {error}"), mend)];
        }
    };
    let mut findings: Vec<_> = faults
        .iter()
        .map(|fault| match fault.warning {
            true => Finding::warn(KAFKA, &fault.what, &fault.mend),
            false => Finding::fail(KAFKA, &fault.what, &fault.mend),
        })
        .collect();
    if findings.is_empty() {
        findings.push(Finding::ok(KAFKA, "the order topic is as it must be"));
    }
    findings.push(match kafka::may_make_topics(config, PATIENCE) {
        Ok(false) => Finding::ok(KAFKA, "does not let this user make topics"),
        Ok(true) => Finding::fail(KAFKA, "this user may make topics", "use deploy/kafka/acls.sh"),
        Err(error) => {
            let mend = "try again; if it stays, look at the brokers' log";
            Finding::warn(KAFKA, format!("cannot be asked about rights: {error}"), mend)
        }
    });
    findings
}

fn ledger(config: &Config, runtime: &Runtime, worker: bool) -> Vec<Finding> {
    let rights = PostgresLedger::new(config)
        .and_then(|ledger| runtime.block_on(async move { ledger.rights().await }));
    match rights {
        Ok(rights) => judge_rights(rights, worker),
        Err(error) => {
            let mend = "check DATABASE_URL and postgres.ca_file, and run `flux-gate migrate`";
            vec![Finding::fail(POSTGRES, error.to_string(), mend)]
        }
    }
}

fn judge_rights(rights: Rights, worker: bool) -> Vec<Finding> {
    let needed: &[(bool, &str)] = match worker {
        true => &[
            (rights.reads_orders, "read orders"),
            (rights.writes_orders, "write orders"),
            (rights.deletes_evidence, "delete evidence"),
        ],
        false => &[
            (rights.reads_orders, "read orders"),
            (rights.adds_evidence, "add to the evidence"),
            (rights.reads_evidence, "read the evidence"),
        ],
    };
    let forbidden = [
        (rights.superuser, "do everything, as a superuser"),
        (rights.writes_orders && !worker, "write orders"),
        (rights.deletes_orders, "delete orders"),
        (rights.reads_user_ids, "read user ids"),
        (rights.adds_evidence && worker, "add to the evidence"),
        (rights.reads_evidence && worker, "read the evidence"),
        (rights.deletes_evidence && !worker, "delete evidence"),
        (rights.changes_evidence, "change evidence"),
        (rights.makes_tables, "make tables"),
    ];
    let mend = "use the roles of deploy/postgres/roles.sql";
    let missing = needed.iter().filter(|(has, _)| !has);
    let missing =
        missing.map(|(_, what)| Finding::fail(POSTGRES, format!("this user may not {what}"), mend));
    let too_much = forbidden.iter().filter(|(has, _)| *has);
    let too_much =
        too_much.map(|(_, what)| Finding::fail(POSTGRES, format!("this user may {what}"), mend));
    let mut findings: Vec<_> = missing.chain(too_much).collect();
    if findings.is_empty() {
        findings.push(Finding::ok(POSTGRES, "gives this user what it needs and no more"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::*;

    const NODE: Rights = Rights {
        superuser: false,
        reads_orders: true,
        writes_orders: false,
        deletes_orders: false,
        reads_user_ids: false,
        makes_tables: false,
        adds_evidence: true,
        reads_evidence: true,
        deletes_evidence: false,
        changes_evidence: false,
    };
    const WORKER: Rights = Rights {
        writes_orders: true,
        adds_evidence: false,
        reads_evidence: false,
        deletes_evidence: true,
        ..NODE
    };

    fn healths(findings: &[Finding]) -> Vec<Health> {
        findings.iter().map(|finding| finding.health).collect()
    }

    #[test]
    fn a_user_has_what_it_needs_and_no_more() {
        assert_eq!(healths(&judge_rights(NODE, false)), [Health::Ok]);
        assert_eq!(healths(&judge_rights(WORKER, true)), [Health::Ok]);
        let all_wrong = |rights, worker| {
            healths(&judge_rights(rights, worker)).iter().all(|health| *health == Health::Fail)
        };
        assert!(all_wrong(WORKER, false));
        assert!(all_wrong(NODE, true));
        for too_much in [
            Rights { superuser: true, ..NODE },
            Rights { deletes_orders: true, ..NODE },
            Rights { reads_user_ids: true, ..NODE },
            Rights { makes_tables: true, ..NODE },
            Rights { deletes_evidence: true, ..NODE },
            Rights { changes_evidence: true, ..NODE },
            Rights { adds_evidence: false, ..NODE },
            Rights { reads_evidence: false, ..NODE },
        ] {
            assert_eq!(healths(&judge_rights(too_much, false)), [Health::Fail]);
        }
        for wrong in [
            Rights { deletes_evidence: false, ..WORKER },
            Rights { adds_evidence: true, ..WORKER },
            Rights { reads_evidence: true, ..WORKER },
        ] {
            assert_eq!(healths(&judge_rights(wrong, true)), [Health::Fail]);
        }
    }

    #[test]
    fn redis_must_refuse_and_should_have_the_library() {
        let fine = RedisRights { library: Some(1), ..RedisRights::default() };
        assert_eq!(healths(&judge_redis(&fine)), [Health::Ok, Health::Ok]);
        let without = RedisRights::default();
        assert_eq!(healths(&judge_redis(&without)), [Health::Warn, Health::Ok]);
        let open = RedisRights { too_much: vec!["EVAL"], ..fine };
        assert_eq!(healths(&judge_redis(&open)), [Health::Ok, Health::Fail]);
    }
}
