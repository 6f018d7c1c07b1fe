//! Good requests with a few bytes changed, by a seeded generator: whatever comes of it, it is no 5xx.

use super::{Case, Expect, Kit};
use crate::fuzz_replay::Random;
use crate::support::draft::Draft;

/// Mutated requests.
const MUTATIONS: u64 = 400;
/// The seed; a failure names its case, which is the same in every run.
const SEED: u64 = 0x5eed;

pub fn cases(kit: &Kit) -> Vec<Case> {
    (0..MUTATIONS)
        .map(|number| {
            let mut random = Random(SEED ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut bytes = match random.below(6) {
                0 => kit.sign(Draft::new("POST", "/session", r#"{"userId":"u"}"#)).bytes(),
                1 => kit.sign(Draft::new("GET", "/orders?after=0&limit=1", "")).bytes(),
                2 => Draft::new("GET", "/products/good", "").bytes(),
                3 => {
                    let draft = kit.signed().set("transfer-encoding", "chunked");
                    let chunk = format!("{:x}\r\n", draft.body.len()).into_bytes();
                    let head = draft.head(" HTTP/1.1");
                    [&head[..], &chunk, &draft.body, b"\r\n0\r\n\r\n"].concat()
                }
                _ => kit.signed().bytes(),
            };
            for _ in 0..=random.below(4) {
                mutate(&mut bytes, &mut random);
            }
            Case::new(format!("mutation {number}"), bytes, Expect::Sane)
        })
        .collect()
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    const INTERESTING: &[u8] = b"\0\r\n\t :;,\"'{}[]%/\\-+0a\x7f\x80\xff";
    let at = random.below(bytes.len());
    let byte = INTERESTING[random.below(INTERESTING.len())];
    match random.below(6) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = byte,
        2 => bytes.insert(at, byte),
        3 => {
            bytes.remove(at);
        }
        4 => {
            let end = (at + random.below(40)).min(bytes.len());
            let copy = bytes[at..end].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, copy);
        }
        _ => bytes.truncate(at + 1),
    }
    if bytes.is_empty() {
        bytes.push(byte);
    }
}
