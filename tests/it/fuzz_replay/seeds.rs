//! The seeds that nobody can write by hand, since they are signed, hashed or sealed.
//!
//! `cargo test --test it -- --ignored seeds_are_made` writes those that are missing; without its seeds a target fails
//! its own test.

use flux_gate::audit::head;
use flux_gate::audit::line;
use flux_gate::chain::Digest;
use flux_gate::erasures::{Erasure, Erasures};
use flux_gate::merkle::Tree;
use flux_gate::receipt::proof::{Facts, Statement};
use flux_gate::receipt::{Claim, Issuer};
use flux_gate::room::draw::{self, Draw, Proof};
use flux_gate::sale::{BuyerRef, OrderId, ProductId};

use super::targets::NOW_MS;
use super::targets::kept::{identity, signer};

#[test]
#[ignore = "writes into fuzz/corpus"]
fn seeds_are_made() {
    for (target, name, bytes) in all() {
        let path = super::corpora().join(target).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if !path.exists() {
            std::fs::write(path, bytes).unwrap();
        }
    }
}

fn all() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut seeds = vec![
        ("audit_line", "start", br#"{"seq":1,"at_ms":1800000000000,"kind":"start","fields":{"version":"0.1.0"},"prev":"0000000000000000000000000000000000000000000000000000000000000000""#.to_vec()),
        ("audit_trail", "chained", chained_trail()),
        ("audit_trail", "raw", raw_trail()),
        ("erasures", "two", journal()),
        ("receipt", "good", receipt()),
        ("statement", "good", statement()),
        ("draw", "good", finished_draw()),
        ("incident_report", "good", report()),
        ("certificate", "good", certificate()),
    ];
    #[cfg(feature = "distributed")]
    seeds.extend(stores());
    seeds
}

fn order(n: u8) -> OrderId {
    OrderId::from_random_bytes([n; 16])
}

fn product() -> ProductId {
    "shoe".parse().unwrap()
}

/// The head fits the third line, as the target writes it.
fn chained_trail() -> Vec<u8> {
    let mut lines = vec![
        ("start".to_owned(), serde_json::json!({ "version": "0.1.0" })),
        ("refusals".to_owned(), serde_json::json!({ "kind": "blocked", "count": 3 })),
    ];
    let (mut content, mut prev) = (Vec::new(), line::genesis());
    for ((kind, fields), seq) in lines.iter().zip(1..) {
        prev = line::encode(&mut content, seq, NOW_MS + seq, kind, fields, &prev);
    }
    let log = [flux_gate::chain::LogHead { partition: 0, offset: 7, digest: [3; 32] }];
    let fields = head::sign(signer(), "node", 3, NOW_MS + 3, &prev, &log);
    lines.push(("head".to_owned(), serde_json::to_value(fields).unwrap()));
    let lines: Vec<String> =
        lines.iter().map(|(kind, fields)| format!("{kind} {fields}")).collect();
    format!("c{}", lines.join("\n")).into_bytes()
}

fn raw_trail() -> Vec<u8> {
    let mut content = b"r".to_vec();
    let fields = serde_json::json!({ "version": "0.1.0" });
    line::encode(&mut content, 1, NOW_MS, "start", &fields, &line::genesis());
    content
}

fn journal() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("erasures.jsonl");
    let journal = Erasures::open(&path, identity()).unwrap();
    for n in 1..=2 {
        let operation = format!("op-{n}").parse().unwrap();
        let buyer = BuyerRef::from_bytes([n; 16]);
        journal.append(&Erasure { buyer, operation, at_ms: NOW_MS }).unwrap();
    }
    std::fs::read(path).unwrap()
}

fn statement() -> Vec<u8> {
    let facts = Facts {
        product: product(),
        capacity: 3,
        reversed: 1,
        offset: 9,
        digest: [3; 32],
        orders: vec![order(1), order(2)],
    };
    serde_json::to_vec(&Statement::sign(&facts, signer(), NOW_MS)).unwrap()
}

fn finished_draw() -> Vec<u8> {
    let tickets: Vec<_> = (0..3_u32).map(ticket).collect();
    let leaves: Vec<Digest> = tickets.iter().map(|ticket| ticket.leaf()).collect();
    let tree = Tree::over(leaves.clone());
    let seed = [5; 32];
    let draw = Draw {
        product_id: product(),
        commitment: hex::encode(draw::commitment(&product(), &seed, "drand")),
        public_value_source: "drand".to_owned(),
        entrants: Some(3),
        root: Some(hex::encode(tree.root())),
        public_value: Some("45c48cce2e2d7fbd".to_owned()),
        seed: Some(hex::encode(seed)),
    };
    let before =
        Draw { entrants: None, root: None, public_value: None, seed: None, ..draw.clone() };
    let path = tree.path(1).unwrap().iter().map(hex::encode).collect();
    let proof = Proof { number: 1, leaf: hex::encode(leaves[1]), path };
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[1; 32]);
    let ticket = flux_gate::room::TicketKey::new(key).issue(&tickets[1]);
    let mut lines = vec![
        serde_json::to_string(&draw).unwrap(),
        serde_json::to_string(&before).unwrap(),
        ticket,
        serde_json::to_string(&proof).unwrap(),
    ];
    lines.extend(leaves.iter().map(hex::encode));
    lines.join("\n").into_bytes()
}

fn certificate() -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
    made.cert.der().to_vec()
}

fn ticket(number: u32) -> flux_gate::room::Ticket {
    let buyer = BuyerRef::from_bytes([number as u8; 16]);
    flux_gate::room::Ticket {
        product: product(),
        number,
        issued_ms: NOW_MS,
        buyer,
        pass_id: [4; 16],
    }
}

fn receipt() -> Vec<u8> {
    let seed = super::targets::SIGNING_SEED;
    let issuer = Issuer::new(flux_gate::keys::signer::Signer::from_seed(&seed.into()).unwrap());
    let claim = |n: u8| Claim {
        product: product(),
        order_id: order(n),
        offset: n.into(),
        log_time_ms: NOW_MS,
        digest: [n; 32],
    };
    issuer.seal((1..4).map(claim));
    issuer.receipt(&order(2)).unwrap().into_bytes()
}

fn report() -> Vec<u8> {
    let (mut audit, mut head) = (Vec::new(), Vec::new());
    let fields = serde_json::json!({ "version": "0.1.0" });
    let prev = line::encode(&mut audit, 1, NOW_MS, "start", &fields, &line::genesis());
    let fields = head::sign(signer(), "node", 2, NOW_MS, &prev, &[]);
    line::encode(&mut head, 2, NOW_MS, "head", &fields, &prev);
    let manifest = serde_json::json!({
        "version": 1, "madeAt": NOW_MS, "since": NOW_MS - 1_000, "until": NOW_MS, "product": null,
        "key": signer().public().to_string(), "files": [],
    });
    let row = format!(
        r#"{{"offset":1,"log_time_ms":{NOW_MS},"product":"shoe","record":"{{}}","outcome":"applied","digest":"{}"}}"#,
        "03".repeat(32)
    );
    let parts = [
        manifest.to_string().into_bytes(),
        b"# Report\n".to_vec(),
        b"{}".to_vec(),
        b"line,at\n".to_vec(),
        Vec::new(),
        audit,
        head,
        row.into_bytes(),
    ];
    [b"c".to_vec(), parts.join(&0)].concat()
}

#[cfg(feature = "distributed")]
fn stores() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    use super::targets::stores;
    use flux_gate::keys::records::Author;
    use flux_gate::keys::seal::{Opener, Sealer};

    let value = br#"{"v":1,"record":{"sale_paused":{"operation":"op-1"}}}"#;
    let voucher = |author| {
        let mut voucher = Vec::new();
        stores::keys().vouch(author, "shoe", &[9; 16], value, &mut voucher).unwrap();
        voucher
    };
    let opener = Opener::new(&stores::SEAL_KEYS.into()).unwrap();
    let sealer = Sealer::new(&opener.public_key()).unwrap();
    let user = "alice-7".parse().unwrap();
    let sealed = sealer.seal(&user, &product(), &order(1), (0, NOW_MS));
    vec![
        ("kafka_voucher", "operator", voucher(Author::Operator)),
        ("kafka_voucher", "node", voucher(Author::Node)),
        ("sealed_user", "good", sealed.into_bytes()),
        ("room_answer", "drawn", room_answers(true)),
        ("room_answer", "forged", room_answers(false)),
    ]
}

/// Answers as `room.lua` gives them before the opening, at the draw, and when places are served. The marks are made here as
/// `src/lobby/redis/marks.rs` says, so that a room that reads others is found out. What is not marked says something else.
#[cfg(feature = "distributed")]
fn room_answers(marked: bool) -> Vec<u8> {
    use super::targets::stores::{ROOM_ENTRANTS, ROOM_VALUE, identity};
    use flux_gate::keys::tag;

    let key = identity().ticket_key();
    let mark = |purpose: &str, parts: &[&[u8]]| {
        let product = product();
        let parts = [&[product.as_str().as_bytes()], parts].concat();
        let mac = tag(&key, purpose, &parts);
        if marked { hex::encode(&mac.as_ref()[..16]) } else { "00".repeat(16) }
    };
    let (entrants, heads, value) =
        if marked { (ROOM_ENTRANTS, [2, 3], ROOM_VALUE) } else { (4, [4, 5], "45c48cce2e2d7fbe") };
    let (drawn, root) = (entrants.to_be_bytes(), [7; 32]);
    let head =
        |place: u32| format!("{place}:{}", mark("waiting-room-head", &[&place.to_be_bytes()]));
    let mac = mark("waiting-room-draw", &[&drawn, &root]);
    let draw = format!("{entrants}:{}:{mac}", hex::encode(root));
    let value = format!("{value}:{}", mark("waiting-room-value", &[value.as_bytes()]));
    let text = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    let book = |next: u32, drawn: i64, [head, draw, value]: [&str; 3], total: u32| {
        let texts = [text(head), text(draw), text(value)].concat();
        format!(":{next}\r\n:{drawn}\r\n{texts}:{total}\r\n")
    };
    let answers = [
        format!("*9\r\n:0\r\n:2\r\n$0\r\n\r\n{}", book(3, -1, ["", "", ""], 0)),
        format!("*7\r\n:1\r\n{}", book(3, 3, ["", &draw, ""], 0)),
        format!("*8\r\n:0\r\n:0\r\n{}", book(4, 3, [&head(heads[0]), &draw, &value], 2)),
        format!(
            "*9\r\n:1000\r\n:1\r\n*1\r\n:-1\r\n{}",
            book(4, 3, [&head(heads[1]), &draw, &value], 3)
        ),
    ];
    format!("*{}\r\n{}", answers.len(), answers.concat()).into_bytes()
}
