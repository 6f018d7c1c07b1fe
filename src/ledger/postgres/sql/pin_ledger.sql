INSERT INTO flux_gate.ledger (topic, partitions) VALUES ($1, $2) ON CONFLICT DO NOTHING
