//! Verification of a trail at rest or beside a running node: any changed byte, gap, reordering or cut.
//!
//! Line by line: its own digest, its number, the digest of the line before, a kind that is known, a time
//! that does not go back; of heads their signature. A trail whose first segments were removed must say so in
//! a signed line. Heads that were kept elsewhere must stand in it, byte for byte: that shows a cut, and a
//! trail that somebody with the machine's rights, but without the key, wrote anew.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::event::Kind;
use super::head::{self, HeadFields, LogHeadFields, RemovedFields};
use super::line::{self, BadLine, Line};
use super::segments::segments;
use crate::chain::Digest;
use crate::keys::signer::PublicKey;

/// Findings that a report holds; the rest is only counted.
const FINDINGS_MAX: usize = 100;

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Lines that were read.
    pub lines: u64,
    /// The number of the first one.
    pub first_seq: u64,
    /// The number of the last one.
    pub last_seq: u64,
    /// The digest of the last one, hex.
    pub last_digest: String,
    /// Heads with a good signature.
    pub heads: u64,
    /// Lines after the last of them: nobody has signed these yet.
    pub unsigned_lines: u64,
    /// Kept heads that are older than what is kept of the trail.
    pub older_heads: u64,
    /// What the heads say of the order log, the last of each offset.
    pub log: Vec<LogHeadFields>,
    /// What is wrong, the first ones in order.
    pub findings: Vec<Finding>,
    /// How many things are wrong in all.
    pub findings_count: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings_count == 0
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}", file = file.display())]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// The line within it, from 1.
    pub line: u64,
    /// What.
    pub what: What,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// The line by itself.
    #[error(transparent)]
    Line(#[from] BadLine),
    /// The file ends in the middle of a line.
    #[error("the file ends in the middle of a line")]
    Torn,
    /// The number is not the next one.
    #[error("line {found} where line {expected} must be")]
    Number {
        /// What must come.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// The line before is another.
    #[error("line {0} does not follow from the line before")]
    Chain(u64),
    /// The time goes back.
    #[error("line {0} is older than the line before")]
    Time(u64),
    /// No such kind.
    #[error("line {0} is of an unknown kind")]
    Kind(u64),
    /// A head that the key has not signed.
    #[error("the signature of line {0} does not fit")]
    Signature(u64),
    /// The beginning is missing, and no signed line says why.
    #[error(
        "the trail begins with line {0}, and no signed line says that what was before was removed"
    )]
    Beginning(u64),
    /// A head that was kept elsewhere is not in the trail: it was cut, or written anew.
    #[error("the head that was kept, line {kept}, is not there: the trail ends with line {last}")]
    Cut {
        /// The head's number.
        kept: u64,
        /// The last number.
        last: u64,
    },
    /// Another line stands in the place of a head that was kept elsewhere.
    #[error("line {0} is not the head that was kept")]
    OtherHead(u64),
    /// What was given as a head is none that this key has signed.
    #[error("the head that was given is not signed by this key")]
    NotAHead,
    /// There is no trail.
    #[error("there is no audit trail here")]
    Nothing,
}

/// Verifies the trail in `dir` against the keys that may have signed it, and the lines of heads that were kept.
///
/// # Errors
/// A file cannot be read. What is wrong with its content is in the report.
pub fn verify(dir: &Path, keys: &[PublicKey], kept: &[String]) -> io::Result<Report> {
    let mut verifier = Verifier::new(dir, keys, kept);
    for segment in segments(dir)? {
        // One that is removed meanwhile is none.
        match std::fs::read(&segment.path) {
            Ok(content) => verifier.segment(segment.path, &content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(verifier.report())
}

struct Verifier<'a> {
    keys: &'a [PublicKey],
    kept: BTreeMap<u64, Line>,
    file: PathBuf,
    line: u64,
    end: Option<(u64, Digest, u64)>,
    /// The number and digest before the first line, and where it stands, until a signed line accounts for it.
    beginning: Option<(u64, Digest, PathBuf)>,
    log: BTreeMap<(u32, u64), LogHeadFields>,
    report: Report,
}

impl<'a> Verifier<'a> {
    fn new(dir: &Path, keys: &'a [PublicKey], kept: &[String]) -> Self {
        let mut verifier = Self {
            keys,
            kept: BTreeMap::new(),
            file: dir.to_owned(),
            line: 0,
            end: None,
            beginning: None,
            log: BTreeMap::new(),
            report: Report::default(),
        };
        for text in kept {
            match line::parse(text.trim().as_bytes()) {
                Ok(head) if head.kind == Kind::Head.word() && verifier.is_signed(&head) => {
                    verifier.kept.insert(head.seq, head);
                }
                _ => verifier.found(What::NotAHead),
            }
        }
        verifier
    }

    fn found(&mut self, what: What) {
        self.report.findings_count += 1;
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(Finding { file: self.file.clone(), line: self.line, what });
        }
    }

    fn segment(&mut self, file: PathBuf, content: &[u8]) {
        self.file = file;
        self.line = 0;
        let mut lines = content.split(|byte| *byte == b'\n').peekable();
        while let Some(text) = lines.next() {
            if lines.peek().is_none() {
                // What stands after the last line feed.
                if !text.is_empty() {
                    self.line += 1;
                    self.found(What::Torn);
                }
                break;
            }
            self.line += 1;
            self.report.lines += 1;
            match line::parse(text) {
                Ok(line) => self.check(line),
                Err(bad) => self.found(bad.into()),
            }
        }
    }

    fn check(&mut self, line: Line) {
        let seq = line.seq;
        let before = self.end.replace((seq, line.digest, line.at_ms));
        match before {
            None => self.first(&line),
            Some((last_seq, digest, at_ms)) => {
                if seq != last_seq + 1 {
                    self.found(What::Number { expected: last_seq + 1, found: seq });
                } else if line.prev != digest {
                    self.found(What::Chain(seq));
                }
                if line.at_ms < at_ms {
                    self.found(What::Time(seq));
                }
            }
        }
        self.report.unsigned_lines += 1;
        match Kind::of(&line.kind) {
            None => self.found(What::Kind(seq)),
            Some(Kind::Head) => self.head(&line),
            Some(Kind::SegmentRemoved) => self.removal(&line),
            Some(_) => {}
        }
        if let Some(kept) = self.kept.remove(&seq)
            && kept.digest != line.digest
        {
            self.found(What::OtherHead(seq));
        }
    }

    fn first(&mut self, line: &Line) {
        self.report.first_seq = line.seq;
        let kept = std::mem::take(&mut self.kept);
        let count = kept.len();
        self.kept = kept.into_iter().filter(|(seq, _)| *seq >= line.seq).collect();
        self.report.older_heads = (count - self.kept.len()) as u64;
        if line.seq != 1 || line.prev != line::genesis() {
            self.beginning = Some((line.seq, line.prev, self.file.clone()));
        }
    }

    fn is_signed(&self, line: &Line) -> bool {
        let fields = serde_json::from_value::<HeadFields>(line.fields.clone());
        fields.is_ok_and(|fields| self.keys.iter().any(|key| head::is_signed(line, &fields, key)))
    }

    fn head(&mut self, line: &Line) {
        if !self.is_signed(line) {
            return self.found(What::Signature(line.seq));
        }
        self.report.heads += 1;
        self.report.unsigned_lines = 0;
        let log = serde_json::from_value::<HeadFields>(line.fields.clone());
        for head in log.map(|fields| fields.log).unwrap_or_default() {
            self.log.insert((head.partition, head.offset), head);
        }
    }

    fn removal(&mut self, line: &Line) {
        let fields = serde_json::from_value::<RemovedFields>(line.fields.clone());
        let signed = |fields: &RemovedFields| {
            self.keys.iter().any(|key| head::is_removal_signed(fields, key))
        };
        let Some(fields) = fields.ok().filter(signed) else {
            return self.found(What::Signature(line.seq));
        };
        let digest = line::digest_of(&fields.last_digest);
        let accounts = |(seq, prev, _): &mut (u64, Digest, PathBuf)| {
            *seq == fields.last_seq + 1 && Some(*prev) == digest
        };
        self.beginning.take_if(accounts);
    }

    fn report(mut self) -> Report {
        let Some((last, digest, _)) = self.end else {
            self.found(What::Nothing);
            return self.report;
        };
        self.report.last_seq = last;
        self.report.last_digest = hex::encode(digest);
        for kept in std::mem::take(&mut self.kept).into_keys() {
            self.found(What::Cut { kept, last });
        }
        if let Some((seq, _, file)) = self.beginning.take() {
            (self.file, self.line) = (file, 1);
            self.found(What::Beginning(seq));
        }
        self.report.log = std::mem::take(&mut self.log).into_values().collect();
        self.report
    }
}
