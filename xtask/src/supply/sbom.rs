//! `cargo xtask sbom`: the program's bill of materials, CycloneDX 1.5 in JSON.
//!
//! From what cargo knows: each crate that is linked in or takes part in the build, with its licence, the SHA-256 of its
//! file, and what it needs. The same sources give the same bytes. C code that crates bring along (SQLite, AWS-LC,
//! librdkafka, mimalloc) is part of its crate here; OpenSSL, which librdkafka uses, is the system's.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context;
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::{Metadata, PROGRAM, Package, Part, checksums};
use crate::workspace;

#[derive(clap::Args)]
pub struct Options {
    /// Where to write it.
    #[arg(long, value_name = "FILE", default_value = "target/flux-gate.cdx.json")]
    out: PathBuf,
}

/// Writes it.
///
/// # Errors
/// Cargo does not say what is in the program, or the file cannot be written.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let path = workspace::root().join(&options.out);
    let count = write(&path)?;
    println!("{count} components: {}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// Writes it and says how many components it has.
///
/// # Errors
/// See [`run`].
pub fn write(path: &Path) -> anyhow::Result<usize> {
    let metadata = Metadata::read(Some(&host()?))?;
    let document = document(&metadata.parts()?, commit_time().as_deref())?;
    let count = document["components"].as_array().map_or(0, Vec::len);
    let text = serde_json::to_string_pretty(&document)? + "\n";
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(count)
}

/// What this compiler builds for.
pub fn host() -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).arg("-vV").output().context("cannot run rustc")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say what it builds for")?.to_owned())
}

/// When the sources were committed, where there is a repository.
fn commit_time() -> Option<String> {
    let mut git = Command::new("git");
    git.args(["log", "-1", "--format=%cI"]).current_dir(workspace::root());
    let output = git.output().ok().filter(|output| output.status.success())?;
    let time = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!time.is_empty()).then_some(time)
}

fn document(parts: &[Part<'_>], timestamp: Option<&str>) -> anyhow::Result<Value> {
    let checksums = checksums()?;
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    let mut program = Value::Null;
    let purl_of =
        |id: &str| parts.iter().find(|part| part.package.id == id).map(|part| purl(part.package));
    for part in parts {
        let Package { name, version, .. } = part.package;
        let hash = checksums.get(&(name.clone(), version.clone()));
        let described = component(part, hash.map(String::as_str));
        if name == PROGRAM {
            program = described;
        } else {
            components.push(described);
        }
        let mut needs: Vec<String> = part.needs.iter().filter_map(|id| purl_of(id)).collect();
        needs.sort();
        needs.dedup();
        dependencies.push(json!({ "ref": purl(part.package), "dependsOn": needs }));
    }
    let mut metadata = json!({
        "component": program,
        "tools": { "components": [
            { "type": "application", "name": "cargo xtask sbom", "version": env!("CARGO_PKG_VERSION") },
        ] },
    });
    if let Some(timestamp) = timestamp {
        metadata["timestamp"] = timestamp.into();
    }
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": metadata,
        "components": components,
        "dependencies": dependencies,
    });
    document["serialNumber"] = serial(&document).into();
    Ok(document)
}

fn component(part: &Part<'_>, hash: Option<&str>) -> Value {
    let package = part.package;
    let is_program = package.name == PROGRAM;
    let mut component = json!({
        "type": if is_program { "application" } else { "library" },
        "bom-ref": purl(package),
        "name": package.name,
        "version": package.version,
        "purl": purl(package),
        // What only takes part in the build is not in the program.
        "scope": if part.linked { "required" } else { "excluded" },
    });
    if let Some(description) = &package.description {
        component["description"] = description.trim().into();
    }
    if let Some(license) = &package.license {
        component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
    }
    if let Some(hash) = hash {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": hash }]);
    }
    if let Some(repository) = &package.repository {
        component["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
    }
    component
}

fn purl(package: &Package) -> String {
    // Of the characters of a version only this one has a meaning of its own in a URL.
    format!("pkg:cargo/{}@{}", package.name, package.version.replace('+', "%2B"))
}

/// A UUID out of the content, so that the same content has the same.
fn serial(document: &Value) -> String {
    let hash = digest(&SHA256, document.to_string().as_bytes());
    let mut id: [u8; 16] = hash.as_ref()[..16].try_into().expect("SHA-256 has 32 bytes");
    // Version 8, of a use of one's own.
    id[6] = id[6] & 0x0f | 0x80;
    id[8] = id[8] & 0x3f | 0x80;
    let hex = hex::encode(id);
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    format!("urn:uuid:{}", parts.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bill_names_what_is_linked_with_hash_and_licence_and_nothing_of_the_tests() {
        let metadata = Metadata::read(Some(&host().unwrap())).unwrap();
        let document = document(&metadata.parts().unwrap(), None).unwrap();
        let components = document["components"].as_array().unwrap();
        let find = |name: &str| components.iter().find(|component| component["name"] == name);
        let serde = find("serde").unwrap();
        assert_eq!(serde["scope"], "required");
        assert_eq!(serde["hashes"][0]["content"].as_str().unwrap().len(), 64);
        assert_eq!(serde["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert!(find("rdkafka").is_some() && find("redis").is_some(), "every feature");
        assert_eq!(find("cc").unwrap()["scope"], "excluded");
        for of_tests in ["proptest", "rstest", "insta", "xtask", "flux-gate"] {
            assert!(find(of_tests).is_none(), "{of_tests}");
        }
        for component in components {
            assert!(component["hashes"].is_array(), "{component}");
            assert!(component["licenses"].is_array(), "{component}");
        }
        assert_eq!(document["metadata"]["component"]["name"], "flux-gate");
    }
}
