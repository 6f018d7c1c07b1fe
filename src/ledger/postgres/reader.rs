//! The thread that reads the ledger.
//!
//! A connection lives on the runtime that opened it, and a node has a runtime for each of its threads. So
//! all reads go to one thread with a runtime of its own and small pools: at most [`READS_MAX`] run at once,
//! and at most [`WAITING_MAX`] wait.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use deadpool_postgres::{Object, Pool};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::LocalSet;

use super::connect::{CONNECT_S_MAX, Connector};
use super::error::PostgresError;
use crate::ledger::LedgerError;
use crate::ledger::readers::NotRead;

/// Reads at once; also the connections of the node's own user.
const READS_MAX: usize = 4;
/// Connections of the user who may read user ids: nodes share few of them (`CONNECTION LIMIT` in
/// `deploy/postgres/roles.sql`), and one page of the feed is read at a time.
const FEEDS_MAX: usize = 2;
/// Reads that wait; a further one is [`LedgerError::Busy`].
const WAITING_MAX: usize = 256;

type Local = Pin<Box<dyn Future<Output = ()>>>;
type Job = Box<dyn FnOnce(Rc<Pools>) -> Local + Send>;

/// The way to the thread. It ends when the last of these is dropped.
#[derive(Clone)]
pub(crate) struct Reader {
    jobs: mpsc::Sender<Job>,
}

/// The connections of the thread.
pub(crate) struct Pools {
    main: Pool,
    fulfilment: Option<Pool>,
}

impl Pools {
    /// A connection of the node's own user.
    pub(crate) async fn main(&self) -> Result<Object, PostgresError> {
        take(&self.main).await
    }

    /// A connection of a user who may read user ids.
    pub(crate) async fn fulfilment(&self) -> Result<Object, LedgerError> {
        let pool = self.fulfilment.as_ref().ok_or(LedgerError::NoUserIds)?;
        Ok(take(pool).await?)
    }
}

async fn take(pool: &Pool) -> Result<Object, PostgresError> {
    pool.get().await.map_err(|error| PostgresError::of_pool(error, CONNECT_S_MAX))
}

impl Reader {
    /// Starts the thread under this name; nothing is connected yet.
    pub(crate) fn start(
        name: &str,
        main: Connector,
        fulfilment: Option<Connector>,
    ) -> Result<Self, PostgresError> {
        let (jobs, queue) = mpsc::channel(WAITING_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let fulfilment = fulfilment.map(|connector| connector.pool(FEEDS_MAX));
            let pools = Pools { main: main.pool(READS_MAX), fulfilment };
            LocalSet::new().block_on(&runtime, work(queue, Rc::new(pools)));
        })?;
        Ok(Self { jobs })
    }

    /// Runs a read on the thread. It is carried to its end even if nobody waits any more.
    pub(crate) async fn read<T, E, F>(
        &self,
        read: impl FnOnce(Rc<Pools>) -> F + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<NotRead> + Send + 'static,
        F: Future<Output = Result<T, E>> + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |pools| {
            Box::pin(async move {
                // Whoever asked may have gone.
                let _ = answer.send(read(pools).await);
            })
        });
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotRead::Busy,
            mpsc::error::TrySendError::Closed(_) => NotRead::Ended,
        })?;
        answered.await.map_err(|_| NotRead::Ended)?
    }
}

impl From<NotRead> for PostgresError {
    fn from(why: NotRead) -> Self {
        match why {
            NotRead::Busy => Self::Busy,
            NotRead::Ended => Self::Ended,
        }
    }
}

async fn work(mut queue: mpsc::Receiver<Job>, pools: Rc<Pools>) {
    let turns = Arc::new(Semaphore::new(READS_MAX));
    while let Some(job) = queue.recv().await {
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
        let reading = job(Rc::clone(&pools));
        tokio::task::spawn_local(async move {
            reading.await;
            drop(turn);
        });
    }
}
