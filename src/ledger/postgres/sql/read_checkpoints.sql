SELECT partition, next_offset, digest
FROM flux_gate.checkpoints
ORDER BY partition, next_offset
