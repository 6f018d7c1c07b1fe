//! However much happens: a trail has its bounds, and what it let go is accounted for.

use super::*;

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
