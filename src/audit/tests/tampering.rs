//! Whatever is changed in a trail at rest is found out.

use super::*;

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
