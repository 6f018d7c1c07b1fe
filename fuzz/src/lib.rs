//! Every parser of bytes from outside, as a function of bytes that must not panic and that holds what is
//! read against a second opinion where there is one.
//!
//! Two things run them: `cargo xtask fuzz` under libFuzzer, guided by coverage, and `tests/it/fuzz_replay.rs`, which
//! plays the corpus and seeded mutations of it.
//!
//! - [`requests`]: what shoppers, shops and browsers send;
//! - [`records`]: the log and the states that are made of it;
//! - [`kept`]: files that somebody kept or was sent: trails, receipts, draws, reports, certificates, configuration;
//! - [`stores`]: what Redis and Kafka answer, with the feature `distributed`.

pub mod kept;
pub mod mutation;
pub mod records;
pub mod requests;
#[cfg(feature = "distributed")]
pub mod stores;

/// A target: its name, which is that of its corpus, and what it does with bytes; `true` if it could read
/// them.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All targets but those of the stores.
const OWN: &[Target] = &[
    ("order_body", requests::order_body),
    ("pass_token", requests::pass_token),
    ("jwt", requests::jwt),
    ("client_ip", requests::client_ip),
    ("request_headers", requests::request_headers),
    ("ids", requests::ids),
    ("challenge", requests::challenge),
    ("room_ticket", requests::room_ticket),
    ("trace_context", requests::trace_context),
    ("form", requests::form),
    ("console_call", requests::console_call),
    ("operator_body", requests::operator_body),
    ("operator_query", requests::operator_query),
    ("operator_names", requests::operator_names),
    ("siteverify", requests::siteverify),
    ("record", records::record),
    ("apply", records::apply),
    ("control", records::control),
    ("control_state", records::control_state),
    ("snapshot", records::snapshot),
    ("audit_line", kept::audit_line),
    ("audit_trail", kept::audit_trail),
    ("erasures", kept::erasures),
    ("receipt", kept::receipt),
    ("statement", kept::statement),
    ("draw", kept::draw),
    ("incident_report", kept::incident_report),
    ("certificate", kept::certificate),
    ("key_set", kept::key_set),
    ("evidence", kept::evidence),
    ("times", kept::times),
    ("config_toml", kept::config_toml),
    ("config_env", kept::config_env),
    ("load_response", kept::load_response),
];

/// All targets.
pub fn targets() -> impl Iterator<Item = Target> {
    #[cfg(feature = "distributed")]
    let stores: &[Target] = stores::TARGETS;
    #[cfg(not(feature = "distributed"))]
    let stores: &[Target] = &[];
    OWN.iter().chain(stores).copied()
}

/// The clock of all targets, in Unix milliseconds.
pub const NOW_MS: u64 = 1_800_000_000_000;
/// The seed of the key that signs trails, receipts, statements and reports in the corpora, in hex.
pub const SIGNING_SEED: &str = "0707070707070707070707070707070707070707070707070707070707070707";
