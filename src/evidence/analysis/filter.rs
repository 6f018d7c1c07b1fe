//! Of the orders, those that are asked for.

use super::patterns::{Order, Pattern};
use super::{Kind, Source};

/// Which orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those that show this pattern.
    pattern: Option<Pattern>,
    /// Only of these sources: for each kind that is named, one of those of its kind. What has one name in clear has a
    /// mark on each day, and a user one in each shop's name space.
    sources: Vec<(Kind, Vec<Source>)>,
}

impl Filter {
    /// Orders that show this pattern, of whomever.
    pub fn showing(pattern: Option<Pattern>) -> Self {
        Self { pattern, sources: Vec::new() }
    }

    /// Only orders of one of these sources of a kind; of none of them if there is none.
    pub fn only(&mut self, kind: Kind, sources: Vec<Source>) {
        self.sources.push((kind, sources));
    }

    /// Whether it names whom the orders are to come from.
    pub fn names_a_source(&self) -> bool {
        !self.sources.is_empty()
    }

    /// Whether it wants this order. Without a pattern and without a source it wants those that show any pattern: it is
    /// asked for what is suspicious, and must not hand out a whole sale.
    pub fn wants(&self, order: &Order<'_>) -> bool {
        let shows = match self.pattern {
            None if self.names_a_source() => true,
            pattern => order.shows(pattern),
        };
        shows
            && self.sources.iter().all(|(kind, wanted)| {
                kind.of(order.sighting).is_some_and(|source| wanted.contains(&source))
            })
    }
}
