SELECT
    product, partition, opened_offset, terms::text, sold, paused, archived, generation, log_time_ms,
    applied_offset
FROM flux_gate.products
WHERE partition = ANY($1)
