//! From records to rows, without any I/O: a partition's state goes on by a record, and the batch gets the
//! rows that follow from it.
//!
//! The same function as on every node decides ([`Book::apply`]), so the ledger holds what nodes answered.

use std::collections::{BTreeMap, HashMap};

use crate::chain::Link;
use crate::keys::seal::Opener;
use crate::ledger::postgres::rows::*;
use crate::log::kafka::message::UNDECODABLE;
use crate::sale::{
    BadSnapshot, Book, ControlState, LogEntry, OperationId, OrderProposed, Outcome, ProductId,
    Record, SaleState,
};
use crate::snapshot::{CHECKPOINT_OFFSETS, PartitionHead, Snapshot};

/// One partition of the log as far as it has been applied.
pub(super) struct Partition {
    pub head: PartitionHead,
    book: Book,
}

/// What a message is.
pub(super) enum Content {
    /// A record that somebody vouches for.
    Record(Box<LogEntry>),
    /// Nothing that may change a state.
    Undecodable,
}

impl Partition {
    /// The partition as the ledger has it.
    pub(super) fn restore(head: &PartitionHead) -> Self {
        Self { head: head.clone(), book: Book::default() }
    }

    pub(super) fn insert(&mut self, product: ProductId, state: SaleState) {
        self.book.insert(product, state);
    }

    pub(super) fn set_control(&mut self, control: ControlState) {
        self.book.set_control(control);
    }

    /// The sales whose records lie in it.
    #[cfg(test)]
    pub(super) fn sales(&self) -> impl Iterator<Item = (&ProductId, &SaleState)> {
        self.book.iter()
    }
}

/// The partitions of a snapshot that are wanted, with their sales.
///
/// # Errors
/// A sale is not a state: rows were lost or altered.
pub(super) fn restore(
    snapshot: Snapshot,
    partitions: &[i32],
    partition_of: impl Fn(&ProductId) -> i32,
) -> Result<BTreeMap<i32, Partition>, (ProductId, BadSnapshot)> {
    let wanted = snapshot.heads.iter().filter(|head| partitions.contains(&head.partition));
    let mut restored: BTreeMap<_, _> =
        wanted.map(|head| (head.partition, Partition::restore(head))).collect();
    if let Some(control) = snapshot.control
        && let Some(partition) = restored.get_mut(&partition_of(&ProductId::CONTROL))
    {
        partition.set_control(control);
    }
    for (product, sale) in snapshot.sales {
        if let Some(partition) = restored.get_mut(&partition_of(&product)) {
            let state = SaleState::restore(sale).map_err(|why| (product, why))?;
            partition.insert(product, state);
        }
    }
    Ok(restored)
}

/// A batch that is being filled.
pub(super) struct Filling<'o> {
    opener: Option<&'o Opener>,
    batch: Batch,
    /// The way of each partition: where the batch begins in it, and its events so far.
    ways: BTreeMap<i32, Way>,
    touched: HashMap<ProductId, Touched>,
    /// The partition of the control records, if the batch has one.
    control: Option<i32>,
    records: usize,
    unopened: usize,
    buffer: Vec<u8>,
}

struct Way {
    from: u64,
    events: u32,
}

struct Touched {
    partition: i32,
    opened_offset: Option<u64>,
}

/// A full batch, and what was noticed on the way.
#[derive(Default)]
pub(super) struct Filled {
    pub(super) batch: Batch,
    /// Messages, undecodable ones included.
    pub(super) records: usize,
    /// Orders whose user id could not be opened: they stand without it.
    pub(super) unopened: usize,
}

impl<'o> Filling<'o> {
    /// An empty batch. Without an opener no order gets a user id.
    pub(super) fn new(opener: Option<&'o Opener>) -> Self {
        Self {
            opener,
            batch: Batch::default(),
            ways: BTreeMap::new(),
            touched: HashMap::new(),
            control: None,
            records: 0,
            unopened: 0,
            buffer: Vec::new(),
        }
    }

    /// Messages so far.
    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// Applies the message at the partition's `next_offset`, and says what it came to. `link` has any
    /// outcome.
    pub(super) fn apply(
        &mut self,
        partition: &mut Partition,
        link: &Link<'_>,
        content: Content,
    ) -> &'static str {
        let from = partition.head.next_offset;
        self.ways.entry(partition.head.partition).or_insert(Way { from, events: 0 });
        self.records += 1;
        let outcome = match &content {
            Content::Record(entry) => {
                let outcome = partition.book.apply(entry);
                self.note(partition, entry, outcome);
                outcome.name()
            }
            Content::Undecodable => UNDECODABLE,
        };
        partition.head.advance(link, outcome, &mut self.buffer);
        if partition.head.next_offset.is_multiple_of(CHECKPOINT_OFFSETS) {
            self.batch.checkpoints.push(Checkpoint {
                partition: partition.head.partition,
                next_offset: partition.head.next_offset,
                digest: partition.head.digest,
            });
        }
        outcome
    }

    /// The rows that follow from what a record came to.
    fn note(&mut self, partition: &Partition, entry: &LogEntry, outcome: Outcome) {
        if entry.product == ProductId::CONTROL {
            self.control = Some(partition.head.partition);
            return;
        }
        let Some(state) = partition.book.get(&entry.product) else { return };
        let touched = self
            .touched
            .entry(entry.product)
            .or_insert(Touched { partition: partition.head.partition, opened_offset: None });
        match (&entry.record, outcome) {
            (Record::OrderProposed(proposal), Outcome::Confirmed) => {
                self.confirmed(partition.head.partition, entry, proposal, state.log_time_ms());
            }
            (Record::SaleOpened(terms), Outcome::Applied) => {
                touched.opened_offset = Some(entry.offset);
                self.operated(entry, terms.operation);
            }
            (Record::OrderReversed { order_id, frees_limit, .. }, Outcome::Applied) => {
                let order =
                    state.order(order_id).expect("an order that was just reversed is there");
                let place = self.place(partition.head.partition);
                self.batch.reversals.push(ReversalInsert {
                    partition: partition.head.partition,
                    order_offset: order.offset,
                    offset: entry.offset,
                    place,
                    reversed_at_ms: state.log_time_ms(),
                    frees_limit: *frees_limit,
                });
            }
            (Record::SubjectErased { buyer, operation }, Outcome::Applied) => {
                self.batch.erased.push(Erased { buyer: *buyer, at_ms: state.log_time_ms() });
                self.operated(entry, *operation);
            }
            (Record::SaleArchived { operation }, Outcome::Applied) => {
                self.batch.archived.push(entry.product);
                self.operated(entry, Some(*operation));
            }
            (
                Record::CapacityChanged { operation, .. }
                | Record::ScheduleChanged { operation, .. }
                | Record::SalePaused { operation }
                | Record::SaleResumed { operation },
                Outcome::Applied,
            ) => self.operated(entry, Some(*operation)),
            _ => {}
        }
    }

    fn confirmed(
        &mut self,
        partition: i32,
        entry: &LogEntry,
        proposal: &OrderProposed,
        confirmed_at_ms: u64,
    ) {
        let OrderProposed { order_id, buyer, sealed_user, .. } = proposal;
        let (offset, product) = (entry.offset, entry.product);
        let place = self.place(partition);
        self.batch.orders.push(OrderInsert {
            partition,
            offset,
            place,
            product,
            order_id: *order_id,
            buyer: *buyer,
            confirmed_at_ms,
        });
        let (Some(opener), Some(sealed)) = (self.opener, sealed_user) else {
            self.unopened += 1;
            return;
        };
        match opener.open(sealed, &product, order_id) {
            Ok(user_id) => self.batch.subjects.push(SubjectInsert {
                partition,
                offset,
                user_id,
                buyer: *buyer,
                confirmed_at_ms,
            }),
            // Counted: it can be one for every order of a sale.
            Err(error) => {
                tracing::debug!(%error, partition, offset, "a user id does not open");
                self.unopened += 1;
            }
        }
    }

    fn operated(&mut self, entry: &LogEntry, operation: Option<OperationId>) {
        let (product, offset) = (entry.product, entry.offset);
        self.batch.operations.extend(operation.map(|operation| OperationInsert {
            product,
            operation,
            offset,
        }));
    }

    /// The next place among the events of a partition.
    fn place(&mut self, partition: i32) -> u32 {
        let way = self.ways.get_mut(&partition).expect("the way begins with the first record");
        way.events += 1;
        way.events - 1
    }

    /// The batch, with each touched sale as it stands now.
    pub(super) fn finish(self, partitions: &BTreeMap<i32, Partition>) -> Filled {
        let Self { mut batch, ways, touched, control, records, unopened, .. } = self;
        let advance = |(number, way): (i32, Way)| {
            let head = partitions.get(&number)?.head.clone();
            Some(Advance { from: way.from, head, events: way.events })
        };
        batch.advances = ways.into_iter().filter_map(advance).collect();
        let row = |(product, touched): (ProductId, Touched)| {
            let state = partitions.get(&touched.partition)?.book.get(&product)?;
            Some(product_row(product, &touched, state))
        };
        batch.products = touched.into_iter().filter_map(row).collect();
        batch.control = control.and_then(|partition| {
            let state = partitions.get(&partition)?.book.control().clone();
            Some(Box::new(ControlRow { partition, state }))
        });
        // Two workers that write the same rows wait for each other in the same order.
        batch.products.sort_by_key(|row| row.product);
        Filled { batch, records, unopened }
    }
}

fn product_row(product: ProductId, touched: &Touched, state: &SaleState) -> ProductRow {
    ProductRow {
        product,
        partition: touched.partition,
        opened_offset: touched.opened_offset.unwrap_or(state.applied_offset()),
        terms: state.terms().clone(),
        sold: state.sold(),
        paused: state.paused(),
        archived: state.archived(),
        generation: state.generation(),
        log_time_ms: state.log_time_ms(),
        applied_offset: state.applied_offset(),
    }
}
