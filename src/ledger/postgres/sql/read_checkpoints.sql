SELECT partition, "offset", digest FROM flux_gate.checkpoints ORDER BY partition, "offset"
