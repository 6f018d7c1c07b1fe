//! `deploy/` as it is after `prepare.sh`, in a directory of a test's own, and what its compose file says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_yaml_ng::Value;

/// The program's settings of one process, by their variables.
pub type Settings = BTreeMap<String, String>;

/// A copy of `deploy/` with all that `prepare.sh` makes.
pub struct Stage {
    dir: tempfile::TempDir,
    /// The compose file of many nodes.
    pub compose: Value,
    /// `.env`, which compose reads beside its file.
    variables: Settings,
}

/// The project's directory.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the project.
pub fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The objects of a YAML file, with what `<<` merges into each.
pub fn yaml(text: &str) -> Vec<Value> {
    let documents = serde_yaml_ng::Deserializer::from_str(text);
    documents.map(|document| merged(serde::Deserialize::deserialize(document).unwrap())).collect()
}

/// A merged mapping may bring another `<<` with it.
fn merged(mut value: Value) -> Value {
    for _ in 0..4 {
        value.apply_merge().unwrap();
    }
    value
}

/// The texts of a sequence.
pub fn texts(value: &Value) -> Vec<&str> {
    value.as_sequence().into_iter().flatten().filter_map(Value::as_str).collect()
}

impl Stage {
    pub fn prepare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(&root().join("deploy"), dir.path());
        let output = Command::new("sh")
            .arg(dir.path().join("compose/prepare.sh"))
            .env("KEEP_OWNER", "1")
            .env("FLUX_GATE", env!("CARGO_BIN_EXE_flux-gate"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let compose = yaml(&text("deploy/compose/compose.yaml")).remove(0);
        let env = std::fs::read_to_string(dir.path().join("compose/.env")).unwrap();
        let pairs = env.lines().filter_map(|line| line.split_once('='));
        let variables = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { dir, compose, variables }
    }

    /// Runs `prepare.sh` once more.
    pub fn again(&self, argument: &str) -> bool {
        let mut command = Command::new("sh");
        command.arg(self.compose_dir().join("prepare.sh")).arg(argument).env("KEEP_OWNER", "1");
        command.env("FLUX_GATE", env!("CARGO_BIN_EXE_flux-gate"));
        command.output().unwrap().status.success()
    }

    pub fn compose_dir(&self) -> PathBuf {
        self.dir.path().join("compose")
    }

    /// Names and definitions of the services.
    pub fn services(&self) -> Vec<(&str, &Value)> {
        let services = self.compose["services"].as_mapping().unwrap();
        services.iter().map(|(name, service)| (name.as_str().unwrap(), service)).collect()
    }

    /// What is mounted in a service: path inside, path here.
    pub fn mounts(&self, service: &Value) -> BTreeMap<String, PathBuf> {
        let mut mounts = BTreeMap::new();
        for kind in ["configs", "secrets"] {
            for mount in service[kind].as_sequence().into_iter().flatten() {
                let source = mount.as_str().or_else(|| mount["source"].as_str()).unwrap();
                let file = self.compose[kind][source]["file"].as_str();
                let file = file.unwrap_or_else(|| panic!("{kind} has no {source}"));
                let inside = match mount["target"].as_str() {
                    Some(target) => target.to_owned(),
                    None => format!("/run/secrets/{source}"),
                };
                mounts.insert(inside, self.compose_dir().join(file));
            }
        }
        mounts
    }

    /// The environment of a service, with compose's own variables in place.
    pub fn environment(&self, service: &Value) -> Settings {
        let pairs = service["environment"].as_mapping().into_iter().flatten();
        pairs
            .map(|(name, value)| {
                let value = value.as_str().expect("a text");
                let value = match value.strip_prefix("${") {
                    Some(rest) => &self.variables[rest.split(':').next().unwrap()],
                    None => value,
                };
                (name.as_str().unwrap().to_owned(), value.to_owned())
            })
            .collect()
    }

    /// The program's settings in a service, each under the variable of its key; paths are those here, and what
    /// a file holds stands for `…_FILE`.
    pub fn settings(&self, service: &Value) -> Settings {
        let mounts = self.mounts(service);
        let setting = |(name, value): (String, String)| {
            let Some(file) = mounts.get(&value) else { return (variable(&name), value) };
            match name.strip_suffix("_FILE").filter(|_| value.starts_with("/run/secrets/")) {
                Some(secret) => (secret.to_owned(), std::fs::read_to_string(file).unwrap()),
                None => (name, file.to_str().unwrap().to_owned()),
            }
        };
        self.environment(service).into_iter().map(setting).collect()
    }
}

/// The variable of the same key in the program's own form.
pub fn variable(name: &str) -> String {
    match name {
        "REDIS_URL" => "FLUX_GATE__REDIS__URL".to_owned(),
        "DATABASE_URL" => "FLUX_GATE__POSTGRES__URL".to_owned(),
        "KAFKA_BROKERS" => "FLUX_GATE__KAFKA__BROKERS".to_owned(),
        other => other.to_owned(),
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        // Not what somebody has prepared for himself.
        if path.is_dir() && name != "made" {
            copy(&path, &to.join(name));
        } else if path.is_file() && name != ".env" {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}
