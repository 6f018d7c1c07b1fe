-- The order log. One writer appends; nothing is ever updated or deleted here.
--
-- The digest of a row is SHA-256 over the digest of the row before it and its offset, log time, product
-- name, record and outcome, each prefixed with its length (see chain.rs).

-- Product names by small numbers, so that a row of the log does not repeat them.
CREATE TABLE products (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE log (
    -- 1 for the first record, without gaps.
    offset INTEGER PRIMARY KEY,
    -- products.id; no foreign key, which would cost a look-up a row. `audit verify` checks it.
    product INTEGER NOT NULL,
    -- Unix milliseconds, never backwards within a product.
    log_time_ms INTEGER NOT NULL,
    -- For an applied reversal: the offset of the order that it took back.
    reverses INTEGER,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    -- Versioned JSON.
    record TEXT NOT NULL,
    digest BLOB NOT NULL
) STRICT;

-- Touched by reversals alone.
CREATE INDEX log_reversals ON log (reverses) WHERE reverses IS NOT NULL;

-- Where the log ends, written in the transaction of the last rows: shows when rows were cut off.
CREATE TABLE head (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    offset INTEGER NOT NULL,
    digest BLOB NOT NULL
) STRICT;

-- Who bought, in the shop's words, by the offset of the confirmed order. Apart from the log, so that a
-- person can be erased without breaking the digests.
CREATE TABLE subjects (
    offset INTEGER PRIMARY KEY,
    user_id TEXT NOT NULL
) STRICT;

-- The orders of archived products by id: they are in no node's memory any more.
CREATE TABLE archived_orders (
    order_id BLOB PRIMARY KEY,
    offset INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Work that a record asks for and that is done piece by piece beside the log.
CREATE TABLE chores (
    -- Of the record that asks for it.
    offset INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('archive', 'erase')),
    -- All rows of the log up to this offset are done.
    scanned_to INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX chores_open ON chores (offset, kind) WHERE done = 0;
