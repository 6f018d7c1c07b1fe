//! The limit of open files: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit of open files of this process; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFiles {
    /// What holds now.
    pub now: Option<u64>,
    /// What the process may raise it to.
    pub most: Option<u64>,
}

/// The limits that hold now.
pub fn open_files() -> OpenFiles {
    let limit = getrlimit(Resource::Nofile);
    OpenFiles { now: limit.current, most: limit.maximum }
}

/// Raises the limit to the most that is allowed, and gives what holds then. Shells set 1,024 for the sake
/// of old programs, far too few for a crowd.
pub fn raise_open_files() -> OpenFiles {
    let OpenFiles { most, .. } = open_files();
    // A refusal leaves what held before, which is what the caller is told.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
    open_files()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_the_most() {
        let most = open_files().most;
        assert_eq!(raise_open_files(), OpenFiles { now: most, most });
    }
}
