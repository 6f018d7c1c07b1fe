//! `privacy keys`: the private keys that open user ids on Kafka, on the machine of a worker.

use rdkafka::consumer::BaseConsumer;

use crate::cli::operator::table;
use crate::cli::when::rfc3339;
use crate::cli::{Common, Exit, Failure, Machine};
use crate::config::Config;
use crate::ledger::postgres::housekeeper::{Housekeeper, SEAL_KEY};
use crate::log::kafka::client;
use crate::worker::seal_keys::{self, SealKey};

#[derive(clap::Args)]
pub(super) struct Keys {
    /// Destroy the key of this id now, if its period is over and the ledger has all its records. A ledger that is
    /// restored from an older backup then gets no user ids for them.
    #[arg(long, value_name = "ID")]
    destroy: Option<String>,
}

impl Keys {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        let loaded = common.load(machine, Vec::new())?;
        let config = &loaded.config;
        let keys = seal_keys::keys(config)?;
        let now_ms = machine.clock.unix_ms();
        let Some(id) = self.destroy else {
            let rows = keys.iter().map(|key| row(key, now_ms)).collect();
            let head = ["KEY", "FROM", "UNTIL", "DESTROYED AFTER", "STATE"];
            write!(machine.out, "{}", table(head, rows))?;
            return Ok(Exit::Done);
        };
        let key = keys.iter().find(|key| key.period.id == id);
        let key = key.ok_or_else(|| Failure::new("there is no key of this id here"))?;
        destroy(key, config, now_ms)?;
        writeln!(
            machine.out,
            "destroyed: nothing that was sealed to {id} opens with this machine's keys"
        )?;
        Ok(Exit::Done)
    }
}

fn destroy(key: &SealKey, config: &Config, now_ms: u64) -> Result<(), Failure> {
    let housekeeper = Housekeeper::new(config)?;
    let now_ms = now_ms.min(housekeeper.now_ms()?);
    if !key.has_settled(now_ms) {
        return Err(Failure::new(
            "its period is not over (by secrets.seal_public_key and two minutes): user ids that are sealed \
             to it now would be lost",
        ));
    }
    let asker: BaseConsumer<client::Context> =
        client::client_config(config).create_with_context(client::Context)?;
    if !seal_keys::ledger_is_level(&asker, config, &housekeeper)? {
        return Err(Failure::new(
            "the ledger has not all records of the log yet: wait for the workers, then repeat the command",
        ));
    }
    let Some(file) = &key.kept else {
        return Err(Failure::new(
            "it is in no file: take it out of secrets.seal_private_keys, and start the workers again",
        ));
    };
    file.destroy()?;
    housekeeper.note(SEAL_KEY, &key.period.id, 1)?;
    Ok(())
}

fn row(key: &SealKey, now_ms: u64) -> [String; 5] {
    let time = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), rfc3339);
    let period = &key.period;
    let state = match (key.is_due(now_ms), key.has_settled(now_ms), &key.kept) {
        (true, _, Some(_)) => "its time is over: the worker destroys it",
        (true, _, None) => "its time is over: take it out of secrets.seal_private_keys",
        (_, true, _) => "kept for a ledger that is restored",
        _ if period.from_ms > now_ms => "not begun",
        _ if period.until_ms.is_none() => "in use; no key follows",
        _ => "in use",
    };
    let from = if period.from_ms == 0 { "-".to_owned() } else { rfc3339(period.from_ms) };
    [period.id.clone(), from, time(period.until_ms), time(key.due_ms), state.to_owned()]
}
