DELETE FROM flux_gate.evidence WHERE at_ms < $1
