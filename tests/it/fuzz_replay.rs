//! The fuzz targets without a guide: every file of their corpora, and some thousand seeded mutations of them.
//! `cargo xtask fuzz` runs the same functions under libFuzzer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/lib.rs"]
mod targets;

mod seeds;

pub use targets::mutation::Random;
use targets::mutation::mutated;

/// Mutations of each target; fewer where one needs a file.
const MUTATIONS: u64 = 4_000;
const MUTATIONS_WITH_FILE: u64 = 400;
/// The targets that write files.
const WITH_FILE: [&str; 5] =
    ["audit_trail", "config_toml", "erasures", "incident_report", "key_set"];

#[test]
fn no_parser_of_outside_bytes_panics_or_reads_what_is_not_there() {
    for (name, target) in targets::targets() {
        let seeds = seeds(&corpora().join(name));
        let read = seeds.iter().filter(|seed| run(name, target, seed)).count();
        assert!(read > 0, "{name} reads none of its seeds, so their mutations try little");
        let with_file = WITH_FILE.contains(&name);
        let mutations = if with_file { MUTATIONS_WITH_FILE } else { MUTATIONS };
        for number in 0..mutations {
            run(name, target, &mutated(&seeds, number));
        }
    }
}

/// Those on the stores have theirs too, whether they are built in or not.
#[cfg(feature = "distributed")]
#[test]
fn every_target_has_a_corpus_and_every_corpus_its_target() {
    let mut names: Vec<&str> = targets::targets().map(|(name, _)| name).collect();
    let mut corpora: Vec<String> = std::fs::read_dir(corpora())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    corpora.sort();
    names.sort_unstable();
    assert_eq!(corpora, names);
}

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
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
