//! What is wrong with a configuration, said so that it can be mended: the key, the fault, the remedy.
//!
//! A problem never holds the value of a secret.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// An environment variable, by name.
    Environment(String),
    /// A flag of the command line, by name.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => {
                write!(f, "{}:{line}:{column}", path.display())
            }
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong, or doubtful.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, such as `http.listen`, or the variable or file where there is none.
    pub key: String,
    /// Where the value came from.
    pub origin: Origin,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub mend: String,
}

impl Problem {
    /// A problem with a value whose origin is filled in later, from the record of origins.
    pub fn new(key: impl Into<String>, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { key: key.into(), origin: Origin::Default, what: what.into(), mend: mend.into() }
    }

    /// The same problem, with its origin.
    pub fn at(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => {}
            Origin::Environment(name) if *name == self.key => {}
            origin => write!(f, "{origin}: ")?,
        }
        write!(f, "{}: {}; {}", self.key, self.what, self.mend)
    }
}

/// Everything that is wrong, found in one go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the configuration has {count} error{}", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// The candidate that `word` most likely meant, if one is close.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| distance * 3 <= candidate.len().max(4))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The remedy for a name that is not known.
pub fn did_you_mean(suggestion: Option<&str>, otherwise: &str) -> String {
    match suggestion {
        Some(name) => format!("did you mean `{name}`?"),
        None => otherwise.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_word_is_suggested_and_a_far_one_is_not() {
        let known = ["listen", "threads", "body_bytes_max"];
        assert_eq!(closest("listn", known), Some("listen"));
        assert_eq!(closest("body_byte_max", known), Some("body_bytes_max"));
        assert_eq!(closest("colour", known), None);
    }

    #[test]
    fn a_problem_says_place_key_fault_and_remedy() {
        let origin = Origin::File { path: "a.toml".into(), line: 3, column: 7 };
        let problem = Problem::new("http.listen", "is not an address", "write IP:PORT").at(origin);
        assert_eq!(
            problem.to_string(),
            "a.toml:3:7: http.listen: is not an address; write IP:PORT"
        );
        let both = Problems(vec![problem.clone(), problem]);
        assert!(both.to_string().starts_with("the configuration has 2 errors\n  a.toml:3:7"));
    }
}
