//! Files that somebody kept or was sent, and configuration.

use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA256, digest};
use flux_gate::audit::line;
use flux_gate::audit::verify::verify;
use flux_gate::cli::when::{When, rfc3339};
use flux_gate::config::JwtAlgorithm;
use flux_gate::config::load::{Sources, load};
use flux_gate::erasures::Erasures;
use flux_gate::evidence::analysis::{Kind, Source};
use flux_gate::guard::jwt::key_set::KeySet;
use flux_gate::http::x509;
use flux_gate::incident::{bundle, check};
use flux_gate::keys::IdentityKeys;
use flux_gate::keys::signer::{PublicKey, Signer};
use flux_gate::load::answer::Answer;
use flux_gate::load::wire::Response;
use flux_gate::receipt::Receipt;
use flux_gate::receipt::proof::Statement;
use flux_gate::room::Ticket;
use flux_gate::room::draw::{Draw, Evidence, Proof, digest_of, verify as verify_draw};
use tempfile::TempDir;

use super::{NOW_MS, SIGNING_SEED};

/// Signs and checks whatever is signed in the corpora.
pub fn signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| Signer::from_seed(&SIGNING_SEED.into()).expect("a good seed"))
}

/// The keys of the journal of erasures in the corpus.
pub fn identity() -> &'static IdentityKeys {
    static KEYS: OnceLock<IdentityKeys> = OnceLock::new();
    KEYS.get_or_init(|| IdentityKeys::new(&[1; 32], &[2; 32]))
}

/// Lines of the audit trail, as they stand, and with the digest that fits them: a line that is read is what its
/// digest covers.
pub fn audit_line(bytes: &[u8]) -> bool {
    let mut fitting = bytes.to_vec();
    fitting.extend_from_slice(b",\"digest\":\"");
    fitting.extend_from_slice(hex::encode(digest(&SHA256, bytes)).as_bytes());
    fitting.extend_from_slice(b"\"}");
    let mut read = false;
    for text in [bytes, &fitting] {
        let Ok(line) = line::parse(text) else { continue };
        read = true;
        let covered = text.len() - (b",\"digest\":\"\"}".len() + 64);
        assert_eq!(digest(&SHA256, &text[..covered]).as_ref(), line.digest);
        let value: serde_json::Value = serde_json::from_slice(text).expect("it is JSON");
        assert_eq!(value.get("seq").or_else(|| value.get(0)), Some(&line.seq.into()));
    }
    read
}

/// A trail. Behind a first byte `r` it is as it stands; else each line is `kind`, a space and the JSON of its fields,
/// and the chain is made here, so that what is wrong is what a line says. Whatever it holds, no head but those that
/// were signed counts.
pub fn audit_trail(bytes: &[u8]) -> bool {
    let Some((first, rest)) = bytes.split_first() else { return false };
    let content = if *first == b'r' { rest.to_vec() } else { chained(rest) };
    let directory = directory();
    let path = directory.path().join("audit-00000001.jsonl");
    std::fs::write(path, &content).expect("it can be written");
    let last = content.split(|byte| *byte == b'\n').rev().find(|line| !line.is_empty());
    let kept: Vec<String> =
        last.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let keys = [signer().public().to_string().parse().expect("its own text")];
    let report = verify(directory.path(), &keys, &kept).expect("it can be read");
    let other = Signer::from_seed(&"08".repeat(32).into()).expect("a good seed");
    let unknown =
        verify(directory.path(), &[other.public().to_string().parse().expect("its own text")], &[])
            .expect("it can be read");
    assert_eq!(unknown.heads, 0, "a head that this key has not signed");
    report.lines > 0 && report.findings_count == 0
}

fn chained(lines: &[u8]) -> Vec<u8> {
    let (mut content, mut prev) = (Vec::new(), line::genesis());
    for (text, seq) in lines.split(|byte| *byte == b'\n').take(64).zip(1..) {
        let text = String::from_utf8_lossy(text);
        let Some((kind, fields)) = text.split_once(' ') else { continue };
        let fields: serde_json::Value = serde_json::from_str(fields).unwrap_or_default();
        prev = line::encode(&mut content, seq, NOW_MS + seq, kind, &fields, &prev);
    }
    content
}

/// The journal of erasures: none that the owner of the key has not written.
pub fn erasures(bytes: &[u8]) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let directory = directory();
    let path = directory.path().join("erasures.jsonl");
    std::fs::write(&path, bytes).expect("it can be written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its own");
    let Ok(journal) = Erasures::open(&path, identity()) else { return false };
    let entries = journal.entries();
    assert!(entries.len() <= bytes.iter().filter(|byte| **byte == b'\n').count());
    !entries.is_empty()
}

/// Receipts: what is read is written the same, and none is signed but those that were.
pub fn receipt(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let _ = text.parse::<PublicKey>();
    let Ok(receipt) = text.parse::<Receipt>() else { return false };
    assert_eq!(receipt.to_string(), text.trim());
    let signed = receipt.is_signed_by(signer().public());
    if signed {
        // The orders of the receipts in the corpus.
        assert!(receipt.claim.offset < 4 && receipt.claim.product.as_str() == "shoe");
    }
    signed
}

/// Statements of how many were sold: none holds that was altered, and one that holds counts right.
pub fn statement(bytes: &[u8]) -> bool {
    let Ok(statement) = serde_json::from_slice::<Statement>(bytes) else { return false };
    if statement.check(signer().public()).is_err() {
        return false;
    }
    assert_eq!(statement.orders.len(), statement.sold as usize);
    assert!(statement.sold <= statement.capacity);
    true
}

/// A finished draw on the first line, on the second what was published before, on the third a ticket, on the fourth
/// its proof, then the list of entrants: what is shown follows from the draw alone.
pub fn draw(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let mut next = || lines.next().unwrap_or_default();
    let Ok(draw) = serde_json::from_str::<Draw>(next()) else { return false };
    let before = serde_json::from_str(next()).ok();
    let ticket = Ticket::read_unverified(next());
    let proof = serde_json::from_str::<Proof>(next()).ok();
    let list: Vec<_> = lines.take(4_096).map_while(|leaf| digest_of(leaf, "a leaf").ok()).collect();
    // To permute millions takes long, and is no parsing.
    if draw.entrants.is_some_and(|entrants| entrants > 100_000) {
        return false;
    }
    let entrants = (!list.is_empty()).then_some(list);
    let evidence = Evidence { before, entrants, ticket, proof, place: None };
    let Ok(shown) = verify_draw(&draw, &evidence) else { return false };
    assert_eq!(Some(shown.entrants), draw.entrants);
    if let (Some(place), true) = (shown.place, shown.drawn) {
        assert!(place < shown.entrants);
    }
    assert!(!shown.to_string().is_empty());
    true
}

/// A report of an incident: the manifest, then each file, with a zero byte between them. Behind a first byte `r` the
/// manifest is as it stands, else its list of files is made to fit; either way it is signed. What is sound has a
/// digest for each file.
pub fn incident_report(bytes: &[u8]) -> bool {
    let Some((first, rest)) = bytes.split_first() else { return false };
    let mut parts = rest.split(|byte| *byte == 0);
    let manifest = parts.next().unwrap_or_default();
    let directory = directory();
    let write = |name: &str, content: &[u8]| {
        std::fs::write(directory.path().join(name), content).expect("it can be written");
    };
    let mut files = Vec::new();
    for (name, content) in bundle::NAMES.iter().zip(parts) {
        write(name, content);
        files.push(serde_json::json!({
            "name": name, "bytes": content.len(), "sha256": bundle::sha256(content),
        }));
    }
    let mut made = manifest.to_vec();
    if *first != b'r'
        && let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(manifest)
        && let Some(object) = value.as_object_mut()
    {
        object.insert("files".to_owned(), files.into());
        made = value.to_string().into_bytes();
    }
    write(bundle::MANIFEST, &made);
    let signature = hex::encode(signer().sign(bundle::PURPOSE, &[&made])) + "\n";
    write(bundle::SIGNATURE, signature.as_bytes());
    let key = signer().public();
    let checked = check::check(directory.path(), key).expect("it can be read");
    if checked.is_sound() {
        assert!(checked.manifest.is_some());
    }
    checked.is_sound()
}

/// Certificates in DER, for their dates.
pub fn certificate(bytes: &[u8]) -> bool {
    x509::validity(bytes).is_some()
}

/// A shop's file of public keys, for each algorithm.
pub fn key_set(bytes: &[u8]) -> bool {
    let directory = directory();
    let path = directory.path().join("keys.json");
    std::fs::write(&path, bytes).expect("it can be written");
    let algorithms = [JwtAlgorithm::ES256, JwtAlgorithm::RS256, JwtAlgorithm::EdDSA];
    let read = algorithms.map(|algorithm| {
        let Ok(keys) = KeySet::read(&path, algorithm) else { return false };
        let _ = keys.find(None, 0);
        let _ = keys.find(Some("nobody's"), 0);
        true
    });
    read.contains(&true)
}

/// Pseudonyms as an auditor writes them: what is read is written as it was.
pub fn evidence(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut read = false;
    for kind in [Kind::Address, Kind::Network, Kind::Fingerprint, Kind::Buyer] {
        if let Some(source) = Source::parse(kind, text) {
            assert!(source.to_string().eq_ignore_ascii_case(text));
            read = true;
        }
    }
    read
}

/// Times as people write them.
pub fn times(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(when) = text.parse::<When>() else { return false };
    let unix_ms = when.unix_ms(NOW_MS);
    if let Ok(again) = rfc3339(unix_ms).parse::<When>() {
        assert_eq!(again.unix_ms(0), unix_ms);
    }
    true
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Configuration files: refused with faults that can be shown, or loaded.
pub fn config_toml(bytes: &[u8]) -> bool {
    let directory = directory();
    let file = directory.path().join("config.toml");
    std::fs::write(&file, bytes).expect("it can be written");
    shown(load(Sources { file: Some(file), ..Sources::default() }).err())
}

/// The environment: lines of `NAME=value`.
pub fn config_env(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let environment = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, value)| !name.contains('\0') && !value.contains('\0'))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    shown(load(Sources { environment, ..Sources::default() }).err())
}

fn shown(problems: Option<impl std::fmt::Display>) -> bool {
    if let Some(problems) = &problems {
        assert!(!problems.to_string().is_empty());
    }
    problems.is_none()
}

/// Answers of a server, as the load generator reads them.
pub fn load_response(bytes: &[u8]) -> bool {
    let Ok(Some(response)) = Response::parse(bytes) else { return false };
    assert!(response.status >= 200);
    assert!(bytes.ends_with(response.body));
    let answer = Answer::read(&response);
    let plain = Answer::read_plain(&response);
    assert!(answer.word.is_empty() || answer.word == plain.word);
    answer.is_accepted() || answer.is_open()
}
