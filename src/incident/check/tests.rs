//! A bundle as it is written, and everything that may be done to it.

use serde_json::json;

use super::*;
use crate::audit::Kind;
use crate::incident::bundle::{Bundle, Span};
use crate::keys::signer::Signer;

fn signer(byte: u8) -> Signer {
    Signer::from_seed(&hex::encode([byte; 32]).into()).unwrap()
}

/// Three lines of a trail and a head behind them.
fn trail(key: &Signer) -> (String, String) {
    let mut lines = Vec::new();
    let mut prev = line::genesis();
    for seq in 1..=3 {
        let fields = json!({"who": "ann", "n": seq});
        prev = line::encode(&mut lines, seq, 1_000, Kind::OperatorAction.word(), &fields, &prev);
    }
    let fields = head::sign(key, "node", 4, 1_000, &prev, &[]);
    let mut head = Vec::new();
    line::encode(&mut head, 4, 1_000, Kind::Head.word(), &fields, &prev);
    (String::from_utf8(lines).unwrap(), String::from_utf8(head).unwrap())
}

fn rows() -> String {
    let mut digest = chain::genesis();
    let mut lines = String::new();
    for offset in 1..=3_u64 {
        let (product, outcome, record) = ("phone", "confirmed", format!("{{\"n\":{offset}}}"));
        let link = Link { offset, log_time_ms: 7, product, record: record.as_bytes(), outcome };
        digest = chain::next(&digest, &link, &mut Vec::new());
        let row = excerpt::Row {
            offset,
            log_time_ms: 7,
            product: product.to_owned(),
            outcome: outcome.to_owned(),
            record,
            digest: hex::encode(digest),
        };
        lines += &serde_json::to_string(&row).unwrap();
        lines.push('\n');
    }
    lines
}

fn bundle(key: &Signer) -> Bundle {
    let (audit, head) = trail(key);
    Bundle {
        markdown: "# Report\n".to_owned(),
        json: "{}\n".to_owned(),
        actions: "a,b\r\n".to_owned(),
        orders: "{\"orderId\":\"1\"}\n".to_owned(),
        audit,
        head,
        records: Some(rows()),
        ..Bundle::default()
    }
}

fn signed(change: impl FnOnce(&mut Bundle)) -> (tempfile::TempDir, std::path::PathBuf) {
    let key = signer(1);
    let mut bundle = bundle(&key);
    change(&mut bundle);
    bundle.sign(&Span { since_ms: 1, until_ms: 2, product: None }, 3, &key);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report");
    bundle.write(&path).unwrap();
    (dir, path)
}

fn findings(path: &Path) -> Vec<Finding> {
    check(path, signer(1).public()).unwrap().findings
}

#[test]
fn a_bundle_as_it_was_written_is_sound_and_written_once() {
    let (_dir, path) = signed(|_| {});
    let checked = check(&path, signer(1).public()).unwrap();
    assert!(checked.is_sound(), "{:?}", checked.findings);
    assert_eq!((checked.audit_lines, checked.log_rows, checked.head_follows), (3, 3, true));
    assert!(bundle(&signer(1)).write(&path).is_err(), "another report does not go over it");
    assert_eq!(check(&path, signer(2).public()).unwrap().findings, [Finding::NotSigned]);
}

#[test]
fn every_changed_added_or_missing_byte_of_every_file_is_found() {
    let (_dir, path) = signed(|_| {});
    let names = bundle::NAMES.iter().chain(&[bundle::MANIFEST, bundle::SIGNATURE]);
    for name in names {
        let file = path.join(name);
        let content = std::fs::read(&file).unwrap();
        for at in 0..content.len() {
            let mut changed = content.clone();
            changed[at] ^= 1;
            std::fs::write(&file, &changed).unwrap();
            assert!(!findings(&path).is_empty(), "byte {at} of {name}");
        }
        for other in [&content[1..], &content[..content.len() - 1], &[&content[..], b" "].concat()]
        {
            std::fs::write(&file, other).unwrap();
            assert!(!findings(&path).is_empty(), "{name}");
        }
        std::fs::remove_file(&file).unwrap();
        assert!(!findings(&path).is_empty(), "{name} is gone");
        std::fs::write(&file, &content).unwrap();
        assert!(findings(&path).is_empty());
    }
}

#[test]
fn a_file_beside_the_signed_ones_is_found() {
    let (_dir, path) = signed(|_| {});
    std::fs::write(path.join("report.html"), "x").unwrap();
    assert_eq!(findings(&path), [Finding::Beside("report.html".to_owned())]);
}

#[test]
fn records_that_do_not_hang_together_are_found_though_they_are_signed() {
    let without = |text: &str, at: usize| {
        let lines: Vec<_> = text.lines().collect();
        [&lines[..at], &lines[at + 1..]].concat().join("\n") + "\n"
    };
    let (_dir, path) = signed(|bundle| bundle.audit = without(&bundle.audit, 1));
    assert_eq!(findings(&path), [Finding::Audit(2)]);
    let (_dir, path) = signed(|bundle| bundle.records = Some(without(&rows(), 1)));
    assert_eq!(findings(&path), [Finding::Record(2)]);
    let (_dir, path) = signed(|bundle| bundle.head = trail(&signer(2)).1);
    assert_eq!(findings(&path), [Finding::Head]);
}

#[test]
fn a_manifest_cannot_name_a_path() {
    let (_dir, path) = signed(|_| {});
    let file = path.join(bundle::MANIFEST);
    let text = std::fs::read_to_string(&file).unwrap();
    let forged = text.replace("\"report.md\"", "\"../../etc/passwd\"");
    assert_ne!(forged, text);
    std::fs::write(&file, &forged).unwrap();
    // Even by somebody who has the key.
    let signature = signer(1).sign(bundle::PURPOSE, &[forged.as_bytes()]);
    std::fs::write(path.join(bundle::SIGNATURE), hex::encode(signature) + "\n").unwrap();
    assert!(findings(&path).contains(&Finding::Name));
}
