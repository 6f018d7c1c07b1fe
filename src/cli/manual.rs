//! `completions` and `man`: what shells and manuals know of the command line, made from the command line itself.

use std::fs;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{Cli, Exit, Failure, Machine};

const NAME: &str = "flux-gate";

/// Print completions for a shell.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate completions bash > /usr/share/bash-completion/completions/flux-gate
  flux-gate completions zsh > /usr/share/zsh/site-functions/_flux-gate
  flux-gate completions fish > ~/.config/fish/completions/flux-gate.fish")]
pub(super) struct Completions {
    /// Which.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), NAME, &mut script);
        machine.out.write_all(&script)?;
        Ok(Exit::Done)
    }
}

/// Write the manual pages, one for each command, into a directory.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate man /usr/local/share/man/man1
  flux-gate man man1 && man -l man1/flux-gate-incident-stop.1")]
pub(super) struct Man {
    /// Where to; it is made if it is not there.
    #[arg(value_name = "DIR")]
    to: PathBuf,
}

impl Man {
    pub(super) fn run(self, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
        let cannot = |error| Failure::new(format!("{}: {error}", self.to.display()));
        fs::create_dir_all(&self.to).map_err(cannot)?;
        clap_mangen::generate_to(Cli::command(), &self.to).map_err(cannot)?;
        let pages = fs::read_dir(&self.to).map_err(cannot)?.count();
        writeln!(machine.out, "{pages} pages in {}", self.to.display())?;
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::Exit;
    use crate::cli::tests::call;

    #[test]
    fn completions_know_every_command_and_pages_are_written_of_each() {
        for shell in ["bash", "zsh", "fish"] {
            let called = call(&["completions", shell], &[]);
            assert_eq!(called.exit, Exit::Done);
            assert!(called.out.contains("incident") && called.out.contains("tighten"), "{shell}");
        }
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("man1");
        let called = call(&["man", to.to_str().unwrap()], &[]);
        assert_eq!(called.exit, Exit::Done, "{}", called.message);
        let page = std::fs::read_to_string(to.join("flux-gate-incident-stop.1")).unwrap();
        assert!(page.contains(".TH") && page.contains("reason"));
    }
}
