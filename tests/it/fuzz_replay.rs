//! The fuzz targets on a stable compiler: every file of their corpora, and some thousand seeded mutations
//! of them. `fuzz/` runs the same functions under libFuzzer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[path = "../../fuzz/src/lib.rs"]
mod targets;

/// Mutations of each target; fewer where one needs a file.
const MUTATIONS: u64 = 4_000;
const MUTATIONS_WITH_FILE: u64 = 400;

#[test]
fn no_parser_of_outside_bytes_panics_or_reads_what_is_not_there() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::TARGETS {
        let seeds = seeds(&corpora.join(name));
        let read = seeds.iter().filter(|seed| run(name, *target, seed)).count();
        assert!(read > 0, "{name} reads none of its seeds, so their mutations try little");
        let mutations = if *name == "config_toml" { MUTATIONS_WITH_FILE } else { MUTATIONS };
        for number in 0..mutations {
            run(name, *target, &mutated(&seeds, number));
        }
    }
}

#[test]
fn every_target_has_its_program_and_every_corpus_its_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let mut names: Vec<&str> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
    for name in &names {
        assert!(fuzz.join(format!("fuzz_targets/{name}.rs")).exists(), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
    let mut corpora: Vec<String> = std::fs::read_dir(fuzz.join("corpus"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    corpora.sort();
    names.sort_unstable();
    assert_eq!(corpora, names);
}

fn run(name: &str, target: fn(&[u8]) -> bool, bytes: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| target(bytes)))
        .unwrap_or_else(|_| panic!("{name} on {:?}", String::from_utf8_lossy(bytes)))
}

fn seeds(directory: &Path) -> Vec<Vec<u8>> {
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no seeds", directory.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// A seed with a few changes; the same number is the same bytes in every run.
fn mutated(seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    const DICTIONARY: [&[u8]; 24] = [
        b"\0",
        b"\n",
        b"\r\n",
        b"\"",
        b"\\u0000",
        b"\\ud800",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b".",
        b"-1",
        b"1e999",
        b"18446744073709551616",
        b"4294967296",
        b"null",
        b"\xff",
        b"\xc0\x80",
        b"%00",
        b"\xe2\x80\x8b",
        b"=",
        b"::ffff:",
    ];
    let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(24)).min(bytes.len());
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            2 => drop(bytes.drain(at..end)),
            3 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => bytes.truncate(at),
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let word = DICTIONARY[random.below(DICTIONARY.len())];
                bytes.splice(at..at, word.iter().copied());
            }
        }
    }
    bytes
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}
