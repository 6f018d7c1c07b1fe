//! Loading: file, environment, checks.
