//! Redis of a stack: `deploy/redis` filled in, and one user more for the faults of tests.

use aws_lc_rs::digest;

use super::files::{self, text};
use super::probe;
use super::run::Run;
use super::state::{Kind, Service};

/// Starts it, and adds its variables.
pub fn up(run: &Run<'_>) -> anyhow::Result<()> {
    let data = run.data("redis")?;
    let identity = run.authority.identity("redis", false)?;
    let port = run.port()?;
    let [api, worker, loader, admin] = run.passwords()?;

    let acl_file = data.join("users.acl");
    let mut acl = files::filled(
        "redis/users.acl",
        &[
            ("REDIS_API_PASSWORD_SHA256", &sha256(&api)),
            ("REDIS_WORKER_PASSWORD_SHA256", &sha256(&worker)),
            ("REDIS_LOADER_PASSWORD_SHA256", &sha256(&loader)),
        ],
    )?;
    // Not in the shipped file: tests need somebody who wipes, and who forges more than `api` could.
    acl += &format!("user admin on #{} ~* &* +@all\n", sha256(&admin));
    files::write_private(&acl_file, &acl)?;

    let config_file = data.join("redis.conf");
    let config = files::filled(
        "redis/redis.conf",
        &[
            ("REDIS_BIND", "127.0.0.1"),
            ("REDIS_TLS_PORT", &port.to_string()),
            ("REDIS_CERT_FILE", text(&identity.certificate)?),
            ("REDIS_KEY_FILE", text(&identity.key)?),
            ("CA_FILE", text(&run.authority.ca_file)?),
            ("REDIS_ACL_FILE", text(&acl_file)?),
            ("REDIS_DIR", text(&data)?),
            ("REDIS_MAXMEMORY", "256mb"),
        ],
    )?;
    files::write_private(&config_file, &config)?;

    let service = run.launch(Service {
        name: "redis".into(),
        kind: Kind::Redis,
        port,
        program: run.tools.redis_server.clone(),
        arguments: vec![text(&config_file)?.into()],
        run_as: None,
        log: run.log("redis"),
        process: None,
        data,
    })?;
    probe::wait(&service, &run.authority.ca_file, Kind::Redis.start_limit())?;

    let url = |user: &str, password: &str| format!("rediss://{user}:{password}@127.0.0.1:{port}");
    run.variables(&[
        ("REDIS_URL", url("api", &api)),
        ("FLUX_GATE__REDIS__LOADER_URL", url("loader", &loader)),
        ("FLUX_GATE__REDIS__CA_FILE", text(&run.authority.ca_file)?.into()),
        ("STACK_REDIS_WORKER_URL", url("worker", &worker)),
        ("STACK_REDIS_ADMIN_URL", url("admin", &admin)),
        ("STACK_REDIS_PORT", port.to_string()),
        ("STACK_REDIS_DIR", text(&service.data)?.into()),
    ]);
    Ok(())
}

/// How an ACL file names a password.
fn sha256(password: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, password.as_bytes()))
}
