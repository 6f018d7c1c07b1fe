SELECT partition, next_offset, digest, previous, last_outcome
FROM flux_gate.progress
ORDER BY partition
