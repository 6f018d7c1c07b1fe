-- Minutes that were over at $1.
DELETE FROM flux_gate.evidence_minutes WHERE minute_ms + 60000 <= $1
