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
        let metadata: Self =
            serde_json::from_slice(&output.stdout).context("cargo metadata says something else")?;
        Ok(metadata.with_built_alone(&built(platform)?))
    }

    /// Without packages that are in the lockfile alone. An optional one that some feature would only set up further
    /// (`ring?/alloc`) is a dependency to `cargo metadata`, though nothing turns it on.
    fn with_built_alone(mut self, built: &BTreeSet<(String, String)>) -> Self {
        let is_built =
            |package: &Package| built.contains(&(package.name.clone(), package.version.clone()));
        let left_out: BTreeSet<String> = self
            .packages
            .extract_if(.., |package| !is_built(package))
            .map(|package| package.id)
            .collect();
        self.resolve.nodes.retain(|node| !left_out.contains(&node.id));
        for node in &mut self.resolve.nodes {
            node.deps.retain(|dep| !left_out.contains(&dep.pkg));
        }
        self
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

/// Name and version of every package that a build of everything takes in, as `cargo tree` has it.
fn built(platform: Option<&str>) -> anyhow::Result<BTreeSet<(String, String)>> {
    let mut tree = cargo();
    tree.args(["tree", "--workspace", "--locked", "--all-features", "--edges", "normal,build,dev"]);
    tree.args(["--target", platform.unwrap_or("all"), "--prefix", "none", "--format", "{p}"]);
    let output = tree.output().context("cannot run cargo tree")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo tree failed: {said}");
    Ok(listed(&String::from_utf8_lossy(&output.stdout)))
}

/// Lines such as `serde v1.0.229 (proc-macro) (*)`.
fn listed(tree: &str) -> BTreeSet<(String, String)> {
    let lines = tree.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        Some((name.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    });
    lines.collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_nothing_turns_on_is_left_out_with_the_need_of_it() {
        let package = |id: &str, name: &str| serde_json::json!({ "id": id, "name": name, "version": "1.0.0" });
        let metadata: Metadata = serde_json::from_value(serde_json::json!({
            "packages": [package("1", "flux-gate"), package("2", "used"), package("3", "optional")],
            "resolve": { "nodes": [
                { "id": "1", "deps": [
                    { "pkg": "2", "dep_kinds": [{ "kind": null }] },
                    { "pkg": "3", "dep_kinds": [{ "kind": null }] },
                ] },
                { "id": "2", "deps": [] },
                { "id": "3", "deps": [] },
            ] },
        }))
        .unwrap();
        let tree = "flux-gate v1.0.0 (/somewhere)\nused v1.0.0 (proc-macro)\nused v1.0.0 (*)\n\n";
        let metadata = metadata.with_built_alone(&listed(tree));
        let parts = metadata.parts().unwrap();
        let names: Vec<_> = parts.iter().map(|part| part.package.name.as_str()).collect();
        assert_eq!(names, ["flux-gate", "used"]);
        assert_eq!(parts[0].needs, ["2"]);
    }
}
