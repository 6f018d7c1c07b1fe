//! The trail as a whole: what is written is found again, and whatever is changed is found out.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::head::HeadFields;
use super::store::segments;
use super::verify::{Report, What};
use super::*;
use crate::chain;

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
fn any_changed_byte_is_found() {
    let (rig, kept) = small();
    let file = only_file(&rig);
    let good = std::fs::read(&file).unwrap();
    for at in 0..good.len() {
        // One bit that makes other text, and one that makes none.
        for bit in [1, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= bit;
            std::fs::write(&file, &bad).unwrap();
            assert!(!rig.verify(&[]).is_sound(), "byte {at}, bit {bit:#x}");
        }
    }
    std::fs::write(&file, &good).unwrap();
    assert!(rig.verify(&[kept]).is_sound());
}

/// Writes the lines anew as somebody would who knows the format but not the key: all digests fit.
fn forge(file: &Path, change: impl Fn(u64, &mut serde_json::Value) -> bool) {
    let content = std::fs::read(file).unwrap();
    let mut out = Vec::new();
    let (mut seq, mut prev) = (0, line::genesis());
    for text in content.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()) {
        let mut read = line::parse(text).unwrap();
        if change(read.seq, &mut read.fields) {
            seq += 1;
            prev = line::encode(&mut out, seq, read.at_ms, &read.kind, &read.fields, &prev);
        }
    }
    std::fs::write(file, out).unwrap();
}

#[test]
fn a_trail_that_was_written_anew_without_the_key_is_found() {
    type Change = fn(u64, &mut serde_json::Value) -> bool;
    let changes: [(&str, Change); 3] = [
        ("a line is changed", |seq, fields| {
            if seq == 4 {
                fields["who"] = "bob".into();
            }
            true
        }),
        ("a line is taken out", |seq, _| seq != 4),
        ("another log is claimed", |seq, fields| {
            if seq == 8 {
                fields["log"][0]["offset"] = 6.into();
            }
            true
        }),
    ];
    for (what, change) in changes {
        let (rig, kept) = small();
        forge(&only_file(&rig), change);
        let report = rig.verify(&[]);
        assert!(matches!(report.findings[0].what, What::Signature(_)), "{what}: {report:?}");
        let _ = kept;
    }
    let (rig, _) = small();
    let other = Signer::from_seed(&hex::encode([2; 32]).into()).unwrap();
    let keys = [other.public().clone()];
    assert!(!verify::verify(&rig.files(), &keys, &[]).unwrap().is_sound());
}

#[test]
fn one_line_that_was_written_anew_does_not_tie_to_the_next() {
    let (rig, _) = small();
    let file = only_file(&rig);
    let content = std::fs::read(&file).unwrap();
    let mut lines: Vec<Vec<u8>> =
        content.split_inclusive(|byte| *byte == b'\n').map(Into::into).collect();
    let mut read = line::parse(lines[3].strip_suffix(b"\n").unwrap()).unwrap();
    read.fields["who"] = "bob".into();
    lines[3].clear();
    line::encode(&mut lines[3], read.seq, read.at_ms, &read.kind, &read.fields, &read.prev);
    std::fs::write(&file, lines.concat()).unwrap();
    assert_eq!(rig.verify(&[]).findings[0].what, What::Chain(5));
}

#[test]
fn a_gap_a_reordering_and_a_repeated_line_are_found_with_the_line() {
    type Change = fn(&mut Vec<&str>);
    let changes: [(Change, u64); 4] = [
        (|lines| _ = lines.remove(3), 4),
        (|lines| lines.swap(2, 3), 3),
        (|lines| lines.insert(4, lines[4]), 6),
        (|lines| _ = lines.remove(0), 1),
    ];
    for (change, line) in changes {
        let (rig, _) = small();
        let file = only_file(&rig);
        let content = std::fs::read_to_string(&file).unwrap();
        let mut lines: Vec<&str> = content.lines().collect();
        change(&mut lines);
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        let report = rig.verify(&[]);
        assert_eq!(report.findings.first().map(|finding| finding.line), Some(line), "{report:?}");
    }
}

#[test]
fn a_cut_is_found_by_a_head_that_was_kept_and_by_the_beginning() {
    let (rig, kept) = small();
    let file = only_file(&rig);
    let content = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = content.lines().collect();
    // Cut behind the kept head: what is left is sound, and its end is not signed by more than that head.
    std::fs::write(&file, lines[..5].join("\n") + "\n").unwrap();
    assert!(rig.verify(std::slice::from_ref(&kept)).is_sound());
    // Cut before it.
    std::fs::write(&file, lines[..3].join("\n") + "\n").unwrap();
    assert!(rig.verify(&[]).is_sound(), "nobody can tell without the head");
    let report = rig.verify(std::slice::from_ref(&kept));
    assert_eq!(report.findings[0].what, What::Cut { kept: 5, last: 3 });
    // Cut, and gone on with: another line stands in the head's place.
    rig.start().stop();
    let report = rig.verify(std::slice::from_ref(&kept));
    assert_eq!(report.findings[0].what, What::OtherHead(5));
    // Cut in the middle of a line.
    std::fs::write(&file, &content[..content.len() - 9]).unwrap();
    assert_eq!(rig.verify(&[]).findings[0].what, What::Torn);
    // A head that somebody made up, and none at all.
    for made_up in [kept.replace("\"offset\":7", "\"offset\":8"), "{}".to_owned()] {
        assert_eq!(rig.verify(&[made_up]).findings[0].what, What::NotAHead);
    }
    std::fs::remove_file(&file).unwrap();
    assert!(rig.verify(&[kept]).findings.iter().any(|finding| finding.what == What::Nothing));
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
fn a_million_refusals_in_a_minute_add_no_more_than_the_bound_and_all_are_counted() {
    const REFUSALS: u64 = 1_000_000;
    let rig = Rig::new();
    let trail = rig.start();
    let before: u64 = size(&rig);
    let threads: Vec<_> = (0..2)
        .map(|thread| {
            let recorder = trail.recorder();
            std::thread::spawn(move || {
                for n in 0..REFUSALS / 2 {
                    let kind = RefusalKind::ALL[n as usize % RefusalKind::COUNT];
                    let source = IpAddr::from((n as u32).to_be_bytes());
                    recorder.refusal(kind, Some(source), || Noted {
                        at_ms: u64::MAX,
                        fingerprint: Some([n as u8; 64].into()),
                        call: "/.well-known",
                        detail: "Send the session pass as Authorization: Bearer or an API key, say.",
                        who: Some("x".repeat(64).into()),
                        score: Some(Scored {
                            points: u16::MAX,
                            reasons: vec!["fingerprint_contradicted"; 13],
                        }),
                    });
                }
                let _ = thread;
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    trail.stop();
    let added = size(&rig) - before;
    // The head and the stop come on top.
    assert!(added < (flood::BYTES_PER_MINUTE_MAX + 2_048) as u64, "{added} bytes");
    let (mut full, mut counted) = (0, 0);
    for text in rig.lines() {
        let line = line::parse(text.as_bytes()).unwrap();
        match Kind::of(&line.kind) {
            Some(Kind::Refusal(_)) => {
                full += 1;
                assert!(text.len() < flood::REFUSAL_LINE_BYTES_MAX, "{}: {text}", text.len());
            }
            Some(Kind::Refusals) => {
                counted += line.fields["count"].as_u64().unwrap();
                assert!(text.len() < flood::COUNTS_LINE_BYTES_MAX, "{}", text.len());
            }
            _ => {}
        }
    }
    assert_eq!(full, u64::from(flood::FULL_PER_KIND) * RefusalKind::COUNT as u64);
    assert_eq!(full + counted, REFUSALS);
    assert!(rig.verify(&[]).is_sound());
}

fn size(rig: &Rig) -> u64 {
    let segments = segments(&rig.files()).unwrap();
    segments.iter().map(|segment| std::fs::metadata(&segment.path).unwrap().len()).sum()
}

#[test]
fn a_trail_has_at_most_its_bytes_and_what_was_removed_is_accounted_for() {
    let mut rig = Rig::new();
    rig.limits.bytes_max = 128 * 1_024;
    let trail = rig.start();
    let kept = head(&trail);
    for n in 0..600 {
        record(&trail, &format!("{n}{}", "x".repeat(500))).unwrap();
        assert!(size(&rig) <= rig.limits.bytes_max, "{}", size(&rig));
    }
    trail.stop();
    let report = rig.verify(&[kept]);
    assert!(report.is_sound(), "{:?}", report.findings);
    assert!(report.first_seq > 1 && report.older_heads == 1);
    // One more taken away, by somebody else.
    std::fs::remove_file(&segments(&rig.files()).unwrap()[0].path).unwrap();
    let report = rig.verify(&[]);
    assert!(matches!(report.findings[0].what, What::Beginning(_)), "{:?}", report.findings);
    rig.start().stop();
    assert!(matches!(rig.verify(&[]).findings[0].what, What::Beginning(_)));
}

#[test]
fn what_is_too_old_goes_and_the_rest_verifies() {
    let rig = Rig::new();
    let trail = rig.start();
    for _ in 0..100 {
        record(&trail, "sale_paused").unwrap();
        rig.pass(DAY_MS);
        wait_for_house(&trail);
    }
    trail.stop();
    let report = rig.verify(&[]);
    assert!(report.is_sound(), "{:?}", report.findings);
    assert!(report.first_seq > 1, "the first days are gone");
    let first = line::parse(rig.lines()[0].as_bytes()).unwrap();
    assert!(rig.clock.unix_ms() - first.at_ms <= 92 * DAY_MS);
    assert!(rig.lines().iter().any(|line| line.contains("\"pseudonym_key\"")));
}

/// The writer keeps house after each message.
fn wait_for_house(trail: &Trail) {
    let before = head(trail);
    for _ in 0..100 {
        if head(trail) != before {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
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
    trail.stop();
    let text = rig.lines().join("\n");
    assert!(text.contains("\"kind\":\"not_recorded\",\"fields\":{\"count\":1}"), "{text}");
    assert!(rig.verify(&[]).is_sound());
    assert_eq!(record(&trail, "late"), Err(NotRecorded));
}
