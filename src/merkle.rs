//! Merkle trees, as in RFC 6962 (section 2.1): over a draw's entrants, a batch's receipts, a sale's orders.
//!
//! A leaf is hashed with a 0 byte before it, a node is SHA-256(1 ‖ left ‖ right), a node that is alone on its
//! level goes up as it is, and the root of nothing is SHA-256 of nothing. So the root fixes how many there are,
//! who, and in which order.

use crate::chain::{Digest, sha256};

/// Hashes on the way from a leaf to the root, at most: that many a tree of 2^32 leaves has.
pub const PATH_MAX: usize = 32;

/// A tree with all its levels, leaves first: some 64 bytes a leaf.
#[derive(Debug, Clone, Default)]
pub struct Tree(Vec<Vec<Digest>>);

impl Tree {
    /// Over these leaves.
    pub fn over(leaves: Vec<Digest>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => node(left, right),
                    one => one[0],
                })
                .collect();
            levels.push(above);
        }
        Self(levels)
    }

    /// The root.
    pub fn root(&self) -> Digest {
        let root = self.0.last().and_then(|level| level.first());
        root.copied().unwrap_or_else(|| sha256(&[]))
    }

    /// The leaves.
    pub fn leaves(&self) -> &[Digest] {
        self.0.first().map_or(&[], Vec::as_slice)
    }

    /// The way from a leaf to the root, the lowest step first; `None` if there is no such leaf.
    pub fn steps(&self, leaf: u32) -> Option<Vec<Step>> {
        let mut at = leaf as usize;
        self.leaves().get(at)?;
        let mut steps = Vec::with_capacity(self.0.len());
        for level in &self.0 {
            let beside = level.get(at ^ 1);
            steps.extend(beside.map(|hash| Step { is_right: at & 1 == 0, hash: *hash }));
            at /= 2;
        }
        Some(steps)
    }

    /// The hashes of [`steps`](Self::steps) alone: which side they are on, a leaf's number says.
    pub fn path(&self, leaf: u32) -> Option<Vec<Digest>> {
        Some(self.steps(leaf)?.into_iter().map(|step| step.hash).collect())
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|level| level.capacity() * size_of::<Digest>()).sum()
    }
}

/// One step of the way to the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Whether the hash is the right one of the two.
    pub is_right: bool,
    /// The hash beside the way.
    pub hash: Digest,
}

/// The root that these steps lead to from a leaf.
pub fn root_by_steps(leaf: Digest, steps: &[Step]) -> Digest {
    steps.iter().fold(leaf, |hash, step| match step.is_right {
        true => node(&hash, &step.hash),
        false => node(&step.hash, &hash),
    })
}

/// The root of a tree of `count` leaves in which this leaf has this number and this path; `None` if the path
/// does not fit. Whether that is the root is for the caller to see.
pub fn root_by_path(leaf: Digest, number: u32, count: u32, path: &[Digest]) -> Option<Digest> {
    if number >= count || path.len() > PATH_MAX {
        return None;
    }
    let (mut hash, mut at, mut last) = (leaf, number, count - 1);
    let mut path = path.iter();
    while last > 0 {
        if at & 1 == 1 {
            hash = node(path.next()?, &hash);
        } else if at < last {
            hash = node(&hash, path.next()?);
        }
        at >>= 1;
        last >>= 1;
    }
    path.next().is_none().then_some(hash)
}

fn node(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = [1; 1 + 2 * size_of::<Digest>()];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    sha256(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(data: &[u8]) -> Digest {
        sha256(&[&[0], data].concat())
    }

    /// The test vectors of the reference implementation of RFC 6962.
    #[test]
    fn it_is_the_tree_of_rfc_6962() {
        let data: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[
                0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d,
                0x6e, 0x6f,
            ],
        ];
        let root = |n: usize| {
            hex::encode(Tree::over(data[..n].iter().map(|data| leaf(data)).collect()).root())
        };
        assert_eq!(root(0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(root(1), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(root(3), "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77");
        assert_eq!(root(8), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    }

    proptest::proptest! {
        #[test]
        fn a_path_leads_to_the_root_and_no_other_does(count in 1_u32..70, number in 0_u32..70, flip in 0_usize..8) {
            let number = number % count;
            let leaves: Vec<Digest> = (0..count).map(|n| leaf(&n.to_be_bytes())).collect();
            let tree = Tree::over(leaves.clone());
            let mut path = tree.path(number).unwrap();
            let own = leaves[number as usize];
            proptest::prop_assert_eq!(root_by_path(own, number, count, &path), Some(tree.root()));
            let other = (number + 1) % count;
            if other != number {
                proptest::prop_assert_ne!(root_by_path(own, other, count, &path), Some(tree.root()));
            }
            path.push(own);
            proptest::prop_assert_eq!(root_by_path(own, number, count, &path), None);
            path.pop();
            if !path.is_empty() {
                let at = flip % path.len();
                path[at][flip] ^= 1;
                proptest::prop_assert_ne!(root_by_path(own, number, count, &path), Some(tree.root()));
            }
        }
    }

    #[test]
    fn there_is_no_path_of_a_leaf_that_is_not_there() {
        assert!(Tree::over(vec![leaf(b"a")]).path(1).is_none());
        assert!(Tree::default().path(0).is_none());
        assert!(root_by_path(leaf(b"a"), 1, 1, &[]).is_none());
    }
}
