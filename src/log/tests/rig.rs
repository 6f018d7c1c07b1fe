//! A log of each backend, with what the tests of the contract need to see of it.

use super::*;

/// The backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    Sqlite,
    Memory,
    /// On the real broker of the stack.
    #[cfg(feature = "distributed")]
    Kafka,
}

/// A log of some backend.
pub(super) struct Rig {
    pub log: OrderLog,
    /// The node's clock. Kafka's log goes by the broker's.
    pub clock: Clock,
    backend: Backend,
    /// Dropped last.
    _store: Store,
}

/// What keeps the records.
enum Store {
    Memory,
    Directory {
        _dir: tempfile::TempDir,
    },
    #[cfg(feature = "distributed")]
    Broker {
        _topic: Box<crate::log::kafka::tests::rig::Rig>,
    },
}

impl Rig {
    pub fn start(backend: Backend, queue_records_max: usize, observer: Observer) -> Self {
        let clock = Clock::manual(START_MS);
        let (log, clock, store) = match backend {
            Backend::Sqlite => {
                let dir = tempfile::tempdir().unwrap();
                let options = Options { queue_records_max, ..options(dir.path()) };
                let fatal = must_not_fail();
                let log = SqliteLog::start(&options, clock.clone(), observer, fatal);
                (OrderLog::Sqlite(log.unwrap()), clock, Store::Directory { _dir: dir })
            }
            Backend::Memory => {
                let log = MemoryLog::start(Vec::new(), queue_records_max, clock.clone(), observer);
                (OrderLog::Memory(log), clock, Store::Memory)
            }
            #[cfg(feature = "distributed")]
            Backend::Kafka => {
                let topic = Box::new(crate::log::kafka::tests::rig::Rig::new());
                // Time-outs go by it, so it must go on.
                let clock = Clock::settable();
                let log = topic.log(queue_records_max, clock.clone(), observer);
                (OrderLog::Kafka(log), clock, Store::Broker { _topic: topic })
            }
        };
        Self { log, clock, backend, _store: store }
    }

    pub fn plain(backend: Backend) -> Self {
        Self::start(backend, 10_000, Box::new(|_| {}))
    }

    /// The offset of the `n`th record of a product's part of the log, from 1.
    pub fn offset(&self, n: u64) -> u64 {
        if self.stamps_its_own_time() { n - 1 } else { n }
    }

    /// Whether the log's time is that of its brokers, not of the node.
    pub fn stamps_its_own_time(&self) -> bool {
        !matches!(self.backend, Backend::Sqlite | Backend::Memory)
    }

    /// Sets the node's clock to so long after where it began.
    pub fn set_clock(&self, after_begin_ms: i64) {
        self.clock.set_ms(START_MS + after_begin_ms);
        self.clock.shift_wall_ms(after_begin_ms);
    }

    /// Buyer `by` of `name` proposes order `n` now.
    pub fn proposed(&self, name: &str, n: u32, by: u32) -> Append {
        self.proposed_in(name, n, by, 0)
    }

    /// The same, in a later generation of the sale.
    pub fn proposed_in(&self, name: &str, n: u32, by: u32, generation: u64) -> Append {
        let mut append = proposed_in(name, n, by, generation);
        if let Record::OrderProposed(proposal) = &mut append.record {
            proposal.at_ms = self.clock.unix_ms();
        }
        append
    }

    /// Where the backend waits to be told, tells it.
    pub fn turn_over(&self) {
        if let OrderLog::Memory(log) = &self.log {
            log.commit(usize::MAX);
        }
    }

    pub async fn decide(&self, handle: &LogHandle, append: Append) -> Decided {
        let undecided = handle.append(append).unwrap();
        self.turn_over();
        undecided.await.unwrap()
    }

    pub fn stop(&self) {
        match &self.log {
            OrderLog::Memory(log) => log.stop(),
            log => log.stop(),
        }
    }
}
