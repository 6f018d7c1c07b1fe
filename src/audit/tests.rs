//! The trail as a whole: what is written is found again, and whatever is changed is found out.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::head::HeadFields;
use super::segments::segments;
use super::verify::{Report, What};
use super::*;
use crate::chain;

mod bounds;
mod tampering;

const SEED: [u8; 32] = [1; 32];
const DAY_MS: u64 = 24 * 3_600 * 1_000;

fn signer() -> Signer {
    Signer::from_seed(&hex::encode(SEED).into()).unwrap()
}

fn random(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).unwrap();
}

fn log_heads() -> Vec<LogHead> {
    vec![LogHead { partition: 0, offset: 7, digest: chain::genesis() }]
}

struct Rig {
    dir: tempfile::TempDir,
    clock: Clock,
    limits: Limits,
}

impl Rig {
    fn new() -> Self {
        let limits = Limits { bytes_max: 64 * 1_024 * 1_024, retention_ms: 90 * DAY_MS };
        let dir = tempfile::tempdir().unwrap();
        Self { dir, clock: Clock::manual(1_800_000_000_000), limits }
    }

    fn start(&self) -> Trail {
        let options = Options {
            data_dir: self.dir.path().to_owned(),
            limits: self.limits,
            signer: signer(),
            random,
            version: "test",
        };
        Trail::start(options, self.clock.clone(), Box::new(log_heads)).unwrap()
    }

    fn pass(&self, ms: u64) {
        self.clock.set_ms((self.clock.unix_ms() + ms) as i64);
    }

    fn files(&self) -> PathBuf {
        self.dir.path().join(DIRECTORY)
    }

    fn verify(&self, kept: &[String]) -> Report {
        verify::verify(&self.files(), &[signer().public().clone()], kept).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let each = &mut |line: &str| {
            lines.push(line.to_owned());
            Ok(())
        };
        assert_eq!(read::all(&self.files(), &read::Wanted::default(), each).unwrap(), 0);
        lines
    }
}

fn record(trail: &Trail, what: &str) -> Result<(), NotRecorded> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let fields = serde_json::json!({ "who": "ann", "what": what });
    runtime.block_on(trail.record(Kind::OperatorAction, fields))
}

fn head(trail: &Trail) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(trail.head()).unwrap()
}

fn refuse(recorder: &Recorder, address: impl Into<IpAddr>) {
    recorder.refusal(RefusalKind::InvalidSignature, Some(address.into()), || Noted {
        call: "/order",
        ..Noted::default()
    });
}

/// A small trail of one segment with events of several kinds, at rest.
fn small() -> (Rig, String) {
    let rig = Rig::new();
    let trail = rig.start();
    refuse(&trail.recorder(), [192, 0, 2, 1]);
    record(&trail, "sale_paused").unwrap();
    let kept = head(&trail);
    record(&trail, "sale_resumed").unwrap();
    trail.stop();
    (rig, kept)
}

fn only_file(rig: &Rig) -> PathBuf {
    let mut segments = segments(&rig.files()).unwrap();
    assert_eq!(segments.len(), 1);
    segments.remove(0).path
}

#[test]
fn what_is_written_is_found_again_in_order_and_verifies() {
    let (rig, kept) = small();
    let kinds: Vec<String> =
        rig.lines().iter().map(|text| line::parse(text.as_bytes()).unwrap().kind).collect();
    assert_eq!(
        kinds,
        [
            "segment",
            "start",
            "invalid_signature",
            "operator_action",
            "head",
            "operator_action",
            "stop",
            "head"
        ]
    );
    let report = rig.verify(&[kept]);
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!((report.first_seq, report.last_seq, report.unsigned_lines), (1, 8, 0));
    assert_eq!(report.log.len(), 1, "the heads vouch for the order log, too");
    // A second run goes on in the same chain.
    rig.start().stop();
    let report = rig.verify(&[]);
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(report.last_seq, 11);
    assert!(rig.files().join("lock").exists());
}

#[test]
fn a_crash_in_the_middle_of_a_line_is_mended_and_written_down() {
    let (rig, _) = small();
    let file = only_file(&rig);
    let mut content = std::fs::read(&file).unwrap();
    content.extend_from_slice(b"{\"seq\":9,\"at");
    std::fs::write(&file, &content).unwrap();
    rig.start().stop();
    let report = rig.verify(&[]);
    assert!(report.is_sound(), "{:?}", report.findings);
    let recovered: Vec<String> =
        rig.lines().into_iter().filter(|line| line.contains("\"recovered\"")).collect();
    assert!(recovered.len() == 1 && recovered[0].contains("\"cut_bytes\":12"), "{recovered:?}");
    // What was tampered with is no half line: it stays, the node goes on after it, and it is found.
    let mut content = std::fs::read(&file).unwrap();
    let last = content.len() - 30;
    content[last] ^= 1;
    std::fs::write(&file, &content).unwrap();
    rig.start().stop();
    assert_eq!(segments(&rig.files()).unwrap().len(), 2);
    let report = rig.verify(&[]);
    assert!(!report.is_sound() && report.findings[0].line == 12, "{:?}", report.findings);
}

#[test]
fn one_process_writes() {
    let rig = Rig::new();
    let trail = rig.start();
    let options = Options {
        data_dir: rig.dir.path().to_owned(),
        limits: rig.limits,
        signer: signer(),
        random,
        version: "test",
    };
    let second = Trail::start(options, rig.clock.clone(), Box::new(log_heads));
    assert!(matches!(second, Err(StoreError::InUse(_))));
    trail.stop();
    rig.start().stop();
}

#[test]
fn no_address_and_no_fingerprint_is_in_any_file_and_pseudonyms_are_told_apart() {
    let rig = Rig::new();
    let trail = rig.start();
    let recorder = trail.recorder();
    let secret = "fingerprint-4711";
    for _ in 0..3 {
        recorder.refusal(RefusalKind::Blocked, Some("2001:db8:4711::1".parse().unwrap()), || {
            Noted { fingerprint: Some(secret.as_bytes().into()), ..Noted::default() }
        });
        refuse(&recorder, [203, 0, 113, 77]);
    }
    trail.stop();
    let text = rig.lines().join("\n");
    for marked in [secret, "4711", "203.0.113.77", "cb00714d", "2001:db8", "20010db84711"] {
        assert!(!text.contains(marked), "{marked}");
    }
    let sources: std::collections::HashSet<String> = rig
        .lines()
        .iter()
        .filter_map(|text| {
            line::parse(text.as_bytes()).ok()?.fields["source"].as_str().map(Into::into)
        })
        .collect();
    assert_eq!(sources.len(), 2);
}

#[test]
fn pages_show_everything_once_and_kinds_can_be_chosen() {
    let mut rig = Rig::new();
    rig.limits.bytes_max = 1_024 * 1_024;
    let trail = rig.start();
    for n in 0..400 {
        record(&trail, &format!("{n}{}", "x".repeat(600))).unwrap();
    }
    trail.stop();
    assert!(segments(&rig.files()).unwrap().len() > 1);
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let wanted = read::Wanted { after, ..read::Wanted::default() };
        let page = read::page(&rig.files(), &wanted, 70).unwrap();
        seen.extend(page.lines);
        after = page.next;
        if page.at_end {
            break;
        }
    }
    assert_eq!(seen, rig.lines());
    let wanted = read::Wanted { kind: Some("start".to_owned()), ..read::Wanted::default() };
    assert_eq!(read::page(&rig.files(), &wanted, 10).unwrap().lines.len(), 1);
}

#[test]
fn a_head_says_where_the_order_log_is() {
    let (_rig, kept) = small();
    let line = line::parse(kept.as_bytes()).unwrap();
    let fields: HeadFields = serde_json::from_value(line.fields).unwrap();
    assert_eq!((fields.log[0].offset, fields.log[0].partition), (7, 0));
}

#[test]
fn what_cannot_be_written_is_refused_and_counted_and_the_chain_stands() {
    let rig = Rig::new();
    let trail = rig.start();
    assert_eq!(record(&trail, &"x".repeat(line::LINE_BYTES_MAX)), Err(NotRecorded));
    record(&trail, "sale_paused").unwrap();
    assert_eq!(trail.not_recorded(), 1);
    trail.stop();
    let text = rig.lines().join("\n");
    assert!(text.contains("\"kind\":\"not_recorded\",\"fields\":{\"count\":1}"), "{text}");
    assert!(rig.verify(&[]).is_sound());
    assert_eq!(record(&trail, "late"), Err(NotRecorded));
}
