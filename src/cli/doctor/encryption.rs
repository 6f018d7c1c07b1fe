//! Whether the disk under the data directory is known to be encrypted: the store holds user ids.
//!
//! Linux says of a device-mapper device what it is (`dm/uuid`: `CRYPT-…` for LUKS and plain dm-crypt), and of
//! each device what it stands on (`slaves`). A cloud's disk may be encrypted beneath; nothing here can tell.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Finding;

const CHECK: &str = "encryption";
/// Devices that may stand on each other.
const DEPTH_MAX: u32 = 8;

pub(super) fn examine(dir: &Path) -> Vec<Finding> {
    // A directory that is not there yet comes to lie where its parent is.
    let there = dir.ancestors().chain([Path::new(".")]).find_map(|path| path.metadata().ok());
    let Some(there) = there else { return Vec::new() };
    let (major, minor) = (rustix::fs::major(there.dev()), rustix::fs::minor(there.dev()));
    let device = Path::new("/sys/dev/block").join(format!("{major}:{minor}"));
    vec![judge(is_encrypted(&device, DEPTH_MAX))]
}

fn judge(encrypted: bool) -> Finding {
    if encrypted {
        return Finding::ok(CHECK, "the disk of the data directory is encrypted (dm-crypt)");
    }
    let found = "the disk of the data directory is not known to be encrypted";
    let mend = "use LUKS, or make sure that the platform encrypts it; the store holds user ids";
    Finding::warn(CHECK, found, mend)
}

fn is_encrypted(device: &Path, depth: u32) -> bool {
    let uuid = std::fs::read_to_string(device.join("dm/uuid")).unwrap_or_default();
    if uuid.starts_with("CRYPT-") {
        return true;
    }
    if depth == 0 {
        return false;
    }
    let below = std::fs::read_dir(device.join("slaves")).into_iter().flatten().flatten();
    let mut below = below.map(|entry| entry.path()).peekable();
    // Of several disks each one counts.
    below.peek().is_some() && below.all(|device| is_encrypted(&device, depth - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(dir: &Path, name: &str, uuid: Option<&str>, on: &[&str]) {
        let device = dir.join(name);
        std::fs::create_dir_all(device.join("slaves")).unwrap();
        if let Some(uuid) = uuid {
            std::fs::create_dir_all(device.join("dm")).unwrap();
            std::fs::write(device.join("dm/uuid"), uuid).unwrap();
        }
        for below in on {
            std::os::unix::fs::symlink(dir.join(below), device.join("slaves").join(below)).unwrap();
        }
    }

    #[test]
    fn a_volume_is_encrypted_if_all_that_it_stands_on_is() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        device(dir, "sda", None, &[]);
        device(dir, "crypt", Some("CRYPT-LUKS2-0123-data\n"), &["sda"]);
        device(dir, "volume", Some("LVM-0123"), &["crypt"]);
        device(dir, "mixed", Some("LVM-4567"), &["crypt", "sda"]);
        let encrypted = |name| is_encrypted(&dir.join(name), DEPTH_MAX);
        assert!(encrypted("crypt") && encrypted("volume"));
        assert!(!encrypted("sda") && !encrypted("mixed") && !encrypted("none"));
    }
}
