//! The documents say what the program says.

use flux_gate::config::print;

#[test]
fn the_configuration_reference_is_the_programs_own() {
    let document = include_str!("../../docs/CONFIGURATION.md");
    assert!(
        document.ends_with(&print::reference()),
        "docs/CONFIGURATION.md ends with the output of `flux-gate config reference`: write it anew"
    );
}

const METRICS: &str = include_str!("../../docs/METRICS.md");
const ALERTS: &str = include_str!("../../deploy/observability/alerts.yml");
const DASHBOARD: &str = include_str!("../../deploy/observability/dashboard.json");

/// The names of metrics that a text uses; a histogram's parts count as the histogram.
fn metrics_in(text: &str) -> std::collections::BTreeSet<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !word(c)).filter(|word| word.starts_with("flux_gate_"));
    words.map(|word| word.strip_suffix("_bucket").unwrap_or(word)).collect()
}

#[test]
fn alerts_and_dashboard_use_metrics_that_are_documented() {
    let documented = metrics_in(METRICS);
    for text in [ALERTS, DASHBOARD] {
        let unknown: Vec<_> = metrics_in(text).difference(&documented).copied().collect();
        assert!(unknown.is_empty(), "not in docs/METRICS.md: {unknown:?}");
    }
}

/// The names that a scrape of a server has and the document does not know.
pub fn undocumented_metrics(scraped: &str) -> Vec<String> {
    let documented = metrics_in(METRICS);
    let types = scraped.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let named = types.filter_map(|line| {
        let (name, kind) = line.split_once(' ')?;
        // OpenMetrics names a counter without the suffix of its samples.
        let suffix = if kind == "counter" && !name.ends_with("_total") { "_total" } else { "" };
        Some(format!("{name}{suffix}"))
    });
    named.filter(|name| !documented.contains(name.as_str())).collect()
}

const PRIVACY: &str = include_str!("../../docs/PRIVACY.md");

type Columns = std::collections::BTreeMap<String, std::collections::BTreeSet<String>>;

/// The words in backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The tables and columns that a section of the page lists.
fn listed(heading: &str) -> Columns {
    let (_, section) = PRIVACY.split_once(heading).expect("the section is there");
    let section = section.split("\n## ").next().expect("text has a first part");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').collect();
        (quoted(cells[1]).next().expect("a table"), quoted(cells[2]).collect())
    })
    .collect()
}

/// What is wrong with a section.
fn differences(heading: &str, real: &Columns) -> Vec<String> {
    let listed = listed(heading);
    let gone = listed.keys().filter(|table| !real.contains_key(*table));
    let mut wrong: Vec<_> = gone.map(|table| format!("there is no table {table}")).collect();
    for (table, columns) in real {
        let Some(said) = listed.get(table) else {
            wrong.push(format!("the table {table} is not listed"));
            continue;
        };
        wrong.extend(columns.difference(said).map(|c| format!("{table}.{c} is not listed")));
        wrong.extend(said.difference(columns).map(|c| format!("{table}.{c} is no column")));
    }
    wrong
}

/// The schema that a new store has.
fn columns_of_a_store() -> Columns {
    let dir = tempfile::tempdir().expect("a temporary directory");
    flux_gate::log::sqlite::migrate(dir.path(), 0).expect("a new store");
    let file = flux_gate::log::sqlite::store_file(dir.path());
    columns_of(&rusqlite::Connection::open(file).expect("a store"))
}

/// Those of the evidence.
fn columns_of_the_evidence() -> Columns {
    let store = rusqlite::Connection::open_in_memory().expect("memory");
    let schema = include_str!("../../src/evidence/sqlite/schema.sql");
    store.execute_batch(schema).expect("a schema");
    columns_of(&store)
}

fn columns_of(store: &rusqlite::Connection) -> Columns {
    let sql = "SELECT m.name, c.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c \
               WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'";
    let mut statement = store.prepare(sql).expect("SQL");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    let mut columns = Columns::new();
    for (table, column) in rows.map(|row: Result<(String, String), _>| row.expect("a row")) {
        columns.entry(table).or_default().insert(column);
    }
    columns
}

/// The columns that SQL of PostgreSQL makes: by `CREATE TABLE` and `ADD COLUMN`.
fn columns_in_sql(sql: &str, columns: &mut Columns) {
    let mut table: Option<String> = None;
    for line in sql.lines().map(str::trim) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("CREATE") if line.contains(" TABLE ") => {
                let name = line.split("flux_gate.").nth(1).expect("a table of ours");
                let name = name.trim_end_matches(" (").to_owned();
                columns.entry(name.clone()).or_default();
                table = Some(name);
            }
            Some("ALTER") if line.contains(" ADD COLUMN ") => {
                let after = line.split("flux_gate.").nth(1).expect("a table of ours");
                let mut words = after.split_whitespace();
                let name = words.next().expect("its name").to_owned();
                let column = words.nth(2).expect("ADD COLUMN name").to_owned();
                columns.entry(name).or_default().insert(column);
            }
            Some(first) if first.starts_with(')') => table = None,
            Some("PRIMARY" | "UNIQUE" | "CHECK" | "FOREIGN" | "CONSTRAINT" | "--") | None => {}
            Some(first) => {
                if let Some(columns) = table.as_ref().and_then(|table| columns.get_mut(table)) {
                    columns.insert(first.trim_matches('"').to_owned());
                }
            }
        }
    }
}

fn columns_of_the_ledger() -> Columns {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ledger/postgres");
    let mut files: Vec<_> =
        std::fs::read_dir(root.join("migrations")).expect("a directory").collect();
    files.sort_by_key(|file| file.as_ref().expect("a file").path());
    let mut columns = Columns::new();
    let read = |path| std::fs::read_to_string(path).expect("SQL");
    for file in files {
        columns_in_sql(&read(file.expect("a file").path()), &mut columns);
    }
    let made = read(root.join("sql/create_migrations.sql")).replace("IF NOT EXISTS ", "");
    columns_in_sql(&made, &mut columns);
    columns
}

#[test]
fn every_column_that_is_kept_is_in_the_page_on_privacy() {
    let store = columns_of_a_store();
    assert!(store["subjects"].contains("user_id") && store.len() >= 7, "{store:?}");
    let ledger = columns_of_the_ledger();
    assert!(ledger["subjects"].contains("user_id") && ledger.len() >= 14, "{ledger:?}");
    assert!(ledger["products"].contains("archived_at_ms"));
    let mut wrong = differences("## One node: the store", &store);
    wrong.extend(differences("## One node: the evidence", &columns_of_the_evidence()));
    wrong.extend(differences("## Many nodes: the ledger in PostgreSQL", &ledger));
    assert!(wrong.is_empty(), "docs/PRIVACY.md:\n{}", wrong.join("\n"));
    let unsaid: Vec<_> = flux_gate::audit::Kind::words()
        .filter(|word| !PRIVACY.contains(&format!("`{word}`")))
        .collect();
    assert!(
        unsaid.is_empty(),
        "kinds of the audit trail that docs/PRIVACY.md does not name: {unsaid:?}"
    );
}

#[test]
fn the_page_on_privacy_is_held_against_what_is_there() {
    let mut columns = Columns::new();
    columns_in_sql(
        "CREATE TABLE flux_gate.erased (\n buyer bytea,\n mail text,\n PRIMARY KEY (buyer)\n);\nALTER TABLE flux_gate.secret ADD COLUMN name text;\n",
        &mut columns,
    );
    let wrong = differences("## Many nodes: the ledger in PostgreSQL", &columns);
    assert!(wrong.contains(&"there is no table subjects".to_owned()), "{wrong:?}");
    let wrong: Vec<_> = wrong.into_iter().filter(|w| !w.starts_with("there is no")).collect();
    let expected = [
        "erased.mail is not listed",
        "erased.at_ms is no column",
        "the table secret is not listed",
    ];
    assert_eq!(wrong, expected);
}
