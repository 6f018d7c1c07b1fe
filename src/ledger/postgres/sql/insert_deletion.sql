INSERT INTO flux_gate.deletions (what, detail, count) VALUES ($1, $2, $3)
