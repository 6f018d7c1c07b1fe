-- Attempts at POST /order. Marks and numbers are 64 bits; those above 2^63 stand as negative numbers.
CREATE TABLE sightings (
    -- In the order of arrival.
    id INTEGER PRIMARY KEY,
    -- Unix milliseconds, the node's clock.
    at_ms INTEGER NOT NULL,
    what TEXT NOT NULL,
    -- For how many attempts it stands.
    weight INTEGER NOT NULL,
    product TEXT,
    order_id BLOB,
    -- The ledger's pseudonym.
    buyer BLOB,
    series_stem INTEGER,
    series_number INTEGER,
    address INTEGER NOT NULL,
    network INTEGER NOT NULL,
    fingerprint INTEGER
) STRICT;

-- The one index: each further one would cost as much again. Whose sightings are to go is looked for in all rows.
CREATE INDEX sightings_by_time ON sightings (at_ms);

-- All attempts, also those of which no sighting is kept.
CREATE TABLE minutes (
    minute_ms INTEGER NOT NULL,
    -- Empty: they did not come far enough to say.
    product TEXT NOT NULL,
    what TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (minute_ms, product, what)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 1;
