//! What was altered behind the log's back is found: at the start, or by `verify`.

use super::*;

fn alter(dir: &Path, sql: &str) {
    outsider(dir).execute_batch(sql).unwrap();
}

fn findings(dir: &Path) -> Vec<(u64, What)> {
    let report = verify(dir, &Verify::default(), &mut |_, _| {}).unwrap();
    assert_eq!(report.is_sound(), report.findings.is_empty());
    report.findings.into_iter().map(|finding| (finding.offset, finding.what)).collect()
}

#[test]
fn a_sound_log_is_sound_also_beside_a_running_server_and_as_a_copy() {
    let dir = sold_store();
    let log = start(dir.path());
    on_a_thread(async {
        decide(&OrderLog::Sqlite(log.clone()).handle(), proposed("shoe", 40, 40)).await;
    });
    let mut told = Vec::new();
    let report =
        verify(dir.path(), &Verify::default(), &mut |done, all| told.push((done, all))).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!((report.rows, report.last_offset), (16, 16));
    assert_eq!(told, [(16, 16)]);

    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    assert_eq!(verify(copy.path(), &Verify::default(), &mut |_, _| {}).unwrap(), report);
    let empty = tempfile::tempdir().unwrap();
    assert!(verify(empty.path(), &Verify::default(), &mut |_, _| {}).is_err());
}

#[test]
fn an_altered_row_is_found() {
    let dir = sold_store();
    alter(
        dir.path(),
        "UPDATE log SET record = replace(record, '\"v\":1', '\"v\": 1') WHERE offset = 5",
    );
    assert_eq!(findings(dir.path()), [(5, What::Digest)]);
    let error = start_error(dir.path());
    assert!(matches!(error, StartError::Damaged { offset: 5, .. }), "{error}");
}

#[test]
fn an_altered_outcome_is_found() {
    let dir = sold_store();
    alter(dir.path(), "UPDATE log SET outcome = 'confirmed' WHERE offset = 12");
    let computed = What::Outcome { stored: "confirmed".into(), computed: "sold_out" };
    assert_eq!(findings(dir.path()), [(12, What::Digest), (12, computed)]);
    let error = start_error(dir.path());
    assert!(matches!(error, StartError::OutcomeDiffers { offset: 12, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("12") && text.contains("confirmed") && text.contains("sold_out"));
}

#[test]
fn a_gap_and_a_cut_tail_are_found() {
    let dir = sold_store();
    alter(dir.path(), "DELETE FROM log WHERE offset IN (13, 12)");
    let found = findings(dir.path());
    assert_eq!(found[..2], [(12, What::Missing(2)), (14, What::Digest)]);
    assert!(matches!(start_error(dir.path()), StartError::Damaged { offset: 12, .. }));

    let dir = sold_store();
    alter(dir.path(), "DELETE FROM log WHERE offset = 15; DELETE FROM subjects WHERE offset = 15");
    assert_eq!(findings(dir.path()), [(14, What::Head(15))]);
    assert!(matches!(start_error(dir.path()), StartError::Damaged { offset: 14, .. }));
}

#[test]
fn columns_beside_the_record_are_checked() {
    for (sql, column) in [
        ("UPDATE log SET kind = 'sale_paused' WHERE offset = 3", "kind"),
        ("UPDATE log SET reverses = 5 WHERE offset = 14", "reverses"),
    ] {
        let dir = sold_store();
        alter(dir.path(), sql);
        let found = findings(dir.path());
        assert!(found.iter().any(|(_, what)| *what == What::Column(column)), "{found:?}");
    }
}

#[test]
fn subjects_without_an_order_and_rows_out_of_range_are_found() {
    let dir = sold_store();
    alter(dir.path(), "INSERT INTO subjects VALUES (12, 'x'), (900, 'y')");
    assert_eq!(findings(dir.path()), [(12, What::Subject), (900, What::Subject)]);

    let dir = sold_store();
    alter(
        dir.path(),
        "INSERT INTO log SELECT -5, product, log_time_ms, NULL, kind, outcome, record, digest
         FROM log WHERE offset = 12;
         INSERT INTO log SELECT 4611686018427387904, product, log_time_ms, NULL, kind, outcome,
         record, digest FROM log WHERE offset = 12",
    );
    let found = findings(dir.path());
    assert!(found.contains(&(-5_i64 as u64, What::Column("offset"))), "{found:?}");
    assert!(found.contains(&(16, What::Missing((1 << 62) - 16))), "{found:?}");
}

#[test]
fn a_chain_that_was_computed_anew_is_found_by_a_noted_digest() {
    let dir = sold_store();
    let noted = verify(dir.path(), &Verify::default(), &mut |_, _| {}).unwrap();
    let known = Verify { known: vec![(noted.last_offset, noted.last_digest)] };
    assert!(verify(dir.path(), &known, &mut |_, _| {}).unwrap().is_sound());
    forge_last_time(dir.path());
    assert_eq!(findings(dir.path()), []);
    let report = verify(dir.path(), &known, &mut |_, _| {}).unwrap();
    assert_eq!(report.findings[0].what, What::Known);
}

/// Alters the last row as somebody would who knows how the chain is made.
fn forge_last_time(dir: &Path) {
    let connection = outsider(dir);
    let products = replay::read_products(&connection).unwrap();
    let sql = include_str!("../sql/read_log.sql");
    let mut row = connection.query_row(sql, (14, 15, -1), replay::LogRow::read).unwrap();
    row.log_time_ms += 1;
    let before = replay::digest_at(&connection, 14).unwrap();
    let digest = row.next_digest(&before, &products, &mut Vec::new());
    connection
        .execute(
            "UPDATE log SET log_time_ms = log_time_ms + 1, digest = ?1 WHERE offset = 15",
            [digest],
        )
        .unwrap();
    connection.execute("UPDATE head SET digest = ?1", [digest]).unwrap();
}
