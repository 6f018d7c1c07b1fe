//! What an incident leaves behind for those who ask later: a report that cannot be changed unnoticed.
//!
//! [`story`] is what is known of a span of time, for machines; [`page`] tells it to people; [`bundle`] ties
//! both and the records that prove them together under one signature; [`check`] checks such a bundle offline;
//! [`crate::escape`] keeps texts that somebody wrote from being more than text.
//!
//! People are in it as the pseudonyms that log and trail know them by, and as nothing else.

pub mod bundle;
pub mod check;
pub mod page;
pub mod story;
