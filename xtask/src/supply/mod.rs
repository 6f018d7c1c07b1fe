//! What the program is made of: its bill of materials, and whether each part may be in it.

pub mod expression;
pub mod policy;
pub mod sbom;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::workspace::{self, cargo};

/// The released program's package.
pub const PROGRAM: &str = "flux-gate";

/// What `cargo metadata` says, as much as is needed.
#[derive(Deserialize)]
pub struct Metadata {
    /// Every package that may be built.
    pub packages: Vec<Package>,
    resolve: Resolve,
}

/// A package.
#[derive(Deserialize)]
pub struct Package {
    /// Unique.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// An expression of SPDX's.
    pub license: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Where its source is developed.
    pub repository: Option<String>,
    /// The registry it comes from; absent for one of this repository.
    pub source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// Absent for one that is linked in.
    kind: Option<String>,
}

/// A package of the program, and what it needs.
pub struct Part<'a> {
    /// The package.
    pub package: &'a Package,
    /// The ids of those that it needs.
    pub needs: Vec<&'a str>,
    /// Whether it is in the program; else it only takes part in the build.
    pub linked: bool,
}

impl Metadata {
    /// Asks cargo, with every feature, for this machine's kind or for all of them.
    ///
    /// # Errors
    /// It does not say.
    pub fn read(platform: Option<&str>) -> anyhow::Result<Self> {
        let mut metadata = cargo();
        metadata.args(["metadata", "--format-version", "1", "--locked", "--all-features"]);
        if let Some(platform) = platform {
            metadata.args(["--filter-platform", platform]);
        }
        let output = metadata.output().context("cannot run cargo metadata")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cargo metadata failed: {said}");
        serde_json::from_slice(&output.stdout).context("cargo metadata says something else")
    }

    /// The parts of the program: what it is linked from and what takes part in building that, without what tests need.
    ///
    /// # Errors
    /// The program is not there.
    pub fn parts(&self) -> anyhow::Result<Vec<Part<'_>>> {
        let packages: BTreeMap<&str, &Package> =
            self.packages.iter().map(|package| (package.id.as_str(), package)).collect();
        let nodes: BTreeMap<&str, &Node> =
            self.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let root = self.packages.iter().find(|package| package.name == PROGRAM);
        let root = root.context("the program is not in the workspace")?.id.as_str();
        let linked = reached(&nodes, root, false);
        let all = reached(&nodes, root, true);
        let part = |id: &&str| {
            let needs = nodes.get(id).map(|node| needs(node, true).collect()).unwrap_or_default();
            let package = *packages.get(id).context("a package without a description")?;
            Ok(Part { package, needs, linked: linked.contains(id) })
        };
        all.iter().map(part).collect()
    }
}

fn needs(node: &Node, to_build: bool) -> impl Iterator<Item = &str> {
    let wanted = move |kind: &DependencyKind| match kind.kind.as_deref() {
        None => true,
        Some("build") => to_build,
        Some(_) => false,
    };
    let deps = node.deps.iter().filter(move |dep| dep.dep_kinds.iter().any(wanted));
    deps.map(|dep| dep.pkg.as_str())
}

fn reached<'a>(
    nodes: &BTreeMap<&'a str, &'a Node>,
    root: &'a str,
    to_build: bool,
) -> BTreeSet<&'a str> {
    let (mut seen, mut next) = (BTreeSet::from([root]), vec![root]);
    while let Some(id) = next.pop() {
        let Some(node) = nodes.get(id) else { continue };
        next.extend(needs(node, to_build).filter(|id| seen.insert(id)));
    }
    seen
}

/// SHA-256 of each crate's file by name and version, as `Cargo.lock` has them.
///
/// # Errors
/// It cannot be read.
pub fn checksums() -> anyhow::Result<BTreeMap<(String, String), String>> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Locked>,
    }
    #[derive(Deserialize)]
    struct Locked {
        name: String,
        version: String,
        checksum: Option<String>,
    }
    let text = std::fs::read_to_string(workspace::root().join("Cargo.lock"))?;
    let lock: Lock = toml::from_str(&text).context("Cargo.lock cannot be read")?;
    let locked = lock.package.into_iter();
    Ok(locked.filter_map(|one| Some(((one.name, one.version), one.checksum?))).collect())
}
