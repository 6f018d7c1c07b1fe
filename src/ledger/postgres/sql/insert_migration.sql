INSERT INTO flux_gate.migrations (version, name, checksum) VALUES ($1, $2, $3)
