//! Files of a run: private ones, random words, and the templates of `deploy/` filled in.

use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::workspace;

/// Lines of a service's log that an error shows.
const SHOWN_LINES: usize = 15;

/// Writes a file that only its owner can read, at once or not at all.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let new = path.with_added_extension("new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(new, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Random bytes as lower-case hex: passwords, keys, names.
pub fn random_hex(bytes: usize) -> anyhow::Result<String> {
    let mut random = vec![0; bytes];
    SystemRandom::new().fill(&mut random).context("no randomness")?;
    Ok(hex::encode(random))
}

/// A file that the project ships.
pub fn deploy(name: &str) -> PathBuf {
    workspace::root().join("deploy").join(name)
}

/// A template of `deploy/` with each `{{NAME}}` filled in. One without a value is an error, and so is a value
/// without a place: the template and its user have drifted apart.
pub fn filled(name: &str, values: &[(&str, &str)]) -> anyhow::Result<String> {
    let path = deploy(name);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    fill(&text, values).with_context(|| format!("in {}", path.display()))
}

fn fill(template: &str, values: &[(&str, &str)]) -> anyhow::Result<String> {
    // Comments speak of `{{NAME}}` in general.
    let mut text = template.replace("{{NAME}}", "{NAME}");
    for (name, value) in values {
        let place = format!("{{{{{name}}}}}");
        if !text.contains(&place) {
            bail!("there is no {place}");
        }
        text = text.replace(&place, value);
    }
    match text.split_once("{{") {
        Some((_, rest)) => bail!("no value for {{{{{}", rest.lines().next().unwrap_or_default()),
        None => Ok(text),
    }
}

/// The end of a log, for an error.
pub fn end_of(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

/// A path as text; ours are made of words that are.
pub fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Copies a directory with all that is in it.
pub fn copy_dir(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copy = || -> std::io::Result<()> {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            if entry.file_type()?.is_dir() {
                copy_dir(&from, &to).map_err(std::io::Error::other)?;
            } else {
                std::fs::copy(&from, &to)?;
            }
        }
        std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())
    };
    copy().with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// Gives a directory and all that is in it to a user.
pub fn give(path: &Path, (user, group): (u32, u32)) -> anyhow::Result<()> {
    std::os::unix::fs::lchown(path, Some(user), Some(group))
        .with_context(|| format!("cannot give {} away", path.display()))?;
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path)? {
            give(&entry?.path(), (user, group))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn a_template_and_its_values_must_fit() {
        assert_eq!(fill("port {{PORT}}\n", &[("PORT", "1")]).unwrap(), "port 1\n");
        assert!(fill("port {{PORT}}\n", &[]).is_err());
        assert!(fill("port\n", &[("PORT", "1")]).is_err());
        assert!(fill("# {{NAME}} is filled in\n", &[]).is_ok());
    }
}
