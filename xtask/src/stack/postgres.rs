//! PostgreSQL of a stack: `deploy/postgres` filled in.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::files::{self, text};
use super::run::Run;
use super::state::{Kind, Service};
use super::{probe, tools};

/// The groups that have a login each, in the order of their passwords.
const ROLES: [&str; 5] = ["owner", "ingestion", "worker", "auditor", "fulfilment"];
const SUPERUSER: &str = "postgres";

/// Starts it, makes roles and database, and adds its variables.
pub fn up(run: &Run<'_>) -> anyhow::Result<()> {
    let run_as = tools::unprivileged()?;
    let home = run.data("postgres")?;
    let data = home.join("data");
    let port = run.port()?;
    let [superuser] = run.passwords()?;
    let passwords: [String; 5] = run.passwords()?;

    initdb(run, &home, run_as, &superuser)?;
    configure(run, &home, run_as, port)?;
    let service = run.launch(Service {
        name: "postgres".into(),
        kind: Kind::Postgres,
        port,
        program: run.tools.postgres.clone(),
        arguments: vec!["-D".into(), text(&data)?.into()],
        run_as,
        log: run.log("postgres"),
        process: None,
        data,
    })?;
    probe::wait(&service, &run.authority.ca_file, Kind::Postgres.start_limit())?;
    make_roles(run, port, &superuser, &passwords)?;

    let url = |user: &str, password: &str, database: &str| {
        format!("postgresql://{user}:{password}@127.0.0.1:{port}/{database}?sslmode=verify-full")
    };
    let login = |index: usize| {
        url(&format!("flux_gate_{}_login", ROLES[index]), &passwords[index], "flux_gate")
    };
    run.variables(&[
        ("DATABASE_URL", login(1)),
        ("FLUX_GATE__POSTGRES__CA_FILE", text(&run.authority.ca_file)?.into()),
        ("STACK_DATABASE_OWNER_URL", login(0)),
        ("STACK_DATABASE_WORKER_URL", login(2)),
        ("STACK_DATABASE_AUDITOR_URL", login(3)),
        ("STACK_DATABASE_FULFILMENT_URL", login(4)),
        ("STACK_DATABASE_SUPERUSER_URL", url(SUPERUSER, &superuser, "flux_gate")),
        ("STACK_POSTGRES_PORT", port.to_string()),
        ("STACK_POSTGRES_DATA", text(&service.data)?.into()),
    ]);
    Ok(())
}

fn initdb(
    run: &Run<'_>,
    home: &Path,
    run_as: Option<(u32, u32)>,
    password: &str,
) -> anyhow::Result<()> {
    let password_file = home.join("password");
    files::write_private(&password_file, password)?;
    if let Some(user) = run_as {
        files::give(home, user)?;
    }
    let mut command = Command::new(&run.tools.initdb);
    command
        .arg("--pgdata")
        .arg(home.join("data"))
        .arg("--pwfile")
        .arg(&password_file)
        .args(["--username", SUPERUSER, "--auth", "scram-sha-256", "--data-checksums"])
        .args(["--encoding", "UTF8", "--no-locale", "--no-instructions"])
        .current_dir("/")
        .stdin(Stdio::null());
    if let Some((user, group)) = run_as {
        use std::os::unix::process::CommandExt;
        command.uid(user).gid(group);
    }
    let output = command.output().context("cannot run initdb")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "initdb failed: {said}\nPostgreSQL runs as a user of its own, who must be able to enter every directory \
         above {}: set CARGO_TARGET_DIR to one where he can",
        home.display()
    );
    std::fs::remove_file(&password_file)?;
    Ok(())
}

fn configure(
    run: &Run<'_>,
    home: &Path,
    run_as: Option<(u32, u32)>,
    port: u16,
) -> anyhow::Result<()> {
    let data = home.join("data");
    let identity = run.authority.identity("postgres", false)?;
    // It reads its key as the user it runs as, and only if nobody else can.
    let (certificate, key) = (home.join("server.crt"), home.join("server.key"));
    std::fs::rename(&identity.certificate, &certificate)?;
    std::fs::rename(&identity.key, &key)?;
    std::fs::remove_file(&identity.both)?;

    let shipped = files::filled(
        "postgres/postgresql.conf",
        &[
            ("POSTGRES_LISTEN", "127.0.0.1"),
            ("POSTGRES_PORT", &port.to_string()),
            ("POSTGRES_CERT_FILE", text(&certificate)?),
            ("POSTGRES_KEY_FILE", text(&key)?),
            ("POSTGRES_SHARED_BUFFERS", "128MB"),
        ],
    )?;
    let mut config = std::fs::read_to_string(data.join("postgresql.conf"))?;
    write!(config, "\n{shipped}")?;
    if cfg!(target_os = "linux") {
        // Tests kill it, and their many small databases are a thousand files to sync one by one.
        config.push_str("recovery_init_sync_method = syncfs\n");
    }
    files::write_private(&data.join("postgresql.conf"), &config)?;
    let rules = files::filled(
        "postgres/pg_hba.conf",
        &[
            // Each test has a database of its own.
            ("POSTGRES_DATABASES", "all"),
            ("POSTGRES_CLIENTS", "127.0.0.1/32"),
            ("POSTGRES_SUPERUSER", SUPERUSER),
        ],
    )?;
    files::write_private(&data.join("pg_hba.conf"), &rules)?;
    if let Some(user) = run_as {
        files::give(home, user)?;
    }
    Ok(())
}

fn make_roles(
    run: &Run<'_>,
    port: u16,
    superuser: &str,
    passwords: &[String; 5],
) -> anyhow::Result<()> {
    let mut command = Command::new(&run.tools.psql);
    command
        .args(["-X", "-q", "-v", "createdb=1", "-f"])
        .arg(files::deploy("postgres/roles.sql"))
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", port.to_string())
        .env("PGUSER", SUPERUSER)
        .env("PGDATABASE", "postgres")
        .env("PGPASSWORD", superuser)
        .env("PGSSLMODE", "verify-full")
        .env("PGSSLROOTCERT", &run.authority.ca_file)
        .stdin(Stdio::null());
    for (role, password) in ROLES.iter().zip(passwords) {
        command.env(format!("FLUX_GATE_{}_PASSWORD", role.to_uppercase()), password);
    }
    let output = command.output().context("cannot run psql")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "roles.sql failed: {said}");
    Ok(())
}
