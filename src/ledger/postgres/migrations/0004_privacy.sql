-- How long things are kept, and what was deleted.

-- Log time when the batch that archived the sale was applied: from then on the time of its user ids runs.
ALTER TABLE flux_gate.products ADD COLUMN archived_at_ms bigint;
UPDATE flux_gate.products SET archived_at_ms = log_time_ms WHERE archived;

-- What was deleted because of its age or an erasure, in numbers; nobody is named.
CREATE TABLE flux_gate.deletions (
    at timestamptz NOT NULL DEFAULT now(),
    -- `subjects` (user ids of archived sales), `seal_key` (a private key), `subjects_rewritten` (the table's
    -- file).
    what text NOT NULL,
    -- Of which one: the id of a key.
    detail text NOT NULL DEFAULT '',
    count bigint NOT NULL
);

GRANT INSERT, SELECT ON flux_gate.deletions TO flux_gate_worker;
GRANT SELECT ON flux_gate.deletions TO flux_gate_ingestion, flux_gate_fulfilment, flux_gate_auditor;
-- Whoever may read a person's user ids may see that they were erased.
GRANT SELECT ON flux_gate.erased TO flux_gate_fulfilment;

-- The planner's samples of a column hold its values, and outlive the rows: none of user ids. (A change of the type,
-- though to the same, takes away those that are there.)
ALTER TABLE flux_gate.subjects ALTER COLUMN user_id SET STATISTICS 0;
ALTER TABLE flux_gate.subjects ALTER COLUMN user_id TYPE text;
