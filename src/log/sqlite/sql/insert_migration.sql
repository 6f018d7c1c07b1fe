INSERT INTO migrations (version, name, checksum, applied_at_ms) VALUES (?1, ?2, ?3, ?4)
