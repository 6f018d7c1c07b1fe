//! What else may hold a person's pseudonyms, said with each export.

use serde::Serialize;

use crate::config::Config;

/// A place that is not looked into for an export.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Elsewhere {
    /// Where.
    #[serde(rename = "where")]
    place: &'static str,
    /// What.
    what: &'static str,
    /// For how long.
    kept: String,
}

/// All of them, for a node with this configuration.
pub fn list(config: &Config) -> Vec<Elsewhere> {
    let place = |place, what, kept: String| Elsewhere { place, what, kept };
    let for_ever = || "for as long as the sale's log is kept".to_owned();
    let mut places = vec![
        place("order log", "the pseudonym of the buyer in each attempt", for_ever()),
        place(
            "order log",
            "blocks that were set on the user, as a keyed pseudonym of another kind",
            for_ever(),
        ),
        place(
            "audit trail",
            "the pseudonym of the buyer, where an operator exported or erased the person",
            format!("{} days", config.audit.retention_days),
        ),
        place(
            "memory of the nodes",
            "how often the buyer, the address and the fingerprint asked, as keyed hashes",
            "until the node stops, or others need the room".to_owned(),
        ),
        place(
            "audit trail",
            "the address and fingerprint of refused requests, as pseudonyms that nobody can tell \
             from others after 24 hours, when their key is forgotten",
            format!("{} days", config.audit.retention_days),
        ),
    ];
    if config.is_distributed() {
        places.push(place(
            "order log",
            "the user id of each attempt, sealed: for the workers alone, until the key of its \
             period is destroyed",
            format!("{} days after its period", config.privacy.seal_key_days),
        ));
        places.push(place(
            "Redis",
            "how often the buyer, the address and the fingerprint asked, as keyed hashes",
            "some seconds".to_owned(),
        ));
    } else {
        places.push(place(
            "journal of erasures",
            "the pseudonym of whoever was erased",
            "for ever: a restored store is erased again by it".to_owned(),
        ));
    }
    places.push(place(
        "backups",
        "what the store held when they were made",
        "for as long as you keep them".to_owned(),
    ));
    places
}
