//! Which products can be bought by way of their waiting room alone: the guard's check 9 asks here.
//!
//! By the configuration, and by what an operator says while the node runs, which a restart forgets. Read without a
//! lock, and at no cost to speak of where there are no rooms.

use arc_swap::ArcSwap;
use hashbrown::HashSet;

use crate::sale::ProductId;

/// The entry of the configuration that means every product.
pub const EVERY_PRODUCT: &str = "*";

/// See the module.
#[derive(Debug, Default)]
pub struct Doors(ArcSwap<List>);

#[derive(Debug, Clone, Default)]
struct List {
    every: bool,
    with: HashSet<ProductId>,
    /// Those for which an operator switched it off.
    without: HashSet<ProductId>,
}

impl Doors {
    /// Those of the configuration: product ids, or `*`. What is neither is left out; the configuration's checks
    /// have refused it.
    pub fn new(products: &[String]) -> Self {
        let list = List {
            every: products.iter().any(|product| product == EVERY_PRODUCT),
            with: products.iter().filter_map(|product| product.parse().ok()).collect(),
            without: HashSet::new(),
        };
        Self(ArcSwap::from_pointee(list))
    }

    /// Whether this product is bought by way of its room alone.
    pub fn has_room(&self, product: &ProductId) -> bool {
        let list = self.0.load();
        if !list.every && list.with.is_empty() {
            return false;
        }
        (list.every || list.with.contains(product)) && !list.without.contains(product)
    }

    /// Switches a product's room on or off, until the node restarts.
    pub fn set(&self, product: ProductId, on: bool) {
        self.0.rcu(|list| {
            let mut list = List::clone(list);
            if on {
                list.without.remove(&product);
                list.with.insert(product);
            } else {
                list.with.remove(&product);
                list.without.insert(product);
            }
            list
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_have_rooms_as_configured_and_as_switched() {
        let (lamp, chair): (ProductId, ProductId) =
            ("lamp".parse().unwrap(), "chair".parse().unwrap());
        let doors = Doors::new(&["lamp".to_owned()]);
        assert!(doors.has_room(&lamp) && !doors.has_room(&chair));
        doors.set(lamp, false);
        doors.set(chair, true);
        assert!(!doors.has_room(&lamp) && doors.has_room(&chair));
        let every = Doors::new(&["*".to_owned()]);
        assert!(every.has_room(&lamp));
        every.set(lamp, false);
        assert!(!every.has_room(&lamp) && every.has_room(&chair));
        assert!(!Doors::default().has_room(&lamp));
    }
}
