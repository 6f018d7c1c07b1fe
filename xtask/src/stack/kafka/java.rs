//! Kafka's jars by Maven, and its programs on them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::super::files::{self, text};
use super::super::state;
use super::super::tools::Tools;
use crate::workspace;

/// Kafka's classes, and our runner of its tools.
pub struct Jars {
    dir: PathBuf,
}

impl Jars {
    /// The jars that `deploy/kafka/pom.xml` names: from the cache, or by Maven.
    pub fn get(tools: &Tools) -> anyhow::Result<Self> {
        let dir = state::root().join("kafka-jars");
        let pom = files::deploy("kafka/pom.xml");
        let runner = workspace::root().join("xtask/src/stack/kafka/Commands.java");
        // The cache is for these two files: with others it is made anew.
        let made_for = std::fs::read_to_string(&pom)
            .and_then(|pom| Ok(pom + &std::fs::read_to_string(&runner)?))
            .context("cannot read the list of jars")?;
        let stamp = dir.join("made-for");
        if std::fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == made_for) {
            return Ok(Self { dir });
        }
        eprintln!("fetching Kafka's jars by Maven, once");
        if dir.exists() {
            std::fs::remove_dir_all(&dir).context("cannot remove the old jars")?;
        }
        std::fs::create_dir_all(&dir)?;
        fetch(&tools.maven, &pom, &dir)?;
        let jars = Self { dir };
        jars.compile(&tools.javac, &runner)?;
        std::fs::write(stamp, made_for)?;
        Ok(jars)
    }

    fn compile(&self, javac: &Path, runner: &Path) -> anyhow::Result<()> {
        let mut command = Command::new(javac);
        command.arg("-d").arg(&self.dir).arg("-cp").arg(self.class_path()?).arg(runner);
        done(&mut command, "javac")
    }

    /// All jars, and the directory itself for the runner.
    pub fn class_path(&self) -> anyhow::Result<String> {
        let dir = text(&self.dir)?;
        Ok(format!("{dir}/*:{dir}"))
    }

    /// Runs Kafka's tools one after the other, in one virtual machine. A command is a class and its arguments.
    pub fn run(&self, tools: &Tools, commands: &[Vec<String>]) -> anyhow::Result<()> {
        let mut child = Command::new(&tools.java)
            .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"])
            .arg(format!("-Dlog4j2.configurationFile={}", text(&tools_log()?)?))
            .args(["-cp", &self.class_path()?, "Commands"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run java")?;
        // By standard input, since some hold passwords: a command line can be read by everybody.
        let lines: String = commands.iter().map(|command| command.join("\n") + "\n\n").collect();
        child.stdin.take().context("no input")?.write_all(lines.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "a command of Kafka's failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

/// The tools' own log: only what goes wrong.
fn tools_log() -> anyhow::Result<PathBuf> {
    let path = state::root().join("tools-log4j2.properties");
    let text = "status = error\nappender.err.type = Console\nappender.err.name = err\n\
        appender.err.target = SYSTEM_ERR\nappender.err.layout.type = PatternLayout\n\
        appender.err.layout.pattern = %p %c{1} %m%n\nrootLogger.level = error\n\
        rootLogger.appenderRef.err.ref = err\n";
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn fetch(maven: &Path, pom: &Path, dir: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(maven);
    command
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(pom)
        .arg("dependency:copy-dependencies")
        .arg("-DincludeScope=runtime")
        .arg(format!("-DoutputDirectory={}", text(dir)?));
    done(&mut command, "Maven")
}

fn done(command: &mut Command, name: &str) -> anyhow::Result<()> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {name}"))?;
    ensure!(
        output.status.success(),
        "{name} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
