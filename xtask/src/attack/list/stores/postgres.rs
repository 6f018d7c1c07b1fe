//! With the passwords to PostgreSQL: what each role must not do. Those that only read have transactions that
//! only read; an intruder asks for others.

use anyhow::ensure;

use super::{Attack, Got, Target};
use crate::attack::stores::scene::Scene;
use crate::bench::distributed::stack::with_database;

const NODE: &str = "DATABASE_URL";
const WORKER: &str = "STACK_DATABASE_WORKER_URL";
const AUDITOR: &str = "STACK_DATABASE_AUDITOR_URL";
const FULFILMENT: &str = "STACK_DATABASE_FULFILMENT_URL";
const ALL: [&str; 4] = [NODE, WORKER, AUDITOR, FULFILMENT];
const DENIED: &str = "permission denied";

pub const ATTACKS: &[Attack] = &[
    Attack::on_stores("a node writes the ledger", "API5", DENIED, |t| {
        denied(
            t,
            NODE,
            &[
                "DELETE FROM flux_gate.orders",
                "UPDATE flux_gate.orders SET buyer = buyer",
                "UPDATE flux_gate.progress SET next_offset = 0",
                "UPDATE flux_gate.products SET sold = 0",
                "INSERT INTO flux_gate.checkpoints VALUES (0, 1024, decode(repeat('00', 32), 'hex'))",
                "INSERT INTO flux_gate.erased VALUES (decode(repeat('00', 16), 'hex'), 0)",
                "TRUNCATE flux_gate.orders",
                "SELECT * FROM flux_gate.progress FOR UPDATE",
                "LOCK TABLE flux_gate.progress IN ACCESS EXCLUSIVE MODE",
            ],
        )
    }),
    Attack::on_stores("a node reads user ids", "API3", DENIED, |t| {
        denied(
            t,
            NODE,
            &[
                "SELECT * FROM flux_gate.subjects",
                "SELECT user_id FROM flux_gate.subjects",
                "SELECT * FROM flux_gate.erased",
                "COPY flux_gate.subjects TO STDOUT",
            ],
        )
    }),
    Attack::on_stores("a worker deletes or changes orders", "API5", DENIED, |t| {
        denied(
            t,
            WORKER,
            &[
                "DELETE FROM flux_gate.orders",
                "UPDATE flux_gate.orders SET product = 'x'",
                "DELETE FROM flux_gate.reversals",
                "DELETE FROM flux_gate.operations",
                "DELETE FROM flux_gate.erased",
                "DELETE FROM flux_gate.progress",
                "TRUNCATE flux_gate.orders CASCADE",
            ],
        )
    }),
    Attack::on_stores("a worker reads user ids back", "API3", DENIED, |t| {
        denied(
            t,
            WORKER,
            &[
                "SELECT user_id FROM flux_gate.subjects",
                "SELECT * FROM flux_gate.subjects",
                "DELETE FROM flux_gate.subjects RETURNING user_id",
                "UPDATE flux_gate.subjects SET user_id = 'x'",
            ],
        )
    }),
    Attack::on_stores("a worker alters the schema", "API8", DENIED, |t| {
        denied(
            t,
            WORKER,
            &[
                "ALTER TABLE flux_gate.orders ADD COLUMN a int",
                "DROP TABLE flux_gate.orders",
                "CREATE TABLE flux_gate.mine (a int)",
                "CREATE INDEX mine ON flux_gate.orders (product)",
                "ALTER TABLE flux_gate.orders DISABLE TRIGGER ALL",
                "DROP SCHEMA flux_gate CASCADE",
                "UPDATE flux_gate.migrations SET checksum = ''",
            ],
        )
    }),
    Attack::on_stores("an auditor reads user ids", "API3", DENIED, |t| {
        denied(
            t,
            AUDITOR,
            &["SELECT * FROM flux_gate.subjects", "SELECT user_id FROM flux_gate.subjects"],
        )
    }),
    Attack::on_stores("an auditor writes", "API5", DENIED, |t| {
        denied(
            t,
            AUDITOR,
            &[
                "DELETE FROM flux_gate.orders",
                "UPDATE flux_gate.products SET sold = 0",
                "INSERT INTO flux_gate.operations VALUES ('a', 'b', 0)",
            ],
        )
    }),
    Attack::on_stores("fulfilment writes", "API5", DENIED, |t| {
        denied(
            t,
            FULFILMENT,
            &[
                "DELETE FROM flux_gate.subjects",
                "UPDATE flux_gate.subjects SET user_id = 'x'",
                "DELETE FROM flux_gate.orders",
                "INSERT INTO flux_gate.subjects VALUES (0, 0, 'x')",
            ],
        )
    }),
    Attack::on_stores("another role taken on", "API5", DENIED, |t| {
        everybody(
            t,
            &[
                "SET ROLE flux_gate_owner",
                "SET ROLE postgres",
                "SET SESSION AUTHORIZATION postgres",
                "CREATE ROLE mine LOGIN SUPERUSER",
                "GRANT flux_gate_owner TO CURRENT_USER",
                "ALTER ROLE CURRENT_USER CREATEDB",
            ],
        )
    }),
    Attack::on_stores("the server's files and programs", "API8", DENIED, |t| {
        everybody(
            t,
            &[
                "SELECT pg_read_file('postgresql.conf')",
                "SELECT pg_ls_dir('.')",
                "SELECT lo_import('/etc/passwd')",
                "CREATE TEMP TABLE out (a text); COPY out FROM PROGRAM 'id'",
                "COPY (SELECT 1) TO '/tmp/out'",
                "ALTER SYSTEM SET ssl = off",
                "SELECT pg_reload_conf()",
                "SELECT rolpassword FROM pg_authid",
                "CREATE EXTENSION dblink SCHEMA flux_gate",
            ],
        )
    }),
    Attack::on_stores("tables where others would find them first", "API8", DENIED, |t| {
        everybody(
            t,
            &[
                "CREATE TABLE public.orders (a int)",
                "CREATE SCHEMA mine",
                "CREATE FUNCTION public.now() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            ],
        )
    }),
    Attack::on_stores("another database", "API1", DENIED, |t| {
        let stores = t.stores()?;
        let mut all = Vec::new();
        for role in ALL {
            permitted(t, role)?;
            for database in ["postgres", "template1"] {
                let url = with_database(stores.stack.get(role)?, database)?;
                let (done, said) = stores.sql_at(&url, "SELECT 1")?;
                let denied = !done && said.contains(DENIED);
                all.push(Got::of(denied, if denied { DENIED } else { &said }));
            }
        }
        Ok(Got::all(all))
    }),
    Attack::on_stores("PostgreSQL with a wrong password", "API2", "authentication failed", |t| {
        let stores = t.stores()?;
        let mut all = Vec::new();
        for role in ALL {
            permitted(t, role)?;
            let url = stores.stack.get(role)?;
            let (who, server) = url.rsplit_once('@').unwrap_or((url, ""));
            let (user, _) = who.rsplit_once(':').unwrap_or((who, ""));
            for password in ["wrong", "flux_gate", ""] {
                let (done, said) =
                    stores.sql_at(&format!("{user}:{password}@{server}"), "SELECT 1")?;
                let word = ["authentication failed", "no password supplied"];
                let refused = !done && word.iter().any(|word| said.contains(word));
                let what = if refused { "authentication failed".to_owned() } else { said };
                all.push(Got::of(refused, what));
            }
        }
        Ok(Got::all(all))
    }),
];

/// The control: the password is good, and the role may do what it is for.
fn permitted(t: &Target, role: &str) -> anyhow::Result<()> {
    let sql = match role {
        FULFILMENT => "SELECT count(user_id) FROM flux_gate.subjects",
        AUDITOR => "SELECT count(*) FROM flux_gate.order_list",
        WORKER => "UPDATE flux_gate.progress SET updated_at = updated_at",
        _ => "SELECT count(*) FROM flux_gate.orders",
    };
    let (done, said) = t.stores()?.sql_as(role, sql)?;
    ensure!(done, "the control: {role}: {sql}: {said}");
    Ok(())
}

fn everybody(t: &Target, statements: &[&str]) -> anyhow::Result<Got> {
    let all = ALL.map(|role| denied(t, role, statements));
    Ok(Got::all(all.into_iter().collect::<anyhow::Result<Vec<_>>>()?))
}

/// None of these may be done, and the ledger is as it was.
fn denied(t: &Target, role: &str, statements: &[&str]) -> anyhow::Result<Got> {
    let stores = t.stores()?;
    permitted(t, role)?;
    let scene = Scene::open(stores, 5)?;
    stores.settled()?;
    let count = "SELECT (SELECT count(*) FROM flux_gate.orders) || ' ' || \
                 (SELECT count(*) FROM flux_gate.subjects) || ' ' || \
                 (SELECT sum(sold) FROM flux_gate.products)";
    let before = stores.ledger(count)?;
    let mut all = Vec::new();
    for sql in statements {
        let alone = sql.starts_with("ALTER SYSTEM");
        let asked =
            if alone { sql.to_string() } else { format!("BEGIN READ WRITE; {sql}; COMMIT") };
        let (done, said) = stores.sql_as(role, &asked)?;
        let words = [DENIED, "must be owner", "must be superuser", "must have admin option"];
        let refused = !done && words.iter().any(|word| said.contains(word));
        let what = if refused { DENIED.to_owned() } else { format!("{role}: {sql}: {said}") };
        all.push(Got::of(refused, what));
    }
    let after = stores.ledger(count)?;
    let same = before == after;
    all.push(Got::of(
        same,
        if same { DENIED.to_owned() } else { format!("{before}, then {after}") },
    ));
    all.push(Got::of(scene.order_stands()?.blocked, DENIED));
    Ok(Got::all(all))
}
