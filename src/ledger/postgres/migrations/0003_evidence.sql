-- Who did what at POST /order lately, for a day or so: what fraud is looked for in. UNLOGGED: it holds pseudonyms of
-- addresses, which must not get into the write-ahead log and from there into its archives, replicas and physical
-- backups, where they would outlive their time. The price: a crash of the server empties these tables, and so does a
-- restore. Leave them out of dumps, too (`pg_dump --no-unlogged-table-data`).

CREATE UNLOGGED TABLE flux_gate.evidence (
    -- In the order of arrival.
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Unix milliseconds, the clock of the node that saw it.
    at_ms bigint NOT NULL,
    -- What came of it; the words are those of src/evidence/sighting.rs.
    what text NOT NULL,
    -- For how many attempts it stands.
    weight integer NOT NULL CHECK (weight > 0),
    product text,
    order_id uuid,
    -- The ledger's pseudonym.
    buyer bytea CHECK (length(buyer) = 16),
    -- Pseudonyms of the day, 64 bits each; those above 2^63 stand as negative numbers.
    series_stem bigint,
    series_number bigint,
    address bigint NOT NULL,
    network bigint NOT NULL,
    fingerprint bigint
);

CREATE INDEX evidence_at_ms ON flux_gate.evidence (at_ms);
CREATE INDEX evidence_buyer ON flux_gate.evidence (buyer) WHERE buyer IS NOT NULL;

-- All attempts, also those of which no row is kept. Each node adds rows of its own, a few a minute and outcome; they are
-- summed up when they are read.
CREATE UNLOGGED TABLE flux_gate.evidence_minutes (
    minute_ms bigint NOT NULL,
    -- Empty: they did not come far enough to say.
    product text NOT NULL,
    what text NOT NULL,
    count bigint NOT NULL CHECK (count > 0)
);

CREATE INDEX evidence_minutes_minute_ms ON flux_gate.evidence_minutes (minute_ms);

-- Rows are deleted as fast as they come: what they leave behind is to be used again soon.
ALTER TABLE flux_gate.evidence
SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
ALTER TABLE flux_gate.evidence_minutes
SET (autovacuum_vacuum_scale_factor = 0.1);

-- Nodes add and read; nobody changes a row. Workers delete what is too old, too much or an erased person's, and see no
-- more than that takes.
GRANT INSERT, SELECT ON flux_gate.evidence, flux_gate.evidence_minutes TO flux_gate_ingestion;
GRANT SELECT ON flux_gate.evidence, flux_gate.evidence_minutes TO flux_gate_auditor;
GRANT DELETE ON flux_gate.evidence, flux_gate.evidence_minutes TO flux_gate_worker;
GRANT SELECT (id, at_ms, buyer) ON flux_gate.evidence TO flux_gate_worker;
GRANT SELECT (minute_ms) ON flux_gate.evidence_minutes TO flux_gate_worker;
