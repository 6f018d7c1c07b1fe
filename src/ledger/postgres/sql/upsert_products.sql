INSERT INTO flux_gate.products AS p (
    product, partition, opened_offset, terms, sold, paused, archived, generation, log_time_ms,
    applied_offset
)
SELECT u.product, u.partition, u.opened_offset, u.terms::jsonb, u.sold, u.paused, u.archived,
    u.generation, u.log_time_ms, u.applied_offset
FROM unnest(
    $1::text[], $2::integer[], $3::bigint[], $4::text[], $5::bigint[], $6::boolean[], $7::boolean[],
    $8::bigint[], $9::bigint[], $10::bigint[]
) AS u (
    product, partition, opened_offset, terms, sold, paused, archived, generation, log_time_ms,
    applied_offset
)
ON CONFLICT (product) DO UPDATE
SET terms = excluded.terms, sold = excluded.sold, paused = excluded.paused,
    archived = excluded.archived, generation = excluded.generation,
    log_time_ms = excluded.log_time_ms, applied_offset = excluded.applied_offset
WHERE p.partition = excluded.partition
