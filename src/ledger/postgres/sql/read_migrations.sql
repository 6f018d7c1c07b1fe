SELECT checksum FROM flux_gate.migrations ORDER BY version
