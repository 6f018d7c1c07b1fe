//! A draw that anyone can check: in which order those are served who came before the opening.
//!
//! | when | what is published |
//! |---|---|
//! | before the opening | `commitment` = SHA-256 over purpose, product, seed and the source of the public value |
//! | at the opening | `entrants` (n) and `root`, the Merkle root over the tickets 0 to n − 1 |
//! | after that, where a source is configured | `publicValue`: a value that nobody could know before the root |
//! | then | `seed` |
//!
//! Key = SHA-256 over purpose, product, seed, n, root and public value; a ticket's place is
//! [`Permutation`]`(key, n)` of its number. Inputs of hashes are each prefixed with their length (32 bits, big
//! endian). Whoever came after the opening has the place of their number: first come, first served.
//!
//! [`verify`] says what a draw shows and what it does not: whether an entrant is a person, nobody can tell from it.

use std::fmt;

use hashbrown::HashSet;
use serde::{Deserialize, Serialize};

use super::permutation::Permutation;
use super::ticket::Ticket;
use crate::chain::{Digest, sha256};
use crate::keys::signer::message;
use crate::merkle::{Tree, root_by_path};
use crate::sale::ProductId;

const COMMITMENT_PURPOSE: &str = "flux-gate draw commitment 1";
const KEY_PURPOSE: &str = "flux-gate draw key 1";

/// Longest public value and longest name of its source, in bytes.
pub const PUBLIC_TEXT_BYTES_MAX: usize = 256;

/// What is published of a draw. What is not known yet is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Draw {
    /// Of what.
    pub product_id: ProductId,
    /// Fixes the seed and the source before anybody enters; hex.
    pub commitment: String,
    /// Where the public value is to come from; empty if there is none.
    #[serde(default)]
    pub public_value_source: String,
    /// How many came before the opening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrants: Option<u32>,
    /// The Merkle root over them; hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The public value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_value: Option<String>,
    /// The seed; hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
}

/// That a ticket is among the entrants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The ticket's number.
    pub number: u32,
    /// Its leaf; hex.
    pub leaf: String,
    /// The hashes beside its way to the root, the lowest first; hex.
    pub path: Vec<String>,
}

impl Draw {
    /// What is published: before the opening the commitment; once they are `fixed` the number and the root of those who
    /// are drawn; once it is `drawn` the seed.
    pub fn published(
        product: &ProductId,
        seed: &[u8; 32],
        source: &str,
        fixed: Option<(u32, Digest)>,
        public_value: Option<String>,
        drawn: bool,
    ) -> Self {
        Self {
            product_id: *product,
            commitment: hex::encode(commitment(product, seed, source)),
            public_value_source: source.to_owned(),
            entrants: fixed.map(|(entrants, _)| entrants),
            root: fixed.map(|(_, root)| hex::encode(root)),
            public_value,
            seed: drawn.then(|| hex::encode(seed)),
        }
    }
}

impl Proof {
    /// That of the leaf with this number; `None` if there is none.
    pub fn of(tree: &Tree, number: u32) -> Option<Self> {
        let leaf = hex::encode(tree.leaves().get(number as usize)?);
        let path = tree.path(number)?.iter().map(hex::encode).collect();
        Some(Self { number, leaf, path })
    }
}

/// What fixes the seed: made before anybody enters.
pub fn commitment(product: &ProductId, seed: &[u8; 32], source: &str) -> Digest {
    sha256(&message(COMMITMENT_PURPOSE, &[product.as_bytes(), seed, source.as_bytes()]))
}

/// The permutation of a draw.
pub fn permutation(
    product: &ProductId,
    seed: &[u8; 32],
    entrants: u32,
    root: &Digest,
    public_value: &str,
) -> Permutation {
    let parts: [&[u8]; 5] =
        [product.as_bytes(), seed, &entrants.to_be_bytes(), root, public_value.as_bytes()];
    Permutation::new(sha256(&message(KEY_PURPOSE, &parts)), entrants)
}

/// What is wrong with a draw.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Something is not there yet.
    #[error("the draw is not finished: {0} is not published yet")]
    NotFinished(&'static str),
    /// Something is no hexadecimal text of 32 bytes.
    #[error("{0} is not 64 hexadecimal digits")]
    NotHex(&'static str),
    /// The seed is another than the one that was committed to.
    #[error("the seed is not the one that was committed to")]
    Seed,
    /// A value without a source, or the other way round.
    #[error("a public value is given, but no source was announced for it")]
    UnannouncedValue,
    /// What was published before differs.
    #[error("{0} is not what was published before")]
    Changed(&'static str),
    /// The list has another length.
    #[error("the list has {listed} entrants, the draw {entrants}: somebody was added or dropped")]
    Count {
        /// In the list.
        listed: usize,
        /// In the draw.
        entrants: u32,
    },
    /// The list has another root.
    #[error(
        "the list is not the one behind the published root: somebody was added, dropped or moved"
    )]
    Root,
    /// Somebody is in the list twice.
    #[error("the list holds the same entrant twice")]
    Twice,
    /// The ticket is of another product.
    #[error("the ticket is of another product")]
    OtherProduct,
    /// The ticket is not in the list at its number.
    #[error("the ticket is not among the entrants: it was dropped, moved or changed")]
    NotEntered,
    /// The place is not that of the ticket.
    #[error("the ticket was given place {given}, its rightful place is {rightful}")]
    Place {
        /// As it was told.
        given: u32,
        /// As it follows.
        rightful: u32,
    },
}

/// What somebody holds against a draw.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The draw as it was published before the opening.
    pub before: Option<Draw>,
    /// The leaves of all entrants.
    pub entrants: Option<Vec<Digest>>,
    /// Their own ticket.
    pub ticket: Option<Ticket>,
    /// That it is among the entrants.
    pub proof: Option<Proof>,
    /// The place that they were given, from 0.
    pub place: Option<u32>,
}

/// What a draw shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// How many were drawn.
    pub entrants: u32,
    /// The rightful place of the ticket, from 0.
    pub place: Option<u32>,
    /// Whether the ticket took part in the draw; else it came later and has its number as its place.
    pub drawn: bool,
    /// Whether the commitment was compared with a copy from before the opening.
    pub seen_before: bool,
    /// Whether the whole list was looked at.
    pub list_seen: bool,
    /// Whether a public value took part.
    pub public_value: bool,
}

/// Checks a finished draw.
///
/// # Errors
/// The first fault that is found.
pub fn verify(draw: &Draw, evidence: &Evidence) -> Result<Shown, Fault> {
    let commitment_told = digest_of(&draw.commitment, "commitment")?;
    if let Some(before) = &evidence.before {
        compare(draw, before)?;
    }
    let entrants = draw.entrants.ok_or(Fault::NotFinished("the number of entrants"))?;
    let root_text = draw.root.as_deref().ok_or(Fault::NotFinished("the Merkle root"))?;
    let root = digest_of(root_text, "root")?;
    let source = draw.public_value_source.as_str();
    let value = match (source.is_empty(), draw.public_value.as_deref()) {
        (false, None) => return Err(Fault::NotFinished("the public value")),
        (true, Some(_)) => return Err(Fault::UnannouncedValue),
        (_, value) => value.unwrap_or_default(),
    };
    let seed = draw.seed.as_deref().ok_or(Fault::NotFinished("the seed"))?;
    let seed = digest_of(seed, "seed")?;
    if commitment(&draw.product_id, &seed, source) != commitment_told {
        return Err(Fault::Seed);
    }
    if let Some(list) = &evidence.entrants {
        check_list(list, entrants, &root)?;
    }
    let permutation = permutation(&draw.product_id, &seed, entrants, &root, value);
    let place = match &evidence.ticket {
        Some(ticket) => Some(check_ticket(draw, ticket, evidence, entrants, &root, &permutation)?),
        None => None,
    };
    Ok(Shown {
        entrants,
        place,
        drawn: evidence.ticket.is_some_and(|ticket| ticket.number < entrants),
        seen_before: evidence.before.is_some(),
        list_seen: evidence.entrants.is_some(),
        public_value: !source.is_empty(),
    })
}

fn compare(draw: &Draw, before: &Draw) -> Result<(), Fault> {
    let same_if_known =
        |one: &Option<String>, other: &Option<String>| one.is_none() || one == other;
    let compared = [
        ("the product", draw.product_id == before.product_id),
        ("the commitment", draw.commitment == before.commitment),
        ("the source of the public value", draw.public_value_source == before.public_value_source),
        ("the number of entrants", before.entrants.is_none() || before.entrants == draw.entrants),
        ("the root", same_if_known(&before.root, &draw.root)),
        ("the public value", same_if_known(&before.public_value, &draw.public_value)),
        ("the seed", same_if_known(&before.seed, &draw.seed)),
    ];
    match compared.into_iter().find(|(_, same)| !same) {
        Some((what, _)) => Err(Fault::Changed(what)),
        None => Ok(()),
    }
}

fn check_list(list: &[Digest], entrants: u32, root: &Digest) -> Result<(), Fault> {
    if list.len() != entrants as usize {
        return Err(Fault::Count { listed: list.len(), entrants });
    }
    if Tree::over(list.to_vec()).root() != *root {
        return Err(Fault::Root);
    }
    let mut seen = HashSet::with_capacity(list.len());
    if list.iter().all(|leaf| seen.insert(*leaf)) { Ok(()) } else { Err(Fault::Twice) }
}

/// The rightful place of a ticket that took part, or that came later.
fn check_ticket(
    draw: &Draw,
    ticket: &Ticket,
    evidence: &Evidence,
    entrants: u32,
    root: &Digest,
    permutation: &Permutation,
) -> Result<u32, Fault> {
    if ticket.product != draw.product_id {
        return Err(Fault::OtherProduct);
    }
    let rightful = match permutation.place(ticket.number) {
        // It came after the opening.
        None => ticket.number,
        Some(place) => {
            let in_list = evidence.entrants.as_ref().map(|list| {
                list.get(ticket.number as usize).is_some_and(|leaf| *leaf == ticket.leaf())
            });
            let by_proof = evidence.proof.as_ref().map(|proof| {
                let path: Option<Vec<Digest>> =
                    proof.path.iter().map(|hash| digest_of(hash, "path").ok()).collect();
                let path = path.filter(|_| proof.number == ticket.number);
                path.and_then(|path| root_by_path(ticket.leaf(), ticket.number, entrants, &path))
                    == Some(*root)
            });
            match (in_list, by_proof) {
                (Some(false), _) | (_, Some(false)) => return Err(Fault::NotEntered),
                (None, None) => return Err(Fault::NotFinished("the proof of the ticket")),
                _ => place,
            }
        }
    };
    match evidence.place {
        Some(given) if given != rightful => Err(Fault::Place { given, rightful }),
        _ => Ok(rightful),
    }
}

/// 32 bytes in hex.
///
/// # Errors
/// [`Fault::NotHex`] for anything else.
pub fn digest_of(text: &str, what: &'static str) -> Result<Digest, Fault> {
    let mut digest = [0; 32];
    match hex::decode_to_slice(text, &mut digest) {
        Ok(()) => Ok(digest),
        Err(_) => Err(Fault::NotHex(what)),
    }
}

impl fmt::Display for Shown {
    /// What the draw shows, and what it cannot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The draw holds.")?;
        writeln!(f, "- The seed is the one that was committed to.")?;
        if self.seen_before {
            writeln!(f, "- What was published before has not been changed.")?;
        }
        if self.list_seen {
            writeln!(
                f,
                "- The list is the one behind the root: of its {} entrants none was added, dropped or moved \
                 since the root was published, and none is in it twice.",
                self.entrants
            )?;
        }
        match self.place {
            Some(place) if self.drawn => writeln!(
                f,
                "- The ticket took part, and its rightful place among {} is {}.",
                self.entrants,
                u64::from(place) + 1
            )?,
            Some(place) => writeln!(
                f,
                "- The ticket came after the opening; its place is {}, that of its arrival.",
                u64::from(place) + 1
            )?,
            None => {}
        }
        writeln!(f, "\nWhat this does not show:")?;
        writeln!(
            f,
            "- whether an entrant is a person: the operator's own entrants look like all others;"
        )?;
        if !self.seen_before {
            writeln!(
                f,
                "- when the commitment was published: keep a copy from before the opening;"
            )?;
        }
        if !self.list_seen {
            writeln!(
                f,
                "- that the list has no entrant twice, and nobody left out that you know of: check the list;"
            )?;
        }
        if self.public_value {
            writeln!(
                f,
                "- that the public value is the one of its source, and was not known before the root: look it up;"
            )?;
        } else {
            writeln!(
                f,
                "- that the operator, who knew the seed, did not choose among several last entrants of their own \
                 to move the others: only a public value excludes that;"
            )?;
        }
        writeln!(
            f,
            "- whether those who left, or came too late at their turn, were passed over rightly."
        )
    }
}

#[cfg(test)]
mod tests;
