//! User ids whose time is over go, a piece at a time, beside the writer and in turns with it.

use std::time::Duration;

use rusqlite::Connection;

use super::{SqliteLog, store};

/// User ids of one transaction: the writer waits for it.
const PIECE_ROWS: i64 = 5_000;
/// Between two pieces: the writer has work of its own.
const REST: Duration = Duration::from_millis(5);

/// How long the writer waits for a reader while the WAL is emptied, how often that is tried, and the time between
/// two tries.
const READERS_WAIT: Duration = Duration::from_millis(20);
const TRIES_MAX: u32 = 40;
const RETRY_DELAY: Duration = Duration::from_millis(250);

impl SqliteLog {
    /// Deletes the user ids of sales that were archived before `before_ms` (log time, Unix milliseconds) so that
    /// no file holds them any more; says how many. Blocks. After an error the log must not go on.
    ///
    /// # Errors
    /// The store failed; what was deleted before stays so.
    pub fn expire_subjects(&self, before_ms: u64) -> Result<u64, rusqlite::Error> {
        let threads = self.0.threads.lock();
        // The directory is another's once the log has ended.
        let Some(dir) = self.0.store_file.parent().filter(|_| threads.is_some()) else {
            return Ok(0);
        };
        let connection = store::open_writable(dir)?;
        let before_ms = i64::try_from(before_ms).unwrap_or(i64::MAX);
        let sql = include_str!("sql/archived_before.sql");
        if !connection.query_row(sql, [before_ms], |row| row.get::<_, bool>(0))? {
            return Ok(0);
        }
        let (mut deleted, mut after) = (0, 0);
        loop {
            let old = old_subjects(&connection, after, before_ms)?;
            let Some(last) = old.last() else { break };
            after = *last;
            deleted += old.len() as u64;
            self.delete(&connection, &old)?;
            std::thread::sleep(REST);
        }
        if deleted > 0 {
            self.empty_wal(&connection)?;
        }
        Ok(deleted)
    }

    /// The bytes of what was deleted are overwritten in the newest pages; older copies of these are in the WAL
    /// until it is emptied. A reader may be in the way for long: the log empties it when it ends.
    fn empty_wal(&self, connection: &Connection) -> Result<(), rusqlite::Error> {
        connection.busy_timeout(READERS_WAIT)?;
        for _ in 0..TRIES_MAX {
            let turn = self.0.turn.lock();
            let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
            let busy: bool = connection.query_row(sql, [], |row| row.get(0))?;
            drop(turn);
            if !busy {
                break;
            }
            std::thread::sleep(RETRY_DELAY);
        }
        Ok(())
    }

    fn delete(&self, connection: &Connection, offsets: &[i64]) -> Result<(), rusqlite::Error> {
        let _turn = self.0.turn.lock();
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut statement = connection.prepare_cached(include_str!("sql/delete_subject.sql"))?;
        for offset in offsets {
            statement.execute([offset])?;
        }
        connection.execute_batch("COMMIT")
    }
}

fn old_subjects(
    connection: &Connection,
    after: i64,
    before_ms: i64,
) -> Result<Vec<i64>, rusqlite::Error> {
    connection
        .prepare_cached(include_str!("sql/old_subjects.sql"))?
        .query_map((after, before_ms, PIECE_ROWS), |row| row.get(0))?
        .collect()
}
