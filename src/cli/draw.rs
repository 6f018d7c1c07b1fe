//! `draw verify`: whether a waiting room's draw was honest, from files alone.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::chain::Digest;
use crate::cli::{Exit, Failure, Machine};
use crate::room::Ticket;
use crate::room::draw::{Draw, Evidence, Proof, digest_of, verify};

/// Largest file that is read, in bytes: the list of a million entrants, and more.
const FILE_BYTES_MAX: u64 = 256 * 1_024 * 1_024;

/// Check the draw of a waiting room, offline.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  curl 'https://gate.example/waiting-room/draw?product=lamp' > before.json      (before the opening)
  curl 'https://gate.example/waiting-room/draw?product=lamp&number=17' > draw.json   (after it)
  curl 'https://gate.example/waiting-room/entrants?product=lamp' > entrants.txt
  flux-gate draw verify draw.json --before before.json --ticket ticket-lamp.json --entrants entrants.txt")]
pub(super) struct DrawCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Check that the seed is the one that was committed to, that nobody was added, dropped or moved, and that a
    /// ticket got its rightful place; say what that does not show.
    Verify(Verify),
}

#[derive(clap::Args)]
struct Verify {
    /// What was published of the draw, JSON; with the proof of a ticket if it was asked for one.
    draw: PathBuf,
    /// The same as it was published before the opening.
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
    /// A ticket: the file that the page saves, or a text that holds the ticket alone.
    #[arg(long, value_name = "FILE")]
    ticket: Option<PathBuf>,
    /// The list of all entrants, one a line.
    #[arg(long, value_name = "FILE")]
    entrants: Option<PathBuf>,
    /// The place that the ticket was given, from 1.
    #[arg(long, value_name = "PLACE")]
    place: Option<u32>,
}

/// A draw as it is served.
#[derive(Deserialize)]
struct Served {
    #[serde(flatten)]
    draw: Published,
    proof: Option<Proof>,
}

/// [`Draw`] without its strictness, which a flattened one cannot have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Published {
    product_id: crate::sale::ProductId,
    commitment: String,
    #[serde(default)]
    public_value_source: String,
    entrants: Option<u32>,
    root: Option<String>,
    public_value: Option<String>,
    seed: Option<String>,
}

/// A ticket as the page saves it.
#[derive(Deserialize)]
struct Saved {
    ticket: String,
    place: Option<u32>,
    draw: Option<Published>,
}

impl From<Published> for Draw {
    fn from(published: Published) -> Self {
        Self {
            product_id: published.product_id,
            commitment: published.commitment,
            public_value_source: published.public_value_source,
            entrants: published.entrants,
            root: published.root,
            public_value: published.public_value,
            seed: published.seed,
        }
    }
}

impl DrawCommand {
    pub(super) fn run(self, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
        let Command::Verify(verify) = self.command;
        verify.run(machine)
    }
}

impl Verify {
    fn run(&self, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
        let served: Served = json(&self.draw)?;
        let mut evidence = Evidence { proof: served.proof, ..Evidence::default() };
        if let Some(path) = &self.ticket {
            let text = read(path)?;
            let saved = match serde_json::from_str::<Saved>(&text) {
                Ok(saved) => saved,
                Err(_) => Saved { ticket: text.trim().to_owned(), place: None, draw: None },
            };
            let ticket = Ticket::read_unverified(&saved.ticket);
            let no_ticket = || Failure::new(format!("{} holds no ticket", path.display()));
            evidence.ticket = Some(ticket.ok_or_else(no_ticket)?);
            evidence.place = saved.place;
            evidence.before = saved.draw.map(Draw::from);
        }
        if let Some(path) = &self.before {
            evidence.before = Some(json::<Served>(path)?.draw.into());
        }
        if let Some(path) = &self.entrants {
            evidence.entrants = Some(leaves(path)?);
        }
        if let Some(place) = self.place {
            let from_0 = place.checked_sub(1);
            evidence.place = Some(from_0.ok_or_else(|| Failure::new("places are from 1"))?);
        }
        match verify(&served.draw.into(), &evidence) {
            Ok(shown) => {
                write!(machine.out, "{shown}")?;
                Ok(Exit::Done)
            }
            Err(fault) => {
                writeln!(machine.out, "The draw does not hold: {fault}.")?;
                Ok(Exit::Failed)
            }
        }
    }
}

fn leaves(path: &Path) -> Result<Vec<Digest>, Failure> {
    let text = read(path)?;
    let leaf = |(number, line): (usize, &str)| {
        digest_of(line, "a line").map_err(|_| {
            let (path, line) = (path.display(), number + 1);
            Failure::new(format!("{path}:{line}: is not 64 hexadecimal digits"))
        })
    };
    text.lines().enumerate().map(leaf).collect()
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    serde_json::from_str(&read(path)?)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

fn read(path: &Path) -> Result<String, Failure> {
    let told = |error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
    if std::fs::metadata(path).map_err(told)?.len() > FILE_BYTES_MAX {
        return Err(Failure::new(format!("{} is too large", path.display())));
    }
    std::fs::read_to_string(path).map_err(told)
}
