CREATE SCHEMA IF NOT EXISTS flux_gate;
CREATE TABLE IF NOT EXISTS flux_gate.migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    -- SHA-256 (hex) of the migration's text.
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
