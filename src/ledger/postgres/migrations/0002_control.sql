-- What operators have said about the whole gate, as it stands: blocks and who set them (of whom only a keyed
-- pseudonym), live limits, operators' tokens (SHA-256 alone), approvals, and the operations that took effect.

CREATE TABLE flux_gate.control (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    -- In which the control records lie.
    partition integer NOT NULL,
    -- The state (sale/control), whole: it is bounded, changes seldom and is read at starts alone.
    state jsonb NOT NULL,
    log_time_ms bigint NOT NULL,
    applied_offset bigint NOT NULL
) WITH (fillfactor = 50);

GRANT SELECT ON flux_gate.control TO flux_gate_ingestion, flux_gate_worker, flux_gate_auditor;
GRANT INSERT, UPDATE ON flux_gate.control TO flux_gate_worker;
