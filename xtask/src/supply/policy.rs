//! Whether every package may be in the tree, by `deny.toml`: its licence, its name, where it comes from.
//!
//! cargo-deny is the judge where it is installed; to build it takes longer than most of the tests. This reads the same
//! file and asks the same of what cargo itself knows, so that a licence or a source that is not allowed never gets in
//! unseen. What it does not do: advisories, yanked versions, and the licence's text against its name.

use anyhow::Context;
use serde::Deserialize;

use super::{Metadata, Package, expression};
use crate::workspace;

/// As much of `deny.toml` as is looked at.
#[derive(Deserialize)]
pub struct Policy {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Denied>,
}

#[derive(Deserialize)]
struct Denied {
    #[serde(rename = "crate")]
    name: String,
    /// Those that may bring it all the same.
    #[serde(default)]
    wrappers: Vec<String>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

impl Policy {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read() -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(workspace::root().join("deny.toml"))?;
        toml::from_str(&text).context("deny.toml cannot be read")
    }

    /// What is wrong with whom. Nothing is, in an empty list.
    pub fn faults(&self, metadata: &Metadata) -> Vec<String> {
        let mut faults = Vec::new();
        for package in &metadata.packages {
            let mut fault = |why: String| {
                faults.push(format!("{} {}: {why}", package.name, package.version));
            };
            if let Some(why) = self.licence(package) {
                fault(why);
            }
            if let Some(why) = self.source(package) {
                fault(why);
            }
            for denied in self.bans.deny.iter().filter(|denied| denied.name == package.name) {
                let others = metadata.users(&package.id);
                let others = others.filter(|user| !denied.wrappers.iter().any(|name| name == user));
                for user in others {
                    fault(format!("{user} brings it, but it is not to be here: {}", denied.reason));
                }
            }
        }
        faults
    }

    fn licence(&self, package: &Package) -> Option<String> {
        match &package.license {
            None => Some("it names no licence".to_owned()),
            Some(said) if expression::is_met(said, &self.licenses.allow) => None,
            Some(said) => Some(format!("its licence {said} is not allowed")),
        }
    }

    fn source(&self, package: &Package) -> Option<String> {
        let source = package.source.as_deref()?;
        let registry = source.strip_prefix("registry+");
        let allowed = registry
            .is_some_and(|registry| self.sources.allow_registry.iter().any(|one| one == registry));
        (!allowed).then(|| format!("it comes from {source}"))
    }
}

impl Metadata {
    /// The names of those that need a package, for whatever.
    fn users<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a str> {
        let nodes = self.resolve.nodes.iter();
        let users = nodes.filter(move |node| node.deps.iter().any(|dep| dep.pkg == id));
        users.filter_map(|node| {
            let user = self.packages.iter().find(|package| package.id == node.id)?;
            Some(user.name.as_str())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(license: &str, source: &str, user: &str) -> Vec<String> {
        let policy: Policy = toml::from_str(
            "[licenses]\nallow = [\"MIT\"]\n[bans]\ndeny = [{ crate = \"bad\", wrappers = [\"good\"], reason = \"so\" }]\n\
             [sources]\nallow-registry = [\"https://registry.test\"]\n",
        )
        .unwrap();
        let metadata = serde_json::json!({
            "packages": [
                { "id": "1", "name": user, "version": "1.0.0", "license": "MIT" },
                { "id": "2", "name": "bad", "version": "2.0.0", "license": license, "source": source },
            ],
            "resolve": { "nodes": [
                { "id": "1", "deps": [{ "pkg": "2", "dep_kinds": [{ "kind": null }] }] },
                { "id": "2", "deps": [] },
            ] },
        });
        policy.faults(&serde_json::from_value(metadata).unwrap())
    }

    #[test]
    fn licences_sources_and_names_are_held_against_the_file() {
        let registry = "registry+https://registry.test";
        assert_eq!(faults("MIT OR GPL-3.0", registry, "good"), [""; 0]);
        assert_eq!(
            faults("GPL-3.0", registry, "good"),
            ["bad 2.0.0: its licence GPL-3.0 is not allowed"]
        );
        let other = faults("MIT", "git+https://elsewhere.test", "good");
        assert_eq!(other, ["bad 2.0.0: it comes from git+https://elsewhere.test"]);
        let brought = faults("MIT", registry, "ugly");
        assert_eq!(brought, ["bad 2.0.0: ugly brings it, but it is not to be here: so"]);
    }
}
